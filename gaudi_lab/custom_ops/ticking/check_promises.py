"""PyTorch's own checks, `torch.library.opcheck`: what an operator says of itself is so."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch

from gaudi_lab.custom_ops import examples
from gaudi_lab.custom_ops.ticking.case import Case
from gaudi_lab.custom_ops.ticking.ticks import Tick

# The utilities of opcheck, and what they find out.
_TESTS = {
    "test_schema": "schema",
    "test_autograd_registration": "autograd registration",
    "test_faketensor": "shape function",
    "test_aot_dispatch_dynamic": "traced with any size",
}


def check(case: Case) -> Iterator[Tick]:
    """Yield one tick for each test of `opcheck`."""
    differentiable = case.operator.part("backward") is not None
    for test, name in _TESTS.items():
        inputs = examples.map_tensors(
            examples.copies(case.inputs),
            lambda x: x.requires_grad_() if differentiable and x.is_floating_point() else x,
        )
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            found = torch.library.opcheck(
                case.operator.overload, inputs, test_utils=test, raise_exception=False
            )[test]
        if isinstance(found, BaseException):
            yield Tick(name, False, case.where(_innermost(found)))
        else:
            yield Tick(name, True)


def _innermost(error: BaseException) -> BaseException:
    """Return what went wrong first: opcheck wraps it in advice."""
    seen = {id(error)}
    while (cause := error.__cause__) is not None and id(cause) not in seen:
        seen.add(id(cause))
        error = cause
    return error
