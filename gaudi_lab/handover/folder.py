"""The folder of a snapshot: where there is space for one, how it appears at once, and whose it must be."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gaudi_lab.errors import LabError
from gaudi_lab.handover.objects import blocks

PREFIX = "gaudi-lab-notebook-"
SHARED_MEMORY = Path("/dev/shm")
_MARGIN = 256 * 2**20
_UNFINISHED = ".part"
_OBJECTS, _MEMORY, _MANIFEST, _ARRIVED = "objects", "memory", "manifest.json", "arrived"


class NoRoom(LabError):
    """there is not enough space for a snapshot.

    Attributes
    ----------
    needed, free
        In bytes; what is free where most is.
    """

    def __init__(self, needed: int, free: int, where: Path) -> None:
        self.needed = needed
        self.free = free
        super().__init__(
            f"A snapshot of this notebook needs {needed:,} bytes, and {free:,} are free in {where}, of which "
            f"{_MARGIN:,} are to stay so. Delete what is not needed any more: files there, or a large name.",
            python="del NAME",
        )


@dataclass
class Folder:
    """A folder that a snapshot is being written to.

    Attributes
    ----------
    path
        Where it is; another one once it is finished.
    """

    path: Path

    @contextlib.contextmanager
    def writing(self) -> Iterator[tuple[int, int]]:
        """Open the two files of a snapshot for writing."""
        with _opened(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as files:
            yield files

    def note(self, line: str) -> None:
        """Add a line to the manifest. What it tells of has been written: a process may be killed at any time."""
        file = os.open(self.path / _MANIFEST, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(f"{line}\n")

    def fits(self, needed: int) -> bool:
        """Whether so many bytes can be written here."""
        return needed + _MARGIN <= _free(self.path.parent)

    def finish(self) -> None:
        """Give the folder its name: from now on it is a snapshot."""
        finished = self.path.with_name(self.path.name.removesuffix(_UNFINISHED))
        os.rename(self.path, finished)
        self.path = finished


@dataclass(frozen=True)
class Found:
    """A snapshot of this user, or what was written of one before its process was killed.

    Attributes
    ----------
    path
        Its folder.
    """

    path: Path

    @property
    def process(self) -> int:
        """The number of the process that it was made by."""
        return _process_of(self.path) or 0

    def manifest(self) -> str:
        """Return what it says of itself."""
        return (self.path / _MANIFEST).read_text(encoding="utf-8")

    @contextlib.contextmanager
    def reading(self) -> Iterator[tuple[int, int]]:
        """Open its two files."""
        with _opened(self.path, os.O_RDONLY) as files:
            yield files


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[tuple[int, int]]:
    with contextlib.ExitStack() as opened:
        files = []
        for name in (_OBJECTS, _MEMORY):
            files.append(os.open(path / name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            opened.callback(os.close, files[-1])
        yield files[0], files[1]


@contextlib.contextmanager
def making(needed: int, parent: str | Path | None) -> Iterator[Folder]:
    """Make a folder for a snapshot where there is space for it; it goes again if anything fails.

    Parameters
    ----------
    needed
        About how many bytes will be written.
    parent
        Where to make it. By default in shared memory if it fits, else among temporary files.

    Raises
    ------
    NoRoom
        there is not enough space, from the start or in the middle.
    """
    where = _place(needed, parent)
    name = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", suffix=_UNFINISHED, dir=where)  # mode 0700
    made = Folder(Path(name))
    try:
        yield made
    except BaseException as error:
        shutil.rmtree(made.path, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in blocks.FULL:
            raise NoRoom(needed, _free(where), where) from error
        raise


def _place(needed: int, parent: str | Path | None) -> Path:
    places = [Path(parent)] if parent is not None else [SHARED_MEMORY, Path(tempfile.gettempdir())]
    places = [place for place in places if place.is_dir() and os.access(place, os.W_OK | os.X_OK)]
    if not places:
        raise LabError(f"A snapshot cannot be written to {parent}: it is no folder that you can write to.")
    for place in places:
        if needed + _MARGIN <= _free(place):
            return place
    most = max(places, key=_free)
    raise NoRoom(needed, _free(most), most)


def _free(place: Path) -> int:
    """Return how many bytes there is room for; what is written to shared memory takes ordinary memory."""
    found = os.statvfs(place)
    free = found.f_bavail * found.f_frsize
    return min(free, *_available_memory()) if place == SHARED_MEMORY else free


def _available_memory() -> list[int]:
    """Return how much memory is available, in bytes, to the machine and to the group of processes that this is in."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    with contextlib.suppress(OSError, ValueError):
        control = Path("/sys/fs/cgroup")
        limit, used = (int((control / name).read_text()) for name in ("memory.max", "memory.current"))
        found.append(max(limit - used, 0))
    return found or [0]


def open_snapshot(path: str | Path) -> Found:
    """Return the snapshot at `path`, if it is one that may be trusted: loading it runs what it says.

    Raises
    ------
    LabError
        It is not there, not this user's, or others can write to it.
    """
    folder = Path(path)
    _check(folder, stat.S_ISDIR)
    if folder.name.endswith(_UNFINISHED):
        writer = _process_of(folder)
        if writer is not None and _lives(writer):
            raise LabError(f"{folder} is not finished: process {writer} is still writing it.")
        if not _has_a_group(folder):
            raise LabError(f"{folder} was never finished, and holds nothing that can be loaded.")
    for name in (_OBJECTS, _MEMORY, _MANIFEST):
        _check(folder / name, stat.S_ISREG)
    return Found(folder)


def _check(path: Path, is_kind: object) -> None:
    try:
        found = path.lstat()
    except OSError as error:
        raise LabError(f"{path} is not there: it is no snapshot.") from error
    if not is_kind(found.st_mode):  # type: ignore[operator]
        raise LabError(f"{path} is not what a snapshot has there.")
    if found.st_uid != os.geteuid():
        raise LabError(f"{path} belongs to another user. Loading it would run what that user wrote.")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LabError(
            f"{path} can be written to by others. Loading it would run what they wrote.",
            magic=f"!chmod go-w {path}",
        )


def _process_of(path: Path) -> int | None:
    number = path.name.removeprefix(PREFIX).partition("-")[0]
    return int(number) if path.name.startswith(PREFIX) and number.isdecimal() else None


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _has_a_group(path: Path) -> bool:
    """Whether at least one group of an unfinished snapshot is whole: the first line only says what is to come."""
    try:
        return (path / _MANIFEST).read_bytes().count(b"\n") > 1
    except OSError:
        return False


def read(file: int, offset: int, size: int) -> io.BytesIO:
    """Return part of a file."""
    data = bytearray(size)
    done = 0
    while done < size:
        step = os.preadv(file, [memoryview(data)[done:]], offset + done)
        if step == 0:
            raise OSError("the file of objects ends before it should")
        done += step
    return io.BytesIO(data)


def mark_arrived(path: Path) -> None:
    """Take note that what is in a snapshot has been loaded by the process that it was made for."""
    (path / _ARRIVED).touch(mode=0o600)


@dataclass(frozen=True)
class Standing:
    """A snapshot that lies somewhere.

    Attributes
    ----------
    path
        Its folder.
    process
        The number of the process that it was made by, and for.
    made
        When, in seconds since the epoch.
    arrived
        Whether that process has loaded it.
    finished
        Whether all of it was written.
    holds_something
        Whether anything of it can be loaded.
    """

    path: Path
    process: int
    made: float
    arrived: bool
    finished: bool
    holds_something: bool

    @property
    def is_of_a_living_process(self) -> bool:
        """Whether there is a process of that number."""
        return _lives(self.process)

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        return max(time.time() - self.made, 0.0)


def standing(parent: str | Path | None = None) -> list[Standing]:
    """Return the snapshots of this user, the newest first."""
    places = {SHARED_MEMORY, Path(tempfile.gettempdir())} if parent is None else {Path(parent)}
    found = []
    for place in places:
        for path in place.glob(f"{PREFIX}*"):
            process = _process_of(path)
            with contextlib.suppress(OSError):
                about = path.lstat()
                if stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and process is not None:
                    arrived = (path / _ARRIVED).exists()
                    finished = not path.name.endswith(_UNFINISHED)
                    holds = finished or _has_a_group(path)
                    found.append(Standing(path, process, about.st_mtime, arrived, finished, holds))
    return sorted(found, key=lambda each: -each.made)
