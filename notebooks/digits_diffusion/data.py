"""Coloured handwritten digits and the prompts that describe them.

The digits are scikit-learn's (`sklearn.datasets.load_digits`, 1797 images of 8 x 8 grey levels). They are
split once: the generator learns from one part, the judge from the other, so that what the judge says about
a drawing never depends on a digit the generator has seen.

Nothing here needs torch.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

IMAGE_SIZE = 64
"""Side of a drawing, in pixels."""

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""The word of each digit, at the digit's own index."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (230, 45, 55),
    "orange": (255, 140, 0),
    "yellow": (255, 235, 60),
    "green": (50, 200, 90),
    "blue": (60, 130, 255),
    "purple": (190, 90, 240),
    "white": (245, 245, 245),
}
"""The inks, in 8-bit RGB: any two are far enough apart to be told from one another."""

BACKGROUND = (18, 22, 34)
"""The paper, in 8-bit RGB: dark, so that yellow and white read as well as blue."""

COLOURED_TEMPLATES = (
    "a {colour} handwritten {digit}",
    "a handwritten {colour} {digit}",
    "a {colour} {digit}",
    "{colour} {digit}",
    "{digit} in {colour}",
    "a handwritten {digit} in {colour}",
    "a {digit} written in {colour}",
    "a {digit} in {colour} ink",
    "the {colour} digit {digit}",
    "the {colour} number {digit}",
    "the digit {digit} in {colour}",
    "the number {digit} in {colour} ink",
    "a handwritten digit {digit} in {colour}",
    "an image of a {colour} {digit}",
    "a drawing of the {colour} number {digit}",
    "draw a {digit} in {colour}",
)
"""Prompts that name a digit and a colour."""

PLAIN_TEMPLATES = (
    "a handwritten {digit}",
    "a {digit}",
    "{digit}",
    "the digit {digit}",
    "the number {digit}",
    "a handwritten digit {digit}",
    "an image of a {digit}",
    "a drawing of the number {digit}",
    "draw a {digit}",
)
"""Prompts that leave the choice of the colour to the model."""

_MARGIN = 6  # pixels of paper kept on every side of the digit's 8 x 8 box
_STROKE_LEVEL = 0.48  # the grey level at which ink begins, and
_STROKE_SOFTNESS = 0.40  # the range of grey levels over which its edge fades

_WRONG_ARTICLE = re.compile(r"\ba (?=8|eight|orange)")
_WORD = re.compile(r"[a-z]+|\d+")


class Digits(NamedTuple):
    """Grey 8 x 8 digits (values from 0 to 1) and what they are."""

    pixels: FloatArray
    labels: IntArray


class Subject(NamedTuple):
    """What a prompt asks for: None where it leaves the choice open."""

    digit: int | None
    colour: str | None


def load_splits(held_out: int = 500, seed: int = 0) -> tuple[Digits, Digits]:
    """Split the digits between the generator and the judge.

    Parameters
    ----------
    held_out
        How many digits the judge gets. The generator must never see these.
    seed
        Seed of the split, which keeps the share of each digit.

    Returns
    -------
    tuple of Digits
        The generator's digits, then the judge's.
    """
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels.reshape(-1, 8, 8) / 16).astype(np.float32)
    parts = train_test_split(pixels, labels, test_size=held_out, random_state=seed, stratify=labels)
    return Digits(parts[0], parts[2]), Digits(parts[1], parts[3])


def draw_strokes(pixels: FloatArray, rng: np.random.Generator | None = None) -> FloatArray:
    """Turn grey 8 x 8 digits into smooth strokes at full size.

    Parameters
    ----------
    pixels
        Digits of shape ``(n, 8, 8)``, values from 0 to 1.
    rng
        Where given, every digit is turned, slanted, scaled and shifted a little at random.

    Returns
    -------
    ndarray
        Cover of the ink, from 0 (paper) to 1, shape ``(n, IMAGE_SIZE, IMAGE_SIZE)``.
    """
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2)))
    grey = np.stack([_resample(image, *_placement(rng)) for image in padded])
    edge = np.clip((grey - _STROKE_LEVEL) / _STROKE_SOFTNESS + 0.5, 0, 1)
    return (edge * edge * (3 - 2 * edge)).astype(np.float32)


def _placement(rng: np.random.Generator | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix and the shift that map a drawing's pixel to a place in the small digit."""
    scale = 8 / (IMAGE_SIZE - 2 * _MARGIN)
    if rng is None:
        return np.eye(2) * scale, np.zeros(2)
    angle, slant = rng.uniform(-0.12, 0.12, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1.0, 0.0], [slant, 1.0]])
    return turn @ shear * scale * rng.uniform(0.95, 1.12), rng.uniform(-0.35, 0.35, 2)


def _resample(image: FloatArray, matrix: NDArray[np.float64], shift: NDArray[np.float64]) -> FloatArray:
    """Resample one padded digit with cubic splines, its centre moved by `shift`."""
    centre_out = np.full(2, (IMAGE_SIZE - 1) / 2)
    centre_in = (np.array(image.shape) - 1) / 2
    offset = centre_in + shift - matrix @ centre_out
    return affine_transform(image, matrix, offset, output_shape=(IMAGE_SIZE, IMAGE_SIZE), order=3)


def paint(strokes: FloatArray, colours: list[str]) -> FloatArray:
    """Paint strokes in colour on the background.

    Parameters
    ----------
    strokes
        Cover of the ink, shape ``(n, height, width)``.
    colours
        The name of a colour for each.

    Returns
    -------
    ndarray
        RGB images from 0 to 1, shape ``(n, height, width, 3)``.
    """
    ink = np.array([COLOURS[name] for name in colours], dtype=np.float32)[:, None, None, :] / 255
    paper = np.array(BACKGROUND, dtype=np.float32) / 255
    return (paper + strokes[..., None] * (ink - paper)).astype(np.float32)


def make_prompt(template: str, digit: str | int, colour: str = "") -> str:
    """Fill a template, with the right article before a vowel.

    Examples
    --------
    >>> make_prompt("a {colour} handwritten {digit}", "seven", "red")
    'a red handwritten seven'
    >>> make_prompt("a {digit} in {colour}", 8, "orange")
    'an 8 in orange'
    """
    return _WRONG_ARTICLE.sub("an ", template.format(digit=digit, colour=colour))


def digit_names(digit: int) -> tuple[str, str]:
    """Return the two ways to write a digit, such as ``("seven", "7")``."""
    return DIGIT_WORDS[digit], str(digit)


def all_prompts() -> list[str]:
    """Return every prompt the templates can make, in a fixed order."""
    names = [name for digit in range(10) for name in digit_names(digit)]
    coloured = [make_prompt(t, name, c) for t in COLOURED_TEMPLATES for name in names for c in COLOURS]
    return coloured + [make_prompt(t, name) for t in PLAIN_TEMPLATES for name in names]


def parse_prompt(prompt: str) -> Subject:
    """Read the digit and the colour that a prompt asks for.

    Raises
    ------
    ValueError
        Where the prompt names two digits or two colours.

    Examples
    --------
    >>> parse_prompt("a red handwritten seven")
    Subject(digit=7, colour='red')
    >>> parse_prompt("the number 3")
    Subject(digit=3, colour=None)
    """
    words = _WORD.findall(prompt.lower())
    numbers = {name: digit for digit in range(10) for name in digit_names(digit)}
    digits = {numbers[word] for word in words if word in numbers}
    colours = {word for word in words if word in COLOURS}
    if len(digits) > 1 or len(colours) > 1:
        raise ValueError(f"{prompt!r} names more than one digit or colour")
    return Subject(next(iter(digits), None), next(iter(colours), None))
