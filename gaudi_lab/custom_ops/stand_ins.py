"""Let an operator stand in for a type of modules, or for a function, in a live model; and take that back."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gaudi_lab.custom_ops import closeness, torch_internals
from gaudi_lab.custom_ops.closeness import Closeness
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.instruments import calls, nested, operator_ways
from gaudi_lab.instruments.fused_operators.class_layers import class_before
from gaudi_lab.instruments.handle import Handle

if TYPE_CHECKING:
    from gaudi_lab.custom_ops.operator import CustomOp

Arguments = Callable[..., tuple[Any, ...]]
Put = Callable[[nn.Module, Callable[..., Any]], Handle]
"""Puts an operator, or what stands for it, into a model."""

# Of each model those in it, which do not keep it alive.
_standing: WeakKeyDictionary[nn.Module, list[StandIn]] = WeakKeyDictionary()
_OPERATOR = "_gaudi_lab_operator"
"""On a forward that was put on a module: whose it is."""
_BEFORE = "_gaudi_lab_before"
"""And what was on the module before; None if that was nothing."""


class StandIn(Handle):
    """An operator in a model, until it is removed.

    Attributes
    ----------
    operator
        Its name.
    replaced
        What it stands in for, such as "GELU".
    places
        The paths of the modules, or of the model itself for a function.
    difference
        How the model's outputs with it compare with those without; None once the operator was defined anew.
    """

    def __init__(
        self,
        model: nn.Module,
        put: Put,
        edit: Handle,
        operator: CustomOp,
        replaced: str,
        places: tuple[str, ...],
        difference: Closeness,
    ) -> None:
        super().__init__(self._take_out)
        self._model = weakref.ref(model)
        self._put = put
        self._edit = edit
        self._body = operator
        self._schema = operator.entry.schema
        self.operator = operator.__name__
        self.replaced = replaced
        self.places = places
        self.difference: Closeness | None = difference
        _standing.setdefault(model, []).append(self)

    def remove(self) -> None:
        """Put back what was there before.

        Raises
        ------
        LabError
            Something else was put on top since. It has to go first; this stays.
        """
        if self.active:
            self._edit.remove()
        super().remove()

    def forget_graphs(self) -> None:
        """Have HPU graphs of the model captured anew: they hold what was there when they were captured."""
        if (model := self._model()) is not None:
            operator_ways.drop_graphs(model)

    def is_like(self, operator: str, replaced: str) -> bool:
        """Whether the same is asked for again, as when a cell runs twice."""
        return (self.operator, self.replaced) == (operator, replaced)

    def lift(self) -> None:
        """Take the edit away until `put_back`, to compare with the model without it."""
        self._edit.remove()

    def put_back(self) -> None:
        """Make the edit again, if it was lifted."""
        model = self._model()
        if model is not None and not self._edit.active:
            self._edit = self._put(model, self._body if self._fits() else self._refuse)

    def renew(self) -> None:
        """Take note that the operator was defined anew: its calls here may not fit any more."""
        self.difference = None
        with suppress(LabError):  # something is on top, and below it stays what there is
            self.lift()
            self.put_back()
        self.forget_graphs()

    def _fits(self) -> bool:
        return torch_internals.calls_may_fit(self._schema, self._body.entry.schema)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        """Stand for an operator that these calls cannot be for."""
        name = self.operator
        raise LabError(
            f"{name} stands in for {self.replaced} as {name}{self._schema}, and was since defined as "
            f"{name}{self._body.entry.schema}, which the same calls do not fit.",
            python=f"{name}.stand_in(model, x, for_={self.replaced}, arguments=lambda *inputs: ...)  "
            f"# or its earlier handle.remove()",
        )

    def _take_out(self) -> None:
        if (model := self._model()) is not None:
            _standing[model].remove(self)
        self.forget_graphs()

    def __repr__(self) -> str:
        state = "stands in" if self.active else "no longer stands in"
        where = (
            f"{len(self.places)} places: {', '.join(self.places)}" if len(self.places) > 1 else self.places[0]
        )
        compared = (
            f"Outputs: {self.difference.text}."
            if self.difference is not None
            else "It was defined anew since, and outputs were not compared again."
        )
        return f"{self.operator} {state} for {self.replaced} at {where}. {compared}"


def stand_in(
    operator: CustomOp,
    model: nn.Module,
    *inputs: Any,
    for_: type[nn.Module] | Callable[..., Any],
    arguments: Arguments | None = None,
    beyond_rounding: bool = False,
) -> StandIn:
    """Let an operator stand in for every module of a type, or for a function that the model calls.

    The model runs once without it and once with it, in evaluation mode, and both outputs are compared. To ask for the
    same again, as when a cell runs twice, takes the place of the first time.

    Parameters
    ----------
    operator
        What stands in.
    model
        Any module; it stays the same object, with the same parameters.
    *inputs
        What to call the model with. One dict is taken for named arguments.
    for_
        A class of modules, such as `nn.GELU`; or a function of PyTorch's, such as `torch.nn.functional.gelu`.
    arguments
        Makes the operator's arguments of those of the call; of a module, it gets the module first. By default they are
        the same.
    beyond_rounding
        Whether outputs may differ by more than the rounding of their dtype, or be none that can be compared.

    Returns
    -------
    StandIn
        Its `remove()` undoes this.

    Raises
    ------
    LabError
        The outputs differ or cannot be compared, or no call has reached the operator. The model is as it was.
    LabValueError
        There is nothing of that type, or there are no inputs to compare with.

    Examples
    --------
    >>> with scaled_gelu.stand_in(model, x, for_=nn.GELU, arguments=lambda gelu, x: (x, 1.0)):
    ...     model(x)
    """
    if not inputs:
        raise LabValueError(
            f"To put {operator.__name__} into the model, its outputs are compared before and after, which needs "
            "inputs of the model.",
            python=f"{operator.__name__}.stand_in(model, x, for_={getattr(for_, '__name__', for_)})",
        )
    places, edit = _edit(operator, model, for_, arguments)
    replaced = getattr(for_, "__name__", str(for_))
    earlier = [x for x in _standing.get(model, ()) if x.is_like(operator.__name__, replaced)]
    with _without(earlier, model):
        before = _outputs(model, inputs)
        if not before and not beyond_rounding:
            raise LabError(
                f"In what the model returns no tensor was found, so that its outputs with {operator.__name__} for "
                f"{replaced} could not be compared. It is as it was.",
                python=f"{operator.__name__}.stand_in(model, ..., for_={replaced}, beyond_rounding=True)",
            )
        seen = operator.calls
        handle = edit(model, operator)
        operator_ways.drop_graphs(model)
        try:
            after = _outputs(model, inputs)
            difference = closeness.compare(after, before) if before else _NOT_COMPARED
            if operator.calls == seen:
                raise LabError(
                    f"{operator.__name__} would stand in for {replaced}, and no call of the model reached it with "
                    "these inputs. It is as it was.",
                    python=f"{operator.__name__}.stand_in(model, other_inputs, for_={replaced})",
                )
            if not difference.agrees and not beyond_rounding:
                raise LabError(
                    f"With {operator.__name__} for {replaced} the model returns something else: {difference.text}. "
                    "It is as it was.",
                    python=f"{operator.__name__}.stand_in(model, ..., for_={replaced}, beyond_rounding=True)",
                )
        except BaseException:
            handle.remove()
            raise
    return StandIn(model, edit, handle, operator, replaced, places, difference)


_NOT_COMPARED = Closeness(False, float("nan"), "could not be compared")


@contextmanager
def _without(earlier: list[StandIn], model: nn.Module) -> Iterator[None]:
    """Have earlier ones away meanwhile: for good if that goes well, and back in their places if not."""
    try:
        for standing in earlier:
            standing.lift()
        yield
    except BaseException:
        for standing in earlier:
            standing.put_back()
        operator_ways.drop_graphs(model)
        raise
    for standing in earlier:
        standing.remove()


def renew(operator: CustomOp) -> None:
    """Have the models that an operator stands in forget their graphs, and what was compared: it was defined anew."""
    for standing in _standing_in_any_model(operator):
        standing.renew()


def of(operator: CustomOp) -> tuple[str, ...]:
    """Return for what an operator stands in now, in words."""
    return tuple([f"{x.replaced} at {', '.join(x.places)}" for x in _standing_in_any_model(operator)])


def _standing_in_any_model(operator: CustomOp) -> list[StandIn]:
    return [x for some in _standing.values() for x in some if x.operator == operator.__name__]


def _edit(
    operator: CustomOp, model: nn.Module, for_: Any, arguments: Arguments | None
) -> tuple[tuple[str, ...], Put]:
    """Return where it goes and what puts it, or what stands for it, there."""
    if isinstance(for_, type) and issubclass(for_, nn.Module):
        found = {path: module for path, module in model.named_modules() if class_before(module) is for_}
        if not found:
            raise LabValueError(
                f"The model has no {for_.__name__}. What it has: {', '.join(_types(model))}.",
                python=f"{operator.__name__}.stand_in(model, x, for_=nn.GELU)",
            )
        places = tuple(path or "the model itself" for path in found)
        kept = [weakref.ref(module) for module in found.values()]

        def put(_: nn.Module, body: Callable[..., Any]) -> Handle:
            return _Forwards(body, [x for ref in kept if (x := ref()) is not None], arguments)

        return places, put
    if not callable(for_):
        raise LabValueError(
            f"{for_!r} is neither a type of modules nor a function.",
            python=f"{operator.__name__}.stand_in(model, x, for_=torch.nn.functional.gelu)",
        )
    name = type(model).__name__
    return (name,), lambda model, body: calls.watch(model, lambda *_: _Redirected(for_, body, arguments))


def _types(model: nn.Module) -> list[str]:
    return list(dict.fromkeys(type(module).__name__ for module in model.modules()))


class _Forwards(Handle):
    """Forwards of modules that an operator stands in for, until all are put back. Keeps no module alive."""

    def __init__(
        self, operator: Callable[..., Any], modules: Iterable[nn.Module], arguments: Arguments | None
    ) -> None:
        self._ours = [
            (weakref.ref(module), weakref.ref(_put_forward(module, operator, arguments)))
            for module in modules
        ]
        super().__init__(self._put_back)

    def remove(self) -> None:
        """Put them back.

        Raises
        ------
        LabError
            Something else has replaced one of them since. All stay.
        """
        if self.active:
            for kept, ours in self._ours:
                if (module := kept()) is not None:
                    _require_on_top(module, ours())
        super().remove()

    def _put_back(self) -> None:
        for kept, _ in self._ours:
            if (module := kept()) is None:
                continue
            before = getattr(vars(module)["forward"], _BEFORE)
            if before is None:
                del vars(module)["forward"]
            else:
                vars(module)["forward"] = before


def _put_forward(
    module: nn.Module, operator: Callable[..., Any], arguments: Arguments | None
) -> Callable[..., Any]:
    def forward(self: nn.Module, *inputs: Any, **named: Any) -> Any:
        if arguments is None:
            return operator(*inputs, **named)
        return operator(*arguments(self, *inputs, **named))

    setattr(forward, _OPERATOR, getattr(operator, "__name__", ""))
    # Kept by what took its place, and so by the module alone.
    setattr(forward, _BEFORE, vars(module).get("forward"))
    # A bound method: a copy of the model gets one that is bound to its own module.
    vars(module)["forward"] = MethodType(forward, module)
    return forward


def _require_on_top(module: nn.Module, ours: Callable[..., Any] | None) -> None:
    there = vars(module).get("forward")
    if ours is not None and getattr(there, "__func__", None) is ours:
        return
    over = f"over the forward of a {type(module).__name__} since, and has to go first."
    name = getattr(there, _OPERATOR, None)
    if name is not None:
        raise LabError(
            f"The operator {name} was put {over}", python="other.remove()  # what its stand_in returned"
        )
    raise LabError(
        f"Something else was put {over}",
        python="gaudi_lab.hpu_graphs(model, False)",
        magic="%gaudi_graphs off",
    )


class _Redirected(TorchFunctionMode):
    """Sends the calls of one function to an operator."""

    def __init__(
        self, function: Callable[..., Any], operator: Callable[..., Any], arguments: Arguments | None
    ) -> None:
        super().__init__()
        self._function, self._operator, self._arguments = function, operator, arguments

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is not self._function:
            return func(*args, **named)
        if self._arguments is None:
            return self._operator(*args, **named)
        return self._operator(*self._arguments(*args, **named))


def _outputs(model: nn.Module, inputs: tuple[Any, ...]) -> Any:
    """Return what the model makes of inputs, with its random numbers from one seed, on the host."""
    named = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], dict) else None
    with torch.no_grad(), _evaluating(model), operator_ways.one_seed():
        out = model(**named) if named is not None else model(*inputs)
        return [x.detach().cpu() for _, x in nested.find_tensors(out)]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
