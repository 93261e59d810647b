import weakref
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from gaudi_lab.instruments.call_shapes import graph_key, read_shapes
from gaudi_lab.shapes import Shape


def forward(hidden, mask=None, **extra):
    return hidden


@dataclass
class Batch:
    tokens: Any


def test_shapes_are_named_by_the_arguments_they_are_passed_as():
    x, m = torch.zeros(2, 3), torch.zeros(2)
    assert read_shapes(forward, (x, m), {}) == (Shape("hidden", (2, 3)), Shape("mask", (2,)))
    assert read_shapes(forward, (x,), {"mask": None, "past": [m, m]}) == (
        Shape("hidden", (2, 3)),
        Shape("past.0", (2,)),
        Shape("past.1", (2,)),
    )


def test_containers_and_dataclasses_are_looked_into():
    assert read_shapes(forward, (Batch(torch.zeros(4)),), {}) == (Shape("hidden.tokens", (4,)),)


def test_a_graph_is_keyed_by_shape_and_by_the_value_of_everything_else():
    x, same, other = torch.zeros(2, 3), torch.ones(2, 3), torch.zeros(3, 2)
    key = graph_key((x,), {"scale": 2})
    assert key == graph_key((same,), {"scale": 2})
    assert key != graph_key((other,), {"scale": 2})
    assert key != graph_key((x,), {"scale": 3})
    assert key != graph_key((), {"hidden": x, "scale": 2})


def test_autocast_is_part_of_the_key():
    x = torch.zeros(2, 3)
    key = graph_key((x,), {})
    with torch.autocast("hpu", torch.bfloat16):
        assert graph_key((x,), {}) != key


def test_values_that_share_a_hash_have_keys_of_their_own():
    keys = [graph_key((), {"layer": value}) for value in (-1, -2, 1, 1.0, True, None, 1j, numpy.int64(-1))]
    assert len(set(keys)) == len(keys)
    assert graph_key(({-1: None},), {}) != graph_key(({-2: None},), {})


def test_a_key_keeps_no_object_alive():
    class Cache:
        pass

    cache = Cache()
    key, gone = graph_key((cache,), {"past": [cache]}), weakref.ref(cache)
    assert key == graph_key((cache,), {"past": [cache]})
    del cache
    assert gone() is None
