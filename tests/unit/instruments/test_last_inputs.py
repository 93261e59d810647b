import torch
from torch import nn

from gaudi_lab.instruments.last_inputs import LastInputs, read_inputs


class Model(nn.Module):
    def forward(self, x, **_):
        return x


def test_the_latest_call_is_kept_until_it_is_removed():
    model = Model()
    with LastInputs(model) as kept:
        assert kept.arguments is None
        first, second = torch.ones(2), torch.zeros(2)
        model(first, flag=True)
        model(second, mask=[first, None])
        args, kwargs = kept.arguments
        assert args[0] is second
        assert kwargs["mask"][0] is first
    assert kept.arguments is None
    assert "_compiled_call_impl" not in vars(model)


def test_a_call_that_cannot_be_made_again_is_not_kept():
    model = Model()
    kept = LastInputs(model)
    model(torch.ones(2))
    for other in (object(), torch.ones(2, requires_grad=True) * 2, torch.empty(0).expand(0)):
        model(torch.zeros(1), other=other)
    args, _ = kept.arguments
    assert args[0].shape == (1,)
    model(object())
    assert kept.arguments[0][0].shape == (1,)


def test_large_ones_are_not_kept():
    model = Model()
    kept = LastInputs(model)
    assert kept.why_none == "the model has not been called since it was attached"
    model(torch.empty(17 << 20, device="meta"))
    assert kept.arguments is None
    assert "more than 64 MiB" in kept.why_none


def test_an_empty_cache_is_left_out_and_a_call_with_a_filled_one_not_kept():
    from transformers import DynamicCache, EncoderDecoderCache

    model, cache = Model(), DynamicCache()
    kept = LastInputs(model)
    model(torch.ones(1), past_key_values=cache)
    assert kept.arguments[1] == {}
    cache.update(torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2), 0)
    model(torch.zeros(1), past_key_values=cache)
    assert kept.arguments[0][0].item() == 1

    kept, own = LastInputs(model), DynamicCache()
    model(torch.ones(1), past_key_values=EncoderDecoderCache(own, cache))
    assert kept.arguments is None
    assert kept.why_none == "it was called with EncoderDecoderCache, and such a call cannot be made again"
    model(torch.ones(1), past_key_values=EncoderDecoderCache(own, DynamicCache()))
    assert kept.arguments[1] == {}


def test_a_tuple_is_several_arguments_and_a_list_is_one():
    x = torch.ones(1)
    assert read_inputs(None) == ((), {})
    assert read_inputs({"x": x}) == ((), {"x": x})
    assert read_inputs((x, 2)) == ((x, 2), {})
    assert read_inputs([x, 2]) == (([x, 2],), {})
    assert read_inputs(x) == ((x,), {})
