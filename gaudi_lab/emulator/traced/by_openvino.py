"""What Dynamo traced, compiled by OpenVINO at its first call, with the parameters among its inputs as constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from gaudi_lab.emulator.device.random import is_random
from gaudi_lab.emulator.lazy import agreement, recorded_graph
from gaudi_lab.emulator.lazy.compilers import CannotCompile, PassedOver, Runner, passed_over
from gaudi_lab.emulator.lazy.openvino.constant_variants import NAME, Variants
from gaudi_lab.emulator.lazy.openvino.conversion import DTYPES
from gaudi_lab.emulator.lazy.recorded_graph import PureGraph


class TracedByOpenVINO:
    """A traced graph without gradients. What OpenVINO cannot take runs as traced, and is told in `passed_over`.

    Parameters
    ----------
    name
        What the counters call it.
    traced
        The graph, a function of host tensors.
    parameters
        The positions of those inputs that are parameters of a module.
    """

    def __init__(self, name: str, traced: fx.GraphModule, parameters: Sequence[int]) -> None:
        self.name = name
        self._traced = traced
        self._parameters = parameters
        self._run: Runner | None = None

    def __call__(self, *hosts: Any) -> Sequence[Any]:
        """Run the graph."""
        if self._run is None:
            return self._first(hosts)
        return self._run(*hosts)

    def _first(self, hosts: Sequence[Any]) -> Sequence[Any]:
        try:
            if torch.is_autocast_enabled("hpu"):
                raise CannotCompile("autocast is on")
            if not all(isinstance(x, torch.Tensor) and x.dtype in DTYPES for x in hosts):
                raise CannotCompile(
                    "it has inputs that are no tensors, or of another dtype than it computes in"
                )
            run = Variants(self, [x for x in self._parameters if not hosts[x].is_inference()], hosts)
            values = self._traced(*hosts)
            if not all(isinstance(x, torch.Tensor) for x in values):
                raise CannotCompile("it returns what is no tensor")
            self._run = run if run.add(hosts, hosts, values) else self._traced
        except CannotCompile as error:
            passed_over.append(PassedOver(self.name, NAME, str(error)))
            self._run = self._traced
            return self._traced(*hosts)
        return self._run(*hosts)

    def identity(self) -> object:
        """Return what the graph computes, in a form that is the same in every process."""
        return self._traced.code

    def as_values(self, hosts: Sequence[torch.Tensor], decomposed: frozenset[str]) -> PureGraph:
        """Return the graph in operators.

        Raises
        ------
        CannotCompile
            It writes into its inputs, or draws random numbers: then it cannot be run twice and compared.
        """
        pure = recorded_graph.trace(lambda *given: tuple(self._traced(*given)), hosts, decomposed)
        for node in pure.module.graph.nodes:
            if isinstance(node.target, torch._ops.OpOverload) and _draws(node):
                raise CannotCompile(f"{node.target} draws random numbers")
        if pure.updated:
            raise CannotCompile("it writes into its inputs")
        return pure

    def keep_written(self, hosts: Sequence[Any]) -> Sequence[Any]:
        """Return the inputs: it writes into none."""
        return hosts

    def by_steps(self) -> Runner:
        """Return the graph as traced."""
        return self._traced

    def agrees(self, found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> bool:
        """Return whether results agree with those of the graph as traced; if not, it is told."""
        difference = agreement.difference_of(
            found, expected, computed_in=[x.dtype for x in expected], layout=True
        )
        return agreement.believe(self.name, NAME, difference)


def _draws(node: fx.Node) -> bool:
    """Return whether a node draws random numbers: attention on the host does so for its dropout only."""
    if node.target is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default:
        return bool(node.args[3:4] and node.args[3])
    return is_random(node.target)
