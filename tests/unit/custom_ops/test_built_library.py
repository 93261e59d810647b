"""Libraries that were built for a bridge: the right one is loaded, the wrong one refused in plain words."""

from __future__ import annotations

import os
import subprocess

import pytest
import torch

from gaudi_lab.custom_ops.builds import built_library
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.instruments import operator_ways


@pytest.fixture
def build(tmp_path):
    """Build a library that is linked with one of the bridge's, as `setup.py` of `gaudi-lab new-op` links it."""

    def make(plugin=None, source=""):
        shared = ["c++", "-shared", "-fPIC", "-x", "c++", "-"]
        arguments = []
        if plugin:
            subprocess.run([*shared, "-o", tmp_path / plugin], input=b"", check=True)
            arguments = [f"-L{tmp_path}", "-Wl,--no-as-needed", f"-l:{plugin}", f"-Wl,-rpath,{tmp_path}"]
        made = tmp_path / "hpu_mine.so"
        subprocess.run([*shared, "-o", made, *arguments], input=source.encode(), check=True)
        return made

    return make


@pytest.mark.parametrize(
    ("plugin", "variant"),
    [
        ("libhabana_pytorch_plugin.so", "lazy-fork"),
        ("libhabana_pytorch2_plugin.so", "eager-fork"),
        ("libhabana_pytorch2_plugin.upstream.so", "eager-upstream"),
        (None, None),
    ],
)
def test_which_build_it_is(build, plugin, variant, monkeypatch):
    library = build(plugin)
    assert built_library.variant_of(library) == variant
    if variant is not None:
        monkeypatch.setattr(operator_ways, "build", lambda: variant)
    built_library.load(library)
    assert str(library) in torch.ops.loaded_libraries


def test_the_wrong_build_is_refused(build, monkeypatch):
    library = build("libhabana_pytorch_plugin.so")
    monkeypatch.setattr(operator_ways, "build", lambda: "eager-upstream")
    with pytest.raises(
        LabError, match=r"lazy mode with Intel's fork.*eager mode with the public PyTorch.*MODE=0"
    ):
        built_library.load(library)
    assert str(library) not in torch.ops.loaded_libraries


def test_the_emulated_bridge_has_no_use_for_it(build):
    assert built_library.variant() == "emulated"
    with pytest.raises(LabError, match="emulated bridge"):
        built_library.load(build("libhabana_pytorch2_plugin.so"))


def test_another_pytorch(build):
    library = build(source='extern "C" void of_another_pytorch(); int x = (of_another_pytorch(), 1);')
    with pytest.raises(LabError, match="built for another PyTorch"):
        built_library.load(library)


def test_kernels_come_before_intels_own(build, monkeypatch, tmp_path):
    monkeypatch.delenv(built_library.KERNELS_VARIABLE, raising=False)
    kernels = tmp_path / "kernels.so"
    kernels.touch()
    for _ in range(2):
        built_library.load(build(), kernels=kernels)
    named = os.environ.pop(built_library.KERNELS_VARIABLE)
    assert named == f"{kernels}:/usr/lib/habanalabs/libtpc_kernels.so"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LabValueError, match="There is no library"):
        built_library.load(tmp_path / "nothing.so")
