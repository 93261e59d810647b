"""Tab completion of the magics' arguments: modes, on and off, options, names of models."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from gaudi_lab.comparison.row import METHODS
from gaudi_lab.comparison.script import FORMS
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.notebook import namespace
from gaudi_lab.settings import FUSED_SDPA, OPERATORS, SWITCHES, Mode
from gaudi_lab.workbench import lab

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_LINE = re.compile(r"^\s*%{1,2}(?P<magic>gaudi_\w+)\s+(?P<words>.*)$")


COMPARE_OPTIONS = ("--settings", "--over", "--rounds", "--limit", "--method", "--path", "--resume")
"""The options of `%gaudi_compare`, each of which has a value."""

_VALUES = {
    ("gaudi_compare", "--method"): [*METHODS],
    ("gaudi_export", "--form"): [*FORMS],
}
"""What can follow an option."""


def candidates(
    magic: str,
    words: list[str],
    models: Iterable[str],
    loaders: Iterable[str] = (),
    variables: Iterable[str] = (),
) -> list[str]:
    """Return what can follow.

    Parameters
    ----------
    magic
        Its name, without the percent sign.
    words
        The complete words so far.
    models
        Names of models.
    loaders, variables
        Names of DataLoaders, and all that the notebook has.

    Returns
    -------
    list of str
        In the order to offer them.
    """
    positional = [word for word in words if not word.startswith("-")]
    option = next((word for word in reversed(words) if word.startswith("-")), "")
    if option in ("--drop", "--rerun"):
        return [word for word in (*variables, "--drop", "--rerun") if word not in words]
    if words and (values := _VALUES.get((magic, words[-1]))):
        return values
    if magic == OPERATORS.magic:
        if positional[:1] not in (["on"], ["off"]):
            return [] if positional else ["on", "off", *models]
        return [[*names_of_operators()], [*models]][len(positional) - 1] if len(positional) < 3 else []
    for switch in SWITCHES:
        if switch.magic == magic:
            flags = {
                flag: [*filter(None, x)] for option in switch.options for flag, x in option.words.items()
            }
            if words and flags.get(words[-1]):
                return flags[words[-1]]
            offered = [*models, *flags] if positional else ["on", "off"]
            return [word for word in offered if word not in words]
    free: dict[str, Callable[[], list[str]]] = {
        "gaudi_mode": lambda: (
            ["--relaunch", "--drop", "--rerun"] if positional else [str(mode) for mode in Mode]
        ),
        "gaudi_relaunch": lambda: ["--env", "--drop", "--rerun"],
        "gaudi_attach": lambda: [*models, "--detach"],
        "gaudi_panel": lambda: list(models),
        "gaudi_forecast": lambda: [*(models if positional else loaders), "--epochs", "--most"],
        "gaudi_freeze": lambda: [] if positional else ["on", "off"],
        "gaudi_live_line": lambda: [] if positional else ["on", "off"],
        "gaudi_warmup": lambda: [] if positional else ["-n", "--until-steady"],
        "gaudi_compare": lambda: [*models, *COMPARE_OPTIONS],
        "gaudi_export": lambda: ["--form", "--calls"],
    }
    return [word for word in free.get(magic, list)() if word not in words]


def names_of_operators() -> list[str]:
    """Return what fused operators can be asked for by; none before torch is imported."""
    # Operators are of torch, which stays out until someone has it.
    if "torch" not in sys.modules:
        return []
    from gaudi_lab.instruments.fused_operators import catalogue

    return [FUSED_SDPA.name, *(operator.name for operator in catalogue.list_operators())]


def register(shell: InteractiveShell) -> Handle:
    """Add the completion to `shell`."""

    @context_matcher()
    def gaudi_lab_matcher(context: CompletionContext) -> dict[str, Any]:
        return complete(context.text_until_cursor, shell.user_ns)

    matchers = shell.Completer.custom_matchers
    matchers.append(gaudi_lab_matcher)
    return Handle(lambda: matchers.remove(gaudi_lab_matcher))


def complete(text: str, user_ns: Mapping[str, Any]) -> dict[str, Any]:
    """Return IPython's description of the completions of a line of code up to the cursor."""
    line = _LINE.match(text)
    if line is None:
        return {"completions": []}
    words = line["words"].split(" ")
    begun = words.pop()
    names = dict.fromkeys((*namespace.models(user_ns), *lab.current().models))
    given = [word for word in words if word]
    variables = [name for name in user_ns if not name.startswith("_")]
    offered = candidates(line["magic"], given, names, namespace.loaders(user_ns), variables)
    completions = [
        SimpleCompletion(text=word, type="model" if word in names else "gaudi")
        for word in offered
        if word.startswith(begun)
    ]
    # An expression to measure is completed as Python, all else only by us.
    ours = line["magic"] not in ("gaudi_warmup", "gaudi_compare")
    return {"completions": completions, "suppress": bool(completions) or ours}
