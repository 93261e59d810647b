"""`generate` gives the same tokens under every combination of switches, or the switch is refused with the reason."""

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    StaticCache,
    T5Config,
    T5ForConditionalGeneration,
)

import gaudi_lab
from gaudi_lab.settings import Mode, Settings, combinations

SIZES = {"vocab_size": 64, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
DECODER = {
    **SIZES,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
# One layer of two sees six tokens back, and the prompts with what is generated are longer.
SLIDING = {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}

MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**DECODER)),
    "qwen": lambda: Qwen2ForCausalLM(Qwen2Config(**DECODER)),
    "sliding qwen": lambda: Qwen2ForCausalLM(Qwen2Config(**DECODER, **SLIDING)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**SIZES, n_embd=32, n_layer=2, n_head=4, n_positions=64)),
    "t5": lambda: T5ForConditionalGeneration(
        T5Config(
            vocab_size=64,
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
    ),
}
CACHES = {"dynamic": {}, "static": {"cache_implementation": "static"}}

# What HPU graphs are refused for, by model and cache; everything else runs under them.
REFUSED = {
    **{(model, "dynamic"): "argument-replaced" for model in MODELS},
    ("sliding qwen", "static"): "argument-state",
}

PROMPTS = torch.randint(3, 64, (2, 5), generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])

TOKENS = {Mode.LAZY: 6, Mode.EAGER: 6, Mode.COMPILE: 3}


def is_worth_its_time(model, cache, settings):
    """Compiling takes seconds for each length of a cache, and the models differ little in it."""
    if settings.mode is not Mode.COMPILE:
        return True
    if settings.fused_sdpa:
        return (model, cache) == ("llama", "static")
    return cache == "static" or model in ("llama", "t5")


ALL = [
    pytest.param(model, cache, settings, id=f"{model}-{cache}-{settings}")
    for model in MODELS
    for cache in CACHES
    for settings in combinations()
    if is_worth_its_time(model, cache, settings)
]


def tokens(model, *, device="hpu", **options):
    torch.manual_seed(3)
    found = model.generate(PROMPTS.to(device), attention_mask=MASK.to(device), **options)
    # A static cache is never made smaller, so the length of one call is the shape of the next.
    vars(model).pop("_previous_max_cache_length", None)
    return found.cpu().tolist()


@pytest.fixture(scope="module")
def references():
    """Tokens by model, cache and length: greedy ones of the CPU and sampled ones of plain eager `hpu`."""
    return {}


def make(name):
    torch.manual_seed(0)
    return MODELS[name]().eval().requires_grad_(False)


def expected(references, name, cache, length):
    """Return the greedy and the sampled tokens that every combination of switches has to give."""
    key = name, cache, length
    if key not in references:
        model = make(name)
        options = {"max_new_tokens": length, "min_new_tokens": length, **CACHES[cache]}
        greedy = tokens(model, device="cpu", do_sample=False, **options)
        references[key] = greedy, tokens(model.to("hpu"), do_sample=True, **options)
    return references[key]


@pytest.mark.parametrize(("name", "cache", "settings"), ALL)
@pytest.mark.filterwarnings("ignore:Gaudi Lab. a call of .* runs without a graph")
def test_the_tokens_are_those_of_plain_calls(workbench, references, name, cache, settings):
    length = TOKENS[settings.mode]
    greedy, sampled = expected(references, name, cache, length)
    model = make(name).to("hpu")
    gaudi_lab.mode(settings.mode if settings.mode.is_lazy else "eager")
    workbench.attach(model, "model")
    workbench.apply(settings)
    options = {"max_new_tokens": length, "min_new_tokens": length, **CACHES[cache]}
    assert tokens(model, do_sample=False, **options) == greedy
    assert tokens(model, do_sample=True, **options) == sampled
    status = workbench.status().models[0]
    reason = REFUSED.get((name, cache)) if settings.hpu_graphs else None
    assert [refusal.code for refusal in status.refusals] == ([reason] if reason else [])
    # Each call of `generate` has a cache of its own: a plain step, one that is captured, and replays.
    replays = [graph.replays for graph in status.graphs]
    assert replays == ([length - 3] * 2 if settings.hpu_graphs and not reason else [])
    torch._dynamo.reset()


@pytest.fixture
def llama(workbench):
    model = make("llama").to("hpu")
    gaudi_lab.mode("lazy")
    workbench.attach(model, "llama")
    return model


GREEDY = {"do_sample": False, "max_new_tokens": 6, "min_new_tokens": 6}


def test_a_refused_cache_says_what_to_use_instead(workbench, llama):
    gaudi_lab.hpu_graphs("llama")
    with pytest.warns(UserWarning, match='cache_implementation="static"') as told:
        tokens(llama, **GREEDY)
    assert len(told) == 1
    (refusal,) = workbench.status().models[0].refusals
    assert refusal.remedy == 'model.generate(..., cache_implementation="static")'
    shown = repr(workbench.status())
    assert "llama runs without a graph: each call puts another tensor into" in shown
    assert refusal.remedy in shown


@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated")  # older transformers know no other name
def test_a_cache_of_ones_own_is_captured_once_for_all_calls(workbench, llama):
    plain = tokens(llama, cache_implementation="static", **GREEDY)
    gaudi_lab.hpu_graphs("llama")
    cache = StaticCache(config=llama.config, max_cache_len=32)
    for _ in range(3):
        cache.reset()
        assert tokens(llama, past_key_values=cache, **GREEDY) == plain
    graphs = {graph.shapes[0].dims: graph.replays for graph in workbench.status().models[0].graphs}
    # The first prompt fills the cache, the second is watched, the third captured.
    assert graphs == {(2, 1): 3 * 5 - 2, (2, 5): 0}
    assert workbench.status().models[0].refusals == ()


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.filterwarnings("ignore:Gaudi Lab. a call of .* runs without a graph")
def test_beam_search_and_collected_states_are_those_of_plain_calls(llama, cache):
    def run():
        beams = tokens(llama, num_beams=3, **GREEDY, **CACHES[cache])
        states = llama.generate(
            PROMPTS.to("hpu"),
            attention_mask=MASK.to("hpu"),
            return_dict_in_generate=True,
            output_hidden_states=True,
            output_logits=True,
            **GREEDY,
            **CACHES[cache],
        )
        kept = [step[-1] for step in states.hidden_states] + list(states.logits)
        return beams, [x.cpu() for x in kept]

    beams, kept = run()
    gaudi_lab.hpu_graphs("llama")
    found, kept_by_graphs = run()
    assert found == beams
    for x, y in zip(kept_by_graphs, kept, strict=True):
        torch.testing.assert_close(x, y)


def test_verified_graphs_of_a_static_cache_agree(workbench, llama):
    plain = tokens(llama, cache_implementation="static", **GREEDY)
    gaudi_lab.hpu_graphs("llama", verify=True)
    assert workbench.models["llama"].settings == Settings(Mode.LAZY, hpu_graphs=True, verify=True)
    assert tokens(llama, cache_implementation="static", **GREEDY) == plain
    assert [graph.replays for graph in workbench.status().models[0].graphs] == [3]
    assert workbench.status().models[0].refusals == ()
