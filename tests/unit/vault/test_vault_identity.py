"""vault.json: one spelling, and an error for every other."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaults import unlock

from vaultsession.errors import Damaged, UnsupportedFormat
from vaultsession.vault.identity import Identity


@given(st.binary(min_size=16, max_size=16), st.booleans(), st.integers(0, 253_402_300_799_999_999))
def test_an_identity_comes_back(vault_id, readable, created):
    identity = Identity(vault_id, readable, created)
    assert Identity.decode(identity.encode()) == identity


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_no_identity(data):
    with pytest.raises(Damaged):
        Identity.decode(data)


def test_vault_json_that_disagrees_with_its_sealed_copy_is_damaged(directory, made, path):
    text = (path / "vault.json").read_bytes()
    for old, new in ((b'"readable"', b'"private"'), (b"1970", b"1971"), (b"000005", b"000006")):
        (path / "vault.json").write_bytes(text.replace(old, new))
        with pytest.raises(Damaged, match="sealed copy"):
            unlock(directory)
    (path / "vault.json").write_bytes(text.replace(made.keyring.vault_id.hex().encode(), b"00" * 16))
    with pytest.raises(Damaged, match="another vault"):
        unlock(directory)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b"\xff\xfe",
        b"[" * 4000,
        b" " * 5000,
        b'{"format":"vaultsession","version":true}',
        b'{"format":"vaultsession","version":0}',
        b'{"format":"vaultsession","version":1}',
        b'{"format":"another","version":2}',
        b'{"format":"vaultsession","version":2,"version":1}',
    ],
)
def test_a_vault_json_that_is_not_ours_is_damaged(directory, made, path, text):
    (path / "vault.json").write_bytes(text)
    with pytest.raises(Damaged):
        unlock(directory)


def test_a_vault_json_in_another_spelling_is_damaged(directory, made, path):
    fields = orjson.loads((path / "vault.json").read_bytes())
    spellings = [
        orjson.dumps(fields),
        orjson.dumps(fields, option=orjson.OPT_INDENT_2),
        orjson.dumps(fields | {"more": 1}, option=orjson.OPT_APPEND_NEWLINE),
        orjson.dumps(fields | {"vault_id": fields["vault_id"].upper() + " "}, option=orjson.OPT_APPEND_NEWLINE),
        orjson.dumps(fields | {"vault_id": fields["vault_id"][2:]}, option=orjson.OPT_APPEND_NEWLINE),
        orjson.dumps(fields | {"created": "1970-01-01T00:00:00.000005"}, option=orjson.OPT_APPEND_NEWLINE),
        orjson.dumps(fields | {"created": 5}, option=orjson.OPT_APPEND_NEWLINE),
        orjson.dumps(fields | {"names": []}, option=orjson.OPT_APPEND_NEWLINE),
    ]
    for spelling in spellings:
        (path / "vault.json").write_bytes(spelling)
        with pytest.raises(Damaged):
            unlock(directory)


def test_a_vault_of_a_later_format_says_which(directory, made, path):
    (path / "vault.json").write_bytes(b'{"format": "vaultsession", "version": 3, "anything": ["else"]}')
    with pytest.raises(UnsupportedFormat, match="upgrade") as raised:
        unlock(directory)
    assert (raised.value.found, raised.value.supported) == (3, 1)
