"""What the user holds: an operator that can be called, checked, counted, put into a model, and defined again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any

from gaudi_lab.custom_ops import dispatcher
from gaudi_lab.custom_ops.definition import Definition, ModuleName
from gaudi_lab.custom_ops.dispatcher import RegisteredEntry
from gaudi_lab.errors import LabError

if TYPE_CHECKING:
    from torch import nn

    from gaudi_lab.custom_ops.stand_ins import StandIn
    from gaudi_lab.custom_ops.ticking.ticks import OperatorChecks


class CustomOp:
    """An operator of the user's own. Call it as the function that it was made from.

    There is one for each name: to define the operator again changes this object, so that a model that holds it runs
    the new body. What `torch.compile` made of the old one is made again at the next call.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.definition: Definition | None = None
        self._entry: RegisteredEntry | None = None
        self._overload: Any = None
        self._forms = 0
        self._earlier_calls = 0
        self._earlier_seconds = 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        # Nothing else: `torch.compile` traces this, and asks at each call whether `_overload` is still the same.
        return self._overload(*args, **kwargs)

    @property
    def entry(self) -> RegisteredEntry:
        """What PyTorch knows of it now."""
        assert self._entry is not None
        return self._entry

    @property
    def overload(self) -> Any:
        """The operator as PyTorch has it, `torch.ops.gaudi_lab_user.<name>.default`."""
        return self._overload

    @property
    def schema(self) -> str:
        """Name, arguments and results, as PyTorch writes them."""
        return f"{self.__name__}{self.entry.schema}"

    @property
    def calls(self) -> int:
        """How often a body of it has run, those before the present one included."""
        return self._earlier_calls + self.entry.calls

    @property
    def seconds(self) -> float:
        """What that took on the host."""
        return self._earlier_seconds + self.entry.seconds

    def part(self, part: str) -> Callable[..., Any] | None:
        """Return one of the functions that it was made from; None if there is none."""
        return (self.entry.parts or {}).get(part)

    def define(
        self, parts: Mapping[str, Callable[..., Any]], definition: Definition | None, **options: Any
    ) -> bool:
        """Let `parts` be the operator, and return whether they differ from what it was before.

        If PyTorch refuses them, the operator stays what it was.
        """
        if self._entry is not None and definition is not None and same(definition, self.definition):
            self._entry.replace(parts)
            self.definition = definition
            return False
        form = self._forms + 1
        registered = self.__name__ if form == 1 else f"{self.__name__}__{form}"
        self._forms = form  # spent, even if PyTorch takes the name and refuses the rest
        entry = RegisteredEntry(self.__name__, registered, parts, **options)
        before = self._entry
        if before is not None:
            self._earlier_calls += before.calls
            self._earlier_seconds += before.seconds
            before.retire()
        self._entry, self._overload, self.definition = entry, entry.overload, definition
        dispatcher.show_as(entry)
        return True

    def check(self, *inputs: Any, **named: Any) -> OperatorChecks:
        """Check the operator and return one table of ticks.

        Parameters
        ----------
        *inputs, **named
            An example of its arguments. By default those that `example` returns, or some made from the types.
        """
        from gaudi_lab.custom_ops.ticking.run_checks import check

        return check(self, inputs, named)

    def stand_in(self, model: nn.Module, *inputs: Any, **options: Any) -> StandIn:
        """Let it stand in for a type of modules, or for a function, in a live model; see `stand_ins.stand_in`."""
        from gaudi_lab.custom_ops.stand_ins import stand_in

        return stand_in(self, model, *inputs, **options)

    def as_code(self) -> str:
        """Return a script's lines that define it: what a notebook exports.

        Raises
        ------
        LabError
            It needs a value that cannot be written down.
        """
        from gaudi_lab.custom_ops.as_code import as_code

        return as_code(self)

    def __repr__(self) -> str:
        return f"<operator {dispatcher.NAMESPACE}::{self.schema}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.definition is None:
            raise LabError(
                f"The operator {self.__name__} cannot be pickled: the source of its functions is not known. Write them "
                "in a cell or a file, with def.",
                magic=f"%%gaudi_op {self.__name__}",
            )
        from gaudi_lab.custom_ops.define import from_definition

        return from_definition, (self.definition,)

    def __deepcopy__(self, memo: dict[int, Any]) -> CustomOp:
        return self  # there is one for each name, and a copied model holds the same


@dataclass(frozen=True)
class ListedOperator:
    """An operator of the user's, as plain data.

    Attributes
    ----------
    name, schema
        What it is called, and its arguments and results.
    bodies
        What its bodies are written in: ``("Python",)``, ``("C++",)``, ``("Python", "TPC-C")``.
    calls, seconds
        How often its body ran in this process, and what that took on the host.
    stands_in
        For what it stands in now, in which models.
    """

    name: str
    schema: str
    bodies: tuple[str, ...]
    calls: int
    seconds: float
    stands_in: tuple[str, ...] = ()

    def __str__(self) -> str:
        ran = f"ran {self.calls:,} times in {self.seconds:.3g} s" if self.calls else "did not run yet"
        where = f", stands in for {', '.join(self.stands_in)}" if self.stands_in else ""
        return f"{self.name} is an operator of your own, in {' and '.join(self.bodies)}: it {ran}{where}"


def same(one: Definition, other: Definition | None) -> bool:
    """Whether two definitions are of the same source and of the same values around it."""
    if other is None or one != other or one.names.keys() != other.names.keys():
        return False
    return all(same_value(value, other.names[name]) for name, value in one.names.items())


def same_value(one: Any, other: Any) -> bool:
    """Whether two values mean the same to a source that uses them."""
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        return one.__code__ == other.__code__
    if type(one) is type(other) and isinstance(one, (int, float, str, bool, ModuleName, type(None))):
        return one == other
    return one is other
