"""An error of a recorded program says which operator raised it, and which line was the first to record that."""

import habana_frameworks.torch as ht
import pytest
import torch
from torch import nn

from gaudi_lab import origin

pytestmark = pytest.mark.usefixtures("lazy")


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(9, 4)

    def forward(self, x):
        return self.words(x).relu()


@pytest.fixture
def model():
    return Words().requires_grad_(False).to("hpu")


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(origin, "watched", True)


def indices(*numbers):
    return torch.tensor(numbers).to("hpu")


def raised_by(out):
    with pytest.raises(IndexError, match="out of range") as caught:
        out.sum().item()
    return caught.value.__notes__


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("seen_before", [False, True])
def test_the_line_and_the_module_are_named(model, seen_before):
    at = Words.forward.__code__.co_firstlineno + 1
    length = 5 + seen_before  # a program of its own for each, which nobody has recorded
    for _ in range(2 * seen_before):
        model(indices(*range(length))).sum().item()
    (note,) = raised_by(model(indices(*range(length - 1), 70)))
    place = f"{__file__}:{at}, in words (Embedding)"
    assert note == f"Raised by aten.embedding. Such a step was first recorded at {place}."


def test_where_nobody_follows_lines_the_operator_is_named(model):
    assert raised_by(model(indices(1, 2, 3, 90))) == ["Raised by aten.embedding."]


def test_so_it_is_in_an_hpu_graph(model):
    ht.hpu.wrap_in_hpu_graph(model)
    model(indices(1, 2, 3))
    with pytest.raises(IndexError) as caught:
        model(indices(1, 2, 90))
    assert caught.value.__notes__ == ["Raised by aten.embedding."]


def test_what_cannot_be_recorded_fails_at_once_and_with_one_error():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        torch.ones(2, 3, device="hpu") @ torch.ones(4, 2, device="hpu")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert not hasattr(caught.value, "__notes__")
