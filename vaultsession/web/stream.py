"""Streams of server-sent events: work in a thread, told as it goes, until it is done or the reader has left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from time import monotonic

from starlette.responses import StreamingResponse

from ..errors import VaultError
from .problems import problem_of

PULSE = 10.0
"""Seconds after which a silent stream says that it is there, and so finds out whether its reader is."""

_WAITING = 64
"""Events that wait for a slow reader; then the work waits."""


def server_event(name: str, value: object) -> str:
    """An event on the wire: its name, and what goes with it as JSON, which has no line ends."""
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"


_PATIENCE = 0.5
"""Seconds after which a work that waits for its reader looks whether there is one."""

Send = Callable[[str, object], None]


class ReaderLeft(BaseException):
    """Raised in the work, by its next event or question, when nobody reads any more."""


def streamed(events: AsyncIterator[str]) -> StreamingResponse:
    """The answer that has these events, as text."""
    return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def worked(work: Callable[[Send], None]) -> AsyncIterator[str]:
    """The events that a work sends, which runs in a thread; ``failed`` for what it raised, and ``end`` behind all."""
    running = _Work(work, asyncio.get_running_loop())
    threading.Thread(target=running.run, name="vaultsession-page", daemon=True).start()
    try:
        while True:
            try:
                event = await asyncio.wait_for(running.events.get(), PULSE)
            except TimeoutError:
                yield ":\n\n"
                continue
            if event is None:
                return
            yield event
    finally:
        running.left.set()


class _Work:
    """A work in a thread, whose events go to a loop."""

    def __init__(self, work: Callable[[Send], None], loop: asyncio.AbstractEventLoop) -> None:
        self._work = work
        self._loop = loop
        self.events = asyncio.Queue[str | None](_WAITING)
        self.left = threading.Event()

    def run(self) -> None:
        """Do it. Nothing is raised: a failure is an event, and a loop that is closed has no readers."""
        with contextlib.suppress(ReaderLeft, RuntimeError):
            failed = self._failure()
            if failed is not None:
                self.send("failed", failed)
            self.send("end", {})
            self._put(None)

    def send(self, name: str, value: object) -> None:
        """One event. Waits for a slow reader; ``ReaderLeft`` where there is none."""
        self._put(server_event(name, value))

    def _failure(self) -> dict[str, str] | None:
        try:
            self._work(self.send)
        except (VaultError, OSError) as error:
            problem = problem_of(error)
            return {"heading": problem.heading, "advice": problem.advice, "words": str(error)}
        except Exception as error:  # noqa: BLE001 - the reader gets the kind of a bug, and no content
            return {"heading": "This is a bug of vaultsession", "advice": "", "words": type(error).__name__}
        return None

    def _put(self, event: str | None) -> None:
        if self.left.is_set():
            raise ReaderLeft
        waiting = asyncio.run_coroutine_threadsafe(self.events.put(event), self._loop)
        while True:
            try:
                return waiting.result(_PATIENCE)
            except TimeoutError:
                if self.left.is_set():
                    waiting.cancel()
                    raise ReaderLeft from None


@contextlib.contextmanager
def paced(send: Send, seconds: float = 0.1) -> Iterator[Callable[[int, int | None], None]]:
    """A function of ``(done, total)`` that sends the progress, at most so often; and once more at the end."""
    last = 0.0
    latest: tuple[int, int | None] = (0, None)

    def progress(done: int, total: int | None) -> None:
        nonlocal last, latest
        latest = done, total
        if monotonic() - last >= seconds:
            last = monotonic()
            send("progress", {"done": done, "total": total})

    yield progress
    send("progress", {"done": latest[0], "total": latest[1]})
