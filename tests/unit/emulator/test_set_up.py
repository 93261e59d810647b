"""What is done to PyTorch beside the device itself."""

from __future__ import annotations

import copy

import torch
from torch import nn


def test_an_encoder_takes_a_padding_mask_without_gradients(mode):
    # PyTorch makes nested tensors for that on the devices of its fast path, and a Gaudi has none.
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    host = nn.TransformerEncoder(layer, 2).eval()
    device = copy.deepcopy(host).to("hpu")
    x, padding = torch.randn(2, 4, 8), torch.tensor([[False] * 4, [False, False, True, True]])
    expected = host(x, src_key_padding_mask=padding)
    with torch.no_grad():
        found = device(x.to("hpu"), src_key_padding_mask=padding.to("hpu")).cpu()

    torch.testing.assert_close(found[~padding], expected[~padding].detach())
