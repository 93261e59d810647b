"""What comes out: against the reference, again, of strided and empty inputs, in bfloat16."""

from __future__ import annotations

import functools
from typing import Any

import torch

from gaudi_lab.custom_ops import closeness, examples, torch_internals
from gaudi_lab.custom_ops.promises import tensors, told_by
from gaudi_lab.custom_ops.ticking import guarded_memory
from gaudi_lab.custom_ops.ticking.case import Case, in_dtype
from gaudi_lab.custom_ops.ticking.ticks import Tick


def check_reference(case: Case) -> Tick:
    """Compare with the user's reference in float64."""
    name = "float64 reference"
    if case.reference is None:
        return Tick(name, None, "there is no function reference")
    if case.random:
        return Tick(name, None, "it draws random numbers")
    expected = case.expected_in_float64(case.inputs)
    assert expected is not None
    found = closeness.compare(case.expected.results, expected.results)
    return Tick(name, found.agrees, found.text)


def check_again(case: Case) -> Tick:
    """Run it repeatedly from the same seed."""
    name = "the same again"
    for _ in range(3):
        again = case.run(case.operator, case.inputs)
        for x, y in zip(tensors(case.expected), tensors(again), strict=True):
            if not torch.equal(x.nan_to_num(), y.nan_to_num()):
                apart = closeness.compare(y, x).largest
                return Tick(name, False, f"the same inputs and the same seed gave results {apart:.2g} apart")
    return Tick(name, True, "from the same seed; it draws random numbers" if case.random else "bit for bit")


def check_strided(case: Case) -> Tick:
    """Give it the same values in other strides: columns first, and with gaps of NaN between the elements."""
    name = "strided inputs"
    tried = []
    for layout, how in (
        ("columns first", guarded_memory.columns_first),
        ("gaps between the elements", guarded_memory.gapped),
    ):
        inputs = examples.map_tensors(case.inputs, how)
        if all(x.stride() == y.stride() for x, y in zip(tensors(inputs), tensors(case.inputs), strict=True)):
            continue
        # Not on copies, which would close the gaps.
        given = examples.map_tensors(inputs, lambda x: x)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            results = case.operator(*given)
        found = closeness.compare((results, given), case.expected)
        if not found.agrees:
            return Tick(name, False, f"{layout}: {found.text}")
        tried.append(layout)
    if not tried:
        return Tick(name, None, "the example has no tensor that could be laid out in another way")
    return Tick(name, True, ", ".join(tried))


def check_empty(case: Case) -> Tick:
    """Give it tensors without rows: all that have as many rows as the first, or else one after the other.

    Not all of these make sense to every operator, such as indices into a tensor without rows: one that runs is enough.
    """
    name = "empty inputs"
    sized = [x for x in tensors(case.inputs) if x.dim()]
    if not sized:
        return Tick(name, None, "the example has no tensor with rows")
    alike = [x for x in sized if x.shape[0] == sized[0].shape[0]]
    choices = [alike, *([x] for x in sized if len(sized) > 1)]
    for number, chosen in enumerate(choices, 1):
        inputs = examples.map_tensors(case.inputs, functools.partial(_without_rows, chosen))
        try:
            out = case.run(case.operator, inputs)
            break
        except Exception:
            if number == len(choices):
                raise
    if case.reference is not None:
        found = closeness.compare(
            out.results, case.run(case.reference, in_dtype(inputs, torch.float64)).results
        )
        return Tick(name, found.agrees, "" if found.agrees else found.text)
    shape = case.operator.part("shape") or (None if case.on_host else case.body)
    told = told_by(shape, _named(case, inputs)) if shape is not None else None
    if told is None:
        return Tick(name, True, "it runs; there is nothing to compare it with")
    is_so = [f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}" for x in tensors(out.results)]
    return Tick(name, told == is_so, "" if told == is_so else f"{is_so}, and {told} was expected")


def check_bfloat16(case: Case) -> Tick:
    """Compare what it makes of bfloat16 with what it should make of the same values in float64."""
    name = "bfloat16"
    if not any(x.is_floating_point() for x in tensors(case.inputs)):
        return Tick(name, None, "the example has no tensor of floating point")
    if case.random:
        return Tick(name, None, "it draws random numbers")
    narrow = in_dtype(case.inputs, torch.bfloat16)
    out = case.run(case.operator, narrow)
    expected = case.expected_in_float64(narrow)
    against = "in float64"
    if expected is None:
        expected, against = case.run(case.operator, in_dtype(narrow, torch.float32)), "in float32"
    found = closeness.compare(out.results, expected.results, torch.bfloat16)
    return Tick(name, found.agrees, f"{found.text}, against the same {against}")


def _without_rows(chosen: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    return x[:0] if any(x is one for one in chosen) else x


def _named(case: Case, inputs: tuple[Any, ...]) -> dict[str, Any]:
    names = [argument.name for argument in torch_internals.arguments_of(case.operator.overload)]
    return dict(zip(names, inputs, strict=False))
