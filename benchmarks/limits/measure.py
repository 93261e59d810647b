"""Measure one group of limits in this process, and print them as JSON.

Run: python benchmarks/limits/measure.py operators|calls|starting|memory [--quick]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import warnings
from pathlib import Path

# Before torch: one thread, no compiler but replay unless a limit says so, lazy mode.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", PT_HPU_LAZY_MODE="1")
os.environ.setdefault("GAUDI_LAB_COMPILER", "replay")
sys.path.insert(0, str(Path(__file__).parent.parent))
warnings.simplefilter("ignore")

import gaudi_lab.emulator

gaudi_lab.emulator.install()

from limits import GROUPS
from limits.limit import as_plain


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and nothing that takes minutes")
    options = parser.parse_args()
    found = importlib.import_module(f"limits.{options.group}").measure(quick=options.quick)
    print(json.dumps([as_plain(limit) for limit in found]))


if __name__ == "__main__":
    main()
