"""Optimum-habana's generation with tiny random Llama and GPT-2 models; prints the tokens as JSON.

python text_generation.py {cpu,eager,lazy,graphs}
"""

from __future__ import annotations

import copy
import json
import sys

import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

CONFIGS = (
    LlamaConfig(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        pad_token_id=0,
    ),
    GPT2Config(
        vocab_size=100,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    ),
)


def main(mode: str) -> None:
    """Generate greedily from two random prompts with each model."""
    on_device = mode != "cpu"
    if on_device:
        from optimum.habana.transformers.modeling_utils import adapt_transformers_to_gaudi

        adapt_transformers_to_gaudi()
    tokens = []
    for config in CONFIGS:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
        prompt = torch.randint(3, 100, (2, 7), generator=torch.Generator().manual_seed(1))
        options = {"max_new_tokens": 8, "do_sample": False, "use_cache": True}
        extra = {}
        if on_device:
            model, prompt = model.to("hpu"), prompt.to("hpu")
            options |= {"static_shapes": True, "ignore_eos": True}
            extra = {"hpu_graphs": mode == "graphs", "lazy_mode": mode in ("lazy", "graphs")}
            if mode == "graphs":
                from habana_frameworks.torch.hpu import wrap_in_hpu_graph

                model = wrap_in_hpu_graph(model)
        else:
            options |= {"min_new_tokens": 8}
        generation = copy.deepcopy(model.generation_config)
        generation.update(**options)
        out = model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), generation_config=generation, **extra
        )
        tokens.append(out[:, :15].cpu().tolist())
    print("RESULT", json.dumps(tokens))


if __name__ == "__main__":
    main(sys.argv[1])
