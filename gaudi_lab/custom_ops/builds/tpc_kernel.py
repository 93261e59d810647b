"""A kernel in TPC-C: compiled by `tpc-clang`, and run on Intel's simulator.

One rule joins a kernel and its operator. The kernel's arguments are the operator's tensors, then its results, then its
numbers. One member of the index space is one vector of the innermost dimension (64 elements of 32 bits, 128 of 16) and
one step in each other dimension: a kernel that treats several steps at once has its own glue code, for which
`gaudi-lab new-op` writes the files.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from gaudi_lab.custom_ops.builds.tpc_tools import TpcTools
from gaudi_lab.errors import LabError

DEVICES = ("gaudi", "gaudi2", "gaudi3")
_MOST_DIMENSIONS = 5
_PATIENCE = 300.0

# The names of tpc_lib_api::TensorDataType, and how many elements a vector of 2048 bits has.
_KINDS = {
    torch.float32: ("DATA_F32", 64),
    torch.bfloat16: ("DATA_BF16", 128),
    torch.int32: ("DATA_I32", 64),
    torch.int16: ("DATA_I16", 128),
    torch.int8: ("DATA_I8", 256),
}


def compile_kernel(
    tools: TpcTools, name: str, source: str, folder: Path, *, device: str = "gaudi2", first_line: int = 1
) -> Path:
    """Compile a kernel and return its ELF file.

    The flags are those of `src/CMakeLists.txt` in Habana_Custom_Kernel.

    Parameters
    ----------
    folder
        Where the files go.
    device
        For which processor: "gaudi", "gaudi2" or "gaudi3".
    first_line
        The line of the cell that `source` begins with.

    Raises
    ------
    LabError
        It does not compile, with the user's own lines.
    """
    file, elf = folder / f"{name}.c", folder / f"{name}.o"
    file.write_text(f'#line {first_line} "{name}.c"\n{source}', encoding="utf-8")
    command = [str(tools.compiler), "-Wall", "-Werror", f"-march={device}", "-O2", f"-I{tools.include}"]
    said = _run([*command, file.name, "-c", "-o", elf.name], folder, tools)
    if said.returncode:
        errors = re.findall(
            rf"^{re.escape(name)}\.c:(\d+):\d+: (?:fatal )?error: (.*)$", said.stderr, re.MULTILINE
        )
        lines = [f"line {number}: {what}" for number, what in errors] or [said.stderr.strip()]
        raise LabError(f"The TPC-C kernel of {name} does not compile:\n" + "\n".join(lines) + "\n")
    return elf


def simulate(
    tools: TpcTools,
    elf: Path,
    inputs: Sequence[torch.Tensor],
    results: Sequence[torch.Tensor],
    numbers: Sequence[Any] = (),
    *,
    device: str = "gaudi2",
) -> list[torch.Tensor]:
    """Run a kernel on the simulator.

    Parameters
    ----------
    inputs
        Its input tensors, on the CPU.
    results
        Tensors like its results, whose values are not read.
    numbers
        Its numbers: float, int or bool, each 32 bits for the kernel.

    Raises
    ------
    LabError
        A tensor is of a kind that the kernel cannot have, or the simulator fails, with what it said.
    """
    for x in (*inputs, *results):
        if x.dtype not in _KINDS or not 1 <= x.dim() <= _MOST_DIMENSIONS:
            raise LabError(
                f"A TPC kernel takes tensors of 1 to {_MOST_DIMENSIONS} dimensions in "
                f"{', '.join(str(kind).removeprefix('torch.') for kind in _KINDS)}, and this is one of {x.dim()} in "
                f"{str(x.dtype).removeprefix('torch.')}."
            )
    program = _simulator(tools)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        words = [_described(x, folder / f"input{number}") for number, x in enumerate(inputs)]
        # What the kernel does not write must not look like a result: all bits set are NaN, or -1.
        outs = [_described(_blank(x), folder / f"result{number}") for number, x in enumerate(results)]
        said = _run(
            [
                str(program),
                device,
                str(elf),
                str(len(words)),
                str(len(outs)),
                *[word for described in (*words, *outs) for word in described],
                *[_bits(number) for number in numbers],
            ],
            folder,
            tools,
        )
        if said.returncode:
            raise LabError(
                f"The simulator did not run the kernel: {(said.stderr or said.stdout).strip()[-400:]}"
            )
        return [_read(x, folder / f"result{number}") for number, x in enumerate(results)]


def _described(x: torch.Tensor, file: Path) -> list[str]:
    """Write the values of a tensor, and return how the program is told of it: innermost dimension first."""
    file.write_bytes(x.detach().contiguous().view(torch.uint8).numpy().tobytes())
    kind, lanes = _KINDS[x.dtype]
    sizes = [str(size) for size in reversed(x.shape)]
    return [str(file), kind, str(lanes), str(x.element_size()), str(len(sizes)), *sizes]


def _blank(like: torch.Tensor) -> torch.Tensor:
    return torch.full((*like.shape, like.element_size()), 255, dtype=torch.uint8).view(like.dtype)[..., 0]


def _read(like: torch.Tensor, file: Path) -> torch.Tensor:
    values = torch.frombuffer(bytearray(file.read_bytes()), dtype=like.dtype)
    return values.reshape(like.shape)


def _bits(number: Any) -> str:
    return str(struct.unpack("<I", struct.pack("<f" if isinstance(number, float) else "<i", number))[0])


def _simulator(tools: TpcTools) -> Path:
    """Build the program that runs a kernel on the simulator, once for each version of the tools."""
    source = resources.files(__package__).joinpath("templates/simulate.cpp").read_text(encoding="utf-8")
    dated = [str(path.stat().st_mtime_ns) for path in tools.libraries]
    digest = hashlib.sha256("\0".join([source, str(tools.folder), *dated]).encode()).hexdigest()[:16]
    cache = (
        Path(os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions")
        / "gaudi_lab"
    )
    program = cache / f"tpc_simulate_{digest}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as folder:
            (Path(folder) / "simulate.cpp").write_text(source, encoding="utf-8")
            compiler = os.environ.get("CXX", "c++")
            command = [compiler, "-std=c++17", "-O1", "simulate.cpp", f"-I{tools.include}", "-o", "simulate"]
            libraries = [*map(str, tools.libraries), f"-Wl,-rpath,{tools.folder}", "-lpthread"]
            said = _run([*command, *libraries], Path(folder), tools)
            if said.returncode:
                raise LabError(
                    "The program that runs kernels on the simulator does not build with these TPC tools: "
                    f"{said.stderr.strip()[:400]}"
                )
            os.replace(Path(folder) / "simulate", program)
    return program


def _run(command: list[str], folder: Path, tools: TpcTools) -> subprocess.CompletedProcess[str]:
    # The README: "make sure you add /usr/lib/habanatools path to LD_LIBRARY_PATH".
    searched = os.pathsep.join(filter(None, [str(tools.folder), os.environ.get("LD_LIBRARY_PATH", "")]))
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LD_LIBRARY_PATH": searched},
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{Path(command[0]).name} was stopped after {_PATIENCE:.0f} s.") from None
