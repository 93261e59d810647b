"""The settings as code: magics, Python, arguments of a Trainer or pipeline, environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gaudi_lab.modes import Mode, Settings


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


def settings_as_code(mode: Mode, models: Mapping[str, Settings], kinds: Mapping[str, str]) -> list[Code]:
    """Return the settings in every form there is for them.

    Parameters
    ----------
    mode
        The execution mode.
    models
        The switches of each model.
    kinds
        "module", "trainer" or "pipeline" for each model.
    """
    codes = [
        Code("Notebook", "\n".join(_magics(mode, models))),
        Code("Python", "\n".join(_python(mode, models))),
        Code("Environment, before torch is imported", f"PT_HPU_LAZY_MODE={int(mode.is_lazy)}"),
    ]
    for name, settings in models.items():
        if kinds.get(name) == "pipeline":
            codes.append(Code(f"{name} as a Gaudi pipeline", _pipeline(settings)))
        else:
            codes.append(Code(f"{name} in a GaudiTrainer", _training_arguments(settings)))
    return codes


def _magics(mode: Mode, models: Mapping[str, Settings]) -> list[str]:
    lines = ["%load_ext gaudi_lab", f"%gaudi_mode {mode}"]
    for name, settings in models.items():
        if settings.hpu_graphs:
            lines.append(f"%gaudi_graphs on {name}")
        if settings.fused_sdpa:
            options = " --recompute" if settings.recompute else ""
            options += f" --softmax {settings.softmax}" if settings.softmax else ""
            lines.append(f"%gaudi_sdpa on {name}{options}")
        if settings.mode is Mode.COMPILE and mode is not Mode.COMPILE:
            lines.append(f"gaudi_lab.compile({name})")
    return lines


def _python(mode: Mode, models: Mapping[str, Settings]) -> list[str]:
    lines = ["import gaudi_lab", "", f'gaudi_lab.mode("{mode}")']
    for name, settings in models.items():
        calls = []
        if settings.hpu_graphs:
            calls.append(f"gaudi_lab.hpu_graphs({name})")
        if settings.fused_sdpa:
            options = "" if settings.recompute is None else f", recompute={settings.recompute}"
            options += f', softmax="{settings.softmax}"' if settings.softmax else ""
            calls.append(f"gaudi_lab.fused_sdpa({name}{options})")
        if settings.mode is Mode.COMPILE:
            calls.append(f"gaudi_lab.compile({name})")
        lines += calls or [f"gaudi_lab.attach({name})"]
    return lines


def _training_arguments(settings: Settings) -> str:
    arguments = ["use_habana=True", f"use_lazy_mode={settings.mode.is_lazy}"]
    if settings.hpu_graphs:
        arguments.append("use_hpu_graphs_for_inference=True")
    if settings.mode is Mode.COMPILE:
        arguments += ["torch_compile=True", 'torch_compile_backend="hpu_backend"']
    if settings.fused_sdpa:
        arguments.append('attn_implementation="gaudi_fused_sdpa"')
        if settings.recompute:
            arguments.append("flash_attention_recompute=True")
        if settings.softmax == "fast":
            arguments.append("flash_attention_fast_softmax=True")
    return _call("arguments = GaudiTrainingArguments", ['output_dir="out"', *arguments])


def _pipeline(settings: Settings) -> str:
    arguments = ["model", "use_habana=True", f"use_hpu_graphs={settings.hpu_graphs}"]
    lines = _call("pipeline = GaudiStableDiffusionPipeline.from_pretrained", arguments)
    if settings.fused_sdpa:
        options = "" if settings.recompute is None else f", recompute={settings.recompute}"
        options += f', softmax="{settings.softmax}"' if settings.softmax else ""
        lines += f"\ngaudi_lab.fused_sdpa(pipeline{options})"
    if settings.mode is Mode.COMPILE:
        lines += "\ngaudi_lab.compile(pipeline)"
    return lines


def _call(function: str, arguments: list[str]) -> str:
    return f"{function}(\n" + "".join(f"    {argument},\n" for argument in arguments) + ")"
