"""How IPython was set up since it started: extensions, what was configured, how errors and figures are shown."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

_PLAIN = (bool, int, float, str, bytes, type(None))
_AUTORELOAD = ("enabled", "check_all", "autoload_obj")


@dataclass
class ShellSettings:
    """What was set.

    Attributes
    ----------
    search_path
        Where modules are found, which the extensions and the snapshot need before anything of it is there.
    extensions
        The loaded ones, in their order.
    configured
        By class, what is otherwise than by default.
    errors
        How tracebacks are shown.
    autoreload
        What `%autoreload` was set to; empty if it is not loaded.
    backend
        What matplotlib draws with; empty if it is not loaded.
    """

    search_path: list[str] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)
    configured: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: str = ""
    autoreload: dict[str, Any] = field(default_factory=dict)
    backend: str = ""


def settings(shell: Any) -> ShellSettings:
    """Return how the shell is set up."""
    reloader = _reloader(shell)
    return ShellSettings(
        search_path=list(sys.path),
        extensions=_in_order(shell.extension_manager.loaded),
        configured=dict(_configured(shell)),
        errors=shell.InteractiveTB.mode,
        autoreload={name: getattr(reloader, name) for name in _AUTORELOAD if hasattr(reloader, name)},
        backend=_backend(),
    )


def put_settings(shell: Any, wanted: ShellSettings) -> list[str]:
    """Set up a fresh shell in the same way.

    Returns
    -------
    list of str
        A line for each extension that did not load.
    """
    sys.path[:] = wanted.search_path
    failed = _load_extensions(shell, wanted.extensions)
    for configurable in _configurables(shell):
        for name, value in wanted.configured.get(type(configurable).__name__, {}).items():
            if getattr(configurable, name, None) != value:
                with contextlib.suppress(Exception):  # of another version, or read-only
                    setattr(configurable, name, value)
    if wanted.errors:
        shell.InteractiveTB.set_mode(mode=wanted.errors)
    for name, value in wanted.autoreload.items():
        setattr(_reloader(shell), name, value)
    kind = wanted.backend.rpartition(".")[2]
    if kind in ("inline", "backend_inline", "ipympl", "widget", "backend_nbagg"):
        shell.enable_matplotlib("inline" if "inline" in kind else "widget")
    return failed


def _load_extensions(shell: Any, names: Iterable[str]) -> list[str]:
    failed = []
    for name in names:
        if name in shell.extension_manager.loaded:
            continue
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # what they print has been read already
                shell.extension_manager.load_extension(name)
        except Exception as error:
            failed.append(f"the extension {name} did not load again: {error}")
    return failed


def _in_order(loaded: Iterable[str]) -> list[str]:
    # IPython keeps a set. A module is imported when its extension is first loaded, and modules are in order.
    order = {name: number for number, name in enumerate(sys.modules)}
    return sorted(loaded, key=lambda name: order.get(name, len(order)))


def _configurables(shell: Any) -> Iterator[Any]:
    yield from shell.configurables
    yield from shell.display_formatter.formatters.values()


def _configured(shell: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for configurable in _configurables(shell):
        values = {}
        for name, trait in configurable.traits(config=True).items():
            if not configurable.trait_has_value(name):
                continue
            value = getattr(configurable, name)
            if _is_plain(value) and value != trait.default():
                values[name] = value
        if values:
            yield type(configurable).__name__, values


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, (*value, *value.values())))
    return type(value) in _PLAIN


def _backend() -> str:
    matplotlib = sys.modules.get("matplotlib")
    return (
        str(matplotlib.get_backend()) if matplotlib is not None and "matplotlib.pyplot" in sys.modules else ""
    )


def _reloader(shell: Any) -> Any:
    return getattr(shell.magics_manager.registry.get("AutoreloadMagics"), "_reloader", None)
