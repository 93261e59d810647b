"""Who switches which modules: every model with switches, attached by the user or entered by a Trainer or pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from gaudi_lab import bridge
from gaudi_lab.errors import LabError
from gaudi_lab.settings import HPU_GRAPHS, Settings, Switch
from gaudi_lab.workbench.compiles import follow_calls

if TYPE_CHECKING:
    from torch import nn

    from gaudi_lab.workbench.model import ModelOptions, SwitchedModel


class Entries:
    """Every model with switches, in the order in which they took their modules. Not kept alive from here.

    A module has the switches of one model at a time. Trainers and pipelines *enter* theirs here, unlisted, and have
    their own switches put on while they work; where an attached model has the same modules, its switches hold.

    Parameters
    ----------
    attached
        The attached models by name, as they are at any time.
    detach
        Takes the one of a name off the workbench.
    """

    def __init__(self, attached: Mapping[str, SwitchedModel], detach: Callable[[str], object]) -> None:
        self._attached = attached
        self._detach = detach
        self._entered: WeakKeyDictionary[SwitchedModel, None] = WeakKeyDictionary()

    def __iter__(self) -> Iterator[SwitchedModel]:
        """Go through them in the order in which they took their modules."""
        return iter(list(self._entered))

    def enter(
        self,
        model: Any,
        requested: Settings | None = None,
        options: ModelOptions | None = None,
    ) -> SwitchedModel:
        """Take note of a model with switches of its own, unlisted. Nothing is put on it yet.

        An attached model that it has modules of is detached: what was asked for last holds.

        Parameters
        ----------
        model
            A Trainer or pipeline on the device, which keeps what is returned.
        requested, options
            What it asks for by itself.
        """
        from gaudi_lab.workbench.model import SwitchedModel

        entered = SwitchedModel(type(model).__name__, model, requested, options)
        self.take_modules(entered)
        return entered

    def owner(self, entered: SwitchedModel) -> SwitchedModel:
        """Return whose switches hold for an entered model: an attached one's that has its modules, or its own."""
        owners = (m for m in self._attached.values() if m is entered or m.shares_modules(entered.components))
        return next(owners, entered)

    @contextmanager
    def on(self, entered: SwitchedModel, *, training: bool = False) -> Iterator[SwitchedModel]:
        """Have the switches of an entered model on meanwhile, and leave them on. Yields whose switches hold.

        If it does not end well, what was captured or compiled by halves goes.

        Parameters
        ----------
        entered
            From `enter`; or a model that is attached, whose switches then hold.
        training
            HPU graphs go off: they hold the inference forward.

        Raises
        ------
        LabError
            For training while the workbench has HPU graphs on for this model.
        """
        owner = self.owner(entered)
        try:
            if owner is entered:
                self._put_on(entered, graphs=not training or self._is_attached(entered))
            if training and owner.settings.hpu_graphs:
                raise LabError(
                    "HPU graphs are for inference, and they are on for this model.",
                    python=f'gaudi_lab.hpu_graphs("{owner.name}", False)',
                    magic=f"%{HPU_GRAPHS.magic} off",
                )
            follows = not training and not self._is_attached(owner)
            with follow_calls(owner) if follows else nullcontext():
                yield owner
        except BaseException:
            if self._is_attached(owner):
                owner.recapture()
            else:
                owner.clear()
            raise

    @contextmanager
    def on_the_host(self, model: Any, options: ModelOptions) -> Iterator[None]:
        """Have nothing on a Trainer on the CPU meanwhile but its own `options`, whoever switched its model."""
        from gaudi_lab.workbench.model import SwitchedModel

        there = SwitchedModel(type(model).__name__, model, options=options)
        self.free(there.components)
        there.put_on(Settings())
        try:
            yield
        finally:
            there.clear()

    def request(self, entered: SwitchedModel, switch: Switch, on: bool) -> None:
        """Note that a Trainer or pipeline asks for a switch by itself, from its next run on.

        Raises
        ------
        LabError
            If it cannot be on. Nothing has changed then.
        """
        entered.requested = entered.requested.in_process(bridge.is_lazy()).move(switch.turn(on))

    def take_off(self, entered: SwitchedModel) -> None:
        """Put the modules of an entered model back as they were, unless it is attached."""
        if not self._is_attached(entered):
            entered.clear()

    def free(self, modules: Mapping[str, nn.Module]) -> None:
        """Take everything off `modules`, whoever asked for it: they leave the device."""
        for entered in [entered for entered in self._entered if entered.shares_modules(modules)]:
            entered.clear()
            if not self._is_attached(entered):
                del self._entered[entered]

    def adopt(self, entered: SwitchedModel) -> None:
        """Know a Trainer or pipeline that came along from another process, as `enter` knows one made here."""
        self._entered.setdefault(entered, None)

    def edited(self) -> dict[str, Any]:
        """Return all that has switches on, whole models and their modules, by some name."""
        found: dict[str, Any] = {}
        for number, entered in enumerate(self._entered):
            found[f"entry {number}"], found[f"model {number}"] = entered, entered.model
            for part, module in entered.components.items():
                found |= {f"model {number}: {part}.{path}": inner for path, inner in module.named_modules()}
        return found

    def entry_of(self, model: Any) -> SwitchedModel:
        """Return what `model` is known by, or what it will be known by once it takes its modules."""
        from gaudi_lab.workbench.model import SwitchedModel

        entered = next((entered for entered in self._entered if entered.model is model), None)
        return entered or SwitchedModel("", model)

    def take_modules(self, entered: SwitchedModel) -> Settings | None:
        """Make `entered` the one who switches its modules, and return what the one before asked for there."""
        others = [other for other in self._entered if other is not entered]
        before = None
        for other in others:
            if other.shares_modules(entered.components):
                before = other.requested
                if self._is_attached(other):
                    self._detach(other.name)
                other.clear()
        self._entered.pop(entered, None)
        self._entered[entered] = None  # the last one now
        return before

    def _is_attached(self, entered: SwitchedModel) -> bool:
        return entered in self._attached.values()

    def _put_on(self, entered: SwitchedModel, *, graphs: bool) -> None:
        from gaudi_lab.instruments import components

        entered.use_components(components.of(entered.model))
        self.take_modules(entered)
        requested = entered.requested.in_process(bridge.is_lazy())
        settings = requested.in_mode(requested.mode)
        settings = settings if graphs else settings.replace(**HPU_GRAPHS.turn(False))
        entered.take_off(settings)
        entered.put_on(settings)
