"""Measure a trained model: are its drawings what the prompts ask for?

::

    python notebooks/digits_diffusion/evaluate.py notebooks/digits_diffusion/model --sheet digits.png
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from digits_diffusion.data import COLOURED_TEMPLATES, COLOURS, FloatArray, digit_names, make_prompt
from digits_diffusion.judge import judge

STEPS = 20
GUIDANCE = 3.0


class Score(NamedTuple):
    """Shares of drawings (in percent) that are as asked, and the time each took."""

    images: int
    steps: int
    guidance: float
    digit: float
    colour: float
    digit_shuffled: float
    colour_shuffled: float
    seconds_per_image: float


def load(folder: str | Path) -> StableDiffusionPipeline:
    """Load a model from its folder alone, to compute in float32."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        str(folder), safety_checker=None, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample_prompts(count: int = 100) -> list[str]:
    """Return prompts that go through the digits, their two names, the colours and the templates."""
    colours = list(COLOURS)
    return [
        make_prompt(
            COLOURED_TEMPLATES[i % len(COLOURED_TEMPLATES)],
            digit_names(i % 10)[i // 10 % 2],
            colours[(i + i // 10) % len(colours)],
        )
        for i in range(count)
    ]


def draw(
    pipeline: StableDiffusionPipeline,
    prompts: list[str],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    seed: int = 0,
) -> FloatArray:
    """Draw prompts with the seed of each fixed, as an array of RGB images from 0 to 1."""
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(prompts))]
    return pipeline(
        prompts,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=generators,
        output_type="np",
    ).images


def measure(
    folder: str | Path, count: int = 100, steps: int = STEPS, guidance: float = GUIDANCE, seed: int = 0
) -> Score:
    """Draw prompts with a saved model, and have the drawings judged."""
    pipeline, prompts = load(folder), sample_prompts(count)
    began = time.perf_counter()
    images = draw(pipeline, prompts, steps, guidance, seed)
    seconds = time.perf_counter() - began
    shuffled = list(np.random.default_rng(seed).permutation(prompts))
    digit, colour, digit_shuffled, colour_shuffled = (
        float(round(100 * part.mean(), 1)) for part in (*judge(images, prompts), *judge(images, shuffled))
    )
    return Score(
        images=count,
        steps=steps,
        guidance=guidance,
        digit=digit,
        colour=colour,
        digit_shuffled=digit_shuffled,
        colour_shuffled=colour_shuffled,
        seconds_per_image=round(seconds / count, 3),
    )


def contact_sheet(images: FloatArray, columns: int = 10) -> Image.Image:
    """Lay drawings out in rows."""
    rows = [np.concatenate(list(images[i : i + columns]), axis=1) for i in range(0, len(images), columns)]
    return Image.fromarray((np.concatenate(rows) * 255).round().astype(np.uint8))


def main() -> None:
    """Print the scores of a model and, where asked, save a sheet of its drawings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[STEPS])
    parser.add_argument("--guidance", type=float, nargs="+", default=[GUIDANCE])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="where to save a sheet of drawings")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for steps in options.steps:
        for guidance in options.guidance:
            print(measure(options.model, options.count, steps, guidance, options.seed), flush=True)
    if options.sheet:
        settings = (options.steps[0], options.guidance[0], options.seed)
        contact_sheet(draw(load(options.model), sample_prompts(), *settings)).save(options.sheet)


if __name__ == "__main__":
    main()
