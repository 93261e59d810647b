"""Why a call runs without an HPU graph, in words, and what to do about it."""

from __future__ import annotations

from gaudi_lab.instruments.guard import operators_seen
from gaudi_lab.instruments.guard.object_state import Kind, StateChange
from gaudi_lab.report import GraphRefusal

ARGUMENT_REPLACED = "argument-replaced"
ARGUMENT_STATE = "argument-state"
ARGUMENT_WRITTEN = "argument-written"
ATTRIBUTE_WRITTEN = "attribute-written"
RANDOM_IN_PYTHON = "random-in-python"
OBJECT_MOVED_ON = "object-changed-between-calls"
UNHASHABLE = "argument-unhashable"
DIFFERS = "differs"
NOT_COMPARED = "not-compared"

STATIC_CACHE = 'model.generate(..., cache_implementation="static")'
_OFF = "gaudi_lab.hpu_graphs(model, False)"

_WORDS = {
    operators_seen.READS_VALUE: (
        "the host reads a value of the device ({name}), and a replay would go on with the value of the capture",
        "keep it on the device, with torch.where instead of a branch, or read it outside of the model",
    ),
    operators_seen.RANDOM_ON_HOST: (
        "{name} draws random numbers on the host, and every replay would use those of the capture",
        'draw them on the device, with device="hpu"',
    ),
    operators_seen.ARGUMENT_ON_HOST: (
        "{name} is on the host, and every replay would use its values of the capture",
        '{name}.to("hpu") before the call',
    ),
    operators_seen.HOST_WRITTEN: (
        "{name} is a tensor on the host that the call writes, and a replay would not",
        "keep it on the device",
    ),
    RANDOM_IN_PYTHON: (
        "the call draws random numbers from {name}, and every replay would use those of the capture",
        'draw them on the device, with torch.rand(..., device="hpu")',
    ),
    ARGUMENT_WRITTEN: (
        "the call writes into its argument {name}, and a replay would write into the graph's own copy",
        "return the new tensor, or hold it in an object or a buffer",
    ),
    ARGUMENT_STATE: (
        "the call puts something into {name}, which belongs to its caller, and a replay would not",
        "return it instead",
    ),
    UNHASHABLE: (
        "the argument {name} is a {detail}, which has no hash, and graphs are found by their arguments",
        "pass its tensors in a dict or tuple",
    ),
    OBJECT_MOVED_ON: (
        "{name} holds other tensors or values than at the capture, which the graph would not see",
        "between calls, write into the tensors that are there; beam search does not",
    ),
    DIFFERS: ("a replay gave other results than a plain call: {detail}", _OFF),
    NOT_COMPARED: (
        "a replay cannot be compared with a plain call: in the {detail} that it returns no tensor was found",
        "return tensors, or a list, dict or dataclass of them",
    ),
}


def refuse(code: str, name: str = "", *, line: str = "", detail: str = "") -> GraphRefusal:
    """Return the refusal of a kind of which the reason is always the same.

    Parameters
    ----------
    code
        The kind. Of `ARGUMENT_STATE` it is the list or dict that the call changes; for objects see `of_argument`.
    name
        What it is about.
    line
        Where in the model's code; empty if that is not known.
    detail
        The class of what has no hash or holds no tensor, or what differs.
    """
    text, remedy = _WORDS[code]
    told = text.format(name=name, detail=detail) + (f", in {line}" if line else "")
    return GraphRefusal(code, told, remedy.format(name=name), name, line)


def of_argument(change: StateChange, kind: type, *, static: bool) -> GraphRefusal:
    """Return the refusal for an object among the arguments that the call changes.

    Parameters
    ----------
    change
        What it changes.
    kind
        The object's class.
    static
        Whether it is a static cache of transformers already, so that one would not help.
    """
    is_cache = kind.__module__ == "transformers.cache_utils"
    if change.kind is Kind.REPLACED or not is_cache:
        what = "puts another tensor" if change.kind is Kind.REPLACED else "writes another value"
        text = f"each call {what} into {change.name}, and a replay would not"
    else:
        text = f"each call changes {change.name} in Python, and a replay would not"
    if is_cache and not static:
        remedy = STATIC_CACHE
    elif is_cache:
        remedy = _OFF
    else:
        remedy = "write into the tensor that is there, with copy_ or index_copy_"
    code = ARGUMENT_REPLACED if change.kind is Kind.REPLACED else ARGUMENT_STATE
    return GraphRefusal(code, text, remedy, change.name)


def of_attribute(change: StateChange) -> GraphRefusal:
    """Return the refusal for something on the model itself that each call changes."""
    if change.kind is Kind.REPLACED:
        remedy = "make it a buffer, and write into the tensor that is there with copy_"
    else:
        remedy = "make it constant, or a buffer on the device that is written in place"
    return GraphRefusal(
        ATTRIBUTE_WRITTEN,
        f"each call sets {change.name} anew, and a replay would not",
        remedy,
        change.name,
    )
