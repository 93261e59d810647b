"""Widgets travel with what they are bound to, and answer to the id under which the front end shows them.

A widget is made without its constructor: the front end has it already, so that nothing is sent and no observer runs.
Where there is no kernel, as in the process that checks a snapshot, its connection leads nowhere.
"""

from __future__ import annotations

import copy
import sys
import weakref
from collections.abc import Callable
from typing import Any

from gaudi_lab.handover.kernel import kernel_versions
from gaudi_lab.handover.objects import carrier

_MADE_ANEW = (
    "_trait_values",
    "_trait_notifiers",
    "_trait_validators",
    "_cross_validation_lock",
    "notify_change",
)


def on_screen() -> dict[str, Any]:
    """Return every live widget, by a name that says which it is; the front end may show any of them."""
    module = sys.modules.get("ipywidgets.widgets.widget")
    if module is None:
        return {}
    return {f"{type(x).__name__} {model_id[:8]}": x for model_id, x in dict(module._instances).items()}  # noqa: SLF001


def reducer_for(kind: type) -> Callable[[Any, Any], Any] | None:
    """Return how widgets travel; a class of widgets that says itself how to is left alone."""
    widget = getattr(sys.modules.get("ipywidgets.widgets.widget"), "Widget", None)
    if widget is not None and issubclass(kind, widget):
        return (
            _reduce
            if "__reduce__" not in {name for each in kind.__mro__[:-1] for name in vars(each)}
            else None
        )
    if kind in weakref.ProxyTypes:
        return _reduce_proxy
    stream = getattr(sys.modules.get("tqdm.utils"), "ObjectWrapper", None)
    return _reduce_wrapper if stream is not None and issubclass(kind, stream) else None


def _reduce(widget: Any, _: Any) -> tuple[Any, ...]:
    from traitlets import EventHandler

    kind, added = _class_and_added_traits(type(widget))
    values = dict(widget._trait_values)  # noqa: SLF001
    values.pop("comm", None)
    observers = {
        (trait, event): [x for x in called if not isinstance(x, EventHandler)]
        for trait, events in widget._trait_notifiers.items()  # noqa: SLF001
        for event, called in events.items()
    }
    state = {
        "values": values,
        "attributes": {name: value for name, value in vars(widget).items() if name not in _MADE_ANEW},
        "observers": {key: called for key, called in observers.items() if called},
        "model_id": widget.comm.comm_id if widget.comm is not None else None,
        "route": kernel_versions.route_of(widget.comm),
    }
    return revive, (kind, added), state, None, None, bring_to_life


def _class_and_added_traits(kind: type) -> tuple[type, dict[str, Any]]:
    """Return the class that a module has, and the traits that were added to this instance of it.

    `HasTraits.add_traits` makes a class of its own for the instance, with the name of the one above it.
    """
    added: dict[str, Any] = {}
    while (
        len(kind.__bases__) == 1
        and kind.__qualname__ == kind.__bases__[0].__qualname__
        and _is_only_traits(kind)
    ):
        added = {name: _loose(trait) for name, trait in _traits_of(kind).items()} | added
        kind = kind.__bases__[0]
    return kind, added


def _traits_of(kind: type) -> dict[str, Any]:
    from traitlets import TraitType

    return {name: trait for name, trait in vars(kind).items() if isinstance(trait, TraitType)}


def _is_only_traits(kind: type) -> bool:
    return kind.__module__ == kind.__bases__[0].__module__ and bool(_traits_of(kind))


def _loose(trait: Any) -> Any:
    """Return a trait that belongs to no class yet."""
    loose = copy.copy(trait)
    loose.this_class = loose.name = None
    return loose


def revive(kind: Any, added: dict[str, Any]) -> Any:
    """Return a widget that knows nothing yet."""
    widget = kind.__new__(kind)
    if added:
        widget.add_traits(**added)
    return widget


def bring_to_life(widget: Any, state: dict[str, Any]) -> None:
    """Give a revived widget its values and observers, and connect it to what the front end shows."""
    from traitlets import HasTraits

    fresh = dict.fromkeys(("_trait_notifiers", "_trait_validators"))
    attributes = state["attributes"] | {name: {} for name in fresh} | {"_cross_validation_lock": False}
    HasTraits.__setstate__(widget, attributes | {"_trait_values": dict(state["values"])})
    if state["model_id"] is not None:
        widget.comm = connect(state["model_id"], state["route"])
    for (trait, event), called in state["observers"].items():
        widget._trait_notifiers.setdefault(trait, {}).setdefault(event, []).extend(called)  # noqa: SLF001


def connect(model_id: str, route: dict[str, str | None]) -> Any:
    """Return the connection to a widget that the front end has already; where there is no kernel it leads nowhere."""
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython.get_ipython(), "kernel", None) if ipython is not None else None
    import comm

    channel = comm.create_comm(comm_id=model_id, target_name="jupyter.widget", primary=False)
    if kernel is not None:
        channel.kernel = kernel  # otherwise set when first used, and until then ipywidgets sends nothing
    comm.get_comm_manager().register_comm(channel)
    kernel_versions.set_route(channel, route)
    return channel


def _reduce_proxy(proxy: Any, _: Any) -> tuple[Any, ...]:
    # By a method that the object has and the proxy hands on: a progress bar's box knows its bar in this way.
    try:
        return weakref.proxy, (proxy.__repr__.__self__,)
    except ReferenceError:  # the bar is gone, and its box is still on screen
        return make_dead_proxy, ()


def make_dead_proxy() -> Any:
    """Return a proxy of something that is gone."""
    return weakref.proxy(weakref.WeakSet())  # of a set that nobody holds


def _reduce_wrapper(wrapper: Any, _: Any) -> tuple[Any, ...]:
    return make_wrapper, (type(wrapper),), dict(vars(wrapper)), None, None, set_wrapper


def make_wrapper(kind: type) -> Any:
    """Return a wrapper of tqdm's around a stream, which asks the stream for every attribute, so that it needs one."""
    wrapper: Any = object.__new__(kind)
    set_wrapper(wrapper, {"_wrapped": None})
    return wrapper


def set_wrapper(wrapper: Any, state: dict[str, Any]) -> None:
    """Give a wrapper what it wraps."""
    for name, value in state.items():
        object.__setattr__(wrapper, name, value)


carrier.register(
    reducer_for
)  # also in the process that checks a snapshot, which has this module for its widgets
