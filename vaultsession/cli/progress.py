"""How far long work has come: a bar on a stderr that is a terminal, and a sentence where Ctrl-C ends it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from .output import notes, say


@contextlib.contextmanager
def bar(what: str, *, shown: bool = True, interrupted: str = "") -> Iterator[Callable[[int, int | None], None]]:
    """A function of ``(done, total)``; a total of None is unknown. ``shown`` False: not among data.

    ``interrupted``: what holds after Ctrl-C, said with how far the work had come.
    """
    count, of = 0, ""
    draw: Callable[[int, int | None], object] = lambda _done, _total: None  # noqa: E731 - the bar takes its place

    def progress(done: int, total: int | None) -> None:
        nonlocal count, of
        count, of = done, "" if total is None else f" of {total}"
        draw(done, total)

    with contextlib.ExitStack() as stack:
        console = notes()
        if shown and console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - dear to import

            columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
            drawn = stack.enter_context(Progress(*columns, console=console, transient=True))
            task = drawn.add_task(what, total=None)
            draw = lambda done, total: drawn.update(task, completed=done, total=total)  # noqa: E731 - as above
        try:
            yield progress
        except KeyboardInterrupt:
            if interrupted:
                stack.close()
                say(f"vaultsession: {what} was interrupted after {count}{of}: {interrupted}")
            raise
