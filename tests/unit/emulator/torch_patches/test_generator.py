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


def test_seeding_returns_the_generator():
    seeded = torch.hpu.manual_seed(7)
    assert seeded is torch.hpu.default_generators[0]
    assert seeded.initial_seed() == torch.hpu.initial_seed() == 7


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


def draw_on_the_host(seed, *sizes):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(size, generator=generator) for size in sizes]


def test_the_default_generator_goes_on_where_it_is_given():
    generator = torch.hpu.default_generators[0].manual_seed(3)
    found = [
        torch.rand(2, device="hpu", generator=generator),
        torch.rand(3, device="hpu"),
        torch.rand(4, device="hpu", generator=generator),
    ]
    for got, expected in zip(found, draw_on_the_host(3, 2, 3, 4), strict=True):
        assert torch.equal(got.cpu(), expected)


def test_the_default_generator_waits_for_what_is_recorded():
    generator = torch.hpu.default_generators[0]
    torch.hpu.manual_seed(3)
    state = generator.get_state()
    first = torch.rand(2, device="hpu")
    assert not torch.equal(generator.get_state(), state)
    generator.set_state(state)
    again = torch.rand(2, device="hpu")
    generator.manual_seed(4)
    other = torch.rand(2, device="hpu")
    assert torch.equal(first.cpu(), again.cpu())
    assert torch.equal(other.cpu(), draw_on_the_host(4, 2)[0])
    assert generator.device.type == "hpu"


def test_a_generator_of_the_host_draws_for_the_device_in_its_turn():
    generator = torch.Generator().manual_seed(5)
    found = [
        torch.rand(2, device="hpu", generator=generator),
        torch.rand(3, generator=generator),
        torch.empty(4, device="hpu").uniform_(generator=generator),
    ]
    generator.manual_seed(6)
    for got, expected in zip(found, draw_on_the_host(5, 2, 3, 4), strict=True):
        assert torch.equal(got.cpu(), expected)
