"""The bridge's environment variables, with their defaults, and which of them a program may set while it runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from gaudi_lab.emulator.process import mode
from gaudi_lab.emulator.process.release import default_mode, release


class Flag(NamedTuple):
    """One variable: its default, whose class is its class, and whether a running program may set it."""

    default: Any
    settable: bool = False


# What the bridge's own table does not hold: variables that its Python reads, older ones that are honoured longer than
# there, and what the documentation of a release says whose source could not be had.
_MORE = {
    "PT_CACHE_FOLDER_DELETE": Flag(False),
    "PT_CACHE_FOLDER_SIZE_MB": Flag(1024),
    "PT_HPU_AUTOCAST_FP32_OPS_LIST": Flag(""),
    "PT_HPU_AUTOCAST_LOWER_PRECISION_OPS_LIST": Flag(""),
    "PT_HPU_COMPILE_USE_RECIPES": Flag(True),
    mode.LAZY_VARIABLE: Flag(int(default_mode())),
    "PT_HPU_METRICS_GC_DETAILS": Flag(False),
    "PT_HPU_WEIGHT_SHARING": Flag(True),
    "PT_RECIPE_CACHE_PATH": Flag(""),
}
if release() >= (1, 23):
    _MORE["PT_HPU_RECIPE_CACHE_CONFIG"] = Flag(",false,1024,false")


def _of_release() -> dict[str, Flag]:
    """Return the bridge's own table, of the newest release that is known and not newer than the emulated one.

    `tools/bridge_surface.py` makes it from the bridge's sources.
    """
    rows = json.loads((Path(__file__).parent / "flag_defaults.json").read_text())
    known = {
        text: (int(text.split(".")[0]), int(text.split(".")[1]))
        for text in " ".join(releases for row in rows.values() for releases in row).split()
    }
    nearest = max(
        (text for text in known if known[text] <= release()), key=known.__getitem__, default=min(known)
    )
    return {
        name: Flag(*value)
        for name, row in rows.items()
        for releases, value in row.items()
        if nearest in releases.split()
    }


FLAGS: dict[str, Flag] = _of_release() | _MORE

_set: dict[str, Any] = {}


def get(name: str) -> Any:
    """Return the value of the variable `name`: as it was set here, else from the environment, else its default.

    Raises
    ------
    KeyError
        There is no such variable.
    """
    flag = FLAGS[name]
    if name == mode.LAZY_VARIABLE:
        return int(mode.is_lazy())
    if name in _set:
        return _set[name]
    asked = os.environ.get(name)
    return flag.default if asked is None else _parse(asked, type(flag.default))


def put(name: str, value: Any) -> None:
    """Set the variable `name` from now on.

    Raises
    ------
    KeyError
        There is no such variable, or it is fixed when the bridge loads.
    """
    if not FLAGS[name].settable:
        raise KeyError(name)
    _set[name] = type(FLAGS[name].default)(value)


def _parse(text: str, kind: type) -> Any:
    return bool(parse_boolean(text)) if kind is bool else kind(text)


def parse_boolean(text: str) -> bool | None:
    """Return what `text` says, in any case of its letters; None if it says neither yes nor no."""
    if text.lower() in ("1", "true", "yes", "on", "y", "t"):
        return True
    return False if text.lower() in ("0", "false", "no", "off", "n", "f") else None


def read_boolean(name: str, default: bool) -> bool:
    """Return what the environment variable `name` says, also of one that is not in `FLAGS`; what says neither is no."""
    text = os.environ.get(name)
    return default if text is None else bool(parse_boolean(text))
