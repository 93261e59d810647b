"""Try a snapshot in the new environment, before anything is given up for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gaudi_lab.errors import LabError
from gaudi_lab.handover.check import check
from gaudi_lab.handover.survey import line_that_gives_up

_MOST_TOLD = 4
_WIDGETS = "gaudi_lab.handover.kernel.live_widgets"


def load_elsewhere(
    path: str,
    variables: Mapping[str, str],
    shown: Collection[str] = (),
    *,
    given_up: Sequence[str] = (),
    companions: Collection[str] = (),
) -> None:
    """Load a snapshot in a process of its own, and compare what came with what was saved.

    Parameters
    ----------
    path
        The snapshot.
    variables
        All variables of that process.
    shown
        Hidden entries that only the screen knows: that they come back differently stops nothing.
    given_up
        What was given up already in the line that is to be repeated.
    companions
        Hidden entries that bring along what others hold. It is enough to give up those others, if there are any.

    Raises
    ------
    LabError
        It could not be loaded, or something came back differently.
    """
    try:
        found = check(path, variables, before=[_WIDGETS])
    except OSError as error:
        raise LabError(
            f"No process starts in the new environment: {error.strerror}. Everything is as it was."
        ) from None
    except LabError as error:
        raise LabError(f"{error.why} Everything is as it was.") from None
    failed = {reason.name: reason.why for reason in found.left}
    failed |= {name: f"{name} would come back differently" for name in found.differs if name not in shown}
    if failed:
        more = f"; and {len(failed) - _MOST_TOLD} more" if len(failed) > _MOST_TOLD else ""
        names = [name for name in failed if name not in companions] or [*failed]
        reasons = "; ".join([*failed.values()][:_MOST_TOLD])
        raise LabError(
            f"What was saved does not come back whole in the new environment: {reasons}{more}. "
            "Everything is as it was.",
            **line_that_gives_up([*given_up, *names]),
        )
