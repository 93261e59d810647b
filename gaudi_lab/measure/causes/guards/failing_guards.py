"""Asks every guard of the graphs that there are: PyTorch itself tells the first that fails.

The tree of guards is walked, and each leaf of it asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from gaudi_lab.measure.causes.cause import Difference
from gaudi_lab.measure.causes.guards import guard_words
from gaudi_lab.measure.causes.guards.tracing import SourceLine


def differences(entries: Sequence[Any], frame: Any) -> tuple[tuple[Difference, ...], SourceLine | None]:
    """Return in what a call differs from the closest graph there is, and the line that the first of it matters for.

    Parameters
    ----------
    entries
        What Dynamo keeps for the function, the newest first.
    frame
        The call.
    """
    try:
        found = [list(_failing(entry.guard_manager, frame)) for entry in entries]
    except Exception:
        found = []
    if not found:
        return (), None
    closest = min(found, key=_distance)  # of several the first, which is the newest
    source = next((x.source for x in closest if x.source is not None), None)
    return _without_consequences(x for failure in closest for x in failure.differences), source


class _Failure(NamedTuple):
    differences: list[Difference]
    source: SourceLine | None


def _distance(failures: list[_Failure]) -> int:
    """Return how much fails: what many guards have alike counts once, such as the layers of a cache that has grown."""
    return len({(x.kind, x.before, x.now) for failure in failures for x in failure.differences})


def _failing(guards: Any, frame: Any) -> Iterator[_Failure]:
    """Yield what fails of the guards of one graph."""
    scope = {"L": frame.f_locals, "G": guards.global_scope["G"], **guards.closure_vars}
    first = guards.check_verbose(frame.f_locals)
    yield from _failing_below(guards.root, dict(guards.global_scope), scope, first)


def _failing_below(
    manager: Any, names: dict[str, Any], scope: dict[str, Any], first: Any
) -> Iterator[_Failure]:
    leaves = manager.get_leaf_guards()
    source = manager.get_source() if hasattr(manager, "get_source") else "L"
    if leaves:
        try:
            value = eval(source, names, scope)
        except Exception:
            leaves = []
        for leaf in leaves:
            if type(leaf).__name__ not in _NO_QUESTION and not leaf(value):
                yield _explain(leaf, source, value, names, scope, first)
    for child in manager.get_child_managers():
        yield from _failing_below(child, names, scope, first)


# These answer with the order in which they are asked, or must not be asked twice.
_NO_QUESTION = {"TORCH_FUNCTION_MODE_STACK", "OBJECT_ALIASING", "NO_TENSOR_ALIASING", "STORAGE_OVERLAPPING"}


def _explain(leaf: Any, source: str, value: Any, names: Any, scope: Any, first: Any) -> _Failure:
    parts = leaf.verbose_code_parts()
    kind = type(leaf).__name__
    if kind == "GLOBAL_STATE":
        text = " ".join(first.verbose_code_parts)
        modes = text.partition("changed:")[2].split() if "GLOBAL_STATE changed" in text else ["global state"]
        return _Failure(list(map(guard_words.mode, modes)), None)
    if kind == "LAMBDA_GUARD":
        parts = [x for x in parts if _is_false(x, names, scope)] or parts
    guard, where = _split(parts[0]) if parts else ("", None)
    what = guard_words.name_of(source)
    if kind == "TENSOR_MATCH" and isinstance(value, torch.Tensor):
        differences = guard_words.tensors(what, guard, value)
    elif kind == "EQUALS_MATCH":
        of = "scalar" if source.startswith("L['") and "." not in source else guard_words.kind_of(source)
        differences = [Difference(what, of, guard.partition(" == ")[2], repr(value))]
    elif kind == "NONE_MATCH":
        of = "global" if source.startswith("G[") else "optional"
        differences = [Difference(what, of, "None", guard_words.describe(value))]
    elif kind == "NOT_NONE" or (kind in ("TYPE_MATCH", "TENSOR_MATCH") and value is None):
        differences = [Difference(what, "optional", "a tensor" if kind == "TENSOR_MATCH" else "", "None")]
    elif kind in ("ID_MATCH", "TRUE_MATCH", "FALSE_MATCH") and isinstance(value, bool):
        differences = [Difference(what, guard_words.kind_of(source), str(not value), str(value))]
    elif kind == "ID_MATCH":
        differences = [Difference(what, "object", now="is another object")]
    elif kind == "TYPE_MATCH":
        known = re.search(r"type=<class '([\w.]+)'>", guard)
        before = known.group(1).rpartition(".")[2] if known else ""
        differences = [Difference(what, "object", before, type(value).__name__)]
    elif kind in ("LENGTH_CHECK", "DICT_LENGTH"):
        number = re.search(r"(\d+)\s*$", guard)
        differences = [
            Difference(
                f"length of {what}", "scalar", number.group(1) if number else "", guard_words.length(value)
            )
        ]
    elif "_dynamo_dynamic_indices" in guard:
        marked = hasattr(value, "_dynamo_dynamic_indices")
        differences = [
            Difference(what, "guard", now="is marked dynamic" if marked else "is not marked dynamic")
        ]
    else:
        differences = [Difference(what, "guard", guard)]
    return _Failure(differences, where)


def _split(part: str) -> tuple[str, SourceLine | None]:
    """Part a guard from the comment behind it: the line of source that it comes from."""
    guard, _, comment = part.partition("  # ")
    where = re.search(r"# (\S+):(\d+) in \S+\s*$", "# " + comment) if comment else None
    return guard.strip(), SourceLine(where.group(1), int(where.group(2))) if where else None


def _is_false(part: str, names: Any, scope: Any) -> bool:
    try:
        return eval(_split(part)[0], dict(names), scope) is False
    except Exception:
        return False


def _without_consequences(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """Return differences, each once, without those of the tensor within a tensor of somebody's class.

    A mode changes what tensors answer too; a guard that fails with no difference of its own is then left out.
    """
    found = list(dict.fromkeys(differences))
    whats = {x.what for x in found}
    modes = any(x.kind == "mode" for x in found)
    return tuple(
        [
            x
            for x in found
            if not (x.what.rpartition(".")[0] in whats and x.what.rpartition(".")[2].startswith("_"))
            and not (modes and x.kind == "guard")
        ]
    )
