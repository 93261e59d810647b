"""A script that runs what was compared with the settings that won.

What the environment has to say comes first: it is read when torch and the bridge are imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from gaudi_lab.comparison.result import Comparison
from gaudi_lab.comparison.row import Row
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.settings import FUSED_SDPA, HPU_GRAPHS, OPERATORS, SWITCHES, Mode, Settings, find_option

_IN_GAUDI_LAB = {"python": 'comparison.to_code("gaudi_lab")', "magic": "%gaudi_export"}

_BATCH_SIZE = "batch_size"


def write(comparison: Comparison, row: Row, form: str, setup: str = "") -> str:
    """Return the script; parameters as in `Comparison.to_code`."""
    if form not in FORMS:
        raise LabValueError(
            f"{form!r} is no form of a script; there are {', '.join(FORMS)}.",
            **_IN_GAUDI_LAB,
        )
    setup = setup or comparison.setup
    if not setup or not comparison.source:
        raise LabError(
            "What was compared is known as objects and not as code, so the script would have nothing to run. In a "
            "notebook, %gaudi_compare knows its cells.",
            python='comparison.of_source("model(**batch)", "from my_project import model, batch").to_code()',
            magic="%gaudi_compare model(**batch)",
        )
    lines = [
        '"""Settings out of a comparison, and what they were compared on."""',
        "",
        *_environment(row),
        "",
        *FORMS[form](comparison, row, setup.strip().splitlines()),
    ]
    code = "\n".join(lines) + "\n"
    ast.parse(code)
    return code


def _environment(row: Row) -> list[str]:
    lazy = int(row.candidate.settings.mode.is_lazy)
    lines = [
        "import os",
        "",
        "# Read when torch and the bridge are imported, so before them.",
        f'os.environ["PT_HPU_LAZY_MODE"] = "{lazy}"',
    ]
    for name, value in row.candidate.environment:
        if value is None:
            lines.append(f"os.environ.pop({name!r}, None)")
        else:
            lines.append(f"os.environ[{name!r}] = {value!r}")
    return lines


def _in_gaudi_lab(comparison: Comparison, row: Row, setup: list[str]) -> list[str]:
    settings = row.candidate.settings
    given = [f"gaudi_lab.Mode.{settings.mode.name}"]
    unset = Settings().switches
    given += [
        known[1].write(value) if (known := find_option(name)) else f"{name}={value!r}"
        for name, value in settings.switches.items()
        if name != "mode" and value != unset[name]
    ]
    return [
        "import gaudi_lab",
        *([] if "import torch" in setup else ["import torch"]),
        "",
        f'gaudi_lab.mode("{Mode.of_process(settings.mode.is_lazy)}")',
        "",
        *setup,
        "",
        *_attach(comparison, setup),
        *_established(comparison, row),
        f"gaudi_lab.apply(gaudi_lab.Settings({', '.join(given)}))",
        "",
        *_run(comparison, row),
    ]


def _established(comparison: Comparison, row: Row) -> list[str]:
    """Return the lines of a call that operators are established by, if any are on."""
    if not row.candidate.settings.operators:
        return []
    *run, _ = _run(comparison, row)
    return ["# Operators are established by what a model was called with: it runs without them first.", *run]


def _in_plain_bridge(comparison: Comparison, row: Row, setup: list[str]) -> list[str]:
    settings = row.candidate.settings
    if comparison.kind not in ("model", "trainer"):
        raise LabError(
            f"What was compared is a {comparison.kind}, and for the plain bridge a script is written for a model.",
            **_IN_GAUDI_LAB,
        )
    _refuse_options(settings, "the plain bridge")
    _refuse_operators(settings, "the plain bridge")
    name = _model(comparison)
    model = f"{name}.model" if comparison.kind == "trainer" else name
    lines = [
        "import torch",
        "import habana_frameworks.torch as bridge",
        "import habana_frameworks.torch.core as core",
        "",
        *setup,
        "",
    ]
    if settings.fused_sdpa:
        lines += [*_fused_attention(settings), f"use_fused_attention({model})", ""]
    if settings.hpu_graphs:
        lines.append(f"{model} = bridge.hpu.wrap_in_hpu_graph({model})")
    if settings.mode is Mode.COMPILE:
        dynamic = None if settings.dynamic == "auto" else bool(settings.dynamic)
        options = f", options={dict(settings.backend_options)!r}" if settings.backend_options else ""
        lines.append(f'{model}.compile(backend="hpu_backend", dynamic={dynamic}{options})')
    return [*lines, "", *_run(comparison, row, ["core.mark_step()"] if settings.mode.is_lazy else [])]


def _for_optimum(comparison: Comparison, row: Row, setup: list[str]) -> list[str]:
    settings = row.candidate.settings
    if comparison.kind != "trainer":
        raise LabError(
            f"What was compared is a {comparison.kind}, and for optimum-habana a script is written for a Trainer.",
            **_IN_GAUDI_LAB,
        )
    _refuse_operators(settings, "optimum-habana")
    arguments = [f"use_habana=True, use_lazy_mode={settings.mode.is_lazy}"]
    if settings.mode is Mode.COMPILE:
        # Its default is torch's own, auto, where ours is off.
        settings = settings.replace(dynamic=None if settings.dynamic == "auto" else bool(settings.dynamic))
    for switch in SWITCHES:
        if switch.is_on(settings) and switch is not FUSED_SDPA:
            arguments += switch.arguments
            for option, value in switch.chosen(settings):
                if value not in option.arguments:
                    raise LabError(
                        f"optimum-habana has no argument for {option.describe(value)}.",
                        **_IN_GAUDI_LAB,
                    )
                arguments.append(option.arguments[value])
    name = _model(comparison)
    if (size := row.candidate.values.get(_BATCH_SIZE)) is not None:
        arguments.append(f"per_device_eval_batch_size={size}")
    else:
        arguments.append(f"per_device_eval_batch_size={name}.args.per_device_eval_batch_size")
    if (dtype := _dtype(row)) == "bfloat16":
        arguments.append("bf16=True")
    elif dtype:
        raise LabError(f"optimum-habana has no argument for {dtype}.", **_IN_GAUDI_LAB)
    # Its Trainer takes a name of an attention too, and leaves it to whoever loads a model.
    fused = (
        ["", *_fused_attention(settings), f"use_fused_attention({name}.model)", ""]
        if settings.fused_sdpa
        else []
    )
    ported = _with_gaudi_config(
        [re.sub(r"\bgaudi_lab\.(transformers|diffusers)\b", _to_optimum, line) for line in setup]
    )
    return [
        "import torch",
        "from optimum.habana import GaudiConfig, GaudiTrainer, GaudiTrainingArguments",
        "",
        *ported,
        "",
        "arguments = GaudiTrainingArguments(",
        f"    output_dir={name}.args.output_dir,",
        *(f"    {argument}," for argument in arguments),
        ")",
        f"{name} = GaudiTrainer(",
        f"    model={name}.model,",
        "    gaudi_config=GaudiConfig(),",
        "    args=arguments,",
        f"    eval_dataset={name}.eval_dataset,",
        f"    data_collator={name}.data_collator,",
        f"    compute_metrics={name}.compute_metrics,",
        ")",
        *fused,
        f"result = {_call(comparison, {})}",
        "print(result)",
    ]


def _to_optimum(found: re.Match[str]) -> str:
    return "optimum.habana" if found[1] == "transformers" else "optimum.habana.diffusers"


def _with_gaudi_config(setup: list[str]) -> list[str]:
    """Return code in which every GaudiTrainer has a configuration: optimum-habana would look for one on the hub."""
    code = "\n".join(setup).encode()
    lines = code.splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    for node in ast.walk(ast.parse(code)):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("GaudiTrainer")):
            continue
        if any(keyword.arg in ("gaudi_config", None) for keyword in node.keywords):
            continue
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        last = max(given, key=lambda one: (one.end_lineno, one.end_col_offset)) if given else node.func
        assert last.end_lineno is not None
        assert last.end_col_offset is not None
        place = starts[last.end_lineno - 1] + last.end_col_offset
        if not given:
            place += 1
        more = b", gaudi_config=GaudiConfig()" if given else b"gaudi_config=GaudiConfig()"
        return _with_gaudi_config((code[:place] + more + code[place:]).decode().splitlines())
    return setup


def _run(comparison: Comparison, row: Row, after: list[str] | None = None) -> list[str]:
    """Return the lines that run it once, with what was varied."""
    values = dict(row.candidate.values)
    lines = []
    size = values.pop(_BATCH_SIZE, None)
    if size is not None and comparison.kind == "trainer":
        name = _model(comparison)
        lines.append(f"{name}.args.per_device_eval_batch_size = {size}")
    elif size is not None and comparison.kind == "model":
        lines.append(f"# It won with {size} samples a call.")
    elif size is not None:
        values[_BATCH_SIZE] = size
    values.pop("dtype", None)
    within = ["torch.no_grad()"] if comparison.kind == "model" else []
    within += [f'torch.autocast("hpu", torch.{dtype})'] if (dtype := _dtype(row)) else []
    run = [f"result = {_call(comparison, values)}", *(after or [])]
    if within:
        run = [f"with {', '.join(within)}:", *(f"    {line}" for line in run)]
    return [*lines, *run, "print(result)"]


def _call(comparison: Comparison, values: dict[str, Any]) -> str:
    """Return what was compared as a call, with some more arguments by name. Only the name of it may be known."""
    body = ast.parse(comparison.source, mode="eval").body
    if not isinstance(body, (ast.Call, ast.Name, ast.Attribute)):
        return comparison.source
    called = body.func if isinstance(body, ast.Call) else body
    if comparison.kind == "trainer" and not (isinstance(called, ast.Attribute) and called.attr == "evaluate"):
        called = ast.Attribute(called, "evaluate", ast.Load())
    elif isinstance(body, ast.Call) and not values:
        return comparison.source
    args, keywords = (body.args, body.keywords) if isinstance(body, ast.Call) else ([], [])
    kept = [keyword for keyword in keywords if keyword.arg not in values]
    more = [ast.keyword(name, ast.Constant(value)) for name, value in values.items()]
    return ast.unparse(ast.Call(called, args, [*kept, *more]))


def _attach(comparison: Comparison, setup: list[str]) -> list[str]:
    """Return the lines that put on the workbench what the switches were moved of."""
    if comparison.kind != "function":
        return [f"gaudi_lab.attach({_model(comparison)})"]
    code = "\n".join(setup)
    for name in comparison.models:
        if not re.search(rf"\b{re.escape(name)}\b", code):
            raise LabError(
                f"The switches were those of {name}, which none of the cells makes that {comparison.source} needs. A "
                "model is known by the name of its variable when it is attached by that.",
                python=f'gaudi_lab.attach({name}, "{name}")',
                magic=f"%gaudi_attach {name}",
            )
    return [f'gaudi_lab.attach({name}, "{name}")' for name in comparison.models]


def _model(comparison: Comparison) -> str:
    """Return the name of what the switches are put on: what is called, without its method."""
    tree = ast.parse(comparison.source, mode="eval").body
    called = tree.func if isinstance(tree, ast.Call) else tree
    while isinstance(called, ast.Attribute) and called.attr in ("evaluate", "__call__"):
        called = called.value
    return ast.unparse(called)


def _refuse_options(settings: Settings, where: str) -> None:
    for option, value in HPU_GRAPHS.chosen(settings):
        raise LabError(f"A script for {where} is written without {option.describe(value)}.", **_IN_GAUDI_LAB)


def _refuse_operators(settings: Settings, where: str) -> None:
    if OPERATORS.is_on(settings):
        raise LabError(
            f"A script for {where} is written without {OPERATORS.describe(settings)}.", **_IN_GAUDI_LAB
        )


def _dtype(row: Row) -> str:
    """Return the type of autocast; empty without any."""
    dtype = str(row.candidate.values.get("dtype") or "").removeprefix("torch.")
    return "" if dtype == "float32" else dtype


def _fused_attention(settings: Settings) -> list[str]:
    """Return the lines of a function that puts FusedSDPA, with its options, into a model."""
    none = ', "None"'
    options = f', "{settings.softmax}"' if settings.softmax else ""
    if settings.recompute is not None:
        options = f"{options or none}, {settings.recompute}"  # the bridge's kernel takes no names
    return _FUSED_ATTENTION.replace("{options}", options).splitlines()


_FUSED_ATTENTION = '''
def use_fused_attention(model):
    """Have a transformers model compute its attention by the bridge's fused kernel."""
    from habana_frameworks.torch.hpex.kernels import FusedSDPA
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import repeat_kv
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    def attend(module, query, key, value, mask, dropout=0.0, scaling=None, is_causal=None, **_):
        groups = getattr(module, "num_key_value_groups", 1)
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
        causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
        causal = bool(causal) and mask is None and query.shape[2] > 1
        made = FusedSDPA.apply(query, key, value, mask, dropout, causal, scaling{options})
        return made.transpose(1, 2).contiguous(), None

    AttentionInterface.register("fused_sdpa_of_the_bridge", attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register("fused_sdpa_of_the_bridge", ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    model.set_attn_implementation("fused_sdpa_of_the_bridge")
    if model.config._attn_implementation != "fused_sdpa_of_the_bridge":
        print("Left as it is: in this transformers the attention of this model cannot be exchanged.")
'''.strip()

FORMS: dict[str, Callable[[Comparison, Row, list[str]], list[str]]] = {
    "gaudi_lab": _in_gaudi_lab,
    "habana_frameworks": _in_plain_bridge,
    "optimum-habana": _for_optimum,
}
"""What a script can be written for, and how."""
