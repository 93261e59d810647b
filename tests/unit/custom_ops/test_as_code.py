"""What a notebook exports of an operator defines it again in a fresh process."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gaudi_lab.errors import LabError
from tests.unit.forked import run_forked


def half(x):
    return x / 2


def test_a_script_has_the_operator(cell):
    operator = cell(
        "def NAME(x: Tensor) -> Tensor:\n    # it's half\n    return nn.functional.relu(half(x)) * math.pi * scale",
        {"math": math, "scale": 3.0, "half": half, "nn": nn, "unused": object()},
    )
    script = (
        f"import torch\n{operator.as_code()}\nprint({operator.__name__}(torch.ones(1, device='hpu')).item())"
    )
    out = run_forked(script)
    assert not out.returncode, out.stderr
    assert float(out.stdout) == pytest.approx(operator(torch.ones(1)).item())


def test_what_cannot_be_written_down_is_named(cell):
    operator = cell("def NAME(x: Tensor) -> Tensor: return x * weight", {"weight": torch.ones(2)})
    with pytest.raises(LabError, match="uses weight, a Tensor, which cannot be written down"):
        operator.as_code()
