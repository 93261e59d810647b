"""Operators under the names that OpenVINO knows: the same results, also where a later call differs from the first."""

import pytest
import torch
from torch import nn

pytest.importorskip("openvino")

from gaudi_lab.emulator.kernels import sdpa  # noqa: F401 - defines the operator
from gaudi_lab.emulator.lazy import agreement, compilers


def run_twice(run, *inputs):
    """Run on the device, step by step and compiled; return what the compiled run returns."""
    for _ in range(2):
        found = run(*[x.to("hpu") for x in inputs]).cpu()
    assert not compilers.passed_over
    assert not agreement.disagreements
    return found


def write_a_row(x):
    y = x * 2
    y[-1] = 7.0
    return y


def write_a_middle(x):
    y = x + 1
    y[:, 1:3].mul_(x[:, :2])
    return y


def write_every_second(x):
    y = x.clone()
    y[::2].add_(1)
    return y


def extend_nothing(x):
    return torch.cat([torch.empty(0, device=x.device), x * 2], -1)


def write_through_a_transposed_view(x):
    y = x.exp()
    y.t()[1].masked_fill_(y[:, 0] > 1, -1.0)
    return y


def make_of_bools(x):
    return torch.full((3,), True, device=x.device) & (x[:, 0] > 0)


def find_members(x):
    return torch.isin(x.round(), torch.ones(2, device=x.device))


def spread_a_scalar(x):
    return (x.amax().expand(()) + 0) * x


def write_a_scalar(x):
    total = torch.zeros((), device=x.device)
    return total.copy_(x.amax()) * x


@pytest.mark.parametrize(
    "run",
    [
        spread_a_scalar,
        write_a_scalar,
        write_a_row,
        write_a_middle,
        write_every_second,
        extend_nothing,
        write_through_a_transposed_view,
        make_of_bools,
        find_members,
    ],
)
@torch.no_grad()
def test_results_are_those_of_the_host(run, compiled):
    x = torch.linspace(-2, 2, 12).view(3, 4)
    torch.testing.assert_close(run_twice(run, x), run(x))
    assert compiled


def attend(query, key, value, mask, causal=False):
    return torch.ops.hpu.sdpa_recomp_fwd(
        query, key, value, mask, 0.0, 0.5, causal, "fp32", None, "left", [-1, -1], None, None
    )[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["bool", "added", "causal", "none"])
@torch.no_grad()
def test_the_fused_attention(kind, dtype, compiled):
    torch.manual_seed(0)
    rounding = 2e-2 if dtype is torch.bfloat16 else 1e-5
    query = torch.randn(1, 4, 5, 8).to(dtype)
    key, value = torch.randn(2, 1, 2, 5, 8).to(dtype)
    seen = torch.ones(5, 5, dtype=torch.bool).tril()
    hidden = seen.clone()
    hidden[2] = False  # a row that sees nothing, which the first call, the compared one, has not
    masks = [
        x if kind == "bool" else torch.zeros(5, 5, dtype=dtype).masked_fill(~x, -torch.inf)
        for x in (seen, hidden)
    ]
    for mask in [None] * 2 if kind in ("causal", "none") else [masks[0], *masks]:
        given = [query, key, value, mask]
        found = attend(*[x if x is None else x.to("hpu") for x in given], kind == "causal").cpu()
        expected = attend(*given, kind == "causal")
        torch.testing.assert_close(found, expected, rtol=rounding, atol=rounding)
    assert compiled
    assert not compilers.passed_over


@torch.no_grad()
def test_inputs_that_nothing_is_computed_from_do_not_matter(compiled):
    x, unread = torch.randn(3), torch.randn(3)

    def run(x, unread):
        unread + 1
        return nn.functional.relu(x)

    torch.testing.assert_close(run_twice(run, x, unread), x.relu())
    assert compiled


@torch.no_grad()
def test_group_normalisation_in_sixteen_bits(compiled):
    norm, x = nn.GroupNorm(2, 4).to(torch.bfloat16), torch.randn(1, 4, 3).to(torch.bfloat16)
    torch.testing.assert_close(run_twice(norm.to("hpu"), x), norm.to("cpu")(x), rtol=2e-2, atol=2e-2)
    assert compiled
