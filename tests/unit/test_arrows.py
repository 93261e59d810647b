"""Imports in the workbench point down only, as the design draws them."""

import ast
from pathlib import Path

import gaudi_lab

HOUSE = Path(gaudi_lab.__file__).parent

# From the ground up. A room may import what is on its own floor or below.
FLOORS = [
    {"errors", "emulator"},
    {"modes", "shapes"},
    {"bridge"},
    {"render.mixin", "render.units", "instruments.handle"},
    {"warmup.timeline", "report"},
    {"instruments", "warmup", "render"},
    {"attached"},
    {"wishes"},
    {"lab"},
    {"api"},
    {"diffusers", "transformers"},
    {"notebook"},
    {"wiring"},
]


def floor(module: str) -> int | None:
    parts = module.split(".")
    for length in (2, 1):
        name = ".".join(parts[:length])
        for number, rooms in enumerate(FLOORS):
            if name in rooms:
                return number
    return None


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gaudi_lab":
            base = (node.module or "").removeprefix("gaudi_lab").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                is_module = (HOUSE / inner.replace(".", "/")).with_suffix(".py").exists()
                yield inner if is_module or not base else base


def test_arrows_point_down():
    seen, wrong = 0, []
    for path in sorted(HOUSE.rglob("*.py")):
        module = name_of(path)
        here = floor(module)
        if here is None or module.startswith("emulator"):
            continue
        for target in imports(path):
            there = floor(target)
            seen += there is not None
            if there is not None and there > here:
                wrong.append(f"{module} imports {target}")
    assert not wrong
    assert seen > 50


def test_only_one_door_leads_to_the_bridge():
    doors = {
        module
        for path in HOUSE.rglob("*.py")
        if floor(module := name_of(path)) is not None
        and not module.startswith("emulator")
        and "habana_frameworks" in code(path)
    }
    assert doors == {"bridge"}


def code(path: Path) -> str:
    """A module's source without its documentation, which may mention anything."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() if ast.get_docstring(node):
                node.body[0] = ast.Pass()
    return ast.unparse(tree)
