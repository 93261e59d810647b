"""What a generation returns, and how its images per second are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput

from gaudi_lab.measure.timeline import Timeline


@dataclass
class GaudiStableDiffusionPipelineOutput(StableDiffusionPipelineOutput):
    """Images, and what it took to make them.

    Attributes
    ----------
    images, nsfw_content_detected
        As the stock pipeline returns them.
    throughput
        Images per second, warm-up apart; see `throughput`.
    warmup
        One entry for each denoising step, batch after batch: wall time, compiles, compile time.
    """

    throughput: float | None = None
    warmup: Timeline | None = None


@dataclass(frozen=True)
class BatchTime:
    """How long one batch took, with the device finished at its end.

    Attributes
    ----------
    images
        How many images it made, padding apart.
    wall_time
        Seconds from the end of the batch before, or from the start.
    steps
        Seconds of each denoising step.
    """

    images: int
    wall_time: float
    steps: tuple[float, ...]


def throughput(batches: Sequence[BatchTime], warmup_steps: int) -> float:
    """Return images per second without warm-up.

    Parameters
    ----------
    batches
        In the order they were made.
    warmup_steps
        Where there are more batches than this, so many batches are left out. Otherwise so many denoising
        steps at the start of the first batch count as much as an average later step of it; if it has no
        later ones, nothing is left out. This is how optimum-habana counts.
    """
    if len(batches) > warmup_steps:
        counted = batches[warmup_steps:]
        return sum(b.images for b in counted) / sum(b.wall_time for b in counted)
    total = sum(batch.wall_time for batch in batches)
    early, late = batches[0].steps[:warmup_steps], batches[0].steps[warmup_steps:]
    if late:
        total += len(early) * sum(late) / len(late) - sum(early)
    return sum(batch.images for batch in batches) / total
