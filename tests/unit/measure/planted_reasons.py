"""Reasons to compile again, each planted in a small model: what `gaudi_lab.why()` has to say of them.

The numbers are those of the list of causes met in real programs for Gaudi. Not here, because one process on one device
cannot have them: a constant that depends on the rank (8), a library that names its layers anew (11), and an unbacked
symbol, which the device's backend never sees (12). Nor is what a compile-only warm-up leaves behind (16): nothing
compiles for it, and it is told as a warning; see `Keeps`. A reason that is not on the list has 0.
"""

from __future__ import annotations

import gc
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import gaudi_lab
from gaudi_lab import bridge
from gaudi_lab.measure.why import Why

_widths = itertools.count(7, 2)
"""No two cases have a program in common: what one has compiled would be there for the next."""

_TABLE: dict[str, float] | None = None


class Model(nn.Module):
    """Everything that a reason can hang on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.gain = 2.0
        self.layer_name = "first"

    def forward(self, x, temperature=1.0, residual=None, items=()):
        y = self.linear(x)
        y = y * self.gain / temperature
        if self.layer_name == "second":
            y = y.relu()
        if residual is not None:
            y = y + residual
        for item in items:
            y = y + item
        return y


class WithGlobal(nn.Module):
    """Reads a global that is filled after the first call."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        scale = 1.0 if _TABLE is None else 1.5
        return self.linear(x) * scale


class WithMask(nn.Module):
    """Takes out what is positive: how much that is, only the values say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        y = self.linear(x) if x.dim() > 1 else x
        y = y[y > 0]
        return y.sum()


class WithoutWeights(nn.Module):
    """Takes any dtype."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, x):
        return x.relu() + 1


class Keeps(nn.Module):
    """Sets an attribute at its first call: under compile-only that is a value which nothing has computed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale: torch.Tensor | None = None

    def forward(self, x):
        if self.scale is None:
            self.scale = x.abs().mean()
        return x / self.scale


class Convolution(nn.Module):
    """Sees images."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, width, 3)

    def forward(self, pixels):
        return self.layer(pixels)


Call = Callable[[Any, Callable[..., torch.Tensor]], Any]


@dataclass(frozen=True)
class Case:
    """One reason.

    Attributes
    ----------
    number, name
        Of the cause in the list, and in a few words.
    mode
        "lazy", "graphs" or "compile".
    first, second
        The calls: of a model, and of what makes a tensor of some size on the device.
    expected
        What has to be named, with its kind.
    remedy, line
        What the remedy and the line of source have to have in them.
    model
        The class of the model.
    kind
        Which kind of cause there has to be, where differences do not say it.
    of_first
        Whether it is about the first call.
    shadowed
        Whether the graph of the first call then lies in the shadow of another.
    """

    number: int
    name: str
    mode: str
    first: Call
    second: Call
    expected: frozenset[tuple[str, str]]
    remedy: str = ""
    line: str = ""
    model: type[nn.Module] = Model
    kind: str = ""
    of_first: bool = False
    shadowed: bool = False

    def __str__(self) -> str:
        return f"{self.number} {self.name}, {self.mode}"


def observe(case: Case, *, again: bool = False) -> Why:
    """Make both calls of a case, or the first one twice, and return what is said of the second one.

    The workbench must be empty. It is left so.
    """
    global _TABLE
    _TABLE = None
    torch._dynamo.reset()
    width = next(_widths)
    torch.manual_seed(0)
    model = case.model(width).eval().to("hpu")

    def tensor(*size: int) -> torch.Tensor:
        return (
            torch.randn(*size, width).to("hpu")
            if case.model is not Convolution
            else torch.randn(*size).to("hpu")
        )

    gaudi_lab.mode("compile" if case.mode == "compile" else "lazy")
    gaudi_lab.attach(model, "model")
    try:
        if case.mode == "graphs":
            gaudi_lab.hpu_graphs(model)
        with torch.no_grad():
            before = gaudi_lab.why()
            _finish(case.first(model, tensor))
            if case.of_first:
                return gaudi_lab.why(since=before)
            if case.mode == "graphs":
                _finish(case.first(model, tensor))  # the first replay compiles copying its inputs
            before = gaudi_lab.why()
            _finish((case.first if again else case.second)(model, tensor))
        return gaudi_lab.why(since=before)
    finally:
        gaudi_lab.detach("model")
        gaudi_lab.mode("eager")


def observe_uncomputed() -> list[str]:
    """Call `Keeps` in a compile-only warm-up and once more; return what is said of the attribute that it keeps."""
    from habana_frameworks.torch.core import mark_step
    from habana_frameworks.torch.internal import bridge_config

    gaudi_lab.mode("lazy")
    model = Keeps(next(_widths)).to("hpu")
    gaudi_lab.attach(model, "model")
    x = torch.randn(4).to("hpu")
    mark_step()
    try:
        with bridge_config.env_setting("PT_COMPILE_ONLY_MODE", True), torch.no_grad():
            model(x)
            mark_step()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model(x).cpu()
        return [str(warning.message) for warning in told]
    finally:
        gaudi_lab.detach("model")
        gaudi_lab.mode("eager")


def _finish(result: Any) -> None:
    result.cpu()
    bridge.settle()


def _set(name: str, value: Any) -> Call:
    def call(model: Any, tensor: Callable[..., torch.Tensor]) -> Any:
        setattr(model, name, value)
        return model(tensor(4))

    return call


def _fill_global(model: Any, tensor: Callable[..., torch.Tensor]) -> Any:
    global _TABLE
    _TABLE = {"scale": 1.5}
    return model(tensor(4))


def _plain(model: Any, tensor: Callable[..., torch.Tensor]) -> Any:
    return model(tensor(4))


def _within(context: Callable[[], Any]) -> Call:
    def call(model: Any, tensor: Callable[..., torch.Tensor]) -> Any:
        x = tensor(4)
        with context():
            return model(x).detach()

    return call


def _cases() -> Iterator[Case]:
    every = ("lazy", "graphs", "compile")
    linear, scaled = "y = self.linear(x)", "y = y * self.gain / temperature"
    for mode in every:
        lines = {"lazy": linear}.get(mode, "")
        yield Case(
            1,
            "a size missed by one",
            mode,
            lambda m, t: m(t(2, 8)),
            lambda m, t: m(t(2, 9)),
            frozenset({("x", "shape")}),
            "mark_dynamic(x, 1)" if mode == "compile" else "pad x",
            lines,
        )
        yield Case(
            2,
            "a short last batch",
            mode,
            lambda m, t: m(t(4)),
            lambda m, t: m(t(3)),
            frozenset({("x", "shape")}),
            "drop_last=True",
            lines,
        )
        yield Case(
            3,
            "None, then a tensor",
            mode,
            _plain,
            lambda m, t: m(t(4), residual=t(4)),
            frozenset({("residual", "optional")}),
            "pass residual in every call",
        )
        yield Case(
            10,
            "another number of items",
            mode,
            lambda m, t: m(t(4), items=(t(4),)),
            lambda m, t: m(t(4), items=(t(4), t(4))),
            frozenset({("length of items", "scalar") if mode == "compile" else ("items.1", "optional")}),
        )
        yield Case(
            10,
            "another size of images",
            mode,
            lambda m, t: m(t(1, 3, 8, 8)),
            lambda m, t: m(t(1, 3, 8, 10)),
            frozenset({("pixels", "shape")}),
            "pixels",
            model=Convolution,
        )
        yield Case(
            15,
            "another scalar",
            mode,
            lambda m, t: m(t(4), temperature=0.5),
            lambda m, t: m(t(4), temperature=0.25),
            frozenset({("temperature", "scalar")}),
            "torch.tensor(0.25)",
            "" if mode == "graphs" else scaled,
        )
        yield Case(
            6,
            "autocast",
            mode,
            _plain,
            _within(lambda: torch.autocast("hpu", torch.bfloat16)),
            frozenset({("autocast", "mode")}),
            "autocast",
        )
    for mode in ("lazy", "compile"):
        yield Case(
            4,
            "a name of each layer",
            mode,
            _plain,
            _set("layer_name", "second"),
            frozenset({("layer_name", "attribute")}),
            "keep layer_name",
        )
        yield Case(
            4,
            "a number as an attribute",
            mode,
            _plain,
            _set("gain", 3.0),
            frozenset({("gain", "attribute")}),
            "keep gain",
            scaled,
        )
        yield Case(
            15,
            "other strides",
            mode,
            lambda m, t: m(t(2, 4)),
            lambda m, t: m(t(4, 2).transpose(0, 1)),
            frozenset({("x", "strides")}),
            "x.contiguous()",
        )
    yield Case(
        5,
        "a global filled later",
        "compile",
        _plain,
        _fill_global,
        frozenset({("global planted_reasons._TABLE", "global")}),
        "set _TABLE before the first call",
        model=WithGlobal,
    )
    yield Case(
        5,
        "a global filled later",
        "lazy",
        _plain,
        _fill_global,
        frozenset({("other of aten.mul", "scalar")}),
        "",
        model=WithGlobal,
    )
    yield Case(
        6,
        "gradients on",
        "compile",
        _plain,
        _within(torch.enable_grad),
        frozenset({("gradients", "mode")}),
        "no_grad",
    )
    yield Case(
        6,
        "inference mode",
        "compile",
        _plain,
        _within(torch.inference_mode),
        frozenset({("inference mode", "mode")}),
        "inference_mode",
    )
    yield Case(
        7,
        "a graph for any size",
        "compile",
        lambda m, t: m(t(4)),
        _any_size,
        frozenset({("x", "shape")}),
        "mark_dynamic(x, 0) before the first call",
        shadowed=True,
    )
    yield Case(
        9,
        "what only values tell",
        "compile",
        _plain,
        _plain,
        frozenset(),
        "",
        "y = y[y > 0]",
        model=WithMask,
        kind="graph break",
        of_first=True,
    )
    yield Case(
        9,
        "what only values tell",
        "lazy",
        lambda m, t: m(_with_positive(t, 5)),
        lambda m, t: m(_with_positive(t, 3)),
        frozenset({("result of aten.index", "shape")}),
        "keep the size: torch.where(mask, x, 0)",
        "y = y[y > 0]",
        model=WithMask,
    )
    yield Case(
        9,
        "another number of values",
        "compile",
        lambda m, t: m(_with_positive(t, 5)),
        lambda m, t: m(_with_positive(t, 3)),
        frozenset({("the value from the graph break", "shape")}),
        "keep the size: torch.where(mask, x, 0)",
        model=WithMask,
    )
    yield Case(
        14,
        "a model made anew",
        "graphs",
        _made_anew,
        _made_anew,
        frozenset({("model", "object")}),
        "make the model once",
    )
    for name, how, way in (
        ("passed by name", lambda m, t: m(x=t(4)), "x"),
        ("a default that is given", lambda m, t: m(t(4), residual=None), "residual"),
    ):
        yield Case(
            0,
            name,
            "graphs",
            _plain,
            how,
            frozenset({(way, "passing")}),
            f"pass {way} in the same way",
        )
    yield Case(
        13,
        "too many graphs",
        "compile",
        _plain,
        _too_often,
        frozenset({("temperature", "scalar")}),
        "recompile_limit",
        kind="limit",
    )
    yield Case(
        15,
        "another dtype",
        "compile",
        lambda m, t: m(t(4).int().float()),
        lambda m, t: m.double()(t(4).double()),
        frozenset({("x", "dtype")}),
        "one dtype for x",
    )
    yield Case(
        15,
        "another dtype",
        "lazy",
        lambda m, t: m(t(4).cpu().float().to("hpu")),
        lambda m, t: m(t(4).cpu().double().to("hpu")),
        frozenset({("x", "dtype")}),
        "one dtype for x",
        "return x.relu() + 1",
        model=WithoutWeights,
    )
    yield Case(
        15,
        "gradients of an input",
        "compile",
        _plain,
        lambda m, t: m(t(4).requires_grad_()).detach(),
        frozenset({("x", "gradient")}),
        "x.requires_grad_(...) the same",
    )


def _made_anew(model: Any, tensor: Callable[..., torch.Tensor]) -> Any:
    """Call another model of the same kind, under HPU graphs, and let go of it."""
    other = type(model)(tensor().numel()).eval().to("hpu")
    gaudi_lab.attach(other, "other")
    gaudi_lab.hpu_graphs(other)
    result = other(tensor(4)).cpu()
    gaudi_lab.detach("other")
    del other
    gc.collect()
    return result


def _with_positive(tensor: Callable[..., torch.Tensor], number: int) -> torch.Tensor:
    """Return a vector of which so many numbers are positive."""
    x = -tensor().cpu().abs()
    x[:number] *= -1
    return x.to("hpu")


def _any_size(model: Any, tensor: Callable[..., torch.Tensor]) -> Any:
    x = tensor(5)
    torch._dynamo.mark_dynamic(x, 0)
    model(x)
    return model(tensor(4))


def _too_often(model: Any, tensor: Callable[..., torch.Tensor]) -> Any:
    for number in range(torch._dynamo.config.recompile_limit + 1):
        result = model(tensor(4), temperature=1.5 + number)
    return result


CASES = tuple(_cases())
