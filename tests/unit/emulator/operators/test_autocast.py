"""`torch.autocast("hpu")`."""

from __future__ import annotations

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gaudi_lab.emulator.operators import autocast


@pytest.fixture
def x(mode):
    torch.manual_seed(0)
    return torch.randn(4, 4).to("hpu")


def test_lists(x):
    with torch.autocast("hpu", torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        assert F.linear(x, x).dtype == torch.bfloat16
        assert F.softmax(x, -1).dtype == torch.bfloat16
        assert x.bfloat16().exp().dtype == torch.float32
        assert (x.bfloat16() + x).dtype == torch.float32
        assert (x.double() @ x.double()).dtype == torch.float64
        assert torch.hpu.is_autocast_hpu_enabled()
        with torch.autocast("hpu", enabled=False):
            assert (x @ x).dtype == torch.float32
    assert (x @ x).dtype == torch.float32
    assert not torch.hpu.is_autocast_hpu_enabled()


def test_a_dtype_that_is_asked_for_is_what_it_is_computed_in(x):
    with torch.autocast("hpu", torch.bfloat16):
        for function in (F.softmax, F.log_softmax):
            asked = function(x, -1, dtype=torch.float32)
            assert torch.equal(asked.cpu(), function(x.cpu(), -1, dtype=torch.float32)), function


def test_the_numbers_are_rounded(x):
    with torch.autocast("hpu", torch.bfloat16):
        low = x @ x
    host = x.cpu().bfloat16()
    assert torch.equal(low.cpu(), host @ host)


def test_training(x):
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2)).to("hpu")
    with torch.autocast("hpu", torch.bfloat16):
        out = model(x)
        loss = F.cross_entropy(out, torch.zeros(4, dtype=torch.int64, device="hpu"))
    assert out.dtype == torch.bfloat16
    loss.backward()
    exact = [x.clone() for x in model.parameters()]
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all().item() for p in model.parameters())
    assert len(exact) == 6


def test_the_first_list_wins():
    assert {"mul", "div", "exp"} <= set(autocast.PROMOTE)
    assert "mul" in autocast.LOWER_PRECISION
    assert not set(autocast.LOWER_PRECISION) & set(autocast.FP32)


def test_list_files(tmp_path, monkeypatch):
    path = tmp_path / "ops.txt"
    path.write_text("mm\n\nadd\n")
    monkeypatch.setenv("SOME_LIST", str(path))
    assert autocast._read_list("SOME_LIST", ("bmm",)) == ["mm", "add"]
    monkeypatch.delenv("SOME_LIST")
    assert autocast._read_list("SOME_LIST", ("bmm",)) == ("bmm",)
    monkeypatch.setenv("SOME_LIST", str(tmp_path / "nothing"))
    with pytest.raises(RuntimeError, match="SOME_LIST"):
        autocast._read_list("SOME_LIST", ())


def test_without_a_dtype_it_is_bfloat16_in_every_thread(x):
    def look(chosen=None):
        if chosen is not None:
            torch.set_autocast_dtype("hpu", chosen)
        with torch.autocast("hpu"):
            found.append((torch.get_autocast_dtype("hpu"), (x @ x).dtype))

    found = []
    look()
    for chosen in (None, torch.float16):
        thread = threading.Thread(target=look, args=(chosen,))
        thread.start()
        thread.join()
    look()
    assert found == [
        (dtype, dtype) for dtype in (torch.bfloat16, torch.bfloat16, torch.float16, torch.bfloat16)
    ]
    assert torch.hpu.get_autocast_hpu_dtype() == torch.bfloat16


def test_a_compiler_traces_the_casts(x, stock_compile):
    def compute(x):
        with torch.autocast("hpu"):
            return x @ x

    assert torch.equal(torch.compile(compute, backend="eager")(x).cpu(), compute(x).cpu())
