"""Messages that other people's programs raise by their own code, and those of a machine that is not as it should be."""

from __future__ import annotations

import os
import shutil
import subprocess

import foreign_tests
import pytest
from contract import covers, message, messages, raises
from fresh import run

from gaudi_lab.cli.run import environment, make_site

PYTHON = foreign_tests.python_of("optimum")
EXAMPLES = foreign_tests.SUITES / "optimum-habana" / "examples" / "text-generation"
SHIM = foreign_tests.HERE / "optimum_habana" / "shim"

needs_optimum = pytest.mark.skipif(
    not PYTHON.exists(),
    reason="no environment with optimum-habana; runner/suites.py makes it",
)
needs_examples = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="no checkout of optimum-habana; runner/suites.py makes it"
)


@covers("device-failure")
@raises("device-failure")
def test_a_device_that_cannot_be_asked(tmp_path):
    (tmp_path / f"gaudi-lab-hpu0-{os.getuid()}.lock").mkdir()  # stands where the device is locked
    found = run(
        """
        import torch, habana_frameworks.torch
        try:
            torch.ones(2).to("hpu")
        except RuntimeError as error:
            result["message"] = str(error)
        result["held"] = torch.hpu.is_initialized()
        """,
        GAUDI_LAB_EXCLUSIVE="1",
        TMPDIR=str(tmp_path),
    )
    assert found["message"] == message("device-failure")
    assert not found["held"]


@covers("other-torch")
@raises("other-torch")
def test_a_bridge_compiled_for_another_torch():
    code = """
        import torch
        result["torch"] = torch.__version__
        try:
            import habana_frameworks.torch
        except AssertionError as error:
            result["message"] = str(error)
    """
    found = run(code, asks=False, GAUDI_LAB_COMPILED_FOR="1.13.1", PT_HPU_LAZY_MODE="1")
    assert found["message"] == message("other-torch", compiled="1.13.1", torch=found["torch"])
    assert "message" not in run(code, asks=False, GAUDI_LAB_COMPILED_FOR=found["torch"], PT_HPU_LAZY_MODE="1")


# As much of DeepSpeed as accelerate touches before it refuses.
DEEPSPEED = {
    "__init__.py": "from . import comm\ndef initialize(**settings): raise NotImplementedError\n",
    "comm.py": """
from torch.distributed import is_initialized
def init_distributed(dist_backend, **settings):
    import torch.distributed as dist
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
""",
    "utils.py": "def logger(*args): ...\n",
    "runtime/__init__.py": "",
    "runtime/lr_schedules.py": "VALID_LR_SCHEDULES = []\n",
}


@raises("accelerate-lazy")
@pytest.mark.parametrize("lazy", ["1", None])
def test_accelerate_in_lazy_mode(tmp_path, lazy):
    for name, text in DEEPSPEED.items():
        path = tmp_path / "deepspeed" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    metadata = tmp_path / "deepspeed-0.18.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: deepspeed\nVersion: 0.18.0\n")
    settings = {} if lazy is None else {"PT_HPU_LAZY_MODE": lazy}
    found = run(
        """
        import torch, habana_frameworks.torch
        import deepspeed.runtime.lr_schedules
        from accelerate import Accelerator
        from accelerate.utils import DeepSpeedPlugin
        result["lazy"] = habana_frameworks.torch.lazy
        config = {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}},
        }
        accelerator = Accelerator(deepspeed_plugin=DeepSpeedPlugin(hf_ds_config=config))
        result["device"] = accelerator.device.type
        model = torch.nn.Linear(2, 2)
        try:
            accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0))
        except ValueError as error:
            result["message"] = str(error)
        """,
        PYTHONPATH=str(tmp_path),
        RANK="0",
        WORLD_SIZE="1",
        LOCAL_RANK="0",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT="29511",
        **settings,
    )
    assert found["device"] == "hpu"
    assert found["lazy"] is (lazy == "1")  # unset means eager by now, and accelerate takes it for lazy
    assert found["message"] == message("accelerate-lazy")


def optimum(tmp_path, command, mode, *, folder=None, known=True):
    """Run `command` with optimum-habana's own unmodified code, and return what it says at the end.

    Without `known` pip does not know the bridge, as outside the environment that it was installed into.
    """
    site = make_site(tmp_path)
    if not known:
        for metadata in site.glob("habana_torch_plugin-*"):
            shutil.rmtree(metadata)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PT_HPU_", "GAUDI_LAB_"))
    }
    kept |= {"PYTHONPATH": str(SHIM), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(PYTHON), *command],
        env=environment(site, mode, kept),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return [line for line in done.stderr.splitlines() if line and not line.startswith(" ")]


def said(identity):
    row = messages()[identity]
    return f"{row['kind']}: {row['text']}"


@needs_optimum
@raises("optimum-no-plugin")
def test_optimum_where_pip_does_not_know_the_plugin(tmp_path):
    code = "from optimum.habana.utils import check_synapse_version; check_synapse_version()"
    assert said("optimum-no-plugin") in optimum(tmp_path, ["-c", code], "lazy", known=False)


ARGUMENTS = "from optimum.habana import GaudiTrainingArguments as A\nA('out', use_habana=True, {}).device"


@needs_optimum
@raises("optimum-compile-and-lazy")
def test_optimum_compiles_in_lazy_mode(tmp_path):
    code = ARGUMENTS.format("use_lazy_mode=True, torch_compile_backend='hpu_backend'")
    assert said("optimum-compile-and-lazy") in optimum(tmp_path, ["-c", code], "lazy")


@needs_optimum
@raises("optimum-neither")
@pytest.mark.parametrize("mode", ["lazy", None])
def test_optimum_neither_lazy_nor_compiled(tmp_path, mode):
    code = ARGUMENTS.format("use_lazy_mode=False")
    assert said("optimum-neither") in optimum(tmp_path, ["-c", code], mode)


TINY = """
import sys
from transformers import LlamaConfig, LlamaForCausalLM
LlamaForCausalLM(LlamaConfig(
    vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=2, max_position_embeddings=128,
)).save_pretrained(sys.argv[1])
"""


@needs_optimum
@needs_examples
@raises("optimum-torch-compile-in-lazy")
def test_optimum_example_compiles_in_lazy_mode(tmp_path):
    model = tmp_path / "tiny"
    subprocess.run([str(PYTHON), "-c", TINY, str(model)], check=True, capture_output=True)
    command = ["run_generation.py", "--model_name_or_path", str(model), "--torch_compile", "--bf16"]
    site = tmp_path / "site"
    site.mkdir()
    assert said("optimum-torch-compile-in-lazy") in optimum(site, command, "lazy", folder=EXAMPLES)


def test_tests_that_cannot_run_are_not_counted_as_passed():
    from contract_rows import verdict

    outcomes = {"a": ["passed", "passed"], "b": ["not run"], "c": ["passed", "failed"]}
    assert verdict(["a"], outcomes) == "passed"
    assert verdict(["a", "b"], outcomes) == "not run"
    assert verdict(["c"], outcomes) == "failed"
    assert verdict([], outcomes) == "no test"
