"""Reads sources of Intel's bridge, one folder a release, and writes down what a program can see of each.

    python tools/bridge_surface.py SOURCES --write

It writes ``tests/conformance/bridge_surface.json`` and, for the emulated bridge itself, the part about environment
variables as ``gaudi_lab/emulator/process/flag_defaults.json``.

`SOURCES` has a folder for each release, named by it, such as ``1.19.0``. In it lie ``python_packages`` and
``scripts/env_flags.yaml``, the whole of them or some files: a release of which only some files are there says so in a
file ``PARTIAL``, whose text names the source. For a whole release that text is in a file ``SOURCE``. Files are read
with `ast` and never imported, so nothing of the bridge has to be installed, and ``.pyi`` is as good as ``.py``.
The folder ``tools/bridge_partial`` has what could be had of releases without a whole source; it is read too.
A release of which there is no source has a file ``PROGRAMS`` instead, and beside it programs that were written for it:
the names that they use are written as ``called``, see `called_names`.

What is written: names, parameters with their defaults, defaults of environment variables, texts of errors. No code.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from called_names import called_names

ROOT = Path(__file__).parents[1]
PARTIAL = ROOT / "tools" / "bridge_partial"
SURFACE = ROOT / "tests" / "conformance" / "bridge_surface.json"
FLAGS = ROOT / "gaudi_lab" / "emulator" / "process" / "flag_defaults.json"
PACKAGES = ("habana_frameworks", "torch_hpu")
# What the C headers of the bridge call a number that the table of flags names only.
C_NUMBERS = {"INT64_MAX": 2**63 - 1, "UINT64_MAX": 2**64 - 1, "DEFAULT_HCCL_SLICE_SIZE_MB": 16}


class Source:
    """The Python modules of one release.

    Attributes
    ----------
    trees
        The parsed file of each module, by its dotted name.
    packages
        Which of them are packages.
    """

    def __init__(self, folder: Path) -> None:
        self.trees: dict[str, ast.Module] = {}
        self.packages: set[str] = set()
        root = folder / "python_packages"
        for path in sorted([*root.rglob("*.py"), *root.rglob("*.pyi")]):
            parts = list(path.relative_to(root).with_suffix("").parts)
            if parts[0] not in PACKAGES:
                continue
            if parts[-1] == "__init__":
                parts.pop()
                self.packages.add(".".join(parts))
            name = ".".join(parts)
            if name not in self.trees or path.suffix == ".py":
                self.trees[name] = ast.parse(path.read_text())

    def names(self, module: str, seen: frozenset[str] = frozenset()) -> dict[str, str]:
        """Return the public names of `module`, each with what it is.

        Returns
        -------
        dict
            By name: ``"(a, b=1)"`` for a function, ``"class(a, b=1)"``, ``"value"``, or ``"from MODULE"`` for what
            a package passes on. `` if CONDITION`` follows where the name is not always there. A method of a public
            class stands as ``Class.method``.
        """
        if module in seen or module not in self.trees:
            return {}
        found: dict[str, str] = {}
        exported = _all_of(self.trees[module])
        for node, condition in _statements(self.trees[module].body):
            for name, what in self._names_of(node, module, exported, seen | {module}):
                if _is_public(name, exported) and name not in found:
                    found[name] = what + (f" if {condition}" if condition else "")
        return found

    def _names_of(
        self, node: ast.stmt, module: str, exported: set[str] | None, seen: frozenset[str]
    ) -> Iterator[tuple[str, str]]:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, _parameters(node)
        elif isinstance(node, ast.ClassDef):
            yield from _class(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((target.id, "value") for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.ImportFrom):
            origin = self._origin(node, module)
            if origin is None:
                return
            for alias in node.names:
                name = alias.asname or alias.name
                if alias.name == "*":
                    passed = self.names(origin, seen)
                    yield from ((name, f"from {origin}") for name in passed if "." not in name)
                elif module in self.packages or name in (exported or ()):
                    yield name, f"from {origin}"

    def _origin(self, node: ast.ImportFrom, module: str) -> str | None:
        """Return which module of the bridge the statement takes names from; None for a foreign one."""
        if not node.level:
            return node.module if (node.module or "").split(".")[0] in PACKAGES else None
        parts = module.split(".")
        base = parts[: len(parts) - node.level + (module in self.packages)]
        return ".".join([*base, *([node.module] if node.module else [])])


def _statements(body: list[ast.stmt], condition: str = "") -> Iterator[tuple[ast.stmt, str]]:
    """Return the statements that run at import, each with the condition that it stands under."""
    for node in body:
        if isinstance(node, ast.If):
            test = ast.unparse(node.test)
            if test == "__name__ == '__main__'" or test.endswith("TYPE_CHECKING"):
                continue
            yield from _statements(node.body, condition or test)
            yield from _statements(node.orelse, condition or f"not {test}")
        elif isinstance(node, (ast.Try, ast.With)):
            yield from _statements(node.body, condition)
        else:
            yield node, condition


def _all_of(tree: ast.Module) -> set[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            return {item.value for item in ast.walk(node.value) if isinstance(item, ast.Constant)}
    return None


def _is_public(name: str, exported: set[str] | None) -> bool:
    if exported is not None and name.split(".")[0] in exported:
        return True
    return not any(part.startswith("_") for part in name.split(".")) and exported is None


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef, skip_first: bool = False) -> str:
    """Return the parameters as `inspect.signature` shows them, without annotations."""
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    shown = [_one(arg, default) for arg, default in zip(positional, defaults, strict=True)]
    if args.posonlyargs:
        shown.insert(len(args.posonlyargs), "/")
    shown = shown[1:] if skip_first else shown
    if args.vararg:
        shown.append(f"*{args.vararg.arg}")
    elif args.kwonlyargs:
        shown.append("*")
    shown += [_one(arg, default) for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    if args.kwarg:
        shown.append(f"**{args.kwarg.arg}")
    return f"({', '.join(shown)})"


def _one(arg: ast.arg, default: ast.expr | None) -> str:
    if default is None:
        return arg.arg
    try:
        return f"{arg.arg}={ast.literal_eval(default)!r}"
    except ValueError:
        return f"{arg.arg}={ast.unparse(default)}"


def _class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    made = methods.get("__init__") or methods.get("__new__")
    yield node.name, "class" + (_parameters(made, skip_first=True) if made else "")
    for name, method in methods.items():
        decorators = {ast.unparse(decorator) for decorator in method.decorator_list}
        if "property" in decorators or any(text.endswith(".setter") for text in decorators):
            yield f"{node.name}.{name}", "value"
        elif not name.startswith("_"):
            yield f"{node.name}.{name}", _parameters(method)
    for item in node.body:
        if isinstance(item, ast.Assign):
            yield from (
                (f"{node.name}.{target.id}", "value")
                for target in item.targets
                if isinstance(target, ast.Name)
            )


def errors(tree: ast.Module) -> set[str]:
    """Return the texts of the errors that a module raises or asserts; ``{}`` stands for what is filled in."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            found.add(_text(node.exc.args[0]))
        elif isinstance(node, ast.Assert) and node.msg is not None:
            found.add(_text(node.msg))
    return {text for text in (" ".join(text.split()) for text in found) if re.search(r"[a-zA-Z]{3}", text)}


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = ["{}" if isinstance(part, ast.FormattedValue) else _text(part) for part in node.values]
        return "".join(parts)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return re.sub(r"\{[^}]*\}", "{}", _text(node.func.value))
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return ""


def flags(path: Path) -> dict[str, Any]:
    """Return the environment variables of a release: ``[default, settable]`` by name."""
    if not path.exists():
        return {}
    import yaml

    found = {}
    for name, row in yaml.safe_load(path.read_text()).items():
        kind, default = row.get("type"), row["default"]
        if kind == "bool":
            default = bool(default)
        elif kind is not None:
            default = int(C_NUMBERS.get(default, default))
        found[name] = [default if kind is not None else str(default), bool(row.get("settable", False))]
    return found


def _by_release(found: dict[str, dict[Any, Any]]) -> dict[Any, dict[str, Any]]:
    """Turn ``release -> key -> value`` into ``key -> {"releases with this value": value}``."""
    turned: dict[Any, dict[str, tuple[list[str], Any]]] = {}
    for release, entries in found.items():
        for key, value in entries.items():
            turned.setdefault(key, {}).setdefault(json.dumps(value), ([], value))[0].append(release)
    return {
        key: {" ".join(releases): value for releases, value in values.values()}
        for key, values in sorted(turned.items())
    }


def table(*sources: Path) -> dict[str, Any]:
    """Return the table of all releases in the folders `sources`."""
    folders = sorted(
        (path for folder in sources for path in folder.iterdir() if path.is_dir()),
        key=lambda path: [int(part) for part in path.name.split(".")],
    )
    releases, modules, texts, variables = {}, {}, {}, {}
    for folder in folders:
        if (folder / "PROGRAMS").exists():
            continue
        whole = not (folder / "PARTIAL").exists()
        source = Source(folder)
        releases[folder.name] = {
            "source": (folder / ("SOURCE" if whole else "PARTIAL")).read_text().strip(),
            "whole": whole,
            "modules": len(source.trees),
        }
        modules[folder.name] = {module: source.names(module) for module in source.trees}
        texts[folder.name] = {
            (module, text): True for module, tree in source.trees.items() for text in errors(tree)
        }
        variables[folder.name] = flags(folder / "scripts" / "env_flags.yaml")
    defined: dict[str, set[str]] = {}
    for found in modules.values():
        for module, names in found.items():
            defined.setdefault(module, set()).update(names)
    for folder in folders:
        if (folder / "PROGRAMS").exists():
            called = called_names(folder, defined)
            source_text = (folder / "PROGRAMS").read_text().strip()
            releases[folder.name] = {"source": source_text, "whole": False, "modules": len(called)}
            modules[folder.name] = {
                module: dict.fromkeys(sorted(names), "called") for module, names in called.items()
            }
    order = [folder.name for folder in folders]
    releases, modules = ({name: of[name] for name in order} for of in (releases, modules))
    by_module: dict[str, Any] = {}
    for module in sorted({module for found in modules.values() for module in found}):
        names = {release: found[module] for release, found in modules.items() if module in found}
        by_module[module] = {"in": " ".join(names), "names": _by_release(names)}
    for (module, text), where in _by_release(texts).items():
        by_module[module].setdefault("errors", {})[text] = next(iter(where))
    return {"releases": releases, "modules": by_module, "flags": _by_release(variables)}


def as_lines(found: dict[str, Any], depth: int = 1) -> str:
    """Return `found` as JSON with a line for each entry, down to `depth`, so that a difference can be read."""
    if not depth:
        return json.dumps(found)
    rows = [f"{json.dumps(key)}: {as_lines(value, depth - 1)}" for key, value in found.items()]
    return "{\n" + ",\n".join(rows) + "\n}"


def main() -> int:
    """Read the sources and write the tables, or print the one of names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", type=Path, help="the folder with a folder for each release")
    parser.add_argument("--write", action="store_true", help="write the tables into the project")
    asked = parser.parse_args()
    found = table(asked.sources, PARTIAL)
    if asked.write:
        SURFACE.write_text(as_lines(found, 2) + "\n")
        FLAGS.write_text(as_lines(found["flags"]) + "\n")
    else:
        sys.stdout.write(as_lines(found, 2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
