"""The gradient: against the reference's in float64, and against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.gradcheck import GradcheckError

from gaudi_lab.custom_ops import closeness, examples
from gaudi_lab.custom_ops.promises import tensors
from gaudi_lab.custom_ops.ticking.case import Case, in_dtype
from gaudi_lab.custom_ops.ticking.ticks import Tick

_NAME = "gradient"


def check(case: Case) -> Tick:
    """Compare the gradient that the operator has."""
    if case.operator.part("backward") is None:
        return Tick(_NAME, None, "there is no function backward")
    if not any(x.is_floating_point() for x in tensors(case.inputs)):
        return Tick(_NAME, None, "the example has no tensor of floating point")
    if case.random:
        return Tick(_NAME, None, "it draws random numbers")
    told = []
    if case.reference is not None:
        expected = _gradients(case.reference, in_dtype(case.inputs, torch.float64))
        found = closeness.compare(_gradients(case.operator, case.inputs), expected)
        if not found.agrees:
            return Tick(_NAME, False, f"against the reference's: {found.text}")
        told.append(f"the reference's: {found.text}")
    wide = in_dtype(case.inputs, torch.float64)
    try:
        case.run(case.operator, wide)
    except Exception as error:
        if told:
            return Tick(_NAME, True, f"{told[0]}; the body does not run in float64, for finite differences")
        return Tick(
            _NAME, None, f"there is no reference, and the body does not run in float64: {case.where(error)}"
        )
    leaves = examples.map_tensors(wide, lambda x: x.requires_grad_() if x.is_floating_point() else x)
    try:
        torch.autograd.gradcheck(case.operator.overload, leaves)
    except GradcheckError as error:
        return Tick(_NAME, False, f"against finite differences: {str(error).strip().partition(chr(10))[0]}")
    return Tick(_NAME, True, "; ".join([*told, "finite differences in float64"]))


def _gradients(function: Callable[..., Any], inputs: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
    """Return the gradient for every tensor of floating point, of the sum of all results, weighted differently."""
    given = examples.map_tensors(
        examples.copies(inputs), lambda x: x.requires_grad_() if x.is_floating_point() else x
    )
    total = torch.zeros((), dtype=torch.float64)
    for out in tensors(function(*given)):
        if out.is_floating_point():
            weights = torch.linspace(0.5, 1.5, out.numel(), dtype=torch.float64).reshape(out.shape)
            total = total + (out.to(torch.float64) * weights).sum()
    leaves = [x for x in tensors(given) if x.requires_grad]
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    return tuple(
        [torch.zeros_like(x) if grad is None else grad for x, grad in zip(leaves, found, strict=True)]
    )
