"""Public names: a stub names them, and each is imported when it is first used."""

import ast
import importlib
import sys
import textwrap
from pathlib import Path

import pytest

import gaudi_lab
from gaudi_lab._lazy_names import lazy_names

PACKAGE = Path(gaudi_lab.__file__).parent
STUBS = {
    ".".join(("gaudi_lab", *stub.parent.relative_to(PACKAGE).parts)): stub
    for stub in sorted(PACKAGE.rglob("__init__.pyi"))
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `shop` with a stub of three names."""
    folder = tmp_path / "shop"
    (folder / "tools").mkdir(parents=True)
    (folder / "tools" / "__init__.py").touch()
    (folder / "fruit.py").write_text("apple = 'an apple'\n")
    (folder / "__init__.py").touch()
    (folder / "__init__.pyi").write_text(
        textwrap.dedent("""
        from shop import tools as tools
        from shop.fruit import apple as apple
        from shop.fruit import pear as pear

        def open_shop() -> None: ...
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]


def test_a_name_is_imported_when_it_is_asked_for(package):
    get, names, public = lazy_names("shop", str(package / "__init__.py"))
    assert names() == public == ["apple", "pear", "tools"]
    assert "shop.fruit" not in sys.modules
    assert get("apple") == "an apple"
    assert get("tools") is sys.modules["shop.tools"]


def test_what_the_stub_does_not_import_is_an_attribute_error(package):
    get, _, _ = lazy_names("shop", str(package / "__init__.py"))
    for name in ("open_shop", "banana"):
        with pytest.raises(AttributeError, match=f"'shop' has no attribute '{name}'"):
            get(name)


def test_a_name_that_is_nearly_right_is_suggested(package):
    get, _, _ = lazy_names("shop", str(package / "__init__.py"))
    with pytest.raises(AttributeError, match=r"no attribute 'aple'. Did you mean apple\?$"):
        get("aple")


def test_a_stub_that_names_what_is_not_there_is_found_out(package):
    get, _, _ = lazy_names("shop", str(package / "__init__.py"))
    with pytest.raises(AttributeError, match="pear"):
        get("pear")


def test_there_are_stubs():
    assert STUBS.keys() >= {"gaudi_lab", "gaudi_lab.transformers", "gaudi_lab.diffusers"}


@pytest.mark.parametrize("package", STUBS)
def test_a_stub_exports_each_name_as_itself_and_it_is_there(package):
    module = importlib.import_module(package)
    imports = [
        node for node in ast.parse(STUBS[package].read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    aliases = [alias for node in imports for alias in node.names]
    assert all(alias.name == alias.asname for alias in aliases)
    assert sorted(alias.name for alias in aliases) == module.__all__ == dir(module)
    for alias in aliases:
        assert getattr(module, alias.name) is not None


@pytest.mark.parametrize("package", STUBS)
def test_what_a_package_defines_itself_is_in_its_stub_too(package):
    def functions(path):
        tree = ast.parse(path.read_text())
        return {x.name for x in tree.body if isinstance(x, ast.FunctionDef) and not x.name.startswith("_")}

    assert functions(STUBS[package]) == functions(STUBS[package].with_suffix(".py"))
