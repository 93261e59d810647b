"""What became of a notebook whose process was replaced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gaudi_lab.rendered import Rendered


@dataclass(frozen=True, repr=False)
class Account(Rendered):
    """What a relaunch kept, and what not.

    Attributes
    ----------
    title
        What it was for, such as "lazy → eager".
    seconds
        From the request until the notebook was there again.
    kept
        The names that came along.
    rerun
        The names that were bound anew by running their cell again.
    dropped
        The names that were given up.
    size
        Bytes of the snapshot.
    notes
        What else is worth knowing, in whole sentences without a full stop.
    path
        The snapshot, which stays until the next relaunch.
    """

    title: str
    seconds: float
    kept: tuple[str, ...] = ()
    rerun: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    size: int = 0
    notes: tuple[str, ...] = ()
    path: Path | None = None


_latest: list[Account] = []


def latest() -> Account | None:
    """Return the report of the relaunch that made this process; None if it was started otherwise."""
    return _latest[-1] if _latest else None


def remember(account: Account) -> Account:
    """Make a report the latest, and return it."""
    _latest[:] = [account]
    return account
