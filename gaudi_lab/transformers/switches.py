"""A trainer's own switches, which the workbench takes over when the trainer is attached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from gaudi_lab import bridge
from gaudi_lab.errors import LabError
from gaudi_lab.instruments import attention, holding
from gaudi_lab.instruments.compiling import compile_in_place
from gaudi_lab.instruments.graphs import GraphHandle, hpu_graphs
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.settings import Settings
from gaudi_lab.transformers.wanted import Wanted
from gaudi_lab.workbench import lab, wishes
from gaudi_lab.workbench.model import Attached


class _Options(Attached):
    """A trainer as the workbench holds it, with the options that only its arguments have."""

    def __init__(self, trainer: Any, wanted: Wanted) -> None:
        super().__init__("trainer", trainer)
        self.wish = wanted.settings
        self.regions: nn.Module | None = None
        self._wanted = wanted

    def _capture(self, component: str, module: nn.Module) -> Handle:
        handle: GraphHandle = hpu_graphs(module, **self._wanted.graph_options)
        self._graphs[component] = handle
        return handle

    def _install(self, name: str, value: Any) -> Handle:
        if name != "compiling":
            return super()._install(name, value)
        model, options = self.model.model, self._wanted.compile_options
        if not self._wanted.regional:
            return compile_in_place(model, **options)
        from accelerate.utils import compile_regions

        # A second form of the model that shares its parts: the model itself is not changed.
        self.regions = compile_regions(model, backend=bridge.COMPILE_BACKEND, **options)
        return Handle(self._forget_regions)

    def _forget_regions(self) -> None:
        self.regions = None


class Switches:
    """The switches of one trainer on its model.

    What is put on stays on from one evaluation to the next, so that nothing is captured or compiled twice.
    While the trainer or its model is on the workbench, the workbench has the say.

    Parameters
    ----------
    trainer
        With its model, which is on the device.
    wanted
        What the arguments ask for.
    """

    def __init__(self, trainer: Any, wanted: Wanted) -> None:
        self._wanted = wanted
        self._attached = _Options(trainer, wanted)
        self._attention: Handle | None = None
        # What was asked for last holds: magics put every model of a notebook on the workbench.
        bench = self._on_workbench()
        if bench is not None:
            lab.current().detach(bench.name)
        holding.hold(self._attached.components.values(), self)

    def __str__(self) -> str:
        bench = self._on_workbench()
        if bench is not None and bench is not self._attached:
            return str(bench.settings)
        return self._wanted.told(self._attached.settings)

    @property
    def attached(self) -> Attached:
        """What is installed in the model; the workbench moves this very object."""
        return self._attached

    def put_on(self, *, training: bool = False) -> None:
        """Make what is on the model fit what is wanted and the mode that the process is in now.

        Parameters
        ----------
        training
            HPU graphs go off: they hold the inference forward.

        Raises
        ------
        LabError
            For training while the workbench has HPU graphs on for this model.
        """
        bench = self._on_workbench()
        if bench is not None:
            if training and bench.settings.hpu_graphs:
                raise LabError(
                    "HPU graphs are for inference, and they are on for this model.",
                    python=f'gaudi_lab.hpu_graphs("{bench.name}", False)',
                    magic="%gaudi_graphs off",
                )
            return
        holding.hold(self._attached.components.values(), self)
        settings = wishes.in_this_process(self._attached.wish)
        if training:
            settings = settings.replace(hpu_graphs=False)
        if self._attention is None and self._wanted.attention is not None:
            self._attention = attention.named(self._attached.model.model, self._wanted.attention)
        self._attached.take_off(settings)
        self._attached.put_on(settings)

    def take_off(self) -> None:
        """Put the model back as it was, unless the workbench has it."""
        if self._on_workbench() is self._attached:
            return
        self._attached.take_off(Settings())
        self._attached.settings = wishes.as_process(Settings())
        handle, self._attention = self._attention, None
        if handle is not None:
            handle.remove()

    def let_go(self) -> Settings:
        """Take everything off, for someone else who switches this model, and return what was wanted."""
        self.take_off()
        return self._attached.wish

    def drop_graphs(self) -> None:
        """Drop captured graphs: one that was interrupted in the making is not worth keeping."""
        bench = self._on_workbench()
        if bench is not None and bench.settings.hpu_graphs:
            settings = bench.settings
            bench.take_off(settings.replace(hpu_graphs=False))
            bench.put_on(settings)

    def replays(self) -> list[int]:
        """Return for each captured HPU graph how often it was replayed."""
        return (self._on_workbench() or self._attached).replays()

    def in_use(self, model: nn.Module) -> nn.Module:
        """Return what to call instead of `model`: its form with compiled regions, if there is one."""
        regions = self._attached.regions
        if regions is None or model is not self._attached.model.model:
            return model
        if regions.training != model.training:
            regions.train(model.training)
        return regions

    @contextmanager
    def on(self, *, training: bool = False) -> Iterator[None]:
        """Have the switches on meanwhile. If it does not end well, the model is left as it was."""
        try:
            self.put_on(training=training)
            yield
        except BaseException:
            # Whatever was captured or compiled by halves goes.
            self.drop_graphs()
            self.take_off()
            raise

    def _on_workbench(self) -> Attached | None:
        modules = self._attached.components.values()
        for attached in lab.current().models.values():
            if any(module is ours for module in attached.components.values() for ours in modules):
                return attached
        return None


class NoSwitches:
    """The same for a trainer on the CPU, which has nothing to switch, but takes off what others have on.

    Parameters
    ----------
    trainer
        With its model.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def __str__(self) -> str:
        return "CPU"

    @contextmanager
    def on(self, *, training: bool = False) -> Iterator[None]:  # noqa: ARG002 - one interface for both
        """Have nothing on the model meanwhile."""
        holding.hold([self._trainer.model], self)
        yield

    def take_off(self) -> None:
        """Do nothing."""

    def let_go(self) -> Settings:
        """Return the plain settings."""
        return wishes.as_process(Settings())

    def replays(self) -> list[int]:
        """Return nothing: there are no HPU graphs."""
        return []

    def in_use(self, model: nn.Module) -> nn.Module:
        """Return `model`."""
        return model
