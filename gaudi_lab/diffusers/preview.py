"""Images in the notebook as they are made: a grid that grows with each batch."""

from __future__ import annotations

import io
import math
import sys
from typing import Any

from PIL import Image

_MARGIN = 4  # pixels between images
_SMALLEST = 96  # pixels; smaller images are enlarged, or nothing could be seen
_PAPER = (128, 128, 128)


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
        self._enabled = enabled and _in_notebook()

    def show(self, images: Any) -> None:
        """Add the images of a batch. Latents and tensors are left out: they are for other code to look at."""
        if not self._enabled or not (isinstance(images, list) and isinstance(images[0], Image.Image)):
            return
        from IPython import display as ipython

        self._images += images
        # As PNG only: a PIL image would be put into the notebook as PNG and as JPEG.
        picture = ipython.Image(data=_png(grid(self._images, self._total)))
        if self._display is None:
            self._display = ipython.display(picture, display_id=True)
        else:
            self._display.update(picture)


def grid(images: list[Image.Image], total: int | None = None, columns: int | None = None) -> Image.Image:
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


def _png(picture: Image.Image) -> bytes:
    """Encode a picture."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _in_notebook() -> bool:
    """Whether output goes to a notebook, which can show pictures and replace them."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None
