"""The settings as code: magics, Python, arguments of a Trainer or pipeline, environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gaudi_lab.settings import Mode, Settings


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
        For each model "module" or "trainer", for which there is a `GaudiTrainer`, "stable diffusion", for
        which there is a Gaudi pipeline, or "pipeline", for another.
    """
    codes = [
        Code("Notebook", "\n".join(_magics(mode, models))),
        Code("Python", "\n".join(_python(mode, models))),
        Code("Environment, before torch is imported", f"PT_HPU_LAZY_MODE={int(mode.is_lazy)}"),
    ]
    for name, settings in models.items():
        kind = kinds[name]
        if kind == "stable diffusion":
            codes.append(Code(f"{name} as a Gaudi pipeline", "\n".join(_pipeline(settings))))
        elif kind != "pipeline":
            codes.append(Code(f"{name} in a GaudiTrainer", "\n".join(_training_arguments(settings))))
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
        calls += _attention_and_compile(name, settings)
        lines += calls or [f"gaudi_lab.attach({name})"]
    return lines


def _attention_and_compile(name: str, settings: Settings) -> list[str]:
    calls = []
    if settings.fused_sdpa:
        options = "" if settings.recompute is None else f", recompute={settings.recompute}"
        options += f', softmax="{settings.softmax}"' if settings.softmax else ""
        calls.append(f"gaudi_lab.fused_sdpa({name}{options})")
    if settings.mode is Mode.COMPILE:
        calls.append(f"gaudi_lab.compile({name})")
    return calls


def _training_arguments(settings: Settings) -> list[str]:
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
    return [
        "from gaudi_lab.transformers import GaudiTrainingArguments",
        "",
        *_call("arguments = GaudiTrainingArguments", ['output_dir="out"', *arguments]),
    ]


def _pipeline(settings: Settings) -> list[str]:
    arguments = ["model", "use_habana=True", f"use_hpu_graphs={settings.hpu_graphs}"]
    return [
        "import gaudi_lab",
        "",
        # compile is of the pipeline, which comes below; the mode of the process is eager then.
        f'gaudi_lab.mode("{Mode.LAZY if settings.mode.is_lazy else Mode.EAGER}")',
        *_call("pipeline = gaudi_lab.GaudiStableDiffusionPipeline.from_pretrained", arguments),
        *_attention_and_compile("pipeline", settings),
    ]


def _call(function: str, arguments: list[str]) -> list[str]:
    return [f"{function}(", *(f"    {argument}," for argument in arguments), ")"]
