"""What a relaunch has saved can be asked for afterwards, and the line that an error gives is one that runs."""

import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel


def test_names_come_back_and_nothing_is_lost_for_them(kernel):
    assert kernel.run("%load_ext gaudi_lab\nimport gaudi_lab\na, b = [1], 2").status == "ok"
    moved = kernel.run("%gaudi_relaunch --env PLANTED=yes\nimport os\nprint(os.environ['PLANTED'])")
    assert moved.printed.startswith("PLANTED=yes: fresh process in ")
    assert moved.printed.endswith("yes\n")
    kernel.run("del a")
    assert kernel.run("gaudi_lab.restore(names=['a'])\nprint(a)").printed == "restored a\n[1]\n"
    refused = kernel.run("b = 3\ngaudi_lab.restore(names=['b'])").error
    assert "b would be bound anew" in refused
    assert kernel.value("b") == 3
    assert kernel.run(refused.partition("Run: ")[2]).status == "ok"
    assert kernel.value("b") == 2
    # It lies in memory: with the kernel it goes.
    path = Path(refused.partition("restore('")[2].partition("'")[0])
    assert path.is_dir()
    kernel.client.shutdown()
    end = time.monotonic() + 30
    while path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
