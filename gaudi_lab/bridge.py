"""The one module that imports `habana_frameworks`: which bridge it is, its mode, its counters.

Everything here keeps to the documented interface of Intel's bridge 1.20 and later, so it works the same on
a Gaudi and on the emulated bridge. Nothing here imports torch or the bridge until a function needs it:
the mode is fixed when the bridge loads, so loading it early would take the choice away.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gaudi_lab import emulator
from gaudi_lab.bridge_errors import plain_errors
from gaudi_lab.emulator.process import finder, release
from gaudi_lab.emulator.process import mode as emulated_mode
from gaudi_lab.emulator.process.mode import LAZY_VARIABLE
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.settings import HPU_GRAPHS, Mode

if TYPE_CHECKING:
    from torch import nn

COMPILE_BACKEND = "hpu_backend"
"""Name of the bridge's `torch.compile` backend; registered in eager mode only."""

_BRIDGE = "habana_frameworks.torch"
_chosen = False


@dataclass(frozen=True)
class Identity:
    """Which bridge this process has, or would load.

    Attributes
    ----------
    emulated
        Whether it is Gaudi Lab's own, running on the CPU.
    version
        Its release, such as "1.23.0"; empty if the bridge does not say.
    """

    emulated: bool
    version: str

    def __str__(self) -> str:
        name = "emulated on CPU" if self.emulated else "Intel Gaudi"
        return f"{name} · bridge {self.version}" if self.version else name


@dataclass(frozen=True)
class Counters:
    """What the bridge has counted since the process started.

    Attributes
    ----------
    compilations
        Graphs compiled, in lazy mode or by `torch.compile`. Eager operators are not counted.
    compile_time
        Seconds spent compiling them.
    cpu_fallbacks
        Operators that ran on the host because the device has no kernel for them.
    fallback_operators
        How often each of those ran.
    miscompiled
        Graphs that run step by step, because compiled they gave other results: a sentence each, without a full
        stop. Only the emulated bridge compares.
    passed_over
        Graphs that run step by step, because the emulated bridge's compiler cannot take them: the name of the graph,
        that of the compiler, and why, as the end of a sentence.
    """

    compilations: int = 0
    compile_time: float = 0.0
    cpu_fallbacks: int = 0
    fallback_operators: dict[str, int] = field(default_factory=dict)
    miscompiled: tuple[str, ...] = ()
    passed_over: tuple[tuple[str, str, str], ...] = ()

    def since(self, earlier: Counters) -> Counters:
        """Return what was counted after `earlier`."""
        operators = {
            name: count - earlier.fallback_operators.get(name, 0)
            for name, count in self.fallback_operators.items()
            if count > earlier.fallback_operators.get(name, 0)
        }
        return Counters(
            self.compilations - earlier.compilations,
            self.compile_time - earlier.compile_time,
            self.cpu_fallbacks - earlier.cpu_fallbacks,
            operators,
            self.miscompiled[len(earlier.miscompiled) :],
            self.passed_over[len(earlier.passed_over) :],
        )


@dataclass(frozen=True)
class Memory:
    """Device memory in bytes.

    Attributes
    ----------
    in_use, peak, limit
        Held now; the most held so far; all there is.
    """

    in_use: int
    peak: int
    limit: int


def loaded() -> bool:
    """Whether the bridge is imported, and with it the mode decided."""
    return _BRIDGE in sys.modules


def load() -> Any:
    """Import the bridge, if it is not yet, and return `habana_frameworks.torch`.

    Raises
    ------
    LabError
        If the bridge refuses to load, with its reason in plain words.
    """
    with plain_errors():
        return importlib.import_module(_BRIDGE)


def identity() -> Identity:
    """Say which bridge this process has, or would load. Loads nothing."""
    emulated = emulator.active() if loaded() else finder.finds_emulated()
    return Identity(emulated, release.version() if emulated else _installed_version())


def is_lazy() -> bool:
    """Whether the process is in lazy mode, or will be once the bridge loads."""
    return bool(_module("utils.internal").is_lazy()) if loaded() else loads_lazy()


def loads_lazy() -> bool:
    """Whether the bridge would load in lazy mode, as the environment and the release say now."""
    return os.environ.get(LAZY_VARIABLE, release.default_mode(_release(identity().version))) != "0"


def mode_chosen() -> bool:
    """Whether someone has chosen the mode, by `PT_HPU_LAZY_MODE` or `set_lazy`, and it is not just the default."""
    return _chosen or LAZY_VARIABLE in os.environ


def mode_set_here() -> bool:
    """Whether `set_lazy` has chosen the mode, so that the environment says nothing about it any more."""
    return _chosen


def mode_decided() -> bool:
    """Whether the mode must be kept: someone chose it, or the bridge keeps it."""
    return keeps_mode() or mode_chosen()


def keeps_mode() -> bool:
    """Whether a bridge is loaded that keeps its mode until the process ends.

    All do but the emulated one, and that does too where `GAUDI_LAB_RELAUNCH=always` asks for it.
    """
    return loaded() and (not identity().emulated or emulated_mode.keeps())


def needs_fresh_process(lazy: bool) -> bool:
    """Whether only another process can be lazy, or not."""
    return keeps_mode() and is_lazy() != lazy


def environment_for(lazy: bool) -> dict[str, str]:
    """Return the variables with which a process loads the bridge in lazy mode, or not."""
    return {LAZY_VARIABLE: str(int(lazy))}


def set_lazy(lazy: bool) -> None:
    """Put the process into lazy or eager mode, loading the bridge if need be.

    Raises
    ------
    LabError
        If a bridge that keeps its mode is already loaded in the other one: Intel's chose one of two libraries when
        it was imported and cannot unload it.
    """
    global _chosen
    if not loaded():
        _load_in_mode(lazy)
    elif not keeps_mode():
        emulator.set_lazy(lazy)
    elif needs_fresh_process(lazy):
        raise refuse_mode(f"{Mode.of_process(lazy)} mode is asked for", lazy=lazy)
    _chosen = True


@contextmanager
def in_mode(*, lazy: bool) -> Iterator[None]:
    """Be in a mode for a while, and then as before. Who has chosen the mode, and whether, stays as it was.

    Raises
    ------
    LabError
        A real bridge is loaded in the other mode.
    """
    load()
    before = is_lazy()
    if before == lazy:
        yield
        return
    if keeps_mode():
        raise refuse_mode(f"{Mode.of_process(lazy)} mode is asked for", lazy=lazy)
    emulator.set_lazy(lazy)
    try:
        yield
    finally:
        emulator.set_lazy(before)


def build() -> str:
    """Return which build of Intel's bridge is loaded, such as "eager-upstream"; "emulated" for the emulated one.

    The bridge chooses its library by mode, and by whether PyTorch is Intel's fork, whose version says so.
    """
    load()
    if emulator.active():
        return "emulated"
    fork = _torch().__version__.partition("+")[2].startswith(("git", "hpu"))
    return f"{'lazy' if is_lazy() else 'eager'}-{'fork' if fork else 'upstream'}"


def has_kernel(operator: Any) -> bool | None:
    """Whether the device has a kernel for an operator of PyTorch's; None where nobody can say before it runs."""
    return emulator.has_kernel(operator) if emulator.active() else None


def refuse_mode(asked: str, *, lazy: bool) -> LabValueError:
    """Return the error that says that the process is in the other mode, with the line that changes it.

    Parameters
    ----------
    asked
        What asks for the mode and why, as the beginning of a sentence.
    lazy
        Which mode that is.
    """
    now, needed = Mode.of_process(not lazy), Mode.of_process(lazy)
    if not keeps_mode():
        return LabValueError(
            f"{asked}, and this process is in {now} mode.",
            python=f'gaudi_lab.mode("{needed}")',
            magic=f"%gaudi_mode {needed}",
        )
    return LabValueError(
        f"{asked}, and the bridge is loaded in {now} mode, which it keeps until the process ends. In a notebook, "
        "%gaudi_mode takes everything over into a fresh process; a program sets the mode before it imports torch.",
        python=f'os.environ["{LAZY_VARIABLE}"] = "{int(lazy)}"',
        magic=f"%gaudi_mode {needed}",
    )


def mark_step() -> None:
    """Run what lazy mode has collected so far. Does nothing in eager mode."""
    if loaded() and is_lazy():
        _module("core").mark_step()


def synchronize() -> None:
    """Wait until the device has done everything it was given."""
    if loaded():
        _torch().hpu.synchronize()


def settle() -> None:
    """Run and finish all pending work, so that a clock read next includes it."""
    mark_step()
    synchronize()


def counters() -> Counters:
    """Read the bridge's counters. Settle first: real bridges compile on worker threads."""
    if not loaded():
        return Counters()
    compiled = _statistics("graph_compilation")
    fallback = _statistics("cpu_fallback")
    return Counters(
        compilations=int(compiled.get("TotalNumber", 0)),
        compile_time=float(compiled.get("TotalTime", 0)) * 1e-6,
        cpu_fallbacks=int(fallback.get("TotalNumber", 0)),
        fallback_operators=dict(fallback.get("FallbackOps", None) or {}),
        miscompiled=emulator.disagreements(),
        passed_over=emulator.passed_over(),
    )


def watch_programs(
    before: Callable[[Any], None],
    after: Callable[[str, float, bool], None],
    failed: Callable[[], None] = lambda: None,
) -> Callable[[], None]:
    """Follow which recorded programs are compiled, and why; see `gaudi_lab.emulator.watch_programs`.

    Only the emulated bridge tells. Intel's counts, and nothing is called then.
    """
    return emulator.watch_programs(before, after, failed) if emulator.active() else lambda: None


def watch_fallbacks(note: Callable[[str, Any], None]) -> Callable[[], None]:
    """Call `note` with each operator that has run on the host, and what it returned; see `emulator.watch_fallbacks`.

    Only the emulated bridge tells. Intel's counts, and nothing is called then.
    """
    return emulator.watch_fallbacks(note) if emulator.active() else lambda: None


def hits_of(name: str) -> int | None:
    """Return how often a compiled graph ran besides its first time; None once it is gone.

    Only the emulated bridge tells. Of Intel's graphs it is always None.
    """
    return emulator.hits_of(name)


def graphs_named() -> int:
    """Return how many graphs were given a name so far, for `compiled_since`; 0 where nobody tells."""
    return emulator.graphs_named()


def compiled_since(number: int) -> tuple[str, ...]:
    """Return the graphs that `torch.compile` has made after the first `number`, by name; none where nobody tells."""
    return emulator.compiled_since(number)


def recording() -> tuple[int, int]:
    """Return the number of the program in the making, as `watch_programs` names it, and how many operators it has.

    Where nothing is recorded, or nobody tells, it stays the same.
    """
    return emulator.recording()


def holder_of(tensor: Any) -> Any:
    """Return what holds the value of a tensor, as `watch_programs` names it; None where it does not."""
    return emulator.holder_of(tensor)


def memory() -> Memory | None:
    """Read the device memory in use; None while the device is not in use by this process.

    Asking a real bridge for its memory takes possession of the card, so it is not asked before then.
    """
    if not loaded() or not _torch().hpu.is_initialized():
        return None
    stats = _torch().hpu.memory_stats()
    return Memory(int(stats["InUse"]), int(stats["MaxInUse"]), int(stats["Limit"]))


def reset_peak_memory() -> None:
    """Count the most device memory in use from now on. Does nothing while the device is not in use by this process."""
    if loaded() and _torch().hpu.is_initialized():
        _torch().hpu.reset_peak_memory_stats()


def holds_only_device() -> bool:
    """Whether this process holds the only device there is, so that no other can have it until this one ends.

    The emulated device is shared, unless `GAUDI_LAB_EXCLUSIVE=1` makes it as exclusive as a card.
    """
    if not loaded() or not _torch().hpu.is_initialized():
        return False
    if identity().emulated and not emulator.exclusive():
        return False
    return int(_torch().hpu.device_count()) < 2


def device_count() -> int:
    """Return how many devices this machine has."""
    load()
    return int(_torch().hpu.device_count())


def wrap_in_hpu_graph(module: nn.Module, **options: Any) -> nn.Module:
    """Call the bridge's `wrap_in_hpu_graph`, which changes `module` in place.

    Parameters
    ----------
    module
        An inference module on the device.
    **options
        The bridge's own options. Those that this release does not know are refused.

    Raises
    ------
    LabError
        In eager mode (recent bridges accept the call and fail at the first forward), or for an option
        that the installed release does not have.
    """
    load()
    if (refusal := HPU_GRAPHS.refusal(Mode.of_process(is_lazy()))) is not None:
        raise refusal
    wrap = _module("hpu").wrap_in_hpu_graph
    known = inspect.signature(wrap).parameters
    if unknown := sorted(options.keys() - known.keys()):
        raise LabError(
            f"wrap_in_hpu_graph of bridge {identity().version} has no option {', '.join(unknown)}; "
            f"it has {', '.join(list(known)[1:])}."
        )
    return wrap(module, **options)


@contextmanager
def dynamic_shapes(on: bool | None) -> Iterator[None]:
    """Let graphs serve a range of shapes meanwhile, or have one for each; None leaves that as it is."""
    if on is None:
        yield
        return
    device = _module("hpu")
    turn = {True: device.enable_dynamic_shape, False: device.disable_dynamic_shape}
    before = bool(device.get_dynamic_shape_status())
    turn[on]()
    try:
        yield
    finally:
        turn[before]()


def capturing() -> bool:
    """Return True while the device's work goes into an HPU graph; never in eager mode."""
    return is_lazy() and bool(_module("hpu").is_current_stream_capturing())


def is_own_code(file: str) -> bool:
    """Whether a source file belongs to the bridge, emulated or not."""
    return f"{os.sep}habana_frameworks{os.sep}" in file


def compile_only() -> bool:
    """Whether the bridge compiles and computes nothing now (`PT_COMPILE_ONLY_MODE`)."""
    return loaded() and bool(_module("internal.bridge_config").get_pt_compile_only_mode())


def random_state() -> Any:
    """Return where the device's generator stands, for `set_random_state`."""
    return _module("hpu.random").get_rng_state()


def set_random_state(state: Any) -> None:
    """Put the device's generator where it stood: the same numbers come again."""
    _module("hpu.random").set_rng_state(state)


def compile_option_names() -> frozenset[str]:
    """Return what `options` the backend of `torch.compile` takes; nothing where that is not known."""
    config = importlib.import_module(f"{_BRIDGE}.dynamo.compile_backend.config")
    return frozenset(getattr(config, "_config", ()))  # what PyTorch makes of a module of settings


def fused_sdpa_kernel() -> Any:
    """Return the bridge's `FusedSDPA`, an autograd function whose `apply` takes positional arguments only."""
    load()
    return _module("hpex.kernels").FusedSDPA


def fused_adamw() -> Any:
    """Return the bridge's `FusedAdamW`, an optimizer. An `ImportError` or `AttributeError` if it has none."""
    load()
    return _module("hpex.optimizers").FusedAdamW


def fused_clip_norm() -> Any:
    """Return the bridge's `FusedClipNorm`, which clips gradients. An error as for `fused_adamw`."""
    load()
    return _module("hpex.normalization").FusedClipNorm


def fused_rms_norm() -> Any:
    """Return the bridge's `FusedRMSNorm`, an autograd function. An error as for `fused_adamw`."""
    load()
    return _module("hpex.normalization").FusedRMSNorm


def fused_rotary() -> tuple[Any, Any]:
    """Return the bridge's `apply_rotary_pos_emb` and `RotaryPosEmbeddingMode`. An error as for `fused_adamw`."""
    load()
    kernels = _module("hpex.kernels")
    return kernels.apply_rotary_pos_emb, kernels.RotaryPosEmbeddingMode


def fused_softmax() -> Any:
    """Return the bridge's `CustomSoftmax`, an autograd function. An error as for `fused_adamw`."""
    load()
    return _module("hpex.kernels").CustomSoftmax


def why_missing(find: Callable[[], Any]) -> str:
    """Return why this bridge does not have the kernel that `find` returns; empty if it has it."""
    try:
        find()
    except (ImportError, AttributeError) as error:
        return f"bridge {identity().version or 'of an unknown release'} does not have it: {error}"
    return ""


def _load_in_mode(lazy: bool) -> None:
    before = os.environ.get(LAZY_VARIABLE)
    os.environ[LAZY_VARIABLE] = "1" if lazy else "0"
    try:
        load()
    except BaseException:
        if before is None:
            del os.environ[LAZY_VARIABLE]
        else:
            os.environ[LAZY_VARIABLE] = before
        raise
    # `import torch` may itself have loaded the bridge before the variable was set.
    if is_lazy() != lazy:
        set_lazy(lazy)


def _module(name: str) -> Any:
    # Asked at each call of a watched model, where `import_module` would be most of the cost.
    path = f"{_BRIDGE}.{name}"
    return sys.modules.get(path) or importlib.import_module(path)


def _torch() -> Any:
    return importlib.import_module("torch")


def _statistics(metric: str) -> dict[str, Any]:
    found = _module("hpu.metrics").metric_global(metric)
    return dict(found.stats()) if found is not None else {}


def _installed_version() -> str:
    try:
        return importlib.metadata.version("habana-torch-plugin")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _release(version: str) -> tuple[int, int]:
    """Return a version as (major, minor); the newest that is known for one that does not say."""
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else release.NEWEST
