"""`torch.Generator("hpu")`."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

pytestmark = pytest.mark.usefixtures("mode")


def test_it_is_a_generator_of_the_device():
    generator = torch.Generator(device="hpu").manual_seed(3)
    assert isinstance(generator, torch.Generator)
    assert generator.device == torch.device("hpu", 0)
    assert generator.initial_seed() == 3
    assert torch.Generator().device.type == "cpu"
    assert isinstance(torch.default_generator, torch.Generator)


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: torch.rand(3, generator=g, device="hpu"),
        lambda g: torch.randn(3, generator=g, device="hpu"),
        lambda g: torch.randint(0, 9, (3,), generator=g, device="hpu"),
        lambda g: torch.randperm(5, generator=g, device="hpu"),
        lambda g: torch.empty(3, device="hpu").normal_(generator=g),
        lambda g: torch.empty(3, device="hpu").uniform_(generator=g),
        lambda g: torch.bernoulli(torch.full((9,), 0.5, device="hpu"), generator=g),
        lambda g: torch.multinomial(torch.ones(9, device="hpu"), 4, generator=g),
    ],
)
def test_every_sampling_function_takes_it(draw):
    first = draw(torch.Generator("hpu").manual_seed(1))
    again = draw(torch.Generator("hpu").manual_seed(1))
    other = draw(torch.Generator("hpu").manual_seed(2))
    assert torch.equal(first.cpu(), again.cpu())
    assert first.numel() < 5 or not torch.equal(first.cpu(), other.cpu()) or first.dtype == torch.int64


def test_seeding_waits_for_what_is_recorded():
    generator = torch.Generator("hpu").manual_seed(1)
    first = torch.rand(3, generator=generator, device="hpu")
    generator.manual_seed(2)
    assert torch.equal(first.cpu(), torch.rand(3, generator=torch.Generator().manual_seed(1)))


def test_state():
    generator = torch.Generator("hpu").manual_seed(5)
    torch.rand(2, generator=generator, device="hpu")
    for twin in (generator.clone_state(), pickle.loads(pickle.dumps(generator)), copy.deepcopy(generator)):
        assert torch.equal(twin.get_state(), generator.get_state())
        assert twin.device.type == "hpu"
