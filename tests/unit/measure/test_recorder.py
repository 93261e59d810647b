from contextlib import suppress

import pytest
import torch

from gaudi_lab import bridge
from gaudi_lab.instruments.compiling import compile_in_place
from gaudi_lab.measure import recorder
from gaudi_lab.measure.causes.seen import SeenShapes
from gaudi_lab.measure.recorder import Recorder, Watch
from gaudi_lab.shapes import Shape


class Clock:
    """A clock that stands still unless told to go on."""

    now = 0.0

    def __call__(self):
        return self.now


def test_only_what_happens_inside_is_measured(workbench):
    clock = Clock()
    with Recorder(clock=clock) as watching:
        for seconds in (2.0, 0.5):
            clock.now += 10
            with watching.iteration():
                clock.now += seconds
    assert [i.wall_time for i in watching.timeline.iterations] == [2.0, 0.5]
    assert [i.number for i in watching.timeline.iterations] == [1, 2]


def test_pending_work_belongs_to_the_iteration_that_asked_for_it(workbench):
    bridge.set_lazy(True)
    x = torch.randn(7, 5, device="hpu")
    with Recorder() as watching:
        y = (x + 1).tanh()  # collected before, so not the iteration's
        with watching.iteration():
            z = (x @ x.T).relu()
        with watching.iteration():
            pass
    assert y.shape != z.shape
    assert [i.compilations for i in watching.timeline.iterations] == [1, 0]


def test_shapes_of_watched_models_are_seen_and_the_hooks_are_gone_after(net):
    before = set(vars(net))
    with Recorder(Watch({"": net}, "eager")) as watching:
        assert set(vars(net)) != before
        for rows in (3, 3):
            with watching.iteration():
                net(torch.randn(rows, 4, device="hpu"))
    assert set(vars(net)) == before
    first, second = watching.timeline.iterations
    assert first.new_shapes == (Shape("input", (3, 4)),)
    assert (second.new_shapes, second.steady) == ((), True)


def test_watching_a_compiled_model_compiles_nothing_more(net):
    x = torch.randn(3, 4).to("hpu")
    with compile_in_place(net):
        net(x)
        call = vars(net)["_compiled_call_impl"]
        with Recorder(Watch({"": net}, "compile")) as watching, watching.iteration():
            net(x)
        assert vars(net)["_compiled_call_impl"] is call
    (iteration,) = watching.timeline.iterations
    assert iteration.compilations == 0
    assert [shape.dims for shape in iteration.new_shapes] == [(3, 4)]


def test_shapes_can_be_told_where_no_model_is_watched(workbench):
    memory, new = SeenShapes(), []
    for _ in range(2):
        with Recorder(Watch(seen=memory)) as watching:
            for rows in (3, 3, 2):
                with watching.iteration():
                    new.append(watching.saw("", (Shape("latents", (rows, 4)),)))
        assert [len(i.new_shapes) for i in watching.timeline.iterations] == [new[-3], 0, new[-1]]
    assert new == [True, False, True, False, False, False]


def test_shapes_told_in_an_iteration_that_raises_stay_new(workbench):
    shapes, new = (Shape("latents", (3, 4)),), []
    turns = iter([0, 1])

    def work():
        new.append(watching.saw("", shapes))
        return 1 / next(turns)

    watching = Recorder()
    for _ in range(2):
        with suppress(ZeroDivisionError):
            recorder.run(work, watching, n=1)
    (iteration,) = watching.timeline.iterations
    assert new == [True, True]
    assert iteration.new_shapes == shapes


def test_an_iteration_that_raises_is_not_recorded_and_leaves_no_hooks(net):
    watching = Recorder(Watch({"": net}))
    turns = iter([1, 0])
    with pytest.raises(ZeroDivisionError):
        recorder.run(lambda: 1 / next(turns), watching, n=2)
    assert len(watching.timeline.iterations) == 1
    assert watching.timeline.interrupted
    assert not net._forward_pre_hooks


def test_until_steady_stops_after_three_quiet_runs(workbench):
    runs = []
    timeline = recorder.run(lambda: runs.append(1), Recorder(), n=1, until_steady=True)
    assert len(timeline.iterations) == recorder.STEADY_AFTER == len(runs)


def test_until_steady_gives_up_on_what_never_settles(net, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_ITERATIONS", 6)
    sizes = iter(range(1, 100))

    def work():
        net(torch.randn(next(sizes), 4, device="hpu"))

    timeline = recorder.run(work, Recorder(Watch({"": net})), n=1, until_steady=True)
    assert len(timeline.iterations) == 6
    assert timeline.iterations_to_steady is None


def test_inputs_are_gone_through_n_times(workbench):
    got = []
    timeline = recorder.run(got.append, Recorder(), n=2, over=["a", "b"])
    assert got == ["a", "b", "a", "b"]
    assert len(timeline.iterations) == 4


def test_progress_is_told_as_it_happens(workbench):
    told = []
    recorder.run(lambda: None, Recorder(on_iteration=told.append), n=2)
    assert [iteration.number for iteration in told] == [1, 2]
