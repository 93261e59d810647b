"""What PyTorch knows of operators and tensors and has no public name for. Every private name that we use is here."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

_COUNTING = torch._C.DispatchKeySet(torch._C.DispatchKey.ADInplaceOrView)


def overload_of(made: Any) -> Any:
    """Return the operator that `torch.library.custom_op` has made."""
    return made._opoverload


def arguments_of(overload: Any) -> list[Any]:
    """Return the arguments of an operator, each with `name`, `type` and its default."""
    return list(overload._schema.arguments)


def results_of(overload: Any) -> list[str]:
    """Return the types of what an operator returns."""
    return [str(returned.type) for returned in overload._schema.returns]


def returns_own_memory(overload: Any) -> bool:
    """Whether no result of an operator is one of its arguments, or a view of one."""
    return all(returned.alias_info is None for returned in overload._schema.returns)


def argument_names(schema: str) -> list[str]:
    """Return the names of the arguments of a schema such as ``(Tensor x) -> Tensor``."""
    return [argument.name for argument in torch._C.parse_schema(f"op{schema}").arguments]


def calls_may_fit(earlier: str, later: str) -> bool:
    """Return whether calls that fit one schema may fit another, by how many arguments each takes and needs."""
    before, after = (torch._C.parse_schema(f"op{schema}").arguments for schema in (earlier, later))
    needed, needs = (sum(not one.has_default_value() for one in taken) for taken in (before, after))
    return needed <= len(after) and needs <= len(before)


def writes_counted() -> AbstractContextManager[None]:
    """Let PyTorch count writes into tensors inside, as it does for its users.

    Below the operator of a device it does not, unless told.
    """
    included = torch._C._dispatch_tls_local_include_set()
    excluded = torch._C._dispatch_tls_local_exclude_set()
    return torch._C._ForceDispatchKeyGuard(included, excluded - _COUNTING)


def writes_into(x: torch.Tensor) -> int | None:
    """Return how often a tensor was written into; None where that is not counted, as in inference mode."""
    try:
        return int(x._version)
    except RuntimeError:
        return None


def rounding(dtype: torch.dtype) -> tuple[float, float]:
    """Return the relative and absolute tolerance for a dtype, those of `torch.testing.assert_close`."""
    relative, absolute = torch.testing._comparison.default_tolerances(dtype)
    return float(relative), float(absolute)
