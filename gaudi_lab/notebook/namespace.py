"""Which models, Trainers and pipelines the notebook has, and what to do when their names change hands."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gaudi_lab import api
from gaudi_lab.errors import LabValueError
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.workbench import lab
from gaudi_lab.workbench.lab import ChangeHandle

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def models(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Find models by name: torch modules, transformers Trainers, diffusers pipelines.

    A module that is part of another one found (`encoder = model.encoder`) is left out: what is done to the
    whole is done to it. So is a second name for the same model.

    Parameters
    ----------
    namespace
        Names and values, such as the notebook's globals. Names that begin with an underscore are not looked
        at: IPython keeps past outputs under such.
    """
    if "torch" not in sys.modules:
        return {}
    found: dict[str, Any] = {}
    for name, value in namespace.items():
        known = any(value is one for one in found.values())
        if not name.startswith("_") and not known and is_model(value):
            found[name] = value
    inner = {id(part) for value in found.values() for part in _parts(value)}
    return {name: value for name, value in found.items() if id(value) not in inner}


def is_model(value: Any) -> bool:
    """Whether `value` is a torch module, Trainer or pipeline."""
    if "torch" not in sys.modules:
        return False
    from gaudi_lab.instruments import components

    whole = isinstance(value, sys.modules["torch"].nn.Module)
    return whole or components.is_trainer(value) or components.is_pipeline(value)


def resolve(name: str, namespace: Mapping[str, Any]) -> Any:
    """Return the notebook's model called `name`.

    Raises
    ------
    LabValueError
        If there is no such name, with the models there are; or if it is not a model.
    """
    if name in namespace:
        return namespace[name]
    candidates = models(namespace)
    there_are = (
        f"This notebook has {', '.join(candidates)}." if candidates else "This notebook has no model yet."
    )
    first = next(iter(candidates), None)
    raise LabValueError(
        f"There is no model called {name}. {there_are}", magic=f"%gaudi_attach {first}" if first else None
    )


def loaders(namespace: Mapping[str, Any]) -> list[str]:
    """Return the names of the notebook's DataLoaders."""
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    loader = torch.utils.data.DataLoader
    return [name for name, x in namespace.items() if not name.startswith("_") and isinstance(x, loader)]


def batches(name: str, namespace: Mapping[str, Any]) -> Any:
    """Return the notebook's batches called `name`.

    Raises
    ------
    LabValueError
        If there is no such name, with the DataLoaders there are.
    """
    if name in namespace:
        return namespace[name]
    there_are = ", ".join(loaders(namespace))
    raise LabValueError(
        f"There are no batches called {name}. "
        + (f"This notebook has {there_are}." if there_are else "This notebook has no DataLoader yet."),
        magic=f"%gaudi_forecast {there_are.partition(',')[0] or 'loader'} model",
    )


def attach(name: str, namespace: Mapping[str, Any]) -> ChangeHandle:
    """Attach the notebook's model called `name`."""
    handle = api.attach(resolve(name, namespace), name)
    _note_names(namespace)
    return handle


def attached_name(name: str, namespace: Mapping[str, Any]) -> str:
    """Return what the notebook's model called `name` is called on the workbench, attaching it if it is not there yet.

    One that is attached under another of its names in the notebook keeps that, or it would go with this one.
    """
    workbench = lab.current()
    if name in workbench.models:
        return name
    known = workbench.find(resolve(name, namespace))
    if known is not None and namespace.get(known.name) is known.model:
        return known.name
    attach(name, namespace)
    return name


def attach_all(namespace: Mapping[str, Any]) -> None:
    """Attach the notebook's models that are on `hpu`, not attached yet and not detached by the user."""
    found = models(namespace)
    if not found:
        return
    from gaudi_lab.instruments import components

    workbench = lab.current()
    for name, model in found.items():
        if model not in workbench.kept_off and components.device_type(model) == "hpu" and not _covered(model):
            workbench.attach(model, name)
    _note_names(namespace)


def follow(shell: InteractiveShell) -> Handle:
    """Detach a model after the cell that deletes its name or gives it to something else.

    The workbench would otherwise keep a deleted model alive, and its memory with it.
    """

    def after_cell(*_: Any) -> None:
        let_go(shell)

    def undo() -> None:
        shell.events.unregister("post_run_cell", after_cell)
        _named_here.pop(id(shell.user_ns), None)
        lab.current().close()

    shell.events.register("post_run_cell", after_cell)
    return Handle(undo)


def let_go(shell: InteractiveShell) -> None:
    """Detach the models whose names the notebook has deleted or given to something else, and note what has one."""
    workbench = lab.current()
    seen = _named_here.get(id(shell.user_ns), {})
    for name, attached in list(workbench.models.items()):
        was_here = seen.get(name) == id(attached.model)
        if was_here and shell.user_ns.get(name) is not attached.model:
            workbench.detach(name)
    _named_here[id(shell.user_ns)] = {}
    _note_names(shell.user_ns)


def _note_names(namespace: Mapping[str, Any]) -> None:
    """Note what has a name of the notebook, at once: the cell that attaches it may also delete it."""
    _named_here.setdefault(id(namespace), {}).update(
        (name, id(attached.model))
        for name, attached in lab.current().models.items()
        if namespace.get(name) is attached.model
    )


# Which attached models were seen under a name of the notebook, by its namespace. Others were attached from Python
# under a name of their own, and have nothing to do with what the notebook calls its variables.
_named_here: dict[int, dict[str, int]] = {}


def _covered(model: Any) -> bool:
    """Whether every module of `model` is attached already, under whatever name."""
    from gaudi_lab.instruments import components

    attached = {id(m) for a in lab.current().models.values() for m in a.components.values()}
    return all(id(module) in attached for module in components.of(model).values())


def _parts(value: Any) -> Iterator[Any]:
    """Yield the modules inside a model, and the whole model of a Trainer is not one of them."""
    from gaudi_lab.instruments import components

    if components.is_pipeline(value):
        yield from (part for part in value.components.values())
        return
    if components.is_trainer(value):
        return
    inside = value.modules()
    next(inside)
    yield from inside
