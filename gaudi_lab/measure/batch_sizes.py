"""Reads which sizes a model's batches have, without running the model and without using up what the user holds."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from gaudi_lab.errors import LabValueError
from gaudi_lab.instruments import call_shapes
from gaudi_lab.shapes import Shape, Shapes


@dataclass(frozen=True)
class BatchSizes:
    """What was read.

    Attributes
    ----------
    shapes
        The sizes in a batch and how many batches have them, in the order they first came.
    complete
        Whether there were no more batches than those read.
    shuffled
        Whether the next pass brings the samples in another order.
    last
        The sizes of the last batch; empty if it was not read.
    drops_last
        Whether a short last batch is left out.
    collate
        What makes a batch of samples; None if unknown.
    """

    shapes: tuple[tuple[Shapes, int], ...]
    complete: bool
    shuffled: bool = False
    last: Shapes = ()
    drops_last: bool = False
    collate: Callable[[Any], Any] | None = None


def read(batches: Any, forward: Callable[..., Any], most: int) -> BatchSizes:
    """Return the sizes of batches.

    Of a DataLoader the batches are made in this process, also if it has workers. What it draws at random, it will
    draw again: the generators are put back.

    Parameters
    ----------
    batches
        A DataLoader; or a list of batches or of sizes. A size is a tuple of whole numbers for the model's first
        argument, or a dictionary of such by argument.
    forward
        What will be called with them; its signature names the positional arguments.
    most
        So many batches are read.

    Raises
    ------
    LabValueError
        If it is nothing that can be read twice.
    """
    _require_readable(batches)
    collate = getattr(batches, "collate_fn", None)
    if isinstance(batches, DataLoader):
        source, shuffled = _of_loader(batches), _is_shuffled(batches)
        drops_last = bool(getattr(batches.batch_sampler, "drop_last", batches.drop_last))
    else:
        source, shuffled, drops_last = batches, False, False
    counted: Counter[Shapes] = Counter()
    last: Shapes = ()
    read_so_far = 0
    generator = getattr(batches, "generator", None)
    samplers = [getattr(batches, name, None) for name in ("sampler", "batch_sampler")]
    generators = [generator, *(getattr(sampler, "generator", None) for sampler in samplers)]
    with _random_state_kept(generators):
        for batch in islice(source, most + 1):
            read_so_far += 1
            if read_so_far <= most:
                last = _sizes(batch, forward)
                counted[last] += 1
    complete = read_so_far <= most
    return BatchSizes(
        tuple(counted.items()), complete, shuffled, last if complete else (), drops_last, collate
    )


def _require_readable(batches: Any) -> None:
    if hasattr(batches, "__next__"):
        raise LabValueError(
            f"A {type(batches).__name__} can be read once only, and the model would not get what was read.",
            python="batches = list(batches); gaudi_lab.forecast(batches, model)",
            magic="batches = list(batches)",
        )
    if isinstance(batches, DataLoader):
        if isinstance(batches.dataset, IterableDataset):
            raise LabValueError(
                "The data set of this DataLoader can only be run through, which may use it up. Take some of its "
                "batches yourself.",
                python="batches = list(itertools.islice(loader, 100)); gaudi_lab.forecast(batches, model)",
                magic="batches = list(itertools.islice(loader, 100))",
            )
        if any(hasattr(sampler, "__next__") for sampler in (batches.sampler, batches.batch_sampler)):
            raise LabValueError(
                "The sampler of this DataLoader can be read once only: give it one that starts anew each time.",
                python="DataLoader(dataset, sampler=list(sampler))",
            )
        return
    if isinstance(batches, Dataset) or not isinstance(batches, Iterable):
        raise LabValueError(
            f"A {type(batches).__name__} has no batches to read.",
            python="gaudi_lab.forecast(DataLoader(dataset, batch_size=8), model)",
            magic="loader = DataLoader(dataset, batch_size=8)",
        )
    if isinstance(batches, (str, bytes, Mapping, torch.Tensor)) or not isinstance(batches, Sized):
        raise LabValueError(
            f"A {type(batches).__name__} is not a DataLoader, nor a list of batches or of sizes.",
            python="gaudi_lab.forecast([batch], model)",
            magic="batches = [batch]",
        )


def _is_shuffled(loader: DataLoader[Any]) -> bool:
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    return "Random" in type(sampler).__name__ or bool(getattr(sampler, "shuffle", False))


def _of_loader(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield a DataLoader's batches as its iterator would, but from here: no worker is started for it."""
    # Its iterator draws a seed for workers first. With that, a shuffled order is the one that comes next.
    torch.empty((), dtype=torch.int64).random_(generator=loader.generator)
    if loader.batch_sampler is None:
        for index in loader.sampler:
            yield loader.collate_fn(loader.dataset[index])
        return
    take = getattr(loader.dataset, "__getitems__", None)
    for indices in loader.batch_sampler:
        samples = take(indices) if take is not None else [loader.dataset[index] for index in indices]
        yield loader.collate_fn(samples)


@contextmanager
def _random_state_kept(generators: list[torch.Generator | None]) -> Iterator[None]:
    """Put back every random state that reading may move: the samplers', torch's, Python's and numpy's."""
    own = {id(x): x for x in generators if isinstance(x, torch.Generator)}.values()
    states = [(x, x.get_state()) for x in own]
    of_torch, of_python = torch.random.get_rng_state(), random.getstate()
    numpy = sys.modules.get("numpy")
    of_numpy = numpy.random.get_state() if numpy is not None else None
    try:
        yield
    finally:
        for generator, state in states:
            generator.set_state(state)
        torch.random.set_rng_state(of_torch)
        random.setstate(of_python)
        if numpy is not None:
            numpy.random.set_state(of_numpy)


def _sizes(batch: Any, forward: Callable[..., Any]) -> Shapes:
    args: tuple[Any, ...] = (batch,)
    kwargs: dict[str, Any] = {}
    if isinstance(batch, Mapping):
        args, kwargs = (), dict(batch)
    elif isinstance(batch, (list, tuple)) and not _is_size(batch):
        args = tuple(batch)
    sizes = {name: size for name, size in kwargs.items() if _is_size(size)}
    kwargs = {name: value for name, value in kwargs.items() if name not in sizes}
    if args and _is_size(args[0]):
        names = call_shapes.read_positional(forward)
        sizes[names[0] if names else "argument 0"], args = args[0], args[1:]
    read = call_shapes.read_shapes(forward, args, kwargs)
    found = (*[Shape(name, tuple(map(int, size))) for name, size in sizes.items()], *read)
    if not found:
        raise LabValueError(
            f"There is no tensor and no size in a batch that is a {type(batch).__name__}. A size is a tuple for the "
            "model's first argument, or a dictionary of such.",
            python='gaudi_lab.forecast([{"input_ids": (8, 128)}], model)',
            magic='batches = [{"input_ids": (8, 128)}]',
        )
    return found


def _is_size(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(type(x) is int for x in value)
