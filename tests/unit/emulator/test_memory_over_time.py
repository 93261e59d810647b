"""Memory over many iterations."""

from __future__ import annotations

import gc

import torch
from torch import nn


def test_flat_over_500_iterations(lazy):
    import habana_frameworks.torch.core as htcore
    from habana_frameworks.torch.hpu import memory_allocated

    from gaudi_lab.emulator.lazy.record import trie

    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU()).to("hpu").requires_grad_(False)
    x = torch.ones(4, 16, device="hpu")

    def step() -> None:
        y = model(x)
        (y @ y.T).sum()
        htcore.mark_step()

    for _ in range(5):
        step()
    gc.collect()  # what other tests left behind must not go in between
    held, nodes = memory_allocated(), trie.size
    for _ in range(500):
        step()
    assert memory_allocated() == held
    assert trie.size == nodes


def test_each_new_shape_costs_a_bounded_number_of_nodes(lazy):
    import habana_frameworks.torch.core as htcore
    from habana_frameworks.torch.hpu import memory_allocated

    from gaudi_lab.emulator.lazy.record import trie

    def step(n: int) -> None:
        torch.ones(n, 3, device="hpu").exp().sum()
        htcore.mark_step()

    step(1)
    gc.collect()  # what other tests left behind must not go in between
    held, nodes = memory_allocated(), trie.size
    for n in range(2, 52):
        step(n)
    assert memory_allocated() == held
    assert trie.size - nodes <= 50 * 4


def test_a_training_step_equals_the_hosts(mode):
    import copy

    torch.manual_seed(0)
    host = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))
    device = copy.deepcopy(host).to("hpu")
    optimizers = [torch.optim.AdamW(m.parameters()) for m in (host, device)]
    for _ in range(3):
        x, y = torch.randn(2, 1, 8, 8), torch.tensor([0, 2])
        for m, optimizer, where in zip((host, device), optimizers, ("cpu", "hpu"), strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(m(x.to(where)), y.to(where)).backward()
            optimizer.step()
    for a, b in zip(host.state_dict().values(), device.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b.cpu())


def test_devices_do_not_mix(mode):
    import pytest

    x = torch.ones(2, 2, device="hpu")
    for use in (
        lambda: torch.add(x, x, out=torch.ones(2, 2)),
        lambda: torch.ones(2, 2).add_(x),
        lambda: nn.Linear(2, 2)(x),
    ):
        with pytest.raises(
            RuntimeError, match=r"Expected all tensors to be on the same device.*hpu:0 and cpu"
        ):
            use()
    assert x[torch.tensor([0])].shape == (1, 2)  # indices may lie on the host
    assert (x + torch.tensor(1.0)).sum().item() == 8.0  # so may scalars
