"""Which server, from a URL: everything is checked here, and an option that is not known is refused.

::

    redis[s]://[user[:password]@]host[:port][/db][?option=value&…]

    prefix=NAME      what the keys of this vault begin with ("vaultsession"); another for each application
    pool_size=N      connections at most (50); a caller that needs one more waits for it
    timeout=SECONDS  for connecting, and for each answer (5)
    cluster=true     a Redis Cluster, of which host is one node
    wait=N           a commit waits until so many replicas have it (0); not in a cluster
    ssl_ca_certs=FILE  ssl_certfile=FILE  ssl_keyfile=FILE  ssl_cert_reqs=required|none  ssl_check_hostname=true|false
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote

from ...errors import InvalidSetting
from ...util.place import parts_of

_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_OPTIONS = ("prefix", "pool_size", "timeout", "cluster", "wait", *_TLS)
_LONGEST_TIMEOUT = 3600.0
_LONGEST_DB = 5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A server, and how to speak with it. The password is in no text about it."""

    scheme: str
    host: str
    port: int
    db: int
    username: str | None
    password: str | None = field(repr=False)
    prefix: str
    pool_size: int
    timeout: float
    cluster: bool
    wait: int
    tls: dict[str, Any]

    @property
    def where(self) -> str:
        """The address in words that may be shown."""
        user = f"{self.username}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{user}{host}:{self.port}/{self.db}?prefix={self.prefix}"

    @classmethod
    def parse(cls, url: str) -> RedisUrl:
        """The address of a URL. ``InvalidSetting`` names what it has to say otherwise, and never the password."""
        parts = parts_of(url)
        if "@" in parts.path + parts.query + parts.fragment:  # what follows would quote a part of the password
            raise InvalidSetting(
                "a password in a Redis URL holds no / ? # or @ as it is: write %2F, %3F, %23 and %40 for them"
            )
        options = _options(parts)
        cluster = _option(options, "cluster", _flag, "true or false", default=False)
        pool_size = _option(options, "pool_size", _at_least(1), "a whole number from 1 up", default=50)
        wait = _option(options, "wait", _at_least(0), "a whole number from 0 up", default=0)
        db = _db(parts.path)
        if cluster and (db or wait or "pool_size" in options):
            raise InvalidSetting("a Redis Cluster has one database, and neither wait nor pool_size: leave them out")
        return cls(
            scheme=parts.scheme,
            host=parts.hostname or "localhost",
            port=parts.port or 6379,
            db=db,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            prefix=_option(options, "prefix", _prefix, "1 to 64 of A-Z a-z 0-9 . _ : -", default="vaultsession"),
            pool_size=pool_size,
            timeout=_option(options, "timeout", _seconds, "seconds, above 0 and up to 3600", default=5.0),
            cluster=cluster,
            wait=wait,
            tls=_tls(parts.scheme, options),
        )


def _options(parts: SplitResult) -> dict[str, str]:
    if parts.fragment:
        raise InvalidSetting("a Redis URL has no part behind a #: write %23 where a password holds one")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs):
        raise InvalidSetting("a Redis URL gives each option once")
    unknown = sorted(options.keys() - set(_OPTIONS))
    if unknown:
        raise InvalidSetting(f"a Redis URL has no option {', '.join(unknown)}: it has {', '.join(_OPTIONS)}")
    return options


def _option(options: dict[str, str], name: str, parse: Callable[[str], T], allowed: str, *, default: T) -> T:
    if name not in options:
        return default
    try:
        return parse(options[name])
    except (ValueError, KeyError):
        raise InvalidSetting(f"{name} of a Redis URL is {allowed}, not {options[name]!r:.80}") from None


def _tls(scheme: str, options: dict[str, str]) -> dict[str, Any]:
    chosen = {name: options[name] for name in _TLS if name in options}
    if scheme != "rediss":
        if chosen:
            raise InvalidSetting(f"{', '.join(chosen)} are for rediss://, the scheme of TLS")
        return {}
    requires = _option(options, "ssl_cert_reqs", _requirement, "required or none", default="required")
    checks = _option(options, "ssl_check_hostname", _flag, "true or false", default=requires == "required")
    files = {name: chosen[name] for name in _TLS[:3] if name in chosen}
    return {**files, "ssl_cert_reqs": requires, "ssl_check_hostname": checks}


def _db(path: str) -> int:
    text = path.strip("/")
    if not (text == "" or (text.isascii() and text.isdigit() and len(text) <= _LONGEST_DB)):
        raise InvalidSetting(f"the path of a Redis URL is the number of a database, not {text!r:.80}")
    return int(text or 0)


def _flag(text: str) -> bool:
    return _FLAGS[text.lower()]


def _requirement(text: str) -> str:
    return {"required": "required", "none": "none"}[text]


def _prefix(text: str) -> str:
    if _PREFIX.fullmatch(text) is None:
        raise ValueError(text)
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0 < value <= _LONGEST_TIMEOUT):
        raise ValueError(text)
    return value


def _at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise ValueError(text)
        return value

    return parse
