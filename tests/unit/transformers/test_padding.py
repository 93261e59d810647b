"""A smaller batch filled up, and the filling taken out of the results."""

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


def test_labels_that_are_no_classes_are_refused():
    with pytest.raises(LabValueError, match=r"'labels'.*dataloader_drop_last=True"):
        padding.fill({**BATCH, "labels": torch.ones(2)}, 4, ["labels"])


def test_the_filling_is_cut_out_of_nested_results():
    full, other = torch.arange(4), torch.arange(3)
    cut = padding.cut({"logits": (full, [other]), "none": None}, 2, 4)
    assert cut["logits"][0].tolist() == [0, 1]
    assert cut["logits"][1][0] is other
    assert cut["none"] is None


@pytest.mark.parametrize(("batch", "count"), [(BATCH, 2), ({"scale": torch.tensor(1.0)}, 0), ({}, 0)])
def test_samples_are_counted_by_rows(batch, count):
    assert padding.count_samples(batch) == count
