"""What a mirror says of itself, and when that is a problem."""

from __future__ import annotations

from dataclasses import dataclass

GRACE = 15 * 60.0
"""Seconds that a follower may be behind before the store is not well: an outage that passes is none of its health."""


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """A mirror at one moment. ``where`` holds no password.

    ``behind``: sessions known to wait; ``comparing``: more may, everything is being or will be compared. ``lag``:
    seconds for which the one that waits longest has waited. ``error``: why the follower was last out of reach, None
    while it is in reach; ``stuck``: it will not come right by itself. ``succeeded``: when the follower last took
    something or was found level, in microseconds since 1970. ``refused``: sessions that could not be copied, with why;
    ``extra``: sessions that only the follower has.
    """

    where: str
    behind: int
    comparing: bool
    lag: float | None
    error: str | None
    stuck: bool
    succeeded: int | None
    refused: dict[str, str]
    extra: int

    @property
    def problem(self) -> str | None:
        """What somebody has to see to: None also while a follower that is out of reach has been so for a short time."""
        if self.refused:
            key, why = next(iter(self.refused.items()))
            return f"{self.where}: {_counted(len(self.refused))} cannot be mirrored, such as {key}: {why}"
        if self.error is not None and (self.stuck or (self.lag or 0) > GRACE):
            return self.words
        return None

    @property
    def words(self) -> str:
        """All of it in a sentence."""
        words = f"{self.where}: "
        if not self.behind and not self.comparing:
            words += "level"
        elif not self.behind:
            words += "being compared"
        else:
            words += f"{_counted(self.behind)} behind"
            words += "" if self.lag is None else f" for {self.lag:.0f} s"
        return words if self.error is None else f"{words}; {self.error}"


def _counted(number: int) -> str:
    return f"{number} session{'s'[: number != 1]}"
