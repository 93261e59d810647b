"""The operators of one call, watched for what an HPU graph cannot hold.

A graph holds device operators on device memory. What the host reads, draws or writes meanwhile is done once, at the
capture, and is not there in a replay.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gaudi_lab import bridge, frontend

READS_VALUE = "reads-value"
RANDOM_ON_HOST = "random-on-host"
ARGUMENT_ON_HOST = "argument-on-host"
HOST_WRITTEN = "host-tensor-written"

_DEVICE = "hpu"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
# Indices choose by position, and only a mask chooses as many elements as it holds.
_INDEXING = ("aten::index", "aten::_unsafe_index")
_COMPARING = ("aten::equal", "aten::is_nonzero", "aten::allclose")
# Functions that read a value for nothing but a warning: a replay may as well go on without.
_ONLY_WARN = ("warn_if_padding_and_no_attention_mask",)
# Frames of these are on the way to an operator, and not the line that asks for it.
_ON_THE_WAY = (
    os.path.dirname(torch.__file__) + os.sep,
    _PACKAGE + os.sep,
    sysconfig.get_paths()["stdlib"] + os.sep + "contextlib",
)
_OF_IPYTHON = os.sep + os.path.join("IPython", "core", "")


@dataclass(frozen=True)
class HostWork:
    """Something that a graph cannot hold.

    Attributes
    ----------
    code
        One of this module's codes.
    name
        The operator or tensor that it is about.
    line
        Where it was asked for, as `frontend.name_line` says it; empty if no frame of the model's own is left.
    """

    code: str
    name: str
    line: str


class OperatorsSeen(TorchDispatchMode):
    """Watches the operators that run inside its `with` block. They run as without it.

    Parameters
    ----------
    arguments, held
        The call's tensors, and those that hang on its model and objects; each by name.

    Attributes
    ----------
    findings
        What a graph could not hold, in the order in which it was met.
    written
        The tensors among those given that were written in place, by name.
    """

    def __init__(self, arguments: Mapping[str, torch.Tensor], held: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.findings: list[HostWork] = []
        self.written: dict[str, torch.Tensor] = {}
        # Each tensor given, and each view of one, by identity: itself, so that it lives, and the one given.
        self._roots: dict[int, tuple[torch.Tensor, str, torch.Tensor]] = {
            id(x): (x, name, x) for name, x in {**held, **arguments}.items()
        }
        self._arguments = set(arguments)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator and take note of it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self._note(func, args, kwargs, result)
        return result

    def _note(self, func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        given = list(_tensors_in([args, list(kwargs.values())]))
        made = list(_tensors_in(result))
        from_device = any(x.device.type == _DEVICE for x in given)
        if from_device and _reads(func, args, made):
            self._find(READS_VALUE, _readable(func))
        if torch.Tag.nondeterministic_seeded in func.tags and made and made[0].device.type == "cpu":
            self._find(RANDOM_ON_HOST, _readable(func))
        schema = func._schema  # noqa: SLF001 - torch's own name for it
        views = [x for x in schema.returns if x.alias_info is not None and not x.alias_info.is_write]
        for x in given:
            known = self._roots.get(id(x))
            if known is None:
                continue
            _, name, root = known
            if views:
                self._roots.update({id(y): (y, name, root) for y in made})
            elif name in self._arguments and x.device.type != _DEVICE:
                self._find(ARGUMENT_ON_HOST, name)
        if schema.is_mutable:
            for x in _written(schema, args, kwargs):
                _, name, root = self._roots.get(id(x), (x, "", x))
                if name and name not in self.written:
                    self.written[name] = root
                    if x.device.type != _DEVICE:
                        self._find(HOST_WRITTEN, name)

    def _find(self, code: str, name: str) -> None:
        function, line = asker()
        if function not in _ONLY_WARN and not any(x.code == code and x.name == name for x in self.findings):
            self.findings.append(HostWork(code, name, line))


def _reads(func: Any, args: Any, made: list[torch.Tensor]) -> bool:
    """Whether the host gets to know what is in a tensor on the device."""
    if func._schema.name in _INDEXING:  # noqa: SLF001
        return any(x.dtype in (torch.bool, torch.uint8) for x in _tensors_in(args[1]))
    if func._schema.name in _COMPARING:  # noqa: SLF001 - torch has no tag for them
        return True
    if torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags:
        return True
    # To the host, and not from it: the first of `copy_` is where the value goes.
    return bool(made) and made[0].device.type == "cpu"


def _written(schema: Any, args: Any, kwargs: dict[str, Any]) -> Iterator[torch.Tensor]:
    for position, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            yield from _tensors_in(value)


def _tensors_in(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for x in value:
            yield from _tensors_in(x)


def _readable(func: Any) -> str:
    name = func._schema.name.partition("::")[2]  # noqa: SLF001
    return {"_local_scalar_dense": "item", "_to_copy": "to"}.get(name, name)


def asker() -> tuple[str, str]:
    """Return which function of the model's own, or of a library of models, runs now, and what its line is called.

    That is the innermost frame that is not of torch, the bridge, IPython or Gaudi Lab; empty texts if there is none.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - `inspect` would read every source file on the way
    while frame is not None and _is_on_the_way(frame.f_code.co_filename):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return "", ""
    return frame.f_code.co_name, frontend.name_line(frame.f_code.co_filename, frame.f_lineno)


def _is_on_the_way(file: str) -> bool:
    return file.startswith(_ON_THE_WAY) or bridge.is_own_code(file) or _OF_IPYTHON in file
