"""A smaller batch filled up, and the filling taken out of the results."""

from types import SimpleNamespace

import pytest
import torch

from gaudi_lab.errors import LabValueError
from gaudi_lab.transformers import padding

BATCH = {
    "input_ids": torch.arange(6).reshape(2, 3),
    "labels": torch.tensor([1, 0]),
    "scale": torch.tensor(2.0),
}


def test_the_last_sample_is_repeated_and_its_labels_are_ignored():
    filled = padding.fill(BATCH, 4, ["labels"])
    assert filled["input_ids"].tolist() == [[0, 1, 2], [3, 4, 5], [3, 4, 5], [3, 4, 5]]
    assert filled["labels"].tolist() == [1, 0, padding.IGNORED, padding.IGNORED]
    assert torch.nn.functional.cross_entropy(torch.ones(4, 2), filled["labels"]) == pytest.approx(
        torch.nn.functional.cross_entropy(torch.ones(2, 2), BATCH["labels"])
    )


def test_what_has_no_row_a_sample_is_left_alone():
    batch = {**BATCH, "positions": torch.arange(3), "name": "a batch"}
    filled = padding.fill(batch, 4, ["labels"])
    assert all(filled[name] is batch[name] for name in ("scale", "positions", "name"))
    assert padding.fill(BATCH, 2, [])["input_ids"].tolist() == BATCH["input_ids"].tolist()


def test_positions_are_filled_with_one_behind_the_end_of_every_text():
    batch = {**BATCH, "start_positions": torch.tensor([1, 0]), "end_positions": torch.tensor([2, 2])}
    filled = padding.fill(batch, 4, ["start_positions", "end_positions"])
    for name in ("start_positions", "end_positions"):
        # As the models' losses take them.
        positions = filled[name].to(torch.int32).clamp(0, 3)
        assert positions.tolist() == [*batch[name].tolist(), 3, 3]


def trainer_of(label_names=("labels",), can_return_loss=False, **config):
    model = SimpleNamespace(config=SimpleNamespace(**config)) if config else torch.nn.Linear(1, 1)
    return SimpleNamespace(
        args=SimpleNamespace(use_habana=True),
        label_names=list(label_names),
        can_return_loss=can_return_loss,
        model=model,
    )


CLASSES = torch.tensor([1, 0])


@pytest.mark.parametrize(
    ("labels", "config"),
    [
        (torch.ones(2), {}),
        (torch.ones(2, dtype=torch.bool), {}),
        (CLASSES, {"num_labels": 1, "problem_type": None}),
        (CLASSES, {"num_labels": 3, "problem_type": "regression"}),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, config):
    with pytest.raises(LabValueError, match=r"'labels'.*use_habana=True, dataloader_drop_last=True"):
        padding.refuse_counting_loss(trainer_of(**config), {**BATCH, "labels": labels})


@pytest.mark.parametrize("given", [{}, {"return_loss": True}])
def test_a_loss_that_compares_the_samples_is_refused(given):
    trainer = trainer_of([], can_return_loss=not given)
    with pytest.raises(LabValueError, match=r"compares all samples.*dataloader_drop_last=True"):
        padding.refuse_counting_loss(trainer, {"pixel_values": torch.ones(2, 3), **given})


@pytest.mark.parametrize(
    ("trainer", "batch"),
    [
        (trainer_of(num_labels=3, problem_type=None), BATCH),
        (trainer_of(num_labels=1, problem_type="single_label_classification"), BATCH),
        (trainer_of(["start_positions"], num_labels=1, problem_type=None), {"start_positions": CLASSES}),
        (trainer_of(num_labels=1, problem_type=None), {**BATCH, "labels": torch.ones(2, 3).long()}),
        (trainer_of([]), BATCH),
        (trainer_of([], can_return_loss=True), {**BATCH, "return_loss": False}),
        (trainer_of(), {"input_ids": BATCH["input_ids"]}),
    ],
)
def test_all_other_losses_leave_the_filling_out(trainer, batch):
    padding.refuse_counting_loss(trainer, batch)


def test_the_filling_is_cut_out_of_nested_results():
    full, other = torch.arange(4), torch.arange(3)
    cut = padding.cut({"logits": (full, [other]), "none": None}, 2, 4)
    assert cut["logits"][0].tolist() == [0, 1]
    assert cut["logits"][1][0] is other
    assert cut["none"] is None


@pytest.mark.parametrize(("batch", "count"), [(BATCH, 2), ({"scale": torch.tensor(1.0)}, 0), ({}, 0)])
def test_samples_are_counted_by_rows(batch, count):
    assert padding.count_samples(batch) == count
