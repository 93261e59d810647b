"""Models of transformers with random weights, small enough for a test, and the same each time. On the host."""

from __future__ import annotations

from typing import Any

import torch

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
}


def bert(kind: str = "BertModel", *, options: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Return a model of a class of BERT's, in training mode; `options` are of the class, `changes` of the sizes."""
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(**{**SIZES, **changes})
    return getattr(transformers, kind)(config, **(options or {}))


def llama(**changes: Any) -> Any:
    """Return a causal model ready for inference, with as many heads of keys as of queries."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**{**SIZES, **changes})).eval()
