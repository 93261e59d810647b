"""An emulated Gaudi: device `hpu` and a package `habana_frameworks`, in pure Python, on the CPU.

Importing this package imports neither torch nor the bridge. `install` makes `habana_frameworks` importable
where no real one is; the device exists once `habana_frameworks.torch` has been imported, as on hardware, and that
happens by itself once the program has both torch and `gaudi_lab`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from gaudi_lab.emulator.process import finder, migration
from gaudi_lab.emulator.process.autoload import is_enabled, is_refused

__all__ = [
    "active",
    "appear",
    "autoload",
    "compiled_since",
    "disagreements",
    "graphs_named",
    "has_kernel",
    "hits_of",
    "holder_of",
    "install",
    "passed_over",
    "recording",
    "set_lazy",
    "watch_fallbacks",
    "watch_programs",
]

_BRIDGE = "habana_frameworks.torch"


def install() -> None:
    """Make `import habana_frameworks.torch` find the emulated bridge, where no real one is installed.

    If torch is there already, the device appears at once; otherwise as soon as torch comes.
    """
    finder.install()
    torch = sys.modules.get("torch")
    if torch is not None and not torch.__spec__._initializing:  # type: ignore[union-attr]
        appear()


def appear() -> None:
    """Load the emulated bridge, in the mode of the environment, for a program that has torch and `gaudi_lab`.

    In lazy mode too, where the bridge's own rule would wait: the program has asked for the device. Nothing happens
    where the environment says no, or where a real bridge is installed, which loads itself.
    """
    if not is_refused() and finder.finds_emulated():
        importlib.import_module(_BRIDGE)


def autoload() -> None:
    """Load the emulated bridge where the real one would load itself at `import torch`."""
    finder.install()
    # Migration in lazy mode too, where the bridge would wait for its import: until then "cuda" would be the CPU.
    if is_enabled() or (migration.is_asked_for() and finder.finds_emulated()):
        importlib.import_module(_BRIDGE)


def active() -> bool:
    """Return True if the bridge that this process has loaded is the emulated one."""
    return bool(getattr(sys.modules.get("habana_frameworks"), "__emulated__", False))


def disagreements() -> tuple[str, ...]:
    """Return which graphs were compiled wrongly and run step by step: a sentence each, without a full stop."""
    found = sys.modules.get("gaudi_lab.emulator.lazy.agreement")
    return tuple(map(str, found.disagreements)) if found is not None else ()


def passed_over() -> tuple[tuple[str, str, str], ...]:
    """Return the graphs that the compiler asked for does not run, as (graph, compiler, why)."""
    found = sys.modules.get("gaudi_lab.emulator.lazy.compilers")
    return tuple(map(tuple, found.passed_over)) if found is not None else ()


def watch_programs(
    before: Callable[[Any], None],
    after: Callable[[str, float, bool], None],
    failed: Callable[[], None] = lambda: None,
) -> Callable[[], None]:
    """Follow which recorded programs are compiled from now on, and why.

    Parameters
    ----------
    before
        Called with a `gaudi_lab.emulator.lazy.departure.Departure` before a program is compiled. Whoever raises there
        stops it: what was recorded is lost then.
    after
        Called with its name, the seconds that it took, and whether it was found on disk.
    failed
        Called when a program could not be compiled or run, one that was compiled before included.

    Returns
    -------
    callable
        Ends it.
    """
    from gaudi_lab import origin
    from gaudi_lab.emulator.lazy import recipes, record

    record.watchers.append(before)
    recipes.watchers.append(after)
    record.failure_watchers.append(failed)
    origin.watched = True

    def undo() -> None:
        record.watchers.remove(before)
        recipes.watchers.remove(after)
        record.failure_watchers.remove(failed)
        origin.watched = bool(record.watchers)

    return undo


def watch_fallbacks(note: Callable[[str, Any], None]) -> Callable[[], None]:
    """Call `note` with each operator that has run on the host, and what it returned, from where it is called.

    Returns
    -------
    callable
        Ends it.
    """
    from gaudi_lab.emulator.operators import fallback

    fallback.watchers.append(note)
    return lambda: fallback.watchers.remove(note)


def hits_of(name: str) -> int | None:
    """Return how often a compiled graph ran besides its first time, by the name that the counters give it.

    None if it is not there any more.
    """
    found = sys.modules.get("gaudi_lab.emulator.lazy.compile")
    graph = found.in_use.get(name) if found is not None else None
    return int(graph.hits) if graph is not None else None


def graphs_named() -> int:
    """Return how many graphs were given a name so far, for `compiled_since`."""
    found = sys.modules.get("gaudi_lab.emulator.lazy.compile")
    return int(found.named()) if found is not None else 0


def compiled_since(number: int) -> tuple[str, ...]:
    """Return the graphs that `torch.compile` has made after the first `number` that were given a name."""
    names = [f"compiled_{n}" for n in range(number + 1, graphs_named() + 1)]
    return tuple([name for name in names if hits_of(name) is not None])


def has_kernel(operator: Any) -> bool:
    """Whether a Gaudi has a kernel for an operator by the table of Intel's bridge, or for those that it is made of."""
    import torch

    from gaudi_lab.emulator.device import device_operators

    composite = torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), "CompositeExplicitAutograd")
    return composite or device_operators.has_kernel(operator)


def holder_of(tensor: Any) -> Any:
    """Return what holds the value of an `hpu` tensor, by which a departure names its inputs; None for other tensors."""
    return getattr(tensor, "_cell", None)


def recording() -> tuple[int, int]:
    """Return the number of the recording that operators go into now, as a departure names it, and how many went."""
    found = sys.modules.get("gaudi_lab.emulator.lazy.record")
    if found is None:
        return 0, 0
    now = found.tape.recording
    return now.number, now.steps


def exclusive() -> bool:
    """Return True if one process at a time has the emulated device, as a card: ``GAUDI_LAB_EXCLUSIVE=1``."""
    from gaudi_lab.emulator.process import flags

    return flags.read_boolean("GAUDI_LAB_EXCLUSIVE", default=False)


def set_lazy(lazy: bool) -> None:
    """Change the execution mode of the running process, which no bridge on hardware can do.

    What is recorded runs first.

    Raises
    ------
    RuntimeError
        The emulated bridge is not loaded, or ``GAUDI_LAB_RELAUNCH=always`` has it keep its mode as one on hardware.
    """
    if not active():
        raise RuntimeError("The emulated bridge is not loaded. Run: import habana_frameworks.torch")
    from gaudi_lab.emulator.lazy.record import tape
    from gaudi_lab.emulator.process import mode

    if mode.is_lazy() == lazy:
        return
    if mode.keeps():
        raise RuntimeError(
            "GAUDI_LAB_RELAUNCH=always: the mode stays until the process ends, as on hardware."
        )
    tape.flush()
    mode.force(lazy)
    if not lazy:
        importlib.import_module("habana_frameworks.torch.dynamo.compile_backend")  # registers `hpu_backend`
