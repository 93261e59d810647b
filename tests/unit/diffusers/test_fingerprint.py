"""A fingerprint changes with what modules compute, and with nothing else."""

import pytest
import torch
from torch import nn

from gaudi_lab.diffusers import fingerprint


class Scaled(nn.Module):
    """A module with a number of its own, as an adapter's scale is, and one in a table."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.scale = 1.0
        self.scaling = {"default": 0.5}


@pytest.fixture
def module():
    return Scaled().eval()


CHANGES = {
    "a weight is replaced": lambda m: setattr(m.linear, "weight", nn.Parameter(torch.ones(3, 3))),
    "a weight has another dtype": lambda m: m.to(torch.bfloat16),
    "a part is replaced": lambda m: setattr(m, "linear", nn.Linear(3, 3)),
    "an adapter is scaled": lambda m: setattr(m, "scale", 0.4),
    "an adapter is scaled in a table": lambda m: m.scaling.update(default=0.4),
    "it trains": lambda m: m.train(),
}
NO_CHANGES = {
    "nothing": lambda m: None,
    "weights are edited in place": lambda m: m.linear.weight.data.mul_(0.5),
    "it is wrapped": lambda m: setattr(m, "forward", m.forward),
    "a hook is added": lambda m: m.register_forward_hook(lambda *_: None),
    "a scale goes and comes back": lambda m: setattr(m, "scale", m.scale * 0.7 / 0.7),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_changes_with_what_is_computed(change, module):
    before = fingerprint.of({"unet": module})
    CHANGES[change](module)
    assert fingerprint.of({"unet": module}) != before


@pytest.mark.parametrize("change", NO_CHANGES)
def test_it_stays_for_anything_else(change, module):
    before = fingerprint.of({"unet": module})
    NO_CHANGES[change](module)
    assert fingerprint.of({"unet": module}) == before


def test_the_name_of_a_part_counts(module):
    assert fingerprint.of({"unet": module}) != fingerprint.of({"vae": module})
