# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Custom operators: Gaudi's own, and yours
#
# A model is a long chain of small operators. Each reads its data from memory and writes its result back. A **fused
# operator** does the work of several and keeps what lies between them to itself. Gaudi brings some, for the parts that
# all language models have: attention, RMS norm, rotary embedding. And you can write your own.
#
# Here you put Gaudi's operators into live models, see what each saves, and check that the answers stay the same. Then
# you write one, find two mistakes in it, and let it run in a model.
#
# Without a Gaudi this runs on the emulated bridge. Its operators really are one kernel each, and its memory is counted
# tensor by tensor; **its times are the CPU's and say nothing about the speed of a Gaudi**.

# %%
# %load_ext gaudi_lab

# %% [markdown]
# ## 1 Attention, before and after
#
# Attention compares each word of a text with each other word. That is a matrix with a row and a column for each word:
# twice the text, four times the matrix. Here is a layer with causal attention and nothing else.

# %%
import time
from statistics import median

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

torch.set_grad_enabled(False)
torch.manual_seed(0)


class Attention(nn.Module):
    """Attention with four heads, each word with those before it."""

    def __init__(self, size=256, heads=4):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(size, 3 * size)

    def forward(self, words):
        query, key, value = self.project(words).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)


attention = Attention().eval().to("hpu")
# %gaudi_attach attention


# %% [markdown]
# For each length of text: the most device memory that a call needs beyond what was there before it, and how long it
# takes. Five calls each, and the median of their times.


# %%
def measure(model, length, calls=5):
    """Return mebibytes of device memory and milliseconds of a call."""
    words = torch.randn(1, length, 256).to("hpu")
    model(words)  # the first call may have something to prepare
    seconds = []
    before = torch.hpu.memory_allocated()
    torch.hpu.reset_peak_memory_stats()
    for _ in range(calls):
        started = time.perf_counter()
        model(words)
        torch.hpu.synchronize()
        seconds.append(time.perf_counter() - started)
    memory = torch.hpu.max_memory_allocated() - before
    return memory / 2**20, median(seconds) * 1e3


lengths = [128, 256, 512, 1024, 2048]
plain = [measure(attention, length) for length in lengths]

# %% [markdown]
# Now the switch: **FusedSDPA** computes attention in one kernel that never holds the matrix as a whole. The same
# layer, the same object, the same weights.

# %%
sample = torch.randn(1, 512, 256).to("hpu")
expected = attention(sample)

# %gaudi_sdpa on attention

# %%
fused = [measure(attention, length) for length in lengths]

print(f"largest difference of the results: {float((attention(sample) - expected).abs().max()):.1e}")

# %% [markdown]
# The text doubles from point to point, and both scales show doubling as equal steps.

# %%
figure, pictures = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for what, picture in enumerate(pictures):
    for label, found in {"as it came": plain, "FusedSDPA": fused}.items():
        picture.plot(lengths, [row[what] for row in found], marker="o", label=label)
    picture.set(xlabel="words in the text", title=("memory of a call, MiB", "time of a call, ms")[what])
    picture.set_xscale("log", base=2)
    picture.set_yscale("log", base=2)
    picture.set_xticks(lengths, lengths)
    picture.yaxis.set_major_formatter("{x:g}")
    picture.grid(alpha=0.3)
pictures[0].legend()
figure.suptitle("one layer of attention, emulated on CPU", fontsize="small")
plt.show()

# %%
for label, found in {"as it came": plain, "FusedSDPA": fused}.items():
    (half, _), (whole, _) = found[-2:]
    print(f"{label:10} {whole:6.1f} MiB for {lengths[-1]} words, {whole / half:.1f} × that for half of them")

# %% [markdown]
# Without the fused kernel, twice the words take nearly four times the memory. With it, they take twice the memory. How
# long a text can be on a card is decided here.
#
# The layer is done. Detached, it is as it was before the first cell.

# %%
# %gaudi_attach --detach attention

# %% [markdown]
# ## 2 A Llama that knows one sentence
#
# Now a language model. A full Llama would need a download, so here is a tiny one: the class and the layers of the
# real ones, two of them. In a few seconds on the CPU it learns one sentence by heart, letter by letter. So everybody
# can see whether it still says the same.

# %%
from transformers import LlamaConfig, LlamaForCausalLM

SENTENCE = (
    "An operator that reads its data once and writes its result once "
    "has done all the work that memory can ask of it."
)
letters = torch.tensor([list(SENTENCE.encode())])

llama = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=128,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
)
optimizer = torch.optim.AdamW(llama.parameters(), lr=5e-3)
for _ in range(80):
    with torch.enable_grad():
        loss = llama(letters, labels=letters).loss
        loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)

llama = llama.eval().to("hpu")
print(f"loss {float(loss):.4f}")

# %% [markdown]
# It gets eight letters and goes on for 64: always with the one that is most likely.


# %%
def recite(**options):
    start = letters[:, :8].to("hpu")
    tokens = llama.generate(start, max_new_tokens=64, do_sample=False, **options)
    return bytes(tokens[0].tolist()).decode(errors="replace")


spoken = recite()
spoken

# %% [markdown]
# ## Which operators could stand in?
#
# `%gaudi_ops` looks for them. It does not go by the names of classes: a part of the model is a place for an operator
# if both compute the same, on the model's own inputs and on random ones, held against exact results in float64. For
# that it needs one call of the model.

# %%
# %gaudi_attach llama
llama(letters.to("hpu"))

# %gaudi_ops llama

# %% [markdown]
# Five RMS norms, two rotary embeddings, and what each would save: operators that the device is given, and memory.
# Switch them on, one by one. Each line says by how much the outputs differ afterwards: it was measured.

# %%
# %gaudi_ops on rms_norm llama
# %gaudi_ops on rotary llama
# %gaudi_ops on fused_sdpa llama

# %% [markdown]
# Does it still know its sentence?

# %%
assert recite() == spoken
spoken

# %% [markdown]
# All 64 letters. What the operators cannot do is refused, with the reason, and nothing changes. In this model softmax
# is a part of attention, and attention is one kernel already:

# %% tags=["raises-exception"]
# %gaudi_ops on softmax llama

# %% [markdown]
# ## 3 An operator of your own
#
# In every layer of a Llama stands a gated network: three matrices, and a SiLU between them. The bridge has no operator
# for the whole of it. Write one.
#
# A cell that begins with `%%gaudi_op` holds a function with types. That is enough to make an operator of PyTorch out of
# it, for the CPU and for `hpu`, in every mode. Two more functions help to check it: `example` says what to try it with,
# and `reference` is the same once more, written as plainly as possible. That one is run in float64.
#
# Below the cell stands a table. Each row tries one thing that goes wrong with operators.


# %%
# %%gaudi_op gated
def gated(x: torch.Tensor, gate: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    rows = x.view(-1, x.shape[-1])
    opened = rows @ gate.T
    hidden = opened * torch.sigmoid(opened) * (rows @ up.T)
    return (hidden @ down.T).view(x.shape)


def example():
    return torch.randn(2, 5, 8), torch.randn(16, 8), torch.randn(16, 8), torch.randn(8, 16)


def reference(x, gate, up, down):
    return F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)


# %% [markdown]
# The results are right in float32. Two crosses say what would have come up later, in somebody else's model:
#
# - **strided inputs**: `view` needs numbers that lie in memory one after the other, and a slice of a tensor does not
#   have them. `reshape` copies where it has to. The cross names the line.
# - **bfloat16**: each step rounds to two or three digits, and the errors add up. A fused operator need not do that: what lies
#   between never leaves it, and can stay in float32.
#
# Mend both and run the cell again. It replaces the operator, as often as you like.


# %%
# %%gaudi_op gated
def gated(x: torch.Tensor, gate: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    rows, gate, up, down = (t.float() for t in (x.reshape(-1, x.shape[-1]), gate, up, down))
    opened = rows @ gate.T
    hidden = opened * torch.sigmoid(opened) * (rows @ up.T)
    return (hidden @ down.T).reshape(x.shape).to(x.dtype)


def example():
    return torch.randn(2, 5, 8), torch.randn(16, 8), torch.randn(16, 8), torch.randn(8, 16)


def reference(x, gate, up, down):
    return F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)


# %% [markdown]
# No cross any more. What was not checked says why, and is no tick: this operator has no `backward`, so no gradient was
# compared. For inference it needs none.
#
# ## Into the live model
#
# It stands in for every `LlamaMLP`. `arguments` makes the operator's arguments of those of the module. The model runs
# once without it and once with it. If the outputs differed by more than rounding, this would be refused.

# %%
from transformers.models.llama.modeling_llama import LlamaMLP

stand_in = gated.stand_in(
    llama,
    letters.to("hpu"),
    for_=LlamaMLP,
    arguments=lambda mlp, x: (x, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight),
)
stand_in

# %%
assert recite() == spoken
spoken

# %% [markdown]
# `%gaudi_ops` lists it now too, with how often it ran.

# %%
# %gaudi_ops llama

# %% [markdown]
# ## All together
#
# Operators go with every mode. Here they run in lazy mode and under HPU graphs, Gaudi's and yours alike.

# %%
# %gaudi_mode lazy
# %gaudi_graphs on llama

# %%
# %%gaudi_warmup -n 4
llama(letters.to("hpu"))

# %% [markdown]
# The first run captures, the others replay. `generate` is called for one letter after the other: for that an HPU graph
# needs a cache whose memory stays where it is, a static one.

# %%
assert recite(cache_implementation="static") == spoken
spoken

# %%
# %gaudi_status

# %% [markdown]
# One graph for the whole sentence, and one for a single letter, replayed for nearly all of the 64. Both hold the fused
# operators and yours.
#
# ## And back
#
# Everything is undone as easily as it was done. The sentence has been the same all the time.

# %%
# %gaudi_mode eager
stand_in.remove()
# %gaudi_attach --detach llama

# %%
assert recite() == spoken
spoken

# %% [markdown]
# ## From here to a Gaudi
#
# The body of `gated` is Python: several of PyTorch's operators under one name, and the device computes them one by one.
# To be one kernel there, an operator is written in **TPC-C**, the language of Gaudi's vector cores. Where Intel's TPC
# tools are installed, `%%gaudi_op --tpc` compiles such a kernel and compares it with the Python body on Intel's
# simulator; `--cpp` takes a body in C++ for the host. `gaudi-lab new-op NAME` writes a folder with body, tests, C++ for
# the bridge, TPC-C and their builds. The files for the device were written from Intel's public examples, and nobody
# has compiled them yet.
