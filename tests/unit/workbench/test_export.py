"""Settings as code, run: in this process, and in a fresh one."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "diffusers"))  # its tiny pipelines

import tiny
from diffusers import StableDiffusionPipeline
from IPython.core.interactiveshell import InteractiveShell

import gaudi_lab
from gaudi_lab.diffusers import GaudiStableDiffusionPipeline
from gaudi_lab.settings import Mode, Settings
from gaudi_lab.transformers.trainer_switches import read_arguments
from gaudi_lab.workbench.export import settings_as_code
from tests.unit.forked import run_forked

LAZY = Settings(Mode.LAZY, hpu_graphs=True, fused_sdpa=True)
COMPILE = Settings(Mode.COMPILE, fused_sdpa=True, recompute=True)
DYNAMIC = Settings(
    Mode.COMPILE, dynamic=True, backend_options={"force_static_compile": True, "enable_sfg": False}
)

# Exported code names what the notebook has, so that is put there first.
MODEL = "model = {folder!r}"
PIPE = """
import gaudi_lab, torch
from diffusers import StableDiffusionPipeline
import habana_frameworks.torch
pipe = StableDiffusionPipeline.from_pretrained({folder!r}).to("hpu")
"""

IN_A_NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.user_ns["pipe"] = pipe
shell.run_cell({code!r}).raise_error()
"""

DRAWN = """
import numpy, torch
from gaudi_lab.workbench import lab
drawn = {pipeline}("a red seven", num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(3))
numpy.save({images!r}, drawn.images)
bench = lab.current()
on = [a.settings for a in bench.models.values()] or [bench.entries.enter({pipeline}).settings]
print(*on)
"""


def exported(workbench):
    return {code.title: code.lines for code in settings_as_code(workbench.mode, workbench.models.values())}


def draw(pipeline):
    drawn = pipeline("a red seven", num_inference_steps=2, output_type="np", generator=tiny.seed(3))
    return drawn.images


def in_a_fresh_process(code):
    """Run code as a notebook's first cells, and return what it printed last."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PT_HPU")}
    done = run_forked(code, libraries=[StableDiffusionPipeline.__module__], environment=clean)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "pipeline"
    tiny.stock().save_pretrained(path)
    return str(path)


@pytest.fixture
def pipe(folder, workbench):
    """A pipeline that is on the workbench alone."""
    pipeline = GaudiStableDiffusionPipeline.from_pretrained(folder, use_habana=True)
    pipeline.set_progress_bar_config(disable=True)
    gaudi_lab.attach(pipeline, "pipe")
    return pipeline


@pytest.mark.parametrize(
    ("settings", "title"),
    [
        (LAZY, "pipe as a Gaudi pipeline"),
        (LAZY, "Notebook"),
        (COMPILE, "Python"),
    ],
    ids=lambda value: str(value).replace(" ", "_"),
)
def test_a_pipeline_draws_the_same_in_a_fresh_process(settings, title, pipe, folder, workbench, tmp_path):
    workbench.apply(settings)
    assert workbench.models["pipe"].settings == settings
    code = exported(workbench)[title]
    if title == "Notebook":
        code = IN_A_NOTEBOOK.format(code=code)
    first = MODEL if title.endswith("Gaudi pipeline") else PIPE
    images = tmp_path / "images.npy"
    last = DRAWN.format(pipeline="pipeline" if first is MODEL else "pipe", images=str(images))
    printed = in_a_fresh_process("\n".join([first.format(folder=folder), code, last]))
    assert printed == str(settings)
    np.testing.assert_allclose(np.load(images), draw(pipe), atol=1e-4)


def test_a_pipeline_that_no_gaudi_pipeline_stands_for_is_exported_as_what_it_is(workbench):
    class DiffusionPipeline:
        def __init__(self):
            self.components = {}

    DiffusionPipeline.__module__ = "diffusers.somewhere"
    workbench.attach(DiffusionPipeline(), "other")
    assert not [title for title in exported(workbench) if title.startswith("other")]


@pytest.mark.parametrize(
    "wanted",
    [
        Settings(Mode.LAZY, hpu_graphs=True, fused_sdpa=True, recompute=True, softmax="fast"),
        Settings(Mode.EAGER, fused_sdpa=True, recompute=False, softmax="fp32"),
        COMPILE,
        DYNAMIC,
    ],
    ids=str,
)
def test_every_form_leads_to_the_same_settings(workbench, bert, wanted, tmp_path):
    workbench.attach(bert, "bert")
    workbench.apply(wanted)
    codes = exported(workbench)
    assert codes["Environment, before torch is imported"] == f"PT_HPU_LAZY_MODE={int(wanted.mode.is_lazy)}"

    def reset():
        workbench.close()
        workbench.change(mode=Mode.EAGER)
        workbench.attach(bert, "bert")

    reset()
    exec(codes["Python"], {"bert": bert})
    assert workbench.models["bert"].settings == wanted

    reset()
    shell = InteractiveShell(user_ns={"bert": bert})
    shell.run_cell(codes["Notebook"]).raise_error()
    assert workbench.models["bert"].settings == wanted
    shell.run_cell("%unload_ext gaudi_lab")

    workbench.change(mode=Mode.of_process(wanted.mode.is_lazy))
    namespace = {}
    exec(codes["bert in a GaudiTrainer"], namespace)
    settings, _ = read_arguments(namespace["arguments"])
    if wanted.softmax == "fp32":  # there is no argument for it, and the code says so
        assert (
            '# gaudi_lab.fused_sdpa(trainer, recompute=False, softmax="fp32")'
            in codes["bert in a GaudiTrainer"]
        )
        wanted = wanted.replace(softmax=None)
    if wanted.backend_options:
        line = "# gaudi_lab.compile(trainer, dynamic=True, backend_options={'enable_sfg': False, 'force_st"
        assert line in codes["bert in a GaudiTrainer"]
        wanted = wanted.replace(backend_options=None)
    assert settings == wanted
