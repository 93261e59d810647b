"""A task of Ray for each candidate and turn, on whatever machine of a cluster has a free HPU.

What a worker runs is in this module too, and imports torch only once the environment is that of its candidate.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gaudi_lab.comparison.bounds import Bounds
from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.limits import Limits
from gaudi_lab.comparison.plan import Procedure
from gaudi_lab.comparison.records import Journal, Record
from gaudi_lab.comparison.row import RAY
from gaudi_lab.errors import LabError

if TYPE_CHECKING:
    from gaudi_lab.comparison.methods.packing import Packed

HPU = "HPU"
"""What Ray calls the device among the resources of a node."""

_LOOKING = 1.0
"""Seconds between two looks at whether the time is over."""

_GRACE = 30.0
"""Seconds beyond its limit after which a worker that cannot be stopped between two steps of Python ends itself."""


@dataclass(frozen=True)
class Cluster:
    """The machines that turns run on.

    Attributes
    ----------
    devices
        How many HPUs they have.
    where
        Which cluster it is, in words.
    """

    devices: int
    where: str


@contextlib.contextmanager
def cluster(devices: int) -> Iterator[Cluster]:
    """Be connected to a cluster, and yield which one that is.

    One that the program is connected to, one that `RAY_ADDRESS` names or that runs on this machine; else one of this
    machine alone, which is taken down in the end.

    Parameters
    ----------
    devices
        How many HPUs this machine has.

    Raises
    ------
    LabError
        Ray is not installed, or no node of the cluster has an HPU.
    """
    try:
        import ray
    except ImportError as error:
        raise LabError(
            "Comparing on several machines needs Ray.",
            python="pip install gaudi-lab[ray]",
            magic="%pip install gaudi-lab[ray]",
        ) from error
    own, alone = not ray.is_initialized(), False
    if own:
        quietly = {"log_to_driver": False, "logging_level": "error"}
        try:
            ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), **quietly)
        except ConnectionError:
            if "RAY_ADDRESS" in os.environ:
                raise LabError(
                    f"There is no cluster of Ray at RAY_ADDRESS={os.environ['RAY_ADDRESS']}.",
                    python='import ray; ray.init("HOST:6379")',
                ) from None
            alone = True
            ray.init(address="local", resources={HPU: devices}, include_dashboard=False, **quietly)
    try:
        found = int(ray.cluster_resources().get(HPU, 0))
        if not found:
            raise LabError(
                "No node of the cluster has an HPU that Ray knows of.",
                python="ray start --address=HOST:6379 --resources='{\"HPU\": 8}'  # on a node, in a terminal",
            )
        yield Cluster(found, _where(ray, own_alone=alone))
    finally:
        if own:
            ray.shutdown()


def _where(ray: Any, *, own_alone: bool) -> str:
    if own_alone:
        return "Ray on this machine alone"
    return f"the cluster of Ray at {ray.get_runtime_context().gcs_address}"


def compare_on_ray(
    packed: Packed,
    candidates: Sequence[Candidate],
    plan: Procedure,
    journal: Journal,
    environments: Sequence[dict[str, str | None]],
    slots: int,
    bounds: Bounds | None = None,
) -> None:
    """Try candidates in workers of their own, and write down what comes of it.

    The first that runs is waited for: with its outputs those of the others are compared. A worker that is lost costs
    its turn one more try; then its candidate is out.

    Parameters
    ----------
    packed
        What runs.
    candidates
        Those to try so.
    plan, journal
        How, and where to.
    environments
        The variables of each candidate; None takes one away.
    slots
        How many turns may run at once.
    bounds
        What it may take: time, and no disk, which others have.

    Raises
    ------
    Stopped
        A limit is reached. The turns that run are cancelled.
    """
    by_name = dict(zip(map(str, candidates), environments, strict=True))
    tasks = _Tasks(packed, by_name, plan, bounds or Bounds(Limits(plan.limit)))
    try:
        for candidate in candidates:
            if tasks.reference is None and not journal.has(candidate, "error"):
                # Measured already, if this goes on with an earlier comparison: run once more for its outputs.
                again = journal.has(candidate, "timed", turn=0)
                tasks.start(candidate, 0, Journal() if again else journal)
                tasks.finish(0)
        waiting = deque(
            (candidate, number)
            for number in range(plan.rounds)
            for candidate in (
                *candidates[number % len(candidates) :],
                *candidates[: number % len(candidates)],
            )
        )
        while waiting:
            candidate, number = waiting.popleft()
            if not journal.out(candidate) and not journal.has(candidate, "timed", turn=number):
                tasks.finish(slots - 1)
                tasks.start(candidate, number, journal)
        tasks.finish(0)
    finally:
        tasks.cancel()


class _Tasks:
    """The turns that run now."""

    def __init__(
        self,
        packed: Packed,
        environments: dict[str, dict[str, str | None]],
        plan: Procedure,
        bounds: Bounds,
    ) -> None:
        import ray

        self.reference: Any = None
        self._ray = ray
        # As bytes: to read it imports torch, and with it the bridge, before the worker has its environment.
        self._packed = ray.put(pickle.dumps(packed))
        self._environments = environments
        self._plan = plan
        self._bounds = bounds
        self._running: dict[Any, tuple[Candidate, int, Journal, bool]] = {}
        # A worker ends with its task, so that each turn has a process of its own.
        self._task = ray.remote(num_cpus=0, resources={HPU: 1}, max_calls=1, max_retries=0)(run_turn)

    def start(self, candidate: Candidate, number: int, journal: Journal, *, again: bool = False) -> None:
        journal.begin(candidate)
        asked = pickle.dumps((candidate, number, self._plan))
        task = self._task.remote(self._packed, asked, self._environments[str(candidate)], self.reference)
        self._running[task] = (candidate, number, journal, again)

    def finish(self, most: int) -> None:
        """Wait until no more than so many run."""
        while len(self._running) > most:
            self._bounds.check()
            ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_LOOKING)
            for task in ended:
                self._take(task)

    def cancel(self) -> None:
        for task in self._running:
            self._ray.cancel(task, force=True)

    def _take(self, task: Any) -> None:
        candidate, number, journal, again = self._running.pop(task)
        try:
            records, outputs = self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            _fail(journal, candidate, f"{type(error.cause).__name__}: {error.cause}")
        except self._ray.exceptions.RayError as error:
            if again:
                _fail(journal, candidate, f"its worker was lost twice: {type(error).__name__}")
            else:
                self.start(candidate, number, journal, again=True)
        else:
            for record in records:
                journal.put(record)
            if self.reference is None and outputs is not None:
                self.reference = self._ray.put(outputs)


def run_turn(
    packed: bytes, asked: bytes, environment: dict[str, str | None], reference: bytes | None
) -> tuple[list[Record], bytes | None]:
    """Try one candidate once, in a worker; return the records and what came out, as `torch.save` writes it."""
    for name, value in environment.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    import io

    import torch

    from gaudi_lab import bridge
    from gaudi_lab.comparison.measuring import limited
    from gaudi_lab.comparison.methods.attempt import attempt
    from gaudi_lab.comparison.methods.packing import unpack

    bridge.load()
    candidate, number, plan = pickle.loads(asked)
    journal = Journal()
    if plan.limit is not None:
        end = threading.Timer(plan.limit + _GRACE, os._exit, (1,))
        end.daemon = True
        end.start()

    def first() -> Any:
        return None if reference is None else torch.load(io.BytesIO(reference), weights_only=False)

    with limited(plan.limit):
        outputs = attempt(lambda: unpack(pickle.loads(packed)), candidate, number, plan, journal, RAY, first)
    if outputs is None:
        return journal.records, None
    file = io.BytesIO()
    torch.save(outputs, file)
    return journal.records, file.getvalue()


def _fail(journal: Journal, candidate: Candidate, why: str) -> None:
    journal.add("error", candidate=str(candidate), method=RAY, error=why.splitlines()[0])
