"""DeepSpeed trains on the emulated device, where it is installed: here or in the environment of its suite."""

from __future__ import annotations

import deepspeed_suite
import pytest
from deepspeed_suite import NEAR, Training


@pytest.mark.parametrize(
    ("mode", "training"),
    [
        ("lazy", Training(0, "float32", 1)),
        ("eager", Training(1, "float32", 2)),
        ("lazy", Training(2, "float32", 2)),
    ],
    ids=str,
)
def test_zero_comes_to_what_pytorch_comes_to_on_the_cpu(mode, training):
    python = deepspeed_suite.interpreter()
    if python is None:
        pytest.skip("DeepSpeed is not installed")
    expected = deepspeed_suite.on_the_cpu(python, training.processes)
    assert expected is not None
    found = deepspeed_suite.train(python, mode, training)
    assert deepspeed_suite.same(found, expected, NEAR[training.dtype]), (found, expected)


def test_what_is_the_same():
    assert deepspeed_suite.same([[1.0], [2.0]], [[1.0], [2.0001]], 1e-3)
    assert not deepspeed_suite.same([[1.0], [2.0]], [[1.0], [2.1]], 1e-3)
    assert not deepspeed_suite.same([[1.0]], [[1.0], [2.0]], 1e-3)
    assert not deepspeed_suite.same(None, [[1.0]], 1e-3)
    assert not deepspeed_suite.same([float("nan")], [1.0], 1e-3)
