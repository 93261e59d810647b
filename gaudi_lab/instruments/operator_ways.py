"""The ways in which a device runs a function: eager, lazy, compiled, and in an HPU graph.

Each puts its arguments on the device and what comes out on the host, and leaves the process in the mode that it found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from gaudi_lab import bridge, origin
from gaudi_lab.instruments.compiling import own_code
from gaudi_lab.instruments.guard.open_captures import close_capture
from gaudi_lab.settings import COMPILE, HPU_GRAPHS, Mode

Function = Callable[..., Any]


class Way(NamedTuple):
    """One way to run a function on the device.

    Attributes
    ----------
    name
        Such as "lazy".
    run
        Takes a function and its arguments on the host. Returns its results and its arguments afterwards, on the host.
    why_not
        Why this process cannot go this way, as a sentence; empty if it can.
    opaque
        Whether it takes an operator as a whole, and its body need not be tried apart.
    on_copies
        Whether it runs on copies of the arguments, so that the caller does not see what is written into them.
    """

    name: str
    run: Callable[[Function, tuple[Any, ...]], tuple[Any, Any]]
    why_not: str = ""
    opaque: bool = False
    on_copies: bool = False


class HostOperator(NamedTuple):
    """An operator for which the device has no kernel, and the line that calls it; None where nobody can say."""

    name: str
    line: origin.Line | None


def ways() -> tuple[Way, ...]:
    """Return every way, those that this process cannot go included, each with the reason."""
    bridge.load()
    return (
        Way("eager", _run_plainly(lazy=False), _other_mode(lazy=False)),
        Way("lazy", _run_plainly(lazy=True), _other_mode(lazy=True)),
        Way("compile", _run_compiled, _other_mode(lazy=False) or _refusal(COMPILE, lazy=False), opaque=True),
        Way(
            "HPU graph",
            _run_captured,
            _other_mode(lazy=True) or _refusal(HPU_GRAPHS, lazy=True),
            on_copies=True,
        ),
    )


def emulated() -> bool:
    """Whether the device is emulated on the CPU."""
    return bridge.identity().emulated


def build() -> str:
    """Return which build of Intel's bridge is loaded, such as "eager-upstream"; "emulated" for the emulated one."""
    return bridge.build()


@contextmanager
def one_seed() -> Iterator[None]:
    """Start the generators of the host and of the device from one seed, and put them back where they stood."""
    device = bridge.random_state() if bridge.loaded() else None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    finally:
        if device is not None:
            bridge.set_random_state(device)


def drop_graphs(model: nn.Module) -> None:
    """Let go of the graphs captured of a model and of its parts: what they hold has changed. They are captured anew."""
    for module in model.modules():
        clear = vars(module).get("clear_cache")  # the bridge's own, and ours
        if callable(clear):
            clear()


def without_kernel(function: Function, inputs: tuple[Any, ...]) -> tuple[HostOperator, ...]:
    """Run a function on the device, and return which operators in it the device has no kernel for."""
    bridge.load()
    before = bridge.counters()
    seen = _Operators()
    with torch.no_grad(), seen:
        function(*_to("hpu", inputs))
    bridge.settle()
    found = {func.name(): line for func, line in seen.called.items() if bridge.has_kernel(func) is False}
    for name in bridge.counters().since(before).fallback_operators:
        found.setdefault(name, None)
    return tuple([HostOperator(name, line) for name, line in found.items()])


class _Operators(TorchDispatchMode):
    """Notes which operators are called, and from where."""

    def __init__(self) -> None:
        super().__init__()
        self.called: dict[Any, origin.Line | None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.called.setdefault(func, origin.caller())
        return func(*args, **(kwargs or {}))


def _run_plainly(*, lazy: bool) -> Callable[[Function, tuple[Any, ...]], tuple[Any, Any]]:
    def run(function: Function, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
        with bridge.in_mode(lazy=lazy), torch.no_grad():
            moved = _to("hpu", inputs)
            return _to("cpu", (function(*moved), moved))

    return run


def _run_compiled(function: Function, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    with bridge.in_mode(lazy=False), torch.no_grad():
        compiled = _compiled(function, inputs)
        moved = _to("hpu", inputs)
        return _to("cpu", (compiled(*moved), moved))


_compiled_last: dict[Any, tuple[Any, Function]] = {}
"""The last compiled form of each operator. There are as many as operators, and those stay as long as the process."""


def _compiled(function: Function, inputs: tuple[Any, ...]) -> Function:
    """Return a function compiled; of an operator, the same as before for the same: PyTorch keeps a bit of each compile.

    Other sizes get a compile of their own, because PyTorch compiles one function for a few of them only.
    """

    def call(*args: Any) -> Any:
        return function(*args)

    overload = getattr(function, "overload", None)
    kinds = [
        (x.shape, x.dtype) if isinstance(x, torch.Tensor) else repr(x) for x in pytree.tree_leaves(inputs)
    ]
    before = _compiled_last.get(function)
    if before is not None and before[0] == (overload, kinds):
        return before[1]
    # What is told of the compile has the function's name.
    named = getattr(function, "__name__", call.__name__)
    compiled = torch.compile(
        own_code(call, named), backend=bridge.COMPILE_BACKEND, dynamic=False, fullgraph=True
    )
    if overload is not None:
        _compiled_last[function] = (overload, kinds), compiled
    return compiled


def _run_captured(function: Function, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    """Capture on other values, and return what a replay makes of these: a graph must not hold the values."""
    with bridge.in_mode(lazy=True), torch.no_grad():
        wrapped = bridge.wrap_in_hpu_graph(_FunctionModule(function).eval())
        others = pytree.tree_map_only(torch.Tensor, _other_values, inputs)
        inside_another = bridge.capturing()
        try:
            for _ in range(2):
                wrapped(*_to("hpu", others))
            moved = _to("hpu", inputs)
            return _to("cpu", (wrapped(*moved), moved))
        except BaseException as error:
            if not inside_another:
                close_capture(error)
            raise


class _FunctionModule(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self._function = function

    def forward(self, *args: Any) -> Any:
        return self._function(*args)


def _other_values(x: torch.Tensor) -> torch.Tensor:
    return x.flip(0) if x.dim() and x.is_floating_point() else x.clone()


def _to(device: str, value: Any) -> Any:
    return pytree.tree_map_only(torch.Tensor, lambda x: x.detach().to(device, copy=True), value)


def _other_mode(*, lazy: bool) -> str:
    if bridge.keeps_mode() and bridge.is_lazy() != lazy:
        return f"Intel's bridge is loaded in {Mode.of_process(not lazy)} mode, which it keeps until the process ends"
    return ""


def _refusal(switch: Any, *, lazy: bool) -> str:
    refusal = switch.refusal(Mode.of_process(lazy))
    return "" if refusal is None else str(refusal)
