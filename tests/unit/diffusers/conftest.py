"""Pipelines for the tests of this folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "notebooks"))  # the digits and their judge

import tiny

from gaudi_lab.diffusers import GaudiDDIMScheduler, GaudiStableDiffusionPipeline


@pytest.fixture
def make(undecided):
    """Make a Gaudi pipeline with the same random weights each time."""

    def make(scheduler_class=GaudiDDIMScheduler, unet=None, **options):
        pipeline = GaudiStableDiffusionPipeline(**tiny.parts(scheduler_class, **(unet or {})), **options)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return make


@pytest.fixture
def graphs(make):
    """A pipeline on the device, in lazy mode, with HPU graphs."""
    return make(use_habana=True, use_hpu_graphs=True)
