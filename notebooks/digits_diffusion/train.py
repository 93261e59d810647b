"""Train a tiny but complete Stable Diffusion on coloured handwritten digits.

About 20 minutes on two idle CPU cores::

    python notebooks/digits_diffusion/train.py --out notebooks/digits_diffusion/model

The result is an ordinary diffusers folder, with a CLIP text encoder and tokenizer, an autoencoder, a UNet
with cross-attention and a DDIM scheduler: `StableDiffusionPipeline.from_pretrained` loads it. The weights
are stored in half precision and meant to compute in float32. Only the generator's share of the digits is
used here; the judge's is never seen (see `data.py`).
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from digits_diffusion.data import (
    COLOURED_TEMPLATES,
    COLOURS,
    IMAGE_SIZE,
    PLAIN_TEMPLATES,
    FloatArray,
    IntArray,
    all_prompts,
    digit_names,
    draw_strokes,
    load_splits,
    make_prompt,
    paint,
)
from digits_diffusion.evaluate import Score, measure

PROMPT_LENGTH = 32  # tokens
TEXT_WIDTH = 64
VAE_CHANNELS = (8, 16, 32, 32)  # three halvings: 64 pixels become 8 latent ones
UNET_CHANNELS = (32, 64)
LATENT_CHANNELS = 4
RENDERINGS = 4  # how often each digit is drawn, slightly moved
NO_PROMPT = 0.1  # share of examples without a prompt, for classifier-free guidance
NO_COLOUR = 0.2  # share of the prompts that do not name the colour
LEARNING_RATE = 2e-3
EMA_DECAY = 0.997
START, END = "<|startoftext|>", "<|endoftext|>"


class Latents(NamedTuple):
    """The autoencoder's view of the training set: one entry for each drawing in each colour."""

    mean: torch.Tensor
    std: torch.Tensor
    digits: list[int]
    colours: list[str]


# The parts ---------------------------------------------------------------------------------------------


def build_tokenizer() -> CLIPTokenizer:
    """Return a CLIP tokenizer that knows every word of the prompts as one token.

    Any other text is spelled with CLIP's byte alphabet, so no prompt is refused.
    """
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=4000, end_of_word_suffix="</w>", show_progress=False)
    trained.train_from_iterator(all_prompts(), trainer)
    merges = [tuple(pair) for pair in json.loads(trained.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(m) for m in merges), START, END]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder), vocabulary, merges)
        return CLIPTokenizer.from_pretrained(folder)


def write_tokenizer(folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, ...]]) -> None:
    """Write a CLIP tokenizer's files, which every release of transformers reads."""
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": PROMPT_LENGTH,
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
    }
    rules = "".join(f"{' '.join(pair)}\n" for pair in merges)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text(f"#version: 0.2\n{rules}", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return an untrained CLIP text encoder of two layers."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=PROMPT_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def build_vae() -> AutoencoderKL:
    """Return an untrained autoencoder. Its latents are standardised by its weights: see `standardise`."""
    levels = len(VAE_CHANNELS)
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=VAE_CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=IMAGE_SIZE,
        scaling_factor=1.0,
    )
    return vae.to(memory_format=torch.channels_last)


def build_unet() -> UNet2DConditionModel:
    """Return an untrained UNet with cross-attention to the prompt at every level."""
    levels = len(UNET_CHANNELS)
    unet = UNet2DConditionModel(
        sample_size=IMAGE_SIZE // 2 ** (len(VAE_CHANNELS) - 1),
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=UNET_CHANNELS,
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    return unet.to(memory_format=torch.channels_last)


def build_scheduler() -> DDIMScheduler:
    """Return Stable Diffusion's noise schedule, sampled with DDIM."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


# Training ----------------------------------------------------------------------------------------------


def fit(
    name: str,
    parameters: list[torch.nn.Parameter],
    steps: int,
    loss: Callable[[], torch.Tensor],
    after: Callable[[int], None] | None = None,
) -> None:
    """Lower a loss for a number of steps, the rate warmed up and then lowered along a cosine.

    Parameters
    ----------
    name
        What is trained, for the progress lines.
    parameters
        What to optimise.
    steps
        How many steps.
    loss
        Draws a batch and returns its loss.
    after
        Called with the number of each step, once it is done.
    """
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-3)
    began, recent = time.perf_counter(), []
    for step in range(steps):
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / steps)
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * min(1, (step + 1) / 100) * (0.01 + 0.99 * cosine)
        optimiser.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if after is not None:
            after(step)
        recent.append(value.item())
        if (step + 1) % 100 == 0 or step + 1 == steps:
            state = f"loss {np.mean(recent):.4f}, {time.perf_counter() - began:.0f} s"
            print(f"{name}: step {step + 1} of {steps}, {state}", flush=True)
            recent.clear()


def to_torch(images: FloatArray) -> torch.Tensor:
    """Return images as the autoencoder takes them: channels first, values from -1 to 1."""
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2) * 2 - 1
    return tensor.contiguous(memory_format=torch.channels_last)


def train_vae(vae: AutoencoderKL, strokes: FloatArray, steps: int, batch: int = 16) -> None:
    """Teach the autoencoder to reproduce drawings in every colour."""
    rng = np.random.default_rng(1)

    def loss() -> torch.Tensor:
        chosen = strokes[rng.integers(len(strokes), size=batch)]
        images = to_torch(paint(chosen, list(rng.choice(list(COLOURS), size=batch))))
        posterior = vae.encode(images).latent_dist
        decoded = vae.decode(posterior.sample()).sample
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        return F.mse_loss(decoded, images) + 0.5 * F.l1_loss(decoded, images) + 2e-4 * divergence

    fit("autoencoder", list(vae.parameters()), steps, loss)
    vae.eval().requires_grad_(False)


@torch.no_grad()
def encode(vae: AutoencoderKL, strokes: FloatArray, labels: IntArray) -> Latents:
    """Encode every drawing in every colour, once and for all."""
    means, stds = [], []
    for colour in COLOURS:
        for start in range(0, len(strokes), 256):
            part = strokes[start : start + 256]
            posterior = vae.encode(to_torch(paint(part, [colour] * len(part)))).latent_dist
            means.append(posterior.mean)
            stds.append(posterior.std)
    colours = [colour for colour in COLOURS for _ in labels]
    return Latents(torch.cat(means), torch.cat(stds), labels.tolist() * len(COLOURS), colours)


@torch.no_grad()
def standardise(vae: AutoencoderKL, latents: Latents) -> Latents:
    """Give each latent channel zero mean and unit variance, by rewriting the autoencoder's own weights.

    The two 1 x 1 convolutions around the latents absorb the change, so pictures decode as before and the
    scaling factor is 1.
    """
    mean, std = latents.mean.mean((0, 2, 3)), latents.mean.std((0, 2, 3))
    after, before = vae.quant_conv, vae.post_quant_conv
    before.bias += before.weight[:, :, 0, 0] @ mean
    before.weight *= std[None, :, None, None]
    after.bias[:LATENT_CHANNELS] -= mean
    after.bias[:LATENT_CHANNELS] /= std
    after.weight[:LATENT_CHANNELS] /= std[:, None, None, None]
    after.bias[LATENT_CHANNELS:] -= 2 * std.log()
    shape = (1, -1, 1, 1)
    return latents._replace(
        mean=(latents.mean - mean.view(shape)) / std.view(shape), std=latents.std / std.view(shape)
    )


def random_prompt(rng: np.random.Generator, digit: int, colour: str) -> str:
    """Describe a drawing in one of the many ways the model should understand, or not at all."""
    if rng.random() < NO_PROMPT:
        return ""
    templates = PLAIN_TEMPLATES if rng.random() < NO_COLOUR else COLOURED_TEMPLATES
    return make_prompt(str(rng.choice(templates)), str(rng.choice(digit_names(digit))), colour)


def tokenize(tokenizer: CLIPTokenizer, prompts: list[str]) -> torch.Tensor:
    """Return the token ids of prompts, padded as the pipeline pads them."""
    return tokenizer(
        prompts, padding="max_length", max_length=PROMPT_LENGTH, truncation=True, return_tensors="pt"
    ).input_ids


def train_denoiser(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    latents: Latents,
    steps: int,
    batch: int = 64,
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """Train the UNet and the text encoder together, and return their moving averages."""
    rng, scheduler = np.random.default_rng(2), build_scheduler()
    trained = torch.nn.ModuleList([unet, text_encoder])
    averaged = copy.deepcopy(trained).eval().requires_grad_(False)
    known = ["", *all_prompts()]
    ids = dict(zip(known, tokenize(tokenizer, known), strict=True))

    def loss() -> torch.Tensor:
        chosen = rng.integers(len(latents.mean), size=batch)
        prompts = [random_prompt(rng, latents.digits[i], latents.colours[i]) for i in chosen]
        clean = latents.mean[chosen] + latents.std[chosen] * torch.randn_like(latents.std[chosen])
        noise = torch.randn_like(clean)
        times = ((torch.arange(batch) + torch.rand(batch)) * (1000 / batch)).long()
        states = text_encoder(torch.stack([ids[prompt] for prompt in prompts]))[0]
        noisy = scheduler.add_noise(clean, noise, times).contiguous(memory_format=torch.channels_last)
        return F.mse_loss(unet(noisy, times, states).sample, noise)

    def after(step: int) -> None:
        follow(averaged, trained, min(EMA_DECAY, (1 + step) / (10 + step)))

    fit("denoiser", list(trained.parameters()), steps, loss, after)
    return averaged[0], averaged[1]


@torch.no_grad()
def follow(averaged: torch.nn.Module, trained: torch.nn.Module, decay: float) -> None:
    """Move the averaged weights a little towards the trained ones."""
    torch._foreach_lerp_(list(averaged.parameters()), list(trained.parameters()), 1 - decay)


def train(vae_steps: int, denoiser_steps: int, seed: int) -> StableDiffusionPipeline:
    """Train every part and return the pipeline."""
    torch.manual_seed(seed)
    digits, _ = load_splits()
    rng = np.random.default_rng(seed)
    strokes = np.concatenate([draw_strokes(digits.pixels, rng) for _ in range(RENDERINGS)])
    tokenizer, vae = build_tokenizer(), build_vae()
    train_vae(vae, strokes, vae_steps)
    latents = standardise(vae, encode(vae, strokes, np.tile(digits.labels, RENDERINGS)))
    unet, text_encoder = train_denoiser(
        build_unet(), build_text_encoder(tokenizer), tokenizer, latents, denoiser_steps
    )
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


# Saving ------------------------------------------------------------------------------------------------


def save(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Save a pipeline with its weights in half precision, readable by everyone."""
    half = copy.deepcopy(pipeline).to(torch.float16)
    half.save_pretrained(folder, safe_serialization=True)
    declare_float32(folder / "text_encoder" / "config.json")
    vocabulary = pipeline.tokenizer.get_vocab()
    ordered = dict(sorted(vocabulary.items(), key=lambda item: item[1]))
    merges = json.loads(pipeline.tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    write_tokenizer(folder / "tokenizer", ordered, merges)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def declare_float32(config: Path) -> None:
    """Make transformers compute in float32 unless told otherwise: half precision is slow on a CPU."""
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings["dtype"] = "float32"
    config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_model_card(folder: Path, score: Score, minutes: float) -> None:
    """Write the model card around what was measured."""
    card = (Path(__file__).parent / "model_card.md").read_text(encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    filled = card.format(
        colours=", ".join(COLOURS),
        megabytes=f"{size / 1e6:.1f}",
        minutes=f"{minutes:.0f}",
        **score._asdict(),
    )
    path = folder / "README.md"
    path.write_text(filled, encoding="utf-8")
    path.chmod(0o644)


def main() -> None:
    """Train, save, measure what was saved, and write its card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--vae-steps", type=int, default=2000)
    parser.add_argument("--denoiser-steps", type=int, default=3500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began = time.perf_counter()
    save(train(options.vae_steps, options.denoiser_steps, options.seed), options.out)
    minutes = (time.perf_counter() - began) / 60
    print(f"trained in {minutes:.1f} minutes")
    score = measure(options.out)
    print(score)
    write_model_card(options.out, score, minutes)


if __name__ == "__main__":
    main()
