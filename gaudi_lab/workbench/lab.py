"""The one state holder: every model with switches, the switches of all, who wants to know.

Models are edited only from here. A change is made as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from gaudi_lab import bridge
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.measure.causes.seen import SeenShapes
from gaudi_lab.measure.recorder import Watch
from gaudi_lab.report import Change, ModelChange, Operators, OperatorUse, Status
from gaudi_lab.settings import (
    COMPILE,
    FUSED_SDPA,
    OPERATORS,
    Mode,
    Settings,
    Switch,
)
from gaudi_lab.workbench import planning
from gaudi_lab.workbench.aside import Aside, ModelAside
from gaudi_lab.workbench.compiles import Compiles
from gaudi_lab.workbench.entries import Entries

if TYPE_CHECKING:
    from gaudi_lab.workbench.model import SwitchedModel

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


class Lab:
    """A workbench.

    A model is *attached* when the user puts it here: it is listed, and the switches of all move it.

    Attributes
    ----------
    entries
        Every model with switches, those of Trainers and pipelines too, and whose switches a module has.
    compiles
        What watches over the compiles for attached models.
    kept_off
        Models that the user has detached: they are attached by name only.
    """

    def __init__(self) -> None:
        self._models: dict[str, SwitchedModel] = {}
        # What each attached model asked for by itself before, and asks for again afterwards.
        self._own_request: dict[str, Settings] = {}
        self._requested = Settings()
        self._subscribers: list[Subscriber] = []
        self._seen = SeenShapes()
        self.entries = Entries(self._models, self.detach)
        self.compiles = Compiles()
        self.kept_off: WeakSet[Any] = WeakSet()

    @property
    def models(self) -> Mapping[str, SwitchedModel]:
        """The attached models by name, in the order they got their names."""
        return MappingProxyType(self._models)

    @property
    def settings(self) -> Settings:
        """The switches that a model attached next will get. Their mode is that of the process."""
        requested = self._requested.in_process(bridge.is_lazy())
        return requested.in_mode(requested.mode)

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
            What to call it; by default after its class. What had that name before is detached, and so is what
            has modules of this model. One that is attached is called so from now on, and keeps its switches.

        Returns
        -------
        ChangeHandle
            Removing it detaches the model, or has it called as before.

        Raises
        ------
        LabError
            If it is no model or not on `hpu`.
        """
        known = self.find(model)
        if known is not None:
            return self._rename(known, name or known.name)
        # Instruments need torch, and whoever has a model has imported it. Before that it stays out, because
        # importing it can load the bridge and so decide the mode.
        from gaudi_lab.instruments import components

        components.require_on_hpu(name or "model", model)
        bridge.load()
        lazy = bridge.is_lazy()
        attached = self.entries.entry_of(model)
        attached.name = name or self._unused(type(model).__name__.lower())
        own = attached.requested
        if (before := self.entries.take_modules(attached)) is not None:
            own = before
        # They are established by calls of a model that is attached.
        went_off = own.operators
        own = own.replace(**OPERATORS.turn(False))
        if attached.name in self._models:
            self.detach(attached.name)
        requested = planning.join(attached, own.in_process(lazy), self._requested.in_process(lazy))
        _move({attached: requested.in_mode(requested.mode)}, lazy)
        attached.requested = requested
        attached.watch_for_uncomputed()
        attached.keep_inputs()
        self._models[attached.name] = attached
        self.compiles.follow(attached)
        self._own_request[attached.name] = own
        notes = [f"operators went off: {', '.join(went_off)}"] if went_off else []
        change = self._change(
            self.mode, self.mode, [ModelChange(attached.name, None, attached.settings)], notes
        )
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
        change = self._change(self.mode, self.mode, [ModelChange(name, attached.settings, None)])
        attached.clear()
        self.compiles.unfollow(name)
        attached.requested = self._own_request.pop(name)
        del self._models[name]
        self._tell(change)
        return change

    @contextmanager
    def attached(self, model: Any, name: str) -> Iterator[str]:
        """Have a model attached meanwhile, and yield its name. What is detached for that is attached again afterwards.

        Parameters
        ----------
        model
            As for `attach`.
        name
            What to call it if it is not attached and no other is called so.
        """
        if (known := self.find(model)) is not None:
            yield known.name
            return
        entered = self.entries.entry_of(model)
        own = entered.requested
        detached = [
            self._aside_of(other)
            for other in self._models.values()
            if other.shares_modules(entered.components)
        ]
        try:
            with self.attach(model, None if name in self._models else name):
                yield next(other.name for other in self._models.values() if other.model is model)
        finally:
            for old in detached:
                self._attach_again(old)
            entered.requested = own

    def get(self, name: str) -> SwitchedModel:
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

    def find(self, model: Any) -> SwitchedModel | None:
        """Return how `model` is attached, or None if it is not."""
        return next((m for m in self._models.values() if m.model is model), None)

    def change(self, models: Iterable[str] | None = None, **switches: Any) -> ChangeHandle:
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
        ChangeHandle
            Tells what changed. Removing it moves the same switches back, and no others.

        Raises
        ------
        LabError
            If it cannot be done. Nothing has changed then.
        """
        lazy = bridge.is_lazy()
        default = self._requested.in_process(lazy)
        mode = switches.get("mode", default.mode)
        chosen = [self.get(name) for name in (self._models if models is None else models)]
        before = {attached: attached.requested.in_process(lazy) for attached in self._models.values()}
        plan = {attached: before[attached].move(switches) for attached in chosen}
        notes = []
        if models is None and switches.get(FUSED_SDPA.name):
            notes += planning.leave_out_without_attention(plan)
        if models is None and isinstance(switches.get(OPERATORS.field), Mapping):
            with self.compiles.tried_by("use_operator"):
                notes += planning.leave_out_without_places(plan, switches[OPERATORS.field])
        # Operators are of one model each: they are checked on its own inputs.
        new_default = self._requested
        if models is None:
            new_default = default.move(switches).replace(**OPERATORS.turn(False))
        change = self._carry_out(plan, mode if "mode" in switches else None, new_default, lazy, notes)

        def put_back() -> None:
            lazy = bridge.is_lazy()

            def move_back(requested: Settings, old: Settings) -> Settings:
                return requested.in_process(lazy).move_back(switches, old)

            there = [attached for attached in plan if attached in self._models.values()]
            back_to = {attached: move_back(attached.requested, before[attached]) for attached in there}
            default_now = self._requested if models is not None else move_back(self._requested, default)
            planned = [*back_to.values()] if models is not None and plan else [default]
            back = planned[0].mode if planned and "mode" in switches else None
            self._carry_out(back_to, back, default_now, lazy)

        return ChangeHandle(put_back, change)

    def switch(
        self, switch: Switch, on: bool, models: Iterable[str] | None = None, **options: Any
    ) -> ChangeHandle:
        """Turn one switch on or off, with options of it; otherwise as `change`."""
        if switch is COMPILE and not on and self.mode.is_lazy:
            return self.change(models)  # nothing is compiled in lazy mode, and off must not end it
        if on and (refusal := switch.refusal(self.mode)) is not None:
            raise refusal
        return self.change(models, **{**switch.turn(on), **options})

    def apply(self, settings: Settings, models: Iterable[str] | None = None) -> ChangeHandle:
        """Put all switches into one position; otherwise as `change`."""
        if not isinstance(settings, Settings):
            raise LabValueError(
                f"{settings!r} is not a position of all switches.",
                python='gaudi_lab.apply(gaudi_lab.Settings("lazy", hpu_graphs=True))',
            )
        settings.check()
        return self.change(models, **settings.switches)

    def operators(self, models: Iterable[str] | None = None, *, measure: bool = True) -> Operators:
        """Describe the fused operators, and what they could do for models. They run for that.

        Parameters
        ----------
        models
            Names of models; None for all.
        measure
            False lets no model run: what was not established before is not then.
        """
        bridge.load()
        chosen = [self.get(name) for name in (self._models if models is None else models)]
        with self.compiles.tried_by("operators"):
            uses = [use for attached in chosen for use in attached.operator_uses(measure=measure)]
        return Operators(tuple(uses or _uses_without_a_model()), bridge.identity())

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
        settings = dict.fromkeys(map(str, attached)) or {str(self.settings): None}
        return Watch(
            modules={
                _label(m.name if len(attached) > 1 else "", part): module
                for m in attached
                for part, module in m.components.items()
            },
            settings="; ".join(settings),
            graphs=lambda: [count for m in attached for count in m.replays()],
            seen=self._seen,
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
        self.compiles.freeze(on=False)
        for name in list(self._models):
            self.detach(name)
        self._requested = Settings()

    def set_aside(self) -> Aside:
        """Take every switch off every model, so that the models can travel; return what brings it all back.

        If that does not end well, be it by an interrupt, it is all back.
        """
        models = tuple(map(self._aside_of, self._models.values()))
        aside = Aside(self._requested, models, self.compiles.frozen)
        try:
            self.close()
            for entered in self.entries:
                entered.clear()
        except BaseException:
            self.take_up(aside)
            raise
        return aside

    def take_up(self, aside: Aside) -> Change:
        """Attach again what was set aside, here or in a fresh process, with the switches that this mode has.

        Returns
        -------
        Change
            What is otherwise than it was. A model that cannot be attached is a note, and stops no other.
        """
        before = aside.requested.mode
        self._requested = aside.requested
        changes: list[ModelChange] = []
        notes: list[str] = []
        for old in aside.models:
            try:
                attached = self._attach_again(old)
            except Exception as error:  # the user's models come along, whatever becomes of one of them
                notes.append(f"{old.name} is not attached any more: {getattr(error, 'why', error)}")
                continue
            if attached.settings.replace(mode=old.settings.mode) != old.settings:
                waits = attached.requested.hpu_graphs and not attached.settings.hpu_graphs
                changes.append(ModelChange(attached.name, old.settings, attached.settings, graphs_wait=waits))
        self.compiles.freeze(aside.frozen)
        return self._change(before, self.mode, changes, notes)

    def _aside_of(self, m: SwitchedModel) -> ModelAside:
        return ModelAside(m.name, m.model, m.settings, m.requested, self._own_request[m.name], _inputs_of(m))

    def _rename(self, attached: SwitchedModel, name: str) -> ChangeHandle:
        """Call an attached model `name`; what had that name before is detached."""
        before = attached.name
        if name == before:
            return ChangeHandle(lambda: None, self._change(self.mode, self.mode))
        if name in self._models:
            self.detach(name)
        attached.name = name
        self._models[name] = self._models.pop(before)
        self._own_request[name] = self._own_request.pop(before)
        # In this order, so that the compilers are watched all the time.
        self.compiles.follow(attached)
        self.compiles.unfollow(before)
        change = self._change(self.mode, self.mode, notes=[f"{before} is called {name} now"])
        self._tell(change)

        def put_back() -> None:
            if self._models.get(name) is attached and before not in self._models:
                self._rename(attached, before)

        return ChangeHandle(put_back, change)

    def _attach_again(self, old: ModelAside) -> SwitchedModel:
        self.attach(old.model, old.name)
        attached = self.get(old.name)
        attached.take_last_inputs(old.inputs)
        lazy = bridge.is_lazy()
        requested = old.requested.in_process(lazy)
        try:
            self._carry_out({attached: requested}, None, self._requested, lazy)
        except LabError:
            if not requested.operators:
                raise
            # They are established anew here. Where that fails, all else is put on.
            without = requested.replace(**OPERATORS.turn(False))
            self._carry_out({attached: without}, None, self._requested, lazy)
        self._own_request[old.name] = old.own
        return attached

    def _carry_out(
        self,
        plan: dict[SwitchedModel, Settings],
        mode: Mode | None,
        default: Settings,
        was_lazy: bool,
        notes: Iterable[str] = (),
    ) -> Change:
        """Do what is requested, or leave everything as it is and raise. With no `mode` that of the process stays."""
        before = self._requested.in_process(was_lazy).mode
        lazy = was_lazy if mode is None else mode.is_lazy
        notes = list(notes)
        if mode is not None and lazy != was_lazy:
            # Lazy or not is the process's: models that were not named go along.
            for attached in self._models.values():
                plan.setdefault(attached, attached.requested.to_mode(Mode.of_process(lazy)))
            if bridge.loaded() and bridge.identity().emulated:
                notes.append("switched in place, where a Gaudi needs a fresh process")
        after = {attached: requested.in_mode(requested.mode) for attached, requested in plan.items()}
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
        notes += [remark for attached, settings in changed.items() for remark in attached.remarks(settings)]
        establishes = any(settings.operators for settings in changed.values())
        with self.compiles.tried_by("use_operator") if establishes else nullcontext():
            _move(changed, was_lazy, None if mode is None else lazy)
        if was_lazy and not lazy:
            self.compiles.watch_dynamo()
        for attached, settings in changed.items():
            if settings.operators:
                notes += attached.operator_outcomes()
        for attached, requested in plan.items():
            attached.requested = requested
        self._requested = default
        now = default.in_process(lazy).mode
        change = self._change(before, now, changes, notes)
        if changes or notes or now is not before:
            self._tell(change)
        return change

    def _change(
        self, before: Mode, after: Mode, models: Iterable[ModelChange] = (), notes: Iterable[str] = ()
    ) -> Change:
        return Change(before, after, tuple(models), tuple(notes), bridge.identity().emulated)

    def _tell(self, change: Change) -> None:
        for subscriber in list(self._subscribers):
            subscriber(change)

    def _detach_if_there(self, attached: SwitchedModel) -> None:
        if self._models.get(attached.name) is attached:
            self.detach(attached.name)

    def _unused(self, name: str) -> str:
        names = (name, *(f"{name}_{number}" for number in range(2, len(self._models) + 3)))
        return next(candidate for candidate in names if candidate not in self._models)


def _move(plan: Mapping[SwitchedModel, Settings], was_lazy: bool, lazy: bool | None = None) -> None:
    """Install and remove instruments to reach `plan`, or put everything back and raise.

    Parameters
    ----------
    plan
        The switches of each model that is to have others.
    was_lazy, lazy
        The mode of the process before and after; with None it stays, and no bridge is loaded for it.
    """
    for attached, settings in plan.items():
        attached.require(settings)
    before = {attached: attached.settings for attached in plan}
    was_loaded = bridge.loaded()
    try:
        _install(plan, lazy)
    except BaseException:
        _install(before, was_lazy if was_loaded else None)
        raise


def _install(plan: Mapping[SwitchedModel, Settings], lazy: bool | None) -> None:
    # All that does not exist in the new mode goes before it, all that exists only there comes after.
    for attached, settings in plan.items():
        attached.take_off(settings)
    if lazy is not None:
        bridge.set_lazy(lazy)
    for attached, settings in plan.items():
        attached.put_on(settings)


def _inputs_of(attached: SwitchedModel) -> Mapping[str, Any]:
    """Return what a model's operators need to be established elsewhere; nothing where none is asked for."""
    return attached.last_inputs if attached.requested.operators else {}


def _uses_without_a_model() -> list[OperatorUse]:
    """Return what operators there are, where there is no model to use them in."""
    from gaudi_lab.instruments.fused_operators import catalogue

    own = [OperatorUse(FUSED_SDPA.name, FUSED_SDPA.label, FUSED_SDPA.meaning)]
    found = catalogue.list_operators()
    return own + [OperatorUse(x.name, x.label, x.meaning, missing=x.why_missing()) for x in found]


def _label(*names: str) -> str:
    return ".".join(filter(None, names))


_current = Lab()


def current() -> Lab:
    """Return the workbench of this process."""
    return _current
