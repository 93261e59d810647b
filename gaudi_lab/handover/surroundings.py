"""What a notebook has beside its names: random states, switches of libraries, the working directory.

Only libraries that are loaded are asked. What one of them cannot take back is told, and the rest goes on.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import random
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gaudi_lab.handover.bindings import submodules_imported
from gaudi_lab.handover.kernel import shell_state

State = dict[str, Any]
"""What was found, by what it belongs to. It can be carried as hidden entries."""


@dataclass(frozen=True)
class Surrounding:
    """One part of what is around the names.

    Attributes
    ----------
    name
        What it is, in words.
    library
        The module that it belongs to; it is not asked where that is not loaded.
    get
        Returns its state.
    put
        Sets it to such a state.
    """

    name: str
    library: str
    get: Callable[[], Any]
    put: Callable[[Any], None]


@dataclass(frozen=True)
class Unread:
    """Stands for the state of a part that failed to tell it."""

    why: str


def gather(more: tuple[Surrounding, ...] = ()) -> State:
    """Return the state of everything around the names; of a part that fails, why.

    Parameters
    ----------
    more
        Further parts, such as the random state of another device.
    """
    return {part.name: _state_of(part) for part in (*PARTS, *more) if part.library in sys.modules}


def _state_of(part: Surrounding) -> Any:
    try:
        return part.get()
    except Exception as error:
        return Unread(str(error))


def put_back(state: State, more: tuple[Surrounding, ...] = ()) -> tuple[str, ...]:
    """Set everything to a state that `gather` returned, and return a sentence for each part that failed."""
    parts = {part.name: part for part in (*PARTS, *more)}
    failed = []
    for name, value in state.items():
        part = parts.get(name)
        try:
            if part is None:
                raise LookupError("this process does not know it")
            if isinstance(value, Unread):
                raise LookupError(f"it could not be read, {value.why}")
            __import__(part.library)
            part.put(value)
        except Exception as error:
            failed.append(f"The {name} could not be set: {error}")
    return tuple(failed)


def _get_path() -> list[str]:
    return list(sys.path)


def _put_path(path: list[str]) -> None:
    sys.path[:] = path


def _put_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    with contextlib.suppress(AttributeError):
        warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001 - else the change is not seen


def _get_sources() -> dict[str, Any]:
    """Return the source of the cells, which tracebacks of carried functions show; it is in no file."""
    return {name: entry for name, entry in linecache.cache.items() if len(entry) == 4 and entry[1] is None}


def _put_sources(sources: dict[str, Any]) -> None:
    for name, entry in sources.items():
        linecache.cache.setdefault(name, entry)


def _numpy() -> Any:
    return sys.modules["numpy"]


def _get_numpy_options() -> Any:
    options = dict(_numpy().get_printoptions())
    options.pop("override_repr", None)
    return options, _numpy().geterr()


def _put_numpy_options(state: Any) -> None:
    options, errors = state
    _numpy().set_printoptions(**options)
    _numpy().seterr(**errors)


def _torch() -> Any:
    return sys.modules["torch"]


_TORCH_SWITCHES: dict[str, tuple[str, Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]]] = {
    "get_default_dtype": ("set_default_dtype", lambda value: ((value,), {})),
    "is_grad_enabled": ("set_grad_enabled", lambda value: ((value,), {})),
    "get_num_threads": ("set_num_threads", lambda value: ((value,), {})),
    "get_float32_matmul_precision": ("set_float32_matmul_precision", lambda value: ((value,), {})),
    "get_deterministic_debug_mode": ("set_deterministic_debug_mode", lambda value: ((value,), {})),
    "is_anomaly_enabled": ("set_anomaly_enabled", lambda value: ((value,), {})),
}


def _get_torch_switches() -> Any:
    torch = _torch()
    switches = {name: getattr(torch, name)() for name in _TORCH_SWITCHES if hasattr(torch, name)}
    options = {name: getattr(_print_options(torch), name) for name in ("precision", "threshold", "edgeitems")}
    return switches, options, str(torch.get_default_device())


def _print_options(torch: Any) -> Any:
    return torch._tensor_str.PRINT_OPTS  # noqa: SLF001 - it can be set, and not asked for


def _put_torch_switches(state: Any) -> None:
    torch = _torch()
    switches, options, device = state
    for name, value in switches.items():
        if getattr(torch, name)() != value:
            arguments, keywords = _TORCH_SWITCHES[name][1](value)
            getattr(torch, _TORCH_SWITCHES[name][0])(*arguments, **keywords)
    torch.set_printoptions(**options)
    if device != str(torch.get_default_device()):
        torch.set_default_device(device)


def _get_matplotlib() -> Any:
    matplotlib = sys.modules["matplotlib"]
    # The backend by itself: asking the parameters for it may choose one.
    backend = matplotlib.get_backend() if "matplotlib.pyplot" in sys.modules else None
    parameters = {
        name: value for name, value in dict.items(matplotlib.rcParams) if not name.startswith("backend")
    }
    return backend, parameters


def _put_matplotlib(state: Any) -> None:
    matplotlib = sys.modules["matplotlib"]
    backend, parameters = state
    if backend is not None:
        matplotlib.use(backend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters that are about to go
        matplotlib.rcParams.update(parameters)


def _shell() -> Any:
    kind = sys.modules["IPython.core.interactiveshell"].InteractiveShell
    return kind.instance() if kind.initialized() else None


def _get_submodules() -> list[types.ModuleType]:
    """Return what cells have imported as a part of something: of `import os.path` only `os` has a name."""
    shell = _shell()
    cells = shell.history_manager.input_hist_parsed if shell is not None else []
    named = {name for cell in cells for name in submodules_imported(cell)}
    found = [sys.modules.get(name) for name in sorted(named)]
    return [module for module in found if isinstance(module, types.ModuleType)]


def _get_callbacks() -> dict[str, list[Any]]:
    """Return the functions and methods of the notebook that are called when a cell runs."""
    shell = _shell()
    if shell is None:
        return {}
    registered = shell.events.callbacks
    return {
        event: own
        for event, functions in registered.items()
        if (own := [each for each in functions if shell_state.is_notebooks(each)])
    }


def _put_callbacks(callbacks: dict[str, list[Any]]) -> None:
    shell = _shell()
    if shell is None and callbacks:
        raise LookupError("there is no IPython here")
    for event, functions in callbacks.items():
        for function in functions:
            if function not in shell.events.callbacks[event]:
                shell.events.register(event, function)


PARTS: tuple[Surrounding, ...] = (
    Surrounding("working directory", "os", os.getcwd, os.chdir),
    Surrounding("module search path", "sys", _get_path, _put_path),
    Surrounding("imported submodules", "IPython.core.interactiveshell", _get_submodules, lambda _: None),
    Surrounding("state of random", "random", random.getstate, random.setstate),
    Surrounding("source of the cells", "linecache", _get_sources, _put_sources),
    Surrounding(
        "random state of NumPy",
        "numpy.random",
        lambda: _numpy().random.get_state(),
        lambda state: _numpy().random.set_state(state),
    ),
    Surrounding("options of NumPy", "numpy", _get_numpy_options, _put_numpy_options),
    Surrounding("switches of PyTorch", "torch", _get_torch_switches, _put_torch_switches),
    Surrounding(
        "random state of PyTorch",
        "torch",
        lambda: _torch().get_rng_state(),
        lambda state: _torch().set_rng_state(state),
    ),
    Surrounding("settings of matplotlib", "matplotlib", _get_matplotlib, _put_matplotlib),
    Surrounding("callbacks of IPython", "IPython.core.interactiveshell", _get_callbacks, _put_callbacks),
    Surrounding("warning filters", "warnings", lambda: list(warnings.filters), _put_filters),
)
"""All parts that are known here, in the order in which they are put back.

Random states come after what might use them, and warning filters after what might import a module that adds its own.
Submodules have been imported by being loaded.
"""


def names() -> list[str]:
    """Return the names of the parts whose libraries are loaded."""
    return [part.name for part in PARTS if part.library in sys.modules]
