"""The bridge's environment variables, with their defaults, and which of them a program may set while it runs."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from gaudi_lab.emulator.process import mode
from gaudi_lab.emulator.process.release import default_mode, release


class Flag(NamedTuple):
    """One variable: its default, whose class is its class, and whether a running program may set it."""

    default: Any
    settable: bool = False


FLAGS: dict[str, Flag] = {
    "PT_CACHE_FOLDER_DELETE": Flag(False),
    "PT_CACHE_FOLDER_SIZE_MB": Flag(1024),
    "PT_COMPILATION_STATS_PATH": Flag("", settable=True),
    "PT_COMPILE_ONLY_MODE": Flag(False, settable=True),
    "PT_ENABLE_INT64_SUPPORT": Flag(False, settable=True),
    "PT_HPU_AUTOCAST_FP32_OPS_LIST": Flag(""),
    "PT_HPU_AUTOCAST_LOWER_PRECISION_OPS_LIST": Flag(""),
    "PT_HPU_COMPILE_USE_RECIPES": Flag(True),
    "PT_HPU_EAGER_PIPELINE_ENABLE": Flag(True),
    "PT_HPU_ENABLE_CACHE_METRICS": Flag(False, settable=release() >= (1, 21)),
    "PT_HPU_ENABLE_D2H_ASYNC_THREAD": Flag(True),
    "PT_HPU_ENABLE_EAGER_CACHE": Flag(False),
    "PT_HPU_ENABLE_EXECUTION_THREAD": Flag(True),
    "PT_HPU_ENABLE_HPUGRAPH_THREAD": Flag(True),
    "PT_HPU_ENABLE_LAZY_COLLECTIVES": Flag(False),
    "PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES": Flag(False, settable=True),
    "PT_HPU_GPU_MIGRATION": Flag(False),
    "PT_HPU_GRAPH_DUMP_FORMAT": Flag("pbtxt", settable=True),
    "PT_HPU_GRAPH_DUMP_MODE": Flag("", settable=True),
    "PT_HPU_LAZY_MODE": Flag(int(default_mode())),
    "PT_HPU_MAX_COMPOUND_OP_SIZE": Flag(2**63 - 1),
    "PT_HPU_METRICS_GC_DETAILS": Flag(False),
    "PT_HPU_PLACE_ON_CPU": Flag(""),
    "PT_HPU_POOL_MEM_ACQUIRE_PERC": Flag(100),
    "PT_HPU_RECIPE_CACHE_CONFIG": Flag(",false,1024,false" if release() >= (1, 23) else ",false,1024"),
    "PT_HPU_USE_JIT_FORK": Flag(True, settable=release() >= (1, 21)),
    "PT_HPU_WEIGHT_SHARING": Flag(True),
    "PT_RECIPE_CACHE_IGNORE_VERSION": Flag(False),
    "PT_RECIPE_CACHE_PATH": Flag(""),
}

_set: dict[str, Any] = {}


def get(name: str) -> Any:
    """Return the value of the variable `name`: as it was set here, else from the environment, else its default.

    Raises
    ------
    KeyError
        There is no such variable.
    """
    flag = FLAGS[name]
    if name == "PT_HPU_LAZY_MODE":
        return int(mode.lazy())
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
