"""What a line of a notebook compares, and which of its cells made what the line needs."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from gaudi_lab import api, frontend, origin
from gaudi_lab.errors import LabValueError
from gaudi_lab.handover.bindings import bindings_of
from gaudi_lab.notebook import namespace, stopped_cells

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from gaudi_lab.comparison.result import Comparison
    from gaudi_lab.workbench.subjects import SwitchedSubject

# What changes a model or a data set in place and binds no name.
_IN_PLACE = frozenset(
    {
        "to",
        "eval",
        "train",
        "requires_grad_",
        "half",
        "bfloat16",
        "float",
        "load_state_dict",
        "resize_",
        "fill_",
    }
    | {
        "tie_weights",
        "set_progress_bar_config",
        "update",
        "append",
        "extend",
        "add_callback",
        "remove_callback",
    }
)


def subject_of(source: str, user_ns: dict[str, Any]) -> SwitchedSubject:
    """Return what an expression runs: a call of a model, Trainer or pipeline, or whatever else as a function.

    Parameters
    ----------
    source
        The expression, such as ``model(**batch)``, ``trainer.evaluate()`` or a name of one of them.
    user_ns
        The notebook's names.

    Raises
    ------
    LabValueError
        It is no expression.
    """
    from gaudi_lab.workbench.subjects import make_subject

    try:
        body = ast.parse(source.strip(), mode="eval").body
    except SyntaxError as error:
        raise LabValueError(
            f"{source.strip()!r} is no expression that can be run again and again.",
            python="gaudi_lab.compare(model, inputs=batch)",
            magic="%gaudi_compare model(**batch)",
        ) from error
    _require_names(source, user_ns)
    called = body.func if isinstance(body, ast.Call) else body
    models = namespace.models(user_ns)
    owner = called.value if isinstance(called, ast.Attribute) and called.attr == "evaluate" else called
    if isinstance(owner, ast.Name) and (known := user_ns.get(owner.id)) is not None:
        name = next((name for name, model in models.items() if model is known), "")
        if name or namespace.is_model(known):
            # Its inputs are computed once, and not with every call.
            args, kwargs = eval(_arguments_of(body), user_ns) if isinstance(body, ast.Call) else ((), {})
            _require_arguments(known, args, kwargs, owner.id)
            return make_subject(known, args, kwargs, name or owner.id)
    if isinstance(body, ast.Name):
        return make_subject(user_ns[body.id], (), {}, body.id)
    function = eval(f"lambda: {source.strip()}", user_ns)
    return make_subject(function, (), {}, source.strip())


def setup_of(source: str, shell: InteractiveShell) -> str:
    """Return the code of the cells that made what an expression needs, in their order, without their magics.

    Found in what cells bind and read. What a cell does beside, such as to a file, is not seen. Of the cell that runs
    now, and of those that an error ended, it is what comes before the line.
    """
    here = origin.caller()
    running = frontend.cell_number(here.file) if here is not None else None
    cells = [
        _without_magics(stopped_cells.ran(number, text, here.number if here and number == running else None))
        for number, text in enumerate(shell.user_ns.get("In", []))
    ]
    needed = _reads(source)
    kept: list[str] = []
    for cell in reversed(cells):
        bound = bindings_of(cell)
        if bound is None:
            continue
        if bound.binds & needed:
            kept.append(cell)
            needed |= bound.reads
        elif changes := _changes_in_place(cell, needed):
            kept.append(changes)
    return "\n\n".join(cell.strip("\n") for cell in reversed(kept))


def compare(shell: InteractiveShell, source: str, **options: Any) -> Comparison:
    """Compare what an expression runs, and have the result know its code.

    Parameters
    ----------
    shell
        The notebook's.
    source
        The expression.
    **options
        As in `gaudi_lab.compare`.
    """
    subject = subject_of(source, shell.user_ns)
    moved = _moves(source, shell.user_ns) if subject.on_the_host() and subject.kind == "model" else []
    subject.source = source.strip()
    subject.setup = "\n".join([setup_of(source, shell), *moved])
    return api.compare(subject, **options)


def _require_names(source: str, user_ns: dict[str, Any]) -> None:
    """Raise for a name that the notebook does not have: every setting would fail by it."""
    missing = sorted(name for name in _reads(source) if name not in user_ns and not hasattr(builtins, name))
    if not missing:
        return
    near = get_close_matches(missing[0], [name for name in user_ns if not name.startswith("_")], 1)
    instead = re.sub(rf"\b{missing[0]}\b", near[0], source.strip()) if near else "-h"
    raise LabValueError(
        f"This notebook has no {' and no '.join(missing)}.",
        python="gaudi_lab.compare(model, inputs=batch)",
        magic=f"%gaudi_compare {instead}",
    )


def _require_arguments(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> None:
    """Raise for a module that cannot be called so: every setting would fail by it."""
    forward = getattr(model, "forward", None)
    if forward is None:
        return
    try:
        inspect.signature(forward).bind(*args, **kwargs)
    except TypeError as error:
        raise LabValueError(
            f"{name} cannot be called so: {error}.",
            python="gaudi_lab.compare(model, inputs=batch)",
            magic=f"%gaudi_compare {name}(**batch)",
        ) from error


def _arguments_of(call: ast.Call) -> str:
    """Return an expression for the arguments of a call, as positions and names."""
    given = ast.Call(ast.Name("_take", ast.Load()), call.args, call.keywords)
    return f"(lambda _take: {ast.unparse(given)})(lambda *args, **kwargs: (args, kwargs))"


def _moves(source: str, user_ns: dict[str, Any]) -> list[str]:
    """Return the lines that have on the device what comparing has moved there: a model and what goes in."""
    lines = []
    for name in sorted(_reads(source) & user_ns.keys()):
        value = user_ns[name]
        if namespace.is_model(value):
            lines.append(f'{name}.to("hpu")')
        elif isinstance(value, Mapping) or hasattr(value, "keys"):
            lines.append(
                f'{name} = {{key: x.to("hpu") if hasattr(x, "to") else x for key, x in {name}.items()}}'
            )
        elif hasattr(value, "to"):
            lines.append(f'{name} = {name}.to("hpu")')
    return lines


def _without_magics(cell: str) -> str:
    """Return a cell without what only IPython runs, which it keeps as calls; what they give may have a name."""
    try:
        tree = ast.parse(cell)
    except SyntaxError:
        return ""
    lines = cell.split("\n")
    found = [x for x in ast.walk(tree) if isinstance(x, (ast.Expr, ast.Assign)) and _asks_ipython(x.value)]
    for statement in sorted(found, key=lambda x: (x.lineno, x.col_offset), reverse=True):
        first, last = statement.lineno - 1, (statement.end_lineno or statement.lineno) - 1
        before = lines[first].encode()[: statement.col_offset].decode()
        after = lines[last].encode()[statement.end_col_offset :].decode()
        # There may be nothing else in its block.
        lines[first : last + 1] = [f"{before}pass{after}"] if before or after.strip() else []
    return "\n".join(lines)


def _asks_ipython(value: ast.AST) -> bool:
    """Whether this is a call of what ``get_ipython()`` has."""
    match value:
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")))):
            return True
    return False


def _reads(source: str) -> frozenset[str]:
    bound = bindings_of(source)
    return frozenset() if bound is None else bound.reads


def _changes_in_place(cell: str, needed: frozenset[str]) -> str:
    """Return the lines of a cell that change what is needed without binding a name."""
    found = []
    for statement in ast.parse(cell).body:
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=value, attr=method))):
                while isinstance(value, (ast.Call, ast.Attribute)):
                    value = value.func if isinstance(value, ast.Call) else value.value
                if isinstance(value, ast.Name) and value.id in needed and method in _IN_PLACE:
                    found.append(ast.unparse(statement))
    return "\n".join(found)
