"""`generate` gives the same tokens under every combination of switches, or the switch is refused with the reason."""

import functools

import pytest
import torch
from generating import CACHES, MASK, MODELS, PROMPTS, REFUSED, TOKENS, expect, generate, make, tokens
from transformers import StaticCache

import gaudi_lab
from gaudi_lab.settings import Mode, Settings, combinations


def is_worth_its_time(model, cache, settings):
    """Compiling takes seconds for each length of a cache, and the models differ little in it."""
    if settings.mode is Mode.COMPILE:
        return model == "llama" if cache == "static" else model == "llama" and not settings.fused_sdpa
    return model == "llama" or cache == "static" or not settings.fused_sdpa


ALL = [
    pytest.param(model, cache, settings, id=f"{model}-{cache}-{settings}")
    for model in MODELS
    for cache in CACHES
    for settings in combinations()
    if is_worth_its_time(model, cache, settings)
]


expected = functools.cache(expect)


@pytest.mark.parametrize(("name", "cache", "settings"), ALL)
@pytest.mark.filterwarnings("ignore:Gaudi Lab. a call of .* runs without a graph")
def test_the_tokens_are_those_of_plain_calls(workbench, name, cache, settings):
    length = TOKENS[settings.mode]
    greedy, sampled = expected(name, cache, length)
    found = generate(name, cache, settings)
    assert found.greedy == greedy
    assert found.sampled == sampled
    reason = REFUSED.get((name, cache)) if settings.hpu_graphs else None
    assert [refusal.code for refusal in found.refusals] == ([reason] if reason else [])
    # Each call of `generate` has a cache of its own: a plain step, one that is captured, and replays.
    assert found.replays == ((length - 3,) * 2 if settings.hpu_graphs and not reason else ())


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
