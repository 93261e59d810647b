"""The table of what was measured: ratios to CPU eager, the first result, and a hundred calls with it."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("torch", "transformers", "diffusers", "openvino", "onnxruntime")

_STEADY = (
    "Time of one call beside CPU eager's: the median of the rounds' own ratios, half of which lie in the range behind "
    "it; lower is better. Everybody has one thread and takes turns. A bare tensor subclass takes the host's tensors "
    "out, runs the operator and wraps what it returns: the least that eager mode takes. A bare recorder looks "
    "up what an operator returned before, and the HPU graph then runs: the least that lazy mode takes."
)
_HUNDRED = (
    "A hundred calls beside a hundred of CPU eager, the first one and all compiling included (seconds to the first "
    "result). The first one is measured once."
)


def environment() -> dict[str, Any]:
    """Return what the figures depend on."""
    found = {"python": platform.python_version(), "cpu": _cpu_name(), "cores": os.cpu_count(), "threads": 1}
    return found | {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def make_table(cases: Sequence[dict[str, Any]], about: dict[str, Any]) -> str:
    """Return the tables in Markdown: a row for each way, a column for each model."""
    names = list(dict.fromkeys(name for case in cases for name in case["ways"]))
    head = ["", *[case["label"] for case in cases]]
    steady = [head, ["---"] * len(head)]
    hundred = [head, ["---"] * len(head)]
    for name in names:
        steady.append([name, *[_steady(case, name) for case in cases]])
        if any("first" in case["ways"].get(name, {}) for case in cases):
            hundred.append([name, *[_hundred(case, name) for case in cases]])
    told = ", ".join(f"{key} {value}" for key, value in about.items())
    return "\n".join(
        [
            f"Emulated on CPU, float32. {told}.",
            "",
            _STEADY,
            "",
            *_lines(steady),
            "",
            _HUNDRED,
            "",
            *_lines(hundred),
        ]
    )


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in rows]


def _steady(case: dict[str, Any], name: str) -> str:
    way = case["ways"].get(name, {})
    if not way.get("times"):
        return "-"
    ratios = sorted([a / b for a, b in zip(way["times"], case["ways"]["CPU eager"]["times"], strict=True)])
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    spread = "" if name == "CPU eager" else f" ({low:.2f} to {high:.2f})"
    told = f"{statistics.median(ratios):.2f}{spread}"
    return f"{told}, partly step by step" if way.get("notes") else told


def _hundred(case: dict[str, Any], name: str) -> str:
    way = case["ways"].get(name, {})
    if not way.get("times") or "first" not in way:
        return "-"
    base = 100 * statistics.median(case["ways"]["CPU eager"]["times"])
    return f"{(way['first'] + 99 * statistics.median(way['times'])) / base:.2f} ({way['first']:.1f} s)"
