"""Images per second of Stable Diffusion: the stock pipeline on the CPU, and ours in every mode, in one run.

All draw the same images from the same noise, which is checked. The contenders take turns in every round, so
that a machine that slows down slows all of them; what compiles does so in a round before, and is not counted.

Run: python benchmarks/diffusion.py [--model FOLDER] [--images N] [--batch-size N] [--steps N] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GAUDI_LAB_COMPILER", "replay")
warnings.filterwarnings("ignore", category=FutureWarning)

import gaudi_lab  # first, so that `import torch` finds the bridge

gaudi_lab.mode("eager")

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import logging
from numpy.typing import NDArray
from transformers.utils import logging as transformers_logging

from gaudi_lab import bridge
from gaudi_lab.diffusers import GaudiDDIMScheduler, GaudiStableDiffusionPipeline
from gaudi_lab.instruments.attention import fused_sdpa
from gaudi_lab.instruments.compiling import compile_in_place

DIGITS = Path(__file__).resolve().parents[1] / "notebooks" / "digits_diffusion" / "model"
PROMPT = "a red handwritten seven"
STOCK = "stock pipeline, CPU"

Draw = Callable[[], NDArray[np.float32]]


def main() -> None:
    """Print the table."""
    asked = arguments()
    for library in (logging, transformers_logging):
        library.disable_progress_bar()
        library.set_verbosity_error()
    contenders = {STOCK: stock(asked), **ours(asked)}
    print(
        f"{bridge.identity()} · torch {torch.__version__}, {torch.get_num_threads()} threads · "
        f"{asked.images} images, {asked.steps} steps, batch size {asked.batch_size}, {asked.rounds} rounds"
    )
    first = {name: draw() for name, draw in contenders.items()}
    furthest = max(float(np.abs(images - first[STOCK]).max()) for images in first.values())

    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(asked.rounds):
        for name, draw in contenders.items():
            started = time.perf_counter()
            draw()
            times[name].append(time.perf_counter() - started)

    print(f"\n{'':<38}{'images/s (median)':>19}{'to stock':>10}")
    for name, taken in times.items():
        ratio = statistics.median(a / b for a, b in zip(times[STOCK], taken, strict=True))
        print(f"{name:<38}{asked.images / statistics.median(taken):>19.2f}{ratio:>10.2f}")
    print(f"\nLargest difference between any image and the stock one: {furthest:.1e}")
    if bridge.identity().emulated:
        print("Emulated on CPU: these are not Gaudi times.")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", default=str(DIGITS), help="folder or name on the hub (default: the digits)"
    )
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def stock(asked: argparse.Namespace) -> Draw:
    """Return the stock pipeline, which draws batch by batch from the same noise."""
    pipeline = StableDiffusionPipeline.from_pretrained(asked.model)
    pipeline.set_progress_bar_config(disable=True)

    def draw() -> NDArray[np.float32]:
        noise = torch.Generator().manual_seed(0)
        parts = []
        for start in range(0, asked.images, asked.batch_size):
            count = min(asked.batch_size, asked.images - start)
            parts.append(pipeline(PROMPT, num_images_per_prompt=count, **options(asked, noise)).images)
        return np.concatenate(parts)

    return draw


def ours(asked: argparse.Namespace) -> dict[str, Draw]:
    """Return our pipeline in each mode; each keeps what it has compiled while others have their turn."""
    fused = pipeline_of(asked, use_hpu_graphs=True)
    fused_sdpa(fused.unet)
    compiled = pipeline_of(asked)
    for module in (compiled.text_encoder, compiled.unet, compiled.vae.decoder):
        compile_in_place(module)
    return {
        "ours, hpu eager": turn(asked, pipeline_of(asked), lazy=False),
        "ours, hpu lazy": turn(asked, pipeline_of(asked), lazy=True),
        "ours, hpu lazy + graphs": turn(asked, pipeline_of(asked, use_hpu_graphs=True), lazy=True),
        "ours, hpu lazy + graphs + FusedSDPA": turn(asked, fused, lazy=True),
        "ours, hpu compile": turn(asked, compiled, lazy=False),
    }


def pipeline_of(asked: argparse.Namespace, **switches: bool) -> GaudiStableDiffusionPipeline:
    """Load our pipeline."""
    bridge.set_lazy(bool(switches))
    scheduler = GaudiDDIMScheduler.from_pretrained(asked.model, subfolder="scheduler")
    pipeline = GaudiStableDiffusionPipeline.from_pretrained(
        asked.model, scheduler=scheduler, use_habana=True, **switches
    )
    pipeline.set_progress_bar_config(disable=True)
    bridge.set_lazy(False)
    return pipeline


def turn(asked: argparse.Namespace, pipeline: GaudiStableDiffusionPipeline, *, lazy: bool) -> Draw:
    """Return a function that draws with `pipeline` in its mode."""

    def draw() -> NDArray[np.float32]:
        bridge.set_lazy(lazy)
        noise = torch.Generator().manual_seed(0)
        return pipeline(
            PROMPT,
            num_images_per_prompt=asked.images,
            batch_size=asked.batch_size,
            **options(asked, noise),
        ).images

    return draw


def options(asked: argparse.Namespace, noise: torch.Generator) -> dict[str, object]:
    """Return what all contenders are given."""
    return {
        "num_inference_steps": asked.steps,
        "guidance_scale": 3.0,
        "generator": noise,
        "output_type": "np",
    }


if __name__ == "__main__":
    main()
