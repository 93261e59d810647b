"""What is changed on a live pipeline counts from the next call."""

import numpy as np
import pytest
import tiny
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

import gaudi_lab
from gaudi_lab import bridge
from gaudi_lab.diffusers import GaudiDDIMScheduler, GaudiStableDiffusionPipeline
from gaudi_lab.errors import LabError

SETTINGS = {"num_inference_steps": 3, "output_type": "np", "num_images_per_prompt": 2, "batch_size": 2}


def draw(pipeline, **options):
    return pipeline(["a red seven"], generator=tiny.seed(), **{**SETTINGS, **options}).images


def stock(change=lambda pipeline: None, **options):
    pipeline = tiny.stock()
    change(pipeline)
    options = {**SETTINGS, **options}
    del options["batch_size"]
    return pipeline(["a red seven"], generator=tiny.seed(), **options).images


def unet_graphs(pipeline):
    return [graph for graph in pipeline.captured if graph.component == "unet"]


def same(found, expected):
    return np.abs(found - expected).max() < 1e-4


def test_hpu_graphs_on_and_off_and_the_mode(make):
    gaudi_lab.mode("lazy")
    pipeline, expected = make(use_habana=True), stock()
    for on in (False, True, False, True):
        pipeline.use_hpu_graphs = on
        assert same(draw(pipeline), expected)
        assert pipeline.use_hpu_graphs == on
        assert len(unet_graphs(pipeline)) == on
    gaudi_lab.mode("eager")
    assert same(draw(pipeline), expected)
    assert not pipeline.captured
    gaudi_lab.mode("lazy")
    assert same(draw(pipeline), expected)
    assert len(unet_graphs(pipeline)) == 1


def test_the_workbench_moves_the_same_switches(graphs, workbench):
    draw(graphs)
    gaudi_lab.attach(graphs, "pipeline")
    model = gaudi_lab.status().models[0]
    assert model.settings.hpu_graphs
    gaudi_lab.hpu_graphs("pipeline", on=False)
    assert not graphs.use_hpu_graphs
    assert same(draw(graphs), stock())
    assert not graphs.captured
    gaudi_lab.hpu_graphs("pipeline")
    draw(graphs)
    assert [g.component for g in gaudi_lab.status().models[0].graphs].count("unet") == 1
    gaudi_lab.hpu_graphs("pipeline", on=False)
    gaudi_lab.detach("pipeline")
    assert graphs.use_hpu_graphs, "as it was before it was attached"
    assert same(draw(graphs), stock())


def test_fused_sdpa_after_capture(graphs, monkeypatch):
    kernel, calls = bridge.fused_sdpa_kernel(), []
    plain = draw(graphs)

    class Counting:
        forward = kernel.forward

        @staticmethod
        def apply(*arguments):
            calls.append(arguments)
            return kernel.apply(*arguments)

    monkeypatch.setattr(bridge, "fused_sdpa_kernel", lambda: Counting)
    with gaudi_lab.fused_sdpa(graphs):
        assert same(draw(graphs), plain)
    assert calls
    calls.clear()
    assert same(draw(graphs), plain)
    assert not calls


def test_an_attention_processor_set_by_hand(graphs):
    seen = []

    class Seen(AttnProcessor):
        def __call__(self, *arguments, **options):
            seen.append(1)
            return super().__call__(*arguments, **options)

    draw(graphs)
    graphs.unet.set_attn_processor(Seen())
    assert same(draw(graphs), stock())
    assert seen


@pytest.mark.parametrize("in_place", [True, False])
def test_weights_edited_and_replaced(graphs, in_place):
    draw(graphs)

    def change(pipeline):
        convolution = pipeline.unet.conv_out
        if in_place:
            with torch.no_grad():
                convolution.weight.mul_(0.5)
        else:
            convolution.weight = torch.nn.Parameter(convolution.weight.detach() * 0.5)

    change(graphs)
    expected = stock(change)
    assert not same(expected, stock())
    assert same(draw(graphs), expected)
    assert len(unet_graphs(graphs)) == 1


def test_another_dtype(graphs):
    exact = draw(graphs)
    graphs.to(torch.bfloat16)
    assert 0 < np.abs(draw(graphs) - exact).max() < 0.1


def test_another_unet(graphs):
    draw(graphs)

    def change(pipeline):
        torch.manual_seed(7)
        pipeline.unet = tiny.unet().eval().to(pipeline.device)

    change(graphs)
    assert same(draw(graphs), stock(change))


def test_nothing_is_captured_anew_without_a_change(graphs):
    draw(graphs)
    first = bridge.counters().compilations
    draw(graphs)
    draw(graphs)
    assert bridge.counters().compilations == first
    assert len(unet_graphs(graphs)) == 1


def test_adapter_scale_is_not_dropped(make):
    peft = pytest.importorskip("peft", reason="LoRA needs peft")

    def add(pipeline):
        torch.manual_seed(3)
        config = peft.LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
        pipeline.unet.add_adapter(config)

    pipeline = make(use_habana=True, use_hpu_graphs=True)
    add(pipeline)
    pipeline.unet.to("hpu")
    for scale in (1.0, 0.2, 1.0):
        options = {"cross_attention_kwargs": {"scale": scale}}
        assert same(draw(pipeline, **options), stock(add, **options))
    pipeline.unet.set_adapters("default", 0.4)
    assert same(draw(pipeline), stock(lambda p: (add(p), p.unet.set_adapters("default", 0.4))))


def test_options_of_attention_processors_are_not_dropped(graphs):
    class Weaker(AttnProcessor2_0):
        def __call__(self, attn, hidden_states, *arguments, strength=1.0, **options):
            return super().__call__(attn, hidden_states, *arguments, **options) * strength

    def use(pipeline):
        pipeline.unet.set_attn_processor(Weaker())

    use(graphs)
    images = []
    for strength in (1.0, 0.2, 1.0):
        options = {"cross_attention_kwargs": {"strength": strength}}
        images.append(draw(graphs, **options))
        assert same(images[-1], stock(use, **options))
    assert not same(images[0], images[1])
    assert len(unet_graphs(graphs)) == 2


def test_image_prompts_are_not_dropped(graphs):
    def add(pipeline):
        torch.manual_seed(5)
        width = pipeline.unet.config.cross_attention_dim
        projection = {
            "proj.weight": torch.randn(4 * width, 6) * 0.3,
            "proj.bias": torch.zeros(4 * width),
            "norm.weight": torch.ones(width),
            "norm.bias": torch.zeros(width),
        }
        crossed = [m for name, m in pipeline.unet.named_modules() if name.endswith("attn2")]
        keys = {
            f"{2 * number + 1}.to_{which}_ip.weight": torch.randn(module.inner_dim, width) * 0.3
            for number, module in enumerate(crossed)
            for which in "kv"
        }
        pipeline.unet._load_ip_adapter_weights([{"image_proj": projection, "ip_adapter": keys}])
        pipeline.unet.to(pipeline.device)

    add(graphs)
    images = []
    for number in range(2):
        embeds = torch.randn(2, 1, 6, generator=tiny.seed(number))
        expected = stock(add, ip_adapter_image_embeds=[embeds])
        images.append(draw(graphs, ip_adapter_image_embeds=[embeds.to("hpu")]))
        assert same(images[-1], expected)
    assert not same(*images)
    assert len(unet_graphs(graphs)) == 1


def test_a_class_of_the_unet_is_not_dropped(graphs):
    """The pipeline passes no `class_labels`, but whoever calls the captured UNet may."""
    unet = tiny.unet(num_class_embeds=3).eval().requires_grad_(False)
    inputs = (torch.ones(2, 4, 8, 8), torch.tensor(5), torch.ones(2, 16, 16))
    expected = [unet(*inputs, class_labels=torch.tensor([n, n]))[0] for n in (0, 2)]
    unet.to("hpu")
    graphs.unet = unet
    with graphs.gaudi_switches.on():
        pass
    on_device = [tensor.to("hpu") for tensor in inputs]
    for number, wanted in zip((0, 2), expected, strict=True):
        found = unet(*on_device, class_labels=torch.tensor([number] * 2).to("hpu"))[0]
        torch.testing.assert_close(found.cpu(), wanted, atol=1e-4, rtol=0)
    assert not torch.allclose(*expected)
    assert len(unet_graphs(graphs)) == 1


def test_guidance_embedding_is_not_dropped(make, monkeypatch):
    pipeline = make(unet={"time_cond_proj_dim": 8}, use_habana=True, use_hpu_graphs=True)
    reference = tiny.stock(unet=tiny.parts(time_cond_proj_dim=8)["unet"])
    images = []
    for scale in (4.0, 8.0):
        expected = reference(
            ["a red seven"], generator=tiny.seed(), guidance_scale=scale, num_inference_steps=3,
            output_type="np", num_images_per_prompt=2,
        ).images  # fmt: skip
        images.append(draw(pipeline, guidance_scale=scale))
        assert same(images[-1], expected)
    assert not same(*images)
    assert len(unet_graphs(pipeline)) == 1


def test_interrupted_in_the_middle_of_a_capture_and_of_a_replay(graphs):
    expected = stock()
    calls = []

    def interrupt(module, *_):
        calls.append(1)
        raise KeyboardInterrupt

    hook = graphs.unet.mid_block.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt) as held:
        draw(graphs)
    hook.remove()
    assert calls
    assert same(draw(graphs), expected)

    def later(pipeline, step, timestep, tensors):
        if step == 1:
            raise KeyboardInterrupt
        return tensors

    with pytest.raises(KeyboardInterrupt):
        draw(graphs, callback_on_step_end=later)
    assert same(draw(graphs), expected)
    assert held is not None


def test_callbacks_see_no_padding_and_may_change_what_they_see(graphs):
    seen = []

    def change(pipeline, step, timestep, tensors):
        seen.append((step, int(timestep), len(tensors["latents"]), len(tensors["prompt_embeds"])))
        return {"latents": tensors["latents"] * 0.9}

    names = ["latents", "prompt_embeds"]
    options = {
        "callback_on_step_end": change,
        "callback_on_step_end_tensor_inputs": names,
        "num_images_per_prompt": 3,
    }
    expected = stock(**options)
    seen.clear()
    assert same(draw(graphs, **options), expected)
    assert [entry[0] for entry in seen] == [0, 1, 2, 0, 1, 2]
    assert [entry[2:] for entry in seen] == [(2, 4)] * 3 + [(1, 2)] * 3


def test_a_callback_may_stop_guidance_or_the_generation(graphs):
    from diffusers.callbacks import SDCFGCutoffCallback

    # One image: this callback of diffusers keeps a single row.
    options = {
        "callback_on_step_end": SDCFGCutoffCallback(cutoff_step_ratio=0.5),
        "num_images_per_prompt": 1,
    }
    assert same(draw(graphs, **options), stock(**options))

    def stop(pipeline, step, timestep, tensors):
        pipeline._interrupt = True
        return tensors

    assert len(draw(graphs, callback_on_step_end=stop, num_images_per_prompt=4)) == 2
    assert same(draw(graphs), stock())


def test_graphs_need_lazy_mode_and_say_so(make, monkeypatch, caplog):
    make(use_habana=True, use_hpu_graphs=True)
    assert bridge.is_lazy()
    assert "use_hpu_graphs=True needs lazy mode" in caplog.text
    gaudi_lab.mode("eager")
    for choose in (lambda: None, lambda: monkeypatch.setenv("PT_HPU_LAZY_MODE", "0")):
        choose()  # by the magic first: it holds as the variable does
        with pytest.raises(LabError, match="this process is in eager mode"):
            make(use_habana=True, use_hpu_graphs=True)
        assert not bridge.is_lazy()
    pipeline = make(use_habana=True)
    with pytest.raises(LabError, match="only in lazy mode"):
        pipeline.use_hpu_graphs = True
    assert not pipeline.use_hpu_graphs


def test_options_of_hpu_need_it(make):
    with pytest.raises(LabError, match="use_habana=True, use_hpu_graphs=True"):
        make(use_hpu_graphs=True)
    with pytest.raises(LabError, match="gaudi_config is for hpu"):
        make(gaudi_config="Habana/stable-diffusion")
    pipeline = make()
    assert pipeline.device.type == "cpu"
    with pytest.raises(LabError, match="use_habana"):
        pipeline.use_hpu_graphs = True


def test_a_ported_script_runs(tmp_path, undecided):
    tiny.stock().save_pretrained(tmp_path)
    scheduler = GaudiDDIMScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    pipeline = GaudiStableDiffusionPipeline.from_pretrained(
        tmp_path, scheduler=scheduler, use_habana=True, use_hpu_graphs=True
    )
    outputs = pipeline(
        ["An image of a squirrel in Picasso style"],
        num_images_per_prompt=16,
        batch_size=4,
        num_inference_steps=2,
    )
    assert len(outputs.images) == 16
    pipeline.save_pretrained(tmp_path / "saved")
    assert type(tiny.StableDiffusionPipeline.from_pretrained(tmp_path / "saved")).__name__ == (
        "StableDiffusionPipeline"
    )
    assert isinstance(GaudiStableDiffusionPipeline.from_pretrained(tmp_path / "saved"), type(pipeline))


def test_operators_are_measured_in_the_parts_that_were_called_and_say_which_were_not(make):
    pipeline = make(use_habana=True)
    gaudi_lab.attach(pipeline, "pipeline")
    draw(pipeline)
    shown = gaudi_lab.operators("pipeline")
    # Text becomes an image without it.
    assert shown["fused_sdpa"].parts_not_measured == ("vae.encoder",)
    without, with_it = shown["fused_sdpa"].saving.operators
    assert with_it < without
    assert "fused_sdpa, rotary, softmax in vae.encoder of pipeline: not measured, because" in repr(shown)
    with pytest.raises(LabError, match=r"In vae\.encoder that is not known: no call of it was seen"):
        gaudi_lab.use_operator("softmax", "pipeline")
    change = gaudi_lab.use_operator("fused_sdpa", "pipeline").change
    assert "those of vae.encoder were not compared" in str(change)
