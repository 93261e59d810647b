"""Whole models through OpenVINO: nothing of them runs step by step."""

import copy

import pytest
import torch
from torch import nn

pytest.importorskip("openvino")

from gaudi_lab.emulator.lazy import agreement, compilers
from gaudi_lab.instruments import attention
from tests.unit import tiny_models


@pytest.fixture(autouse=True)
def nothing_passed_over(by_openvino):
    """What a test of this file runs, OpenVINO runs, and is believed."""
    with torch.no_grad():
        yield
    assert not compilers.passed_over
    assert not agreement.disagreements


def largest_gap(found, expected):
    """Return the largest difference beside the largest value."""
    assert found.dtype is expected.dtype
    return float((found.float() - expected.float()).abs().max() / expected.float().abs().max())


def check(model, inputs, read=lambda out: out, within=1e-4):
    """Run a model on the device and on the host, more often than it takes to compile it."""
    on_hpu = copy.deepcopy(model).to("hpu")
    expected = read(model(**inputs))
    moved = {name: x.to("hpu") for name, x in inputs.items()}
    for _ in range(3):
        assert largest_gap(read(on_hpu(**moved)).cpu(), expected) <= within


@pytest.fixture
def padded():
    mask = torch.ones(2, 5, dtype=torch.long)
    mask[1, 3:] = 0
    return {"input_ids": torch.arange(10).view(2, 5), "attention_mask": mask}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_padded_batch_of_bert(dtype, padded):
    model = tiny_models.bert(num_hidden_layers=1, options={"add_pooling_layer": False}).eval().to(dtype)
    check(model, padded, lambda out: out.last_hidden_state, agreement.TOLERANCE[dtype])


# Older versions, which are in the range that is tested, know no other name.
@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")
def test_decoding_with_a_static_cache():
    from transformers import StaticCache

    model = tiny_models.llama(num_hidden_layers=1, num_key_value_heads=1)
    found = []
    for module, device in ((model, "cpu"), (copy.deepcopy(model).to("hpu"), "hpu")):
        cache = StaticCache(config=model.config, max_cache_len=8)
        logits = []
        for token in range(4):
            ids = torch.tensor([[token + 3]], device=device)
            logits.append(module(input_ids=ids, past_key_values=cache).logits.cpu())
        found.append(torch.cat(logits))
    assert largest_gap(found[1], found[0]) <= 1e-4


def test_a_small_unet_with_fused_attention():
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    model = UNet2DConditionModel(
        block_out_channels=(8, 8),
        layers_per_block=1,
        sample_size=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        norm_num_groups=4,
        attention_head_dim=4,
    )
    model = model.eval()
    inputs = {
        "sample": torch.randn(1, 4, 8, 8),
        "timestep": torch.tensor([10.0]),
        "encoder_hidden_states": torch.randn(1, 3, 8),
    }
    on_hpu = copy.deepcopy(model).to("hpu")
    attention.fused_sdpa(on_hpu)
    expected = model(**inputs).sample
    moved = {name: x.to("hpu") for name, x in inputs.items()}
    for _ in range(3):
        assert largest_gap(on_hpu(**moved).sample.cpu(), expected) <= 1e-4


def test_a_convolutional_network_with_operators_in_place():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(1)
    )
    check(model.eval(), {"input": torch.randn(2, 3, 6, 6)})
