"""Stand in front of one method of one object, leaving its class and its other methods alone."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import lru_cache, wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView

Around = Callable[[Any, Callable[[], Any]], Any]
"""Called instead of the method, with the object and what calls the method itself."""

_AROUND: Final = "_codomon_around"


def hook_method(target: Any, method: str, around: Around) -> Callable[[], None] | None:  # noqa: ANN401 - any object
    """Have *around* called in place of ``target.method``.

    Three ways, since no single one is harmless everywhere. A function's own
    attribute is replaced. An object of a class written in Python gets a
    subclass of it that goes by the same name. What is written in C gets its
    own attribute, which decorators around it are not shown: they would copy
    it to themselves, and it would hide a method of theirs.

    Returns:
        What puts everything back as it was; None where none of the ways is open.
    """
    if isinstance(target, FunctionType):
        return _replace_attribute(target, method, around)
    if not hasattr(target, "__dict__"):
        return None
    return _change_class(target, method, around) or _add_attribute(target, method, around)


def _replace_attribute(
    target: FunctionType, method: str, around: Around
) -> Callable[[], None] | None:
    before = vars(target).get(method)
    if before is None:
        return None
    hook = _hook(weakref.ref(target), before, around)
    vars(target)[method] = hook
    reference = weakref.ref(target)

    def put_back() -> None:
        alive = reference()
        if alive is not None and vars(alive).get(method) is hook:
            vars(alive)[method] = before

    return put_back


def _hook(
    reference: weakref.ref[Any], original: Callable[..., Any], around: Around
) -> Callable[..., Any]:
    """Refer to the target weakly: it refers to this."""

    @wraps(original)
    def hook(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the method
        target = reference()
        if target is None:  # somebody kept the method longer than its object
            return original(*args, **kwargs)
        return around(target, lambda: original(*args, **kwargs))

    return hook


def _change_class(target: Any, method: str, around: Around) -> Callable[[], None] | None:  # noqa: ANN401 - any object
    before = type(target)
    try:
        target.__class__ = _subclass(before, method)  # type: ignore[arg-type] # types have a hash
    except TypeError:  # written in C, or final
        return None
    setattr(target, _AROUND, around)
    changed, reference = type(target), weakref.ref(target)

    def put_back() -> None:
        alive = reference()
        if alive is not None and type(alive) is changed:
            alive.__class__ = before
            delattr(alive, _AROUND)

    return put_back


@lru_cache(maxsize=128)
def _subclass(base: type[Any], method: str) -> type[Any]:
    """One for all objects of a class: the interpreter is fastest where objects share theirs."""
    original = getattr(base, method)

    @wraps(original)
    def hook(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the method
        around: Around = getattr(self, _AROUND)
        return around(self, lambda: original(self, *args, **kwargs))

    own = {"__slots__": (), "__module__": base.__module__, "__qualname__": base.__qualname__}
    return type(base.__name__, (base,), {**own, "__doc__": base.__doc__, method: hook})


def _add_attribute(target: Any, method: str, around: Around) -> Callable[[], None] | None:  # noqa: ANN401 - any object
    of_class = getattr(type(target), method)
    reference = weakref.ref(target)

    @wraps(of_class)
    def hook(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the method
        alive = reference()
        if alive is None:
            return None  # with the object went what there was to do
        return around(alive, lambda: of_class(alive, *args, **kwargs))

    try:
        target.__dict__ = _Discreet(vars(target), method, hook)
    except (AttributeError, TypeError):  # it does not let its attributes be exchanged
        return None

    def put_back() -> None:
        alive = reference()
        if alive is not None and isinstance(vars(alive), _Discreet):
            alive.__dict__ = dict(vars(alive))

    return put_back


class _Discreet(dict[str, Any]):
    """The attributes of an object, one of which is used and not shown.

    Attributes are looked up in C, where it is found. Whoever goes through them
    or copies them does so by the methods below, and finds the others.
    """

    def __init__(self, shown: dict[str, Any], name: str, value: object) -> None:
        super().__init__(shown)
        super().__setitem__(name, value)
        self._name = name

    def copy(self) -> dict[str, Any]:
        """A plain dict of what is shown."""
        return {name: self[name] for name in self}

    def __iter__(self) -> Iterator[str]:
        return (name for name in super().__iter__() if name != self._name)

    def keys(self) -> KeysView[str]:  # type: ignore[override] # the stub names the class
        """The names that are shown."""
        return dict.fromkeys(self).keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override] # as above
        """The values that are shown."""
        return self.copy().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override] # as above
        """What is shown."""
        return self.copy().items()
