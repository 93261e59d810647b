import pytest
import torch
from torch import nn

from gaudi_lab.errors import LabError
from gaudi_lab.instruments import attention
from gaudi_lab.settings import SdpaOptions
from tests.unit import tiny_models

PLAIN = SdpaOptions()


class Calls:
    """Stands in for the bridge's kernel and notes what it is given."""

    def __init__(self, monkeypatch):
        kernel = attention.bridge.fused_sdpa_kernel()
        self.seen = []

        class Noting:
            forward = kernel.forward

            @staticmethod
            def apply(*arguments):
                self.seen.append(arguments)
                return kernel.apply(*arguments)

        monkeypatch.setattr(attention.bridge, "fused_sdpa_kernel", lambda: Noting)


@pytest.fixture
def kernel(monkeypatch, workbench):
    return Calls(monkeypatch)


def tokens(rows=2, length=6):
    return torch.arange(rows * length).reshape(rows, length).to("hpu")


def mask(rows=2, length=6, padded=2):
    values = torch.ones(rows, length, dtype=torch.long)
    values[0, length - padded :] = 0
    return values.to("hpu")


def test_a_transformers_model_attends_through_the_kernel_with_the_same_answer(bert, kernel):
    expected = bert(tokens(), attention_mask=mask()).last_hidden_state.cpu()
    with attention.fused_sdpa(bert, PLAIN):
        assert attention.in_use(bert) == "FusedSDPA"
        found = bert(tokens(), attention_mask=mask()).last_hidden_state.cpu()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert len(kernel.seen) == bert.config.num_hidden_layers
    bert(tokens())
    assert len(kernel.seen) == bert.config.num_hidden_layers


def test_every_config_is_put_back(bert):
    before, attributes = dict(vars(bert.config)), set(vars(bert))
    with attention.fused_sdpa(bert, SdpaOptions(recompute=True)):
        assert vars(bert.config) != before
    assert vars(bert.config) == before
    assert set(vars(bert)) == attributes
    assert attention.in_use(bert) == "sdpa"


def test_another_model_of_the_same_class_is_left_alone(bert, workbench):
    other = type(bert)(type(bert.config)(**bert.config.to_dict()))
    with attention.fused_sdpa(bert, PLAIN):
        assert attention.in_use(other) == "sdpa"


def test_a_mask_goes_in_additive_and_rules_out_causal(bert, kernel):
    with attention.fused_sdpa(bert, PLAIN):
        bert(tokens(), attention_mask=mask())
    given, is_causal = kernel.seen[0][3], kernel.seen[0][5]
    assert given.shape == (2, 1, 6, 6)
    assert given.dtype is torch.float32
    assert is_causal is False
    row = given[0, 0, 0].cpu()
    assert row[:4].tolist() == [0, 0, 0, 0]
    assert row[4:].max() < -1e30


def causal_model():
    model = tiny_models.llama(num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2)
    return model.requires_grad_(False).to("hpu")


def test_a_causal_model_with_grouped_heads_needs_no_mask(kernel):
    model = causal_model()
    expected = model(tokens()).logits.cpu()
    with attention.fused_sdpa(model, PLAIN):
        found = model(tokens()).logits.cpu()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    query, key, _, given, _, is_causal = kernel.seen[0][:6]
    assert (query.shape[1], key.shape[1]) == (4, 2)
    assert given is None
    assert is_causal is True


def test_generation_says_the_same(kernel):
    model = causal_model()
    settings = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    expected = model.generate(tokens(), **settings).cpu()
    with attention.fused_sdpa(model, PLAIN):
        found = model.generate(tokens(), **settings).cpu()
    assert found.tolist() == expected.tolist()
    # One query sees the whole cache: causal would hide all of it but the first.
    assert [call[5] for call in kernel.seen if call[0].shape[2] == 1] == [False] * 3


def test_softmax_and_recompute_reach_the_kernel(bert, kernel):
    options = SdpaOptions(recompute=True, softmax="fast")
    with attention.fused_sdpa(bert, options):
        bert(tokens())
        bert.to(torch.bfloat16)(tokens())
    # Both softmax modes exist for bfloat16 only.
    layers = bert.config.num_hidden_layers
    assert [call[7:9] for call in kernel.seen] == [("None", True)] * layers + [("fast", True)] * layers


def test_a_model_without_attention_is_refused(net):
    with pytest.raises(LabError, match="no attention that can be switched"):
        attention.fused_sdpa(net, PLAIN)


def test_what_transformers_refuses_is_refused_in_our_words_and_changes_nothing(bert, monkeypatch):
    """As for gpt-oss, whose attention has sinks."""
    before = dict(vars(bert.config))

    def refuse(name):
        bert.config._attn_implementation_internal = "half done"
        raise ValueError("BertModel does not support it yet.")

    monkeypatch.setattr(bert, "set_attn_implementation", refuse)
    with pytest.raises(LabError, match=r"switched\. transformers says: BertModel does not support it yet"):
        attention.fused_sdpa(bert, PLAIN)
    assert vars(bert.config) == before


def test_a_transformers_model_inside_a_module_is_found(bert, kernel):
    class Embedder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = bert

        def forward(self, ids):
            return self.encoder(ids).last_hidden_state.mean(1)

    with attention.fused_sdpa(Embedder(), PLAIN):
        assert attention.in_use(bert) == "FusedSDPA"
    assert attention.in_use(bert) == "sdpa"


def test_a_static_mask_does_not_depend_on_the_values_in_it(bert):
    padding = []
    with attention.static_masks(bert):
        hook = bert.encoder.layer[0].attention.self.register_forward_pre_hook(
            lambda module, args, kwargs: padding.append(
                args[1] if len(args) > 1 else kwargs["attention_mask"]
            ),
            with_kwargs=True,
        )
        bert(tokens(), attention_mask=mask(padded=0))
        hook.remove()
    assert padding[0] is not None
    assert attention.in_use(bert) == "sdpa"


def unet():
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return (
        UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            cross_attention_dim=8,
            norm_num_groups=4,
            attention_head_dim=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        )
        .eval()
        .requires_grad_(False)
        .to("hpu")
    )


def test_a_diffusers_model_attends_through_the_kernel_and_gets_its_processors_back(kernel):
    model = unet()
    inputs = (torch.randn(2, 4, 8, 8).to("hpu"), torch.tensor(3).to("hpu"), torch.randn(2, 5, 8).to("hpu"))
    expected = model(*inputs).sample.cpu()
    before = dict(model.attn_processors)
    with attention.fused_sdpa(model, PLAIN):
        found = model(*inputs).sample.cpu()
        assert attention.in_use(model) == "FusedSDPA"
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert len(kernel.seen) == len(before)
    assert model.attn_processors == before
    assert attention.in_use(model) == "sdpa"


def test_a_processor_that_we_do_not_know_is_left_in_place():
    model = unet()

    class Adapter:
        def __call__(self, attn, hidden_states, *args, **kwargs):
            return hidden_states

    names = list(model.attn_processors)
    adapter = Adapter()
    model.set_attn_processor({**model.attn_processors, names[0]: adapter})
    with attention.fused_sdpa(model, PLAIN):
        assert model.attn_processors[names[0]] is adapter
        assert attention.in_use(model) == "Adapter, FusedSDPA"


def test_a_kernel_whose_arguments_have_moved_is_refused(bert, monkeypatch):
    class Other:
        @staticmethod
        def forward(ctx, q, k, v, attn_mask, is_causal, dropout_p):
            raise AssertionError

    monkeypatch.setattr(attention.bridge, "fused_sdpa_kernel", lambda: Other)
    with pytest.raises(LabError, match="in an order unknown"):
        attention.fused_sdpa(bert, PLAIN)
