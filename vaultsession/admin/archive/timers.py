"""What runs the archiver every so often: a user timer of systemd, an agent of launchd. Printed, and never installed."""

from __future__ import annotations

import plistlib
import shlex
from collections.abc import Sequence
from typing import Literal

Timer = Literal["systemd", "launchd"]

_SYSTEMD = """\
# ~/.config/systemd/user/vaultsession-archive.service
[Unit]
Description=Seal the sessions that agents left behind

[Service]
Type=oneshot
Nice=10
# What could not be done this time is told in the journal, and done the next time.
SuccessExitStatus=3
ExecStart={command}

# ~/.config/systemd/user/vaultsession-archive.timer
[Unit]
Description=Seal the sessions that agents left behind, every hour

[Timer]
OnCalendar=hourly
RandomizedDelaySec=10min
Persistent=true

[Install]
WantedBy=timers.target

# Two files. Then: systemctl --user daemon-reload && systemctl --user enable --now vaultsession-archive.timer
"""

_LAUNCHD = """\
<!-- ~/Library/LaunchAgents/vaultsession.archive.plist
     Then: launchctl bootstrap gui/$UID ~/Library/LaunchAgents/vaultsession.archive.plist -->
<plist"""


def timer(kind: Timer, command: Sequence[str]) -> str:
    """The files of a timer that runs the command every hour, with where they belong and how they are put in use."""
    if kind == "systemd":
        return _SYSTEMD.format(command=" ".join(map(_word, command)))
    plan = {
        "Label": "vaultsession.archive",
        "ProgramArguments": [*command],
        "StartInterval": 3600,
        "ProcessType": "Background",
    }
    return plistlib.dumps(plan, sort_keys=False).decode().replace("<plist", _LAUNCHD, 1)


def _word(word: str) -> str:
    """A word as systemd reads it, which expands % and $ in quotes too."""
    plain = word.replace("%", "%%").replace("$", "$$")
    return plain if shlex.quote(plain) == plain else '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
