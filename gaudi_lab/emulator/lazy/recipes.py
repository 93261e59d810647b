"""The recipe cache on disk: what one process compiled, the next one loads.

``PT_HPU_RECIPE_CACHE_CONFIG=<path>,<delete>,<size in MB>[,<on NFS>]`` names a folder, whether to empty it at the
start, and how large it may grow (0 for no limit). Without a path there is no cache, as on hardware. It is read
when the device is acquired. A recipe is found again by everything that went into it: operators, shapes, strides,
dtypes, constants, and the versions of the bridge, PyTorch and Python.

A file appears whole or not at all (written beside and renamed), so that processes may share a folder, also over
NFS: the fourth field is taken, and nothing depends on it. Inductor keeps its own compiled code in a folder of the
cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from gaudi_lab.emulator.device import events
from gaudi_lab.emulator.device.events import EventId
from gaudi_lab.emulator.process import flags
from gaudi_lab.emulator.process.release import version

_INDUCTOR = "inductor"
_INDUCTORS_FOLDER = "TORCHINDUCTOR_CACHE_DIR"


class Config(NamedTuple):
    """What ``PT_HPU_RECIPE_CACHE_CONFIG`` says.

    Attributes
    ----------
    path
        The folder; None for no cache.
    delete
        Whether to empty it when the device is acquired.
    limit
        Its largest size in bytes; 0 for any.
    """

    path: Path | None
    delete: bool
    limit: int


def read_config() -> Config:
    """Read the configuration from the environment, or from the older variables that it replaces.

    Raises
    ------
    ValueError
        A field is not what it should be.
    """
    asked = flags.get("PT_HPU_RECIPE_CACHE_CONFIG")
    fields = [field.strip() for field in asked.split(",")]
    if not fields[0]:
        older = ("PT_RECIPE_CACHE_PATH", "PT_CACHE_FOLDER_DELETE", "PT_CACHE_FOLDER_SIZE_MB")
        fields = [os.environ.get(name, "") for name in older]
    path, delete, size = [*fields, "", "", ""][:3]
    emptied = flags.parse_boolean(delete or "0")
    if emptied is None or not (size or "0").isdigit() or len(fields) > 4:
        raise ValueError(
            f"PT_HPU_RECIPE_CACHE_CONFIG={asked!r} is not <path>,<delete: true or false>,<size in MB>[,<on NFS>], "
            "such as recipes,false,1024"
        )
    return Config(Path(path) if path else None, emptied, int(size or 1024) * 2**20)


class DiskCache:
    """Recipes in a folder, the least recently used of which make room."""

    def __init__(self, folder: Path, *, delete: bool = False, limit: int = 0) -> None:
        self._folder = folder
        self._limit = limit
        if delete:
            self.clear()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def inductor(self) -> Path:
        """The folder for what Inductor compiles."""
        return self._folder / _INDUCTOR

    def clear(self) -> None:
        """Remove every recipe, and no file of anybody else's."""
        shutil.rmtree(self.inductor, ignore_errors=True)
        for path in self._folder.glob("*.recipe"):
            path.unlink(missing_ok=True)

    def load(self, key: str) -> bytearray | None:
        """Return the recipe stored under `key`; None if there is none, or none that can be read."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                recipe = bytearray(os.fstat(file.fileno()).st_size)
                file.readinto(recipe)
        except OSError:
            return None
        with contextlib.suppress(OSError):  # a folder may be shared, or for reading only
            os.utime(path)  # used just now
        return recipe

    def store(self, key: str, recipe: bytes) -> None:
        """Keep `recipe` under `key`. Where the folder has become unusable nothing is kept: it is only a cache."""
        part = self._folder / f"{key}.{os.getpid()}.part"  # a temporary file would be for this user alone
        try:
            try:
                part.write_bytes(recipe)
                part.replace(self._path(key))
            finally:
                part.unlink(missing_ok=True)
            self._trim()
        except OSError:
            return

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.recipe"

    def _trim(self) -> None:
        if not self._limit:
            return
        files = [*self._folder.glob("*.recipe"), *(x for x in self.inductor.rglob("*") if x.is_file())]
        known = sorted([(path.stat().st_mtime_ns, path.stat().st_size, path) for path in files])
        total = sum(size for _, size, _ in known)
        for _, size, path in known:
            if total <= self._limit:
                return
            path.unlink(missing_ok=True)
            total -= size


_cache: DiskCache | None = None


def disk() -> DiskCache | None:
    """Return the cache that the environment asked for when the device was acquired; None for none."""
    return _cache


def key_of(parts: Iterable[object]) -> str:
    """Return the name of a recipe: a hash of `parts` and of the software that compiles it.

    ``PT_RECIPE_CACHE_IGNORE_VERSION`` leaves the bridge's version out. Those of PyTorch and Python stay: one's
    operators and the other's code are in the recipe.
    """
    made = hashlib.sha256()
    bridge = None if flags.get("PT_RECIPE_CACHE_IGNORE_VERSION") else version()
    for part in (bridge, torch.__version__, sys.version, *parts):
        made.update(repr(part).encode() + b"\0")
    return made.hexdigest()


def count_compilation(name: str, started: float, *, cached: bool, inferring: float = 0.0) -> None:
    """Count a graph that was just made: as a compilation, or as a hit of the cache, which is none.

    Parameters
    ----------
    started
        When that began, by `time.perf_counter` (s).
    inferring
        Seconds spent on it before.
    """
    seconds = inferring + time.perf_counter() - started
    for tell in watchers:
        tell(name, seconds, cached)
    if cached:
        return
    events.publish(EventId.GRAPH_COMPILATION, duration=round(seconds * 1e6), recipe=name)


watchers: list[Callable[[str, float, bool], None]] = []
"""Told of every graph that was made: its name, the seconds, and whether it was found on disk."""


def inductor_hits() -> int:
    """Return how often Inductor has found its code on disk so far."""
    counters = torch._dynamo.utils.counters
    return counters["inductor"]["fxgraph_cache_hit"] + counters["aot_autograd"]["autograd_cache_hit"]


def open_cache(timestamp: int, params: events.Params) -> None:
    """Open the cache that the environment asks for. This is called when the device is acquired."""
    global _cache
    found = read_config()
    if found.path is None:
        return
    _cache = DiskCache(found.path, delete=found.delete, limit=found.limit)
    os.environ.setdefault(_INDUCTORS_FOLDER, str(_cache.inductor))
