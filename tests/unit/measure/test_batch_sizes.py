import random

import numpy
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, TensorDataset

from gaudi_lab.errors import LabValueError
from gaudi_lab.measure import batch_sizes
from gaudi_lab.shapes import Shape


def forward(x, mask=None):
    """What the batches are for."""


def read(batches, most=100):
    return batch_sizes.read(batches, forward, most)


def shapes(batches, most=100):
    return {" ".join(f"{x.name}={x}" for x in sizes): count for sizes, count in read(batches, most).shapes}


class Noisy(Dataset):
    """Samples whose length is drawn at random, from three generators."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return torch.zeros(
            int(torch.randint(1, 9, ())) + random.randint(0, 9) + int(numpy.random.randint(0, 9))
        )


class Streamed(IterableDataset):
    def __iter__(self):
        yield from torch.zeros(4, 2)


@pytest.mark.parametrize(
    ("batches", "found"),
    [
        ([(8, 14), (8, 14), (4, 14)], {"x=8×14": 2, "x=4×14": 1}),
        ([torch.Size([8, 14])], {"x=8×14": 1}),
        ([{"x": (8, 14), "mask": (8,)}], {"x=8×14 mask=8": 1}),
        ([{"x": torch.zeros(2, 3), "idx": 7}], {"x=2×3": 1}),
        ([(torch.zeros(2, 3), torch.zeros(2))], {"x=2×3 mask=2": 1}),
        ([[torch.zeros(2, 3), torch.zeros(2), torch.zeros(5)]], {"x=2×3 mask=2 argument 2=5": 1}),
        ([torch.zeros(2, 3)], {"x=2×3": 1}),
    ],
)
def test_batches_and_sizes_are_read_by_argument(batches, found):
    assert shapes(batches) == found


def test_a_loader_is_read_with_its_last_batch():
    loader = DataLoader(TensorDataset(torch.zeros(10, 3)), batch_size=4)
    found = read(loader)
    assert shapes(loader) == {"x=4×3": 2, "x=2×3": 1}
    assert found.last == (Shape("x", (2, 3)),)
    assert (found.complete, found.shuffled, found.drops_last) == (True, False, False)
    assert read(DataLoader(TensorDataset(torch.zeros(10, 3)), batch_size=4, drop_last=True)).drops_last


def test_so_many_batches_are_read_and_no_more():
    class Counting(TensorDataset):
        taken = 0

        def __getitem__(self, index):
            self.taken += 1
            return super().__getitem__(index)

    data = Counting(torch.zeros(100, 3))
    found = read(DataLoader(data, batch_size=2), most=5)
    assert (found.shapes, found.complete, found.last) == ((((Shape("x", (2, 3)),), 5),), False, ())
    assert data.taken <= 12
    assert read(DataLoader(data, batch_size=2), most=50).complete


@pytest.mark.parametrize("generator", [None, torch.Generator()])
def test_what_is_read_of_a_shuffled_loader_is_what_comes_next(generator):
    loader = DataLoader(
        [torch.zeros(n) for n in range(20)], batch_size=None, shuffle=True, generator=generator
    )
    foreseen = [sizes[0].dims for sizes, _ in read(loader).shapes]
    assert [tuple(batch.shape) for batch in loader] == foreseen
    assert read(loader).shuffled


def test_reading_moves_no_random_state():
    def draw():
        return torch.rand(2).tolist(), random.random(), numpy.random.rand()

    loader = DataLoader(Noisy(), batch_size=None, shuffle=True)
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()
    expected = draw()
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    numpy.random.set_state(states[2])
    read(loader)
    assert draw() == expected


def test_a_loader_with_workers_is_read_in_this_process(monkeypatch):
    loader = DataLoader(TensorDataset(torch.zeros(4, 3)), batch_size=2, num_workers=2)
    monkeypatch.setattr(DataLoader, "__iter__", None)
    assert shapes(loader) == {"x=2×3": 2}


def test_a_batch_sampler_and_a_data_set_that_gives_many_at_once():
    class Many(TensorDataset):
        def __getitems__(self, indices):
            return [(self.tensors[0][i],) for i in indices]

        __getitem__ = None

    data = Many(torch.zeros(5, 3))
    loader = DataLoader(data, batch_sampler=BatchSampler(range(5), 3, drop_last=False))
    assert shapes(loader) == {"x=3×3": 1, "x=2×3": 1}


@pytest.mark.parametrize(
    ("batches", "why", "line"),
    [
        (iter([(1, 2)]), "read once only", "batches = list(batches)"),
        (DataLoader(Streamed()), "may use it up", "itertools.islice"),
        (DataLoader([1, 2], sampler=iter([1, 0])), "sampler of this DataLoader", "list(sampler)"),
        (TensorDataset(torch.zeros(2)), "no batches to read", "DataLoader(dataset"),
        (7, "no batches to read", "DataLoader(dataset"),
        ({"x": torch.zeros(2)}, "nor a list", "forecast([batch]"),
        (torch.zeros(2, 2), "nor a list", "forecast([batch]"),
        (["text"], "no tensor and no size", "(8, 128)"),
    ],
)
def test_what_cannot_be_read_twice_says_what_to_run(batches, why, line):
    with pytest.raises(LabValueError, match=why) as refusal:
        read(batches)
    assert line in str(refusal.value)


def test_an_iterator_that_is_refused_has_lost_nothing():
    numbers = iter([(1, 2), (3, 4)])
    with pytest.raises(LabValueError):
        read(numbers)
    assert next(numbers) == (1, 2)
