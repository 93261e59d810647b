"""After `gaudi_lab` and torch are there, `hpu` is there: in every order of imports, and however Python was started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ("GAUDI_LAB_", "PT_HPU_", "TORCH_DEVICE_BACKEND_AUTOLOAD")
MOVE = "print(torch.nn.Linear(2, 2).to('hpu').weight.device, lazy())"


def python(*arguments: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=kept | {"GAUDI_LAB_COMPILER": "replay", "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_notebook_that_imports_torch_first_and_changes_the_mode_then():
    code = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in (
    "import torch",
    "model = torch.nn.Linear(2, 2)",
    "%load_ext gaudi_lab",
    "from habana_frameworks.torch.utils.internal import is_lazy; print('lazy', is_lazy())",
    "model.to('hpu')",
    "%gaudi_mode lazy",
    "print('lazy', is_lazy(), (model(torch.ones(1, 2, device='hpu')) * 0).abs().tolist())",
):
    shell.run_cell(cell).raise_error()
"""
    out = python("-c", code)
    assert "lazy False" in out
    assert "lazy True [[0.0, 0.0]]" in out


def test_gaudi_lab_first_in_lazy_mode():
    code = f"""
import gaudi_lab, sys
assert "torch" not in sys.modules
import torch
from habana_frameworks.torch.utils.internal import is_lazy as lazy
{MOVE}
"""
    assert python("-c", code, PT_HPU_LAZY_MODE="1") == "hpu:0 True\n"


def test_pytest_and_its_spawned_children(tmp_path):
    (tmp_path / "work.py").write_text(
        "import torch\n\ndef work(n):\n    return torch.ones(n, device='hpu').sum().item()\n"
    )
    (tmp_path / "test_spawn.py").write_text("""
import torch
import gaudi_lab
from multiprocessing import get_context
from work import work

def test_child():
    assert work(2) == 2.0
    with get_context("spawn").Pool(1) as pool:
        assert pool.map(work, [3]) == [3.0]
""")
    assert "1 passed" in python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path))


def test_the_bridge_before_everything_else():
    # `gaudi_lab.pth` lies in the site-packages of an installed Gaudi Lab, and Python runs it when it starts.
    code = f"""
import site, sys
site.addsitedir({str(ROOT)!r})
assert "gaudi_lab" not in sys.modules
import habana_frameworks.torch as ht
import torch, gaudi_lab
assert ht.hpu is torch.hpu
lazy = ht.utils.internal.is_lazy
{MOVE}
assert "torch._dynamo" not in sys.modules  # half of what importing the bridge would take
assert "hpu_backend" in torch._dynamo.list_backends()
"""
    assert python("-c", code, GAUDI_LAB_EMULATE="1") == "hpu:0 False\n"
    nothing = f"import site, sys; site.addsitedir({str(ROOT)!r}); print('gaudi_lab_autoload' in sys.modules)"
    for setting in ({}, {"GAUDI_LAB_EMULATE": "0"}):
        assert python("-c", nothing, **setting) == "False\n"


def test_never_is_never():
    code = "import torch, gaudi_lab; print(hasattr(torch, 'hpu'), gaudi_lab.status())"
    assert python("-c", code, GAUDI_LAB_EMULATE="0").startswith("False eager mode")
