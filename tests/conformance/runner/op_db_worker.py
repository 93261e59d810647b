"""Runs cases in this process and writes one line of JSON for each: the process may die, its lines stay.

python op_db_worker.py DATABASE MODE OUTPUT [--samples N] < names of cases
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import warnings
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("database", choices=["op_db", "module_db"])
    parser.add_argument("mode", choices=["eager", "lazy"])
    parser.add_argument("output", type=Path)
    parser.add_argument("--samples", type=int)
    options = parser.parse_args()
    names = sys.stdin.read().split()

    import torch

    import gaudi_lab.emulator as emulator

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    emulator.install()
    import habana_frameworks.torch  # noqa: F401 - makes the device

    emulator.set_lazy(options.mode == "lazy")
    from gaudi_lab.emulator.lazy import agreement, compilers, record
    from gaudi_lab.emulator.lazy.compile import named

    run = importlib.import_module(f"{options.database}_cases").run
    compiled = compilers.for_recorded() is not None
    repeats = 2 if options.mode == "lazy" else 1
    with options.output.open("a") as output:

        def write(line: dict[str, object]) -> None:
            output.write(json.dumps(line) + "\n")
            output.flush()

        for name in names:
            write({"case": name, "began": True})
            if compiled:  # what it makes is large, and no case finds again what another one left
                record.trie.clear()
                record.tape.restart()
            before = named(), len(compilers.passed_over), len(agreement.disagreements)
            started = time.perf_counter()
            samples, problems = 0, []
            try:
                for number, problem in run(name, repeats, options.samples, compiled):
                    samples += 1
                    if problem:
                        problems.append([number, problem])
            except Exception as error:
                problems.append([samples, f"the samples themselves failed: {error!r}"])
            seconds = round(time.perf_counter() - started, 3)
            passed = len(compilers.passed_over) - before[1]
            unbelieved = [str(found) for found in agreement.disagreements[before[2] :]]
            made = named() - before[0] - passed - len(unbelieved) if compiled else 0
            write(
                {
                    "case": name,
                    "samples": samples,
                    "problems": problems,
                    "seconds": seconds,
                    "compiled": made,
                    "passed_over": passed,
                    "disagreements": unbelieved,
                }
            )


if __name__ == "__main__":
    main()
