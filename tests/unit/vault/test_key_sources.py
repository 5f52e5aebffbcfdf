"""A key that is handed over, as a source. The order of all sources is in ``test_key_order``."""

from __future__ import annotations

import hashlib

import pytest

from vaultsession.errors import InvalidSetting
from vaultsession.vault.key_sources import Given, source_of
from vaultsession.vault.secret import Passphrase, RawKey

KEY = RawKey(hashlib.sha512(b"the same in every process, since it names tests").digest()[:32])


@pytest.mark.parametrize("given", [KEY.secret, KEY.text(), KEY, Given(KEY)])
def test_every_form_of_the_argument(given):
    assert source_of(given).secret() == KEY


def test_a_passphrase_as_the_argument():
    assert source_of(Passphrase("words")).secret() == Passphrase("words")


@pytest.mark.parametrize("given", ["a password", b"a password", 7, bytearray(32), ["x"]])
def test_what_is_no_key_is_refused_as_the_argument(given):
    with pytest.raises(InvalidSetting):
        source_of(given)
