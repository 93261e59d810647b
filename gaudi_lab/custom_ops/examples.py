"""Example arguments of an operator: what its `example` returns, or some made from the types.

The rule: the first tensor is of (4, 6) float32 values from a normal distribution, and so is every other; a list of
tensors has two of them. A number has its default value if there is one; otherwise an int is 2, a float 0.5, a bool
True. Optional arguments are left out. Everything else needs an `example`. The values are the same at every call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from gaudi_lab.custom_ops import torch_internals
from gaudi_lab.errors import LabError

if TYPE_CHECKING:
    from gaudi_lab.custom_ops.operator import CustomOp

_SIZE = (4, 6)
_NUMBERS: dict[str, Any] = {"int": 2, "SymInt": 2, "float": 0.5, "bool": True, "number": 0.5, "Scalar": 0.5}


def of(operator: CustomOp) -> tuple[Any, ...]:
    """Return example arguments, on the CPU.

    Raises
    ------
    LabError
        There is no `example`, and the rule has nothing for one of the types.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        example = operator.part("example")
        if example is None:
            return tuple(
                [_made(operator, argument) for argument in torch_internals.arguments_of(operator.overload)]
            )
        made = example()
    return made if isinstance(made, tuple) else (made,)


def map_tensors(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """Return arguments or results with `change` done to every tensor in them."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)([map_tensors(x, change) for x in value])
    return value


def copies(value: Any) -> Any:
    """Return arguments with tensors of their own, of the same strides."""
    return map_tensors(value, lambda x: x.detach().clone(memory_format=torch.preserve_format))


def _made(operator: CustomOp, argument: Any) -> Any:
    kind = str(argument.type)
    if argument.has_default_value():
        return argument.default_value
    if kind == "Tensor":
        return torch.randn(_SIZE)
    if kind == "List[Tensor]":
        return [torch.randn(_SIZE), torch.randn(_SIZE)]
    if kind.startswith("Optional"):
        return None
    if kind in _NUMBERS:
        return _NUMBERS[kind]
    raise LabError(
        f"The operator {operator.__name__} has an argument {argument.name} of type {kind}, for which no example can be "
        "made. Write a function example that returns a tuple of arguments.",
        python="def example(): return torch.randn(4, 6), ...",
    )
