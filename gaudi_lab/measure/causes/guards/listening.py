"""Follows Dynamo: what it traces, why again, where it breaks off, and what that takes.

Where one of PyTorch's names is missing, `watch` watches nothing, and what is compiled has no cause then.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable
from types import CodeType
from typing import Any

from gaudi_lab import origin
from gaudi_lab.measure.causes.guards import failing_guards
from gaudi_lab.measure.causes.guards.cache_entries import Entry
from gaudi_lab.measure.causes.guards.tracing import Break, Tracing, recompile_limit

MODULE = "torch._dynamo.convert_frame"
"""The module that has to be imported before anything can be watched: the first `torch.compile` imports it."""


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
        tracing.differences, tracing.source = failing_guards.differences(entries, frame)
        tracing.limit = len(entries) >= recompile_limit()
        self._on_recompile(tracing)
        if tracing.limit:
            self._on_end(tracing)
        else:
            self._tracing = tracing

    def start(self, told: Any) -> None:
        from torch._dynamo import utils

        code, values = _traced()
        if self._tracing is None:
            self._tracing = (
                Tracing(code.co_name, code.co_filename, code.co_firstlineno) if code else Tracing()
            )
        if code is not None:
            self._tracing.entry = Entry(code, str(told.compile_id), values)
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


def _traced() -> tuple[CodeType | None, dict[str, Any]]:
    """Return what Dynamo is about to trace, and the values it is called with.

    It tells nobody: they are arguments of a function that runs.
    """
    for frame in origin.frames(inspect.currentframe()):
        if frame.f_code.co_name == "_compile" and frame.f_globals.get("__name__") == MODULE:
            return frame.f_locals.get("code"), frame.f_locals.get("locals") or {}
    return None, {}


def _backend_seconds() -> float:
    from torch._dynamo import utils

    return utils.cumulative_time_spent_ns.get("backend_compile", 0) * 1e-9
