"""What a check of an operator found, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass

from gaudi_lab.errors import LabError
from gaudi_lab.rendered import Rendered


@dataclass(frozen=True)
class Tick:
    """What one check found.

    Attributes
    ----------
    name
        What was checked, such as "strided inputs".
    passed
        None if it could not be checked, which is no tick.
    detail
        What was found, with the line if something is wrong; why it could not be checked.
    """

    name: str
    passed: bool | None
    detail: str = ""

    @property
    def mark(self) -> str:
        """A tick, a cross, or a dash for what could not be checked."""
        return {True: "✓", False: "✗", None: "–"}[self.passed]


@dataclass(frozen=True, repr=False)
class OperatorChecks(Rendered):
    """Every check of an operator.

    Attributes
    ----------
    operator, schema
        Its name, and its arguments and results as PyTorch writes them.
    ticks
        In the order in which they were made.
    emulated
        Whether the device was emulated on the CPU.
    inputs
        The example that it was checked with, in words.
    """

    operator: str
    schema: str
    ticks: tuple[Tick, ...]
    emulated: bool = False
    inputs: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong. What could not be checked is not counted."""
        return all(tick.passed is not False for tick in self.ticks)

    def of(self, name: str) -> Tick:
        """Return the tick of a name.

        Raises
        ------
        KeyError
            There is none.
        """
        return {tick.name: tick for tick in self.ticks}[name]

    def require(self) -> OperatorChecks:
        """Return this if nothing is wrong.

        Raises
        ------
        LabError
            With every cross and its detail.
        """
        crosses = [f"{tick.name}: {tick.detail}" for tick in self.ticks if tick.passed is False]
        if crosses:
            raise LabError(f"The operator {self.operator} does not pass. " + ". ".join(crosses))
        return self
