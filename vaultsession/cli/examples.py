"""Examples: what people type, for the end of each command's help. Every one is parsed by its command in a test."""

from __future__ import annotations

import re
import shutil
import textwrap

from ..util.named_tuple import NamedTuple
from .output import HELP_STYLE, NARROWEST

WIDTH = min(max(shutil.get_terminal_size().columns, NARROWEST), 100) - 4
"""Columns for an example; the help is set in by up to two, on both sides."""

_WORD = re.compile(r"""(?:(?:^|(?<=\s))-\S+\s+(?=[^-\s|<>]))?(?:[^\s'"]|'[^']*'|"[^"]*")+""")
"""A word, as a shell reads it; an option and its value are one."""


class Example(NamedTuple):
    """A sentence, and the line that does it."""

    says: str
    line: str


EXAMPLES: dict[str, tuple[Example, ...]] = {
    "demo": (Example("Look, and keep what was made", "vaultsession demo --keep"),),
    "init": (
        Example("In your data directory, with a key of its own", "vaultsession init"),
        Example("Elsewhere, opened by words that you type", "vaultsession init ~/notes --passphrase"),
        Example("With a key in a file, made where it is missing", "vaultsession init ~/notes --key-file ~/.notes.key"),
    ),
    "ls": (
        Example("Of one user, changed in the last two days", "vaultsession ls --user alice --since 2d"),
        Example("The longest conversations", "vaultsession ls --sort messages --limit 10"),
        Example("How many there are with a label", "vaultsession ls --label client=web --count"),
        Example("The ids, for a script", "vaultsession ls --jsonl | jq -r .id"),
    ),
    "show": (
        Example("The end of a conversation", "vaultsession show alice/trip --last 20"),
        Example("Everything, for a program", "vaultsession show alice/trip --state --json"),
        Example("A page to read or to pass on", "vaultsession show alice/trip --html trip.html"),
    ),
    "web": (
        Example("In the browser, until Ctrl-C", "vaultsession web"),
        Example("With what changes sessions, on a port of your choice", "vaultsession web --write --port 8421"),
        Example("For a browser that is opened by hand", "vaultsession web --no-browser"),
    ),
    "grep": (
        Example("A word, whatever its case", "vaultsession grep -i marrakesh"),
        Example("With the messages before and behind it", "vaultsession grep -C 2 'train|plane' --user alice"),
        Example("Only the ids, to export them", "vaultsession grep -l marrakesh | xargs vaultsession export"),
    ),
    "tail": (
        Example("Watch a conversation", "vaultsession tail alice/trip -f"),
        Example("The last message, for a program", "vaultsession tail alice/trip -n 1 --jsonl"),
    ),
    "chat": (
        Example("With an echo, to see how it goes", "vaultsession chat"),
        Example("With an agent of yours", "vaultsession chat alice/trip --agent mine:agent"),
    ),
    "append": (
        Example("One message", "vaultsession append alice/trip --content 'And in May?'"),
        Example("Many, as JSON lines", "vaultsession append alice/trip - --create < messages.jsonl"),
    ),
    "copy": (
        Example("A fork under another id", "vaultsession copy alice/trip alice/trip-2"),
        Example("The first ten messages alone", "vaultsession copy alice/trip --until 10"),
    ),
    "export": (
        Example("Everything, into a private file", "vaultsession export --all -o sessions.jsonl"),
        Example("All that a user has", "vaultsession export --user alice -o alice.jsonl"),
        Example("To another vault", "vaultsession export --all | vaultsession import - -V ~/other"),
    ),
    "import": (
        Example("What another vault exported", "vaultsession import sessions.jsonl"),
        Example("What another program kept, first as a trial", "vaultsession import ~/.claude/projects --dry-run"),
        Example("From another place at once", "vaultsession export --all | vaultsession import - -V ~/other"),
    ),
    "archive": (
        Example("What there is, and what would become free", "vaultsession archive --remove --dry-run"),
        Example("Cold sessions, and their plaintext removed", "vaultsession archive --older-than 14d --remove"),
        Example("One agent, every hour", "vaultsession archive codex --print-timer systemd"),
        Example("As they are written", "vaultsession archive --follow"),
    ),
    "restore": (
        Example("Where it was, to go on with it", "vaultsession restore 0b1c2d3e-5f60-4a7b"),
        Example("Of one project, elsewhere", "vaultsession restore --label project=/home/me/app --to ~/old"),
    ),
    "touch": (
        Example("As long as it was given at first", "vaultsession touch alice/trip"),
        Example("Another week from now on", "vaultsession touch alice/trip --ttl 7d"),
    ),
    "rm": (
        Example("Look first", "vaultsession rm alice/trip bob/standup --dry-run"),
        Example("Without a question", "vaultsession rm alice/trip --yes"),
    ),
    "sweep": (
        Example("How many there would be", "vaultsession sweep --dry-run"),
        Example("For a timer", "vaultsession sweep --json"),
    ),
    "stats": (Example("In one look", "vaultsession stats"), Example("For a monitor", "vaultsession stats --json")),
    "verify": (
        Example("All of it", "vaultsession verify"),
        Example("Two sessions", "vaultsession verify alice/trip bob/standup"),
    ),
    "doctor": (Example("For a script", "vaultsession doctor --json"),),
    "repair": (
        Example("What would be done", "vaultsession repair --dry-run"),
        Example("Save what is authentic of a damaged session", "vaultsession repair --recover alice/trip"),
    ),
    "train": (
        Example("What it would be worth", "vaultsession train --dry-run"),
        Example("From one tenant, a small one", "vaultsession train --tenant acme --size 32"),
    ),
    "migrate": (
        Example("Into Redis", "vaultsession migrate ~/notes redis://127.0.0.1:6379/0"),
        Example("Under other keys", "vaultsession migrate ~/notes ~/new --rekey --to-key-file ~/.new.key"),
    ),
    "inspect": (
        Example("Without a key", "vaultsession inspect sessions/alice-trip~….vss"),
        Example("With what the records hold", "vaultsession inspect sessions/alice-trip~….vss -V . --bodies"),
        Example("Of a session, by its id", "vaultsession inspect alice/trip"),
    ),
    "reindex": (Example("After index.sqlite was removed", "vaultsession reindex"),),
    "key list": (Example("The ways in", "vaultsession key list"),),
    "key add": (Example("A passphrase as a second way in", "vaultsession key add --new-passphrase"),),
    "key remove": (Example("The slot that `key list` names", "vaultsession key remove 4f1c09aa"),),
    "key passphrase": (Example("Another one, typed twice", "vaultsession key passphrase"),),
    "key masters": (Example("How far a rotation has come", "vaultsession key masters"),),
    "key rotate": (Example("All under a new key, and the old one deleted", "vaultsession key rotate --prune --yes"),),
    "key prune": (Example("After a rotation, when backups are old", "vaultsession key prune --yes"),),
    "key destroy": (Example("Forget a tenant", "vaultsession key destroy --tenant acme"),),
    "key restore": (Example("From the copy of tenants/ that is kept apart", "vaultsession key restore /mnt/apart"),),
    "mirror status": (Example("Of a mirror in Redis", "vaultsession mirror status --mirror redis://localhost"),),
    "mirror sync": (Example("Bring it level", "vaultsession mirror sync --mirror /mnt/second"),),
    "mirror verify": (Example("All that it holds", "vaultsession mirror verify --mirror /mnt/second"),),
    "mirror restore": (Example("After a loss", "vaultsession mirror restore -V ~/notes --mirror /mnt/second"),),
    "config show": (Example("Who says what", "vaultsession config show"),),
    "config path": (Example("Edit the file that is read", '$EDITOR "$(vaultsession config path)"'),),
    "completion": (
        Example("For bash, in ~/.bashrc", "source <(vaultsession completion bash)"),
        Example("For zsh, in ~/.zshrc behind compinit", "source <(vaultsession completion zsh)"),
        Example("For fish, in config.fish", "vaultsession completion fish | source"),
    ),
}


def section(command: str) -> str | None:
    """The examples of a command as the end of its help, wrapped so that each can be pasted; None where it has none."""
    found = EXAMPLES.get(command)
    if not found:
        return None
    rows = ["Examples:"]
    for example in found:
        rows += ["", *textwrap.wrap(f"  {example.says}:", WIDTH, subsequent_indent="  "), *wrapped(example.line, WIDTH)]
    text = "\n".join(rows)
    if HELP_STYLE is None:
        return "\b\n" + text.replace("\n\n", "\n\n\b\n")  # as it stands, in the help without boxes
    return text.replace("[", "\\[")


def wrapped(line: str, width: int) -> list[str]:
    """A command line over as many rows as it needs, broken as a shell reads it: between words, behind a backslash."""
    rows: list[str] = []
    for word in _WORD.findall(line):
        if rows and len(rows[-1]) + len(word) + 3 <= width:
            rows[-1] += f" {word}"
        else:
            rows.append(f"{'      ' if rows else '    '}{word}")
    return [*(f"{row} \\" for row in rows[:-1]), *rows[-1:]]
