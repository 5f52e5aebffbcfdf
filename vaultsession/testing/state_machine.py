"""SessionMachine: a Hypothesis state machine that a store must agree with, whatever is done to it in whatever order.

A model in plain Python says what every verb returns, raises and leaves behind. To hold a store of your own to it,
say how one is opened, and let a test runner find ``TestCase``::

    class MyMachine(SessionMachine):
        def open(self, number):
            return open_store("memory://", clock=self.clock)

    TestMine = MyMachine.TestCase

Where stores outlive their process, set ``restarts``; where several may be open on one vault, ``stores``. Two stores of
one vault are then used in turn, so that each meets what the other has written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, precondition, rule

from ..errors import Conflict, SessionExists, SessionExpired, SessionNotFound, VaultError
from ..format.payload import Json
from ..store.session import Session, SessionInfo
from ..store.store import SessionStore
from . import strategies
from .clock import ManualClock
from .model import LoadedCopy, Model, SessionFields

_KEYS = st.lists(st.sampled_from(["hello", "pop", "set", "changed", "edited"]), max_size=2)
_PLACE = st.integers(0, 4)
_STORE = st.integers(0, 7)
_LIFE_SPANS = st.sampled_from([None, *strategies.LIFE_SPANS])
_WHERE: dict[str, Any] = {"which": _STORE, "place": _PLACE}
_DOCUMENT: dict[str, Any] = {
    **_WHERE,
    "state": strategies.json_documents(),
    "messages": strategies.conversations(max_size=5),
    "facts": strategies.facts(),
}
_FEW = st.lists(strategies.messages(), max_size=2)


class SessionMachine(RuleBasedStateMachine):
    """Everything that can be done to a store, and what must come of it. Override ``open``; see above."""

    stores: ClassVar[int] = 1
    """How many stores are open on the vault at once."""

    restarts: ClassVar[bool] = False
    """Whether what was written is still there when all stores have been closed and opened again."""

    loaded: Bundle[LoadedCopy] = Bundle("loaded")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.model = Model(self.clock)
        self.ids: list[str] = []
        self.opened: list[SessionStore] = []

    # -- what a subclass says ------------------------------------------------------------------------------------------

    def open(self, number: int) -> SessionStore:
        """Open a store on the vault of this machine, the ``number``-th of ``stores``; ``self.clock`` is its clock."""
        raise NotImplementedError

    def lose_index(self) -> None:
        """Remove whatever the vault can do without. Called while no store is open, where ``restarts`` is set."""

    def finish(self) -> None:
        """Clear up behind the last store."""

    # -- the life of a store -------------------------------------------------------------------------------------------

    @initialize(ids=st.lists(strategies.session_ids(), min_size=5, max_size=5, unique=True))
    def begin(self, ids: list[str]) -> None:
        """Open the stores."""
        self.ids = ids
        self._read: dict[str, list[tuple[SessionInfo, list[Json]]]] = {}
        self._open_all()

    def teardown(self) -> None:
        """Compare everything once more, from a fresh start where there can be one."""
        try:
            if self.opened:
                if self.restarts:
                    self.restart()
                self.compare_all(0)
        finally:
            self._close_all()
            self.finish()

    @precondition(lambda self: self.restarts)
    @rule()
    def restart(self) -> None:
        """Close all stores and open them again."""
        self._close_all()
        self._open_all()

    @precondition(lambda self: self.restarts)
    @rule()
    def restart_without_index(self) -> None:
        """As above, and what is derived is gone."""
        self._close_all()
        self.lose_index()
        self._read.clear()  # two lives of an id are not told apart where the index is lost, and the clock stands still
        self._open_all()

    @rule(seconds=st.sampled_from([0.000001, 1, 3, 30, 60, 599, 3600]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    # -- whole sessions ------------------------------------------------------------------------------------------------

    @rule(target=loaded, **_DOCUMENT)
    def create(self, which: int, place: int, state: Json, messages: list[Json], facts: SessionFields) -> Any:  # noqa: ANN401 - what multiple() gives
        """A new session."""
        return self._kept(self._both("create", which, place, state=state, messages=messages, **facts))

    @rule(target=loaded, **_DOCUMENT)
    def save_document(self, which: int, place: int, state: Json, messages: list[Json], facts: SessionFields) -> Any:  # noqa: ANN401 - as above
        """A whole document under an id."""
        return self._kept(self._both("save", which, place, state=state, messages=messages, **facts))

    @rule(target=loaded, **_WHERE, other=_PLACE, until=st.none() | st.integers(0, 6))
    def copy(self, which: int, place: int, other: int, until: int | None) -> Any:  # noqa: ANN401 - as above
        """A fork of a session, or of its beginning."""
        return self._kept(self._both("copy", which, place, self.ids[other], until=until))

    @rule(target=loaded, **_WHERE)
    def load(self, which: int, place: int) -> Any:  # noqa: ANN401 - as above
        """A session, to be saved some time later."""
        return self._kept(self._both("load", which, place))

    @rule(**_WHERE)
    def load_warm(self, which: int, place: int) -> None:
        """A session from the cache, if it is there."""
        name = self.ids[place]
        found = self._store(which).load_if_warm(name)
        if found is not None:
            self._compare(found, self.model.load(name))

    @rule(which=_STORE, held=loaded, changes=st.data(), overwrite=st.booleans())
    def save(self, which: int, held: LoadedCopy, changes: st.DataObject, overwrite: bool) -> None:
        """A session that was loaded before, changed. Compared and swapped, unless it overwrites."""
        self._change(held.session, changes)
        self._agree(
            lambda: self.model.save_loaded(held, overwrite=overwrite),
            lambda: self._store(which).save(held.session, overwrite=overwrite),
        )

    @rule(**_WHERE)
    def delete(self, which: int, place: int) -> None:
        """Remove a session."""
        self._both("delete", which, place)

    # -- parts of a session --------------------------------------------------------------------------------------------

    @rule(**_WHERE, messages=st.lists(strategies.messages(), max_size=4), create=st.booleans(), dedupe=st.booleans())
    def append(self, which: int, place: int, messages: list[Json], create: bool, dedupe: bool) -> None:
        """Messages behind the history."""
        self._both("append", which, place, *messages, create=create, dedupe=dedupe)

    @rule(**{**_DOCUMENT, "messages": _FEW}, unset=_KEYS)
    def write(
        self, which: int, place: int, messages: list[Json], state: Json, unset: Sequence[str], facts: SessionFields
    ) -> None:
        """Messages and keys of the state at once, perhaps of a session that is made."""
        unset = self._some_there(place, unset)
        self._both("append", which, place, *messages, create=True, state=state, unset=unset, **facts)

    @rule(
        which=_STORE, held=loaded, messages=_FEW, state=strategies.json_documents(), unset=_KEYS, create=st.booleans()
    )
    def write_expecting(
        self, which: int, held: LoadedCopy, messages: list[Json], state: Json, unset: list[str], create: bool
    ) -> None:
        """The same, of the document that was loaded before; a conflict where there is another."""
        fields: Any = {"create": create, "state": state, "unset": unset}
        document, version = held.document, held.session.version
        self._agree(
            lambda: self.model.append(held.id, *messages, expected=document, **fields),
            lambda: self._store(which).append(held.id, *messages, if_version=version, **fields),
        )

    @rule(**_WHERE, n=st.integers(0, 4), messages=_FEW)
    def replace_last(self, which: int, place: int, n: int, messages: list[Json]) -> None:
        """Messages in the place of the newest."""
        self._both("replace_last", which, place, n, *messages)

    @rule(**_WHERE)
    def info(self, which: int, place: int) -> None:
        """What is known without the document, and the version that a load has."""
        name = self.ids[place]
        self._both("info", which, place)
        if self.model.exists(name):
            info = self._store(which).info(name)
            self._both("load", which, place)
            _same(self._store(which).load(name).version, info.version, "the version")
            self._hold_to_its_word(info)

    @rule(**_WHERE, turns=st.integers(500, 600))
    def append_many(self, which: int, place: int, turns: int) -> None:
        """So many small appends that the container is replaced."""
        name = self.ids[place]
        messages: list[Json] = [{"role": "user", "content": number} for number in range(turns)]

        def real() -> SessionInfo:
            for message in messages:
                info = self._store(which).append(name, message, create=True)
            return info

        self._agree(lambda: self.model.append(name, *messages, create=True), real)

    @rule(**_WHERE, n=st.integers(0, 5))
    def pop(self, which: int, place: int, n: int) -> None:
        """The newest messages, removed."""
        self._both("pop", which, place, n)

    @rule(**_WHERE)
    def clear(self, which: int, place: int) -> None:
        """The history, emptied."""
        self._both("clear", which, place)

    @rule(**_WHERE, changes=strategies.json_documents(), unset=_KEYS, create=st.booleans())
    def merge(self, which: int, place: int, changes: Json, unset: Sequence[str], create: bool) -> None:
        """Keys of the state, set and unset."""
        self._both("update", which, place, changes, unset=self._some_there(place, unset), create=create)

    @rule(which=_STORE, other=_STORE, place=_PLACE, value=strategies.json_values(), interferes=st.booleans())
    def update(self, which: int, other: int, place: int, value: Any, interferes: bool) -> None:  # noqa: ANN401 - any JSON
        """A function applied to the session; perhaps someone writes in between, once."""
        name = self.ids[place]
        pending = [interferes]

        def change(draft: Session) -> None:
            if pending.pop() if pending else False:
                self._store(other).append(name, {"role": "user", "content": "in between"})
            draft.state["changed"] = value

        def expected() -> Any:  # noqa: ANN401 - as the model's verbs
            self.model.load(name)
            if interferes:
                self.model.append(name, {"role": "user", "content": "in between"})
            return self.model.change(name, "changed", value)

        self._agree(expected, lambda: self._store(which).update(name, change))

    @rule(which=_STORE, other=_STORE, place=_PLACE, interferes=st.booleans(), title=st.sampled_from([None, "edited"]))
    def edit(self, which: int, other: int, place: int, interferes: bool, title: str | None) -> None:
        """A draft, saved on exit; a conflict if someone wrote in between."""
        name = self.ids[place]

        def expected() -> None:
            held = self.model.load(name)
            if interferes:
                self.model.update(name, {"edited": "in between"})
                raise Conflict
            self.model.edit(held, title)

        def real() -> None:
            with self._store(which).edit(name) as draft:
                draft.title = title
                draft.state["edited"] = title
                if interferes:
                    self._store(other).update(name, {"edited": "in between"})

        self._agree(expected, real)

    @rule(**_WHERE, ttl=_LIFE_SPANS)
    def touch(self, which: int, place: int, ttl: int | None) -> None:
        """Another life."""
        self._both("touch", which, place, ttl)

    # -- looking -------------------------------------------------------------------------------------------------------

    @rule(**_WHERE, last=st.integers(0, 6))
    def read_tail(self, which: int, place: int, last: int) -> None:
        """The newest messages."""
        self._both("messages", which, place, last=last)

    @rule(**_WHERE, last=st.integers(0, 6))
    def take_snapshot(self, which: int, place: int, last: int) -> None:
        """The state and the newest messages, of one version."""
        name = self.ids[place]

        def expected() -> tuple[Json, list[Json], int]:
            known = self.model.load(name)
            first = max(0, len(known.messages) - last)
            return known.state, known.messages[first:], first

        def real() -> tuple[Json, list[Json], int]:
            state, messages = self._store(which).snapshot(name, last=last)
            return state, messages, messages.first

        self._agree(expected, real)

    @rule(**_WHERE, offset=st.integers(0, 6), limit=st.none() | st.integers(0, 6))
    def read_page(self, which: int, place: int, offset: int, limit: int | None) -> None:
        """A page of the history."""
        self._both("messages", which, place, offset=offset, limit=limit)

    @rule(**_WHERE)
    def exists(self, which: int, place: int) -> None:
        """Whether it lives."""
        self._both("exists", which, place)

    @rule(
        which=_STORE,
        filters=strategies.filters(),
        limit=st.none() | st.integers(1, 3),
        order=st.sampled_from(["newest", "oldest"]),
    )
    def list(self, which: int, filters: Any, limit: int | None, order: Any) -> None:  # noqa: ANN401 - typed by the verb
        """Page after page, and the count."""
        store = self._written(which)
        found: list[SessionInfo] = []
        after = None
        while True:
            page = store.list(order=order, limit=limit, after=after, **filters)
            found += page
            after = page.after
            if after is None:
                break
        expected = self.model.matching(filters)
        told = {info.id: info.facts() for info in found}
        _same(told, {known.id: known.facts() for known in expected}, "the listing")
        _same(len(found), len(told), "how often a session is listed")
        times = [info.updated_at for info in found]
        _same(times, sorted(times, reverse=order == "newest"), "the order of the listing")
        _same(store.count(**filters), len(expected), "the count")

    @rule(which=_STORE, dry_run=st.booleans())
    def sweep(self, which: int, dry_run: bool) -> None:
        """Remove what has expired."""
        store = self._written(which)
        _same(store.sweep(dry_run=dry_run), self.model.sweep(dry_run=dry_run), "how many were swept")

    @rule(which=_STORE)
    def compare_all(self, which: int) -> None:
        """Every session, whole."""
        for place in range(len(self.ids)):
            self._both("load", which, place)

    # -- what no user sees ---------------------------------------------------------------------------------------------

    @rule(which=_STORE)
    def drop_cache(self, which: int) -> None:
        """Forget every decrypted document."""
        self._store(which)._cache.clear()  # noqa: SLF001 - no verb of a store does that: it is never needed

    @rule(which=_STORE)
    def reindex(self, which: int) -> None:
        """Derive the index anew."""
        self._store(which).reindex()

    @rule(which=_STORE, prune=st.booleans())
    def rotate(self, which: int, prune: bool) -> None:
        """Seal every session under a new master key; perhaps delete the old ones."""
        store = self._store(which)
        _same(store.rotate_key().left, (), "what is left under an old key")
        if prune:
            store.prune_keys()

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _open_all(self) -> None:
        self.opened = [self.open(number) for number in range(self.stores)]

    def _close_all(self) -> None:
        for store in self.opened:
            store.close()

    def _store(self, which: int) -> SessionStore:
        return self.opened[which % len(self.opened)]

    def _written(self, which: int) -> SessionStore:
        """The store, when every other one has reported to the index what it wrote: it may lag by a moment otherwise."""
        for store in self.opened:
            store.count()
        return self._store(which)

    def _hold_to_its_word(self, info: SessionInfo) -> None:
        """What is said to have only grown since it was read begins with all that was read."""
        known = self.model.alive(info.id)
        messages = [] if known is None else [*known.messages]
        read = self._read.setdefault(info.id, [])
        for earlier, then in read:
            if info.only_grew_since(earlier):
                _same(messages[: len(then)], then, "what the history began with when it had only grown")
        read.append((info, messages))

    def _some_there(self, place: int, unset: Sequence[str]) -> Sequence[str]:
        """The keys to unset, if any, and one that the state has: of those that are drawn hardly one is there."""
        known = self.model.alive(self.ids[place])
        return [*unset, *[*known.state][:1]] if unset and known is not None else unset

    def _both(self, verb: str, which: int, place: int, *given: Any, **fields: Any) -> Any:  # noqa: ANN401 - as the verb
        """What the store gave for a verb about a session, in which the model has to agree."""
        call = methodcaller(verb, self.ids[place], *given, **fields)
        return self._agree(lambda: call(self.model), lambda: call(self._store(which)))

    def _agree(self, expected: Callable[[], Any], real: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever a verb gives
        """What the store gave; model and store must give the same, or raise the same."""
        want, want_error = _outcome(expected)
        got, got_error = _outcome(real)
        _same(type(got_error), type(want_error), "the error")
        if got_error is None:
            self._compare(got, want)
        if isinstance(got, SessionInfo):
            self._hold_to_its_word(got)
        return (got, want) if isinstance(got, Session) else None

    @staticmethod
    def _compare(got: Any, want: Any) -> None:  # noqa: ANN401 - as above
        if isinstance(got, Session):
            _same(got.facts(), want.facts(), "the facts")
            _same(got.state, want.state, "the state")
            _same(got.messages, want.messages, "the messages")
        elif isinstance(got, SessionInfo):
            _same(got.facts(), want.facts(), "the facts")
        else:
            _same(got, want, "the result")

    def _kept(self, both: Any) -> Any:  # noqa: ANN401 - a bundle's value, or none
        if both is None:
            return multiple()
        session, known = both
        return self.model.held(session, known)

    @staticmethod
    def _change(session: Session, changes: st.DataObject) -> None:
        """Draw what the holder of a session does with it."""
        match changes.draw(st.sampled_from(["state", "messages", "title", "labels", "ttl", "limits", "nothing"])):
            case "state":
                session.state = changes.draw(strategies.json_documents())
            case "messages":
                session.messages = changes.draw(strategies.conversations(max_size=5))
            case "title":
                session.title = changes.draw(st.sampled_from([None, "changed"]))
            case "labels":
                session.labels = changes.draw(strategies.labels())
                session.user_id = changes.draw(strategies.owners())
            case "ttl":
                session.ttl = changes.draw(_LIFE_SPANS)
            case "limits":
                session.max_messages = changes.draw(st.sampled_from([None, 2]))
                session.sliding = changes.draw(st.booleans())


def _outcome(call: Callable[[], Any]) -> tuple[Any, VaultError | None]:
    try:
        return call(), None
    except (SessionExists, SessionNotFound, SessionExpired, Conflict) as error:
        return None, error


def _same(got: object, want: object, what: str) -> None:
    if got != want:
        raise AssertionError(f"{what}: the store says {got!r}, the model {want!r}")
