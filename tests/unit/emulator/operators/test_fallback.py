"""Which operators may run on the host."""

from __future__ import annotations

import pytest
import torch

from gaudi_lab.emulator.operators import fallback

# The device has neither.
MODE = torch.ops.aten.mode.default
UNIQUE = torch.ops.aten.unique_consecutive.default


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
    fallback.check(MODE)
    fallback.check(UNIQUE)


@pytest.mark.parametrize("name", ["mode", "aten::mode", " mode ,other"])
def test_only_those_that_are_named_may(name, allow):
    allow(name)
    fallback.check(MODE)
    with pytest.raises(RuntimeError, match=r"aten::unique_consecutive is not yet supported on HPU"):
        fallback.check(UNIQUE)


def test_an_operator_is_known_with_and_without_its_overload(allow):
    func = torch.ops.aten.segment_reduce.out
    for name in ("segment_reduce", "segment_reduce.out", "aten::segment_reduce.out"):
        allow(name)
        fallback.check(func)
    allow("segment_reduce.default")
    with pytest.raises(RuntimeError):
        fallback.check(func)


def test_none_allows_no_one(allow):
    allow("mode,none")
    with pytest.raises(RuntimeError):
        fallback.check(MODE)


@pytest.mark.parametrize("listed", ["none", "mode"])
def test_what_the_device_has_does_not_fall_back(allow, listed):
    allow(listed)
    for func in (
        torch.ops.aten.nonzero.default,
        torch.ops.aten.clamp.Tensor_out,
        torch.ops.hpu.rms_norm.default,
    ):
        fallback.check(func)
