"""Nothing may compile any more: what would is stopped, with its cause."""

from __future__ import annotations

from gaudi_lab.errors import LabError
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.causes.watching import watching


class Frozen(LabError):
    """Something would have been compiled, and nothing may.

    Attributes
    ----------
    layer
        What would have been: "recipe", "Dynamo" or "HPU graph".
    cause
        Why.
    """

    def __init__(self, layer: str, cause: Cause) -> None:
        self.layer = layer
        self.cause = cause
        what = _NAMES[layer]
        for_model = f" for {cause.model}" if cause.model else ""
        where = f" ({cause.source or cause.call})" if cause.source or cause.call else ""
        remedy = f" What to change: {cause.remedy}." if cause.remedy else ""
        super().__init__(
            f"This would {what}{for_model}, and compiling is frozen: {cause.text}{where}.{remedy}",
            python="gaudi_lab.freeze(False)",
            magic="%gaudi_freeze off",
        )

    def _render_traceback_(self) -> list[str]:
        # What IPython shows: how the emulator or Dynamo came to ask is nothing to read.
        return [f"{type(self).__name__}: {self.for_notebook()}"]


_NAMES = {
    "recipe": "compile a graph",
    "Dynamo": "compile with torch.compile",
    "HPU graph": "capture an HPU graph",
}


def freeze() -> Handle:
    """Stop whatever would compile from now on, with `Frozen`.

    Models stay as they are. What a stopped program would have computed is lost with it.

    Returns
    -------
    Handle
        Removing it lets things compile again.
    """
    watch = watching.hold()
    watching.watch_dynamo()
    watching.stops.append(_stop)

    def undo() -> None:
        watching.stops.remove(_stop)
        watch.remove()

    return Handle(undo)


def _stop(layer: str, cause: Cause) -> None:
    raise Frozen(layer, cause)
