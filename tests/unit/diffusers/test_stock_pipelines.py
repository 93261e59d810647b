"""The workbench's switches on live pipelines of the library itself, with random weights."""

import numpy as np
import pytest
import tiny
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

import gaudi_lab
from gaudi_lab import bridge


def sd():
    return tiny.stock()


def sdxl():
    torch.manual_seed(0)
    text = {"hidden_act": "gelu", "projection_dim": 16}
    return StableDiffusionXLPipeline(
        vae=tiny.vae().eval(),
        text_encoder=CLIPTextModel(tiny.text_config(**text)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(tiny.text_config(**text)).eval(),
        tokenizer=tiny.tokenizer(),
        tokenizer_2=tiny.tokenizer(),
        unet=tiny.unet(
            cross_attention_dim=32,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
            use_linear_projection=True,
            transformer_layers_per_block=(1, 1),
        ).eval(),
        scheduler=tiny.scheduler(),
    )


def wide_vae():
    """An autoencoder as SD3 and Flux have it."""
    return AutoencoderKL(
        block_out_channels=(8,),
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=16,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.06,
        scaling_factor=1.5,
    ).eval()


def t5():
    words = tiny.text_config().vocab_size
    config = T5Config(
        vocab_size=words, d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=2, is_encoder_decoder=False
    )
    return T5EncoderModel(config).eval()


def sd3():
    torch.manual_seed(0)
    config = tiny.text_config(projection_dim=16)
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_projection_dim=16,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            out_channels=4,
            qk_norm="rms_norm",
        ).eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=wide_vae(),
        text_encoder=CLIPTextModelWithProjection(config).eval(),
        tokenizer=tiny.tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(config).eval(),
        tokenizer_2=tiny.tokenizer(),
        text_encoder_3=t5(),
        tokenizer_3=tiny.tokenizer(),
    )


def flux():
    torch.manual_seed(0)
    return FluxPipeline(
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=16,
            axes_dims_rope=(4, 4, 8),
        ).eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=wide_vae(),
        text_encoder=CLIPTextModel(tiny.text_config()).eval(),
        tokenizer=tiny.tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=tiny.tokenizer(),
    )


SIZES = {"sd": {}, "sdxl": {}, "sd3": {"max_sequence_length": 16}, "flux": {"max_sequence_length": 16}}


def draw(name, pipeline):
    return pipeline(
        "a red seven",
        height=16,
        width=16,
        num_inference_steps=2,
        generator=tiny.seed(),
        output_type="np",
        **SIZES[name],
    ).images


@pytest.fixture
def kernel_calls(monkeypatch, workbench):
    kernel, calls = bridge.fused_sdpa_kernel(), []

    class Counting:
        forward = kernel.forward

        @staticmethod
        def apply(*arguments):
            calls.append(arguments)
            return kernel.apply(*arguments)

    monkeypatch.setattr(bridge, "fused_sdpa_kernel", lambda: Counting)
    return calls


@pytest.mark.parametrize("build", [sd, sdxl, sd3, flux])
def test_every_switch_on_a_stock_pipeline(build, kernel_calls):
    name = build.__name__
    pipeline = build()
    pipeline.set_progress_bar_config(disable=True)
    expected = draw(name, pipeline)
    pipeline.to("hpu", hpu_migration=False)
    gaudi_lab.attach(pipeline, "pipeline")
    forwards = _attributes(pipeline)

    def check(what):
        for _ in range(2):
            found = draw(name, pipeline)
            assert np.abs(found - expected).max() < 1e-3, what

    check("eager")
    gaudi_lab.mode("lazy")
    check("lazy")
    gaudi_lab.hpu_graphs()
    check("graphs")
    network = "transformer" if hasattr(pipeline, "transformer") else "unet"
    graphs = [g for g in gaudi_lab.status().models[0].graphs if g.component == network]
    assert len(graphs) == 1
    assert graphs[0].replays == 3

    assert not kernel_calls
    gaudi_lab.fused_sdpa()
    check("graphs and FusedSDPA")
    attended = [call[0].shape for call in kernel_calls]
    assert len(attended) > 2, "in text encoders and in the denoiser"
    gaudi_lab.fused_sdpa(on=False)
    kernel_calls.clear()
    check("graphs, FusedSDPA off again")
    assert not kernel_calls

    gaudi_lab.detach("pipeline")
    assert _attributes(pipeline) == forwards
    assert {type(p).__module__.partition(".")[0] for p in _processors(pipeline)} == {"diffusers"}


def _networks(pipeline):
    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}


def _processors(pipeline):
    for part in _networks(pipeline).values():
        yield from (m.processor for m in part.modules() if hasattr(m, "set_processor"))


def _attributes(pipeline):
    # What remembers the calls of an attached model sits in this place, and goes when it is detached.
    return {
        part: {name: x for name, x in vars(module).items() if name != "_compiled_call_impl"}
        for part, module in _networks(pipeline).items()
    }
