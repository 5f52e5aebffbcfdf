"""One session of a backend brought to what another has: what travels, what is left, and what is never believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vaultsession.backends import FilesBackend, MemoryBackend
from vaultsession.backends.replication import Gap, Outcome, SessionGap, differing, follow, newest_of
from vaultsession.errors import BackendUnavailable, Damaged
from vaultsession.format.sealed import Commit, Container, Current, Delete, IndexRow, Query, Tombstone, Update, Write
from vaultsession.testing.sealer import Sealer
from vaultsession.util.disk import Disk


class Watched(MemoryBackend):
    """A target that remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Write | Delete] = []

    def commit(self, key: str, update: Update) -> Commit:
        def watched(newest: Current) -> Write | Delete | None:
            result = update(newest)
            if isinstance(result, Write | Delete):
                self.given.append(result)
            return result

        return super().commit(key, watched)


@pytest.fixture
def scribe() -> Sealer:
    return Sealer()


@pytest.fixture(params=["memory", "files"])
def source(request: pytest.FixtureRequest, scribe: Sealer, tmp_path: Path) -> Iterator[Any]:
    backend: Any = MemoryBackend()
    if request.param == "files":
        backend = FilesBackend(str(tmp_path), disk=Disk(), describe=scribe.describe)
    yield backend
    backend.close()


@pytest.fixture
def target() -> Watched:
    return Watched()


def bytes_of(backend: Any, key: str) -> bytes | None:
    container = backend.read(key)
    return None if container is None else container.header + container.data


def test_a_session_that_the_target_lacks_arrives_whole(source: Any, target: Watched, scribe: Sealer) -> None:
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    source.commit(key, scribe.append())
    assert follow(source, target, key) is Outcome.REPLACED
    assert bytes_of(target, key) == bytes_of(source, key)
    assert target.head(key) == source.head(key)
    assert scribe.texts(target, key) == ["first", "more"]


def test_what_is_level_is_left(source: Any, target: Watched, scribe: Sealer) -> None:
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    assert follow(source, target, key) is Outcome.CURRENT
    assert len(target.given) == 1


def test_appends_travel_as_appends_however_many_there_were(source: Any, target: Watched, scribe: Sealer) -> None:
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    before = source.head(key).size
    for number in range(5):
        source.commit(key, scribe.append(str(number)))
    assert follow(source, target, key) is Outcome.APPENDED
    sent = target.given[-1]
    assert isinstance(sent, Write)
    assert (sent.offset, len(sent.data)) == (before, source.head(key).size - before)
    assert scribe.texts(target, key) == ["first", *map(str, range(5))]


def test_a_container_of_its_own_travels_whole_and_erases_what_it_replaces(
    source: Any, target: Watched, scribe: Sealer
) -> None:
    key = scribe.key("a")
    source.commit(key, scribe.create(key, "secret"))
    follow(source, target, key)
    source.commit(key, scribe.create(key, "cleared"))
    assert follow(source, target, key) is Outcome.REPLACED
    sent = target.given[-1]
    assert isinstance(sent, Write)
    assert sent.erase
    assert scribe.texts(target, key) == ["cleared"]


def test_a_target_that_forked_gets_what_the_source_has(source: Any, target: Watched, scribe: Sealer) -> None:
    """Its row is of the same container and shorter, and its newest record is not one of the source's."""
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    target.commit(key, scribe.append("the target's own"))
    source.commit(key, scribe.append("one"))
    source.commit(key, scribe.append("two"))
    assert follow(source, target, key) is Outcome.REPLACED
    assert scribe.texts(target, key) == ["first", "one", "two"]


def test_a_target_that_is_ahead_is_told_and_left(source: Any, target: Watched, scribe: Sealer) -> None:
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    target.commit(key, scribe.append("written nowhere else"))
    assert follow(source, target, key) is Outcome.AHEAD
    assert follow(source, target, key, anew=True) is Outcome.AHEAD
    assert scribe.texts(target, key) == ["first", "written nowhere else"]
    assert list(differing(source, target)) == [SessionGap(key, Gap.AHEAD)]


def test_a_removal_travels_as_its_tombstone(source: Any, target: Watched, scribe: Sealer) -> None:
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    grave = source.commit(key, scribe.remove(key)).after
    assert list(differing(source, target)) == [SessionGap(key, Gap.REMOVED)]
    assert follow(source, target, key) is Outcome.REMOVED
    assert newest_of(target, key) == grave
    assert target.read(key) is None
    assert follow(source, target, key) is Outcome.CURRENT
    assert list(differing(source, target)) == []


def test_a_removal_that_nobody_proves_is_none_where_proofs_are_asked_for(target: Watched, scribe: Sealer) -> None:
    source = MemoryBackend()
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    source.commit(key, lambda newest: Delete(Tombstone(key, 1 << 63, bytes(16))))
    assert follow(source, target, key, accept=lambda before, change: False) is Outcome.UNPROVED
    assert scribe.texts(target, key) == ["first"]
    assert follow(source, target, key, accept=lambda before, change: change.tombstone.key == key) is Outcome.REMOVED


def test_what_only_the_target_has_is_told_and_never_removed(source: Any, target: Watched, scribe: Sealer) -> None:
    """An index that was rebuilt knows no tombstones; then nothing says that this session was removed."""
    key = scribe.key("a")
    target.commit(key, scribe.create(key))
    assert follow(source, target, key) is Outcome.EXTRA
    assert list(differing(source, target)) == [SessionGap(key, Gap.EXTRA)]
    assert scribe.texts(target, key) == ["first"]


def test_a_session_that_lives_again_at_the_target_outlives_an_older_tombstone(
    source: Any, target: Watched, scribe: Sealer
) -> None:
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    source.commit(key, scribe.remove(key))
    target.commit(key, scribe.create(key, "again"))
    assert follow(source, target, key) is Outcome.AHEAD
    assert list(differing(source, target)) == [SessionGap(key, Gap.AHEAD)]
    assert scribe.texts(target, key) == ["again"]


def test_a_removed_session_that_was_created_again_arrives(source: Any, target: Watched, scribe: Sealer) -> None:
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    source.commit(key, scribe.remove(key))
    follow(source, target, key)
    source.commit(key, scribe.create(key, "again"))
    assert follow(source, target, key) is Outcome.REPLACED
    assert scribe.texts(target, key) == ["again"]


def test_what_the_target_removed_does_not_come_back(source: Any, target: Watched, scribe: Sealer) -> None:
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    target.commit(key, scribe.remove(key))
    assert follow(source, target, key) is Outcome.AHEAD
    assert target.head(key) is None


def test_everything_anew_replaces_what_claims_to_be_level(source: Any, target: Watched, scribe: Sealer) -> None:
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    row = source.head(key)
    target.commit(key, lambda _: Write(row, 0, b"\0" * row.size))
    assert follow(source, target, key) is Outcome.CURRENT
    assert follow(source, target, key, anew=True) is Outcome.REPLACED
    assert bytes_of(target, key) == bytes_of(source, key)


def test_torn_bytes_stay_at_home(target: Watched, scribe: Sealer, tmp_path: Path) -> None:
    source = FilesBackend(str(tmp_path), disk=Disk(), describe=scribe.describe)
    key = scribe.key("a")
    created = source.commit(key, scribe.create(key)).after
    assert isinstance(created, IndexRow)
    with (tmp_path / "sessions" / f"{key}.vss").open("ab") as file:
        file.write(b"half a record")
    assert source.head(key).torn
    assert follow(source, target, key) is Outcome.REPLACED
    row = target.head(key)
    assert row is not None
    assert not row.torn
    assert len(bytes_of(target, key) or b"") == row.size == created.size
    assert list(differing(source, target)) == []
    source.close()


def test_a_torn_target_is_given_the_whole_anew(scribe: Sealer, tmp_path: Path) -> None:
    source = MemoryBackend()
    target = FilesBackend(str(tmp_path), disk=Disk(), describe=scribe.describe)
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    with (tmp_path / "sessions" / f"{key}.vss").open("ab") as file:
        file.write(b"half a record")
    source.commit(key, scribe.append())
    assert follow(source, target, key) is Outcome.REPLACED
    assert scribe.texts(target, key) == ["first", "more"]
    target.close()


def test_a_damaged_source_says_so_and_the_target_keeps_its_copy(
    target: Watched, scribe: Sealer, tmp_path: Path
) -> None:
    source = FilesBackend(str(tmp_path), disk=Disk(), describe=scribe.describe)
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    path = tmp_path / "sessions" / f"{key}.vss"
    path.write_bytes(b"\0" * 300)
    with pytest.raises(Damaged):
        follow(source, target, key)
    assert scribe.texts(target, key) == ["first"]
    source.close()


class Restless(MemoryBackend):
    """A source whose rows lag behind its bytes: each look at the bytes is preceded by a commit of someone else."""

    def __init__(self, meddle: Callable[[Restless], object], times: int) -> None:
        super().__init__()
        self.meddle, self.times = meddle, times

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        if self.times:
            self.times -= 1
            self.meddle(self)
        return super().read(key, start, settled=settled)


@pytest.mark.parametrize("times", [1, 2, 3, 4])  # the fourth is the last look without keeping writers out
def test_row_and_bytes_are_of_one_moment(target: Watched, scribe: Sealer, times: int) -> None:
    """The story: a container was replaced between the look at its row and the reading of its bytes."""
    key = scribe.key("a")
    source = Restless(lambda backend: MemoryBackend.commit(backend, key, scribe.create(key, "replaced")), 0)
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    source.commit(key, scribe.append())
    source.times = times
    try:
        follow(source, target, key)
    except BackendUnavailable:
        pytest.fail("a source that comes to rest is copied")
    row = target.head(key)
    assert row is not None
    texts = scribe.texts(target, key)
    assert texts in (["replaced"], ["first", "more"])
    assert len(bytes_of(target, key) or b"") == row.size


def test_a_source_whose_rows_lie_is_not_copied(target: Watched, scribe: Sealer) -> None:
    key = scribe.key("a")
    source = MemoryBackend()
    source.commit(key, scribe.create(key))
    row = source.head(key)
    assert row is not None
    source.commit(key, lambda _: Write(row._replace(version=b"x" * 16), 0, bytes_of(source, key) or b""))
    with pytest.raises(BackendUnavailable, match="do not belong together"):
        follow(source, target, key)
    assert target.head(key) is None


@pytest.mark.parametrize("size", [-1, 0, 1, 80, 100, 1 << 62])
def test_a_target_that_lies_about_its_size_is_given_the_whole(
    source: Any, target: Watched, scribe: Sealer, size: int
) -> None:
    key = scribe.key("a")
    source.commit(key, scribe.create(key))
    follow(source, target, key)
    source.commit(key, scribe.append())
    row = target.head(key)
    assert row is not None
    target._sessions[key].row = row._replace(size=size)
    assert follow(source, target, key) is Outcome.REPLACED
    assert scribe.texts(target, key) == ["first", "more"]


# -- comparing ---------------------------------------------------------------------------------------------------------


def test_every_difference_is_found(source: Any, target: Watched, scribe: Sealer) -> None:
    keys = {name: scribe.key(name) for name in ("level", "missing", "behind", "older", "removed", "ahead", "extra")}
    for number, name in enumerate(("level", "missing", "behind", "older", "removed", "ahead")):
        source.commit(keys[name], scribe.create(keys[name], updated=number))
        if name != "missing":
            follow(source, target, keys[name])
    source.commit(keys["behind"], scribe.append(updated=100))
    source.commit(keys["older"], scribe.append(updated=3))  # at the same time: the place in the listing stays
    source.commit(keys["removed"], scribe.remove(keys["removed"]))
    target.commit(keys["ahead"], scribe.append(updated=2))
    target.commit(keys["extra"], scribe.create(keys["extra"], updated=50))
    names = {key: name for name, key in keys.items()}
    found = {names[difference.key]: str(difference.gap) for difference in differing(source, target)}
    assert found == {
        "missing": "missing",
        "behind": "behind",
        "older": "behind",
        "removed": "removed",
        "ahead": "ahead",
        "extra": "extra",
    }
    for key in keys.values():
        follow(source, target, key)
    assert {names[key]: str(gap) for key, gap in differing(source, target)} == {"ahead": "ahead", "extra": "extra"}


def test_many_sessions_are_compared_in_the_order_of_their_listing(source: Any, target: Watched, scribe: Sealer) -> None:
    keys = [scribe.key(str(number)) for number in range(300)]
    for number, key in enumerate(keys):
        source.commit(key, scribe.create(key, updated=number // 3))  # several at the same time
        if number % 10:
            follow(source, target, key)
    assert sorted(key for key, _ in differing(source, target)) == sorted(keys[::10])


def test_a_listing_with_names_that_are_no_keys_is_walked_without_them(source: Any, scribe: Sealer) -> None:
    """Keys become paths; an attacker who can write to the other side must not choose them."""
    key = scribe.key("a")

    class Hostile(MemoryBackend):
        def scan(self, query: Query) -> Iterator[IndexRow]:
            row = source.head(key)
            yield row._replace(key="../../../etc/passwd")
            yield row._replace(key="x" * 10_000)

    source.commit(key, scribe.create(key))
    assert list(differing(source, Hostile())) == [SessionGap(key, Gap.MISSING)]


def test_a_tombstone_is_found_where_there_is_no_row(source: Any, scribe: Sealer) -> None:
    key = scribe.key("a")
    assert newest_of(source, key) is None
    source.commit(key, scribe.create(key))
    assert isinstance(newest_of(source, key), IndexRow)
    source.commit(key, scribe.remove(key))
    assert isinstance(newest_of(source, key), Tombstone)
