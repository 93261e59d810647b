"""What is drawn: the stock pipeline's images, in every mode and at every batch size."""

import gc

import numpy as np
import pytest
import tiny
import torch
from diffusers import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, PNDMScheduler

import gaudi_lab
from gaudi_lab.diffusers import GaudiDDIMScheduler
from gaudi_lab.errors import LabValueError
from gaudi_lab.gaudi_config import GaudiConfig

SETTINGS = {"num_inference_steps": 3, "output_type": "np"}


def draw(pipeline, prompts=tiny.PROMPTS, **options):
    return pipeline(prompts, **{"generator": tiny.seed(), **SETTINGS, **options})


def difference(found, expected):
    assert found.shape == expected.shape
    return np.abs(found - expected).max()


@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_the_batch_size_changes_nothing(make, size):
    expected = draw(tiny.stock()).images
    assert difference(draw(make(), batch_size=size).images, expected) < 1e-4


def test_five_prompts_three_times_at_batch_size_four_are_fifteen_images_and_one_graph(graphs):
    expected = draw(tiny.stock(), num_images_per_prompt=3).images
    outputs = draw(graphs, num_images_per_prompt=3, batch_size=4)
    assert len(outputs.images) == 15
    assert difference(outputs.images, expected) < 1e-4
    draw(graphs, tiny.PROMPTS[:1], num_images_per_prompt=2, batch_size=4)
    unet = [graph for graph in graphs.captured if graph.component == "unet"]
    assert len(unet) == 1
    assert unet[0].replays == 4 * 3 + 3 - 1


@pytest.mark.parametrize("mode", ["eager", "lazy", "graphs", "fused", "compile"])
def test_every_mode_draws_the_same(make, mode):
    expected = draw(tiny.stock()).images
    pipeline = make(use_habana=True, use_hpu_graphs=mode == "graphs")
    if mode in ("lazy", "fused"):
        gaudi_lab.mode("lazy")
    if mode == "fused":
        gaudi_lab.fused_sdpa(pipeline)
    if mode == "compile":
        gaudi_lab.compile(pipeline)
    assert difference(draw(pipeline, batch_size=2).images, expected) < 1e-3


def test_one_graph_serves_all_steps_in_lazy_mode(make):
    gaudi_lab.mode("lazy")
    pipeline = make(use_habana=True)
    outputs = draw(pipeline, batch_size=2)
    compiled = [i.number for i in outputs.warmup.iterations if i.compilations]
    assert set(compiled) <= {1}, "or none, if another test has drawn in lazy mode before"
    assert len(outputs.warmup.iterations) == 9
    assert outputs.warmup.emulated
    assert draw(pipeline, batch_size=2).warmup.compilations == 0
    assert draw(pipeline, batch_size=2, num_inference_steps=6).warmup.compilations == 0


@pytest.mark.parametrize("kind", [PNDMScheduler, EulerDiscreteScheduler, EulerAncestralDiscreteScheduler])
def test_other_schedulers_draw_as_they_do_in_the_stock_pipeline(make, kind):
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    if kind is PNDMScheduler:
        config["skip_prk_steps"] = True  # as every published checkpoint has it
    generators = [tiny.seed(number) for number in range(5)]
    expected = draw(tiny.stock(scheduler=kind(**config)), generator=generators).images
    pipeline = make(use_habana=True, use_hpu_graphs=True)
    pipeline.scheduler = kind(**config)
    generators = [tiny.seed(number) for number in range(5)]
    assert difference(draw(pipeline, generator=generators, batch_size=2).images, expected) < 1e-3


@pytest.mark.parametrize("scheduler", [GaudiDDIMScheduler, tiny.DDIMScheduler])
def test_noise_of_eta_does_not_depend_on_the_batch_size(make, scheduler):
    expected = draw(tiny.stock(), eta=0.8).images
    assert difference(draw(make(scheduler), eta=0.8, batch_size=2).images, expected) < 1e-4


@pytest.mark.parametrize(
    "options",
    [
        {"guidance_scale": 1.0},
        {"guidance_rescale": 0.7},
        {"negative_prompt": ["blue"] * 5},
        {"timesteps": None, "guidance_scale": 3.0},
        {"height": 24, "width": 8},
        {"output_type": "pt"},
        {"output_type": "latent"},
    ],
)
def test_options_of_the_stock_pipeline(graphs, options):
    expected = draw(tiny.stock(), **options).images
    found = draw(graphs, **options, batch_size=2).images
    if isinstance(found, torch.Tensor):
        found, expected = found.cpu().numpy(), expected.numpy()
    assert difference(found, expected) < 1e-4


def test_given_embeddings_and_latents_are_used_and_left_alone(graphs):
    stock = tiny.stock()
    embeds, negative = stock.encode_prompt(tiny.PROMPTS, "cpu", 1, True)
    latents = torch.randn(5, 4, 8, 8, generator=tiny.seed())
    given = {"prompt_embeds": embeds, "negative_prompt_embeds": negative, "latents": latents}
    expected = draw(stock, None, **given).images
    on_device = {name: tensor.to("hpu") for name, tensor in given.items()}
    for _ in range(2):
        assert difference(draw(graphs, None, **on_device, batch_size=5).images, expected) < 1e-4
    for name, tensor in given.items():
        assert torch.equal(on_device[name].cpu(), tensor)


def test_pictures_and_tuples(graphs):
    images, unsafe = draw(graphs, output_type="pil", return_dict=False, batch_size=2)
    assert [image.size for image in images] == [(16, 16)] * 5
    assert unsafe is None
    assert len(draw(graphs, "nine", output_type="pil").images) == 1


def test_throughput_and_time_of_each_step(graphs):
    outputs = draw(graphs, batch_size=2, throughput_warmup_steps=1)
    assert outputs.throughput > 0
    steps = outputs.warmup.iterations
    assert len(steps) == 9
    assert all(step.wall_time > 0 for step in steps)
    assert steps[0].captures == 1
    assert sum(step.captures for step in steps) == 1
    assert "HPU graphs" in outputs.warmup.settings


def test_bfloat16_by_autocast(make):
    class Config:
        use_torch_autocast = True

    pipeline = make(use_habana=True, use_hpu_graphs=True)
    exact = draw(pipeline).images
    pipeline.gaudi_config = Config()
    seen = []
    pipeline.unet.conv_in.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    rounded = draw(pipeline).images
    assert torch.bfloat16 in seen
    assert 0 < difference(rounded, exact) < 0.1


def test_bfloat16_weights(make):
    pipeline = make(use_habana=True, use_hpu_graphs=True, bf16_full_eval=True, sdp_on_bf16=True)
    assert pipeline.unet.dtype is torch.bfloat16
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    assert difference(draw(pipeline).images, draw(tiny.stock()).images) < 0.1
    assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == allowed


def test_nothing_keeps_a_pipeline_alive(make):
    import weakref

    pipeline = make(use_habana=True, use_hpu_graphs=True)
    draw(pipeline)
    gone = weakref.ref(pipeline.unet)
    del pipeline
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"prompts": []}, "list of prompts is empty"),
        ({"num_inference_steps": 0}, "num_inference_steps=0"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2.0}, "batch_size=2.0"),
        ({"throughput_warmup_steps": -1}, "throughput_warmup_steps=-1"),
        ({"bach_size": 4}, "nearest it takes is 'batch_size'"),
        ({"steps": 4}, "takes no 'steps'"),
        ({"profiling_steps": 3}, "profiling_steps=3 is not part of Gaudi Lab.*torch.profiler"),
        ({"callback": print, "callback_steps": 1}, "callback=.*callback_on_step_end="),
    ],
)
def test_what_would_make_nothing_or_be_ignored_is_refused(make, options, says):
    with pytest.raises(LabValueError, match=says):
        draw(make(), **options)


def test_what_scripts_for_optimum_habana_pass_for_nothing_is_accepted(make):
    of_theirs = {"profiling_warmup_steps": 0, "profiling_steps": 0, "callback": None, "callback_steps": 1}
    assert len(draw(make(), **of_theirs).images) == len(draw(make()).images)


def test_a_gaudi_config_is_an_object_or_found_by_name(make, tmp_path):
    config = GaudiConfig(use_torch_autocast=True)
    config.save_pretrained(tmp_path)
    for given in (config, str(tmp_path)):
        assert make(use_habana=True, gaudi_config=given).gaudi_config == config
    with pytest.raises(LabValueError, match="not a dict"):
        make(use_habana=True, gaudi_config={"use_torch_autocast": True})
