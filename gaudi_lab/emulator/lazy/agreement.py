"""What counts as agreeing, and whether a compiler is believed: the one place that decides it, for all of them.

A compiled program is believed once its first results agree with those of the same program run step by step, one
operator after the other. If they do not, the program runs step by step for good, and this is said: by a warning,
and by `disagreements`, which the workbench's status and warm-up show.

Two results agree if they have one shape and one dtype, and

- integers and booleans are equal;
- floating-point numbers differ by no more than `TOLERANCE` allows, relative to the largest value of the tensor.
  A number at the end of the dtype's range, such as a mask's, is compared relative to itself, so that it hides
  nothing. NaN equals NaN and an infinity equals itself. Complex numbers are compared by their parts.

A program that computes anything in a coarser dtype than that of a result is allowed the coarser one's rounding. A
tensor that holds nothing but rounding beside the other results, such as the gradient of a bias that the next layer
subtracts again, agrees with any other such tensor, unless that is all zeros.

The comparison needs two runs that start alike. Whoever asks for it sees to that: a program that draws random
numbers or writes into its inputs is either not compiled (`inductor.fits`) or begun again from the same generator
and the same memory (`gaudi_lab.emulator.traced.checked_graph`).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch

from gaudi_lab import origin

_ROUNDINGS = 8
"""How many roundings of a 16-bit dtype two runs may be apart: a compiler that fuses leaves most of them out."""

TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.bfloat16: _ROUNDINGS * torch.finfo(torch.bfloat16).eps,
    torch.float16: _ROUNDINGS * torch.finfo(torch.float16).eps,
}
"""The largest difference relative to the largest value, by dtype. Of any other dtype, of 8 bits, it is one step."""

_NOISE = 16
"""Of how many steps of its dtype, at the median of the results' largest values, a tensor may be rounding."""


class Disagreement(NamedTuple):
    """A compiled graph that is not believed.

    Attributes
    ----------
    graph
        What the counters call it, such as ``graph_12``.
    compiler
        Which compiler made it.
    difference
        How the results differ, as a phrase such as "result 1 of 2 by 0.5 of its largest value, ...".
    """

    graph: str
    compiler: str
    difference: str

    def __str__(self) -> str:
        return (
            f"{self.graph} was compiled by {self.compiler}, whose results differ from the step-by-step run "
            f"({self.difference}); it runs step by step"
        )


disagreements: list[Disagreement] = []
"""All compiled graphs that were not believed, since the process started."""


def believe(graph: str, compiler: str, difference: str | None) -> bool:
    """Return True if a compiler is to be believed, and tell of it otherwise.

    Parameters
    ----------
    graph, compiler
        What was compiled, and by what.
    difference
        What `difference_of` found between its results and those of the step-by-step run.
    """
    if difference is None:
        return True
    found = Disagreement(graph, compiler, difference)
    disagreements.append(found)
    origin.warn(f"{found}: the results are right, and take longer to compute")
    return False


def difference_of(
    found: Sequence[Any],
    expected: Sequence[Any],
    *,
    computed_in: Iterable[torch.dtype] = (),
    layout: bool = False,
    what: str = "result",
) -> str | None:
    """Return how two runs' results differ, as a phrase; None if they agree.

    Parameters
    ----------
    found, expected
        Results of the compiled run and of the step-by-step run, in order: tensors or anything else.
    computed_in
        Dtypes in which the program computes anything, besides those of its results.
    layout
        Whether the strides have to be the same too, but for those over a single element. They have to where
        later operators were recorded for them; elsewhere an operator that needs others says so.
    what
        What the phrase calls a result.
    """
    if len(found) != len(expected):
        return f"{len(found)} {what}s instead of {len(expected)}"
    coarse = [dtype for dtype in computed_in if _precision(dtype)]
    sizes = [
        size
        for x in expected
        if isinstance(x, torch.Tensor) and _precision(x.dtype) and (size := _largest(x))
    ]
    typical = statistics.median_high(sizes) if sizes else 0.0
    for number, (a, b) in enumerate(zip(found, expected, strict=True), start=1):
        if (how := _compare(a, b, coarse, typical, layout)) is not None:
            return f"{what} {number} of {len(found)} {how}"
    return None


def _compare(a: Any, b: Any, coarse: list[torch.dtype], typical: float, layout: bool) -> str | None:
    if a is None and isinstance(b, torch.Tensor):
        a = torch.zeros_like(b)  # no gradient is a gradient of zeros
    elif b is None and isinstance(a, torch.Tensor):
        b = torch.zeros_like(a)
    if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor):
        same = a.__class__ is b.__class__ and a == b
        return None if same else f"is {a!r} instead of {b!r}"
    if a.shape != b.shape:
        return f"has shape {tuple(a.shape)} instead of {tuple(b.shape)}"
    if a.dtype != b.dtype:
        return f"is {a.dtype} instead of {b.dtype}"
    if layout and _steps(a) != _steps(b):
        return f"has strides {a.stride()} instead of {b.stride()}"
    if not _precision(b.dtype):
        return None if torch.equal(a, b) else "differs, and holds no numbers that are rounded"
    dtypes = [b.dtype, *coarse]
    tolerance = max(map(_tolerance, dtypes))
    # A compiler that leaves something out returns zeros, and rounding is seldom so exact.
    noise = min(_NOISE * max(map(_precision, dtypes)), tolerance) * typical if a.any() else 0.0
    return _measure(_numbers(a), _numbers(b), tolerance, _largest(b), noise)


def _measure(a: torch.Tensor, b: torch.Tensor, tolerance: float, largest: float, noise: float) -> str | None:
    gap = (a - b).abs().nan_to_num(nan=torch.inf, posinf=torch.inf)
    gap = gap.masked_fill((a == b) | (a.isnan() & b.isnan()), 0.0)
    size = torch.where(b.isfinite(), b.abs(), 0.0).clamp(min=largest)
    if not bool((gap > (size * tolerance).clamp(min=noise)).any()):
        return None
    worst = float((gap / size).nan_to_num(nan=0.0, posinf=torch.inf).max())
    return f"by {worst:.2g} of its largest value, where {tolerance:.1g} is rounding"


def _numbers(x: torch.Tensor) -> torch.Tensor:
    """Return `x` as real numbers in a dtype that computes."""
    x = x.detach()
    if x.layout is not torch.strided:
        x = x.to_dense()
    if x.is_complex():
        x = torch.view_as_real(x.resolve_conj())
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _largest(x: torch.Tensor) -> float:
    """Return the largest absolute value, of those that are not at the end of the dtype's range."""
    sizes = _numbers(x).abs()
    return float(sizes.masked_fill(~(sizes < torch.finfo(x.dtype).max / 4), 0.0).max()) if x.numel() else 0.0


def _steps(x: torch.Tensor) -> list[int]:
    """Return the strides that lead to another element."""
    return [step for n, step in zip(x.shape, x.stride(), strict=True) if n > 1] if x.numel() else []


def _precision(dtype: torch.dtype) -> float:
    """Return the largest relative step between two numbers; 0 for a dtype that does not round."""
    return torch.finfo(dtype).eps if dtype.is_floating_point or dtype.is_complex else 0.0


def _tolerance(dtype: torch.dtype) -> float:
    return TOLERANCE.get(dtype.to_real(), _precision(dtype))
