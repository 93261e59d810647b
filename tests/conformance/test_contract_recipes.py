"""Section D.3: the recipe cache on disk."""

from __future__ import annotations

import os

import pytest
import torch  # noqa: F401 - before the emulator, which it may load
from contract import covers
from fresh import run

from gaudi_lab.emulator.lazy import recipes
from gaudi_lab.emulator.lazy.compilers import has_cpp_compiler

WORK = """
    import torch, habana_frameworks.torch as ht, habana_frameworks.torch.core as htcore
    from habana_frameworks.torch.hpu.metrics import metric_global
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh()).to("hpu").requires_grad_(False)
    x = torch.full((SIZE, 4), 2.0).to("hpu")
    htcore.mark_step()
    started = dict(metric_global("graph_compilation").stats())["TotalNumber"]
    graphed = ht.hpu.wrap_in_hpu_graph(module)
    result["out"] = [graphed(x).tolist() for _ in range(2)]
    result["compiled"] = dict(metric_global("graph_compilation").stats())["TotalNumber"]
    cache = dict(metric_global("recipe_cache").stats())
    result["missed"], result["hit"] = cache["TotalMiss"], cache["TotalHit"]
"""


def work(folder, config="{},false,1024", size=5, **settings):
    asked = {"PT_HPU_RECIPE_CACHE_CONFIG": config.format(folder)} if config else {}
    settings = {"PT_HPU_LAZY_MODE": "1", "PT_HPU_ENABLE_CACHE_METRICS": "1"} | asked | settings
    return run(WORK.replace("SIZE", str(size)), **settings)


@covers("recipe-disk-cache")
def test_a_second_process_compiles_nothing(tmp_path):
    first, second = work(tmp_path / "recipes"), work(tmp_path / "recipes")
    assert first["compiled"] == first["missed"] > 0
    assert second["compiled"] == second["missed"] == 0
    assert second["hit"] == first["hit"] + first["missed"]
    assert second["out"] == first["out"]  # the capture happened all the same
    assert work(tmp_path / "recipes", size=6)["compiled"] > 0, "another shape"
    assert work(tmp_path / "recipes", GAUDI_LAB_BRIDGE_VERSION="1.22")["compiled"] > 0, "another release"
    assert work(tmp_path / "recipes", config="")["compiled"] > 0, "without a path there is no cache"


@covers("recipe-disk-cache-config")
def test_delete_and_older_names(tmp_path):
    folder = tmp_path / "recipes"
    older = {"PT_RECIPE_CACHE_PATH": str(folder)}
    assert work(folder, config="", **older)["compiled"] > 0
    assert work(folder, config="", **older)["compiled"] == 0
    (folder / "mine.txt").touch()
    assert work(folder, config="{},true,1024,false")["compiled"] > 0, "emptied at the start"
    assert (folder / "mine.txt").exists()
    found = run(
        """
        import torch, habana_frameworks.torch
        try:
            torch.ones(1, device="hpu")
        except ValueError as error:
            result["message"] = str(error)
        """,
        PT_HPU_RECIPE_CACHE_CONFIG=f"{folder},perhaps",
    )
    assert "is not <path>,<delete: true or false>,<size in MB>" in found["message"]


@covers("recipe-disk-cache-config")
def test_read_when_the_device_is_acquired(tmp_path):
    code = f"""
        import os, torch, habana_frameworks.torch
        {{}}
        os.environ["PT_HPU_RECIPE_CACHE_CONFIG"] = "{tmp_path / "late"},false,1024"
        torch.ones(1, device="hpu").add(1).tolist()
        result["there"] = os.path.exists("{tmp_path / "late"}")
    """
    assert run(code.format("torch.hpu.init()"), PT_HPU_LAZY_MODE="1")["there"] is False
    assert run(code.format("pass"), PT_HPU_LAZY_MODE="1")["there"] is True


@covers("recipe-disk-cache-config")
def test_the_least_recently_used_recipe_makes_room(tmp_path):
    cache = recipes.DiskCache(tmp_path, limit=250)
    for moment, key in enumerate(("a", "b", "c")):
        cache.store(key, b"x" * 100)
        if (tmp_path / f"{key}.recipe").exists():
            os.utime(tmp_path / f"{key}.recipe", (moment, moment))
        if key == "b":
            assert cache.load("a") is not None  # used: `b` is older now
    assert [cache.load(key) is not None for key in ("a", "b", "c")] == [True, False, True]
    assert not list(tmp_path.glob("*.part"))


@covers("recipe-disk-cache")
@pytest.mark.inductor
@pytest.mark.skipif(not has_cpp_compiler(), reason="no C++ compiler")
def test_compiled_code_is_found_too(tmp_path):
    first, second = [work(tmp_path / "recipes", GAUDI_LAB_COMPILER="inductor") for _ in range(2)]
    assert first["compiled"] > 0
    assert second["compiled"] == 0
    assert second["out"] == first["out"]
    assert (tmp_path / "recipes" / "inductor").is_dir()
