"""FusedSDPA where a module calls PyTorch's own attention: against float64, in memory, and what it refuses."""

import itertools
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.instruments import attention
from gaudi_lab.instruments.fused_operators.class_layers import StandIns
from gaudi_lab.settings import SdpaOptions

pytestmark = pytest.mark.usefixtures("workbench")


class Attending(nn.Module):
    def forward(self, query, key, value, **options):
        return F.scaled_dot_product_attention(query, key, value, **options)


def random(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def on_device(value):
    return value.to("hpu") if isinstance(value, torch.Tensor) else value


def exactly(query, key, value, **options):
    wide = {
        name: x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x
        for name, x in options.items()
    }
    return F.scaled_dot_product_attention(query.double(), key.double(), value.double(), **wide)


def fused(query, key, value, model=None, **options):
    """Return the kernel's result, and why calls did not go to it."""
    model, stand_ins = model or Attending(), StandIns()
    with attention.fused_sdpa(model, SdpaOptions(), stand_ins):
        found = model(*map(on_device, (query, key, value)), **{k: on_device(x) for k, x in options.items()})
    return found.cpu(), [reason for _, reason in stand_ins.plain_calls]


@pytest.fixture
def kernel_calls(monkeypatch):
    kernel, calls = bridge.fused_sdpa_kernel(), []

    class Noting:
        forward = kernel.forward

        @staticmethod
        def apply(*arguments):
            calls.append(arguments)
            return kernel.apply(*arguments)

    monkeypatch.setattr(bridge, "fused_sdpa_kernel", lambda: Noting)
    return calls


LENGTHS = [(1, 1), (5, 5), (1, 9), (7, 12), (33, 33)]
GROUPS = [(4, 4), (4, 2), (6, 1)]


def masks(queries, keys, dtype):
    """Yield masks by name; each is None where it does not exist for these lengths."""
    generator = torch.Generator().manual_seed(queries * 100 + keys)
    seen = torch.rand(2, 1, queries, keys, generator=generator) > 0.4
    hidden = seen.clone()
    hidden[0, 0, queries // 2] = False
    everywhere = torch.rand(queries, keys, generator=generator) > 0.4
    yield "none", {}
    yield "bool", {"attn_mask": seen}
    yield "fully masked row", {"attn_mask": hidden}
    yield "keys only", {"attn_mask": seen[:, :, :1]}
    yield "of two dimensions", {"attn_mask": everywhere}
    yield "additive", {"attn_mask": torch.randn(2, 1, queries, keys, generator=generator).to(dtype)}
    infinite = torch.zeros(2, 1, queries, keys).masked_fill(hidden.logical_not(), -torch.inf)
    yield "additive, fully masked row", {"attn_mask": infinite.to(dtype)}
    if queries == keys:
        yield "causal", {"is_causal": True}
        triangle = torch.ones(queries, keys, dtype=torch.bool).tril()
        yield "causal with mask", {"attn_mask": triangle & seen}
    yield "scaled", {"scale": 0.3}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "groups"), GROUPS)
def test_a_grid_of_shapes_and_masks_is_right_within_the_rounding_of_the_dtype(
    dtype, heads, groups, kernel_calls
):
    made = 0
    for (queries, keys), size in itertools.product(LENGTHS, (8, 16)):
        query = random(2, heads, queries, size, dtype=dtype)
        key, value = (random(2, groups, keys, size + n, dtype=dtype)[..., :size] for n in (1, 2))
        for name, options in masks(queries, keys, dtype):
            grouped = {"enable_gqa": True} if heads != groups else {}
            found, reasons = fused(query, key, value, **options, **grouped)
            exact = exactly(query, key, value, **options, **grouped)
            assert not reasons, (name, reasons)
            made += 1
            # A score is rounded, and so is what becomes of it: each output is a mean of values, weighted so.
            scores = float((query.double() @ query.double().transpose(-2, -1)).abs().max()) / size**0.5
            room = torch.finfo(dtype).eps * (2 + scores) * float(value.abs().max())
            error = float((found.double() - exact).abs().max())
            assert error <= room, (name, queries, keys, size, error, room)
            assert found.dtype is dtype
    assert len(kernel_calls) == made > 80


def test_the_model_s_own_gradient_comes_through():
    def gradients(model):
        inputs = [random(1, 2, 4, 8 + n)[..., :8].to("hpu").requires_grad_() for n in range(3)]
        mask = torch.ones(4, 4, dtype=torch.bool).tril().to("hpu")
        return [x.cpu() for x in torch.autograd.grad(model(*inputs, attn_mask=mask).square().sum(), inputs)]

    model = Attending()
    before = gradients(model)
    with attention.fused_sdpa(model):
        after = gradients(model)
    for a, b in zip(after, before, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def peak(model, length):
    """Return the most device memory in use during a call, beyond what its inputs and its output take."""
    inputs = [random(1, 2, length, 8 + n)[..., :8].contiguous().to("hpu") for n in range(3)]
    bridge.settle()
    torch.hpu.reset_peak_memory_stats()
    before = torch.hpu.memory_allocated()
    with torch.no_grad():
        output = model(*inputs)
    bridge.settle()
    return torch.hpu.max_memory_allocated() - before - output.numel() * output.element_size()


def test_memory_grows_with_the_length_fused_and_with_its_square_otherwise():
    model = Attending()
    lengths = (128, 256, 512)
    plain = [peak(model, length) for length in lengths]
    with attention.fused_sdpa(model, SdpaOptions(recompute=True)):
        with_kernel = [peak(model, length) for length in lengths]
    # Doubled, and doubled again: by four each where it is the square, by two where it is the length.
    assert [b / a for a, b in itertools.pairwise(plain)] == pytest.approx([4, 4], rel=0.15)
    assert [b / a for a, b in itertools.pairwise(with_kernel)] == pytest.approx([2, 2], rel=0.1)
    assert with_kernel[-1] < plain[-1] / 50


REFUSED = {
    "nothing to attend to": (random(2, 2, 3, 8), random(2, 2, 0, 8), random(2, 2, 0, 8), {}),
    "or nothing that does": (random(0, 2, 3, 8), random(0, 2, 3, 8), random(0, 2, 3, 8), {}),
    "as many queries as keys": (
        random(2, 2, 3, 8),
        random(2, 2, 5, 8),
        random(2, 2, 5, 8),
        {"is_causal": True},
    ),
    "repeat data over the batch": (random(2, 2, 3, 8), random(1, 2, 3, 8), random(1, 2, 3, 8), {}),
    "three or four dimensions": (random(1, 2, 2, 3, 8), random(1, 2, 2, 3, 8), random(1, 2, 2, 3, 8), {}),
    "gradient of the mask": (
        *(random(1, 2, 3, 8) for _ in range(3)),
        {"attn_mask": torch.zeros(3, 3, requires_grad=True)},
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_the_kernel_does_not_suit_is_computed_as_before(reason, kernel_calls):
    query, key, value, options = REFUSED[reason]
    found, reasons = fused(query, key, value, **options)
    assert [reason in told for told in reasons] == [True]
    assert not kernel_calls
    torch.testing.assert_close(found.detach(), exactly(query, key, value, **options).float().detach())


def test_what_pytorch_refuses_stays_refused():
    states = [random(1, 2, 3, 8)] * 3
    with pytest.raises(RuntimeError, match="is_causal"):
        fused(*states, is_causal=True, attn_mask=torch.ones(3, 3, dtype=torch.bool))


def test_heads_may_be_missing():
    query, key, value = random(4, 3, 8), random(4, 5, 8), random(4, 5, 8)
    mask = torch.rand(4, 3, 5) > 0.3
    found, reasons = fused(query, key, value, attn_mask=mask)
    assert not reasons
    torch.testing.assert_close(
        found, exactly(query, key, value, attn_mask=mask).float(), rtol=1e-5, atol=1e-6
    )


def test_multi_head_attention_of_torch_goes_to_the_kernel(kernel_calls):
    model = nn.MultiheadAttention(16, 4, batch_first=True).to("hpu").eval()
    x = random(2, 5, 16).to("hpu")
    padded = torch.tensor([[False] * 5, [False, False, False, True, True]]).to("hpu")

    def call():
        with torch.no_grad():
            return model(x, x, x, key_padding_mask=padded, need_weights=False)[0].cpu()

    expected = call()
    with attention.fused_sdpa(model):
        found = call()
        assert attention.in_use(model) == "FusedSDPA"
    assert len(kernel_calls) == 1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert type(model) is nn.MultiheadAttention
    call()
    assert len(kernel_calls) == 1


def helper(query):
    return F.scaled_dot_product_attention(query, query, query)


class ByHelper(nn.Module):
    def forward(self, query):
        return self.attend(query)

    def attend(self, query):
        return helper(query)


def test_a_helper_of_the_module_is_found_and_others_threads_are_left_alone(kernel_calls):
    model, query = ByHelper(), random(1, 2, 3, 8).to("hpu")
    other = ByHelper()
    with attention.fused_sdpa(model):
        model(query)
        assert len(kernel_calls) == 1
        other(query)
        thread = threading.Thread(target=other, args=(query,))
        thread.start()
        thread.join()
    assert len(kernel_calls) == 1
    assert [path for path, _ in attention.places(nn.Sequential(model, nn.Linear(2, 2)))] == ["0"]


def test_it_is_compiled_whole():
    model, states = Attending(), [random(1, 2, 4, 8).to("hpu")] * 3
    mask = torch.ones(4, 4, dtype=torch.bool).tril().to("hpu")
    expected = model(*states, attn_mask=mask).cpu()
    compiled = torch.compile(model, backend="hpu_backend", fullgraph=True, dynamic=False)
    with attention.fused_sdpa(model), torch.no_grad():
        torch.testing.assert_close(compiled(*states, attn_mask=mask).cpu(), expected, rtol=1e-5, atol=1e-6)


class Backed(nn.Module):
    """A diffusers model whose processor asks a backend of diffusers."""

    def __new__(cls):
        from diffusers.models.attention import AttentionModuleMixin
        from diffusers.models.attention_dispatch import dispatch_attention_fn
        from diffusers.models.modeling_utils import ModelMixin

        class Processor:
            _attention_backend = None

            def __call__(self, attn, x):
                x = x.unflatten(-1, (2, -1))
                return dispatch_attention_fn(x, x, x, backend=self._attention_backend).flatten(2)

        class Attention(nn.Module, AttentionModuleMixin):
            _available_processors = (Processor,)

            def __init__(self):
                super().__init__()
                self.processor = Processor()

            def forward(self, x):
                return self.processor(self, x)

        class Model(ModelMixin):
            def __init__(self):
                super().__init__()
                self.attn = Attention()

            def forward(self, x):
                return self.attn(x)

        return Model()


@pytest.mark.parametrize("backend", [None, "native"])
def test_a_backend_of_diffusers_goes_to_the_kernel(kernel_calls, backend):
    model, x = Backed(), random(2, 5, 16).to("hpu")
    if backend is not None:
        model.set_attention_backend(backend)
    expected = model(x).cpu()
    before = model.attn.processor._attention_backend
    with attention.fused_sdpa(model):
        assert attention.in_use(model) == "FusedSDPA"
        torch.testing.assert_close(model(x).cpu(), expected, rtol=1e-5, atol=1e-6)
    assert len(kernel_calls) == 1
    assert model.attn.processor._attention_backend is before
    model(x)
    assert len(kernel_calls) == 1
