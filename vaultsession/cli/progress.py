"""How far long work has come: a bar on a stderr that is a terminal, and a sentence where Ctrl-C ends it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from .output import notes, say


class WorkProgress:
    """How far work has come."""

    draw: Callable[[int, int | None], object] | None = None
    reached = "0"

    def __call__(self, done: int, total: int | None = None) -> None:
        """So much is done, of so much where that is known."""
        self.reached = str(done) if total is None else f"{done} of {total}"
        if self.draw is not None:
            self.draw(done, total)


@contextlib.contextmanager
def bar(what: str, *, shown: bool = True, interrupted: str = "") -> Iterator[WorkProgress]:
    """What is called as the work goes on. ``shown`` False: not among data.

    ``interrupted``: what holds after Ctrl-C, said with how far the work had come.
    """
    progress = WorkProgress()
    with contextlib.ExitStack() as stack:
        console = notes()
        if shown and console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - dear to import

            columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
            drawn = stack.enter_context(Progress(*columns, console=console, transient=True))
            task = drawn.add_task(what, total=None)
            progress.draw = lambda done, total: drawn.update(task, completed=done, total=total)
        try:
            yield progress
        except KeyboardInterrupt:
            if interrupted:
                stack.close()
                say(f"vaultsession: {what} was interrupted after {progress.reached}: {interrupted}")
            raise
