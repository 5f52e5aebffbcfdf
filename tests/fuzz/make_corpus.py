"""Adds the seeds of the corpus: ``python tests/fuzz/make_corpus.py``. Files that are there are left alone."""

# ruff: noqa: E402 - run as a script, it makes the package and the targets importable first

from __future__ import annotations

import sys
from pathlib import Path

import zstandard

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from fuzz_targets import CORPUS, GENERATION, KEY, KEYRING, SESSION

from vaultsession.format import ContainerCipher, document, ids, payload
from vaultsession.format import record as v1
from vaultsession.format.head import Head, encode
from vaultsession.format.keys import MasterKey
from vaultsession.vault import keyring_file
from vaultsession.vault.identity import Identity
from vaultsession.vault.secret import Passphrase, RawKey
from vaultsession.vault.tenant_keys import TenantKeys

HEAD = Head(id="fuzzed", created=GENERATION, updated=GENERATION, full=v1.HEADER_SIZE, user_id="u", labels={"a": "b"})
BODIES = [
    payload.body({"a": 1, "deep": {"er": [None, True, 1.5]}}, [{"role": "user", "content": "first"}]),
    b'[{"set":{"a":2},"unset":["deep"],"pop":1},\n{"role":"assistant","content":"second"}]',
    b'[{"trim":1}]',
    payload.body({}, [{"content": "text " * 40}]),
]


def whole(kinds: list[int], **how: object) -> bytes:
    """A container of one record per kind."""
    cipher = ContainerCipher.create(KEYRING, ids.locator_of(SESSION), generation=GENERATION, **how)
    data, link = cipher.header, v1.first_link(cipher.header)
    for seq, kind in enumerate(kinds):
        text = BODIES[seq % len(BODIES)]
        codec, packed = payload.pack(text, level=3, limit=1 << 20)
        head = HEAD._replace(messages=seq + 1, raw=len(text), records=seq + 1)
        sealed = {} if kind == v1.HEAD else {"codec": codec, "body": packed}
        record = cipher.seal(kind, seq, len(data), link, encode(head), **sealed)
        link, data = record[-24:-8], data + record
    return data


def seeds() -> dict[str, dict[str, bytes]]:
    """Target to name to bytes."""
    one, many = whole([v1.FULL]), whole([v1.FULL, v1.DELTA, v1.DELTA, v1.HEAD, v1.FULL, v1.DELTA])
    first = keyring_file.create(KEYRING, KEY, label="first", now=GENERATION).data
    unlocked = keyring_file.parse(first).unlock(KEY)
    second = unlocked.add_slot(RawKey(bytes(range(150, 182))), label="second")
    with_words = unlocked.add_slot(Passphrase("words"), label="words")
    tenant = TenantKeys(TenantKeys.digest_of(KEYRING, "fuzzed")).grown(KEYRING.first.id)
    facts = Identity.of(KEYRING).encode()
    frame = zstandard.ZstdCompressor(level=3).compress(BODIES[0] * 3)
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(1 << 22))
    return {
        "container": {
            "one-record": one,
            "many-records": many,
            "padded": whole([v1.FULL, v1.DELTA], padded=True),
            "chacha": whole([v1.FULL, v1.DELTA], suite=v1.SUITE_CHACHA),
            "torn": many[:-30],
            "header": one[: v1.HEADER_SIZE],
            "doubled": many + many[v1.HEADER_SIZE :],
            "sealed-parts": b"\x80\x04" + encode(HEAD) + frame,
            "empty": b"",
        },
        "keyring": {
            "one-slot": first,
            "two-slots": second,
            "passphrase": with_words,
            "tenants-have-keys": keyring_file.create(KEYRING._replace(tenant_keys=True), KEY).data,
            "two-masters": unlocked.replace_masters((MasterKey.generate(), *KEYRING.masters)),
            "torn": first[:-40],
            "empty": b"",
        },
        "tenants": {
            "one-key": tenant.encode(KEYRING),
            "two-keys": tenant.grown(b"fuzz-old").encode(KEYRING),
            "destroyed": tenant.destroyed().encode(KEYRING),
            "a-key": tenant.keys[0].master.id + bytes(range(32)) + b"fuzz-new\0",
            "empty": b"",
        },
        "facts": {
            "readable": facts,
            "private": facts.replace(b"readable", b"private"),
            "newer": facts.replace(b'"version":1', b'"version":2'),
            "nested": b'{"version":' + b"[" * 300,
            "empty": b"",
        },
        "body": {
            "head": encode(HEAD),
            "frame": frame,
            "bomb": bomb,
            "document": b"\0".join(BODIES),
            "merged": b"\0".join(document.merged(BODIES)),
            "nested": b"[" * 300,
            "operations": b'[{}]\0[{"pop":9}]\0[{"trim":9,"set":{"x":{}}}]',
        },
    }


if __name__ == "__main__":
    for target, files in seeds().items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            path = CORPUS / target / name
            if not path.exists() and len(data) < 4096:
                path.write_bytes(data)
                sys.stdout.write(f"{path}: {len(data)} bytes\n")
