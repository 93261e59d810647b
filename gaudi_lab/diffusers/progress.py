"""A progress bar that counts denoising steps over all batches and says what is being done."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any


class Progress:
    """The bar of one generation.

    Parameters
    ----------
    make_bar
        The pipeline's `progress_bar`, which knows the user's wishes for it.
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

    def phase(self, name: str, batch: int | None = None) -> None:
        """Say what is being done, and for which batch."""
        several = batch is not None and self._batches > 1
        self._bar.set_description(f"{name}, batch {batch} of {self._batches}" if several else name)

    def steps(self, each: int) -> None:
        """Correct how many denoising steps each batch takes: some schedulers take more than asked for."""
        if self._bar.total != each * self._batches:
            self._bar.reset(total=each * self._batches)

    def step(self) -> None:
        """Count one denoising step."""
        self._bar.update()
