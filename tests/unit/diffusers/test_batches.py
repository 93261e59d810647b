import numpy as np
import pytest
import torch

from gaudi_lab.diffusers import batches
from gaudi_lab.diffusers.batches import Batch


def test_batches_cover_all_images_and_have_one_size():
    assert [(b.start, b.count, b.size) for b in batches.split(15, 4)] == [
        (0, 4, 4),
        (4, 4, 4),
        (8, 4, 4),
        (12, 3, 4),
    ]
    assert list(batches.split(2, 8)) == [Batch(0, 2, 8)]


def test_padding_repeats_a_row_in_each_group_and_goes_again():
    whole = torch.arange(10.0)[:, None]  # two groups of five
    last = Batch(3, 2, 3)
    taken = last.take(whole, 5)
    assert taken[:, 0].tolist() == [3, 4, 3, 8, 9, 8]
    assert last.cut(taken)[:, 0].tolist() == [3, 4, 8, 9]
    assert last.pad(last.cut(taken)).tolist() == taken.tolist()


def test_what_is_taken_has_its_own_memory():
    whole = torch.zeros(4, 1)
    Batch(0, 4, 4).take(whole, 4).add_(1)
    assert whole.sum() == 0


def test_each_image_keeps_its_generator():
    generators = [torch.Generator() for _ in range(5)]
    taken = Batch(3, 2, 4).take_generators(generators)
    assert taken[:2] == generators[3:]
    assert len(taken) == 4
    assert not set(map(id, taken[2:])) & set(map(id, generators))


@pytest.mark.parametrize("parts", [[[1], [2, 3]], [np.ones(1), np.ones(2)], [torch.ones(1), torch.ones(2)]])
def test_parts_of_any_kind_are_joined(parts):
    assert len(batches.join(parts)) == 3
