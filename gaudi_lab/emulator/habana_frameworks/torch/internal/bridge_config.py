"""The bridge's environment variables from Python: `get_<name>()` for each, `set_<name>(value)` where allowed.

The mode is not to be set: it was decided when the bridge was loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gaudi_lab.emulator.process import flags


@contextmanager
def env_setting(var: str, val: Any) -> Iterator[None]:
    """Set the variable `var` inside a `with`. As on hardware, an exception inside leaves the value set.

    Raises
    ------
    KeyError
        `var` cannot be set while the program runs.
    """
    if var not in flags.FLAGS or not flags.FLAGS[var].settable:
        raise KeyError(f"set_{var.lower()}")
    before = flags.get(var)
    flags.put(var, val)
    yield
    flags.put(var, before)


def __getattr__(name: str) -> Callable[..., Any]:
    action, _, rest = name.partition("_")
    variable = rest.upper()
    flag = flags.FLAGS.get(variable)
    if flag is not None and action == "get":
        return functools.partial(flags.get, variable)
    if flag is not None and action == "set" and flag.settable:
        return functools.partial(flags.put, variable)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    getters = [f"get_{name.lower()}" for name in flags.FLAGS]
    setters = [f"set_{name.lower()}" for name, flag in flags.FLAGS.items() if flag.settable]
    return ["env_setting", *getters, *setters]
