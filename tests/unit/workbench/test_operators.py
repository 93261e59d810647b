"""Fused operators as switches on real models: the same tokens, on and off again, and what is refused."""

import copy
import pickle

import pytest
import torch
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    StaticCache,
)

import gaudi_lab
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.instruments.fused_operators import catalogue
from gaudi_lab.settings import OPERATORS, Settings
from gaudi_lab.workbench.model import SwitchedModel
from gaudi_lab.workbench.model_operators import ModelOperators

SIZES = {
    "vocab_size": 64,
    "pad_token_id": 0,
    "eos_token_id": None,
    "bos_token_id": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "head_dim": 8,
}
MODELS = {
    "llama": lambda layers: LlamaForCausalLM(LlamaConfig(**SIZES, num_hidden_layers=layers)),
    "qwen2": lambda layers: Qwen2ForCausalLM(Qwen2Config(**SIZES, num_hidden_layers=layers)),
    "qwen3": lambda layers: Qwen3ForCausalLM(Qwen3Config(**SIZES, num_hidden_layers=layers)),
    "gemma": lambda layers: GemmaForCausalLM(GemmaConfig(**SIZES, num_hidden_layers=layers)),
    "mistral": lambda layers: MistralForCausalLM(
        MistralConfig(**SIZES, num_hidden_layers=layers, sliding_window=None)
    ),
}
# Of each layer two, one at the end; Qwen3 has two more in each attention.
NORMS = {"llama": 5, "qwen2": 5, "qwen3": 9, "gemma": 5, "mistral": 5}
REAL = ("llama", "qwen3", "gemma")
"""Those whose tokens are compared: Qwen2 and Mistral have nothing that these do not."""

PROMPT = torch.randint(3, 64, (1, 6), generator=torch.Generator().manual_seed(1))
OWN = ("rms_norm", "rotary")
TOKENS = 24


def build(name, layers=2):
    torch.manual_seed(0)
    model = MODELS[name](layers).eval().requires_grad_(False)
    for path, weight in model.named_parameters():
        if path.endswith("norm.weight"):
            weight += 0.3 * torch.randn_like(weight)
    model.generation_config.eos_token_id = None
    return model.to("hpu")


def generate(model, tokens=TOKENS, **cache):
    options = {"max_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
    return model.generate(PROMPT.to("hpu"), **options, **cache).cpu().tolist()


@torch.no_grad()
def generate_in_one_program(model, tokens=TOKENS):
    """Return greedy tokens, each by a call of the same shapes: what compiles is the prompt and one step."""
    cache = StaticCache(config=model.config, max_cache_len=PROMPT.shape[1] + tokens)
    step, found = PROMPT.to("hpu"), [PROMPT]
    positions = torch.arange(PROMPT.shape[1], device="hpu").unsqueeze(0)
    for _ in range(tokens):
        step = model(step, past_key_values=cache, position_ids=positions).logits[:, -1:].argmax(-1)
        positions = positions[:, -1:] + 1
        found.append(step.cpu())
    return torch.cat(found, 1).tolist()


def logits(model):
    return model(PROMPT.to("hpu")).logits.cpu()


def snapshot(model):
    """Return all that an edit of a model could leave behind."""
    parts = dict(model.named_modules())
    return {
        "classes": {path: type(part) for path, part in parts.items()},
        "attributes": {path: list(vars(part)) for path, part in parts.items()},
        "hooks": {
            path: {name: len(x) for name, x in vars(part).items() if "_hooks" in name and x is not None}
            for path, part in parts.items()
        },
        "state": {name: x.cpu().clone() for name, x in model.state_dict().items()},
        "config": copy.deepcopy(vars(model.config)),
    }


def assert_same(before, after):
    assert all(torch.equal(x, after["state"][name]) for name, x in before["state"].items())
    for what in ("classes", "attributes", "hooks", "config"):
        assert before[what] == after[what]


# Older transformers know no other name.
@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated")
@pytest.mark.parametrize("name", REAL)
def test_swaps_change_no_token_in_eager_lazy_and_under_graphs(workbench, name):
    model = build(name, layers=1)
    expected = generate(model)
    gaudi_lab.attach(model, "net")
    logits(model)
    assert len(set(expected[0])) > 3
    for operator in OWN:
        gaudi_lab.use_operator(operator, model)
    assert generate(model) == expected
    gaudi_lab.fused_sdpa(model)
    assert generate(model) == expected
    gaudi_lab.mode("lazy")
    before = gaudi_lab.why()
    assert generate_in_one_program(model) == expected
    assert gaudi_lab.why(since=before).count <= 4
    # To `generate` each step is a program of its own there, which takes its time to record.
    (found,) = generate(model, 4, cache_implementation="static")
    assert found == expected[0][: PROMPT.shape[1] + 4]
    gaudi_lab.hpu_graphs(model)
    assert generate(model, cache_implementation="static") == expected
    # Prompt and steps: what is captured holds the operators, and is replayed.
    assert sum(graph.replays for graph in gaudi_lab.status().models[0].graphs) > TOKENS - 5
    assert gaudi_lab.status().models[0].plain_calls == ()
    gaudi_lab.detach(model)
    gaudi_lab.mode("eager")
    assert generate(model) == expected


# With the attention that a model comes with, what differs is the same in all of them; Gemma's norms are its own.
@pytest.mark.parametrize(("name", "fused_sdpa"), [("llama", False), ("gemma", True)])
def test_swaps_change_no_token_under_compile(workbench, name, fused_sdpa):
    model = build(name, layers=1)
    expected = generate(model)
    gaudi_lab.attach(model, "net")
    logits(model)
    for operator in OWN:
        gaudi_lab.use_operator(operator, model)
    if fused_sdpa:
        gaudi_lab.fused_sdpa(model)
    gaudi_lab.mode("compile")
    assert generate(model, cache_implementation="static") == expected
    assert gaudi_lab.status().models[0].plain_calls == ()


@pytest.mark.parametrize("name", MODELS)
def test_every_norm_and_every_rotary_embedding_is_a_place(workbench, name):
    model = build(name)
    gaudi_lab.attach(model, "net")
    logits(model)
    for operator, places in {"rms_norm": NORMS[name], "rotary": 2}.items():
        gaudi_lab.use_operator(operator, "net")
        use = gaudi_lab.operators("net", measure=False)[operator]
        assert use.on
        assert len(use.established) == len(use.places) == places


@pytest.mark.parametrize("operator", ["rms_norm", "rotary", "softmax", "fused_sdpa"])
def test_on_and_off_again_and_again_leaves_a_model_identical(workbench, operator, monkeypatch):
    # Where it can stand in is found once: that takes most of the time, and is no edit.
    find, found = ModelOperators._find, {}

    def find_once(self, sought, parts):
        if sought.name not in found:
            found[sought.name] = find(self, sought, parts)
        return found[sought.name]

    monkeypatch.setattr(ModelOperators, "_find", find_once)
    model = build("gemma")
    if operator == "softmax":
        model.set_attn_implementation("eager")
    gaudi_lab.attach(model, "net")
    expected = logits(model)
    before = snapshot(model)
    for turn in range(6):
        handle = gaudi_lab.use_operator(operator, "net")
        if turn == 0:
            assert snapshot(model)["classes"] != before["classes"] or operator == "fused_sdpa"
        if turn % 2:
            handle.remove()
        else:
            gaudi_lab.use_operator(operator, "net", on=False)
    assert_same(before, snapshot(model))
    assert torch.equal(logits(model), expected)


def test_each_is_undone_by_its_handle_and_takes_no_other_along(workbench):
    model = build("llama")
    gaudi_lab.attach(model, "net")
    logits(model)
    norm = gaudi_lab.use_operator("rms_norm", "net")
    rotary = gaudi_lab.use_operator("rotary", "net")
    norm.remove()
    assert workbench.get("net").settings.operators == ("rotary",)
    rotary.remove()
    assert workbench.get("net").settings.operators == ()


def test_the_change_says_where_and_by_how_much_outputs_differ(workbench):
    model = build("gemma").to(torch.bfloat16)
    gaudi_lab.attach(model, "net")
    before = logits(model).double()
    change = gaudi_lab.use_operator("rms_norm", "net").change
    told = float((logits(model).double() - before).abs().max())
    assert told > 0
    assert f"FusedRMSNorm in 5 places, outputs differ by at most {told:.1e}" in str(change)


def test_so_does_that_to_fused_attention(workbench):
    model = build("gemma").to(torch.bfloat16)
    gaudi_lab.attach(model, "net")
    before = logits(model).double()
    gaudi_lab.detach("net")
    # Not called since it was attached again: it is called with these.
    change = gaudi_lab.use_operator("fused_sdpa", model, inputs={"input_ids": PROMPT.to("hpu")}).change
    told = float((logits(model).double() - before).abs().max())
    assert told > 0
    assert f"outputs differ by at most {told:.1e}" in str(change)
    assert "outputs" not in str(gaudi_lab.use_operator("fused_sdpa", model).change)
    assert "outputs" not in str(gaudi_lab.use_operator("fused_sdpa", model, on=False).change)


def test_it_survives_modes_graphs_and_regions(workbench):
    model = build("llama")
    gaudi_lab.attach(model, "net")
    expected = logits(model)
    gaudi_lab.use_operator("rms_norm", "net")
    for mode in ("lazy", "eager", "compile", "lazy"):
        if mode == "compile":
            gaudi_lab.mode("eager")
        gaudi_lab.mode(mode)
        torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-5)
        assert workbench.get("net").settings.operators == ("rms_norm",)
    gaudi_lab.hpu_graphs("net")
    logits(model)
    gaudi_lab.use_operator("rotary", "net")
    # Captured anew: a graph holds the operators it was captured with.
    assert workbench.get("net").captured() == ()
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-5)


def test_set_aside_and_taken_up_again_they_are_established_anew(workbench):
    model = build("llama")
    gaudi_lab.attach(model, "net")
    logits(model)
    gaudi_lab.use_operator("rms_norm", "net")
    aside = workbench.set_aside()
    assert type(model.model.norm).__name__ == "LlamaRMSNorm"
    assert type(model.model.norm) is type(build("llama").model.norm)
    workbench.take_up(aside)
    assert workbench.get("net").settings.operators == ("rms_norm",)
    # Where they cannot be, the model comes along without, and that is told.
    aside = workbench.set_aside()
    model.train()
    change = workbench.take_up(aside)
    assert workbench.get("net").settings.operators == ()
    assert "rms_norm off" in str(change)


def test_a_trainer_s_entry_can_be_pickled_once_its_operators_are_off(workbench):
    entered = SwitchedModel("net", torch.nn.Linear(2, 2))
    assert pickle.loads(pickle.dumps(entered)).operator_uses(measure=False)


def test_compiled_regions_hold_it(workbench):
    from accelerate.utils import compile_regions

    model = build("llama")
    gaudi_lab.attach(model, "net")
    expected = logits(model)
    gaudi_lab.use_operator("rms_norm", "net")
    torch._dynamo.reset()
    regions = compile_regions(model, backend="hpu_backend", dynamic=False)
    found = regions(PROMPT.to("hpu"), use_cache=False).logits.cpu()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_what_it_saves_is_measured(workbench):
    model = build("llama")
    gaudi_lab.attach(model, "net")
    assert gaudi_lab.operators("net")["rms_norm"].saving is None
    logits(model)
    off = gaudi_lab.operators("net")
    # Six operators and a cast or two become one, in each of five places.
    without, with_it = off["rms_norm"].saving.operators
    assert without - with_it >= 5 * 4
    assert off["fused_sdpa"].saving.memory[0] > 0
    memory = off["fused_sdpa"].saving.memory
    gaudi_lab.use_operator("rms_norm", "net")
    gaudi_lab.use_operator("fused_sdpa", "net")
    before = snapshot(model)
    on = gaudi_lab.operators("net")
    assert on["rms_norm"].on
    assert on["fused_sdpa"].on
    saved = on["rms_norm"].saving.operators
    assert saved[0] - saved[1] == without - with_it
    assert on["fused_sdpa"].saving.memory == memory
    assert_same(before, snapshot(model))
    # What the measuring calls came to is not the user's.
    assert gaudi_lab.status().models[0].plain_calls == ()


def test_a_model_that_raises_is_listed_with_what_it_said(workbench, net):
    class Failing(torch.nn.RMSNorm):
        broken = False

        def forward(self, x):
            if self.broken:
                raise ValueError("out of ideas")
            return super().forward(x)

    model = torch.nn.Sequential(net, Failing(2)).eval().to("hpu")
    gaudi_lab.attach(model, "net")
    model(torch.ones(1, 4).to("hpu"))
    model[1].broken = True
    shown = repr(gaudi_lab.operators("net"))
    assert "net: not measured, because the model, called again, raised ValueError: out of ideas" in shown
    assert "0 of 1 Failing" in shown


def test_nothing_is_told_before_the_model_was_called(workbench):
    model = build("llama")
    gaudi_lab.attach(model, "net")
    with pytest.raises(LabError, match="has not been called") as caught:
        gaudi_lab.use_operator("rms_norm", "net")
    assert "inputs=batch" in str(caught.value)
    assert workbench.get("net").settings == Settings()
    assert gaudi_lab.use_operator("rms_norm", "net", inputs={"input_ids": PROMPT.to("hpu")}).change
    assert workbench.get("net").settings.operators == ("rms_norm",)


def test_training_is_refused(workbench):
    model = build("llama")
    gaudi_lab.attach(model, "net")
    logits(model)
    model.train()
    with pytest.raises(LabError, match=r"training mode.*net\.eval"):
        gaudi_lab.use_operator("rms_norm", "net")


def test_what_is_not_there_is_refused_with_what_is(workbench, net):
    gaudi_lab.attach(net, "net")
    net(torch.ones(1, 4).to("hpu"))
    with pytest.raises(LabValueError, match=r"there are fused_sdpa, rms_norm, rotary, softmax.*rms_norm"):
        gaudi_lab.use_operator("rmsnorm", "net")
    with pytest.raises(LabError, match="net has nothing that FusedRMSNorm could stand in for"):
        gaudi_lab.use_operator("rms_norm", "net")
    assert workbench.get("net").settings == Settings()


def test_a_model_without_a_place_is_left_out_where_all_are_meant(workbench, net):
    model = build("llama")
    gaudi_lab.attach(model, "llama")
    gaudi_lab.attach(net, "net")
    logits(model)
    net(torch.ones(1, 4).to("hpu"))
    change = gaudi_lab.use_operator("rms_norm").change
    assert workbench.get("llama").settings.operators == ("rms_norm",)
    assert workbench.get("net").settings.operators == ()
    assert "net has nothing that FusedRMSNorm could stand in for" in str(change)
    assert workbench.settings.operators == ()


@pytest.mark.parametrize("operator", ["rms_norm", "fused_sdpa"])
def test_outputs_that_are_no_numbers_take_it_off_again(workbench, monkeypatch, operator):
    model = build("llama")
    gaudi_lab.attach(model, "net")
    logits(model)
    before = snapshot(model)
    monkeypatch.setattr(
        "gaudi_lab.instruments.fused_operators.saving.largest_difference", lambda *_: float("inf")
    )
    with pytest.raises(LabError, match="off again"):
        gaudi_lab.use_operator(operator, "net")
    assert_same(before, snapshot(model))
    assert workbench.get("net").settings == Settings()


def test_calls_that_do_not_suit_are_in_the_status(workbench):
    model = build("llama")
    gaudi_lab.attach(model, "net")
    logits(model)
    gaudi_lab.use_operator("rms_norm", "net")
    with torch.autocast("hpu", torch.bfloat16):
        logits(model)
    (calls,) = gaudi_lab.status().models[0].plain_calls
    assert (calls.operator, calls.count) == ("rms_norm", 5)
    assert "5 calls ran without rms_norm: under autocast" in repr(gaudi_lab.status())


def test_another_source_adds_operators(workbench):
    class Own:
        name, label, meaning = "own", "my operator", "Does what I want"
        shows_in_a_run = False

        def why_missing(self):
            return ""

        def find(self, model, run):
            return []

    with catalogue.add_source(lambda: [Own()]):
        assert gaudi_lab.operators()["own"].label == "my operator"
    assert "own" not in [use.name for use in gaudi_lab.operators().uses]


def test_settings_move_one_name_and_leave_the_others():
    settings = Settings(operators=("rotary",))
    moved = settings.move(OPERATORS.turn_one("rms_norm", True))
    assert moved.operators == ("rms_norm", "rotary")
    assert moved.move_back(OPERATORS.turn_one("rms_norm", True), settings).operators == ("rotary",)
    assert moved.move(OPERATORS.turn(False)).operators == ()
    assert str(moved) == "eager + operators (rms_norm, rotary)"
