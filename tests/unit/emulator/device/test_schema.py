"""What an operator's schema says of it."""

from __future__ import annotations

import pytest
import torch

from gaudi_lab.emulator.device import schema
from gaudi_lab.emulator.device.schema import Alias

aten = torch.ops.aten


@pytest.mark.parametrize(
    ("func", "expected"),
    [
        (aten.t.default, True),
        (aten.split.Tensor, True),
        (aten.unbind.int, True),
        (aten.add.Tensor, False),
        (aten.add_.Tensor, False),
        (aten.add.out, False),
        (aten.max.dim, False),
        (aten.equal.default, False),
    ],
    ids=str,
)
def test_views_share_memory_with_an_argument_and_are_no_argument(func, expected):
    assert schema.is_view(func) is expected


def test_what_is_written_is_told_by_position_or_by_name():
    assert schema.writes(aten.add.Tensor) == ()
    assert schema.writes(aten.add_.Tensor) == (0,)
    assert schema.writes(aten.max.dim_max) == ("max", "max_values")
    assert schema.written(aten.add_.Tensor, ("x", 1), {}) == ["x"]
    assert schema.written(aten.max.dim_max, ("x", 0), {"max": "a", "max_values": "b"}) == ["a", "b"]


def test_a_result_that_is_an_argument_is_that_argument():
    assert schema.returned_aliases(aten.add.Tensor) == (None,)
    assert schema.returned_aliases(aten.add_.Tensor) == (Alias(0),)
    assert schema.returned_aliases(aten.max.dim_max) == (Alias("max"), Alias("max_values"))
    assert Alias(1).of(("a", "b"), {}) == Alias("out").of((), {"out": "b"}) == "b"


@pytest.mark.parametrize("name", ["add.out", "matmul.out", "max.dim_max", "cat.out"])
def test_the_twin_without_out_takes_the_same_other_arguments(name):
    packet, _, overload = name.partition(".")
    func = getattr(getattr(aten, packet), overload)
    twin = schema.without_out(func)
    outs = set(schema.writes(func))
    assert [x.name for x in twin._schema.arguments] == [
        x.name for x in func._schema.arguments if x.name not in outs
    ]
    assert not schema.writes(twin)


def test_of_a_factory_with_out_nobody_has_a_twin():
    assert schema.without_out(aten.arange.start_out) is None
