"""How long it takes to begin: imports, and a second process that finds the first one's recipes on disk."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from limits.limit import Limit

IMPORT = """
import time
started = time.perf_counter()
import gaudi_lab
print(1000 * (time.perf_counter() - started))
import sys
assert "torch" not in sys.modules
"""
LOAD = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
started = time.perf_counter()
shell.extension_manager.load_extension("gaudi_lab")
print(1000 * (time.perf_counter() - started))
import sys
assert "torch" not in sys.modules
"""
CASE = "minilm1"
WAYS = ("hpu lazy", "HPU graph", "hpu compile", "HPU graph, openvino", "hpu compile, inductor")
_STRAIGHT = (
    "without imports; replay compiles in milliseconds: what is left, the model's Python, shape inference and the first "
    "run step by step, is no recipe"
)
WHY = {
    "hpu lazy": _STRAIGHT,
    "HPU graph": _STRAIGHT,
    "hpu compile": "Dynamo traces in each process, and what it does is no recipe",
    "hpu compile, inductor": "as hpu compile",
}


def measure(quick: bool) -> list[Limit]:
    """Return the limits of beginning, each measurement in a process of its own."""
    often = 5 if quick else 15
    ways = WAYS[1:4:2] if quick else WAYS
    return [
        Limit("import gaudi_lab", 60.0, "ms", [_run(["-c", IMPORT]) for _ in range(often)]),
        Limit("%load_ext gaudi_lab, before torch", 300.0, "ms", [_run(["-c", LOAD]) for _ in range(often)]),
        *[_second_process(way, 1 if quick else 3) for way in ways],
    ]


def _second_process(way: str, often: int) -> Limit:
    shares, firsts = [], []
    for _ in range(often):
        with tempfile.TemporaryDirectory() as folder:
            given = [str(Path(__file__).with_name("first_result.py")), CASE, way]
            # Inductor keeps its own folder elsewhere, where another run has left something.
            recipes = {
                "PT_HPU_RECIPE_CACHE_CONFIG": f"{folder},false,4096",
                "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor",
            }
            first, second = _run(given, recipes), _run(given, recipes)
            shares.append(second / first)
            firsts.append(first)
    told = f"the first took {min(firsts):.2f} s"
    limit = Limit(
        f"second process with the recipe cache, of the first: MiniLM 1x32, {way}", 0.25, "", shares, told
    )
    return limit if limit.met or way not in WHY else limit._replace(note=f"{told}; {WHY[way]}")


def _run(command: list[str], variables: Mapping[str, str] | None = None) -> float:
    """Return the number that a fresh Python prints last."""
    ran = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise SystemExit(f"{command} failed:\n{ran.stderr[-2000:]}")
    return float(ran.stdout.split()[-1])
