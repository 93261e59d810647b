"""The shipped model draws what it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from digits_diffusion.data import COLOURS, digit_names
from digits_diffusion.judge import judge

import gaudi_lab
from gaudi_lab.diffusers import GaudiDDIMScheduler, GaudiStableDiffusionPipeline

NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"
MODEL = NOTEBOOKS / "digits_diffusion" / "model"

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason="the digits model is not in this checkout")


@pytest.fixture
def pipeline(workbench):
    scheduler = GaudiDDIMScheduler.from_pretrained(MODEL, subfolder="scheduler")
    pipeline = GaudiStableDiffusionPipeline.from_pretrained(MODEL, scheduler=scheduler, use_habana=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline, prompts, **options):
    settings = {
        "num_inference_steps": 20,
        "guidance_scale": 3.0,
        "output_type": "np",
        "generator": tiny.seed(),
    }
    return pipeline(prompts, **{**settings, **options}).images


def prompts(number):
    """Every digit as a word and as a numeral, the colours in turn."""
    colours = list(COLOURS)
    return [
        f"a {colours[n % len(colours)]} handwritten {digit_names(n % 10)[n // 10 % 2]}" for n in range(number)
    ]


def test_drawings_are_what_was_asked_for(pipeline):
    gaudi_lab.mode("lazy")
    pipeline.use_hpu_graphs = True
    asked = prompts(40)  # every digit twice as a word and twice as a numeral
    images = draw(pipeline, asked, batch_size=10)
    digits, colours = judge(images, asked)
    assert digits.sum() >= 39
    assert colours.sum() >= 39

    shuffled = [asked[n] for n in np.random.default_rng(0).permutation(len(asked))]
    digits, colours = judge(images, shuffled)
    assert digits.mean() < 0.25, "chance is one in ten"
    assert colours.mean() < 0.3, "chance is one in seven"
    assert len([graph for graph in pipeline.captured if graph.component == "unet"]) == 1
