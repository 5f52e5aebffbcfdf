"""What is fuzzed: one function of bytes per parser. It returns, or raises a ``VaultError``; anything else is a finding.

The bytes are what a hostile medium may hold. Where a checksum or a seal stands in front of a parser, a second look is
taken behind it, as an attacker who can make it fit would have it: a mutation would otherwise never come further.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vaultsession.admin.doctor import structure_of
from vaultsession.engine.reader import Reader
from vaultsession.errors import VaultError
from vaultsession.format import ContainerCipher, document, ids, payload
from vaultsession.format import record as v1
from vaultsession.format.head import decode
from vaultsession.format.keys import Keyring, MasterKey
from vaultsession.format.sealed import Container, Witness
from vaultsession.vault import keyring_file
from vaultsession.vault.identity import Identity
from vaultsession.vault.secret import RawKey
from vaultsession.vault.tenant_keys import TenantKeys, name_of

CORPUS = Path(__file__).with_name("corpus")

KEY = RawKey(bytes(range(200, 232)))
KEYRING = Keyring(
    vault_id=bytes(range(16)),
    readable_names=True,
    created=1_700_000_000_000_000,
    naming_root=bytes(range(32, 64)),
    masters=(MasterKey(b"fuzz-new", bytes(range(64, 96))), MasterKey(b"fuzz-old", bytes(range(96, 128)), retired=True)),
)
GENERATION = 1_700_000_000_000_000
SESSION = ids.key(KEYRING.naming_key, ids.parse("fuzzed"), readable=True)
LARGEST_BODY = 1 << 20

_MEMORIES = (None, Witness(GENERATION, 1, bytes(16)), Witness(GENERATION + 1, 0, bytes(16)))
_CIPHER = ContainerCipher.create(KEYRING, ids.locator_of(SESSION), generation=GENERATION)


def container(data: bytes) -> None:
    """The bytes of a session's file, to each that reads them; and records of any kind, sealed with the keys."""
    for _ in structure_of("file", data):
        pass
    for witness in _MEMORIES:
        _read(data, witness)
    if len(data) > 2:  # the same as a plain head and a plain body, in a container that authenticates
        cut, kind, codec = data[0] * (len(data) - 2) // 256, data[1] & 3, data[1] >> 2 & 3
        record = _CIPHER.seal(
            kind, 0, v1.HEADER_SIZE, v1.first_link(_CIPHER.header), data[2:][:cut], codec=codec, body=data[2:][cut:]
        )
        _read(_CIPHER.header + record, None)


def _read(data: bytes, witness: Witness | None) -> None:
    def fetch(start: int) -> Container:
        offset = min(len(data), max(v1.HEADER_SIZE, len(data) + start if start < 0 else start))
        return Container(data[: v1.HEADER_SIZE], offset, data[offset:], witness)

    reader = Reader(KEYRING, largest_body=LARGEST_BODY)
    for consume in (
        lambda: reader.describe(SESSION, fetch, thorough=True),
        lambda: document.parse(loaded.bodies) if (loaded := reader.load(SESSION, fetch)) else None,
        lambda: reader.tail(SESSION, fetch, wanted=2),
    ):
        _allowed(consume)


def keyring(data: bytes) -> None:
    """The bytes of a keyring file, and the same with a checksum that fits."""
    for each in (data, data[:-16] + hashlib.sha512(data[:-16]).digest()[:16]):
        _allowed(lambda each=each: keyring_file.parse(each).unlock(KEY))


def tenants(data: bytes) -> None:
    """The bytes of a tenant's key file, and the same as keys that are sealed as the vault seals them."""
    digest = TenantKeys.digest_of(KEYRING, "fuzzed")
    count, first = (len(data) // 49).to_bytes(2, "little"), KEYRING.first
    header = b"VST1\x01\x00" + count + KEYRING.vault_id + digest + first.id + bytes(12)
    key = first.subkey(b"tenants", KEYRING.vault_id)
    for each in (data, header + AESGCM(key).encrypt(bytes(12), data, header)):
        _allowed(lambda each=each: TenantKeys.decode(each, KEYRING, name_of(digest)))


def facts(data: bytes) -> None:
    """The bytes of vault.json."""
    _allowed(lambda: Identity.decode(data))


def body(data: bytes) -> None:
    """A head and a body as they come out of their seals, and a document of several bodies."""
    _allowed(lambda: decode(data))
    for codec in range(3):
        _allowed(lambda codec=codec: payload.unpack(codec, data, limit=LARGEST_BODY))
    bodies = data.split(b"\0")
    for consume in (document.parse, document.state_of, document.elements, document.merged):
        _allowed(lambda consume=consume: consume(bodies))
    _allowed(lambda: document.tail(reversed(bodies), 2))


def _allowed(act: Callable[[], object]) -> None:
    with contextlib.suppress(VaultError):
        act()


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (container, keyring, tenants, facts, body)
}
