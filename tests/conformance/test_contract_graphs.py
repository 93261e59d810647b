"""Section B: HPU graphs."""

from __future__ import annotations

import copy
import gc
import inspect

import pytest
import torch
from contract import covers, message, raises
from fresh import run
from torch import nn

from gaudi_lab import bridge, emulator


@pytest.fixture(autouse=True)
def lazy():
    bridge.load()
    emulator.set_lazy(True)
    yield
    gc.collect()
    emulator.set_lazy(False)


@pytest.fixture
def hpu():
    import habana_frameworks.torch as ht

    return ht.hpu


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 2).to("hpu").requires_grad_(False)


@covers("graph-signatures")
@pytest.mark.parametrize(("release", "dry_run"), [("1.19", False), ("1.22", None)])
def test_signatures_of_older_releases(release, dry_run):
    found = run(
        """
        import inspect, torch
        import habana_frameworks.torch as ht
        parameters = inspect.signature(ht.hpu.wrap_in_hpu_graph).parameters
        result["names"] = list(parameters)
        result["dry_run"] = parameters["dry_run"].default
        try:
            ht.hpu.wrap_in_hpu_graph(torch.nn.Linear(1, 1), verbose=True)
        except TypeError as error:
            result["error"] = str(error)
        from habana_frameworks.torch.hpex.kernels import FusedSDPA
        result["attention"] = len(inspect.signature(FusedSDPA.forward).parameters) - 1
        """,
        GAUDI_LAB_BRIDGE_VERSION=release,
        PT_HPU_LAZY_MODE="1",
    )
    assert found["names"] == ["module", "asynchronous", "disable_tensor_cache", "dry_run", "max_graphs"]
    assert found["dry_run"] is dry_run
    assert "unexpected keyword argument 'verbose'" in found["error"]
    assert found["attention"] == 13


@covers("graph-context")
def test_graph_context(hpu):
    captured = hpu.HPUGraph()
    x = torch.ones(4, device="hpu")
    with hpu.graph(captured):
        assert hpu.is_current_stream_capturing()
        y = x * 2 + 1
    assert not hpu.is_current_stream_capturing()
    assert y.tolist() == [3.0] * 4
    x.fill_(5)
    captured.replay()
    assert y.tolist() == [11.0] * 4


@covers("replay-other-inputs")
def test_replay_with_other_inputs(hpu):
    captured = hpu.HPUGraph()
    x, other = torch.ones(4, device="hpu"), torch.full((4,), 7.0, device="hpu")
    with hpu.graph(captured):
        y = x * 2
    captured.replayV2([x], [other])
    assert y.tolist() == [14.0] * 4
    captured.mark_user_inputs([other, x])
    assert captured.get_user_input_match_indices() == [1]
    captured.mark_user_inputs([x])
    captured.replayV3([torch.zeros(4, device="hpu")])
    assert y.tolist() == [0.0] * 4
    captured.clear_inputs()
    captured.reset()


@covers("wrap-in-place")
def test_wrap_changes_the_module_in_place(hpu):
    module = linear()
    original = module.forward
    assert hpu.wrap_in_hpu_graph(module) is module
    assert module.forward.__wrapped__ == original
    assert {"forward", "clear_cache", "clear_inputs"} <= set(vars(module))
    module(torch.ones(1, 3, device="hpu"))
    module.clear_inputs()
    module.clear_cache()


@covers("key")
def test_key(hpu):
    key = hpu.graphs.input_hash
    x = torch.ones(2, 3, device="hpu")
    assert key([x]) == key([x.int()]) == key([torch.ones(2, 3)])
    assert key([x]) != key([x.T])
    with torch.autocast("hpu", torch.bfloat16):
        assert key([x]) != key([torch.ones(1)])
        inside = key([x])
    assert inside != key([x])
    assert key([1]) != key([2])
    with pytest.raises(TypeError):
        key([{1, 2}])
    module = hpu.wrap_in_hpu_graph(linear())
    first = module(torch.full((2, 3), 1.5, device="hpu"))
    second = module(torch.full((2, 3), 2, dtype=torch.int64, device="hpu"))  # silently the same graph
    assert first is second


@covers("outputs-alias")
def test_outputs_are_overwritten(hpu):
    module, plain = hpu.wrap_in_hpu_graph(linear()), linear()
    first = module(torch.ones(1, 3, device="hpu"))
    before = first.clone()
    second = module(torch.zeros(1, 3, device="hpu"))
    assert first is second
    assert not torch.equal(first.cpu(), before.cpu())
    torch.testing.assert_close(second.cpu(), plain(torch.zeros(1, 3, device="hpu")).cpu())


@covers("max-graphs")
def test_max_graphs(hpu):
    calls = []

    class Counting(nn.Module):
        def forward(self, x):
            calls.append(x.shape)
            return x + 1

    module = hpu.wrap_in_hpu_graph(Counting(), max_graphs=2)
    for n in (1, 2, 3, 1, 2, 3, 3):
        assert module(torch.zeros(n, device="hpu")).tolist() == [1.0] * n
    assert [shape[0] for shape in calls] == [1, 2, 3, 3, 3]


@covers("bypass")
def test_keywords_that_the_wrapper_swallows(hpu):
    module = hpu.wrap_in_hpu_graph(linear())
    x = torch.ones(1, 3, device="hpu")
    first = module(x, warmup_mode=True, cache_tensors_list=[])
    assert module(x, bypass_hpu_graphs=True) is not first
    value = first.clone().cpu()
    module(torch.zeros(1, 3, device="hpu"), warmup_mode=True)  # copies, and does not run
    assert torch.equal(first.cpu(), value)


@covers("tensor-cache")
def test_tensor_cache(hpu, monkeypatch):
    class Keeping(nn.Module):
        def forward(self, x):
            self.inner = x * 2
            return self.inner + 1

    def intermediate(**options):
        module = hpu.wrap_in_hpu_graph(Keeping(), **options)
        module(torch.ones(1, device="hpu"))
        out = module(torch.full((1,), 5.0, device="hpu"))
        return out.item(), module.inner.item()

    assert intermediate() == (11.0, 10.0)
    assert intermediate(disable_tensor_cache=True)[0] == 11.0
    assert intermediate(disable_tensor_cache=True)[1] != 10.0  # the documented wrong value
    monkeypatch.setenv("PT_HPUGRAPH_DISABLE_TENSOR_CACHE", "0")
    assert intermediate(disable_tensor_cache=True) == (11.0, 10.0)


@covers("training-graphs")
@pytest.mark.parametrize("how", ["make_graphed_callables", "ModuleCacher"])
def test_training_graphs(hpu, how):
    import habana_frameworks.torch.core as htcore
    from habana_frameworks.torch.hpu.metrics import metric_localcontext

    torch.manual_seed(0)
    host = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    model = copy.deepcopy(host).to("hpu")
    if how == "ModuleCacher":
        model = hpu.ModuleCacher(max_graphs=2)(model=model, inplace=True)
    else:
        model = hpu.make_graphed_callables(model, (torch.randn(3, 4, device="hpu"),))
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (host, model)]
    for step in range(5):
        x, y = torch.randn(3, 4), torch.randint(0, 2, (3,))
        with metric_localcontext("graph_compilation") as metric:
            for m, optimizer, where in zip((host, model), optimizers, ("cpu", "hpu"), strict=True):
                optimizer.zero_grad()
                nn.functional.cross_entropy(m(x.to(where)), y.to(where)).backward()
                optimizer.step()
            htcore.mark_step()
        assert step < 2 or metric.stats()[0] == ("TotalNumber", 0)
    for a, b in zip(host.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b.cpu())
    model.eval()
    torch.testing.assert_close(host(x), model(x.to("hpu")).cpu())


@covers("training-graph-asserts")
@raises("cacher-arguments")
def test_what_training_graphs_refuse(hpu):
    x = torch.ones(1, 3, device="hpu")
    hooked = linear()
    hooked.register_forward_hook(lambda *_: None)
    with pytest.raises(AssertionError, match="Modules must not have hooks"):
        hpu.make_graphed_callables(hooked, (x,))
    trained = linear()
    trained.register_buffer("b", torch.ones(1, device="hpu", requires_grad=True))
    with pytest.raises(AssertionError, match="All buffers must have"):
        hpu.make_graphed_callables(trained, (x,))
    with pytest.raises(AssertionError, match="must be a tuple of Tensors"):
        hpu.make_graphed_callables(linear(), (3,))

    class Starred(nn.Module):
        def forward(self, *args):
            return args

    with pytest.raises(AssertionError) as caught:
        hpu.ModuleCacher()(Starred())
    assert str(caught.value) == message("cacher-arguments", kind=str(inspect.Parameter.VAR_POSITIONAL))


@covers("copy-to")
def test_copy_to(hpu):
    target = {"a": torch.zeros(2, device="hpu"), "b": [torch.zeros(1, device="hpu")]}
    hpu.graphs.copy_to(target, {"a": torch.ones(2, device="hpu"), "b": [torch.ones(1)]})
    assert target["a"].tolist() == [1.0, 1.0]
    assert target["b"][0].tolist() == [1.0]
    with pytest.raises(AssertionError):
        hpu.graphs.copy_to([target["a"]], (target["a"],))


@covers("cpu-fallback-in-capture")
@raises("cpu-fallback-in-capture")
def test_cpu_fallback_in_capture(hpu):
    captured = hpu.HPUGraph()
    captured.capture_begin()
    with pytest.raises(RuntimeError) as caught:
        torch.nonzero(torch.ones(3, device="hpu"))
    assert str(caught.value) == message("cpu-fallback-in-capture")
    captured.reset()


@covers("collective-in-capture")
@raises("collective-in-capture")
def test_collective_in_capture(hpu):
    found = run(
        """
        import habana_frameworks.torch as ht, torch, torch.distributed as dist
        import habana_frameworks.torch.distributed.hccl
        dist.init_process_group("hccl", store=dist.HashStore(), rank=0, world_size=1)
        x = torch.ones(3, device="hpu")
        dist.all_reduce(x)
        result["sum"] = x.tolist()
        graph = ht.hpu.HPUGraph()
        graph.capture_begin()
        try:
            dist.all_reduce(x)
        except RuntimeError as error:
            result["error"] = str(error)
        """,
        PT_HPU_LAZY_MODE="1",
    )
    assert found["sum"] == [1.0] * 3
    assert found["error"] == message("collective-in-capture")


@covers("capture-in-progress", "replay-in-capture", "capture-other-stream")
@raises("capture-in-progress", "replay-in-capture", "capture-other-stream")
def test_misplaced_captures(hpu):
    done, first, second = hpu.HPUGraph(), hpu.HPUGraph(), hpu.HPUGraph()
    with hpu.graph(done):
        torch.ones(1, device="hpu")
    first.capture_begin()
    with pytest.raises(RuntimeError) as caught:
        second.capture_begin()
    assert str(caught.value) == message("capture-in-progress")
    with pytest.raises(RuntimeError) as caught:
        done.replay()
    assert str(caught.value) == message("replay-in-capture")
    with hpu.stream(hpu.Stream()), pytest.raises(RuntimeError) as caught:
        first.capture_end()
    assert str(caught.value) == message("capture-other-stream")
    first.capture_end()


@covers("stuck-capture")
def test_stuck_capture(hpu):
    class Failing(nn.Module):
        def forward(self, x):
            raise ValueError(str(x.shape))

    module = hpu.wrap_in_hpu_graph(Failing())
    try:
        module(torch.ones(1, device="hpu"))
    except ValueError as error:
        held = error  # as a notebook holds the last traceback
    assert hpu.is_current_stream_capturing()
    held.__traceback__ = None
    del held
    gc.collect()
    assert not hpu.is_current_stream_capturing()
    assert (torch.ones(2, device="hpu") + 1).tolist() == [2.0, 2.0]


@covers("item-splits-capture")
def test_read_in_a_capture(hpu):
    class Reading(nn.Module):
        def forward(self, x):
            return x * x.sum().item()

    module = hpu.wrap_in_hpu_graph(Reading())
    assert module(torch.ones(2, device="hpu")).tolist() == [2.0, 2.0]
    assert module(torch.full((2,), 3.0, device="hpu")).tolist() == [6.0, 6.0]  # 3 * 2: the sum is frozen


def test_verbose_prints_statistics(hpu, capsys):
    module = hpu.wrap_in_hpu_graph(linear(), verbose=True, log_frequency=2)
    for _ in range(2):
        module(torch.ones(1, 3, device="hpu"))
    assert "total cached graphs 1, cache hits 1" in capsys.readouterr().out
    assert "verbose" in inspect.signature(hpu.wrap_in_hpu_graph).parameters


@covers("interrupted-capture")
def test_an_interrupted_capture_ends_with_its_graph(hpu):
    class Interrupted(nn.Module):
        def forward(self, x):
            _ = x + 1
            raise KeyboardInterrupt

    module = hpu.wrap_in_hpu_graph(Interrupted())
    try:
        module(torch.ones(1, device="hpu"))
    except KeyboardInterrupt as interrupt:
        held = interrupt
    assert hpu.is_current_stream_capturing()
    with pytest.raises(RuntimeError) as caught:
        hpu.HPUGraph().capture_begin()
    assert str(caught.value) == message("capture-in-progress")
    held.__traceback__ = None
    del held, caught
    gc.collect()
    assert not hpu.is_current_stream_capturing()
    plain = hpu.wrap_in_hpu_graph(linear())
    x = torch.ones(2, 3, device="hpu")
    torch.testing.assert_close(plain(x).cpu(), linear()(x).cpu())


@covers("interrupted-capture")
def test_a_context_closes_its_capture_when_its_block_raises(hpu):
    with pytest.raises(ZeroDivisionError), hpu.graph(hpu.HPUGraph()):
        _ = 1 / 0
    assert not hpu.is_current_stream_capturing()
    assert hpu.current_stream() is hpu.default_stream()


@covers("killed-capture")
def test_a_process_killed_in_a_capture_frees_the_device(tmp_path):
    found = run(
        """
        import os, signal, subprocess, sys, textwrap
        child = '''
        import os, signal
        from gaudi_lab import emulator
        emulator.install()
        import torch, habana_frameworks.torch as ht
        x = torch.ones(2, device="hpu")
        ht.hpu.HPUGraph().capture_begin()
        os.kill(os.getpid(), signal.SIGKILL)
        '''
        result["child"] = subprocess.run([sys.executable, "-c", textwrap.dedent(child)]).returncode
        import torch, habana_frameworks.torch as ht
        x = torch.ones(2, device="hpu")
        graph = ht.hpu.HPUGraph()
        with ht.hpu.graph(graph):
            y = x * 2
        result["y"] = y.tolist()
        """,
        GAUDI_LAB_EXCLUSIVE="1",
        PT_HPU_LAZY_MODE="1",
        TMPDIR=str(tmp_path),
    )
    assert found["child"] == -9
    assert found["y"] == [2.0, 2.0]


@covers("key-by-value-and-identity")
def test_what_is_in_the_key_and_what_is_not(hpu):
    class Item: ...

    key = hpu.graphs.input_hash
    assert key([Item()]) != key([Item()])
    assert key([1]) == key([1])
    calls = []

    class Stepped(nn.Module):
        def forward(self, x, step):
            calls.append((step, self.training))
            return x + step

    module = hpu.wrap_in_hpu_graph(Stepped().eval())
    x = torch.zeros(2, device="hpu")
    for step in (1, 2, 1, 2):
        assert module(x, step).tolist() == [step] * 2
    module.train()
    module(x, 1)  # the training flag is not in the key
    assert calls == [(1, False), (2, False)]


@covers("wrap-twice")
def test_wrapping_twice_nests(hpu):
    once = hpu.wrap_in_hpu_graph(linear())
    inner = once.forward
    twice = hpu.wrap_in_hpu_graph(once)
    assert twice is once
    assert twice.forward.__wrapped__ is inner


@covers("module-cacher-only-trains")
def test_the_cacher_only_caches_what_trains(hpu):
    calls = []

    class Counting(nn.Linear):
        def forward(self, x):
            calls.append(self.training)
            return super().forward(x)

    model = hpu.ModuleCacher()(model=Counting(3, 2).to("hpu"), inplace=True)
    x = torch.ones(1, 3, device="hpu")
    for _ in range(3):
        model(x).sum().backward()
    trained = len(calls)
    assert trained == 1
    with torch.no_grad():
        model(x)
    model.eval()
    model(x)
    assert len(calls) == trained + 2


class Noted(nn.Linear):
    """Takes down with how many rows its Python runs."""

    def __init__(self) -> None:
        super().__init__(3, 2)
        self.rows = []

    def forward(self, x):
        self.rows.append(len(x))
        return super().forward(x)


def train(model, rows):
    for n in rows:
        model(torch.ones(n, 3, device="hpu")).sum().backward()


@covers("module-cacher-limit")
def test_a_full_cacher_keeps_its_graphs_and_runs_the_rest_uncached(hpu):
    model = hpu.ModuleCacher(max_graphs=2)(model=Noted().to("hpu"))
    train(model, [1, 2, 3, 3, 1, 2])
    assert model.rows == [1, 2, 3, 3]


@covers("module-cacher-lfu")
def test_a_cacher_by_frequency_caches_what_came_most_often(hpu):
    model = hpu.ModuleCacher(max_graphs=1)(model=Noted().to("hpu"), use_lfu=True)
    train(model, [1])
    model.capture_start()
    train(model, [1, 2, 2])
    model.capture_end()
    train(model, [2, 2, 1, 2])
    assert model.rows == [1, 1, 2, 2, 2, 1]


@covers("module-cacher-accumulates")
def test_the_first_micro_batch_has_a_graph_of_its_own(hpu):
    model = hpu.ModuleCacher()(model=Noted().to("hpu"), have_grad_accumulation=True)
    for _ in range(2):
        for number in range(3):
            model.set_iteration_count(number)
            train(model, [1])
    assert model.rows == [1, 1]


@covers("training-graphs-accumulate")
@pytest.mark.parametrize("how", ["make_graphed_callables", "ModuleCacher"])
@pytest.mark.parametrize("set_to_none", [False, True])
def test_gradients_of_training_graphs_add_up(hpu, how, set_to_none):
    torch.manual_seed(0)
    host = nn.Linear(3, 2)
    model = copy.deepcopy(host).to("hpu")
    if how == "ModuleCacher":
        hpu.ModuleCacher()(model=model, have_grad_accumulation=True)
    else:
        hpu.make_graphed_callables(model, (torch.ones(1, 3, device="hpu"),))
    for _ in range(3):
        host.zero_grad(set_to_none)
        model.zero_grad(set_to_none)
        for number in range(3):
            x = torch.randn(1, 3)
            if how == "ModuleCacher":
                model.set_iteration_count(number)
            host(x).square().sum().backward()
            model(x.to("hpu")).square().sum().backward()
            torch.testing.assert_close(model.weight.grad.cpu(), host.weight.grad)


@covers("training-graphs-accumulate")
def test_training_graphs_refuse_a_second_derivative(hpu):
    model = hpu.make_graphed_callables(nn.Linear(3, 2).to("hpu"), (torch.ones(1, 3, device="hpu"),))
    x = torch.randn(1, 3, device="hpu")
    (grad,) = torch.autograd.grad(model(x).square().sum(), model.weight, create_graph=True)
    assert grad.requires_grad
    with pytest.raises(RuntimeError, match="does not support double backward"):
        grad.sum().backward()


@covers("capture-fixes-shapes")
def test_a_capture_turns_dynamic_shapes_off_for_good(hpu):
    from habana_frameworks.torch.internal import bridge_config as bc

    hpu.enable_dynamic_shape()
    assert bc.get_pt_hpu_enable_refine_dynamic_shapes() is True
    with hpu.graph(hpu.HPUGraph()):
        torch.ones(1, device="hpu")
    assert bc.get_pt_hpu_enable_refine_dynamic_shapes() is False


@covers("collective-replayed")
@pytest.mark.parametrize("disable_tensor_cache", [False, True])
def test_a_collective_is_repeated_at_replay(tmp_path, disable_tensor_cache):
    found = run(
        f"""
        import torch, torch.distributed as dist, habana_frameworks.torch as ht
        import habana_frameworks.torch.distributed.hccl
        dist.init_process_group("hccl", init_method="file://{tmp_path / "store"}", rank=0, world_size=1)

        class Gathers(torch.nn.Module):
            def forward(self, x):
                mine = x * 2
                everybody = torch.zeros_like(mine)
                dist.all_gather([everybody], mine)
                return everybody + 1

        module = ht.hpu.wrap_in_hpu_graph(Gathers(), disable_tensor_cache={disable_tensor_cache})
        result["out"] = [module(torch.full((2,), n, device="hpu")).tolist() for n in (1.0, 5.0, 7.0)]
        dist.destroy_process_group()
        """,
        PT_HPU_LAZY_MODE="1",
        PT_HPU_ENABLE_LAZY_COLLECTIVES="1",
    )
    assert found["out"] == [[3.0] * 2, [11.0] * 2, [15.0] * 2]


@covers("clear-cache-frees")
def test_clear_cache_gives_the_memory_back(hpu):
    class Large(nn.Module):
        def forward(self, x):
            return (x * 2).tanh()

    module = hpu.wrap_in_hpu_graph(Large())
    gc.collect()
    x = torch.ones(256, 1024, device="hpu")
    hpu.synchronize()
    before = hpu.memory_allocated()
    for rows in (256, 128):  # the graph's own input and output, for each shape
        module(torch.ones(rows, 1024, device="hpu"))
    held = hpu.memory_allocated() - before
    assert held >= 2 * (256 + 128) * 1024 * 4
    module.clear_cache()
    gc.collect()
    assert hpu.memory_allocated() == before
    torch.testing.assert_close(module(x).cpu(), torch.ones(256, 1024).mul(2).tanh())
