"""Print the seconds to the first result of one case of the table of peers, run one way in this process.

Run: python benchmarks/limits/first_result.py minilm1 "HPU graph" openvino
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
sys.path.insert(0, str(Path(__file__).parent.parent))
warnings.simplefilter("ignore")

import gaudi_lab.emulator

gaudi_lab.emulator.install()

import habana_frameworks.torch  # noqa: F401 - the device
import torch
from peers.cases import CASES
from peers.contenders import contenders, on_the_device

from gaudi_lab.emulator.lazy import agreement, compilers


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    ways = {way.name: way for way in contenders()}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=CASES)
    parser.add_argument("way", choices=ways)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    case, way = CASES[options.case], ways[options.way]
    module, inputs = case.make()
    module = module.eval().requires_grad_(False)
    way.enter()
    if way.process is not None:
        module, inputs = on_the_device(module, inputs, case.fused)
        (
            torch.ones(2).to("hpu") + 1
        ).cpu()  # the device is acquired, and PyTorch has imported its fake tensors
    started = time.perf_counter()
    way.make(module, inputs)()
    print(time.perf_counter() - started)
    if compilers.passed_over or agreement.disagreements:
        raise SystemExit(f"not by its compiler: {[*compilers.passed_over, *agreement.disagreements]}")


if __name__ == "__main__":
    main()
