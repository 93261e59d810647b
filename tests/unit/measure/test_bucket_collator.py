import pickle
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from gaudi_lab.errors import LabValueError
from gaudi_lab.measure.bucket_collator import PadToBuckets

LEFT = SimpleNamespace(pad_token_id=9, padding_side="left", pad_token_type_id=3)
SAMPLES = [
    {"input_ids": [5, 6, 7], "token_type_ids": [1, 1, 1], "labels": [1, 2, 3]},
    {"input_ids": [5], "token_type_ids": [1], "labels": [4]},
]


def test_samples_of_different_lengths_become_a_batch_of_a_bucket():
    batch = PadToBuckets([4, 8])(SAMPLES)
    assert {name: x.tolist() for name, x in batch.items()} == {
        "input_ids": [[5, 6, 7, 0], [5, 0, 0, 0]],
        "token_type_ids": [[1, 1, 1, 0], [1, 0, 0, 0]],
        "labels": [[1, 2, 3, -100], [4, -100, -100, -100]],
        "attention_mask": [[1, 1, 1, 0], [1, 0, 0, 0]],
    }


def test_the_tokenizer_says_with_what_and_on_which_side():
    batch = PadToBuckets([4], LEFT)(SAMPLES)
    assert batch["input_ids"].tolist() == [[9, 5, 6, 7], [9, 9, 9, 5]]
    assert batch["token_type_ids"].tolist() == [[3, 1, 1, 1], [3, 3, 3, 1]]
    assert batch["attention_mask"].tolist() == [[0, 1, 1, 1], [0, 0, 0, 1]]


def test_numbers_are_stacked_and_a_label_is_called_as_models_call_it():
    batch = PadToBuckets([2])([{"input_ids": [1], "label": 1}, {"input_ids": [2], "label": 0}])
    assert batch["labels"].tolist() == [1, 0]
    assert batch["input_ids"].shape == (2, 2)


def test_a_batch_is_padded_as_it_is_and_not_changed():
    given = {"input_ids": torch.ones(2, 3, dtype=torch.long), "scores": torch.ones(2, 5), "n": 7}
    batch = PadToBuckets([4])(given)
    assert given["input_ids"].shape == (2, 3)
    assert "attention_mask" not in given
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0]] * 2
    assert (batch["scores"].shape, batch["n"]) == ((2, 5), 7)


def test_only_named_tensors_are_padded():
    given = {"input_ids": torch.ones(2, 3, dtype=torch.long), "labels": torch.ones(2, 3)}
    batch = PadToBuckets([4], names=["input_ids"])(given)
    assert (batch["input_ids"].shape, batch["labels"].shape) == ((2, 4), (2, 3))


def test_what_is_longer_than_every_bucket_stays():
    given = {"input_ids": torch.ones(2, 9, dtype=torch.long)}
    assert PadToBuckets([4, 8])(given)["input_ids"].shape == (2, 9)


def test_a_collator_that_was_there_goes_first_also_in_workers():
    pad = PadToBuckets([4], collate=torch.utils.data.default_collate)
    data = [{"input_ids": torch.tensor([1, 2, 3])}] * 4
    shapes = [
        batch["input_ids"].shape
        for batch in DataLoader(data, batch_size=2, collate_fn=pickle.loads(pickle.dumps(pad)))
    ]
    assert shapes == [(2, 4), (2, 4)]


def test_a_batch_without_names_is_refused():
    pad = PadToBuckets([4], collate=torch.stack)
    with pytest.raises(LabValueError, match="nothing names its mask"):
        pad([torch.zeros(3)])


@pytest.mark.parametrize("buckets", [[], [0, 4]])
def test_a_bucket_is_a_length(buckets):
    with pytest.raises(LabValueError, match="lengths to pad to"):
        PadToBuckets(buckets)


def test_a_model_gives_the_same_for_what_is_not_padding(bert):
    given = {"input_ids": torch.arange(6).reshape(2, 3)}
    padded = PadToBuckets([8])(given)
    short, long = (
        bert(**{name: x.to("hpu") for name, x in batch.items()}).last_hidden_state.cpu()
        for batch in (given, padded)
    )
    assert long.shape[1] == 8
    torch.testing.assert_close(long[:, :3], short)
