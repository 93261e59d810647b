"""In several processes an evaluation gives the metrics of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import gaudi_lab
from tests.unit.transformers import evaluated_program

ROOT = Path(gaudi_lab.__file__).parent.parent
LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--nproc_per_node", "2"],
    "accelerate": ["accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1"],
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_evaluate_125_samples_in_batches_of_8_like_one(launcher, workbench, tmp_path):
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
            "OMP_NUM_THREADS": "1",
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"backend"')]
    (told,) = map(json.loads, lines)
    assert (told["backend"], told["processes"]) == ("hccl", 2)
    for two, one in zip(told["told"], evaluated_program.evaluate(tmp_path), strict=True):
        assert two["eval_count"] == 125
        assert two == {
            **one,
            "eval_loss": pytest.approx(one["eval_loss"], rel=1e-6),
            "eval_sum": pytest.approx(one["eval_sum"], rel=1e-4),
            "batches": 8,
            "steady": True,
        }
        assert one["batches"] == 16


@pytest.mark.parametrize(
    ("rank", "remainder", "own", "everywhere"),
    [(0, 13, 8, 13), (1, 13, 5, 13), (0, 5, 5, 5), (1, 5, 8, 5), (1, 0, 8, 16), (1, -1, 8, 16)],
)
def test_the_first_samples_once_more_are_told_from_the_last(rank, remainder, own, everywhere):
    from gaudi_lab.transformers.several_processes import BatchRows, count_rows

    state = SimpleNamespace(end_of_dataloader=True, remainder=remainder)
    accelerator = SimpleNamespace(
        num_processes=2, process_index=rank, use_distributed=True, gradient_state=state
    )
    assert count_rows(accelerator, 8) == BatchRows(8, own, everywhere)
    state.end_of_dataloader = False
    assert count_rows(accelerator, 8) == BatchRows(8, 8, 16)
