"""The example that all checks of an operator share, and how they run it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from gaudi_lab.custom_ops import examples
from gaudi_lab.custom_ops.promises import tensors
from gaudi_lab.errors import LabError

if TYPE_CHECKING:
    from gaudi_lab.custom_ops.operator import CustomOp


class Ran(NamedTuple):
    """What a run came to: its results, and its arguments afterwards."""

    results: Any
    arguments: Any


class Case:
    """An operator and an example of its arguments, on the CPU.

    Attributes
    ----------
    expected
        What the operator makes of the example, once and plainly.
    random
        Whether it draws random numbers: it makes something else of the same example, but not from the same seed.
    """

    def __init__(self, operator: CustomOp, inputs: tuple[Any, ...]) -> None:
        self.operator = operator
        self.inputs = inputs
        self.expected = self.run(operator, inputs)
        self.random = self._is_random()

    @property
    def body(self) -> Callable[..., Any]:
        """The function behind the operator."""
        body = self.operator.part("body")
        assert body is not None
        return body

    @property
    def reference(self) -> Callable[..., Any] | None:
        """The same in float64, if the user has given it."""
        return self.operator.part("reference")

    @property
    def on_host(self) -> bool:
        """Whether the body reads the host's memory, as C++ does."""
        return self.operator.entry.on_host

    def run(self, function: Callable[..., Any], inputs: tuple[Any, ...], *, seed: int | None = 0) -> Ran:
        """Run a function on copies of arguments, of the same strides, from the same seed."""
        given = examples.copies(inputs)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.manual_seed(seed)
            return Ran(function(*given), given)

    def expected_in_float64(self, inputs: tuple[Any, ...]) -> Ran | None:
        """Return what should come out in float64: by the reference, otherwise by the body; None if neither can."""
        wide = in_dtype(inputs, torch.float64)
        try:
            return self.run(self.reference or self.body, wide)
        except Exception:
            if self.reference is not None:
                raise
            return None

    def _is_random(self) -> bool:
        again = self.run(self.operator, self.inputs, seed=1)
        return not all(
            torch.equal(x, y) or (x.isnan() & y.isnan()).any()
            for x, y in zip(tensors(self.expected.results), tensors(again.results), strict=False)
        )

    def where(self, error: BaseException) -> str:
        """Return an error in one sentence, with the line of the operator's source that it came from."""
        error = _own_cause(error)
        text = (error.for_notebook() if isinstance(error, LabError) else str(error)).strip()
        plain = next((plain for part, plain in _PLAINLY.items() if part in text), None)
        if plain is None:
            plain = text.partition("\n")[0][:_LONGEST]
            plain = plain if isinstance(error, LabError) else f"{type(error).__name__}: {plain}"
        return f"{plain}{self._line(error)}"

    def _line(self, error: BaseException) -> str:
        made_from = self.operator.definition
        ours = made_from.file if made_from is not None else None
        body = getattr(self.body, "__code__", None)
        files = {ours, body.co_filename if body is not None else None}
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files
        ]
        return f" (line {lines[-1]})" if lines else ""


def _own_cause(error: BaseException) -> BaseException:
    """Return what an operator of ours said, if that is behind an error: a compiler wraps it in words of its own."""
    link: BaseException | None = error
    for _ in range(_DEEPEST):
        if link is None:
            break
        if isinstance(link, LabError):
            return link
        link = link.__cause__ or link.__context__
    return error


_DEEPEST = 20
_LONGEST = 400

# What PyTorch says of something that is the operator's own doing, in other words.
_PLAINLY = {
    "Please convert all Tensors to FakeTensors first": "it uses a tensor that is none of its arguments, and so belongs "
    "to one device; make it an argument",
    "Could not guard on data-dependent expression": "what it does depends on values, which nobody has before it runs; "
    "write a function shape",
}


def in_dtype(inputs: tuple[Any, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    """Return arguments with every tensor of floating point in another dtype."""
    return examples.map_tensors(
        inputs, lambda x: x.detach().to(dtype) if x.is_floating_point() else x.detach().clone()
    )
