"""Which operators may run on the host."""

from __future__ import annotations

import pytest
import torch

from gaudi_lab.emulator.operators import fallback

NONZERO = torch.ops.aten.nonzero.default
UNIQUE = torch.ops.aten._unique2.default


@pytest.fixture
def allow(monkeypatch):
    """Return a function that lists the operators that may fall back."""

    def listed(text):
        fallback._allowed_names.cache_clear()
        monkeypatch.setenv("PT_HPU_PLACE_ON_CPU", text)

    yield listed
    fallback._allowed_names.cache_clear()


def test_an_empty_list_allows_every_operator(allow):
    allow("")
    fallback.check(NONZERO)
    fallback.check(UNIQUE)


@pytest.mark.parametrize("name", ["nonzero", "aten::nonzero", " nonzero ,other"])
def test_only_those_that_are_named_may(name, allow):
    allow(name)
    fallback.check(NONZERO)
    with pytest.raises(RuntimeError, match=r"aten::_unique2 is not yet supported on HPU"):
        fallback.check(UNIQUE)


def test_an_operator_is_known_with_and_without_its_overload(allow):
    func = torch.ops.aten.repeat_interleave.Tensor
    for name in ("repeat_interleave", "repeat_interleave.Tensor", "aten::repeat_interleave.Tensor"):
        allow(name)
        fallback.check(func)
    allow("repeat_interleave.self_int")
    with pytest.raises(RuntimeError):
        fallback.check(func)


def test_none_allows_no_one(allow):
    allow("nonzero,none")
    with pytest.raises(RuntimeError):
        fallback.check(NONZERO)
