"""What is seen while images are made: a bar that counts denoising steps, and a grid that grows with each batch."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from types import TracebackType
from typing import Any

from PIL import Image

from gaudi_lab import frontend

_MARGIN = 4  # pixels between images
_SMALLEST = 96  # pixels; smaller images are enlarged, or nothing could be seen
_PAPER = (128, 128, 128)


class Progress:
    """The bar of one generation.

    Parameters
    ----------
    make_bar
        The pipeline's `progress_bar`, which has the user's options for it.
    batches
        How many batches there are.
    steps
        How many denoising steps each takes.
    """

    def __init__(self, make_bar: Callable[..., Any], batches: int, steps: int) -> None:
        self._bar = make_bar(total=batches * steps)
        self._batches = batches

    def __enter__(self) -> Progress:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, traceback)

    def show_phase(self, name: str, batch: int | None = None) -> None:
        """Say what is being done, and for which batch."""
        several = batch is not None and self._batches > 1
        self._bar.set_description(f"{name}, batch {batch} of {self._batches}" if several else name)

    def set_steps(self, each: int) -> None:
        """Correct how many denoising steps each batch takes: some schedulers take more than asked for."""
        if self._bar.total != each * self._batches:
            self._bar.reset(total=each * self._batches)

    def count_step(self) -> None:
        """Count one denoising step."""
        self._bar.update()


class Preview:
    """A display in the notebook's output, replaced by a fuller one after each batch.

    Parameters
    ----------
    total
        How many images there will be; their places are there from the start.
    enabled
        False shows nothing. Neither is anything shown outside of a notebook.
    """

    def __init__(self, total: int, *, enabled: bool = True) -> None:
        self._total = total
        self._images: list[Image.Image] = []
        self._display: Any = None
        self._enabled = enabled and frontend.in_notebook()

    def add(self, images: Any) -> None:
        """Add the images of a batch. Latents and tensors are left out: they are for other code to look at."""
        if not self._enabled or not (isinstance(images, list) and isinstance(images[0], Image.Image)):
            return
        from IPython import display as ipython

        self._images += images
        # As PNG only: a PIL image would be put into the notebook as PNG and as JPEG.
        picture = ipython.Image(data=_encode_png(arrange(self._images, self._total)))
        if self._display is None:
            self._display = ipython.display(picture, display_id=True)
        else:
            self._display.update(picture)


def arrange(images: list[Image.Image], total: int | None = None, columns: int | None = None) -> Image.Image:
    """Arrange images in rows.

    Parameters
    ----------
    images
        Images of one size.
    total
        How many places there are; by default as many as images.
    columns
        How many go into a row; by default so many that the grid is about as wide as high.

    Returns
    -------
    PIL.Image.Image
        The grid. Small images are enlarged by a whole factor, pixel by pixel.
    """
    places = max(total or 0, len(images))
    columns = columns or math.ceil(math.sqrt(places))
    width, height = images[0].size
    factor = max(1, math.ceil(_SMALLEST / min(width, height)))
    width, height = width * factor, height * factor
    rows = math.ceil(places / columns)
    sheet = Image.new(
        "RGB", (columns * (width + _MARGIN) + _MARGIN, rows * (height + _MARGIN) + _MARGIN), _PAPER
    )
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        place = (column * (width + _MARGIN) + _MARGIN, row * (height + _MARGIN) + _MARGIN)
        sheet.paste(image.convert("RGB").resize((width, height), Image.Resampling.NEAREST), place)
    return sheet


def _encode_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
