"""Operators that take functions, on the emulated device."""

import pytest
import torch
from torch.nn.attention import flex_attention as flex

pytestmark = [
    pytest.mark.usefixtures("stock_compile"),
    pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile"),
]


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def causal(score, batch, head, row, column):
    return torch.where(row >= column, score, -float("inf"))


def test_flex_attention_agrees_with_the_cpu_and_has_gradients(mode):
    q = torch.randn(1, 2, 16, 8)
    expected = flex.flex_attention(q, q, q, score_mod=causal)
    on_hpu = q.to("hpu").requires_grad_()
    got = flex.flex_attention(on_hpu, on_hpu, on_hpu, score_mod=causal)
    torch.testing.assert_close(got.cpu(), expected)

    got.square().sum().backward()
    plain = q.clone().requires_grad_()
    torch.nn.functional.scaled_dot_product_attention(
        plain, plain, plain, is_causal=True
    ).square().sum().backward()
    torch.testing.assert_close(on_hpu.grad.cpu(), plain.grad)


def test_flex_attention_takes_a_block_mask_made_on_the_device(mode):
    q = torch.randn(1, 2, 16, 8)
    mask = flex.create_block_mask(lambda b, h, i, j: i >= j, None, None, 16, 16, device="hpu")
    on_hpu = q.to("hpu")
    got = flex.flex_attention(on_hpu, on_hpu, on_hpu, block_mask=mask)
    torch.testing.assert_close(got.cpu(), flex.flex_attention(q, q, q, score_mod=causal))


def test_a_branch_is_chosen_by_a_value_on_the_device(mode):
    x = torch.arange(3.0, device="hpu")
    for flag, expected in ((True, x + 1), (False, x * 2)):
        chosen = torch.cond(torch.tensor(flag, device="hpu"), lambda x: x + 1, lambda x: x * 2, (x,))
        assert chosen.device.type == "hpu"
        torch.testing.assert_close(chosen.cpu(), expected.cpu())
