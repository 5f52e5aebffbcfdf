"""The copies of a keyring file: which one serves. Pure.

A directory keeps the file twice, an engine once. After a crash the valid copy with the highest counter serves, so the
vault opens as before a change or as after it, and the next opening brings the other copy level.

*Valid* is said with the key in hand: the checksum and the counter choose which copy is tried first, the MAC decides.
A key that opens only the older of two valid copies is a wrong key. Two valid copies of one counter that differ were
changed by two processes that did not see each other's lock; one of them may hold the only master key of some session,
so that is Damaged and for people to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..errors import Damaged, RollbackDetected, WrongKey
from ..util.named_tuple import NamedTuple
from .identity import FACTS, Identity
from .keyring_file import KeyringFile, UnlockedKeyring, parse
from .metadata import Copy, split
from .secret import Secret


class KeyringCopies(NamedTuple):
    """Identity and key slots as they were read at one moment, unproved. At least one copy has its checksum right."""

    identity: Identity
    copies: tuple[Copy, ...]
    files: tuple[KeyringFile | None, ...]
    """By copy; None where it cannot be read."""

    @classmethod
    def of(cls, copies: Sequence[Copy]) -> KeyringCopies:
        """``Damaged`` if no copy can be read."""
        facts = next((split(copy.data)[0] for copy in copies if copy.data is not None), None)
        if facts is not None:
            identity = Identity.decode(facts)
            read = [_parsed(copy, identity.vault_id) for copy in copies]
            copies, files = tuple(copy for copy, _ in read), tuple(file for _, file in read)
            if any(files):
                return cls(identity, copies, files)
        problems = "; ".join(f"{copy.place}: {copy.problem}" for copy in copies)
        raise Damaged(f"no copy of the keyring can be read ({problems}): restore one from a backup")

    @property
    def newest(self) -> KeyringFile:
        """The copy that is tried first. Not proved: a forged one may say that it is the newest."""
        return self._newest_first()[0]

    def value(self, keyring: bytes) -> bytes:
        """The value "vault" with this keyring file."""
        return self.identity.encode() + keyring

    def unlock(self, secret: Secret) -> UnlockedKeyring:
        """The newest copy, opened; or an older one, if the newest has not, and does not follow, the vault key in it.

        ``WrongKey``, or ``Damaged`` where the key is right and no copy is.
        """
        newest, *older = self._newest_first()
        failure: WrongKey | Damaged
        try:
            unlocked = newest.unlock(secret)
        except (WrongKey, Damaged) as error:
            failure = error
        else:
            return self.authentic(unlocked)
        for file in older:
            if file.data == newest.data:
                continue
            try:
                unlocked = file.unlock(secret)
            except WrongKey:
                continue
            except Damaged as error:
                failure = error
                continue
            if not unlocked.proves(newest):
                return self.authentic(unlocked)
        raise failure

    def authentic(self, known: UnlockedKeyring) -> UnlockedKeyring:
        """The newest copy that a known keyring proves. ``RollbackDetected`` if it is older than that one.

        ``WrongKey`` if the keys were rotated since, and the slot that opened the known one was removed.
        """
        found: UnlockedKeyring | None = None
        for file in self._newest_first():
            if found and (file.counter < found.counter or file.data == found.data):
                break
            if found and not (known.proves(file) or found.proves(file) or found.is_kin(file)):
                continue
            if found:
                raise Damaged(
                    f"the two copies of the keyring were changed apart (both are change {found.counter}): "
                    "keep the one that you trust and move the other out of the vault"
                )
            try:
                found = known.reopen(file)
            except Damaged:
                continue
        if not found:
            if any(map(known.is_ancestor, self._newest_first())):
                raise RollbackDetected(f"the keyring was set back from change {known.counter} to one before a rotation")
            raise Damaged("no copy of the keyring is authentic: restore one from a backup")
        if found.counter < known.counter:
            raise RollbackDetected(f"the keyring was set back from change {known.counter} to {found.counter}")
        if Identity.of(found.keyring) != self.identity:
            raise Damaged(f"{FACTS} was altered: it disagrees with its sealed copy in the keyring")
        return found

    def findings(self, newest: UnlockedKeyring) -> Iterator[str]:
        """What is wrong with each copy that is not the newest, in sentences."""
        for copy, file in zip(self.copies, self.files, strict=True):
            if file is None or file.data != newest.data:
                yield f"{copy.place}: {copy.problem or 'behind the other copy, or forged'}"

    def to_replace(self, newest: bytes, is_ours: Callable[[KeyringFile], bool]) -> list[Copy]:
        """The copies in the order in which they may be replaced: those that hold the newest file last.

        So the newest valid copy is never touched before its successor lies flushed beside it. A file that is not ours
        has a problem from then on: people may want to look at it.
        """
        stale: list[Copy] = []
        level: list[Copy] = []
        for copy, file in zip(self.copies, self.files, strict=True):
            if file is not None and file.data == newest:
                level.insert(0, copy)
            else:
                stale.append(copy if file is None or is_ours(file) else copy._replace(problem="forged"))
        return stale + level

    def _newest_first(self) -> list[KeyringFile]:
        return sorted(filter(None, self.files), key=lambda file: -file.counter)


def _parsed(copy: Copy, vault_id: bytes) -> tuple[Copy, KeyringFile | None]:
    if copy.data is None:
        return copy, None
    try:
        file = parse(split(copy.data)[1])
    except Damaged as error:
        return copy._replace(problem=str(error)), None
    if file.vault_id != vault_id:
        return copy._replace(problem="belongs to another vault"), None
    return copy, file
