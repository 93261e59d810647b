"""Modules of the bridge that are not there."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from gaudi_lab.emulator.process import absent


@pytest.fixture(autouse=True)
def loaded():
    import habana_frameworks.torch  # noqa: F401


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("import habana_frameworks.mediapipe", "load images with torchvision or PIL"),
        ("from habana_frameworks.mediapipe import fn", "load images with torchvision or PIL"),
        ("import habana_dataloader", "use torch.utils.data.DataLoader"),
        ("from habana_frameworks.torch import _hpu_C", "compiled from C++"),
        ("from mpi4py import MPI", "start it with python -m torch.distributed.run"),
        ("from habana_frameworks.torch.core.quantize_pt2e import export", "Intel Neural Compressor"),
        ("import habana_frameworks.torch.hpex.experimental.transformer_engine as te", "bfloat16"),
    ],
)
def test_an_import_says_what_it_is_and_what_to_use(statement, says):
    with pytest.raises(ModuleNotFoundError, match=says):
        exec(statement, {})


def test_who_only_asks_is_told_that_there_is_none():
    assert importlib.util.find_spec("habana_frameworks.mediapipe") is None
    assert importlib.util.find_spec("habana_frameworks.torch._hpu_C") is None


def test_a_module_that_nobody_knows_is_not_found_in_pythons_words():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'habana_frameworks.nothing'"):
        importlib.import_module("habana_frameworks.nothing")
    assert absent.why_absent("habana_frameworks.nothing") is None


def test_without_the_emulated_bridge_nobody_is_in_the_way():
    code = (
        "import sys\n"
        "try:\n    import habana_dataloader\n"
        "except ModuleNotFoundError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "No module named 'habana_dataloader'"
