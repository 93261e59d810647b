"""Two processes, as the launchers start them, evaluate like one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gaudi_lab
from tests.unit.transformers import evaluated_program

ROOT = Path(gaudi_lab.__file__).parent.parent
LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--nproc_per_node", "2"],
    "accelerate": ["accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1"],
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_of_a_launcher_evaluate_like_one(launcher, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", *LAUNCHERS[launcher], evaluated_program.__file__, str(tmp_path)],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "GAUDI_LAB_EMULATE": "1",
            "GAUDI_LAB_EMULATED_DEVICES": "2",
            "PT_HPU_LAZY_MODE": "1",
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr
    gaudi_lab.mode("eager")
    evaluated_program.check_two_processes(done.stdout, tmp_path)
