"""Pipelines with random weights, small enough for a test: what they draw is noise, but always the same."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

PROMPTS = ["a red seven", "a blue two", "nine", "a green zero", "8 in white"]


@cache
def tokenizer_folder() -> str:
    """A folder with a CLIP tokenizer that spells every word."""
    import tempfile

    folder = Path(tempfile.mkdtemp())
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return str(folder)


def tokenizer() -> CLIPTokenizer:
    folder = Path(tokenizer_folder())
    return CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=16
    )


def text_config(**changes) -> CLIPTextConfig:
    words = len(json.loads((Path(tokenizer_folder()) / "vocab.json").read_text()))
    return CLIPTextConfig(
        **{
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "vocab_size": words,
            "max_position_embeddings": 16,
            "bos_token_id": words - 2,
            "eos_token_id": words - 1,
            **changes,
        }
    )


def vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=16,
    )


def unet(**changes) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **{
            "block_out_channels": (8,),
            "layers_per_block": 1,
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 4,
            "down_block_types": ("DownBlock2D",),
            "up_block_types": ("UpBlock2D",),
            "cross_attention_dim": 16,
            "attention_head_dim": 2,
            "norm_num_groups": 4,
            **changes,
        }
    )


def scheduler(cls=DDIMScheduler, **changes):
    return cls(
        **{
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "clip_sample": False,
            "set_alpha_to_one": False,
            "steps_offset": 1,
            **changes,
        }
    )


def parts(scheduler_class=DDIMScheduler, **unet_changes) -> dict:
    torch.manual_seed(0)
    return {
        "vae": vae().eval(),
        "text_encoder": CLIPTextModel(text_config()).eval(),
        "tokenizer": tokenizer(),
        "unet": unet(**unet_changes).eval(),
        "scheduler": scheduler(scheduler_class),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def stock(**changes) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline(**{**parts(), **changes})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)
