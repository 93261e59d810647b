"""What IPython has beside the user's names: inputs and outputs, counters, magics."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_UNDERSCORES = ("_", "__", "___")
_OF_A_MODULE = frozenset(
    (
        "__name__",
        "__doc__",
        "__package__",
        "__loader__",
        "__spec__",
        "__builtin__",
        "__builtins__",
        "__session__",
    )
)
"""What every module has; IPython forgets on `%reset` that these are nobody's."""

_OF_DYNAMO = re.compile(
    r"__(?:compiled_fn|resume_at|builtins_dict|gen_rand_values|warnings_warn_wrapper|comprehension|import)_\w+"
    r"|___context_manager_\w+|_\w*_\d{9,}_c\d+\S*"
)
"""Names that torch.compile puts beside a function of the notebook for what it has compiled of it."""


@dataclass
class ShellState:
    """What is plain of it, and travels beside the namespace.

    Attributes
    ----------
    count
        The number of the cell that is next, or of the one that is running.
    inputs, raw_inputs
        The cells, after and before IPython's transformations.
    recent
        IPython's last inputs.
    reprs
        The text of each output.
    directories
        The working directories there have been.
    session
        The number of the session in IPython's history; 0 if there is none.
    names
        Every name that the namespace had, IPython's own too.
    bound_by_shell
        IPython's own names of inputs, such as `_i3`.
    """

    count: int = 1
    inputs: list[str] = field(default_factory=list)
    raw_inputs: list[str] = field(default_factory=list)
    recent: dict[str, str] = field(default_factory=dict)
    reprs: dict[int, str] = field(default_factory=dict)
    directories: list[Any] = field(default_factory=list)
    session: int = 0
    names: set[str] = field(default_factory=set)
    bound_by_shell: dict[str, str] = field(default_factory=dict)


def plain_state(shell: Any) -> ShellState:
    """Return what is plain of the shell's state."""
    history, own = shell.history_manager, own_names(shell)
    return ShellState(
        count=shell.execution_count,
        inputs=list(history.input_hist_parsed),
        raw_inputs=list(history.input_hist_raw),
        recent={name: getattr(history, name) for name in ("_i00", "_i", "_ii", "_iii")},
        reprs=dict(history.output_hist_reprs),
        directories=list(history.dir_hist),
        session=history.session_number,
        names=set(shell.user_ns),
        bound_by_shell={
            name: value for name, value in shell.user_ns.items() if name in own and isinstance(value, str)
        },
    )


def hidden_state(shell: Any) -> dict[str, Any]:
    """Return what of the shell's state are objects of the notebook: outputs, magics."""
    hidden = {f"Out[{number}]": value for number, value in shell.history_manager.output_hist.items()}
    own = own_names(shell)
    hidden |= {f"Out[{name}]": shell.user_ns[name] for name in _UNDERSCORES if name in own}
    magics = shell.magics_manager.magics
    hidden["magics"] = {
        kind: {name: function for name, function in table.items() if is_notebooks(function)}
        for kind, table in magics.items()
    }
    return {
        name: value
        for name, value in hidden.items()
        if not (isinstance(value, dict) and not any(value.values()))
    }


def own_names(shell: Any) -> set[str]:
    """Return the names that IPython or torch.compile has bound, and nobody since."""
    nothing = object()
    hidden = shell.user_ns_hidden
    bound = shell.user_ns.items()
    return {
        name
        for name, value in bound
        if name in _OF_A_MODULE or value is hidden.get(name, nothing) or _OF_DYNAMO.fullmatch(name)
    }


def put_plain_state(shell: Any, state: ShellState) -> None:
    """Give a fresh shell the plain state of another."""
    history = shell.history_manager
    shell.execution_count = state.count
    _put_history(history, state)
    for name, value in state.recent.items():
        setattr(history, name, value)
    history.output_hist_reprs.update(state.reprs)
    history.dir_hist[:] = state.directories
    for name in set(shell.user_ns) - state.names:  # of startup files, and deleted since
        del shell.user_ns[name]
    shell.push(state.bound_by_shell, interactive=False)
    # Tracebacks and `inspect` find the lines of a cell by what the compiler knows of it.
    for number, (cell, raw) in enumerate(zip(state.inputs, state.raw_inputs, strict=False)):
        if cell:
            shell.compile.cache(cell + "\n", number, raw_code=raw)


def put_hidden_state(shell: Any, hidden: Mapping[str, Any]) -> None:
    """Give a fresh shell the outputs and magics of another."""
    for name, value in hidden.items():
        which = name[4:-1] if is_output(name) else ""
        if which in _UNDERSCORES:
            setattr(shell.displayhook, which, value)
            shell.push({which: value}, interactive=False)
        elif which:
            shell.history_manager.output_hist[int(which)] = value
            shell.push({f"_{which}": value}, interactive=False)
    for kind, table in hidden.get("magics", {}).items():
        for name, function in table.items():
            shell.register_magic_function(function, magic_kind=kind, magic_name=name)


def is_notebooks(function: Any) -> bool:
    """Whether a function is one of the notebook, or a method of an object of a class of the notebook."""
    owner = getattr(function, "__self__", None)
    modules = {getattr(function, "__module__", None), type(owner).__module__}
    return "__main__" in modules


def _put_history(history: Any, state: ShellState) -> None:
    history.input_hist_parsed[:] = state.inputs
    history.input_hist_raw[:] = state.raw_inputs
    new, history.session_number = history.session_number, state.session or history.session_number
    if history.hist_file == ":memory:":
        cells = zip(state.inputs, state.raw_inputs, strict=False)
        history.db_input_cache = [(number, *cell) for number, cell in enumerate(cells) if number]
    elif state.session and new != state.session:
        with (
            contextlib.suppress(Exception),
            history.db,
        ):  # the session goes on; the fresh one has nothing in it
            history.db.execute("DELETE FROM sessions WHERE session = ?", (new,))


def is_output(name: str) -> bool:
    """Whether a hidden entry is an output that IPython remembers, which no name of the notebook needs."""
    return name.startswith("Out[")
