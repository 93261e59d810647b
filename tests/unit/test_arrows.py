"""Imports point down only, as docs/design.md draws them, inside the emulator too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import gaudi_lab

PACKAGE = Path(gaudi_lab.__file__).parent

# From the ground up. A unit (a module of the top level, a package, a package of the emulator) imports what lies in
# lower layers, and nothing beside itself in its own. A new one fails the tests until it has its layer here.
LAYERS = [
    {"errors", "frontend", "on_import", "origin", "shapes", "_lazy_names", "machine"},
    {"emulator.process"},
    {"emulator.device"},
    {"emulator.lazy", "emulator.kernels"},
    {"emulator.torch_patches", "emulator.traced"},
    {"emulator.operators", "emulator.migrated"},
    {"emulator.set_up"},
    {"emulator.habana_frameworks"},
    {"emulator"},
    {"options"},
    {"settings", "rendered"},
    {"bridge_errors"},
    {"bridge"},
    {"gaudi_config", "report"},
    {"handover"},
    {"instruments"},
    {"measure", "custom_ops"},
    {"comparison"},
    {"render"},
    {"workbench"},
    {"api"},
    {"transformers", "diffusers"},
    {"cli"},
    {"notebook"},
    {"gaudi_lab", "modes"},
]

# What may look up. The design has one more way to do it, which is no import: `emulator.operators` hands its dispatch
# to `emulator.device.tensor.wire`, because a tensor must know what becomes of an operator on it.
EXCEPTIONS = {
    ("rendered", "render"): "inside its functions: a result shows itself, and the data below know no layout",
}

# `habana_frameworks` is spoken to by the bridge alone. These only name it.
NAMES_THE_BRIDGE = {
    "comparison.script": "writes scripts for the plain bridge",
    "cli.run": "makes a folder in which other processes find the emulated package",
    "handover.kernel.bystanders": "knows whose threads hold nothing of the user's",
    "notebook.short_tracebacks": "knows whose frames to leave out of a traceback",
    "cli.doctor": "looks whether a real one is installed, without loading it",
}


class Import(NamedTuple):
    """One import: the modules on both sides, without the leading `gaudi_lab.`, and whether a function runs it."""

    importer: str
    imported: str
    in_function: bool


def module_name(path: Path, package: Path = PACKAGE) -> str:
    name = ".".join(path.relative_to(package).with_suffix("").parts)
    return "gaudi_lab" if name == "__init__" else name.removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def unit(module: str) -> str:
    """Return the unit of `module`: its package, in the emulator the package inside."""
    return ".".join(module.split(".")[: 2 if module.startswith("emulator.") else 1])


def layer(module: str) -> int:
    found = [number for number, units in enumerate(LAYERS) if unit(module) in units]
    assert found, f"{module} is in no layer"
    return found[0]


def imports_of(module: str, source: str, *, is_package: bool) -> Iterator[Import]:
    """Yield the imports of what belongs to us; those under `TYPE_CHECKING` bind nothing and are left out."""
    for node, in_function in _running(ast.parse(source)):
        for name in _imported(node, module, is_package):
            top, _, rest = name.partition(".")
            if top == "gaudi_lab":
                yield Import(module, rest or "gaudi_lab", in_function)
            elif top == "habana_frameworks":
                yield Import(module, f"emulator.{name}", in_function)


def _running(node: ast.AST, in_function: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every node that can run, and whether it lies in a function."""
    yield node, in_function
    inside = in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    typing_only = isinstance(node, ast.If) and ast.unparse(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )
    for child in node.orelse if typing_only else ast.iter_child_nodes(node):
        yield from _running(child, inside)


def _imported(node: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            base = node.module or ""
            if node.level:
                here = ["gaudi_lab", *([] if module == "gaudi_lab" else module.split("."))]
                up = here[: len(here) - node.level + is_package]
                base = ".".join([*up, *([base] if base else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole.removeprefix("gaudi_lab.") in MODULES else base
        case ast.Call(func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module")):
            match node.args[:1]:
                case [ast.Constant(value=str(name))]:
                    yield name


@pytest.fixture(scope="module")
def arrows():
    return [
        arrow
        for module, path in MODULES.items()
        for arrow in imports_of(module, path.read_text(), is_package=path.name == "__init__.py")
        if unit(arrow.importer) != unit(arrow.imported)
    ]


def test_every_module_is_in_a_layer_and_every_layer_has_modules():
    listed = [name for units in LAYERS for name in units]
    assert sorted(listed) == sorted({unit(module) for module in MODULES})


def test_imports_point_down(arrows):
    wrong = [
        f"{arrow.importer} imports {arrow.imported}"
        for arrow in arrows
        if layer(arrow.imported) >= layer(arrow.importer)
        and (arrow.importer, unit(arrow.imported)) not in EXCEPTIONS
    ]
    assert not wrong
    assert len(arrows) > 200


def test_an_exception_is_needed_and_runs_only_when_called(arrows):
    for importer, imported in EXCEPTIONS:
        found = [x for x in arrows if (x.importer, unit(x.imported)) == (importer, imported)]
        assert found, f"{importer} no longer imports {imported}"
        assert all(arrow.in_function for arrow in found)


def test_one_module_speaks_to_habana_frameworks(arrows):
    speakers = {
        module
        for module, path in MODULES.items()
        if not module.startswith("emulator") and "habana_frameworks" in code(path)
    }
    assert speakers == {"bridge"} | NAMES_THE_BRIDGE.keys()
    assert not [x for x in arrows if x.importer in NAMES_THE_BRIDGE and "habana_frameworks" in x.imported]


def code(path: Path) -> str:
    """Return a module's source without its documentation, which may mention anything."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() if ast.get_docstring(node):
                node.body[0] = ast.Pass()
    return ast.unparse(tree)


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("from gaudi_lab import api, warmup", ["api", "gaudi_lab"]),
        ("from gaudi_lab.workbench import lab", ["workbench.lab"]),
        ("import gaudi_lab.workbench.lab", ["workbench.lab"]),
        ("from .. import render", ["render"]),
        ("from .handle import Handle", ["instruments.handle"]),
        ("def f():\n    from ..render import units", ["render.units"]),
        ("importlib.import_module('gaudi_lab.api')", ["api"]),
        ("import habana_frameworks.torch.hpu as hpu", ["emulator.habana_frameworks.torch.hpu"]),
        ("if TYPE_CHECKING:\n    from gaudi_lab import api\nelse:\n    import gaudi_lab.bridge", ["bridge"]),
        ("import torch", []),
    ],
)
def test_imports_are_seen_in_every_form(source, imported):
    assert [
        arrow.imported for arrow in imports_of("instruments.graphs", source, is_package=False)
    ] == imported


def test_a_package_counts_its_own_dots():
    (arrow,) = imports_of("instruments", "from . import handle", is_package=True)
    assert arrow.imported == "instruments.handle"
