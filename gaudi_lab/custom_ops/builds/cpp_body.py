"""A body in C++: compiled once by `torch.utils.cpp_extension.load_inline`, and kept by the hash of what made it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gaudi_lab.custom_ops import torch_internals
from gaudi_lab.errors import LabError, LabValueError

FLAGS = ("-O2",)
_NAMESPACE = "gaudi_lab_cpp"
_HEADER = """\
#include <torch/types.h>
#include <torch/library.h>
#line {line} "{file}"
{source}
#line 1 "<registration>"
TORCH_LIBRARY_FRAGMENT({namespace}, library) {{ library.def("{registered}", &{name}); }}
"""


class CppBody:
    """A compiled function, called like one of Python.

    Attributes
    ----------
    schema
        Its arguments and results, as PyTorch has read them from the C++ types.
    """

    def __init__(self, name: str, registered: str, source: str) -> None:
        self.__name__ = name
        self._call: Any = getattr(getattr(torch.ops, _NAMESPACE), registered).default
        self.schema = _schema(self._call, _argument_names(name, source))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it on tensors of the host."""
        return self._call(*args, **kwargs)


def build(name: str, source: str, *, first_line: int = 1) -> CppBody:
    """Compile a function `name` of `source`, or take it from the cache.

    Parameters
    ----------
    source
        C++ with a function `name` of tensors (`torch::Tensor`), `double`, `int64_t` and `bool`.
    first_line
        The line of the cell that it begins with, for the compiler's errors.

    Raises
    ------
    LabError
        It does not compile, with the user's own lines; or there is no compiler, or no ninja.
    """
    digest = _digest(source)
    registered = f"{name}_{digest}"
    if not hasattr(getattr(torch.ops, _NAMESPACE), registered):
        kept = cached_library(name, source)
        if kept.exists():
            torch.ops.load_library(str(kept))
        else:
            _compile(name, source, first_line, registered, kept)
    return CppBody(name, registered, source)


def cached_library(name: str, source: str) -> Path:
    """Return where the compiled form of `source` is kept, whether it is there or not."""
    folder = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions")
    return folder / "gaudi_lab" / f"{name}_{_digest(source)}.so"


def _digest(source: str) -> str:
    made = hashlib.sha256("\0".join([source, torch.__version__, *FLAGS, _HEADER]).encode())
    return made.hexdigest()[:16]


def _compile(name: str, source: str, first_line: int, registered: str, kept: Path) -> None:
    from torch.utils import cpp_extension

    compiler = cpp_extension.get_cxx_compiler()
    if shutil.which(compiler) is None:
        raise LabError(
            f"The operator {name} has its body in C++, and there is no compiler {compiler}.",
            python="!apt install g++",
        )
    text = _HEADER.format(
        line=first_line,
        file=_file(name),
        source=source,
        namespace=_NAMESPACE,
        registered=registered,
        name=name,
    )
    kept.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own, renamed when it is whole: an interrupted build leaves neither half a library nor a lock.
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix="building-") as folder, _ninja_on_path():
        try:
            cpp_extension.load_inline(
                registered,
                text,
                extra_cflags=list(FLAGS),
                build_directory=folder,
                with_cuda=False,
                is_python_module=False,
                no_implicit_headers=True,
            )
        except RuntimeError as error:
            raise _explained(name, source, first_line, str(error)) from None
        built = next(Path(folder).glob("*.so"))
        os.replace(built, kept)


def _explained(name: str, source: str, first_line: int, said: str) -> LabError:
    if "Ninja is required" in said:
        return LabError(
            f"The operator {name} has its body in C++, which needs ninja to be built.",
            python="%pip install ninja",
        )
    lines = source.splitlines()
    found = []
    pattern = rf"^{re.escape(_file(name))}:(\d+):(?:(\d+):)? (?:fatal )?error: (.*)$"
    for number, column, what in re.findall(pattern, said, re.MULTILINE):
        where = int(number) - first_line
        found.append(f"line {number}: {what}")
        if 0 <= where < len(lines):
            found.append(f"    {lines[where]}")
            if column:
                found.append(f"    {'':{int(column) - 1}}^")
    if not found:
        reasons = re.findall(r"(?:error|static assertion failed): (.*)$", said, re.MULTILINE)
        found = list(dict.fromkeys(reasons)) or [said.strip()]
        if any("registration" in line and "was not declared" in line for line in said.splitlines()):
            found = [f"it has no function {name}"]
    return LabError(f"The body of the operator {name} does not compile:\n" + "\n".join(found) + "\n")


def _file(name: str) -> str:
    return f"{name}.cpp"


def _argument_names(name: str, source: str) -> list[str]:
    """Return the names of the arguments as they are written; PyTorch reads the types alone."""
    bare = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.DOTALL)
    found = re.search(rf"\b{name}\s*\(([^)]*)\)\s*{{", bare)
    if found is None:
        return []
    names = [re.search(r"(\w+)\s*(?:=.*)?$", part.strip()) for part in found[1].split(",") if part.strip()]
    return [match[1] for match in names if match is not None]


def _schema(overload: Any, names: list[str]) -> str:
    arguments = [str(argument.type) for argument in torch_internals.arguments_of(overload)]
    if len(set(names)) != len(arguments):
        names = [f"argument{number}" for number in range(len(arguments))]
    text = ", ".join(f"{_SHORT.get(kind, kind)} {name}" for kind, name in zip(arguments, names, strict=True))
    results = [_SHORT.get(kind, kind) for kind in torch_internals.results_of(overload)]
    if not results:
        raise LabValueError("An operator returns tensors, and this function returns none.")
    return f"({text}) -> {results[0] if len(results) == 1 else '(' + ', '.join(results) + ')'}"


# As PyTorch writes types, and as it reads them.
_SHORT = {
    "List[Tensor]": "Tensor[]",
    "Optional[Tensor]": "Tensor?",
    "List[int]": "int[]",
    "Optional[int]": "int?",
}


@contextmanager
def _ninja_on_path() -> Iterator[None]:
    """Let PyTorch find the ninja that is installed beside it, whatever the path of the process."""
    before = os.environ.get("PATH", "")
    try:
        import ninja

        os.environ["PATH"] = os.pathsep.join([ninja.BIN_DIR, before])
    except ImportError:
        pass
    try:
        yield
    finally:
        os.environ["PATH"] = before
