from collections import UserDict, deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch

from gaudi_lab.instruments.nested import find_tensors, map_tensors


@dataclass(frozen=True)
class Pair:
    one: Any
    other: Any


class Named(NamedTuple):
    one: Any
    other: Any


NESTS = {
    "dict": (lambda x: {"one": x, "other": 3}, "result.one"),
    "list": (lambda x: ["word", x], "result.1"),
    "named tuple": (lambda x: Named(None, x), "result.1"),
    "dataclass": (lambda x: Pair(x, [None]), "result.one"),
    "in one another": (lambda x: Pair({"all": (1, [x])}, None), "result.one.all.1.0"),
    "mapping": (lambda x: UserDict(one=x), "result.one"),
    "what only PyTorch takes apart": (lambda x: deque([Pair(x, None)]), "result.0.one"),
    "none": (lambda x: x, "result"),
}


@pytest.mark.parametrize("nest", NESTS)
def test_tensors_are_found_and_replaced_in_nests(nest):
    make, name = NESTS[nest]
    x = torch.ones(2)
    result = make(x)
    ((found, own),) = find_tensors(result, "result")
    assert (found, own is x) == (name, True)
    ((_, copied),) = find_tensors(map_tensors(torch.clone, result))
    assert copied is not x
    assert torch.equal(copied, x)
    assert next(find_tensors(result))[1] is x


def test_what_is_no_container_has_no_tensors():
    result = object()
    assert list(find_tensors(result)) == []
    assert map_tensors(torch.clone, result) is result
