"""Print the peak memory of this process in MiB, after a UNet as large as Stable Diffusion 1.5's has run once.

Run: python benchmarks/limits/peak_memory.py cpu|hpu
"""

from __future__ import annotations

import argparse
import os
import resource

os.environ.update(OMP_NUM_THREADS="1", PT_HPU_LAZY_MODE="1", GAUDI_LAB_COMPILER="replay")

import gaudi_lab.emulator

gaudi_lab.emulator.install()

import habana_frameworks.torch  # noqa: F401 - the device
import torch
from diffusers import UNet2DConditionModel

# https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5/blob/main/unet/config.json
SIZES = {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}
LATENTS = 32


@torch.no_grad()
def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("device", choices=["cpu", "hpu"])
    device = parser.parse_args().device
    torch.set_num_threads(1)
    with torch.device("meta"):
        model = UNet2DConditionModel(**SIZES)
    model = model.to_empty(device="cpu").eval().requires_grad_(False)
    for weight in model.parameters():
        weight.fill_(0.01)  # random numbers take long, and no byte more or less
    model.to(device)
    inputs = torch.zeros(1, 4, LATENTS, LATENTS), torch.tensor([10.0]), torch.zeros(1, 77, 768)
    model(*[x.to(device) for x in inputs], return_dict=False)[0].cpu()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
