"""In several processes an evaluation gives the metrics of one."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest

from tests.unit.forked import run_forked
from tests.unit.transformers import evaluated_program

# What a launcher does, without starting Python for it; `tests/processes` has the launchers themselves.
TWO_RANKS = """
import os, runpy, sys
del sys.argv[0]
first = os.fork()
os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if first else "1"
runpy.run_path(sys.argv[0], run_name="__main__")
if first:
    assert os.waitpid(first, 0)[1] == 0
"""


def test_two_processes_evaluate_125_samples_in_batches_of_8_like_one(workbench, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    launched = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    bridge = {"GAUDI_LAB_EMULATED_DEVICES": "2", "PT_HPU_LAZY_MODE": "1"}
    done = run_forked(
        TWO_RANKS,
        evaluated_program.__file__,
        str(tmp_path),
        libraries=["transformers.trainer"],
        environment={**os.environ, **launched, **bridge},
        quiet=True,
    )
    assert done.returncode == 0, done.stderr
    evaluated_program.check_two_processes(done.stdout, tmp_path)


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
