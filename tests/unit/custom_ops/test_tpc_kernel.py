"""The way of a TPC-C kernel, as far as Intel's public sources show it: with a compiler and a simulator that stand in.

Never run here: Intel's own `tpc-clang` and simulator. The stand-ins have what the tests of Habana_Custom_Kernel use.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gaudi_lab.custom_ops.builds import tpc_tools
from gaudi_lab.errors import LabError

STAND_INS = Path(__file__).with_name("tpc_stand_ins")
BODY = "def NAME(x: Tensor, scale: float = 0.5) -> Tensor: return x.clamp_min(0) * scale"
KERNEL = "void main(tensor input, tensor output, float scale)\n{\n  // relu, scaled\n}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("habanatools")
    shutil.copytree(STAND_INS, made, dirs_exist_ok=True)
    shared = ["c++", "-shared", "-fPIC", "-std=c++17", f"-I{made / 'include'}"]
    subprocess.run([*shared, made / "simulator.cpp", "-o", made / "libtpc_tests_core_ext.so"], check=True)
    (made / "empty.cpp").write_text("")
    for name in ("libtpcsim_shared.so", "libTpcElfReader.so"):
        subprocess.run([*shared, made / "empty.cpp", "-o", made / name], check=True)
    return made


@pytest.fixture
def tools(folder, monkeypatch):
    monkeypatch.setenv(tpc_tools.FOLDER_VARIABLE, str(folder))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    # The program that runs kernels is built once for these tools, as it is outside of the tests.
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(folder / "built"))
    return folder


def test_without_the_tools_it_says_what_to_install(cell, monkeypatch):
    monkeypatch.setenv(tpc_tools.FOLDER_VARIABLE, "/nowhere")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(LabError, match=r"tpc-clang.*without a Gaudi.*sudo dpkg -i habanatools"):
        tpc_tools.find()
    checks = cell(BODY, tpc=KERNEL).check()
    assert checks.of("TPC-C compiles").passed is None
    assert "dpkg -i" in checks.of("TPC-C compiles").detail
    assert checks.of("TPC-C on the simulator").passed is None
    assert checks.passed


def test_a_compiler_alone_is_not_enough(tools, monkeypatch):
    monkeypatch.setenv(tpc_tools.FOLDER_VARIABLE, "/nowhere")
    with pytest.raises(LabError, match=r"/nowhere/libtpc_tests_core_ext.so"):
        tpc_tools.find()


def test_a_kernel_is_compiled_run_and_compared(cell, tools):
    checks = cell(BODY, tpc=KERNEL).check()
    assert checks.of("TPC-C compiles").passed
    assert checks.of("TPC-C on the simulator").passed
    # More than one vector, several rows, and another number.
    import torch

    wide = cell(BODY, tpc=KERNEL).check(torch.randn(3, 150), 3.0)
    assert wide.of("TPC-C on the simulator").passed


def test_a_kernel_that_computes_something_else(cell, tools):
    checks = cell(BODY.replace("clamp_min(0)", "clamp_min(-1)"), tpc=KERNEL).check()
    assert checks.of("TPC-C on the simulator").passed is False


def test_a_kernel_that_writes_nothing(cell, tools):
    checks = cell(BODY, tpc=KERNEL.replace("relu, scaled", "does nothing")).check()
    assert checks.of("TPC-C on the simulator").passed is False
    assert "NaN" in checks.of("TPC-C on the simulator").detail


def test_an_error_of_the_compiler(cell, tools):
    checks = cell(BODY, tpc=KERNEL + "undeclared;\n").check()
    assert checks.of("TPC-C compiles").passed is False
    assert "undeclared identifier" in checks.of("TPC-C compiles").detail
    assert checks.of("TPC-C on the simulator").passed is None


def test_more_dimensions_than_a_tensor_has_there(cell, tools):
    import torch

    checks = cell(BODY, tpc=KERNEL).check(torch.randn(1, 1, 1, 1, 1, 2), 1.0)
    assert "1 to 5 dimensions" in checks.of("TPC-C on the simulator").detail
