"""PyTorch's own operator samples, run on the device and on the CPU.

A case is an operator in one dtype and one variant: the function, the in-place method, or the function with
`out=`. It passes if every sample does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from op_db_compare import COMPILED, Mover, Tolerance, difference
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing._internal.common_methods_invocations import op_db

INTEGERS = (torch.int64, torch.int32, torch.uint8, torch.bool)
OTHERS = (torch.float64, torch.complex64, torch.bfloat16, torch.float8_e4m3fn)

# What comes after the input has to lie on the host, on every device.
HOST_ARGUMENTS = {"tensor_split"}

# What these return was never written: only its shape is defined.
UNWRITTEN = {"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"}


@functools.cache
def cases() -> dict[str, tuple[Any, torch.dtype, str]]:
    """Return every case by name: the operator's record, the dtype, and the variant."""
    found: dict[str, tuple[Any, torch.dtype, str]] = {}
    for op in op_db:
        for dtype in _dtypes(op):
            for variant in _variants(op):
                name = f"{op.full_name}:{str(dtype).removeprefix('torch.')}{variant and ':' + variant}"
                found.setdefault(name, (op, dtype, variant))
    return found


def _dtypes(op: Any) -> list[torch.dtype]:
    known = op.supported_dtypes("cpu")
    chosen = [torch.float32] if torch.float32 in known else []
    chosen += [dtype for dtype in INTEGERS if dtype in known][:1]
    return chosen or [dtype for dtype in OTHERS if dtype in known][:1]


def _variants(op: Any) -> list[str]:
    variants = [""]
    if op.inplace_variant is not None:
        variants.append("inplace")
    if op.supports_out:
        variants.append("out")
    return variants


def run(
    name: str, repeats: int, limit: int | None = None, compiled: bool = False
) -> Iterator[tuple[int, str | None]]:
    """Yield, for each sample of a case that the CPU accepts, its number and what is wrong; None if nothing is.

    Parameters
    ----------
    name
        The case.
    repeats
        How often each sample runs: in lazy mode the second time replays what the first compiled.
    limit
        At most so many samples.
    compiled
        Whether a compiler runs what was recorded, which rounds elsewhere.
    """
    op, dtype, variant = cases()[name]
    call = _call(op, variant)
    contents = op.name not in UNWRITTEN
    for number, sample in enumerate(op.sample_inputs("cpu", dtype, requires_grad=False)):
        if limit is not None and number >= limit:
            return
        if variant == "inplace" and sample.broadcasts_input:
            continue
        expected = _on_cpu(call, sample)
        if expected is not None:
            check = functools.partial(
                _on_device, op, call, sample, expected, contents, COMPILED if compiled else None
            )
            yield number, _first(check, repeats)


def _first(check: Callable[[], str | None], repeats: int) -> str | None:
    """Return the first problem that `check` finds, tried so many times."""
    for attempt in range(repeats):
        try:
            problem = check()
        except Exception as error:
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if problem:
            return problem if attempt == 0 else f"second run: {problem}"
    return None


def _tensors(x: Any) -> Any:
    """Return `x` with None for what is no tensor: only tensors can be changed by an operator."""
    if isinstance(x, dict):
        return {name: _tensors(y) for name, y in x.items()}
    if isinstance(x, (list, tuple)):
        return [_tensors(y) for y in x]
    return x if isinstance(x, torch.Tensor) else None


def _call(op: Any, variant: str) -> Callable[..., Any]:
    if variant == "inplace":
        return op.inplace_variant
    if variant != "out":
        return op.op

    def into_out(*args: Any, **kwargs: Any) -> Any:
        shapes = op.op(*args, **kwargs)
        filled = _like(shapes, resized=False)
        op.op(*args, **kwargs, out=filled)
        grown = _like(shapes, resized=True)
        op.op(*args, **kwargs, out=grown)
        return filled, grown

    return into_out


def _like(x: Any, resized: bool) -> Any:
    if isinstance(x, torch.Tensor):
        return x.new_empty(0) if resized else torch.full_like(x, 1)
    return tuple([_like(y, resized) for y in x])


def _on_cpu(call: Callable[..., Any], sample: Any) -> tuple[Any, Any] | None:
    move = Mover("cpu")
    args, kwargs = move([sample.input, *sample.args]), move(sample.kwargs)
    torch.manual_seed(7)
    try:
        # The device's stock attention is matmul, softmax, matmul: hold it against the CPU's own of that kind.
        with sdpa_kernel(SDPBackend.MATH):
            return call(*args, **kwargs), (args, kwargs)
    except Exception:
        return None  # the CPU does not take this sample either


def _on_device(
    op: Any,
    call: Callable[..., Any],
    sample: Any,
    expected: Any,
    contents: bool,
    tolerance: Tolerance,
) -> str | None:
    move = Mover("hpu")
    rest = Mover("cpu") if op.name in HOST_ARGUMENTS else move
    args, kwargs = [move(sample.input), *rest(list(sample.args))], rest(sample.kwargs)
    torch.hpu.synchronize()
    torch.manual_seed(7)
    got = call(*args, **kwargs)
    problem = difference(got, expected[0], contents, tolerance)
    if problem is None:
        changed = difference(_tensors((args, kwargs)), _tensors(expected[1]), tolerance=tolerance)
        problem = changed and f"an argument afterwards: {changed}"
    return problem
