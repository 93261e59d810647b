"""How PyTorch knows the user's operators: `torch.library.custom_op`, with functions behind it that can be replaced.

PyTorch keeps what it was told of an operator for the life of the process, and graphs keep the operator. So an operator
is registered once for each form of its source, under a name that nothing else has. What PyTorch is given are the
functions of a `RegisteredEntry`, and those look up what they run: a body that was run again unchanged takes the place
of the one before, and one that was replaced raises instead of computing what nobody means any more.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import torch

from gaudi_lab.custom_ops import promises, torch_internals
from gaudi_lab.errors import LabError, LabValueError

NAMESPACE = "gaudi_lab_user"
"""The namespace of the user's operators: `torch.ops.gaudi_lab_user.scaled_gelu`."""

Function = Callable[..., Any]


class RegisteredEntry:
    """One registered operator, and the functions that stand behind it now.

    Parameters
    ----------
    name
        The name that the user gave it.
    registered
        The name that PyTorch gets.
    parts
        Its functions; see `gaudi_lab.custom_ops.definition`.
    mutates
        Names of the arguments that the body writes into.
    on_host
        Whether the body reads the memory of its tensors, as C++ does: it is then registered for the CPU alone, and a
        device without a kernel hands its tensors to the host. A Python body runs on any device, with its operators.

    Attributes
    ----------
    overload
        The operator, for `torch.compile` and `torch.library.opcheck`.
    calls, seconds
        How often the body ran, and how long that took on the host.
    """

    def __init__(
        self,
        name: str,
        registered: str,
        parts: Mapping[str, Function],
        *,
        mutates: tuple[str, ...] = (),
        on_host: bool = False,
    ) -> None:
        self.name = name
        self.registered = registered
        self.parts: dict[str, Function] | None = dict(parts)
        self.on_host = on_host
        self.calls = 0
        self.seconds = 0.0
        self._counting = threading.Lock()
        self.mutates = mutates
        self.kept: set[Any] = set()  # for which arguments the shape function has told the truth
        self._define = _schema_of(name, parts["body"], mutates)
        self._names = torch_internals.argument_names(self._define)
        made = torch.library.custom_op(
            f"{NAMESPACE}::{registered}",
            self._body,
            mutates_args=mutates,
            schema=self._define,
            device_types="cpu" if on_host else None,
        )
        made.register_fake(self._fake)
        if "backward" in parts:
            made.register_autograd(
                self._backward, setup_context=self._setup_context if "setup_context" in parts else None
            )
        self.overload: Any = torch_internals.overload_of(made)

    @property
    def schema(self) -> str:
        """The schema, such as ``(Tensor x, float scale) -> Tensor``."""
        return self._define

    def replace(self, parts: Mapping[str, Function]) -> None:
        """Let other functions of the same source stand behind the operator."""
        self.parts = dict(parts)
        self.kept.clear()

    def retire(self) -> None:
        """Let go of the functions. Graphs that hold the operator raise from now on."""
        self.parts = None

    def _part(self, part: str) -> Function:
        if self.parts is None:
            self._refuse()
        return self.parts[part]

    def _refuse(self) -> NoReturn:
        raise LabError(
            f"The operator {self.name} was defined anew, and a graph that was made before still holds its old body. "
            "That graph is not run. Capture or compile it again.",
            python="gaudi_lab.hpu_graphs(model, False); gaudi_lab.hpu_graphs(model)",
            magic="%gaudi_graphs off, then %gaudi_graphs on",
        )

    def _body(self, *args: Any, **kwargs: Any) -> Any:
        body = self._part("body")
        given = promises.take_down(self._names, args, kwargs)
        started = time.perf_counter()
        try:
            with torch_internals.writes_counted():
                out = body(*args, **kwargs)
        finally:
            took = time.perf_counter() - started
            with self._counting:
                self.calls += 1
                self.seconds += took
        promises.require_kept(self, given, out)
        return out

    def _fake(self, *args: Any, **kwargs: Any) -> Any:
        parts = self.parts
        if parts is None:
            self._refuse()
        if "shape" in parts:
            return parts["shape"](*args, **kwargs)
        if self.on_host:
            raise LabError(
                f"The operator {self.name} has its body in C++, and nothing says what it returns: write a function "
                "shape, of the same arguments, that returns empty tensors.",
                python=f"def shape({', '.join(self._names)}): return torch.empty_like(x)",
            )
        return parts["body"](*args, **kwargs)

    def _backward(self, context: Any, *grads: Any) -> Any:
        return self._part("backward")(context, *grads)

    def _setup_context(self, *args: Any, **kwargs: Any) -> Any:
        return self._part("setup_context")(*args, **kwargs)


def show_as(entry: RegisteredEntry) -> None:
    """Let `torch.ops.gaudi_lab_user.<name>` be this operator."""
    packet = getattr(getattr(torch.ops, NAMESPACE), entry.registered)
    if entry.registered != entry.name:
        setattr(getattr(torch.ops, NAMESPACE), entry.name, packet)


def _schema_of(name: str, body: Function, mutates: tuple[str, ...]) -> str:
    """Return the schema that the types of `body` say."""
    known = getattr(body, "schema", None)  # of a body in C++, whose types PyTorch has read
    if known is not None:
        return str(known)
    unknown = set(mutates) - set(inspect.signature(body).parameters)
    if unknown:
        raise LabValueError(
            f"The operator {name} is said to write into {', '.join(sorted(unknown))}, which it has not."
        )
    try:
        return torch.library.infer_schema(body, mutates_args=mutates)
    except (ValueError, NameError) as error:
        reason = str(error).partition("Got func with signature")[0].strip()
        raise LabValueError(
            f"The operator {name} needs types for its arguments and its result: {reason}",
            python=f"def {name}(x: torch.Tensor, scale: float) -> torch.Tensor:",
        ) from error
