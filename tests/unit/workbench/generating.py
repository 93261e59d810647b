"""Small models of every kind that generates, and whether they give the same tokens under every combination of switches.

Greedy tokens have to be the CPU's. Sampled ones have to be those of plain eager `hpu` with the same seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

import gaudi_lab
from gaudi_lab.report import GraphRefusal
from gaudi_lab.settings import Mode, Settings
from gaudi_lab.workbench import lab

SIZES = {"vocab_size": 64, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
DECODER = {
    **SIZES,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
# One layer of two sees six tokens back, and the prompts with what is generated are longer.
SLIDING = {"num_hidden_layers": 2, "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}

MODELS: dict[str, Callable[[], nn.Module]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**DECODER)),
    "sliding qwen": lambda: Qwen2ForCausalLM(Qwen2Config(**DECODER | SLIDING)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**SIZES, n_embd=32, n_layer=1, n_head=4, n_positions=64)),
    "t5": lambda: T5ForConditionalGeneration(
        T5Config(
            vocab_size=64,
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=1,
            num_heads=4,
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
    ),
}
CACHES: dict[str, dict[str, str]] = {"dynamic": {}, "static": {"cache_implementation": "static"}}

# What HPU graphs are refused for, by model and cache; everything else runs under them.
REFUSED = {
    **{(model, "dynamic"): "argument-replaced" for model in MODELS},
    ("sliding qwen", "static"): "argument-state",
}

PROMPTS = torch.randint(3, 64, (2, 5), generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])

TOKENS = {Mode.LAZY: 5, Mode.EAGER: 5, Mode.COMPILE: 3}


Tokens = list[list[int]]


@dataclass(frozen=True)
class Generated:
    """What a model has generated under some switches.

    Attributes
    ----------
    greedy, sampled
        The tokens.
    refusals
        Why some calls ran without an HPU graph.
    replays
        How often each graph was replayed.
    """

    greedy: Tokens
    sampled: Tokens
    refusals: tuple[GraphRefusal, ...]
    replays: tuple[int, ...]


def make(name: str) -> Any:
    """Return a model on the CPU, the same each time."""
    torch.manual_seed(0)
    return MODELS[name]().eval().requires_grad_(False)


def tokens(model: Any, *, device: str = "hpu", **options: Any) -> Tokens:
    """Return what `generate` makes of the prompts, with one seed."""
    torch.manual_seed(3)
    found = model.generate(PROMPTS.to(device), attention_mask=MASK.to(device), **options)
    # A static cache is never made smaller, so the length of one call is the shape of the next.
    vars(model).pop("_previous_max_cache_length", None)
    return found.cpu().tolist()


def expect(name: str, cache: str, length: int) -> tuple[Tokens, Tokens]:
    """Return the greedy and the sampled tokens that every combination of switches has to give."""
    gaudi_lab.mode("eager")
    model = make(name)
    options = _options(cache, length)
    greedy = tokens(model, device="cpu", do_sample=False, **options)
    return greedy, tokens(model.to("hpu"), do_sample=True, **options)


def generate(name: str, cache: str, settings: Settings) -> Generated:
    """Return what a model generates under some switches. The workbench must be empty, and is left so."""
    model = make(name).to("hpu")
    gaudi_lab.mode(settings.mode if settings.mode.is_lazy else "eager")
    workbench = lab.current()
    workbench.attach(model, "model")
    try:
        workbench.apply(settings)
        options = _options(cache, TOKENS[settings.mode])
        greedy = tokens(model, do_sample=False, **options)
        sampled = tokens(model, do_sample=True, **options)
        (status,) = workbench.status().models
        return Generated(greedy, sampled, status.refusals, tuple([graph.replays for graph in status.graphs]))
    finally:
        workbench.detach("model")
        gaudi_lab.mode("eager")
        torch._dynamo.reset()


def _options(cache: str, length: int) -> dict[str, Any]:
    return {"max_new_tokens": length, "min_new_tokens": length, **CACHES[cache]}
