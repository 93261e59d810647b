"""Holds the emulated bridge against the table of what Intel's has, by release.

The table is `bridge_surface.json`, which `tools/bridge_surface.py` makes from the bridge's sources. What becomes of
each module is said in `surface.toml`. This module imports nothing of the bridge before it is asked, so that a fresh
process can use it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HERE = Path(__file__).parent


@functools.cache
def table() -> dict[str, Any]:
    """Return the table: ``releases``, ``modules`` and ``flags``."""
    found: dict[str, Any] = json.loads((_HERE / "bridge_surface.json").read_text())
    return found


@functools.cache
def rows() -> dict[str, dict[str, Any]]:
    """Return what is said of each module of the bridge, by its name."""
    with open(_HERE / "surface.toml", "rb") as file:
        found = tomllib.load(file)["module"]
    assert len({row["path"] for row in found}) == len(found), "a module stands twice"
    return {row["path"]: row for row in found}


def names(module: str, release: str) -> dict[str, str]:
    """Return the public names of `module` in `release`, each with what it is."""
    return {
        name: what
        for name, by_release in table()["modules"][module]["names"].items()
        for releases, what in by_release.items()
        if release in releases.split()
    }


def public(module: str) -> set[str]:
    """Return the public names that stand at the top of `module`, in any release."""
    return {name.split(".")[0] for name in table()["modules"][module]["names"]}


def problems(release: str) -> list[str]:
    """Return where the bridge of this process differs from `release` of the table: a sentence each."""
    import habana_frameworks.torch as ht

    conditions = {"is_lazy()": ht.lazy, "not is_lazy()": not ht.lazy}
    found = []
    for module, row in rows().items():
        if row["is"] != "implemented" or release not in table()["modules"][module]["in"].split():
            continue
        importlib.import_module(module)
        for name, what in names(module, release).items():
            kind, _, condition = what.partition(" if ")
            if kind == "called":
                condition = _condition_before(module, name, release)
            hidden = row.get("internal", ())
            if name in hidden or name.split(".")[0] in hidden or name in row.get("differs", {}):
                continue
            if not conditions.get(condition, True):
                continue
            found += [
                f"{module}:{name} {problem}" for problem in _differences(sys.modules[module], name, kind)
            ]
        if table()["releases"][release]["whole"]:
            found += [
                f"{module}:{name} came later"
                for name in _too_new(sys.modules[module], module, release)
                if name not in row.get("differs", {})
            ]
    return found


def _condition_before(module: str, name: str, release: str) -> str:
    """Return the condition that `name` stood under in the last release before that has its definition."""
    before = [x for x in table()["releases"] if _number(x) < _number(release)]
    for earlier in reversed(before):
        what = names(module, earlier).get(name, "called")
        if what != "called":
            return what.partition(" if ")[2]
    return ""


def _number(release: str) -> list[int]:
    return [int(part) for part in release.split(".")]


def _differences(module: Any, name: str, kind: str) -> Iterator[str]:
    thing = module
    for part in name.split("."):
        if not hasattr(thing, part):
            yield "is missing"
            return
        thing = getattr(thing, part)
    expected = kind.removeprefix("class")
    # What PyTorch calls, with arguments by position.
    if expected.startswith("(") and not name.endswith((".backward", ".forward")):
        found = parameters(thing)
        if not takes(found, expected):
            yield f"takes {found}, not {expected}"


def _too_new(module: Any, path: str, release: str) -> Iterator[str]:
    """Return the names that a later release added to the module, and that are there already."""
    later = public(path) - {name.split(".")[0] for name in names(path, release)}
    order = list(table()["releases"])
    for name in later:
        # A program that uses a name says that it is there, not since when.
        by_release = table()["modules"][path]["names"].get(name, {})
        known = " ".join(releases for releases, what in by_release.items() if what != "called").split()
        if known and order.index(known[0]) > order.index(release) and hasattr(module, name):
            yield name


def parameters(thing: Any) -> str:
    """Return the parameters of `thing` as the table writes them: names and defaults."""
    empty = inspect.Parameter.empty
    signature = inspect.signature(thing)
    shown = [
        parameter.replace(annotation=empty, default=_plain(parameter.default))
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=shown, return_annotation=inspect.Signature.empty))


def _plain(default: Any) -> Any:
    return int(default) if isinstance(default, int) and not isinstance(default, bool) else default


def takes(found: str, expected: str) -> bool:
    """Return True if every call that `expected` allows means the same to `found`, which may take more.

    Defaults that are no literals are not compared.
    """
    ours, theirs = _split(found), _split(expected)
    for position, (name, default) in enumerate(theirs):
        if name.startswith("*"):
            continue  # more of them, whatever they are called
        if position >= len(ours) or ours[position][0] != name:
            return any(other.startswith("*") for other, _ in ours)
        mine = ours[position][1]
        if default is not None and _is_literal(default) and (mine is None or not _same(mine, default)):
            return False
    return all(default is not None or name.startswith("*") for name, default in ours[len(theirs) :])


def _split(signature: str) -> list[tuple[str, str | None]]:
    """Return names and defaults, by `ast`: a default may have commas of its own."""
    import ast
    import re

    signature = re.sub(r"=<[^>]*>", "=...", signature)
    args = ast.parse(f"def f{signature}: ...").body[0].args  # type: ignore[attr-defined]
    plain = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(plain) - len(args.defaults)) + args.defaults
    pairs = [
        *zip(plain, defaults, strict=True),
        *zip(args.kwonlyargs, args.kw_defaults, strict=True),
    ]
    shown = [(arg.arg, None if default is None else ast.unparse(default)) for arg, default in pairs]
    rest = [("*" + arg.arg, None) for arg in (args.vararg, args.kwarg) if arg is not None]
    return [*shown, *rest]


def _is_literal(text: str) -> bool:
    import ast

    try:
        ast.literal_eval(text)
    except ValueError:
        return False
    return True


def _same(first: str, second: str) -> bool:
    import ast

    try:
        return bool(ast.literal_eval(first) == ast.literal_eval(second))
    except ValueError:
        return False


def flag_problems(release: str) -> list[str]:
    """Return where the environment variables of this process differ from `release` of the table."""
    from habana_frameworks.torch.internal import bridge_config

    found = []
    for name, by_release in table()["flags"].items():
        getter, setter = f"get_{name.lower()}", f"set_{name.lower()}"
        for releases, (default, settable) in by_release.items():
            if release not in releases.split() or name == "PT_HPU_LAZY_MODE":
                continue
            if not hasattr(bridge_config, getter):
                found.append(f"{name} is missing")
            elif (value := getattr(bridge_config, getter)()) != default:
                found.append(f"{name} is {value!r}, not {default!r}")
            if hasattr(bridge_config, setter) != settable:
                found.append(f"{name} can{'not' if settable else ''} be set")
    return found


def errors_not_said(release: str) -> dict[str, list[str]]:
    """Return the texts of errors, by implemented module, that nothing in the emulator says in these words."""
    words = _said()
    found: dict[str, list[str]] = {}
    for module, row in rows().items():
        if row["is"] == "implemented" and "errors" not in row:
            for text, releases in table()["modules"][module].get("errors", {}).items():
                if release in releases.split() and not any(_says(said, text) for said in words):
                    found.setdefault(module, []).append(text)
    return found


@functools.cache
def _said() -> set[str]:
    """Return every text in the emulator's sources, as `tools/bridge_surface.py` reads the bridge's."""
    import ast

    import gaudi_lab.emulator

    found = set()
    for path in Path(gaudi_lab.emulator.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
                found.add(" ".join("".join(map(str, parts)).split()))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(" ".join(node.value.split()))
    return found


def _says(said: str, text: str) -> bool:
    """Return True if `said` holds `text`, or is a template of it with some words of its own."""
    if _pattern(text).search(said):
        return True
    return "{}" in said and len(said.replace("{}", "")) > 8 and bool(_pattern(said).fullmatch(text))


@functools.cache
def _pattern(text: str) -> Any:
    import re

    return re.compile(".*".join(re.escape(part) for part in re.split(r"\{[^}]*\}", text)))
