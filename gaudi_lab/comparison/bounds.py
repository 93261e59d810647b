"""Whether comparing keeps within its limits: watched while it runs."""

from __future__ import annotations

import getpass
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from gaudi_lab.comparison.limits import Limits, say_bytes, say_seconds
from gaudi_lab.errors import LabError

LOOKING = 1.0
"""Seconds between two looks at the disk at least."""

_RECIPES = ("PT_HPU_RECIPE_CACHE_CONFIG", "PT_RECIPE_CACHE_PATH")


class Stopped(Exception):
    """Comparing has reached its limit. What is measured stays."""


class Bounds:
    """Watches one comparison, from when it is made.

    Parameters
    ----------
    limits
        What it may take.
    folders
        Files and folders whose growth counts, whoever writes there.
    clock
        Seconds, as `time.monotonic` gives them.

    Attributes
    ----------
    most
        The most bytes on disk that were seen.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        folders: Iterable[Path] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or Limits()
        self.most = 0
        self._clock = clock
        self._started = clock()
        self._looked = -LOOKING
        self._before: dict[Path, int] = {}
        self._took: dict[str, float] = {}
        self._turn: tuple[str, float] | None = None
        for folder in folders:
            self.count(folder)

    def count(self, folder: Path, *, new: bool = False) -> None:
        """Count what a file or folder grows by from now on; all of it if it is new."""
        if not any(folder.is_relative_to(other) for other in self._before):
            self._before[folder] = 0 if new else size_of(folder)

    @property
    def left(self) -> float | None:
        """Seconds that are left; None for any."""
        if self.limits.seconds is None:
            return None
        return max(self.limits.seconds - (self._clock() - self._started), 0.0)

    def of_turn(self) -> float | None:
        """Return the seconds that a turn may take that begins now; None for any."""
        return min((x for x in (self.limits.turn, self.left) if x is not None), default=None)

    def check(self) -> None:
        """Raise if a limit is reached.

        Raises
        ------
        Stopped
            Of what there was no more.
        """
        if self.left == 0:
            raise Stopped(f"{say_seconds(self.limits.seconds or 0)} are over")
        if self._clock() - self._looked >= LOOKING:
            self._looked = self._clock()
            self.measure()
        if self.limits.disk is not None and self.most > self.limits.disk:
            raise Stopped(
                f"{say_bytes(self.most)} on disk are more than the {say_bytes(self.limits.disk)} of the limit"
            )

    def begin(self, turn: str) -> None:
        """Check, and raise too if a turn of this name took longer before than there is time left.

        Raises
        ------
        Stopped
            Of what there was, or would be, no more.
        """
        now = self._clock()
        if self._turn is not None:
            name, since = self._turn
            self._took[name] = now - since
        self._turn = (turn, now)
        self.check()
        took = self._took.get(turn)
        if took is not None and self.left is not None and took > self.left:
            raise Stopped(
                f"the next turn takes more than what is left of {say_seconds(self.limits.seconds or 0)}"
            )

    def measure(self) -> int:
        """Return the bytes that were written and are there now."""
        now = sum(max(size_of(folder) - before, 0) for folder, before in self._before.items())
        self.most = max(self.most, now)
        return now

    def admit(self, size: int, folder: Path) -> None:
        """Raise if so many bytes are not to be written into a folder.

        Raises
        ------
        LabError
            It is more than the limit, or than what is free.
        """
        if self.limits.disk is not None and size > self.limits.disk:
            raise LabError(
                f"What runs takes {say_bytes(size)} on disk on its way into other processes, and the limit is "
                f"{say_bytes(self.limits.disk)}.",
                python=f'gaudi_lab.compare(..., limit="{say_bytes(2 * size)}")',
                magic=f'%gaudi_compare --limit "{say_bytes(2 * size)}" ...',
            )
        status = os.statvfs(folder) if hasattr(os, "statvfs") else None
        if status is not None and size > status.f_bavail * status.f_frsize:
            raise LabError(
                f"What runs takes {say_bytes(size)} on disk on its way into other processes, and {folder} has "
                f"{say_bytes(status.f_bavail * status.f_frsize)} left.",
                python='import tempfile; tempfile.tempdir = "/a/larger/disk"  # before comparing',
            )


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; 0 if there is none, or no more."""
    if path.is_symlink() or not path.is_dir():
        try:
            return path.lstat().st_size
        except OSError:
            return 0
    return sum(size_of(Path(parent, name)) for parent, _, names in os.walk(path) for name in names)


def caches(environments: Iterable[dict[str, str | None]] = ()) -> list[Path]:
    """Return the folders in which what is compiled is kept: of this process, and of those with more variables."""
    inductor = os.environ.get("TORCHINDUCTOR_CACHE_DIR") or os.path.join(
        tempfile.gettempdir(), "torchinductor_" + re.sub(r'[\\/:*?"<>|]', "_", _user())
    )
    found = [inductor]
    for environment in ({}, *environments):
        given = {**os.environ, **environment}
        found += [str(given[name]).partition(",")[0].strip() for name in _RECIPES if given.get(name)]
        found += [str(given["TORCHINDUCTOR_CACHE_DIR"])] if given.get("TORCHINDUCTOR_CACHE_DIR") else []
    return [Path(path).absolute() for path in dict.fromkeys(found) if path]


def _user() -> str:
    """Return who PyTorch's compiler takes to run this: in a container there may be no name for that."""
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):
        return f"uid_{os.getuid()}" if hasattr(os, "getuid") else "unknown_user"
