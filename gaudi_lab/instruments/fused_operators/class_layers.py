"""Have a module compute with another forward, by giving it a class of its own, and take that back.

The module keeps its attributes, hooks and weights. Its class is made from the one it had: `isinstance` and names hold,
`torch.compile` sees another type and so compiles anew, and a copy or a pickle of it has the class it had before.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from torch import nn

from gaudi_lab.instruments.handle import Handle

Forward = Callable[..., Any]
Note = Callable[[str], None]


class Layer(Protocol):
    """One change of a forward. Equal ones are the same change, so that equal modules share a class."""

    @property
    def operator(self) -> str:
        """The name of the operator that it brings in."""

    def around(self, forward: Forward, stand_ins: StandIns) -> Forward:
        """Return the forward to use instead of `forward`; both take the module first."""

    def __hash__(self) -> int: ...


class _Layered(NamedTuple):
    original: type
    layers: tuple[Layer, ...]


# What each changed module was, and what was put around its forward, innermost first.
_layered: WeakKeyDictionary[nn.Module, _Layered] = WeakKeyDictionary()


class StandIns:
    """The layers on the modules of one model.

    Attributes
    ----------
    plain_calls
        By operator and reason, how often a call did not suit the operator and ran as before.
    """

    def __init__(self) -> None:
        self.plain_calls: Counter[tuple[str, str]] = Counter()
        # Kept, so that switching on again is to torch.compile what it was the first time.
        self._classes: dict[_Layered, type] = {}

    def put(self, module: nn.Module, layer: Layer) -> Handle:
        """Put `layer` around the forward of `module`; removed in any order with others."""
        original, layers = _layered.get(module, _Layered(type(module), ()))
        self._change(module, _Layered(original, (*layers, layer)))

        def undo() -> None:
            original, layers = _layered[module]
            rest = list(layers)
            rest.remove(layer)
            self._change(module, _Layered(original, tuple(rest)))

        return Handle(undo)

    def note_for(self, operator: str) -> Note:
        """Return a function that takes note of why a call ran without `operator`."""
        counted = self.plain_calls

        def note(reason: str) -> None:
            counted[operator, reason] += 1

        # Under torch.compile it runs once, while the call is traced, and leaves nothing in the graph. This is
        # `torch.compiler.assume_constant_result`, whose import takes seconds.
        note._dynamo_marked_constant = True  # type: ignore[attr-defined]  # noqa: SLF001
        return note

    def _change(self, module: nn.Module, layered: _Layered) -> None:
        if layered.layers:
            _layered[module] = layered
            _set_class(module, self._class_of(layered))
        else:
            del _layered[module]
            _set_class(module, layered.original)

    def _class_of(self, layered: _Layered) -> type:
        made = self._classes.get(layered)
        if made is None:
            forward: Forward = layered.original.forward  # type: ignore[attr-defined]
            for layer in layered.layers:
                forward = layer.around(forward, self)
            made = self._classes[layered] = _make_class(layered.original, forward, self)
        return made


def _set_class(module: nn.Module, kind: type) -> None:
    # Past `nn.Module.__setattr__`, which looks for parameters first.
    object.__setattr__(module, "__class__", kind)


def layers_of(module: nn.Module) -> tuple[Layer, ...]:
    """Return what is around the forward of `module`, innermost first."""
    found = _layered.get(module)
    return found.layers if found is not None else ()


def class_before(module: nn.Module) -> type:
    """Return the class of `module` without any layers."""
    found = _layered.get(module)
    return found.original if found is not None else type(module)


def forward_of(module: nn.Module) -> Any:
    """Return the forward of the class of `module` without any layers; it takes the module first."""
    return class_before(module).forward  # type: ignore[attr-defined]


def _make_class(original: type, forward: Forward, stand_ins: StandIns) -> type:
    own: Any = original.forward  # type: ignore[attr-defined]
    if forward is not own:
        # Arguments have the names that they had: to who asks which a model takes, and to who says what differs.
        with suppress(AttributeError, TypeError, ValueError):
            forward.__signature__ = inspect.signature(own)  # type: ignore[attr-defined]

    def reduce(self: Any, protocol: Any) -> Any:
        made: Any = original.__reduce_ex__(self, protocol)  # type: ignore[call-arg]
        # `copyreg.__newobj__` names the class; an own way of doing it is left alone.
        if not isinstance(made, tuple) or getattr(made[0], "__name__", "") != "__newobj__":
            return made
        # What reads it back makes an object of the class in the arguments, and nothing else.
        return (object.__new__, (original,), *made[2:])

    namespace = {
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
        "__reduce_ex__": reduce,
        "forward": forward,
        # Lives as long as a module has this class.
        "_gaudi_lab_stand_ins": stand_ins,
    }
    layered: type = type(original)(original.__name__, (original,), namespace)
    return layered
