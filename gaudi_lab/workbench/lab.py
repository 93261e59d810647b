"""The one state holder: which models are on the workbench, where the switches are, who wants to know.

Models are edited only from here. A change is made as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gaudi_lab import bridge
from gaudi_lab.errors import LabValueError
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.measure.causes import Memory
from gaudi_lab.measure.recorder import Watch
from gaudi_lab.report import Change, ModelChange, Status
from gaudi_lab.settings import Mode, Settings, check_mode_change
from gaudi_lab.workbench import wishes

if TYPE_CHECKING:
    from gaudi_lab.workbench.model import Attached

Subscriber = Callable[[Change], None]


class ChangeHandle(Handle):
    """Undoes one change; shows itself as what was changed.

    Attributes
    ----------
    change
        What was changed.
    """

    def __init__(self, undo: Callable[[], object], change: Change) -> None:
        super().__init__(undo)
        self.change = change

    def __repr__(self) -> str:
        return str(self.change)


@dataclass(frozen=True)
class Positions:
    """Where some switches were.

    Attributes
    ----------
    for_all
        For models attached later; None if it was about some models only.
    each
        For each model, by name.
    """

    for_all: Mapping[str, Any] | None
    each: Mapping[str, Mapping[str, Any]]


class Lab:
    """A workbench."""

    def __init__(self) -> None:
        self._models: dict[str, Attached] = {}
        # What each model asked for by itself before it was attached, and asks for again afterwards.
        self._brought: dict[str, Settings] = {}
        self._wish = Settings()
        self._subscribers: list[Subscriber] = []
        self._memory = Memory()

    @property
    def models(self) -> Mapping[str, Attached]:
        """The attached models by name, in the order they were attached."""
        return MappingProxyType(self._models)

    @property
    def settings(self) -> Settings:
        """The switches that a model attached next will get. Their mode is that of the process."""
        return wishes.in_this_process(self._wish)

    @property
    def mode(self) -> Mode:
        """The execution mode."""
        return self.settings.mode

    def attach(self, model: Any, name: str | None = None) -> ChangeHandle:
        """Put a model on the workbench. It gets the switches that are on for all.

        Parameters
        ----------
        model
            A torch module, transformers Trainer or diffusers pipeline, on `hpu`.
        name
            What to call it; by default after its class. What had that name before is detached.

        Returns
        -------
        ChangeHandle
            Removing it detaches the model.

        Raises
        ------
        LabError
            If it is no model or not on `hpu`.
        """
        known = self.find(model)
        if known is not None and name in (None, known.name):
            return ChangeHandle(lambda: None, self._change(self.mode))
        # Instruments need torch, and whoever has a model has imported it. Before that it stays out, because
        # importing it can load the bridge and so decide the mode.
        from gaudi_lab.instruments import components, holding
        from gaudi_lab.workbench.model import Attached

        components.require_on_hpu(name or "model", model)
        bridge.load()
        if known is not None:
            self.detach(known.name)
        attached = Attached.of(name or self._unused(type(model).__name__.lower()), model)
        held = holding.hold(attached.components.values(), attached)
        if held is not None:
            attached.wish = held
        brought = attached.wish
        attached.wish = self._for_all(attached)
        if attached.name in self._models:
            self.detach(attached.name)
        try:
            self._move({attached: attached.wish.in_mode(attached.wish.mode)})
        except BaseException:
            attached.wish = brought
            raise
        self._models[attached.name] = attached
        self._brought[attached.name] = brought
        change = self._change(self.mode, [ModelChange(attached.name, None, attached.settings)])
        self._tell(change)
        return ChangeHandle(lambda: self._detach_if_there(attached), change)

    def detach(self, name: str) -> Change:
        """Take a model off the workbench, as it was before it was attached.

        Raises
        ------
        LabValueError
            If no model has that name.
        """
        attached = self.get(name)
        change = self._change(self.mode, [ModelChange(name, attached.settings, None)])
        attached.take_off(Settings())
        attached.wish = self._brought.pop(name)
        del self._models[name]
        self._tell(change)
        return change

    def get(self, name: str) -> Attached:
        """Return the attached model called `name`.

        Raises
        ------
        LabValueError
            If no model has that name.
        """
        if name not in self._models:
            there_are = f"attached: {', '.join(self._models)}" if self._models else "none is attached"
            raise LabValueError(
                f"No attached model is called {name!r} ({there_are}).",
                python=f'gaudi_lab.attach(model, "{name}")',
                magic="%gaudi_attach model",
            )
        return self._models[name]

    def find(self, model: Any) -> Attached | None:
        """Return how `model` is attached, or None if it is not."""
        return next((a for a in self._models.values() if a.model is model), None)

    def apply(self, settings: Settings, models: Iterable[str] | None = None) -> Change:
        """Put all switches into one position.

        Parameters
        ----------
        settings
            Where to put them.
        models
            Names of models; None for all, and for those attached later.

        Returns
        -------
        Change
            What changed; false if nothing did.

        Raises
        ------
        LabError
            If it cannot be done. Nothing has changed then.
        """
        settings.check()
        return self.change(models, **settings.switches)

    def change(self, models: Iterable[str] | None = None, **switches: Any) -> Change:
        """Move some switches and leave the others where they are.

        Leaving lazy mode takes HPU graphs off; they come back with it.

        Parameters
        ----------
        models
            Names of models; None for all, and for those attached later.
        **switches
            New values of fields of `Settings`.

        Returns
        -------
        Change
            What changed; false if nothing did.

        Raises
        ------
        LabError
            If it cannot be done. Nothing has changed then.
        """
        mode = switches.get("mode", self.mode)
        check_mode_change(self.mode, mode)
        chosen = self._chosen(models)
        default = wishes.moved(wishes.as_process(self._wish), switches) if models is None else None
        plan = {attached: wishes.moved(wishes.as_process(attached.wish), switches) for attached in chosen}
        return self._carry_out(plan, mode, default)

    def remember(self, switches: Iterable[str], models: Iterable[str] | None = None) -> Positions:
        """Note where some switches are, for `put_back`.

        Parameters
        ----------
        switches
            Names of fields of `Settings`.
        models
            Names of models; None for all, and for those attached later.
        """
        names = list(switches)

        def positions(wish: Settings) -> dict[str, Any]:
            return {name: getattr(wishes.as_process(wish), name) for name in names}

        return Positions(
            for_all=positions(self._wish) if models is None else None,
            each={attached.name: positions(attached.wish) for attached in self._chosen(models)},
        )

    def put_back(self, positions: Positions) -> Change:
        """Put switches back where they were, for the models that are still attached."""
        default = (
            None if positions.for_all is None else wishes.as_process(self._wish).replace(**positions.for_all)
        )
        plan = {
            self._models[name]: wishes.as_process(self._models[name].wish).replace(**switches)
            for name, switches in positions.each.items()
            if name in self._models
        }
        planned = [*plan.values(), *([default] if default is not None else [])]
        mode = planned[-1].mode if planned else self.mode
        return self._carry_out(plan, mode, default)

    def status(self) -> Status:
        """Describe the workbench as it is now. Loads nothing."""
        return Status(
            mode=self.mode,
            bridge=bridge.identity(),
            loaded=bridge.loaded(),
            models=tuple(attached.status() for attached in self._models.values()),
            counters=bridge.counters(),
            memory=bridge.memory(),
        )

    def watch(self) -> Watch:
        """Return what a warm-up recorder should watch: the attached models and their switches."""
        attached = list(self._models.values())
        settings = dict.fromkeys(str(a.settings) for a in attached) or {str(self.settings): None}
        return Watch(
            modules={
                _label(a.name if len(attached) > 1 else "", part): module
                for a in attached
                for part, module in a.components.items()
            },
            settings="; ".join(settings),
            graphs=lambda: [count for a in attached for count in a.replays()],
            memory=self._memory,
        )

    def subscribe(self, callback: Subscriber) -> Handle:
        """Call `callback` with every change from now on, after it is made.

        Returns
        -------
        Handle
            Removing it ends the subscription.
        """
        self._subscribers.append(callback)
        return Handle(lambda: self._subscribers.remove(callback))

    def close(self) -> None:
        """Detach every model, as it was before it was attached, and forget the switches."""
        for name in list(self._models):
            self.detach(name)
        self._wish = Settings()

    def _chosen(self, models: Iterable[str] | None) -> list[Attached]:
        return [self.get(name) for name in (self._models if models is None else models)]

    def _for_all(self, attached: Attached) -> Settings:
        wish = wishes.as_process(self._wish)
        brought = attached.wish
        wish = wish.replace(hpu_graphs=wish.hpu_graphs or brought.hpu_graphs)
        if brought.fused_sdpa and not wish.fused_sdpa:
            wish = wish.replace(fused_sdpa=True, recompute=brought.recompute, softmax=brought.softmax)
        if brought.mode is Mode.COMPILE and not wish.mode.is_lazy:
            wish = wish.replace(mode=Mode.COMPILE)
        return wish if attached.has_attention else wishes.without_fused_sdpa(wish)

    def _carry_out(self, plan: dict[Attached, Settings], mode: Mode, default: Settings | None) -> Change:
        """Make wishes come true, or leave everything as it is and raise."""
        before = self.mode
        notes: list[str] = []
        if default is not None:
            notes += wishes.leave_out_without_attention(plan)
        if mode.is_lazy != before.is_lazy:
            # Lazy or not is the process's: models that were not named go along.
            for attached in self._models.values():
                plan.setdefault(attached, attached.wish.replace(mode=mode))
            notes += _how_switched()
        after = {attached: wish.in_mode(wish.mode) for attached, wish in plan.items()}
        changed = {
            attached: settings for attached, settings in after.items() if settings != attached.settings
        }
        changes = [
            ModelChange(
                attached.name,
                attached.settings,
                settings,
                graphs_wait=plan[attached].hpu_graphs and not settings.hpu_graphs,
            )
            for attached, settings in changed.items()
        ]
        self._move(changed, lazy=mode.is_lazy)
        for attached, wish in plan.items():
            attached.wish = wish
        if default is not None:
            self._wish = default
        change = self._change(before, changes, notes + wishes.remarks(changed))
        if change:
            self._tell(change)
        return change

    def _move(self, plan: Mapping[Attached, Settings], lazy: bool | None = None) -> None:
        """Install and remove instruments to reach `plan`, or put everything back and raise."""
        for attached in plan:
            attached.require_on_hpu()
        before = {attached: attached.settings for attached in plan}
        was_loaded, was_lazy = bridge.loaded(), bridge.is_lazy()
        try:
            _install(plan, lazy)
        except BaseException:
            _install(before, was_lazy if was_loaded else None)
            raise

    def _change(self, before: Mode, models: Iterable[ModelChange] = (), notes: Iterable[str] = ()) -> Change:
        return Change(before, self.mode, tuple(models), tuple(notes), bridge.identity().emulated)

    def _tell(self, change: Change) -> None:
        for subscriber in list(self._subscribers):
            subscriber(change)

    def _detach_if_there(self, attached: Attached) -> None:
        if self._models.get(attached.name) is attached:
            self.detach(attached.name)

    def _unused(self, name: str) -> str:
        names = (name, *(f"{name}_{number}" for number in range(2, len(self._models) + 3)))
        return next(candidate for candidate in names if candidate not in self._models)


def _install(plan: Mapping[Attached, Settings], lazy: bool | None) -> None:
    # All that does not exist in the new mode goes before it, all that exists only there comes after.
    for attached, settings in plan.items():
        attached.take_off(settings)
    if lazy is not None:
        bridge.set_lazy(lazy)
    for attached, settings in plan.items():
        attached.put_on(settings)


def _how_switched() -> list[str]:
    if bridge.loaded() and bridge.identity().emulated:
        return ["switched in place, where a Gaudi needs a fresh process"]
    return []


def _label(*names: str) -> str:
    return ".".join(filter(None, names))


_current = Lab()


def current() -> Lab:
    """Return the workbench of this process."""
    return _current
