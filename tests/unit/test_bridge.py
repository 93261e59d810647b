import os
import subprocess
import sys
import textwrap

import pytest

from gaudi_lab import bridge
from gaudi_lab.errors import LabError


def run(code: str, **environment: str) -> str:
    """Run code in a process of its own, since a bridge is loaded once for all."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PT_HPU")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("variable", "mode"), [(None, "eager"), ("0", "eager"), ("1", "lazy")])
def test_the_mode_is_known_before_the_bridge_loads_and_is_the_same_after(variable, mode):
    code = """
        from gaudi_lab import bridge
        before = bridge.is_lazy()
        assert not bridge.loaded()
        bridge.load()
        assert before == bridge.is_lazy()
        print("lazy" if before else "eager")
    """
    environment = {} if variable is None else {"PT_HPU_LAZY_MODE": variable}
    assert run(code, **environment) == mode


def test_asking_for_lazy_mode_first_loads_the_bridge_in_it():
    code = """
        import os
        from gaudi_lab import bridge
        bridge.set_lazy(True)
        assert os.environ["PT_HPU_LAZY_MODE"] == "1"
        print(bridge.loaded(), bridge.is_lazy())
    """
    assert run(code) == "True True"


def test_the_emulated_bridge_says_that_it_is_one(workbench):
    assert bridge.identity().emulated
    assert str(bridge.identity()).startswith("emulated on CPU · bridge 1.")


def test_counters_count_a_compile_once_in_seconds(workbench):
    import torch

    bridge.set_lazy(True)
    x = torch.randn(5, 3, device="hpu")
    bridge.settle()
    before = bridge.counters()
    for _ in range(2):
        y = (x @ x.T).exp()
        bridge.settle()
    cost = bridge.counters().since(before)
    assert y.shape == (5, 5)
    assert cost.compilations == 1
    assert 0 < cost.compile_time < 10


def test_counters_subtract_operator_by_operator():
    earlier = bridge.Counters(1, 0.5, 2, {"a": 2})
    later = bridge.Counters(4, 2.0, 5, {"a": 2, "b": 3})
    assert later.since(earlier) == bridge.Counters(3, 1.5, 3, {"b": 3})


def test_memory_grows_with_what_is_held(workbench):
    import torch

    held = torch.zeros(1 << 18, device="hpu")
    bridge.settle()
    with_it = bridge.memory()
    assert with_it is not None
    assert with_it.in_use >= held.numel() * 4
    del held
    without_it = bridge.memory()
    assert without_it is not None
    assert with_it.in_use - without_it.in_use >= (1 << 18) * 4
    assert without_it.peak >= with_it.in_use


def test_graphs_are_refused_in_eager_mode_before_the_bridge_would_take_them(net):
    forward = net.forward
    with pytest.raises(LabError, match="only in lazy mode"):
        bridge.wrap_in_hpu_graph(net)
    assert net.forward == forward


def test_an_option_that_the_release_does_not_have_is_refused_with_those_it_has(net):
    bridge.set_lazy(True)
    with pytest.raises(LabError, match="no option speed; it has asynchronous, disable_tensor_cache"):
        bridge.wrap_in_hpu_graph(net, speed=11)


REAL_BRIDGE = {
    "habana_frameworks/__init__.py": "",
    "habana_frameworks/torch/__init__.py": "",
    "habana_frameworks/torch/utils/__init__.py": "",
    "habana_frameworks/torch/utils/internal.py": """
import os
def is_lazy():
    return os.getenv("PT_HPU_LAZY_MODE", "0") != "0"
""",
    "habana_torch_plugin-1.22.0.dist-info/METADATA": """Metadata-Version: 2.1
Name: habana-torch-plugin
Version: 1.22.0
""",
}


@pytest.fixture
def real_bridge(tmp_path):
    """The parts of Intel's package that identity and mode are read from."""
    for path, content in REAL_BRIDGE.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    return {"PYTHONPATH": str(tmp_path)}


def test_a_real_bridge_wins_and_is_named_so(real_bridge):
    code = """
        from gaudi_lab import bridge
        print(bridge.identity())
        bridge.load()
        print(bridge.identity())
    """
    assert run(code, **real_bridge).splitlines() == ["Intel Gaudi · bridge 1.22.0"] * 2


def test_a_real_bridge_keeps_its_mode_and_the_error_says_what_to_do(real_bridge):
    code = """
        from gaudi_lab import bridge, errors
        bridge.load()
        bridge.set_lazy(False)
        try:
            bridge.set_lazy(True)
        except errors.LabError as error:
            print(error.for_notebook())
        print(bridge.is_lazy())
    """
    message, lazy = run(code, **real_bridge).splitlines()
    assert message.endswith("Run: %gaudi_mode lazy")
    assert lazy == "False"


def test_the_emulated_bridge_keeps_its_mode_where_it_is_asked_to():
    code = """
        from gaudi_lab import bridge, emulator, errors
        bridge.set_lazy(True)
        print(bridge.keeps_mode(), bridge.needs_fresh_process(lazy=False), bridge.needs_fresh_process(lazy=True))
        for flip in (bridge.set_lazy, emulator.set_lazy):
            try:
                flip(False)
            except RuntimeError as error:
                print(type(error).__name__, "until the process ends" in str(error))
        print(bridge.is_lazy(), bridge.environment_for(lazy=False))
    """
    assert run(code, GAUDI_LAB_RELAUNCH="always").splitlines() == [
        "True True False",
        "LabValueError True",
        "RuntimeError True",
        "True {'PT_HPU_LAZY_MODE': '0'}",
    ]
