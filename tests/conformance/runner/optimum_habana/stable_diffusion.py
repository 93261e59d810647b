"""GaudiStableDiffusionPipeline draws with a tiny random model; prints the means of its images as JSON.

python stable_diffusion.py {cpu,eager,lazy,graphs}
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from optimum.habana import GaudiConfig
from optimum.habana.diffusers import GaudiDDIMScheduler, GaudiStableDiffusionPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer


def tokenizer() -> CLIPTokenizer:
    """Return a tokenizer that knows a few pieces of words."""
    pieces = (
        "l o w e r s t i d n lo l</w> w</w> r</w> t</w> low</w> er</w> <unk> <|startoftext|> <|endoftext|>"
    )
    folder = Path(tempfile.mkdtemp())
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces.split())}))
    (folder / "merges.txt").write_text("#version: 0.2\nl o\nlo w</w>\ne r</w>\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), unk_token="<unk>", model_max_length=77
    )


def main(mode: str) -> None:
    """Draw twice from a prompt, in two batches of which the last is smaller."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(4, 8),
        layers_per_block=1,
        sample_size=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        norm_num_groups=2,
    )
    vae = AutoencoderKL(
        block_out_channels=[4, 8],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        norm_num_groups=2,
    )
    text = CLIPTextConfig(
        bos_token_id=0,
        eos_token_id=2,
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=8,
        num_hidden_layers=3,
        vocab_size=1000,
        pad_token_id=1,
    )
    parts = {
        "vae": vae,
        "text_encoder": CLIPTextModel(text),
        "tokenizer": tokenizer(),
        "unet": unet,
        "safety_checker": None,
        "feature_extractor": None,
    }
    schedule = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": False,
    }
    batches: dict[str, int] = {}
    if mode == "cpu":  # optimum-habana's own pipeline asks for a gaudi_config that it does not set here
        pipeline = StableDiffusionPipeline(
            **parts, scheduler=DDIMScheduler(**schedule), requires_safety_checker=False
        )
    else:
        pipeline = GaudiStableDiffusionPipeline(
            **parts,
            scheduler=GaudiDDIMScheduler(**schedule),
            use_habana=True,
            use_hpu_graphs=mode == "graphs",
            gaudi_config=GaudiConfig(use_torch_autocast=False),
        )
        batches = {"batch_size": 2}
        assert pipeline.unet.device.type == "hpu"
    pipeline.set_progress_bar_config(disable=True)
    means = []
    for _ in range(2):
        out = pipeline(
            ["lower newer"],
            num_images_per_prompt=3,
            **batches,
            num_inference_steps=5,
            generator=torch.Generator("cpu").manual_seed(0),
            output_type="np",
        )
        means.append([float(image.mean()) for image in out.images] + [float(x) for x in out.images[0][0, 0]])
    print("RESULT", json.dumps(means))


if __name__ == "__main__":
    main(sys.argv[1])
