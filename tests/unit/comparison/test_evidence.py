"""Outputs laid side by side."""

from __future__ import annotations

import numpy
import pytest
import torch
from PIL import Image

from gaudi_lab.comparison.evidence import compare, is_coarse, take_apart


def differ(some, other, **options):
    return compare(take_apart(some), take_apart(other), **options)


def test_the_largest_difference_of_all_is_told():
    found = differ({"a": torch.tensor([1.0, -4.0]), "b": [2.0]}, {"a": torch.tensor([1.0, -4.2]), "b": [2.1]})
    assert found.absolute == pytest.approx(0.2, rel=1e-5)
    assert found.relative == pytest.approx(0.05, rel=1e-5)
    assert not found.within(0.01)
    assert found.within(0.06)


def test_equal_outputs_are_equal_with_infinities_and_nans():
    value = torch.tensor([float("nan"), float("inf"), 1.0])
    assert differ(value, value.clone()).within(0)


def test_a_nan_that_was_none_is_no_small_difference():
    assert not differ(torch.ones(3), torch.tensor([1.0, float("nan"), 1.0])).within(1e9)


def test_tokens_have_to_be_equal():
    found = differ(torch.arange(10), torch.tensor([*range(9), 0]))
    assert (found.unequal, found.total) == (1, 10)
    assert not found.within(1e9)


def test_pictures_differ_in_pixels():
    picture = numpy.zeros((2, 2, 3), dtype=numpy.uint8)
    other = picture.copy()
    other[0, 0, 0] = 7
    found = differ([Image.fromarray(picture)], [Image.fromarray(other)])
    assert found.pixels == 7
    assert not found.within(1e-3)
    assert found.within(0.03)


def test_small_whole_numbers_are_no_pixels():
    found = differ(torch.tensor([3, 1], dtype=torch.uint8), torch.tensor([4, 1], dtype=torch.uint8))
    assert (found.unequal, found.total, found.pixels) == (1, 2, None)
    assert not found.within(1e9)


def test_a_picture_is_no_tensor():
    pixels = numpy.zeros((2, 2, 3), dtype=numpy.uint8)
    assert not differ(Image.fromarray(pixels), pixels).within(1e9)
    assert differ(Image.fromarray(pixels), Image.fromarray(pixels[:1])).why_not


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_of_16_bits_are_coarse(dtype):
    assert is_coarse(take_apart({"a": torch.ones(2), "b": torch.ones(2, dtype=dtype)}))
    assert not is_coarse(take_apart({"a": torch.ones(2), "b": torch.ones(2, dtype=torch.int16), "c": "16"}))


def test_batches_of_other_sizes_share_their_first_samples():
    found = differ(torch.ones(8, 2), torch.ones(3, 2), first_rows=True)
    assert found.rows == 3
    assert found.within(0)
    assert differ(torch.ones(8, 2), torch.ones(3, 2)).why_not


@pytest.mark.parametrize(
    ("some", "other"), [({"a": 1.0}, {"b": 1.0}), (torch.ones(2), torch.ones(3)), ((), ())]
)
def test_what_cannot_be_compared_is_not_the_same(some, other):
    found = differ(some, other)
    assert found.why_not
    assert not found.within(1e9)


def test_what_was_taken_apart_is_a_copy():
    tensor = torch.zeros(2)
    taken = take_apart(tensor)
    tensor.fill_(1)
    assert taken[""].sum() == 0
