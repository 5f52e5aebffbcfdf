"""A second reader of the format: written from FORMAT.md alone, and it imports nothing of the package.

It reads what is there and says what is wrong with it by the names of the text: no witness, no locks, no repair.
Section numbers are those of FORMAT.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import struct
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

SUITES: dict[int, Any] = {1: AESGCM, 2: ChaCha20Poly1305, 3: AESGCMSIV}
FULL, DELTA, HEAD = 1, 2, 3
BOUND = 128 << 20
FIELDS = {
    "user_id": str, "tenant_id": str, "assistant_id": str, "title": str, "labels": dict, "expires": int, "ttl": int,
    "sliding": bool, "max_messages": int, "rewrites": int, "document": str,
}  # fmt: skip


class Refused(Exception):
    """An error of the text, by its name."""


class Keyring(NamedTuple):
    """What opening a keyring file yields: §2."""

    vault_id: bytes
    naming_root: bytes
    masters: dict[bytes, bytes]
    first: bytes = b""
    readable: bool = True
    has_tenants: bool = False


class Record(NamedTuple):
    """One authentic record, its body still sealed."""

    kind: int
    codec: int
    head: list[Any]
    body: bytes | None
    version: bytes
    offset: int
    end: int


def hkdf(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    return HKDF(SHA512(), size, salt, info).derive(secret)


def opened(cipher: Any, nonce: bytes, data: bytes, aad: bytes, error: str = "Damaged") -> bytes:
    try:
        return bytes(cipher.decrypt(nonce, data, aad))
    except (InvalidTag, ValueError):
        raise Refused(error) from None


# -- 2.1 and 2.2: the keyring file -------------------------------------------------------------------------------------


def stretched(slot: bytes, secret: str | bytes) -> bytes:
    kind, one, two, three = slot[8], *struct.unpack_from("<III", slot, 12)
    if isinstance(secret, bytes) or kind == 1:
        return secret if isinstance(secret, bytes) and kind == 1 else b""
    phrase, salt = unicodedata.normalize("NFC", secret).encode(), slot[96:128]
    if kind == 3:
        return hashlib.scrypt(phrase, salt=salt, n=one, r=two, p=three, maxmem=2 << 30, dklen=32)
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415 - not in every OpenSSL

    return Argon2id(salt=salt, length=32, iterations=two, lanes=three, memory_cost=one).derive(phrase)


def unlock(file: bytes, secret: str | bytes) -> Keyring:
    """The keyring that a raw key (bytes) or a passphrase (str) opens."""
    count, vault_id = file[5], file[16:32]
    if file[:5] != b"VSK1\1" or hashlib.sha512(file[:-16]).digest()[:16] != file[-16:]:
        raise Refused("Damaged")
    slots = [file[32 + 364 * number : 32 + 364 * (number + 1)] for number in range(count)]
    at = 32 + 364 * count
    for number, slot in enumerate(slots):
        strong = stretched(slot, secret)
        keys = hkdf(strong, slot[96:128], b"vaultsession/slot/v1\0" + slot[8:9], 64)
        if not strong or keys[32:] != slot[128:160]:
            continue
        pair = opened(AESGCM(keys[:32]), slot[192:204], slot[204:284], slot[:192] + vault_id)
        shared = X25519PrivateKey.from_private_bytes(pair[:32]).exchange(
            X25519PublicKey.from_public_bytes(slot[284:316])
        )
        wrap = hkdf(shared, pair[32:], b"vaultsession/wrap/v1\0" + slot[284:316] + slot[:192] + vault_id, 32)
        vault_key = opened(AESGCM(wrap), bytes(12), slot[316:364], b"")
        sealed = struct.unpack_from("<I", file, at)[0]
        keys = hkdf(vault_key, file[at + 4 : at + 36], b"vaultsession/keyring/v1\0" + file[:32], 64)
        end = at + 48 + sealed
        if hmac.digest(keys[32:], file[: end + 32], "sha512")[:32] != file[end + 32 : end + 64]:
            raise Refused("Damaged")
        plain = opened(AESGCM(keys[:32]), file[at + 36 : at + 48], file[at + 48 : end], file[: at + 48])
        if plain[:16] != vault_id or plain[64 + 32 * number :][:32] != pair[32:]:
            raise Refused("Damaged")
        begin = 64 + 32 * count + 32 * plain[20]
        rows = [plain[begin + 41 * row :][:41] for row in range(struct.unpack_from("<H", plain, 18)[0])]
        masters = {row[:8]: row[8:40] for row in rows}
        return Keyring(vault_id, plain[32:64], masters, rows[0][:8], plain[16] == 1, plain[17] == 1)
    raise Refused("WrongKey")


def master_subkey(keyring: Keyring, key_id: bytes, purpose: bytes) -> bytes:
    if key_id not in keyring.masters:
        raise Refused("UnknownKey")
    return hkdf(keyring.masters[key_id], keyring.vault_id, b"vaultsession/master/v1\0" + purpose, 32)


def with_tenant(keyring: Keyring, file: bytes) -> Keyring:
    """The keyring with the keys of a tenant's file: §2.4. Destroyed ones are left out."""
    plain = opened(AESGCM(master_subkey(keyring, file[40:48], b"tenants")), file[48:60], file[60:], file[:60])
    keys = [plain[at : at + 49] for at in range(0, len(plain), 49)]
    return keyring._replace(masters={**keyring.masters, **{key[:8]: key[8:40] for key in keys if key[48] < 2}})


# -- 3: names ----------------------------------------------------------------------------------------------------------


def root_key(keyring: Keyring, purpose: bytes) -> bytes:
    info = b"vaultsession/root/v1\0" + purpose + b"\0" + keyring.vault_id
    return HKDFExpand(SHA512(), 32, info).derive(keyring.naming_root)


def locator(keyring: Keyring, session: str) -> str:
    number = int.from_bytes(hmac.digest(root_key(keyring, b"name"), session.encode(), "sha512")[:20], "big")
    return "".join("0123456789abcdefghijklmnopqrstuv"[number >> shift & 31] for shift in range(155, -1, -5))


def key(keyring: Keyring, session: str) -> str:
    allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    slug = ""
    for n, character in enumerate(session):
        if character in allowed:
            slug += character
        elif n == 0 or session[n - 1] in allowed:
            slug += "-"
    slug = slug[:40].strip("-").lower() if keyring.readable else ""
    return f"{slug}~{locator(keyring, session)}" if slug else locator(keyring, session)


def tag(keyring: Keyring, kind: str, name: str, value: str) -> bytes:
    named = name.encode()
    text = kind.encode() + b"\0" + struct.pack("<I", len(named)) + named + value.encode()
    return hmac.digest(root_key(keyring, b"tag"), text, "sha512")[:16]


# -- 4: containers -----------------------------------------------------------------------------------------------------


def without_room(file: bytes) -> bytes:
    end = len(file.rstrip(b"\0"))
    return file[:end] if end >= 80 and len(file) - end <= 65536 else file


class Container:
    """A container, walked forwards: its authentic records, as far as bodies from the last FULL on open, too."""

    def __init__(self, data: bytes, keyring: Keyring, place: str, dictionaries: dict[int, bytes] | None = None) -> None:
        if len(data) < 80 or data[:4] != b"VSF1":
            raise Refused("Damaged")
        version, suite, flags, self.generation = data[4], data[5], *struct.unpack_from("<H8xQ", data, 6)
        if version != 1 or suite not in SUITES or flags & ~1:
            raise Refused("UnsupportedFormat")
        if self.generation >> 63:
            raise Refused("Damaged")
        if data[8:16] not in keyring.masters:
            raise Refused("UnknownKey")
        info = b"vaultsession/file/v1\0" + data[:24] + keyring.vault_id + place.encode()
        keys = hkdf(keyring.masters[data[8:16]], data[24:48], info, 96)
        if keys[64:] != data[48:80]:
            raise Refused("Damaged")
        self.head_cipher, self.body_cipher = SUITES[suite](keys[:32]), SUITES[suite](keys[32:64])
        self.padded, self.data, self.dictionaries = bool(flags & 1), data, dictionaries or {}
        self.records: list[Record] = []
        while (record := self._next()) is not None:
            self.records.append(record)
        while self.records and (broken := self._first_broken()) is not None:
            del self.records[broken:]
        if not self.records:
            raise Refused("Damaged")
        self.torn = self.records[-1].end != len(data)

    def _next(self) -> Record | None:
        at, link = (self.records[-1].end, self.records[-1].version) if self.records else (80, self.data[48:64])
        frame = self.data[at : at + 32]
        if len(frame) < 32:
            return None
        h, b, kind, codec, reserved, seq = struct.unpack_from("<IIBBHQ", frame)
        n = 40 + b + h
        whole = 16 <= h <= 16384 and (b == 0 or b >= 16) and n <= BOUND and reserved == 0
        if not whole or self.data[at + n - 8 : at + n] != struct.pack("<II", n, n ^ 0xFFFFFFFF):
            return None
        place = frame[:20] + struct.pack("<Q", at) + link
        body, head = self.data[at + 32 : at + 32 + b], self.data[at + 32 + b : at + 32 + b + h]
        try:
            plain = opened(self.head_cipher, frame[20:], head, b"h" + place + (body[-16:] or bytes(16)))
            text = self._unpadded(opened(self.body_cipher, frame[20:], body, b"b" + place)) if b else None
        except Refused:
            if seq != len(self.records) or "plain" not in locals():
                return None
            text = b"\0broken"  # its head is authentic: it counts until a FULL behind it leaves it dead
        if seq != len(self.records):
            return None
        if kind not in (FULL, DELTA, HEAD):
            raise Refused("UnsupportedFormat")
        return Record(kind, codec, parse_head(plain), text, head[-16:], at, at + n)

    def _unpadded(self, data: bytes) -> bytes:
        if not self.padded:
            return data
        size = struct.unpack_from("<I", data)[0] if len(data) >= 4 else -1
        if size < 0 or len(data) != padme(4 + size):
            raise Refused("Damaged")
        return data[4 : 4 + size]

    def _first_broken(self) -> int | None:
        full = self.records[-1].head[8]
        found = (n for n, each in enumerate(self.records) if each.offset >= full and each.body == b"\0broken")
        return next(found, None)

    def living(self) -> list[Record]:
        """The records from the last FULL on."""
        living = [each for each in self.records if each.offset >= self.records[-1].head[8]]
        if not living or living[0].offset != self.records[-1].head[8]:
            raise Refused("Damaged")
        return living

    def bodies(self) -> list[list[Any]]:
        """The bodies of those, HEADs left out: the state or the operations, and messages."""
        return [self._inflated(each) for each in self.living() if each.kind != HEAD]

    def _inflated(self, record: Record) -> list[Any]:
        found = json_of(inflated(record.codec, record.body or b"", self.dictionaries))
        if not isinstance(found, list) or not found or not isinstance(found[0], dict):
            raise Refused("Damaged")
        return found

    def document(self) -> tuple[dict[str, Any], list[Any]]:
        """The state and the messages: §6."""
        (state, *messages), *changes = self.bodies()
        for operations, *added in changes:
            change = checked_operations(operations)
            del messages[max(0, len(messages) - change["pop"]) :]
            state.update(change["set"])
            for name in change["unset"]:
                state.pop(name, None)
            messages += added
            del messages[: change["trim"]]
        state = {stored_name(name): unboxed(value) for name, value in state.items()}
        return state, [unboxed(message) for message in messages]

    def messages(self) -> list[Any]:
        """The messages alone, for whoever asks for the newest: the state is not looked at."""
        (_, *messages), *changes = self.bodies()
        for operations, *added in changes:
            change = checked_operations(operations)
            del messages[max(0, len(messages) - change["pop"]) :]
            messages += added
            del messages[: change["trim"]]
        return [unboxed(message) for message in messages]


def unboxed(value: Any) -> Any:
    """What a message, or the value of a key of the state, is: §6.1."""
    if not isinstance(value, dict) or "$lossless" not in value:
        return value
    parts = value["$lossless"]
    if len(value) != 1 or not isinstance(parts, list) or not parts:
        raise Refused("Damaged")
    used: list[int] = []
    found = in_box(parts[0], 0, parts, used)
    if len(used) != len(parts) - 1:
        raise Refused("Damaged")
    return found


def in_box(value: Any, number: int, parts: list[Any], used: list[int]) -> Any:
    """What stands in the part of that number; the parts that were referred to are ``used``."""
    if isinstance(value, list):
        return [in_box(each, number, parts, used) for each in value]
    if not isinstance(value, dict):
        return value
    [(name, inner)] = value.items() if len(value) == 1 else [("", None)]
    if name == "$r":
        if type(inner) is not int or not number < inner < len(parts) or inner in used:
            raise Refused("Damaged")
        used.append(inner)
        return in_box(parts[inner], inner, parts, used)
    if name in ("$s", "$b", "$i", "$f"):
        return scalar(name, inner)
    return {key_in_box(name): in_box(each, number, parts, used) for name, each in value.items()}


def scalar(kind: str, text: Any) -> Any:
    if not isinstance(text, str):
        raise Refused("Damaged")
    if kind == "$s":
        return unescaped(text)
    try:
        if kind == "$b":
            return base64.b64decode(text, validate=True)
        if kind == "$i" and not set(text.removeprefix("-")) - set("0123456789abcdef"):
            return int(text, 16)
        if kind == "$f" and len(text) == 16:
            return struct.unpack(">d", bytes.fromhex(text))[0]
    except ValueError:
        pass
    raise Refused("Damaged")


def key_in_box(name: str) -> str:
    if name.startswith("$s:"):
        return unescaped(name[3:])
    if name.startswith("$") and not name.startswith("$$"):
        raise Refused("Damaged")
    return name.removeprefix("$")


def stored_name(name: str) -> str:
    if not name.startswith("$lossless"):
        return name
    if not name.startswith("$lossless:"):
        raise Refused("Damaged")
    return unescaped(name.removeprefix("$lossless:"))


def unescaped(text: str) -> str:
    if not re.fullmatch(r"([^\\]|\\\\|\\ud[89a-f][0-9a-f]{2})*", text, re.DOTALL):
        raise Refused("Damaged")
    return re.sub(r"\\(u....|.)", lambda found: chr(int(found[1][1:], 16)) if found[1][1:] else "\\", text)


def padme(size: int) -> int:
    exponent = size.bit_length() - 1
    step = 1 << max(0, exponent - exponent.bit_length()) if size >= 2 else 1
    return -(-size // step) * step


def json_of(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Refused("Damaged") from None


def inflated(codec: int, data: bytes, dictionaries: dict[int, bytes]) -> bytes:
    if codec == 0:
        return data
    if codec not in (1, 2):
        raise Refused("UnsupportedFormat")
    try:
        frame = zstandard.get_frame_parameters(data)
    except zstandard.ZstdError:
        raise Refused("Damaged" if codec == 1 else "UnsupportedFormat") from None
    if codec == 2 and not frame.dict_id:
        raise Refused("UnsupportedFormat")
    if codec == 2 and frame.dict_id not in dictionaries:
        raise Refused("UnknownDictionary")
    if frame.content_size > BOUND:
        raise Refused("TooLarge")
    known = zstandard.ZstdCompressionDict(dictionaries[frame.dict_id]) if codec == 2 else None
    try:
        return zstandard.ZstdDecompressor(dict_data=known).decompress(data, allow_extra_data=False)
    except zstandard.ZstdError:
        raise Refused("Damaged") from None


def checked_operations(operations: Any) -> dict[str, Any]:
    change = {"pop": 0, "set": {}, "unset": [], "trim": 0} | operations
    if len(change) > 4:
        raise Refused("UnsupportedFormat")
    counts = all(type(change[name]) is int and change[name] >= 0 for name in ("pop", "trim"))
    names = isinstance(change["unset"], list) and all(isinstance(name, str) for name in change["unset"])
    if not counts or not names or not isinstance(change["set"], dict):
        raise Refused("Damaged")
    return change


def parse_head(plain: bytes) -> list[Any]:
    """§5: nine elements, and an object where a field is not at its default."""
    head = json_of(plain)
    if not isinstance(head, list) or len(head) < 9 or (len(head) == 10 and not isinstance(head[9], dict)):
        raise Refused("Damaged")
    others = head[9] if len(head) > 9 else {}
    if len(head) > 10 or not others.keys() <= FIELDS.keys():
        raise Refused("UnsupportedFormat")
    limit = 1 << 63
    typed = type(head[0]) is str and head[0] and all(type(each) is int and each < limit for each in head[1:9])
    if not typed or min(head[3:9]) < 0 or min(head[1:3]) < -limit:
        raise Refused("Damaged")
    for name, value in others.items():
        wrong = type(value) is not FIELDS[name] or (FIELDS[name] is int and not 0 <= value < limit)
        if name == "rewrites" and value == 0:
            raise Refused("Damaged")
        if wrong or value is False or value == {} or (name == "document" and not is_hex(value)):
            raise Refused("Damaged")
        if name == "labels" and not all(type(each) is str for each in value.values()):
            raise Refused("Damaged")
    return head


def is_hex(text: str) -> bool:
    return len(text) == 32 and set(text) <= set("0123456789abcdef")


def dictionary(keyring: Keyring, number: int, file: bytes) -> bytes:
    """§4.5."""
    if file[:4] != b"VSD1" or struct.unpack_from("<I", file, 4)[0] & 0x7FFFFFFF != number:
        raise Refused("UnknownDictionary")
    secret = master_subkey(keyring, file[8:16], b"dictionary")
    plain = opened(AESGCM(secret), file[16:28], file[28:], file[:16] + keyring.vault_id, "UnknownDictionary")
    if zstandard.ZstdCompressionDict(plain).dict_id() != number:
        raise Refused("UnknownDictionary")
    return plain


# -- 10: rows and tombstones -------------------------------------------------------------------------------------------


def row(keyring: Keyring, columns: bytes, blob: bytes) -> tuple[bytes, list[Any]]:
    """The header and the head that a row holds."""
    key_id, header, nonce, sealed = blob[:8], blob[8:88], blob[88:100], blob[100:]
    if key_id not in keyring.masters or len(header) < 80 or header[5] not in SUITES:
        raise Refused("Damaged")
    index = master_subkey(keyring, key_id, b"index")
    secret = hashlib.sha512(b"\0\0\0\1" + index + header + columns[-32:]).digest()[:32]
    return header, parse_head(opened(SUITES[header[5]](secret), nonce, sealed, b"row" + columns))


def is_genuine(keyring: Keyring, place: str, generation: int, mac: bytes) -> bool:
    text = b"tombstone" + struct.pack("<Q", generation) + place.encode()
    keys = [master_subkey(keyring, key_id, b"tombstone") for key_id in keyring.masters]
    return generation < 1 << 63 and mac in [hmac.digest(each, text, "sha512")[:16] for each in keys]


# -- 2: a vault on disk ------------------------------------------------------------------------------------------------


class Vault:
    """Every session of a vault on disk, by its id."""

    def __init__(self, path: Path, secret: str | bytes, shipped: bytes = b"") -> None:
        facts = json.loads((path / "vault.json").read_bytes())
        self.keyring = unlock((path / "keyring").read_bytes(), secret)
        if self.keyring.vault_id.hex() != facts["vault_id"]:
            raise Refused("Damaged")
        for file in sorted((path / "tenants").glob("*")):
            self.keyring = with_tenant(self.keyring, file.read_bytes())
        self.dictionaries = {32768: shipped} if shipped else {}
        for file in (path / "dictionaries").glob("*.vsd"):
            self.dictionaries[int(file.stem)] = dictionary(self.keyring, int(file.stem), file.read_bytes())
        self.sessions: dict[str, Container] = {}
        for file in (path / "sessions").glob("*.vss"):
            data = without_room(file.read_bytes())
            found = Container(data, self.keyring, file.stem[-32:], self.dictionaries)
            session = found.records[-1].head[0]
            if file.stem != key(self.keyring, session):
                raise Refused("Damaged")
            self.sessions[session] = found
