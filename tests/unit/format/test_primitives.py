"""Where the compiled part of cryptography is another one, its public modules do the same."""

import hashlib
import hmac
import importlib.util
import types
from typing import Any

import pytest
from cryptography.hazmat import bindings
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import aead

from vaultsession.format import primitives


def loaded_without_the_compiled_part(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(bindings, "_rust", types.ModuleType("_rust"))
    spec = importlib.util.spec_from_file_location("vaultsession.format.other_primitives", primitives.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_another_compiled_part_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    other = loaded_without_the_compiled_part(monkeypatch)
    assert other.AESGCM is aead.AESGCM
    assert other.ChaCha20Poly1305 is aead.ChaCha20Poly1305
    assert other.generate_private == X25519PrivateKey.generate


@pytest.mark.parametrize("compiled", [True, False])
def test_digests_and_keys_are_those_of_the_standard_library(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    module = primitives if compiled else loaded_without_the_compiled_part(monkeypatch)
    for key, data in ((b"k", b""), (bytes(32), b"text"), (bytes(range(256)), bytes(1000))):
        assert module.hmac_sha512(key, data) == hmac.digest(key, data, "sha512")
        begun = module.sha512(key)
        begun.update(data)
        assert begun.finalize() == hashlib.sha512(key + data).digest()
    assert module.blake2b(b"text", digest_size=16).digest() == hashlib.blake2b(b"text", digest_size=16).digest()
    assert module.compare_digest(b"a", b"a")
    assert not module.compare_digest(b"a", b"b")
    ours, theirs = module.generate_private(), X25519PrivateKey.generate()
    shared = ours.exchange(module.public_key(theirs.public_key().public_bytes_raw()))
    assert shared == theirs.exchange(X25519PrivateKey.from_private_bytes(ours.private_bytes_raw()).public_key())
    assert module.private_key(ours.private_bytes_raw()).private_bytes_raw() == ours.private_bytes_raw()
    sealed = module.AESGCM(bytes(32)).encrypt(bytes(12), b"text", b"bound")
    assert aead.AESGCM(bytes(32)).decrypt(bytes(12), sealed, b"bound") == b"text"
    with pytest.raises(module.InvalidTag):
        module.AESGCM(bytes(32)).decrypt(bytes(12), sealed, b"other")
