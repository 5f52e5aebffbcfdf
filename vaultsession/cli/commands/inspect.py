"""``vaultsession inspect``: a container from within, without a key as far as it goes."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import typer
from typer import Argument, Option

from ...admin.doctor import opened_read_only
from ...backends.files import preallocation
from ...backends.files.container import end_of_records
from ...errors import Damaged, InvalidSetting, SessionNotFound, UnknownDictionary
from ...format import ContainerCipher, payload
from ...format.head import Head
from ...format.ids import locator_of
from ...format.record import (
    FORMAT,
    HEADER_SIZE,
    KINDS,
    LARGEST_CONTAINER,
    LARGEST_RECORD,
    PADDED,
    Record,
    parse_header,
    records_from,
)
from ...format.sealed import Container
from ...store.inspection import proved_records
from ...store.session import SessionFacts
from ...util.disk import Disk
from .. import exit_codes, output
from ..output import Column, Form, JsonForm
from ..vault_options import VaultOptions, Where, takes_options
from .ls import spelled

_KEY = re.compile(r"(?:[a-z0-9_-]{1,40}~)?[0-9a-v]{32}")
_SUITES = {1: "AES-256-GCM", 2: "ChaCha20-Poly1305", 3: "AES-256-GCM-SIV"}
_CODECS = {0: "none", 1: "zstd", 2: "dictionary"}
_COLUMNS = (
    Column("seq", right=True),
    Column("offset", right=True),
    Column("type"),
    Column("codec", wide=True),
    Column("body", right=True),
    Column("head", right=True, wide=True),
    Column("tag", style="dim", wide=True),
    Column("authentic", "auth."),
)


@takes_options
def inspect(
    where: Where,
    *,
    file: str = Argument(
        ..., metavar="FILE", help="A container: sessions/….vss of a vault, or a copy; or the id of a session."
    ),
    bodies: bool = Option(False, "--bodies", help="What the records hold, as JSON; needs the key."),
    form: JsonForm,
) -> None:
    """Show what a session file is made of.

    Header and records, where they end, and how much stands behind the last whole one. An id is that of a session in
    the vault, whose key is needed to find its file.

    With --vault or a key each record is authenticated as well, as one of the session that the file is named after.

    Exit code 6 for what is torn or not authentic.
    """
    by_id = not os.path.exists(file) and os.sep not in file and not file.endswith(".vss")
    if by_id:
        file = _file_of(where, file)
    container = _read(file)
    header = parse_header(container.header)
    unlocked = by_id or where.vault is not None or where.names_a_key
    if bodies and not unlocked:
        raise InvalidSetting("bodies are sealed: name the vault with --vault, and its key")
    record: dict[str, Any] = {
        "file": file,
        "size": container.size,
        "format": FORMAT,
        "suite": _SUITES[header.suite],
        "padded": bool(header.flags & PADDED),
        "key_id": header.key_id.hex(),
        "generation": header.generation,
        "salt": header.salt.hex(),
        "commitment": header.commitment.hex(),
    }
    if unlocked:
        records, problem, head = _authenticated(where, file, container, bodies=bodies)
    else:
        records, problem, head = list(map(_claim, records_from(container, HEADER_SIZE))), None, None
    end = records[-1]["offset"] + records[-1]["size"] if records else HEADER_SIZE
    torn = container.size - end
    if problem is None and torn:
        problem = f"{torn} bytes from offset {end} on are no whole record"
    if problem is None and not records:
        problem = "there is no record in it"
    document = {**record, "end": end, "problem": problem, "records": records}
    output.show(
        records,
        (*_COLUMNS, "bodies") if bodies else _COLUMNS,
        form,
        json=document if head is None else {**document, "session": head},
        people=lambda _: _print(record, records, end, head, bodies=bodies),
    )
    if problem is not None:
        output.say(f"vaultsession: {problem}")
        raise typer.Exit(exit_codes.INTEGRITY)
    if not unlocked and form is Form.TABLE:
        output.say("Nothing of this is proved: with --vault, each record is authenticated.", style="dim")


def _file_of(where: VaultOptions, id: str) -> str:
    """The file of a session of the vault, whether it is there or not."""
    directory = where.directory()
    with opened_read_only(directory.path, where.candidates(directory)) as vault:
        file = os.path.join(directory.path, "sessions", f"{vault.reader.key(id)}.vss")
    if not os.path.exists(file):
        raise SessionNotFound(f"there is no session {id!r}, and no file of that name")
    return file


def _read(file: str) -> Container:
    if os.path.isdir(file):
        raise InvalidSetting(f"{file} is a directory: name one of the files in its sessions/")
    with open(file, "rb") as stream:
        end = LARGEST_CONTAINER + 1
        if stream.seekable():
            end = end_of_records(Disk(), stream.fileno(), end) + preallocation.LIMIT + 1
        data = preallocation.without(stream.read(end))
    return Container(data[:HEADER_SIZE], min(len(data), HEADER_SIZE), data[HEADER_SIZE:])


def _claim(record: Record) -> dict[str, Any]:
    """What a record claims of itself."""
    return {
        "seq": record.seq,
        "offset": record.offset,
        "size": record.size,
        "type": KINDS.get(record.kind, str(record.kind)),
        "codec": _CODECS.get(record.codec, str(record.codec)) if record.body else "-",
        "body": len(record.body),
        "head": len(record.head),
        "tag": record.tag.hex(),
        "authentic": None,
    }


def _authenticated(
    where: VaultOptions, file: str, container: Container, *, bodies: bool
) -> tuple[list[dict[str, Any]], str | None, dict[str, Any] | None]:
    """The records up to the first that is not authentic, the problem with that one, and the newest authentic head."""
    named = _KEY.search(os.path.basename(file))
    if named is None:
        raise InvalidSetting(
            f"the name of a container is part of what is authenticated, and {os.path.basename(file)} is none: "
            "give the file the name that it had in sessions/"
        )
    directory = where.directory()
    with opened_read_only(directory.path, where.candidates(directory)) as vault:
        cipher = ContainerCipher.open(container.header, vault.reader.keyring, locator_of(named.group()))
        find = vault.reader.dictionaries.find
    found: list[dict[str, Any]] = []
    head: Head | None = None
    problem: str | None = None
    try:
        for record, head in proved_records(container, cipher):  # noqa: B007 - the newest head is asked for
            text = payload.unpack(record.codec, cipher.open_body(record), limit=LARGEST_RECORD, find=find)
            body = {"bodies": payload.parse(text) if text else None} if bodies else {}
            found.append({**_claim(record), "authentic": True, "raw": len(text), **body})
    except (Damaged, UnknownDictionary) as error:
        problem = str(error)
    facts = None if head is None else {**SessionFacts(head).facts(), "dead": head.dead, "full": head.full}
    return found, problem, facts


_KIND_STYLES = {"FULL": "cyan", "DELTA": "green", "HEAD": "magenta"}


def _draw(size: int, records: list[dict[str, Any]], end: int, full: int | None) -> None:
    """The container as a strip: a record is as wide as its share, at least one column; what is dead is dim.

    Dead is what stands before the newest whole document: of that alone a key can tell which it is.
    """
    console = output.data()
    newest = (
        full if full is not None else max((each["offset"] for each in records if each["type"] == "FULL"), default=0)
    )
    room = max(console.width - len(records) - 2, 1)
    whole = max(size - HEADER_SIZE, 1)
    block = "█" if "utf" in (sys.stdout.encoding or "").lower() else "#"
    strip = [(block, "yellow")]
    for each in records:
        style = _KIND_STYLES.get(each["type"], "red") + (" dim" if each["offset"] < newest else "")
        strip.append((block * (1 + room * each["size"] // whole), style))
    if size > end:
        strip.append(("?" * (1 + room * (size - end) // whole), "red"))
    console.print(output.styled(*strip))
    kinds = [(f"  {name}", style) for name, style in _KIND_STYLES.items()]
    console.print(output.styled(("header", "yellow"), *kinds, ("  dead", "dim"), ("  no whole record", "red")))


def _print(
    record: output.Record, records: list[dict[str, Any]], end: int, head: output.Record | None, *, bodies: bool
) -> None:
    output.facts(record, {"size": f"{record['size']} bytes"})
    output.line("")
    _draw(record["size"], records, end, None if head is None else head["full"])
    output.line("")
    columns = [column for column in _COLUMNS if head is not None or column.name != "authentic"]
    output.table(columns, records)
    if head is not None:
        output.line("")
        output.facts({name: value for name, value in head.items() if value not in (None, {}, False)}, spelled(head))
    for each in records if bodies else ():
        output.line("")
        output.paragraph(f"record {each['seq']}", style="bold")
        output.line(output.to_json(each["bodies"], indent=2))
