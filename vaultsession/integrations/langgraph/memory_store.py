"""VaultStore: long-term memory of LangGraph's agents, each item a session."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from operator import ge, gt, le, lt, mul
from typing import Any, Self, Unpack, cast

from ...errors import InvalidDocument, SessionNotFound, Unreadable
from ...format import payload
from ...format.payload import Json
from ...format.thread_log import FRAMEWORK
from ...store.fields import DocumentFields, SessionFields
from ...store.open import OpenFields, Place
from ...store.pages import PagedListing
from ...store.session import Session, SessionInfo
from ..adapter import Lent, StoreHandle, StoreOwner, composed_id
from .serialized_values import SerializedValues

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer  # isort: skip - behind the saver, which asks for it
from langgraph.store.base import (  # isort: skip - as above
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchItem,
    SearchOp,
    TTLConfig,
    ensure_embeddings,
    get_text_at_path,
    tokenize_path,
    validate_op_namespace,
)

NAME = "langgraph.store"
_SPACE = "namespace"
_COMPARE = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}

_log = logging.getLogger("vaultsession")

Space = tuple[str, ...]


class VaultStore(StoreOwner, BaseStore):
    """Keeps items: one session each, whose labels are the namespaces that it is in, so that a search reads those alone.

    ``ttl_config`` and ``index`` are LangGraph's configurations: a life span in minutes that begins anew when an item is
    read, unless that is refused, and embeddings, which are sealed with the item and compared here. ``fields`` are those
    of ``SessionStore.create`` for new items. A value is searched by ``vaultsession grep`` where it is plain JSON; any
    other that LangGraph can serialize comes back as it was. Safe from any thread; sync and async.
    """

    supports_ttl = True

    def __init__(
        self,
        store: Lent,
        *,
        index: IndexConfig | None = None,
        ttl_config: TTLConfig | None = None,
        **fields: Unpack[SessionFields],
    ) -> None:
        self._handle = StoreHandle.of(store)
        self._fields = fields
        self._values = SerializedValues(JsonPlusSerializer())
        self.ttl_config = ttl_config
        self._embeddings = ensure_embeddings(index.get("embed")) if index else None
        self._paths = (index.get("fields") or ["$"]) if index else []

    @classmethod
    def from_url(
        cls,
        path_or_url: Place = None,
        *,
        index: IndexConfig | None = None,
        ttl_config: TTLConfig | None = None,
        **fields: Unpack[OpenFields],
    ) -> Self:
        """A memory over a vault that is opened for it as by ``open_store``, and closed with it."""
        return StoreHandle.opened(path_or_url, fields).closed_unless(
            lambda handle: cls(handle, index=index, ttl_config=ttl_config)
        )

    def batch(self, ops: Iterable[Op]) -> list[Any]:
        """What each operation gives, in order. Reads see what was there before; of puts of one item the last counts."""
        asked = [*ops]
        for op in asked:
            validate_op_namespace(op)
        results = [self._answer(op) for op in asked]
        self._put_all({(op.namespace, op.key): op for op in asked if isinstance(op, PutOp)}.values())
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Any]:
        """See ``batch``."""
        return await self._handle.run(lambda: self.batch(ops))

    def _answer(self, op: Op) -> Any:
        if isinstance(op, GetOp):
            return self._get(op)
        if isinstance(op, SearchOp):
            return self._search(op)
        if isinstance(op, ListNamespacesOp):
            return self._namespaces(op)
        if isinstance(op, PutOp):
            return None
        raise ValueError(f"unknown operation: {type(op).__name__}")

    # -- items ---------------------------------------------------------------------------------------------------------

    def _get(self, op: GetOp) -> Item | None:
        found = self._load(_id(op.namespace, op.key))
        if found is None or (op.refresh_ttl and not self._refreshed(found)):
            return None
        return Item(**self._shown(found))

    def _shown(self, session: Session[Any]) -> dict[str, Any]:
        """The fields of an item."""
        state = session.state
        return {
            "value": self._value(state),
            "key": state["key"],
            "namespace": tuple(state["namespace"]),
            "created_at": session.created_at,
            "updated_at": session.updated_at,
        }

    def _load(self, id: str) -> Session[Any] | None:
        """The session of an item; None where there is none."""
        try:
            found = self._store.load(id)
        except SessionNotFound:
            return None
        if found.labels.get(FRAMEWORK) != NAME:
            raise InvalidDocument(f"session {id!r:.80} is no item of LangGraph's memory")
        return found

    def _refreshed(self, session: Session[Any]) -> bool:
        """Begin its life anew, where it has an end; whether it is still there."""
        try:
            if session.ttl is not None:
                self._store.touch(session.id)
        except SessionNotFound:
            return False
        return True

    def _put_all(self, ops: Iterable[PutOp]) -> None:
        documents: list[DocumentFields] = []
        ops = [*ops]
        vectors = self._embedded([op for op in ops if op.value is not None])
        for op in ops:
            id = _id(op.namespace, op.key)  # noqa: A001 - the word that every user of a session store knows
            if op.value is None:
                self._store.delete(id)
                continue
            state: Json = {"namespace": [*op.namespace], "key": op.key, "value": dict(op.value)}
            if found := vectors.get(id):
                state["vectors"] = found
            ttl = op.ttl if op.ttl is None else timedelta(minutes=op.ttl)
            fields: Any = {"ttl": ttl, **self._fields} if ttl is None else {**self._fields, "ttl": ttl}
            labels = {**(fields.get("labels") or {}), **_labels(op.namespace)}
            documents.append(
                cast("DocumentFields", {**fields, "id": id, "state": self._plain(state), "labels": labels})
            )
        if len(documents) == 1:
            one: Any = {**documents[0]}
            self._store.save(one.pop("id"), **one)
        elif documents:
            self._store.save_many(documents)

    def _plain(self, state: Json) -> Json:
        """The state, with the value serialized where it is no plain JSON."""
        try:
            payload.elements(state, ())
        except InvalidDocument:
            return {**state, "value": None, "serialized": self._values.dump(state["value"])}
        return state

    def _value(self, state: Json) -> Any:
        return self._values.load(state["serialized"]) if "serialized" in state else state["value"]

    # -- searches ------------------------------------------------------------------------------------------------------

    def _search(self, op: SearchOp) -> list[SearchItem]:
        ranked = bool(op.query and self._embeddings)
        found: list[tuple[float | None, Session[Any]]] = []
        enough = None if ranked else op.offset + op.limit
        for info in self._listed(op.namespace_prefix):
            if enough is not None and len(found) >= enough:
                break
            if not (op.filter or ranked) and len(found) < op.offset:
                found.append((None, None))  # type: ignore[arg-type]  # passed over unread
                continue
            session = self._read(info)
            if session is not None and _matches(self._value(session.state), op.filter or {}):
                found.append((None, session))
        if ranked:
            found = self._ranked(op.query or "", [session for _, session in found])
        page = found[op.offset : op.offset + op.limit]
        if op.refresh_ttl:
            for _, session in page:
                self._refreshed(session)
        return [SearchItem(**self._shown(session), score=score) for score, session in page]

    def _read(self, info: SessionInfo) -> Session[Any] | None:
        """The session of a row; None where it was removed meanwhile, or cannot be read, which is logged."""
        try:
            return self._load(info.id)
        except Unreadable as error:
            _log.warning("item %r was left out of a search: %s", info.id, error)
            return None

    def _listed(self, space: Space) -> Iterator[SessionInfo]:
        """The items in a namespace and below, those changed last first."""
        labels = {FRAMEWORK: NAME} | ({_depth(len(space)): _path(space)} if space else {})
        return PagedListing(self._store, {"labels": labels}).pages()

    def _namespaces(self, op: ListNamespacesOp) -> list[Space]:
        spaces = set()
        for info in self._listed(()):
            path = info.labels.get(_SPACE)
            if path is None:
                session = self._read(info)
                if session is None:
                    continue
                space = tuple(session.state["namespace"])
            else:
                space = tuple(part.replace("%2F", "/").replace("%25", "%") for part in path.split("/"))
            if all(_is_in(condition, space) for condition in op.match_conditions or ()):
                spaces.add(space if op.max_depth is None else space[: op.max_depth])
        return sorted(spaces)[op.offset : op.offset + op.limit]

    # -- embeddings ----------------------------------------------------------------------------------------------------

    def _embedded(self, ops: Sequence[PutOp]) -> dict[str, list[list[float]]]:
        """The vectors of what is put, by the ids of items."""
        if self._embeddings is None:
            return {}
        texts: list[tuple[str, str]] = []
        for op in ops:
            if op.index is False:
                continue
            for path in self._paths if op.index is None else op.index:
                found = get_text_at_path(op.value, path if path == "$" else tokenize_path(path))
                texts += [(_id(op.namespace, op.key), text) for text in found]
        if not texts:
            return {}
        vectors: dict[str, list[list[float]]] = {}
        for (id, _), vector in zip(texts, self._embeddings.embed_documents([text for _, text in texts]), strict=True):  # noqa: A001 - as above
            vectors.setdefault(id, []).append([float(each) for each in vector])
        return vectors

    def _ranked(self, query: str, sessions: Sequence[Session[Any]]) -> list[tuple[float | None, Session[Any]]]:
        """The sessions with their best scores, the best first; those without vectors behind them."""
        if self._embeddings is None:
            return [(None, session) for session in sessions]
        asked = self._embeddings.embed_query(query)
        scored: list[tuple[float, Session[Any]]] = []
        others: list[tuple[float | None, Session[Any]]] = []
        for session in sessions:
            vectors = session.state.get("vectors")
            if vectors:
                scored.append((max(_cosine(asked, vector) for vector in vectors), session))
            else:
                others.append((None, session))
        scored.sort(key=lambda each: each[0], reverse=True)
        return [*scored, *others]


def _id(space: Space, key: str) -> str:
    return composed_id(NAME, *space, key)


def _path(space: Space) -> str:
    return composed_id(*space)


def _depth(depth: int) -> str:
    return f"in.{depth}"


def _labels(space: Space) -> dict[str, str]:
    """The namespaces that an item is in, by their depth, and its own to be read again where it is short."""
    labels = {_depth(depth): _path(space[:depth]) for depth in range(1, len(space) + 1)}
    whole = _path(space)
    return {FRAMEWORK: NAME, **labels} | ({} if "%%" in whole else {_SPACE: whole})


def _is_in(condition: MatchCondition, space: Space) -> bool:
    path = condition.path
    if len(space) < len(path):
        return False
    part = space[: len(path)] if condition.match_type == "prefix" else space[len(space) - len(path) :]
    return all(wanted in ("*", here) for wanted, here in zip(path, part, strict=True))


def _matches(value: Any, wanted: Any) -> bool:
    """Whether a value has what a filter wants: equal values, fields of objects, and comparisons such as ``$gt``."""
    if isinstance(wanted, Mapping):
        if any(name.startswith("$") for name in wanted):
            return all(_compares(value, name, other) for name, other in wanted.items())
        return isinstance(value, Mapping) and all(_matches(value.get(name), other) for name, other in wanted.items())
    if isinstance(wanted, list | tuple):
        return isinstance(value, list | tuple) and len(value) == len(wanted) and all(map(_matches, value, wanted))
    return bool(value == wanted)


def _compares(value: Any, operator: str, other: Any) -> bool:
    if operator in ("$eq", "$ne"):
        return bool((value == other) == (operator == "$eq"))
    if operator not in _COMPARE:
        raise ValueError(f"unsupported operator {operator!r}")
    if value is None:
        return False
    try:
        return bool(_COMPARE[operator](float(value), float(other)))
    except (TypeError, ValueError):
        return type(value) is type(other) and bool(_COMPARE[operator](value, other))


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = (sum(map(mul, one, one)) * sum(map(mul, other, other))) ** 0.5
    return sum(map(mul, one, other)) / lengths if lengths else 0.0
