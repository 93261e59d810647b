"""LSTM and GRU cells, and packed sequences.

PyTorch asks every accelerator for a fused cell. Here they are made of plain operators.
"""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.device.on_the_host import lasting
from gaudi_lab.emulator.device.tensor import HpuTensor, wrap

aten = torch.ops.aten


def lstm(
    from_input: torch.Tensor,
    from_hidden: torch.Tensor,
    state: torch.Tensor,
    input_bias: torch.Tensor | None = None,
    hidden_bias: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the hidden state, the cell state and the gates; operands are (batch, 4 x hidden) and (batch, hidden).

    The operators and their order are the CPU's, so the numbers are too.
    """
    gates = _with_bias(from_hidden, hidden_bias) + _with_bias(from_input, input_bias)
    enter, forget, candidate, leave = gates.chunk(4, 1)
    state = forget.sigmoid() * state + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * state.tanh(), state, gates


def gru(
    from_input: torch.Tensor,
    from_hidden: torch.Tensor,
    hidden: torch.Tensor,
    input_bias: torch.Tensor | None = None,
    hidden_bias: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the hidden state and the gates; operands are (batch, 3 x hidden) and (batch, hidden)."""
    of_input = _with_bias(from_input, input_bias).chunk(3, 1)
    of_hidden = _with_bias(from_hidden, hidden_bias).chunk(3, 1)
    reset = (of_hidden[0] + of_input[0]).sigmoid()
    update = (of_hidden[1] + of_input[1]).sigmoid()
    candidate = (of_input[2] + of_hidden[2] * reset).tanh()
    return (hidden - candidate) * update + candidate, from_hidden


def _with_bias(gates: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return gates if bias is None else gates + bias


def pack(
    func: Any, padded: torch.Tensor, lengths: torch.Tensor, batch_first: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the steps of `padded` that are no padding, (steps, features), and how many sequences each step has.

    The second stays on the host, as PyTorch's loops over a packed sequence want it.

    Raises
    ------
    RuntimeError
        `lengths` is none of the host's, or is not what `func` takes.
    """
    if isinstance(lengths, HpuTensor):
        raise RuntimeError(
            "'lengths' argument should be a 1D CPU int64 tensor, but got one on hpu. Pass lengths.cpu() instead"
        )
    numbers = padded.shape[:2]
    with lasting():  # the host packs the numbers of the steps, and so checks the lengths too
        taken, sizes = func(torch.arange(numbers.numel()).reshape(numbers), lengths, batch_first)
    return padded.flatten(0, 1).index_select(0, wrap(taken)), sizes


FUSED: dict[Any, Any] = {
    aten._thnn_fused_lstm_cell.default: lstm,
    aten._thnn_fused_gru_cell.default: gru,
}
"""What PyTorch asks for, and what is run."""
