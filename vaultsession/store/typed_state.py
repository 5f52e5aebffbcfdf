"""Typed states: a dataclass, a TypedDict or a pydantic model in place of a plain JSON object.

pydantic does the work, for all three, and is imported when a store is opened with a ``state_type``. What is stored is
the same JSON object as without one, so that stores with and without types, or with another one, read each other.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Generic, Literal

from ..errors import InvalidDocument, InvalidSetting
from ..format.payload import Json

if TYPE_CHECKING:
    from pydantic import ValidationError
    from typing_extensions import TypeVar  # of the type checker: no package is needed for it

    StateT = TypeVar("StateT", default=Json)
else:
    from typing import TypeVar

    StateT = TypeVar("StateT")


class Shape(Generic[StateT]):
    """A state as its type, and back as JSON. Safe from any thread.

    Keys that a dataclass or a TypedDict does not know are refused, since the next save would lose them; a pydantic
    model decides by its own configuration. ``InvalidSetting`` for a type that is none of the three.
    """

    def __init__(self, kind: type[StateT]) -> None:
        try:
            import pydantic  # noqa: PLC0415 - an extra: imported when used
            from typing_extensions import is_typeddict  # noqa: PLC0415 - comes with pydantic, and knows both kinds
        except ImportError:
            raise InvalidSetting("state_type needs pydantic: pip install 'vaultsession[typed]'") from None
        is_model = isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)
        if not (is_model or is_typeddict(kind) or (isinstance(kind, type) and dataclasses.is_dataclass(kind))):
            raise InvalidSetting(f"state_type is a dataclass, a TypedDict or a pydantic model, not {kind!r:.60}")
        try:
            self._adapter: pydantic.TypeAdapter[StateT] = pydantic.TypeAdapter(kind)
        except pydantic.errors.PydanticUserError as error:
            raise InvalidSetting(f"state_type {kind.__name__}: {error.message}") from None
        self._extra: Literal["forbid"] | None = None if is_model else "forbid"
        self._refused = pydantic.ValidationError

    def read(self, state: Json) -> StateT:
        """The state as its type. ``InvalidDocument`` names the place that does not fit; values are not shown."""
        try:
            return self._adapter.validate_python(state, extra=self._extra)
        except self._refused as error:
            raise _invalid(error) from None

    def write(self, value: StateT) -> Json:
        """The state as JSON, proved to fit: what comes back is what was written. ``InvalidDocument``."""
        plain = self._plain(value)
        if type(plain) is not dict:
            raise InvalidDocument(f"state: not of the state_type, but {type(value).__name__}", path="state")
        again: Json = self._plain(self.read(plain))
        return again

    def _plain(self, value: StateT) -> Any:  # noqa: ANN401 - JSON, if the value is of the type
        try:
            return self._adapter.dump_python(value, mode="json", by_alias=True, warnings=False)
        except Exception as error:  # noqa: BLE001 - a serialiser of a user's own may raise anything
            raise InvalidDocument(f"state: cannot be written as JSON ({type(error).__name__})", path="state") from None


def _invalid(error: ValidationError) -> InvalidDocument:
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = "state" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in found["loc"])
    return InvalidDocument(f"{path}: {found['msg']}", path=path)
