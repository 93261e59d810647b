"""What is compiled for the attached models: remembered, shown while it takes long, forbidden."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from gaudi_lab import bridge
from gaudi_lab.instruments.handle import Handle, together
from gaudi_lab.measure.steady import SignedCall, met_calls

if TYPE_CHECKING:
    from gaudi_lab.workbench.model import SwitchedModel


class Compiles:
    """Watches over what is compiled, from the moment a model is attached."""

    def __init__(self) -> None:
        # What remembers the calls of each attached model, and what was compiled for them.
        self._followed: dict[str, Handle] = {}
        self._frozen: Handle | None = None
        self._live_line: Handle | None = None
        self._live_line_wanted = os.environ.get("GAUDI_LAB_LIVE_LINE", "1") != "0"

    def follow(self, attached: SwitchedModel) -> None:
        """Remember the calls of an attached model from now on, and what is compiled for them."""
        self._followed[attached.name] = follow_calls(attached)
        self._show_live_line()

    def unfollow(self, name: str) -> None:
        """Forget the attached model of that name."""
        self._followed.pop(name).remove()
        self._show_live_line()

    @property
    def frozen(self) -> bool:
        """Whether compiling is forbidden."""
        return self._frozen is not None

    def freeze(self, on: bool) -> None:
        """Forbid compiling, or allow it again."""
        if on and self._frozen is None:
            from gaudi_lab.measure.causes.freeze import freeze

            bridge.load()
            self._frozen = freeze()
        elif not on and self._frozen is not None:
            self._frozen.remove()
            self._frozen = None

    def watch_dynamo(self) -> None:
        """Watch `torch.compile` too, now that the process has left lazy mode."""
        if self._followed:
            from gaudi_lab.measure.causes.watching import watching

            watching.watch_dynamo()

    def live_line(self, on: bool) -> None:
        """Show what compiles longer than a second while models are attached, or do not."""
        self._live_line_wanted = on
        self._show_live_line()

    def tried_by(self, what: str) -> AbstractContextManager[None]:
        """Tell what is compiled meanwhile as tried by a function of `gaudi_lab`, and not as calls of the user's."""
        if not self._followed:
            return nullcontext()
        from gaudi_lab.measure.causes.watching import watching

        return watching.tried_by(what)

    @contextmanager
    def no_live_line(self) -> Iterator[None]:
        """Show no line of what compiles meanwhile: something else says what is going on."""
        before = self._live_line_wanted
        self.live_line(on=False)
        try:
            yield
        finally:
            self.live_line(before)

    def _show_live_line(self) -> None:
        wanted = self._live_line_wanted and bool(self._followed)
        if wanted and self._live_line is None:
            from gaudi_lab.measure.causes.watching import watching
            from gaudi_lab.workbench import live_line

            self._live_line = live_line.show(watching)
        elif not wanted and self._live_line is not None:
            self._live_line.remove()
            self._live_line = None


def follow_calls(entered: SwitchedModel) -> Handle:
    """Have the calls of a model remembered, and what is compiled for them, until the handle is removed."""
    from gaudi_lab.measure.causes.watching import watching

    def note(call: SignedCall) -> None:
        met_calls.note(call, entered.settings, watching.history.number)

    return together(
        [
            watching.follow(".".join(filter(None, (entered.name, part))), module, note, rename=True)
            for part, module in entered.components.items()
        ]
    )
