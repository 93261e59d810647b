"""The magics. Each names the Python function it stands for, and does little more than call it.

Those of the switches are made from the table of switches.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments

from gaudi_lab import api
from gaudi_lab.comparison.result import Comparison
from gaudi_lab.comparison.row import METHODS
from gaudi_lab.comparison.script import FORMS
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.measure.forecast import Forecast
from gaudi_lab.measure.timeline import Timeline
from gaudi_lab.measure.why import Why
from gaudi_lab.notebook import compared_code, namespace
from gaudi_lab.notebook.completion import COMPARE_OPTIONS, names_of_operators
from gaudi_lab.notebook.operator_magic import OperatorMagics
from gaudi_lab.notebook.repeat import repeat
from gaudi_lab.notebook.switch_magics import make_parser
from gaudi_lab.notebook.usage import HELP, explain_refusals, read_arguments, unquote, words_of
from gaudi_lab.report import Change, Operators, Status
from gaudi_lab.settings import OPERATORS, SWITCHES, Mode, Switch
from gaudi_lab.workbench import lab

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from gaudi_lab.notebook.panel.widget import Panel

_help = argument("-h", "--help", **HELP)
_drop = argument(
    "--drop",
    metavar="NAME",
    nargs="+",
    action="extend",
    default=[],
    help="Names to give up that cannot travel.",
)
_rerun = argument(
    "--rerun",
    metavar="NAME",
    nargs="+",
    action="extend",
    default=[],
    help="Names to make anew there, each by the cell that bound it.",
)


@magics_class
class GaudiMagics(Magics):
    """The magics that are no switches, and what the others share.

    Attributes
    ----------
    compared
        The last comparison, to write a script of.
    """

    compared: Comparison | None = None

    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    @argument("--relaunch", action="store_true", help="In a fresh process, also where the bridge needs none.")
    @_drop
    @_rerun
    @argument("mode", nargs="?", choices=[str(mode) for mode in Mode], help="The mode to go to.")
    def gaudi_mode(self, line: str) -> None:
        """Show or set the execution mode.

        lazy collects operators into graphs, eager runs each at once, compile is eager with torch.compile on
        the attached models. HPU graphs go off when lazy mode is left, and come back with it. Where the bridge keeps
        its mode until the process ends, the notebook goes over into a fresh one, as by %gaudi_relaunch.

        In Python: gaudi_lab.mode("lazy")
        """
        asked = read_arguments(self.gaudi_mode, line)
        self._attach_all()
        if asked.mode is None and (given_up := [*asked.drop, *asked.rerun]):
            mode = next((word for word in given_up if word in [*Mode]), "lazy")
            raise UsageError(f"The mode comes first. Run: %gaudi_mode {mode} --drop NAME")
        if asked.mode is None:
            print(api.status())  # noqa: T201
        else:
            change = api.mode(asked.mode, fresh_process=asked.relaunch, drop=asked.drop, rerun=asked.rerun)
            self._show(change.change)

    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    @argument(
        "--env",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="A variable to set; NAME= alone unsets it.",
    )
    @_drop
    @_rerun
    def gaudi_relaunch(self, line: str) -> None:
        """Replace the kernel's process by a fresh one that has the notebook in it: variables, models, widgets.

        For variables that are read when something is imported. The lines below it in the cell run in the new process,
        and so do the cells that wait. What cannot travel, such as an open socket, stops it before anything is lost.

        In Python: gaudi_lab.relaunch({"NAME": "VALUE"})
        """
        asked = read_arguments(self.gaudi_relaunch, line)
        self._attach_all()
        environment = {}
        for given in asked.env:
            name, sign, value = given.partition("=")
            if not (name and sign):
                raise UsageError(
                    f"--env {given} is no NAME=VALUE. Run: %gaudi_relaunch --env {name or 'NAME'}={value or 1}"
                )
            environment[name] = unquote(value) or None
        api.relaunch(environment, drop=asked.drop, rerun=asked.rerun)

    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    @argument("--detach", action="store_true", help="Take it off the workbench, as it was before.")
    @argument("model", nargs="?", help="Name of a model, Trainer or pipeline; all there are by default.")
    def gaudi_attach(self, line: str) -> None:
        """Put a model, Trainer or diffusion pipeline on the workbench.

        The other magics find models on hpu by themselves, but for those that were detached; this names one, or all.

        In Python: gaudi_lab.attach(model)
        """
        arguments = read_arguments(self.gaudi_attach, line)
        if arguments.detach:
            for name in [arguments.model] if arguments.model else list(lab.current().models):
                self._show(api.detach(name))
        elif arguments.model:
            self._show(namespace.attach(arguments.model, self.shell.user_ns).change)
        else:
            self._attach_all()
            print(api.status())  # noqa: T201

    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    def gaudi_status(self, line: str) -> Status:
        """Show mode, bridge, models with their HPU graphs and attention, compiles so far, and memory.

        In Python: gaudi_lab.status()
        """
        read_arguments(self.gaudi_status, line)
        self._attach_all()
        return api.status()

    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    @argument("models", nargs="*", help="Names of models; all attached ones by default, also later ones.")
    def gaudi_panel(self, line: str) -> Panel:
        """Show a live panel: every switch, compiles as they happen, captured graphs, memory.

        In Python: gaudi_lab.panel(model)
        """
        from gaudi_lab.notebook.panel import panel

        arguments = read_arguments(self.gaudi_panel, line)
        self._attach_all()
        return panel(*(self._name(name) for name in arguments.models))

    @no_var_expand
    @line_cell_magic
    @explain_refusals
    @magic_arguments()
    @_help
    @argument("-n", type=int, default=5, help="How many times to run it. Default: 5.")
    @argument("--until-steady", action="store_true", help="Go on until three runs in a row compile nothing.")
    @argument("code", nargs="*", help="What to run; in a cell, the lines below.")
    def gaudi_warmup(self, line: str, cell: str | None = None) -> Timeline:
        """Run something repeatedly and show what each run compiled and why.

        In a cell whose last line is an expression, that is what runs repeatedly, and what is above it runs
        once before. Other cells run repeatedly as a whole. Names that the cell sets stay set.

        In Python: gaudi_lab.warmup(function, n=5)
        """
        options, code = _split_code(line)
        arguments = read_arguments(self.gaudi_warmup, options)
        if arguments.n < 1:
            instead = "%%gaudi_warmup -n 5" if cell is not None else f"%gaudi_warmup -n 5 {code}"
            raise UsageError(f"-n {arguments.n} runs nothing. Run: {instead}")
        if cell is not None and code:
            raise UsageError(
                "In a cell the lines below are what runs, so there is no place for code beside the options. "
                f"Run: {' '.join(filter(None, ['%%gaudi_warmup', options]))}"
            )
        source = code if cell is None else cell
        if not source.strip():
            raise UsageError("There is nothing to run. Run: %gaudi_warmup -n 5 model(**batch)")
        self._attach_all()
        return repeat(
            self.shell,
            source,
            n=arguments.n,
            until_steady=arguments.until_steady,
            first_line=1 if cell is None else 2,
        )

    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    def gaudi_why(self, line: str) -> Why:
        """Show what was compiled, why, what it took, and what to change, the dearest first.

        Told is what was compiled since a model was attached; equal causes are one row.

        In Python: gaudi_lab.why()
        """
        read_arguments(self.gaudi_why, line)
        self._attach_all()
        return api.why()

    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    @argument("--epochs", type=int, default=1, help="How often the batches will be gone through. Default: 1.")
    @argument("--most", type=int, default=1000, help="So many batches are read. Default: 1000.")
    @argument("batches", help="Name of a DataLoader, or of a list of batches or sizes.")
    @argument("model", nargs="?", help="Name of a model; the attached one if there is only one.")
    def gaudi_forecast(self, line: str) -> Forecast:
        """Say what batches will compile, what that takes by what was measured, and which lengths to pad to instead.

        The model does not run, and what the batches draw at random will be drawn again.

        In Python: gaudi_lab.forecast(loader, model)
        """
        arguments = read_arguments(self.gaudi_forecast, line)
        name = self._name(arguments.model)
        batches = namespace.batches(arguments.batches, self.shell.user_ns)
        return api.forecast(batches, name, epochs=arguments.epochs, most=arguments.most)

    @no_var_expand
    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    @argument("--settings", metavar="'LAZY; EAGER'", help="Settings, parted by semicolons. Default: all.")
    @argument(
        "--over",
        metavar="NAME=[V,V]",
        action="append",
        default=[],
        help="What else to vary, with its values.",
    )
    @argument("--rounds", type=int, help="How many turns each has.")
    @argument(
        "--limit",
        metavar="'20 MIN, 4 GIB'",
        help="What all of it may take, time and disk; a number is seconds for one turn of one setting.",
    )
    @argument(
        "--method",
        choices=[*METHODS],
        help="In this process, in one each, or on a cluster.",
    )
    @argument("--path", help="A file for the records, written as it goes.")
    @argument(
        "--resume", help="Such a file, or the name of a comparison that was interrupted, to go on with."
    )
    @argument(
        "code",
        nargs="*",
        help="What to compare: a call of a model, Trainer or pipeline, or a function's name.",
    )
    def gaudi_compare(self, line: str) -> Comparison:
        """Compare settings: which wins, by how much, and from how many calls on.

        Outputs are compared before anything is timed. An interrupt keeps what is there.

        In Python: gaudi_lab.compare(model, batch)
        """
        options, code = _split_code(line, COMPARE_OPTIONS)
        arguments = read_arguments(self.gaudi_compare, options)
        if not code.strip():
            raise UsageError("There is nothing to compare. Run: %gaudi_compare model(**batch)")
        if re.search(r"--settings [^\s'\"]\S*;( |$)", options):
            raise UsageError(
                'Settings with spaces need quotes. Run: %gaudi_compare --settings "eager; lazy" model(**batch)'
            )
        self._attach_all()
        self.compared = compared_code.compare(
            self.shell,
            code,
            settings=_words(arguments.settings),
            over=_over(arguments.over),
            limit=arguments.limit,
            resume=self._comparison(arguments.resume),
            **{name: getattr(arguments, name) for name in ("rounds", "method", "path")},
        )
        return self.compared

    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    @argument(
        "--form",
        choices=[*FORMS],
        default="gaudi_lab",
        help="What the script is written for. Default: gaudi_lab.",
    )
    @argument(
        "--calls", type=int, help="The settings that win for so many calls; for the steady state by default."
    )
    @argument("file", nargs="?", help="Where to write it. Without one, it is shown.")
    def gaudi_export(self, line: str) -> None:
        """Write a script that runs what the last %gaudi_compare compared, with the settings that won.

        In Python: comparison.to_code()
        """
        arguments = read_arguments(self.gaudi_export, line)
        if self.compared is None:
            raise UsageError(
                "Nothing has been compared in this notebook yet. Run: %gaudi_compare model(**batch)"
            )
        code = self.compared.to_code(arguments.form, calls=arguments.calls)
        if arguments.file is None:
            print(code)  # noqa: T201
            return
        path = Path(arguments.file)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(code)
        except FileExistsError:
            other = path.with_name(f"{path.stem}_2{path.suffix}")
            raise UsageError(f"{path} is there already, and stays. Run: %gaudi_export {other}") from None
        print(f"{path}: {self.compared.best(arguments.calls).candidate}")  # noqa: T201

    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    @argument("switch", nargs="?", choices=["on", "off"], default="on", help="Default: on.")
    def gaudi_freeze(self, line: str) -> None:
        """Forbid compiling: what would compile raises, with its cause and what to change. off allows it again.

        In Python: gaudi_lab.freeze(), or with gaudi_lab.no_compiles(): for a part
        """
        on = read_arguments(self.gaudi_freeze, line).switch == "on"
        self._attach_all()
        api.freeze(on)
        print("Frozen: what would compile raises now." if on else "Not frozen: things compile again.")  # noqa: T201

    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    @argument("switch", nargs="?", choices=["on", "off"], default="on", help="Default: on.")
    def gaudi_live_line(self, line: str) -> None:
        """Show a line while something compiles longer than a second, which is so from the start; off shows it no more.

        GAUDI_LAB_LIVE_LINE=0 in the environment is off from the start.

        In Python: gaudi_lab.live_line()
        """
        on = read_arguments(self.gaudi_live_line, line).switch == "on"
        api.live_line(on)
        print("What compiles long is shown meanwhile." if on else "What compiles is not shown meanwhile.")  # noqa: T201

    @line_magic
    @explain_refusals
    @magic_arguments()
    @_help
    @argument(
        "words", nargs="*", help="A model to show; or on or off, an operator, and a model (all by default)."
    )
    def gaudi_ops(self, line: str) -> Operators | None:
        """Show Gaudi's fused operators and what they save in each model, or let one stand in for parts of a model.

        %gaudi_ops shows where each could stand in and what it saves, measured by running the model as it was last
        called. %gaudi_ops on rms_norm lets it stand in wherever results were established to stay the same, and says by
        how much the outputs differ. %gaudi_ops off rms_norm takes it off.

        In Python: gaudi_lab.operators(model), gaudi_lab.use_operator("rms_norm", model)
        """
        words = read_arguments(self.gaudi_ops, line).words
        if words[:1] in (["on"], ["off"]):
            if len(words) == 1 or len(words) > 3:
                raise UsageError(
                    f"After {words[0]} comes an operator, then a model or none. Run: %gaudi_ops {words[0]} rms_norm"
                )
            if hasattr(self.shell.user_ns.get(words[1]), "stand_in"):
                raise UsageError(
                    f"{words[1]} is an operator of your own, which stands in where you say. "
                    f"Run: {words[1]}.stand_in(model, *inputs, for_=nn.GELU)"
                )
            name = self._name(words[2] if len(words) == 3 else None)
            self._show(api.use_operator(words[1], name, words[0] == "on").change)
            return None
        if len(words) > 1:
            raise UsageError(f"{words[0]!r} is neither on nor off. Run: %gaudi_ops on {' '.join(words[1:3])}")
        if words and words[0] not in self.shell.user_ns and words[0] in names_of_operators():
            raise UsageError(f"{words[0]} is an operator, not a model. Run: %gaudi_ops on {words[0]}")
        self._attach_all()
        return api.operators(self._name(words[0]) if words else None)

    def switch(self, switch: Switch, arguments: dict[str, Any]) -> None:
        """Move a switch as its magic asks for it."""
        on = arguments.pop("switch") == "on"
        name = self._name(arguments.pop("model"))
        self._show(getattr(api, switch.name)(name, on, **arguments).change)

    def _comparison(self, word: str | None) -> str | Comparison | None:
        """Return the comparison that a name of the notebook has; the word itself, a file, if none has it."""
        known = None if word is None else self.shell.user_ns.get(word)
        return known if isinstance(known, Comparison) else word

    def _name(self, name: str | None) -> str | None:
        """Attach what is meant, and return its name; None for all."""
        self._attach_all()
        if name is None and not lab.current().models:
            raise _nothing_attached(self.shell.user_ns)
        return None if name is None else namespace.attached_name(name, self.shell.user_ns)

    def _attach_all(self) -> None:
        namespace.let_go(self.shell)
        namespace.attach_all(self.shell.user_ns)

    def _show(self, change: Change) -> None:
        print(change)  # noqa: T201


def _nothing_attached(user_ns: dict[str, Any]) -> UsageError:
    found = namespace.models(user_ns)
    if off := next((name for name, model in found.items() if model in lab.current().kept_off), None):
        return UsageError(f"{off} was taken off the workbench. Run: %gaudi_attach {off}")
    elsewhere = next(iter(found), None)
    if elsewhere is None:
        return UsageError('There is no model yet. Run: model.to("hpu")')
    return UsageError(f'There is no model on hpu. Run: {elsewhere}.to("hpu")')


def _split_code(line: str, with_value: Collection[str] = ("-n",)) -> tuple[str, str]:
    """Part our options, which come first, from the code behind them, whose quotes and dashes are its own.

    Those of `with_value` have a word behind them, or several in quotes.
    """
    rest = line.lstrip()
    taken = []
    while rest.startswith("-"):
        option, _, rest = rest.partition(" ")
        taken.append(option)
        rest = rest.lstrip()
        if option in with_value:
            value = re.match(r"'[^']*'|\"[^\"]*\"|\S+", rest)
            taken.append(value[0] if value else "")
            rest = rest[value.end() :].lstrip() if value else ""
    return " ".join(taken), rest


def _words(settings: str | None) -> list[str] | None:
    if settings is None:
        return None
    return [words.strip() for words in settings.split(";") if words.strip()]


def _over(given: list[str]) -> dict[str, list[Any]]:
    """Return what is varied, from words such as ``batch_size=[1,8]``."""
    found = {}
    for word in given:
        name, sign, values = word.partition("=")
        try:
            read = ast.literal_eval(values)
        except (SyntaxError, ValueError):
            inside = values[1:-1] if re.fullmatch(r"\[.*\]", values) else values
            if re.search(r"[\[\](){}]", inside):
                raise UsageError(
                    f"--over {word} cannot be read; values with spaces need quotes. "
                    'Run: %gaudi_compare --over "batch_size=[1, 8]" model(**batch)'
                ) from None
            read = [one.strip() for one in inside.split(",") if one.strip()]
        if not (name and sign) or read == []:
            raise UsageError(
                f"--over {word} gives no values. Run: %gaudi_compare --over batch_size=[1,8] ..."
            )
        found[name] = list(read) if isinstance(read, (list, tuple)) else [read]
    return found


# That of operators is among those above: it has names to read.
_WITH_ONE_MAGIC = [switch for switch in SWITCHES if switch is not OPERATORS]


def _make_switch_magic(switch: Switch) -> Callable[[GaudiMagics, str], None]:
    parser = make_parser(switch)

    def magic(self: GaudiMagics, line: str) -> None:
        self.switch(switch, vars(parser.parse_args(words_of(line))))

    magic.__name__, magic.__doc__ = switch.magic, parser.format_help()
    return explain_refusals(magic)


def register(shell: InteractiveShell) -> Handle:
    """Add the magics to `shell`."""
    magics = GaudiMagics(shell)
    shell.register_magics(magics)
    shell.register_magics(OperatorMagics(shell))
    for switch in _WITH_ONE_MAGIC:
        shell.register_magic_function(MethodType(_make_switch_magic(switch), magics), "line", switch.magic)

    def undo() -> None:
        registered = shell.magics_manager.magics
        for kind in ("line", "cell"):
            ours = (*GaudiMagics.magics[kind], *OperatorMagics.magics[kind])
            for name in (*ours, *(switch.magic for switch in _WITH_ONE_MAGIC)):
                registered[kind].pop(name, None)
        for kind_of_magics in (GaudiMagics, OperatorMagics):
            shell.magics_manager.registry.pop(kind_of_magics.__name__, None)

    return Handle(undo)
