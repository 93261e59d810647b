"""Sections A.2, A.4, D.3 and D.4: flags of the environment, by what they do."""

from __future__ import annotations

import pytest
from contract import covers, message, raises
from fresh import run


@covers("flag-getters")
def test_getters():
    code = """
        import habana_frameworks.torch
        from habana_frameworks.torch.internal import bridge_config as bc
        names = ("pt_hpu_max_compound_op_size", "pt_hpu_place_on_cpu", "pt_hpu_pool_mem_acquire_perc",
                 "pt_cache_folder_delete", "pt_hpu_graph_dump_format")
        result["values"] = [getattr(bc, f"get_{name}")() for name in names]
        result["listed"] = all(f"get_{name}" in dir(bc) for name in names)
        result["settable"] = [name for name in names if hasattr(bc, f"set_{name}")]
    """
    plain = run(code)
    assert plain["values"] == [2**63 - 1, "", 100, False, "pbtxt"]
    assert plain["listed"]
    assert plain["settable"] == ["pt_hpu_graph_dump_format"]
    asked = run(
        code,
        PT_HPU_MAX_COMPOUND_OP_SIZE="7",
        PT_HPU_PLACE_ON_CPU="nonzero",
        PT_HPU_POOL_MEM_ACQUIRE_PERC="50",
        PT_CACHE_FOLDER_DELETE="true",
    )
    assert asked["values"] == [7, "nonzero", 50, True, "pbtxt"]


@covers("compound-size")
@pytest.mark.parametrize(("limit", "graphs"), [("3", 4), ("100", 1)])
def test_a_recording_runs_at_its_limit(limit, graphs):
    found = run(
        """
        import torch, habana_frameworks.torch as ht
        from habana_frameworks.torch.hpu.metrics import metric_localcontext
        x = torch.ones(3, device="hpu")
        ht.core.mark_step()

        def long(x):
            for n in range(1, 13):
                x = x + n
            return x

        with metric_localcontext("graph_compilation") as metric:
            y = long(x)
            ht.core.mark_step()
        result["graphs"] = dict(metric.stats())["TotalNumber"]
        result["y"] = y.tolist()
        module = torch.nn.Module()
        module.forward = long
        ht.hpu.wrap_in_hpu_graph(module)
        module(x)
        result["replayed"] = module(x * 2).tolist()
        """,
        PT_HPU_LAZY_MODE="1",
        PT_HPU_MAX_COMPOUND_OP_SIZE=limit,
    )
    assert found["y"] == [79.0] * 3
    assert found["replayed"] == [80.0] * 3
    # Twelve additions; with a limit of three there are four different graphs of three.
    assert found["graphs"] == graphs


@covers("place-on-cpu")
@raises("not-on-cpu")
@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        ("", False),
        ("none", True),
        ("nonzero,unique_consecutive", False),
        ("aten::unique_consecutive", False),
        ("nonzero", True),
    ],
)
def test_which_operators_may_fall_back(allowed, refused):
    found = run(
        """
        import torch, habana_frameworks.torch as ht
        from habana_frameworks.torch.hpu.metrics import metric_localcontext
        x = torch.tensor([2.0, 2.0, 1.0], device="hpu")
        with metric_localcontext("cpu_fallback") as metric:
            try:
                result["found"] = x.unique_consecutive().tolist()
            except RuntimeError as error:
                result["message"] = str(error)
        result["fallbacks"] = dict(metric.stats())["TotalNumber"]
        """,
        PT_HPU_LAZY_MODE="1",
        PT_HPU_PLACE_ON_CPU=allowed,
    )
    if refused:
        assert found["message"] == message("not-on-cpu", operator="aten::unique_consecutive")
        assert found["fallbacks"] == 0
    else:
        assert found["found"] == [2.0, 1.0]
        assert found["fallbacks"] == 1


@covers("pool-percent")
def test_the_part_of_the_memory():
    code = """
        import torch, habana_frameworks.torch
        result["limit"] = torch.hpu.memory_reserved()
        result["free"] = torch.hpu.mem_get_info()[1]
    """
    for percent, expected in (("50", 2**30), ("400", 2**31)):
        found = run(code, GAUDI_LAB_MEMORY_GB="2", PT_HPU_POOL_MEM_ACQUIRE_PERC=percent)
        assert found["limit"] == found["free"] == expected


@covers("recipe-ignore-version")
@pytest.mark.parametrize(("ignore", "compiled"), [("0", 1), ("1", 0)])
def test_recipes_of_another_release(tmp_path, ignore, compiled):
    code = """
        import torch, habana_frameworks.torch as ht
        from habana_frameworks.torch.hpu.metrics import metric_localcontext
        x = torch.ones(5, device="hpu")
        ht.core.mark_step()
        with metric_localcontext("graph_compilation") as metric:
            y = (x * 3).sinh()
            ht.core.mark_step()
        result["compiled"] = dict(metric.stats())["TotalNumber"]
    """
    given = {
        "PT_HPU_LAZY_MODE": "1",
        "PT_HPU_RECIPE_CACHE_CONFIG": f"{tmp_path},false,1024",
        "PT_RECIPE_CACHE_IGNORE_VERSION": ignore,
    }
    assert run(code, GAUDI_LAB_BRIDGE_VERSION="1.22", **given)["compiled"] == 1
    assert run(code, GAUDI_LAB_BRIDGE_VERSION="1.23", **given)["compiled"] == compiled
