"""Packed sequences: batches of sequences of several lengths, as recurrent layers take them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def outputs(layer, padded, lengths, **options):
    packed, state = layer(pack_padded_sequence(padded, lengths, **options))
    out, sizes = pad_packed_sequence(packed, batch_first=options.get("batch_first", False), total_length=6)
    out.sum().backward()
    return [out, sizes, *(state if isinstance(state, tuple) else (state,)), padded.grad]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize(
    ("lengths", "options"),
    [
        (torch.tensor([5, 3, 3]), {}),
        (torch.tensor([2, 5, 1]), {"batch_first": True, "enforce_sorted": False}),
    ],
    ids=["sorted", "batch first"],
)
def test_layers_take_packed_sequences(mode, kind, lengths, options):
    torch.manual_seed(0)
    host = kind(4, 2, bidirectional=True, batch_first=options.get("batch_first", False))
    device = copy.deepcopy(host).to("hpu")
    x = torch.randn((3, 5, 4) if options else (5, 3, 4))
    expected = outputs(host, x.clone().requires_grad_(), lengths, **options)
    for _ in range(2):
        found = outputs(device, x.to("hpu").requires_grad_(), lengths, **options)

        torch.testing.assert_close([y.cpu() for y in found], expected)
        assert found[0].device.type == "hpu"
        assert found[1].device.type == "cpu"


def test_lengths_stay_on_the_host(mode):
    with pytest.raises(RuntimeError, match=r"Pass lengths.cpu\(\) instead"):
        pack_padded_sequence(torch.ones(5, 2, 4, device="hpu"), torch.tensor([5, 3], device="hpu"))


def test_lengths_are_checked_as_on_the_host(mode):
    for device in ("cpu", "hpu"):
        with pytest.raises(RuntimeError, match="sorted in decreasing order"):
            pack_padded_sequence(torch.ones(5, 2, 4, device=device), torch.tensor([3, 5]))
