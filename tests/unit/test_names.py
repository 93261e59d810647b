"""Names and sizes: a reader who knows one file can find the others."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import gaudi_lab

PACKAGE = Path(gaudi_lab.__file__).parent
ROOT = PACKAGE.parent
FILES = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
PUBLIC = "emulator/habana_frameworks/"  # the bridge's own paths and names, which are not ours to choose

MOST_MODULES = 15
FEWEST_LINES = 10

# Names that two modules or two classes share, each with its reason.
SHARED_NAMES: dict[str, str] = {
    "snapshot": "the panel's is what it shows at a moment, the other one a notebook in a folder",
}

# Modules under ten lines, each with its reason. A package's `__init__` may hold nothing but its map.
SHORT = {"modes.py": "the deprecated name of settings.py; goes with the next release"}


def twice(places: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the names with more than one place that nobody has given a reason for."""
    return {name: found for name, found in places.items() if len(found) > 1 and name not in SHARED_NAMES}


def test_no_two_modules_have_one_name():
    places = defaultdict(list)
    for file in FILES:
        if not file.startswith(PUBLIC):
            path = Path(file)
            name = path.parent.name if path.stem == "__init__" else path.stem
            places[name].append(file)
    assert not twice(places)


def test_no_two_classes_have_one_name():
    places = defaultdict(list)
    for file, source in FILES.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(file)
    ours = {name: found for name, found in places.items() if not all(x.startswith(PUBLIC) for x in found)}
    assert not twice(ours)


def test_no_package_has_the_name_of_a_public_function():
    # Importing the package would overwrite the function.
    packages = {Path(file).parts[0].removesuffix(".py") for file in FILES}
    functions = {name for name in gaudi_lab.__all__ if f"{name}/__init__.py" not in FILES}
    assert not packages & functions


def test_no_folder_has_more_modules_than_one_can_look_over():
    modules = [file for file in FILES if not file.endswith("__init__.py") and not file.startswith(PUBLIC)]
    folders = Counter(str(Path(file).parent) for file in modules)
    assert {folder: count for folder, count in folders.items() if count > MOST_MODULES} == {}


def test_no_file_is_too_short_to_be_one():
    short = {
        file
        for file, source in FILES.items()
        if len(source.splitlines()) < FEWEST_LINES and not file.endswith("__init__.py")
    }
    assert short == SHORT.keys()


@pytest.mark.parametrize("file", [file for file in FILES if file.endswith("__init__.py")])
def test_the_init_of_a_folder_says_what_is_in_it(file):
    assert ast.get_docstring(ast.parse(FILES[file]))


PICTURE = re.compile(
    r"(?<![^\W_])(?:(?<!make[ _])(?<!makes )rooms?(?! for| in)|storeys?|houses?|doors?|desks?)(?![^\W_])"
    r"|(?<![\w.])floors?(?![\w(])",  # torch has an operator of that name
    re.IGNORECASE,
)


def test_no_word_of_the_picture_that_the_layers_were_drawn_with():
    texts = dict(FILES)
    for pattern in ("*.md", "docs/*.md", "notebooks/*.py", "notebooks/*.ipynb"):
        for path in ROOT.glob(pattern):
            texts[path.name] = re.sub(r'"image/png": ".*"', "", path.read_text())
    found = {name: words for name, text in texts.items() if (words := PICTURE.findall(text))}
    assert not found


@pytest.mark.parametrize(
    ("text", "words"),
    [("the one door to it", ["door"]), ("self._desks: Desk", ["desks", "Desk"]), ("ground floor", ["floor"])],
)
def test_the_words_are_found_in_names_and_in_sentences(text, words):
    assert PICTURE.findall(text) == words


@pytest.mark.parametrize("text", ["torch.floor(x)", "floor_divide", "it makes room for one", "indoors"])
def test_other_words_are_not(text):
    assert not PICTURE.findall(text)
