"""A progress bar for long work, on a stderr that is a terminal; nothing anywhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from .output import notes


@contextlib.contextmanager
def bar(what: str, *, shown: bool = True) -> Iterator[Callable[[int, int | None], None]]:
    """A function of ``(done, total)``; a total of None is unknown. ``shown`` False: not among data."""
    console = notes()
    if not shown or not console.is_terminal:
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - dear to import

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
