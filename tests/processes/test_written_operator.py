"""The tests in the folder that `gaudi-lab new-op` writes run here, without a Gaudi."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gaudi_lab
from gaudi_lab.cli.new_op import write_operator


def test_its_tests_run_here_and_the_hardware_test_is_skipped(tmp_path):
    folder = write_operator("scaled_relu", tmp_path / "ops" / "scaled_relu")
    # Plugins that happen to be installed take seconds to load, and none is needed.
    here = {"PYTHONPATH": str(Path(gaudi_lab.__file__).parents[1]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment = {**os.environ, **here}
    out = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed, 1 skipped" in out.stdout, out.stdout + out.stderr
