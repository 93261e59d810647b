"""What a notebook shows while an evaluation runs, and afterwards."""

import pytest

from gaudi_lab.shapes import Shape

NEW = (Shape("attention_mask, input_ids, labels", (5, 128)),)


@pytest.mark.parametrize(
    ("phase", "line"),
    [
        ({"batch": 3, "batches": 7}, "batch 3 of 7"),
        ({"batch": 3, "batches": None}, "batch 3"),
        (
            {"batch": 3, "batches": 7, "graph": 2, "new": NEW, "emulated": True},
            "batch 3 of 7 · compiling graph 2, new shape 5×128 · emulated on CPU",
        ),
        ({"batch": 3, "batches": 7, "new": NEW}, "batch 3 of 7 · new shape 5×128"),
    ],
)
def test_a_phase_is_one_line(phase, line):
    from gaudi_lab.transformers.evaluation_display import Phase

    assert str(Phase(**phase)) == line


@pytest.fixture
def shown(monkeypatch):
    """Everything that a notebook's output has shown, in order."""
    from IPython import display as ipython

    from gaudi_lab import frontend

    results = []

    class Output:
        def update(self, result):
            results.append(result)

    def display(result, display_id):
        results.append(result)
        return Output()

    monkeypatch.setattr(ipython, "display", display)
    monkeypatch.setattr(frontend, "in_notebook", lambda: True)
    return results


def test_an_evaluation_tells_each_compile_and_leaves_the_timeline(shown, trainer, samples, in_mode):
    from gaudi_lab.measure.timeline import Timeline

    in_mode("lazy")
    made = trainer(data=samples(18, length=13), disable_tqdm=False)
    made.evaluate()
    told = [str(phase) for phase in shown if not isinstance(phase, Timeline)]
    assert told[0] == "batch 1 of 5 · compiling graph 1, new shape 4×13 · emulated on CPU"
    assert "new shape 2×13" in told[-1]
    assert shown[-1] is made.warmup


def test_an_evaluation_that_fails_still_leaves_its_timeline(shown, trainer, samples):
    made = trainer(data=samples(12, raises_at=9), disable_tqdm=False)
    with pytest.raises(OSError, match="gone"):
        made.evaluate()
    assert shown[-1] is made.warmup
    assert shown[-1].interrupted


def test_a_trainer_that_shall_be_quiet_is(shown, trainer):
    trainer(disable_tqdm=True).evaluate()
    assert not shown


def test_results_keep_their_runtime_in_a_notebook(shown, trainer):
    from gaudi_lab.transformers.evaluation_display import TrainingProgress

    made = trainer(disable_tqdm=True)
    made.add_callback(TrainingProgress)
    assert "eval_runtime" in made.evaluate()
