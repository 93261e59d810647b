"""Replay against the host: layouts, random programs, and what the steps promised."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaudi_lab.emulator import set_lazy
from gaudi_lab.emulator.lazy import replay
from gaudi_lab.emulator.lazy.program import Meta
from gaudi_lab.emulator.lazy.record import tape


class Pool(list):
    """The tensors of a program, all of shape (3, 4), and rows of them that it has kept."""

    def __init__(self, tensors):
        super().__init__(tensors)
        self.rows = [x[0] for x in tensors]


# Each takes the pool and two numbers to choose with.
STEPS = {
    "add": lambda pool, i, j: pool.append(pool[i] + pool[j]),
    "mul": lambda pool, i, j: pool.append(pool[i] * pool[j]),
    "scale": lambda pool, i, j: pool.append(pool[i] * (j - 1)),
    "sub_": lambda pool, i, j: pool[i].sub_(pool[j].clone()),
    "add_scalar_": lambda pool, i, j: pool[i].add_(j),
    "row_": lambda pool, i, j: pool[i][j % 3].mul_(0.5),
    "column_": lambda pool, i, j: pool[i][:, j % 4].add_(1),
    "diagonal_": lambda pool, i, j: pool[i].diagonal().fill_(j),
    "view": lambda pool, i, j: pool.append(pool[i].view(3, 4)),
    "double_transpose": lambda pool, i, j: pool.append(pool[i].t().t()),
    "flip": lambda pool, i, j: pool.append(pool[i].flip(0)),
    "round_trip": lambda pool, i, j: pool.append(pool[i].t().contiguous().t()),
    "copy_": lambda pool, i, j: pool[i].copy_(pool[j].clone()),
    "index_put_": lambda pool, i, j: pool[i].__setitem__(pool[j] > 1, 0.25),
    "where": lambda pool, i, j: pool.append(torch.where(pool[i] > 0, pool[j], pool[i])),
    "softmax": lambda pool, i, j: pool.append(pool[i].softmax(j % 2)),
    "mean_": lambda pool, i, j: pool[i].sub_(pool[j].mean()),
    "number_of_the_host_": lambda pool, i, j: pool[i].mul_(torch.tensor(0.5 * j)),
    "out": lambda pool, i, j: torch.add(pool[i].clone(), j, out=pool[j]),
    "for_each_": lambda pool, i, j: torch._foreach_mul_(pool[:2], 0.5),
    "keep_row": lambda pool, i, j: pool.rows.append(pool[i][j % 3]),
    "kept_row_": lambda pool, i, j: pool.rows[i % len(pool.rows)].add_(j),
    "drop": lambda pool, i, j: pool.pop(i) if len(pool) > 2 else None,
    "mark_step": lambda pool, i, j: tape.flush(),
    "read": lambda pool, i, j: pool[i].sum().item(),
}


def inputs(device, factor=1.0):
    return [
        (torch.arange(12.0).view(3, 4) / 7 * factor).to(device),
        torch.linspace(-1, factor, 12).view(3, 4).to(device),
    ]


def compute(program, *given):
    pool = Pool(given)
    for name, i, j in program:
        STEPS[name](pool, i % len(pool), j % len(pool))
    return [*pool, *pool.rows]


def run(program, device):
    return [x.cpu() for x in compute(program, *inputs(device))]


def programs(*, without=()):
    names = sorted(STEPS.keys() - set(without))
    return st.lists(st.tuples(st.sampled_from(names), st.integers(0, 5), st.integers(0, 5)), max_size=14)


@given(programs())
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_programs_agree_bit_for_bit(program):
    expected = run(program, "cpu")
    try:
        for lazy in (False, True, True):  # the second time lazy replays what it compiled
            set_lazy(lazy)
            for got, wanted in zip(run(program, "hpu"), expected, strict=True):
                assert torch.equal(got.nan_to_num(), wanted.nan_to_num())
    finally:
        set_lazy(False)


@given(programs(without=["read"]), st.sampled_from([{}, {"dry_run": True}, {"disable_tensor_cache": True}]))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_programs_agree_when_they_are_captured(program, options):
    from habana_frameworks.torch.hpu import wrap_in_hpu_graph_func

    set_lazy(True)
    try:
        captured = wrap_in_hpu_graph_func(functools.partial(compute, program), **options)
        for factor in (1.0, -2.0, 1.0):
            found = captured(*inputs("hpu", factor))
            for got, wanted in zip(found, compute(program, *inputs("cpu", factor)), strict=True):
                assert torch.equal(got.cpu().nan_to_num(), wanted.nan_to_num())
    finally:
        set_lazy(False)


def test_a_result_is_laid_out_as_promised():
    out = torch.arange(6.0).view(2, 3)
    promised = Meta(torch.Size((2, 3)), (1, 2), 0, torch.float32)

    laid = replay.conform(out, promised)

    assert laid.stride() == (1, 2)
    assert torch.equal(laid, out)


def test_a_result_that_agrees_is_not_copied():
    out = torch.arange(6.0).view(2, 3)

    assert replay.conform(out, Meta(out.shape, out.stride(), 0, out.dtype)) is out


@pytest.mark.parametrize("shape", [(3, 1), (1, 3), (0, 3)])
def test_steps_over_at_most_one_element_mean_nothing(shape):
    out = torch.zeros(shape)
    base = out.view(-1)

    laid = replay.conform(
        out,
        Meta(
            out.shape,
            tuple(7 if n < 2 else s for n, s in zip(shape, out.stride(), strict=True)),
            0,
            out.dtype,
        ),
    )

    laid.fill_(1)
    assert torch.equal(base, torch.ones_like(base))


def test_channels_last_stays_channels_last(lazy):
    x = torch.randn(2, 3, 5, 5).to(memory_format=torch.channels_last)
    weight = torch.randn(4, 3, 3, 3)
    for _ in range(2):
        y = torch.nn.functional.conv2d(x.to("hpu"), weight.to("hpu"))
        assert torch.equal(y.cpu(), torch.nn.functional.conv2d(x, weight))
        assert y.cpu().stride() == y.stride()


def test_programs_that_differ_in_sizes_are_compiled_to_python_once():
    def compute(x, length):
        return x.view(length, 2)[: length - 1].expand(3, length - 1, 2) * 0.5 + length

    def source(length):
        tape.restart()
        y = compute(torch.rand(2, length).to("hpu"), length)
        return replay.source_of(tape.recording.node.program(), (y._cell.slot,))

    set_lazy(True)
    try:
        short, long = source(15), source(18)
    finally:
        set_lazy(False)

    assert short.compile() is long.compile()
    x = torch.rand(2, 18)
    (found,) = long.bind(long.compile())(x)
    assert torch.equal(found, compute(x, 18))
