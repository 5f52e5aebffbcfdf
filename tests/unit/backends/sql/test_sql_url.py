"""What a URL of a database says, and what is refused without its password."""

from __future__ import annotations

import pytest

from vaultsession.backends.sql.url import parse
from vaultsession.errors import InvalidSetting


def test_our_own_options_are_taken_out_and_the_drivers_stay() -> None:
    place = parse("mysql://me:secret@db:3307/app?prefix=chat&pool_size=3&timeout=1.5&ssl_ca=/ca.pem")
    assert (place.prefix, place.pool_size, place.timeout) == ("chat", 3, 1.5)
    assert dict(place.url.query) == {"ssl_ca": "/ca.pem"}
    assert place.url.drivername == "mysql+pymysql"
    assert place.arguments["read_timeout"] == 1.5


def test_the_name_that_is_shown_has_no_password_and_no_options() -> None:
    place = parse("postgresql+psycopg://me:secret@[::1]:5433/app?prefix=chat&sslpassword=secret")
    assert place.where == "postgresql://[::1]:5433/app (tables chat_*)"
    assert parse("mariadb://me:secret@db/app").where == "mysql://db/app"
    assert parse("sqlite:////var/lib/app.db").where == "sqlite:////var/lib/app.db"


def test_what_the_url_tells_the_driver_is_not_told_otherwise() -> None:
    assert "connect_timeout" not in parse("postgresql://h/d?connect_timeout=3").arguments


@pytest.mark.parametrize(
    "url",
    [
        "mysql+pymysql://me:secret@db/app?pool_size=0",
        "mysql+pymysql://me:secret@db/app?pool_size=many",
        "mysql+pymysql://me:secret@db/app?pool_size=1.5",
        "mysql+pymysql://me:secret@db/app?timeout=0",
        "mysql+pymysql://me:secret@db/app?timeout=nan",
        "mysql+pymysql://me:secret@db/app?timeout=-1",
        "mysql+pymysql://me:secret@db/app?prefix=a&prefix=b",
        "mysql+pymysql://me:secret@db/app?prefix=Robert'); DROP TABLE x;--",
        "mysql+pymysql://me:secret@db/",
        "mysql+pymysql://me:secret@db",
        "mysql+pymysql://me:secret@db:port/app",
        "mysql+aiomysql://me:secret@db/app",
        "oracle://me:secret@db/app",
        "postgresql+psycopg2://me:secret@db/app",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "secret",
    ],
)
def test_a_url_without_sense_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        parse(url)
    assert "secret" not in str(refused.value)
