"""Why torch.compile traced something again: every guard that fails, of the closest graph that it has.

PyTorch tells the first guard that fails. Here the tree of guards is walked, and each is asked. The names of PyTorch
used here are private ones, and stand in this file alone; they are those of torch 2.13 and later. Where one is missing,
`watch` watches nothing, and what is compiled has no cause then.
"""

from __future__ import annotations

import inspect
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, NamedTuple

import torch

from gaudi_lab import origin
from gaudi_lab.measure.causes import signature
from gaudi_lab.measure.causes.cause import Difference
from gaudi_lab.measure.causes.signature import TensorFacts

MODULE = "torch._dynamo.convert_frame"
"""The module that has to be imported before anything can be watched: the first `torch.compile` imports it."""


class SourceLine(NamedTuple):
    """A line as PyTorch names it: the end of the file's path, and a number."""

    file: str
    line: int


@dataclass
class Tracing:
    """One run of Dynamo, from its start to its end.

    Attributes
    ----------
    function, file, line
        The function that is traced.
    differences
        In what it differs from the closest graph there is. Empty if there is none, or nothing differs.
    again
        Whether there were graphs of it before.
    source
        The line that the first difference matters for; None if it is not known.
    breaks
        Where tracing broke off meanwhile, and why.
    broken
        Why the code that is traced was left out by the graph before it; None if it begins at its own beginning.
    limit
        Whether the limit of recompiles is reached: the function runs uncompiled from here on.
    seconds, backend
        How long it took, and how much of it was the backend.
    failed
        What it ended with, if not well.
    """

    function: str = ""
    file: str = ""
    line: int = 0
    differences: tuple[Difference, ...] = ()
    again: bool = False
    source: SourceLine | None = None
    breaks: list[Break] = field(default_factory=list)
    broken: Break | None = None
    limit: bool = False
    seconds: float = 0.0
    backend: float = 0.0
    failed: str = ""


class Break(NamedTuple):
    """Where tracing broke off: the reason in PyTorch's words, and the line."""

    reason: str
    file: str
    line: int


def watch(
    on_start: Callable[[Tracing], None],
    on_recompile: Callable[[Tracing], None],
    on_end: Callable[[Tracing], None],
) -> Callable[[], None] | None:
    """Follow what Dynamo traces from now on.

    Parameters
    ----------
    on_start
        Called as Dynamo begins with a function. Whoever raises there stops it.
    on_recompile
        Called before that, if the function was traced before. Whoever raises there stops it.
    on_end
        Called when it is done, well or not.

    Returns
    -------
    callable or None
        Ends it. None if Dynamo is not there yet, or is not as it is known here.
    """
    convert = sys.modules.get(MODULE)
    if convert is None or not hasattr(convert, "get_and_maybe_log_recompilation_reasons"):
        return None
    from torch._dynamo import callback

    watcher = _Watcher(on_start, on_recompile, on_end)
    before = convert.get_and_maybe_log_recompilation_reasons

    def explain(cache_entries: Any, frame: Any, *args: Any, **kwargs: Any) -> Any:
        watcher.recompile(cache_entries, frame)
        return before(cache_entries, frame, *args, **kwargs)

    convert.get_and_maybe_log_recompilation_reasons = explain  # type: ignore[attr-defined]
    handler = callback.callback_handler
    handler.register_start_callback(watcher.start)
    handler.register_end_callback(watcher.end)
    _in_use.append(watcher)

    def undo() -> None:
        # Someone else may have wrapped ours meanwhile: it then stays, and tells nobody.
        if convert.get_and_maybe_log_recompilation_reasons is explain:
            convert.get_and_maybe_log_recompilation_reasons = before  # type: ignore[attr-defined]
        watcher.silent = True
        _in_use.remove(watcher)
        if watcher.start in handler.start_callbacks:
            handler.remove_start_callback(watcher.start)
            handler.remove_end_callback(watcher.end)

    return undo


def restore() -> None:
    """Watch on after `torch._dynamo.reset()`, which drops whoever listens."""
    handler = sys.modules["torch._dynamo.callback"].callback_handler
    for watcher in _in_use:
        if watcher.start not in handler.start_callbacks:
            handler.register_start_callback(watcher.start)
            handler.register_end_callback(watcher.end)


_in_use: list[_Watcher] = []


class _Watcher:
    def __init__(self, on_start: Any, on_recompile: Any, on_end: Any) -> None:
        self._on_start, self._on_recompile, self._on_end = on_start, on_recompile, on_end
        self._tracing: Tracing | None = None
        self._breaks: dict[str, Break] = {}
        self._backend_before = 0.0
        self._reasons_before = 0
        self._error_before: BaseException | None = None
        self._started = 0.0
        self.silent = False

    def recompile(self, cache_entries: Any, frame: Any) -> None:
        """Note why a function is traced again. Dynamo asks for that before it tells that it starts."""
        if self.silent:
            return
        code = frame.f_code
        entries = list(cache_entries)
        tracing = Tracing(code.co_name, code.co_filename, code.co_firstlineno, again=bool(entries))
        try:
            found = [list(_failing(entry.guard_manager, frame)) for entry in entries]
        except Exception:
            found = []
        if found:
            closest = min(found, key=_distance)  # of several the first, which is the newest
            tracing.differences = _without_consequences(x for failure in closest for x in failure.differences)
            tracing.source = next((x.source for x in closest if x.source is not None), None)
        tracing.limit = len(entries) >= recompile_limit()
        self._on_recompile(tracing)
        if tracing.limit:
            self._on_end(tracing)
        else:
            self._tracing = tracing

    def start(self, _: Any) -> None:
        from torch._dynamo import utils

        code = _traced_code()
        if self._tracing is None:
            self._tracing = (
                Tracing(code.co_name, code.co_filename, code.co_firstlineno) if code else Tracing()
            )
        self._backend_before = _backend_seconds()
        self._reasons_before = len(utils.graph_break_reasons)
        self._error_before = sys.exc_info()[1]
        self._started = time.perf_counter()
        self._on_start(self._tracing)

    def end(self, _: Any) -> None:
        from torch._dynamo import utils

        tracing, self._tracing = self._tracing, None
        if tracing is None:
            return
        for reason in utils.graph_break_reasons[self._reasons_before :]:
            frame = reason.user_stack[-1]
            found = Break(reason.reason.partition("\n")[0].strip(), frame.filename, frame.lineno or 0)
            tracing.breaks.append(found)
            # What comes behind the break is a function of its own, in the file of the outermost frame.
            self._breaks[reason.user_stack[0].filename] = found
        tracing.seconds = time.perf_counter() - self._started
        tracing.backend = _backend_seconds() - self._backend_before
        error = sys.exc_info()[1]
        tracing.failed = str(error) if error is not None and error is not self._error_before else ""
        if tracing.function.startswith("torch_dynamo_resume_in_"):
            tracing.broken = self._breaks.get(tracing.file)
        self._on_end(tracing)


def recompile_limit() -> int:
    """Return how many graphs of one function Dynamo keeps before it gives up."""
    return int(torch._dynamo.config.recompile_limit)  # noqa: SLF001 - it is documented


def _traced_code() -> CodeType | None:
    """Return what Dynamo is about to trace, which it tells nobody: it is an argument of a function that runs."""
    for frame in origin.frames(inspect.currentframe()):
        if frame.f_code.co_name == "_compile" and frame.f_globals.get("__name__") == MODULE:
            return frame.f_locals.get("code")
    return None


def _backend_seconds() -> float:
    from torch._dynamo import utils

    return utils.cumulative_time_spent_ns.get("backend_compile", 0) * 1e-9


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
        return _Failure(list(map(_mode, modes)), None)
    if kind == "LAMBDA_GUARD":
        parts = [x for x in parts if _is_false(x, names, scope)] or parts
    guard, where = _split(parts[0]) if parts else ("", None)
    what = name_of(source)
    if kind == "TENSOR_MATCH" and isinstance(value, torch.Tensor):
        differences = _tensors(what, guard, value)
    elif kind == "EQUALS_MATCH":
        of = "scalar" if source.startswith("L['") and "." not in source else _kind_of(source)
        differences = [Difference(what, of, guard.partition(" == ")[2], repr(value))]
    elif kind == "NONE_MATCH":
        of = "global" if source.startswith("G[") else "optional"
        differences = [Difference(what, of, "None", _describe(value))]
    elif kind == "NOT_NONE" or (kind in ("TYPE_MATCH", "TENSOR_MATCH") and value is None):
        differences = [Difference(what, "optional", "a tensor" if kind == "TENSOR_MATCH" else "", "None")]
    elif kind in ("ID_MATCH", "TRUE_MATCH", "FALSE_MATCH") and isinstance(value, bool):
        differences = [Difference(what, _kind_of(source), str(not value), str(value))]
    elif kind == "ID_MATCH":
        differences = [Difference(what, "object", now="is another object")]
    elif kind == "TYPE_MATCH":
        known = re.search(r"type=<class '([\w.]+)'>", guard)
        before = known.group(1).rpartition(".")[2] if known else ""
        differences = [Difference(what, "object", before, type(value).__name__)]
    elif kind in ("LENGTH_CHECK", "DICT_LENGTH"):
        number = re.search(r"(\d+)\s*$", guard)
        differences = [
            Difference(f"length of {what}", "scalar", number.group(1) if number else "", _length(value))
        ]
    else:
        differences = [Difference(what, "guard", guard)]
    return _Failure(differences, where)


def _tensors(what: str, guard: str, value: torch.Tensor) -> list[Difference]:
    size, stride = (_numbers(guard, name) for name in ("size", "stride"))
    dtype = re.search(r"\), torch\.(\w+)", guard)
    gradient = re.search(r"requires_grad=(\w+)", guard)
    now = signature.TensorFacts(
        tuple(value.shape), value.stride(), value.dtype, value.device.type, value.requires_grad
    )
    before = TensorFacts(
        _filled(size, now.size),
        _filled(stride, now.stride),
        getattr(torch, dtype.group(1)) if dtype else now.dtype,
        now.device,
        gradient.group(1) == "True" if gradient else now.requires_grad,
    )
    found = signature.differ(what, before, now)
    if not found and "DispatchKeySet" in guard:
        return _inference(what, guard, value)
    return found or [Difference(what, "guard", guard)]


def _inference(what: str, guard: str, value: torch.Tensor) -> list[Difference]:
    """Return what inference mode has changed in the keys that a tensor is dispatched by."""
    keys = guard.partition("DispatchKeySet(")[2].partition(")")[0]
    # Within inference mode no tensor has the key of autograd; one that was made there has not even the other.
    was_made_there, is_made_there = "ADInplaceOrView" not in keys, value.is_inference()
    if was_made_there != is_made_there:
        words = ("made outside of inference mode", "made in inference mode")
        return [Difference(what, "mode", words[was_made_there], words[is_made_there])]
    was, now = "Autograd" not in keys, torch.is_inference_mode_enabled()
    if was != now:
        return [Difference("inference mode", "mode", _ON[was], _ON[now])]
    return [Difference(what, "guard", guard)]


def _numbers(guard: str, name: str) -> list[int | None] | None:
    found = re.search(rf"\b{name}=\[([^\]]*)\]", guard)
    if found is None:
        return None
    parts = [x.strip() for x in found.group(1).split(",") if x.strip()]
    return [int(x) if x.isdigit() else None for x in parts]


def _filled(known: list[int | None] | None, now: tuple[int, ...]) -> tuple[int, ...]:
    """Return sizes that a guard names; where it leaves one open it is as it is now."""
    if known is None:
        return now
    if len(known) != len(now):
        return tuple([-1 if x is None else x for x in known])
    return tuple([y if x is None else x for x, y in zip(known, now, strict=True)])


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


def name_of(source: str) -> str:
    """Return what people call what a guard is about: ``L['self']._modules['lin'].gain`` is lin.gain."""
    text = source
    if text.startswith("G["):
        text = "global " + re.sub(r"^G\['(?:__import_)?([^']+)'\]", r"\1", text).replace("_dot_", ".")
    text = re.sub(r"^L\['args'\]\[(\d+)\]", r"argument \1", text)
    text = re.sub(r"^L\['kwargs'\]\['(\w+)'\]", r"\1", text)
    text = re.sub(r"^L\['(?:self|module)'\]\.?", "", text)
    text = re.sub(r"^L\['(\w+)'\]", r"\1", text)
    text = re.sub(r"\.?(?:_modules|_parameters|_buffers|__dict__)\['([^']+)'\]", r".\1", text)
    return text.strip(".") or "the module"


def _kind_of(source: str) -> str:
    return "global" if source.startswith("G[") else "attribute"


def _describe(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {signature.text_of_size(value.shape)}"
    return repr(value) if isinstance(value, (bool, int, float, str, type(None))) else type(value).__name__


def _length(value: Any) -> str:
    try:
        return str(len(value))
    except TypeError:
        return ""


def _mode(name: str) -> Difference:
    """Return what a part of the global state is called, and how it is now."""
    if name == "grad_mode":
        on = torch.is_grad_enabled()
        return Difference("gradients", "mode", _ON[not on], _ON[on])
    if (autocast := re.fullmatch(r"autocast\((\w+)\)_(enabled|dtype)", name)) is not None:
        device = autocast.group(1)
        if not torch.is_autocast_enabled(device):
            return Difference("autocast", "mode", "on", "off")
        now = signature.name_of_dtype(torch.get_autocast_dtype(device))
        return Difference("autocast", "mode", "off" if autocast.group(2) == "enabled" else "", now)
    if name == "default_dtype":
        return Difference(
            "torch's default dtype", "mode", now=signature.name_of_dtype(torch.get_default_dtype())
        )
    if name == "num_threads":
        return Difference("number of threads", "mode", now=str(torch.get_num_threads()))
    return Difference(name.replace("_", " "), "mode")


_ON = ("off", "on")


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
