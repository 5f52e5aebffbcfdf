"""The files that can be archived: those of every agent, where it keeps them, and those below a path that is named.

Links and what is no regular file are reported and never read. Vaults are passed over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from ...errors import InvalidSetting
from ...vault.identity import FACTS
from ..importers.agents import AGENTS
from ..importers.sources import File, Skipped
from ..importers.transcripts import Agent
from .original import is_below

LEFTOVER = ".vaultsession-removing"
SHREDDED = ".vaultsession-shredding"
"""The endings of a file that is about to be removed, and of one that is being shredded: see ``removal``."""

SUFFIXES = (".jsonl", ".ndjson", ".json")
"""Of the files below a path that is named."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file below the home of an agent, or below a path that was named. ``name`` with ``/`` between its parts."""

    root: str
    name: str
    agent: Agent | None
    status: os.stat_result

    @property
    def path(self) -> str:
        """Where it is."""
        return os.path.join(self.root, *self.name.split("/"))

    @property
    def file(self) -> File:
        """For readers of importers."""
        return File(self.path, self.name)


def agent_homes(environ: Mapping[str, str]) -> dict[str, str]:
    """The directory of each agent that has one here, by its name."""
    homes = {name: os.path.realpath(agent.home(environ)) for name, agent in AGENTS.items()}
    return {name: home for name, home in homes.items() if os.path.isdir(home)}


def discover(sources: tuple[str, ...], environ: Mapping[str, str]) -> Iterator[SourceFile | Skipped]:
    """Every file of the sources: names of agents, or paths; without any, of all agents that are here.

    ``InvalidSetting`` for a source that is neither, or is a vault.
    """
    homes = agent_homes(environ)
    for source in sources or tuple(homes):
        if source in AGENTS:
            agent = AGENTS[source]
            for folder in agent.folders if source in homes else ():
                yield from _below(homes[source], folder, agent)
        else:
            yield from _named(source)


def changed_files(path: str, places: Mapping[str, Agent | None]) -> Iterator[SourceFile]:
    """The file of a path below one of the places, if it is one that is archived; of a directory those in it.

    What was written into a directory before anybody watched it is told as the new directory alone.
    """
    for root, agent in places.items():
        if path.startswith(root + os.sep):
            name = os.path.relpath(path, root).replace(os.sep, "/")
            hidden = any(part.startswith(".") for part in name.split("/"))
            try:
                status = os.lstat(path)
            except OSError:
                return
            if hidden or name.endswith((LEFTOVER, SHREDDED)):
                return
            if stat.S_ISREG(status.st_mode) and is_wanted(name, agent):
                yield SourceFile(root, name, agent, status)
            elif stat.S_ISDIR(status.st_mode):
                for found in _below(root, name, agent):
                    if isinstance(found, SourceFile) and not found.name.endswith((LEFTOVER, SHREDDED)):
                        yield found
            return


def places_of(sources: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, Agent | None]:
    """The directory of each source, and whose it is. ``InvalidSetting`` for a file, and for what is not there."""
    homes = agent_homes(environ)
    found: dict[str, Agent | None] = {}
    for source in sources or tuple(homes):
        if source in AGENTS:
            if source in homes:
                found[homes[source]] = AGENTS[source]
        else:
            path = real_path(source)
            if not os.path.isdir(path):
                raise InvalidSetting(f"{source} is no directory: what is followed is an agent or a directory")
            found[path] = None
    return found


def real_path(source: str) -> str:
    """The path of a source that is named as people write it, behind every link."""
    return os.path.realpath(os.path.expanduser(source))


def _named(source: str) -> Iterator[SourceFile | Skipped]:
    path = real_path(source)
    try:
        status = os.stat(path)
    except OSError as error:
        names = ", ".join(AGENTS)
        reason = error.strerror or error
        raise InvalidSetting(f"{source}: {reason}: name a file, a directory, or an agent ({names})") from None
    if any(os.path.exists(os.path.join(above, FACTS)) for above in (path, *map(str, PurePath(path).parents))):
        raise InvalidSetting(f"{source} is a vault, or lies in one: what lies there is sealed already")
    if stat.S_ISREG(status.st_mode):
        yield SourceFile(os.path.dirname(path), os.path.basename(path), None, status)
    elif not stat.S_ISDIR(status.st_mode):
        raise InvalidSetting(f"{source} is neither a file nor a directory")
    else:
        yield from _below(path, "", None)


def _below(root: str, below: str, agent: Agent | None) -> Iterator[SourceFile | Skipped]:
    try:
        with os.scandir(os.path.join(root, below)) as found:
            entries = sorted(found, key=lambda entry: (not entry.name.endswith((LEFTOVER, SHREDDED)), entry.name))
    except FileNotFoundError:
        return
    except OSError as error:
        yield Skipped(os.path.join(root, below), f"{error.strerror or error}: look at the permissions")
        return
    if any(entry.name == FACTS for entry in entries):
        return
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if entry.name.startswith("."):
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            yield Skipped(entry.path, str(error.strerror or error))
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _below(root, name, agent)
        elif is_wanted(name.removesuffix(LEFTOVER).removesuffix(SHREDDED), agent):
            if stat.S_ISREG(status.st_mode):
                yield SourceFile(root, name, agent, status)
            else:
                kind = "a link, and links are not followed" if stat.S_ISLNK(status.st_mode) else "no regular file"
                yield Skipped(entry.path, kind)


def is_source(root: str, name: str, environ: Mapping[str, str], places: Iterable[str] = ()) -> bool:
    """Whether a file of that name below the root would be found again: one of an agent, or below the ``places``.

    In the home of an agent that is what belongs to a session of it, and nothing that steers the agent. Elsewhere it is
    what lies below a real path that was named to be archived.
    """
    path = os.path.join(root, *name.split("/"))
    if "\0" in root or not os.path.isabs(root) or os.path.normpath(root) != root or not is_below(name):
        return False
    if any(part.startswith(".") for part in name.split("/")):
        return False
    for agent in AGENTS.values():
        home = os.path.realpath(agent.home(environ))
        if path.startswith(home + os.sep):
            return _is_of(agent, os.path.relpath(path, home).replace(os.sep, "/"))
    if not any(path == place or path.startswith(os.path.join(place, "")) for place in places):
        return False
    return is_wanted(name, None) or any(_is_of(agent, name) for agent in AGENTS.values())


def _is_of(agent: Agent, name: str) -> bool:
    return name.partition("/")[0] in agent.folders and agent.is_ours(name)


def is_wanted(name: str, agent: Agent | None) -> bool:
    """Whether a file of that name below its root is one that is archived."""
    return agent.is_ours(name) if agent else name.lower().endswith(SUFFIXES)
