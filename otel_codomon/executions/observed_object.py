"""A decorated object that can be called: its calls are executions, the rest is its own.

Imported for the first such object: functions need no proxy.
"""

from __future__ import annotations

import copy
from types import MethodType
from typing import TYPE_CHECKING, Any

from wrapt import ObjectProxy

if TYPE_CHECKING:
    from collections.abc import Callable


class ObservedObject(ObjectProxy):  # type: ignore[type-arg] # wrapt 1 takes none
    """Stands for an object: same methods, attributes and class, and its calls are observed.

    Args:
        target: The object.
        call: It, wrapped as a function is.
        again: Makes the same of a copy of it.
    """

    def __init__(
        self, target: object, call: Callable[..., Any], again: Callable[[object], object]
    ) -> None:
        super().__init__(target)
        self._self_call = call
        self._self_again = again

    # Looked up as an attribute, so that `inspect` sees what kind of function it is.
    __call__ = property(lambda self: self._self_call)

    def __get__(self, instance: object, owner: type | None = None) -> object:
        """Bind like the object: as a function would be, or not at all."""
        is_bound = instance is not None and hasattr(type(self.__wrapped__), "__get__")
        return MethodType(self, instance) if is_bound else self

    def __copy__(self) -> object:
        return self._self_again(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: dict[int, Any]) -> object:
        return self._self_again(copy.deepcopy(self.__wrapped__, memo))

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        return self._self_again, (self.__wrapped__,)
