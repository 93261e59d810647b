"""Section A.3: what loading the bridge does to the process, and when it loads by itself."""

from __future__ import annotations

import pytest
from contract import covers, message, raises
from fresh import run

LAZY = {"PT_HPU_LAZY_MODE": "1"}


@covers("autoload-rule")
@pytest.mark.parametrize(
    ("settings", "there"),
    [
        ({"PT_HPU_AUTOLOAD": "0"}, False),
        ({"PT_HPU_LAZY_MODE": "0"}, True),
        ({"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}, False),
        ({"GAUDI_LAB_BRIDGE_VERSION": "1.20"}, False),
        ({"GAUDI_LAB_BRIDGE_VERSION": "1.20", "PT_HPU_LAZY_MODE": "0"}, True),
    ],
)
def test_autoload_rule(settings, there):
    code = """
        import torch
        result["there"] = hasattr(torch, "hpu")
        import habana_frameworks.autoload as autoload
        result["known"] = autoload.is_loaded
    """
    found = run(code, asks=False, GAUDI_LAB_EMULATE="1", **settings)
    assert found["there"] is found["known"] is there


@covers("gpu-migration")
@pytest.mark.parametrize("asked", [True, False])
def test_a_program_for_cuda_runs_on_the_device(asked):
    found = run(
        ("" if asked else "import habana_frameworks.torch.gpu_migration")
        + """
        import torch
        result["there"] = torch.cuda.is_available()
        model = torch.nn.Linear(2, 2).to(torch.device("cuda"))
        with torch.autocast("cuda", dtype=torch.float16):
            out = model(torch.ones(3, 2, device="cuda"))
        result["made"] = [str(out.device), str(out.dtype)]
        result["scaled"] = torch.amp.GradScaler("cuda").is_enabled()
        result["compiled"] = torch.compile(lambda x: x + 1)(torch.ones(1, device="cuda")).item()
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group("nccl", store=store, rank=0, world_size=1)
        result["backend"] = torch.distributed.get_backend()
        """.replace("\n        ", "\n"),
        asks=False,
        GAUDI_LAB_EMULATE="1",
        GAUDI_LAB_COMPILER="replay",
        PT_HPU_LAZY_MODE="0",
        PT_HPU_GPU_MIGRATION=str(int(asked)),
    )
    assert found == {
        "there": True, "made": ["hpu:0", "torch.bfloat16"], "scaled": False, "compiled": 2.0, "backend": "nccl",
        "stderr": found["stderr"],
    }  # fmt: skip


@covers("import-side-effects")
def test_side_effects():
    found = run(
        """
        import os, torch
        import habana_frameworks.torch as ht
        result["profile"] = os.environ["HABANA_PROFILE"]
        result["threads"] = os.environ["TORCHINDUCTOR_COMPILE_THREADS"]
        result["same"] = torch.hpu is ht.hpu
        torch.manual_seed(3)
        first = torch.rand(3, device="hpu").tolist()
        torch.manual_seed(3)
        result["seeded"] = first == torch.rand(3, device="hpu").tolist()
        state = torch.hpu.get_rng_state()
        with torch.random.fork_rng():
            torch.rand(3, device="hpu")
        result["forked"] = torch.equal(state, torch.hpu.get_rng_state())
        torch.ones(2, device="hpu").record_stream(torch.hpu.current_stream())
        """,
        PT_HPU_LAZY_MODE="0",
        HABANA_PROFILE="mine",
    )
    assert found == {
        "profile": "mine", "threads": "1", "same": True, "seeded": True, "forked": True, "stderr": found["stderr"]
    }  # fmt: skip


@covers("names-hook")
@pytest.mark.parametrize("lazy", ["1", "0"])
def test_submodules_are_hooked_in_lazy_mode(lazy):
    found = run(
        """
        import torch, habana_frameworks.torch
        class Inner(torch.nn.Module):
            def forward(self, x):
                from habana_frameworks.torch.core import module_names
                result.setdefault("running", []).append(module_names.running())
                if x is None:
                    raise ValueError
                return x
        class Outer(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.first = Inner()
                self.add_module("second", torch.nn.Sequential(Inner()))
            def forward(self, x):
                return self.second(self.first(x))
        outer = Outer()
        result["outer"] = len(outer._forward_hooks)
        result["inner"] = [len(x._forward_hooks) + len(x._forward_pre_hooks) for x in outer.children()]
        result["named"] = getattr(outer.first, "custom_name", None)
        outer(torch.ones(1))
        try:
            outer(None)
        except ValueError:
            pass
        outer(torch.ones(1))
        """,
        PT_HPU_LAZY_MODE=lazy,
    )
    assert found["outer"] == 0
    if lazy == "1":
        assert found["inner"] == [2, 2]
        assert found["named"] == "first"
        assert found["running"] == [
            "first",
            "second/0",
            "first",
            "first",
            "second/0",
        ]  # balanced after an error
    else:
        assert found["inner"] == [0, 0]
        assert found["named"] is None


SHARED = """
    import torch, habana_frameworks.torch
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(4, 4), "b": torch.nn.Linear(4, 4)})
    model["b"].weight = model["a"].weight
    held = model["a"].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    result["shared"], result["held"], result["device"] = [], [], []
    for device in ("hpu", "cpu", "hpu"):
        model.to(device)
        result["shared"].append(model["a"].weight is model["b"].weight)
        result["held"].append(optimizer.param_groups[0]["params"][0] is model["a"].weight is held)
        result["device"].append(held.device.type)
    from habana_frameworks.torch.core.weight_sharing import HabanaParameterWrapper
    result["class"] = isinstance(held, HabanaParameterWrapper)
    result["other"] = isinstance(torch.nn.Parameter(torch.ones(1)), HabanaParameterWrapper)
    before = held.detach().clone()
    model["b"](torch.ones(1, 4, device="hpu")).sum().backward()
    optimizer.step()
    result["moved"] = (model["a"].weight - before).abs().max().item()
"""


@covers("weight-sharing")
def test_shared_and_held_weights_survive_a_move():
    found = run(SHARED, **LAZY)
    assert found["shared"] == found["held"] == [True] * 3
    assert found["device"] == ["hpu", "cpu", "hpu"]
    assert found["class"]
    assert not found["other"]
    assert found["moved"] == 1.0
    assert not run(SHARED, PT_HPU_WEIGHT_SHARING="0", **LAZY)["class"]


@covers("weight-sharing")
@raises("weight-sharing")
def test_a_move_that_loses_a_parameter():
    found = run(
        """
        import torch, habana_frameworks.torch
        class Losing(torch.nn.Linear):
            def _apply(self, fn, recurse=True):
                super()._apply(fn, recurse)
                del self.bias
                return self
        try:
            Losing(2, 2).to("hpu")
        except Exception as error:
            result["kind"], result["message"] = type(error).__name__, str(error)
        """,
        **LAZY,
    )
    assert (found["kind"], found["message"]) == ("Exception", message("weight-sharing"))
