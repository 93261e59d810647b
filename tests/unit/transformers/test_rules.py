"""Every rule about arguments: what it refuses, and the way out that it names."""

import pytest

LAZY = "lazy"
EAGER = "eager"


@pytest.fixture
def arguments(workbench, tmp_path):
    from gaudi_lab.transformers import GaudiTrainingArguments

    def make(**options):
        return GaudiTrainingArguments(output_dir=str(tmp_path), **options)

    return make


REFUSED = [
    (EAGER, {"use_habana": True, "use_cpu": True}, "two devices", "use_habana=False"),
    (EAGER, {"use_lazy_mode": True}, "use_habana is False", "use_habana=True, use_lazy_mode=True"),
    (EAGER, {"use_hpu_graphs_for_inference": True}, "use_habana is False", "use_habana=True"),
    (EAGER, {"gaudi_config_name": "Habana/bert-base-uncased"}, "use_habana is False", "use_habana=True"),
    (EAGER, {"attn_implementation": "gaudi_fused_sdpa"}, "use_habana is False", "use_habana=True"),
    (EAGER, {"attn_implementation": "flash"}, "none of eager, sdpa", "attn_implementation='sdpa'"),
    (EAGER, {"flash_attention_recompute": True}, "FusedSDPA", "use_habana=True"),
    (EAGER, {"max_hpu_graphs": 2}, "HPU graphs, which are off", "use_habana=True"),
    (EAGER, {"throughput_warmup_steps": -1}, "negative", "throughput_warmup_steps=3"),
    (
        LAZY,
        {"use_habana": True, "use_hpu_graphs_for_inference": True, "max_hpu_graphs": 0},
        "would capture none",
        "use_hpu_graphs_for_inference=False",
    ),
    (EAGER, {"use_habana": True, "fp16": True}, "half precision is bfloat16", "bf16=True"),
    (
        EAGER,
        {"use_habana": True, "fp16_full_eval": True},
        "half precision is bfloat16",
        "bf16_full_eval=True",
    ),
    (EAGER, {"use_habana": True, "tf32": True}, "no TF32", "bf16=True"),
    (EAGER, {"use_habana": True, "torch_compile_backend": "inductor"}, "does not compile for", "hpu_backend"),
    (EAGER, {"use_habana": True, "use_regional_compilation": True}, "which is off", "torch_compile=True"),
    (EAGER, {"use_habana": True, "compile_dynamic": True}, "which is off", "torch_compile=True"),
    (LAZY, {"use_habana": True, "torch_compile": True}, "needs eager mode", 'gaudi_lab.mode("eager")'),
    (
        LAZY,
        {"use_habana": True, "torch_compile": True, "use_lazy_mode": True},
        "asks for lazy mode",
        "use_lazy_mode=False",
    ),
    (
        EAGER,
        {"use_habana": True, "use_lazy_mode": True},
        "process is in eager mode",
        'gaudi_lab.mode("lazy")',
    ),
    (
        LAZY,
        {"use_habana": True, "use_lazy_mode": False},
        "process is in lazy mode",
        'gaudi_lab.mode("eager")',
    ),
    (
        EAGER,
        {"use_habana": True, "use_hpu_graphs_for_inference": True},
        "needs lazy mode",
        'gaudi_lab.mode("lazy")',
    ),
    (
        EAGER,
        {"use_habana": True, "use_hpu_graphs_for_inference": True, "use_lazy_mode": False},
        "use_lazy_mode is False",
        "use_lazy_mode=True",
    ),
    (
        EAGER,
        {"use_habana": True, "use_hpu_graphs_for_inference": True, "torch_compile": True},
        "exclude each other",
        "torch_compile=False",
    ),
    (LAZY, {"use_habana": True, "max_hpu_graphs": 2}, "HPU graphs, which are off", "max_hpu_graphs=2"),
    (
        LAZY,
        {"use_habana": True, "disable_tensor_cache_hpu_graphs": True},
        "HPU graphs, which are off",
        "use_hpu_graphs_for_inference=True",
    ),
    (EAGER, {"use_habana": True, "attn_implementation": "flash"}, "none of eager, sdpa", "gaudi_fused_sdpa"),
    (EAGER, {"use_habana": True, "flash_attention_recompute": True}, "FusedSDPA", "gaudi_fused_sdpa"),
    (EAGER, {"use_habana": True, "flash_attention_fast_softmax": True}, "FusedSDPA", "gaudi_fused_sdpa"),
    (EAGER, {"use_habana": True, "fp8": True}, "not part of Gaudi Lab", "fp8=False"),
    (EAGER, {"use_habana": True, "distribution_strategy": "fast_ddp"}, "not part of Gaudi Lab", "'ddp'"),
    (EAGER, {"use_habana": True, "half_precision_backend": "apex"}, "bfloat16 by autocast", "'hpu_amp'"),
]


@pytest.mark.parametrize(("mode", "options", "reason", "way_out"), REFUSED)
def test_it_is_refused_with_the_way_out(mode, options, reason, way_out, arguments, in_mode):
    in_mode(mode)
    with pytest.raises(ValueError, match="Run: ") as refused:
        arguments(**options)
    said, _, line = str(refused.value).partition(" Run: ")
    assert reason in said
    assert way_out in line


@pytest.mark.parametrize(("mode", "options", "reason", "way_out"), REFUSED)
def test_the_way_out_is_one(mode, options, reason, way_out, arguments, in_mode, monkeypatch):
    import gaudi_lab
    from gaudi_lab import bridge

    in_mode(mode)
    with pytest.raises(ValueError, match="Run: ") as refused:
        arguments(**options)
    monkeypatch.setattr(bridge, "_chosen", False)
    monkeypatch.delenv("PT_HPU_LAZY_MODE", raising=False)
    made = eval(refused.value.python, {"GaudiTrainingArguments": arguments, "gaudi_lab": gaudi_lab})
    if options.get("use_habana") and "use_cpu" not in options:
        assert getattr(made, "use_habana", True)  # what changes the mode makes no arguments


def test_a_notebook_is_told_the_magic(arguments, in_mode):
    in_mode("eager")
    with pytest.raises(ValueError, match="eager mode") as refused:
        arguments(use_habana=True, use_lazy_mode=True)
    assert refused.value.for_notebook().endswith("Run: %gaudi_mode lazy")


def test_a_refusal_leaves_the_mode_alone(arguments, in_mode, workbench):
    in_mode("lazy")
    with pytest.raises(ValueError, match="eager"):
        arguments(use_habana=True, torch_compile=True)
    assert workbench.mode.is_lazy


@pytest.mark.parametrize("mode", [LAZY, EAGER])
def test_the_mode_of_the_process_is_taken_as_it_is(mode, arguments, in_mode):
    in_mode(mode)
    assert arguments(use_habana=True).use_lazy_mode is (mode == LAZY)


@pytest.mark.parametrize(
    ("options", "lazy"),
    [
        ({}, True),
        ({"use_lazy_mode": True}, True),
        ({"use_lazy_mode": False}, False),
        ({"torch_compile": True}, False),
        ({"use_hpu_graphs_for_inference": True}, True),
    ],
)
def test_where_nothing_has_decided_the_mode_the_arguments_do(
    options, lazy, arguments, workbench, monkeypatch
):
    from gaudi_lab import bridge

    monkeypatch.setattr(bridge, "_chosen", False)
    monkeypatch.delenv("PT_HPU_LAZY_MODE", raising=False)
    assert arguments(use_habana=True, **options).use_lazy_mode is lazy
    assert workbench.mode.is_lazy is lazy


def test_the_variable_decides(arguments, monkeypatch):
    from gaudi_lab import bridge

    monkeypatch.setattr(bridge, "_chosen", False)
    monkeypatch.setenv("PT_HPU_LAZY_MODE", "0")
    with pytest.raises(ValueError, match="eager mode"):
        arguments(use_habana=True, use_lazy_mode=True)


def test_the_old_name_of_hpu_graphs_still_works(arguments, in_mode):
    in_mode("lazy")
    with pytest.warns(FutureWarning, match="use_hpu_graphs_for_inference"):
        args = arguments(use_habana=True, use_hpu_graphs=True)
    assert args.use_hpu_graphs_for_inference


def test_arguments_of_optimum_habana_at_their_defaults_are_accepted(arguments):
    from dataclasses import fields

    from gaudi_lab.transformers.arguments import UnsupportedArguments

    arguments(use_habana=True, **{field.name: field.default for field in fields(UnsupportedArguments)})


def test_without_habana_it_is_the_cpu(arguments):
    assert arguments().device.type == "cpu"


def test_arguments_can_be_parsed_from_a_command_line(workbench, in_mode, tmp_path):
    from transformers import HfArgumentParser

    from gaudi_lab.transformers import GaudiTrainingArguments

    in_mode("lazy")
    line = ["--output_dir", str(tmp_path), "--use_habana", "--use_hpu_graphs_for_inference", "--bf16"]
    (args,) = HfArgumentParser(GaudiTrainingArguments).parse_args_into_dataclasses(line)
    assert args.use_hpu_graphs_for_inference
    assert args.device.type == "hpu"


def test_compiling_is_not_advised_to_get_another_card(arguments, caplog):
    args = arguments(use_habana=True, torch_compile=True)
    assert args.torch_compile_backend == "hpu_backend"
    assert "Ampere" not in caplog.text
