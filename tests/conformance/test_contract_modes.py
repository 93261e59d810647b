"""Section A: execution modes."""

from __future__ import annotations

import logging
import textwrap

import pytest
import torch
from contract import covers, message, raises
from fresh import run
from torch import nn

from gaudi_lab import bridge, emulator


@pytest.fixture(scope="module", autouse=True)
def device():
    bridge.load()


@pytest.fixture
def lazy():
    emulator.set_lazy(True)
    yield
    emulator.set_lazy(False)


@covers("default-mode")
@pytest.mark.parametrize(
    ("release", "setting", "expected"),
    [
        ("1.20", None, True),
        ("1.21", None, False),
        ("1.23", None, False),
        ("1.23", "1", True),
        ("1.23", "2", True),
    ],
)
def test_default_mode(release, setting, expected, monkeypatch):
    from gaudi_lab.emulator.process import mode
    from gaudi_lab.emulator.process import release as releases

    monkeypatch.setenv("GAUDI_LAB_BRIDGE_VERSION", release)
    monkeypatch.delenv("PT_HPU_LAZY_MODE", raising=False)
    if setting is not None:
        monkeypatch.setenv("PT_HPU_LAZY_MODE", setting)
    releases.version.cache_clear()
    try:
        assert mode.from_environment() is expected
    finally:
        monkeypatch.undo()
        releases.version.cache_clear()


@covers("mode-frozen", "wrong-plugin")
@raises("wrong-plugin-lazy", "wrong-plugin-eager")
@pytest.mark.parametrize(
    ("loaded", "later", "expected"), [("1", "0", "wrong-plugin-lazy"), ("0", "1", "wrong-plugin-eager")]
)
def test_environment_changed_after_import(loaded, later, expected):
    found = run(
        f"""
        import os, torch
        import habana_frameworks.torch
        from habana_frameworks.torch.utils.internal import is_lazy
        os.environ["PT_HPU_LAZY_MODE"] = "{later}"
        result["lazy"] = is_lazy()
        result["available"] = torch.hpu.is_available()
        try:
            torch.ones(2).to("hpu")
        except RuntimeError as error:
            result["message"] = str(error)
        """,
        PT_HPU_LAZY_MODE=loaded,
    )
    assert found["lazy"] is (loaded == "1")
    assert found["available"]
    assert found["message"] == message(expected)


@covers("mode-not-settable", "env-setting-leaks")
def test_bridge_config():
    from habana_frameworks.torch.internal import bridge_config as bc
    from habana_frameworks.torch.utils.internal import is_lazy

    assert bc.get_pt_hpu_lazy_mode() == int(is_lazy()) == int(is_lazy._is_lazy)
    with pytest.raises(AttributeError):
        bc.set_pt_hpu_lazy_mode(1)
    with pytest.raises(KeyError), bc.env_setting("PT_HPU_LAZY_MODE", 1):
        pass
    before = bc.get_pt_hpu_graph_dump_mode()
    with bc.env_setting("PT_HPU_GRAPH_DUMP_MODE", "all"):
        assert bc.get_pt_hpu_graph_dump_mode() == "all"
    assert bc.get_pt_hpu_graph_dump_mode() == before
    with pytest.raises(ZeroDivisionError), bc.env_setting("PT_HPU_GRAPH_DUMP_MODE", "all"):
        _ = 1 / 0
    assert bc.get_pt_hpu_graph_dump_mode() == "all"
    bc.set_pt_hpu_graph_dump_mode(before)


@covers("autoload")
@pytest.mark.parametrize(
    ("settings", "there"),
    [
        ({}, True),
        ({"PT_HPU_LAZY_MODE": "1"}, False),
        ({"PT_HPU_LAZY_MODE": "1", "PT_HPU_AUTOLOAD": "1"}, True),
    ],
)
def test_autoload(settings, there):
    found = run(
        "import torch\nresult['there'] = hasattr(torch, 'hpu')", asks=False, GAUDI_LAB_EMULATE="1", **settings
    )
    assert found["there"] is there


@covers("lazy-accumulates")
def test_lazy_runs_at_a_step(lazy):
    import habana_frameworks.torch.core as htcore
    from habana_frameworks.torch.hpu.metrics import metric_localcontext

    x = torch.full((3, 5, 7), 2.0, device="hpu")
    htcore.mark_step()
    for end in (
        lambda y: htcore.mark_step(),
        lambda y: y.cpu(),
        lambda y: y.sum().item(),
        lambda y: bool(y.sum() > 0),
        print,
    ):
        y = (x * 3).sinh() + 1
        assert y._cell.host is None
        end(y)
        assert y._cell.host is not None
    with metric_localcontext("graph_compilation") as metric:
        y = (x * 3).sinh() + 1
        htcore.mark_step()
    assert metric.stats()[0] == ("TotalNumber", 0)


@covers("step-closure")
def test_step_closure(lazy):
    import habana_frameworks.torch.core as htcore

    seen = []
    htcore.add_step_closure(seen.append, (1,))
    assert not seen
    assert htcore.mark_step(sync=True) is None
    htcore.iter_mark_step()
    assert seen == [1]


@covers("compile-backend")
def test_compile_backend():
    module = nn.Linear(3, 2).to("hpu").requires_grad_(False)
    x = torch.ones(4, 3, device="hpu")
    emulator.set_lazy(False)
    compiled = torch.compile(module, backend="hpu_backend")
    torch.testing.assert_close(compiled(x).cpu(), module(x).cpu())
    torch._dynamo.reset()
    found = run(
        """
        import torch, habana_frameworks.torch
        try:
            torch.compile(torch.nn.Linear(3, 2).to("hpu"), backend="hpu_backend")(torch.ones(4, 3, device="hpu"))
        except Exception as error:
            result["error"] = type(error).__name__
        """,
        PT_HPU_LAZY_MODE="1",
    )
    assert found["error"] == "InvalidBackend"


@covers("compile-options")
def test_compile_options():
    from habana_frameworks.torch.dynamo.compile_backend import config

    x = torch.ones(4, 3, device="hpu")
    torch.compile(
        lambda x: x + 1,
        backend="hpu_backend",
        options={"force_static_compile": True, "keep_input_mutations": True},
    )(x)
    assert config.force_static_compile is False
    with pytest.raises(Exception, match="no_such_key"):
        torch.compile(lambda x: x + 2, backend="hpu_backend", options={"no_such_key": True})(x)
    torch._dynamo.reset()


_DEFAULTS = {
    "use_compiled_recipes": True,
    "decomposition_mode": "habana",
    "keep_input_mutations": True,
    "use_eager_fallback": True,
    "discard_frozen_params": False,
    "remove_unnecessary_clones": True,
    "use_inplace_allreduce": True,
    "use_inplace_index_copy": True,
    "inference": True,
    "enable_sfg": False,
    "use_cpp_partitioner": True,
    "enable_allreduce_graph_split": True,
    "force_static_compile": False,
    "reinplace_add": True,
    "reassign_full_copy": True,
    "reassign_copy_": True,
    "use_boxed_input": True,
    # since 1.21, which dropped use_graph_freezing
    "dump_graph_repro": False,
    "joint_graph_constant_folding": True,
    "enable_waittensor_graph_split": True,
    "use_generic_reinplacer": True,
    "enable_synapse_input_reuse": True,
}
_VARIABLES = {
    "use_compiled_recipes": "PT_HPU_COMPILE_USE_RECIPES",
    "keep_input_mutations": "PT_HPU_KEEP_INPUT_MUTATIONS",
    "use_eager_fallback": "PT_HPU_USE_EAGER_FALLBACK",
    "inference": "PT_HPU_USE_INFERENCE_COMPILER",
    "force_static_compile": "PT_HPU_FORCE_STATIC_COMPILE",
}
_CONFIG = """
    try:
        import habana_frameworks.torch
        from habana_frameworks.torch.dynamo.compile_backend import config
        result["config"] = config.shallow_copy_dict()
    except AssertionError as error:
        result["error"] = str(error)
"""


@covers("compile-defaults")
def test_settings_of_the_backend():
    assert run(_CONFIG, PT_HPU_LAZY_MODE="0")["config"] == _DEFAULTS
    older = run(_CONFIG, PT_HPU_LAZY_MODE="0", GAUDI_LAB_BRIDGE_VERSION="1.19")["config"]
    assert set(older) == {*list(_DEFAULTS)[:17], "use_graph_freezing"}
    other = {variable: str(int(not _DEFAULTS[name])) for name, variable in _VARIABLES.items()}
    asked = run(_CONFIG, PT_HPU_LAZY_MODE="0", PT_HPU_COMPILE_DECOMPOSITION_MODE="none", **other)["config"]
    assert asked == _DEFAULTS | {name: not _DEFAULTS[name] for name in _VARIABLES} | {
        "decomposition_mode": "none"
    }
    refused = run(_CONFIG, PT_HPU_LAZY_MODE="0", PT_HPU_USE_BOXED_INPUT="perhaps")
    assert "PT_HPU_USE_BOXED_INPUT: perhaps" in refused["error"]


@covers("compile-eager-backend")
def test_the_eager_backend_of_dynamo():
    module = nn.Linear(3, 2).to("hpu").requires_grad_(False)
    x = torch.ones(4, 3, device="hpu")
    emulator.set_lazy(False)
    torch.testing.assert_close(torch.compile(module, backend="eager")(x).cpu(), module(x).cpu())
    torch._dynamo.reset()


@covers("compile-only")
def test_compile_only(lazy):
    import habana_frameworks.torch.core as htcore
    from habana_frameworks.torch.hpu.metrics import metric_localcontext
    from habana_frameworks.torch.internal import bridge_config as bc

    x = torch.full((11, 3), 2.0, device="hpu")
    htcore.mark_step()
    with metric_localcontext("graph_compilation") as metric, bc.env_setting("PT_COMPILE_ONLY_MODE", True):
        x.tan()
        y = x.tan()
        htcore.mark_step()
    assert metric.stats()[0] == ("TotalNumber", 1)
    with metric_localcontext("graph_compilation") as metric:
        x.tan()
        y = x.tan()
        htcore.mark_step()
    assert metric.stats()[0] == ("TotalNumber", 0)
    assert torch.equal(y.cpu(), torch.full((11, 3), 2.0).tan())


@covers("mark-step-in-eager")
@raises("mark-step-in-eager")
def test_mark_step_in_eager(caplog):
    import habana_frameworks.torch.core as htcore
    from habana_frameworks.torch.utils import internal

    emulator.set_lazy(False)
    internal._warned.clear()
    with caplog.at_level(logging.WARNING, logger="habana_frameworks.torch.utils.internal"):
        htcore.mark_step()
        htcore.mark_step()
    assert [record.getMessage() for record in caplog.records] == [message("mark-step-in-eager")]


@covers("graphs-fail-at-first-forward")
@raises("graphs-in-eager")
def test_graphs_in_eager():
    from habana_frameworks.torch.hpu import wrap_in_hpu_graph

    emulator.set_lazy(False)
    module = wrap_in_hpu_graph(nn.Linear(3, 2).to("hpu"))
    with pytest.raises(RuntimeError) as caught:
        module(torch.ones(1, 3, device="hpu"))
    assert str(caught.value) == message("graphs-in-eager")


@covers("no-graphs-in-eager-1.20")
@raises("no-graphs-in-eager-1.20")
def test_graphs_in_eager_of_an_older_release():
    found = run(
        """
        import habana_frameworks.torch as ht
        try:
            ht.hpu.wrap_in_hpu_graph
        except AttributeError as error:
            result["error"] = str(error)
        """,
        GAUDI_LAB_BRIDGE_VERSION="1.20",
        PT_HPU_LAZY_MODE="0",
    )
    assert found["error"] == message("no-graphs-in-eager-1.20")


@covers("stock-torch")
@raises("stock-torch")
def test_lazy_mode_on_upstream_torch():
    code = """
        import torch
        try:
            import habana_frameworks.torch
        except AssertionError as error:
            result["message"] = str(error)
        result["torch"] = torch.__version__
    """
    found = run(code, asks=False, GAUDI_LAB_TORCH_TYPE="upstream", PT_HPU_LAZY_MODE="1")
    assert found["message"] == message("stock-torch", torch=found["torch"])
    assert "message" not in run(code, asks=False, GAUDI_LAB_TORCH_TYPE="upstream", PT_HPU_LAZY_MODE="0")


_ACQUIRE = """
    import torch
    import habana_frameworks.torch
    try:
        torch.ones(2).to("hpu")
        result["message"] = None
    except RuntimeError as error:
        result["message"] = str(error)
"""


_PRINT_MESSAGE = f"""
from gaudi_lab import emulator
emulator.install()
result = {{}}
{textwrap.dedent(_ACQUIRE)}
print(result["message"])
"""


@covers("device-not-found")
@raises("device-not-found")
def test_no_device():
    found = run(
        _ACQUIRE + "    result['available'] = torch.hpu.is_available()", HABANA_VISIBLE_DEVICES="none"
    )
    assert found["message"] == message("device-not-found")
    assert not found["available"]


@covers("device-busy")
@raises("device-busy")
def test_a_second_process_on_a_device_that_is_not_shared(tmp_path):
    second = f"""
    import subprocess, sys
    done = subprocess.run([sys.executable, "-c", {textwrap.dedent(_PRINT_MESSAGE)!r}], capture_output=True, text=True)
    result["second"] = done.stdout.strip()
    """
    found = run(_ACQUIRE + second, GAUDI_LAB_EXCLUSIVE="1", TMPDIR=str(tmp_path))
    assert found["message"] is None
    assert found["second"] == message("device-busy")
    assert run(_ACQUIRE, GAUDI_LAB_EXCLUSIVE="1", TMPDIR=str(tmp_path))["message"] is None, (
        "freed with its process"
    )
