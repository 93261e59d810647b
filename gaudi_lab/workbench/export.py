"""The settings as code: magics, Python, arguments of a Trainer or pipeline, environment variables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaudi_lab.instruments import components
from gaudi_lab.settings import COMPILE, HPU_GRAPHS, OPERATORS, SWITCHES, Mode, Settings

if TYPE_CHECKING:
    from gaudi_lab.workbench.model import SwitchedModel


@dataclass(frozen=True)
class Code:
    """Some lines that lead to the settings.

    Attributes
    ----------
    title
        Where they go.
    lines
        The code.
    """

    title: str
    lines: str


def settings_as_code(mode: Mode, models: Iterable[SwitchedModel]) -> list[Code]:
    """Return the settings in every form there is for them.

    Parameters
    ----------
    mode
        The execution mode.
    models
        The attached models.
    """
    models = list(models)
    codes = [
        Code("Notebook", "\n".join(_write_magics(mode, models))),
        Code("Python", "\n".join(_write_python(mode, models))),
        Code("Environment, before torch is imported", f"PT_HPU_LAZY_MODE={int(mode.is_lazy)}"),
    ]
    for model in models:
        if components.is_stable_diffusion(model.model):
            codes.append(
                Code(f"{model.name} as a Gaudi pipeline", "\n".join(_write_pipeline(model.settings)))
            )
        elif not components.is_pipeline(model.model):
            lines = _write_training_arguments(model.settings)
            codes.append(Code(f"{model.name} in a GaudiTrainer", "\n".join(lines)))
    return codes


def _write_magics(mode: Mode, models: list[SwitchedModel]) -> list[str]:
    lines = ["%load_ext gaudi_lab", f"%gaudi_mode {mode}"]
    for model in models:
        for switch in SWITCHES:
            if switch is OPERATORS:
                lines += _write_operators(model, f"%{switch.magic} on {{}} {model.name}")
            elif switch.is_on(model.settings):
                flags = [option.flag_of(value) for option, value in switch.chosen(model.settings)]
                if flags or not (switch is COMPILE and mode is Mode.COMPILE):  # the mode says so already
                    lines.append(" ".join([f"%{switch.magic} on", model.name, *flags]))
    return lines


def _write_python(mode: Mode, models: list[SwitchedModel]) -> list[str]:
    lines = ["import gaudi_lab", "", f'gaudi_lab.mode("{mode}")']
    for model in models:
        lines += _write_calls(model.name, model.settings) or [f"gaudi_lab.attach({model.name})"]
    return lines


def _write_operators(model: SwitchedModel, line: str) -> list[str]:
    names = model.settings.operators
    return [f"# Once {model.name} was called:", *map(line.format, names)] if names else []


def _write_calls(name: str, settings: Settings) -> list[str]:
    calls = []
    for switch in SWITCHES:
        if switch is OPERATORS:
            calls += [f'gaudi_lab.{switch.name}("{one}", {name}, inputs=batch)' for one in settings.operators]
        elif switch.is_on(settings):
            options = [option.write(value) for option, value in switch.chosen(settings)]
            calls.append(f"gaudi_lab.{switch.name}({', '.join([name, *options])})")
    return calls


def _write_training_arguments(settings: Settings) -> list[str]:
    arguments = ["use_habana=True", f"use_lazy_mode={settings.mode.is_lazy}"]
    missing = []
    for switch in SWITCHES:
        if not switch.is_on(settings):
            continue
        if switch is OPERATORS:
            missing.append("# No argument says which operators. Once the trainer is there and attached, run:")
        arguments += switch.arguments
        for option, value in switch.chosen(settings):
            if (argument := option.arguments.get(value)) is not None:
                arguments.append(argument)
            else:
                missing.append(
                    f"# No argument says {option.describe(value)}. Once the trainer is there, run:"
                )
    calls = [f"# {call}" for call in _write_calls("trainer", settings)] if missing else []
    return [
        "from gaudi_lab.transformers import GaudiTrainingArguments",
        "",
        *_write_call("arguments = GaudiTrainingArguments", ['output_dir="out"', *arguments]),
        *missing,
        *calls,
    ]


def _write_pipeline(settings: Settings) -> list[str]:
    arguments = ["model", "use_habana=True", f"use_hpu_graphs={settings.hpu_graphs}"]
    return [
        "import gaudi_lab",
        "",
        # compile is of the pipeline, which comes below; the mode of the process is eager then.
        f'gaudi_lab.mode("{Mode.of_process(settings.mode.is_lazy)}")',
        *_write_call("pipeline = gaudi_lab.GaudiStableDiffusionPipeline.from_pretrained", arguments),
        *_write_calls("pipeline", settings.replace(**HPU_GRAPHS.turn(False))),
    ]


def _write_call(function: str, arguments: list[str]) -> list[str]:
    return [f"{function}(", *(f"    {argument}," for argument in arguments), ")"]
