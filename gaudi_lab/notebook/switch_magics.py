"""One magic for each row of the table of switches: `%gaudi_graphs on`, `%gaudi_sdpa off model`, and so on."""

from __future__ import annotations

import argparse
import inspect
import re
from typing import Any

from IPython.core.magic_arguments import MagicArgumentParser

from gaudi_lab import api
from gaudi_lab.notebook.usage import HELP
from gaudi_lab.options import NamedValues, read_pair
from gaudi_lab.settings import Switch


class AppendPair(argparse.Action):
    """Reads one more NAME=VALUE, and refuses in our words what is none."""

    def __call__(self, _: Any, namespace: Any, values: Any, option: str | None = None) -> None:  # noqa: ARG002, D102 - argparse's
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or ()), read_pair(values)])


def make_parser(switch: Switch) -> MagicArgumentParser:
    """Return what reads the arguments of a switch's magic: on or off, a model, and the switch's own options."""
    parser = MagicArgumentParser(switch.magic, description=_describe(switch))
    parser.add_argument("-h", "--help", **HELP)
    parser.add_argument("switch", choices=["on", "off"], help=f"Whether to use {switch.label}.")
    parser.add_argument("model", nargs="?", help="Name of a model; all attached ones by default.")
    for option in switch.options:
        for flag, values in option.words.items():
            declared: dict[str, Any] = {"dest": option.field}
            if isinstance(option, NamedValues):
                declared |= {"action": AppendPair, "metavar": "NAME=VALUE", "help": option.note}
            elif "" in values:
                declared |= {
                    "action": "store_const",
                    "const": values[""],
                    "help": f"{option.describe(values['']).capitalize()}. {option.note}",
                }
            else:
                declared |= {"choices": list(values), "help": option.note or option.label}
            parser.add_argument(flag, **declared)
    return parser


def _describe(switch: Switch) -> str:
    """Return what the function's documentation says before its parameters: the magic has its own."""
    function = getattr(api, switch.name)
    text = (inspect.getdoc(function) or "").partition("\n\nParameters")[0]
    return f"{re.sub(r' In a notebook: `[^`]*`[.]', '', text)}\n\nIn Python: gaudi_lab.{switch.name}(model)"
