"""An independent judge of drawings: which digit is it, and in which colour?

The digit is read by a support vector machine trained on real digits that the generator never saw, the
colour by comparing the ink with the palette. Nothing here needs torch, and nothing knows the generator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from digits_diffusion.data import (
    BACKGROUND,
    COLOURS,
    IMAGE_SIZE,
    FloatArray,
    IntArray,
    draw_strokes,
    load_splits,
    parse_prompt,
)

BoolArray = NDArray[np.bool_]

_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)
_GRID = 16  # a drawing is read as the mean ink of 16 x 16 cells
_RENDERINGS = 8  # how often each real digit is drawn, slightly moved, to train the classifier


def judge(images: Iterable[Any], prompts: Sequence[str]) -> tuple[BoolArray, BoolArray]:
    """Compare drawings with what their prompts ask for.

    Parameters
    ----------
    images
        One drawing for each prompt: PIL images, 8-bit arrays, or floating-point arrays from 0 to 1.
    prompts
        The prompts. One that names no digit, or no colour, is satisfied with any.

    Returns
    -------
    digit_correct, colour_correct : ndarray of bool
        Whether each drawing shows the digit, and the colour, of its prompt.

    Examples
    --------
    >>> digit_correct, colour_correct = judge(pipeline(prompts).images, prompts)  # doctest: +SKIP
    """
    drawings = as_drawings(images)
    if len(drawings) != len(prompts):
        raise ValueError(f"{len(drawings)} images for {len(prompts)} prompts")
    subjects = [parse_prompt(prompt) for prompt in prompts]
    seen = zip(subjects, read_digits(drawings), read_colours(drawings), strict=True)
    verdicts = [(s.digit in (None, digit), s.colour in (None, colour)) for s, digit, colour in seen]
    digit_correct, colour_correct = np.array(verdicts, dtype=bool).reshape(-1, 2).T
    return digit_correct, colour_correct


def read_digits(images: Iterable[Any]) -> IntArray:
    """Return the digit that each drawing shows."""
    drawings = as_drawings(images)
    if not len(drawings):
        return np.zeros(0, dtype=np.int64)
    return classifier().predict(_features(_ink(drawings)))


def read_colours(images: Iterable[Any]) -> list[str]:
    """Return the name of the palette's colour that is nearest to the ink of each drawing."""
    palette = np.array(list(COLOURS.values()), dtype=np.float32) / 255
    names = list(COLOURS)
    return [names[int(np.square(palette - _ink_colour(d)).sum(-1).argmin())] for d in as_drawings(images)]


def as_drawings(images: Iterable[Any]) -> FloatArray:
    """Return images as one array of shape ``(n, IMAGE_SIZE, IMAGE_SIZE, 3)``, values from 0 to 1.

    Raises
    ------
    ValueError
        Where an image has another size.
    """
    arrays = [np.asarray(image) for image in images]
    wrong = next((a.shape for a in arrays if a.shape != _SHAPE), None)
    if wrong is not None:
        raise ValueError(f"expected RGB images of shape {_SHAPE}, not {wrong}")
    drawings = np.zeros((len(arrays), *_SHAPE), dtype=np.float32)
    for drawing, array in zip(drawings, arrays, strict=True):
        drawing[:] = array / np.float32(255) if array.dtype == np.uint8 else array
    return drawings


@lru_cache(maxsize=1)
def classifier() -> SVC:
    """Return the classifier, trained once for each process (about two seconds)."""
    _, held_out = load_splits()
    rng = np.random.default_rng(0)
    strokes = np.concatenate([draw_strokes(held_out.pixels, rng) for _ in range(_RENDERINGS)])
    return SVC(C=10, gamma="scale").fit(_features(strokes), np.tile(held_out.labels, _RENDERINGS))


def _ink(drawings: FloatArray) -> FloatArray:
    """Return how far each pixel is from the background, 1 being the strongest ink of its drawing."""
    paper = np.array(BACKGROUND, dtype=np.float32) / 255
    distance = np.linalg.norm(drawings - paper, axis=-1)
    full = np.quantile(distance, 0.98, axis=(1, 2), keepdims=True)
    return np.clip(distance / np.maximum(full, 1e-6), 0, 1).astype(np.float32)


def _ink_colour(drawing: FloatArray) -> FloatArray:
    """Return the median colour of a drawing's full ink."""
    return np.median(drawing[_ink(drawing[None])[0] > 0.8], axis=0)


def _features(strokes: FloatArray) -> FloatArray:
    """Return the mean ink of each cell, as one row for each drawing."""
    cell = IMAGE_SIZE // _GRID
    cells = strokes.reshape(-1, _GRID, cell, _GRID, cell).mean(axis=(2, 4))
    return cells.reshape(len(strokes), -1)
