"""A tiny classifier, a data set that needs no files, and trainers of every kind."""

from __future__ import annotations

import pytest


@pytest.fixture
def classifier():
    """Return a function that builds the same tiny classifier each time, on the host."""

    def build(**changes):
        from tests.unit import tiny_models

        labels = {"num_labels": 3, "problem_type": "single_label_classification"}
        return tiny_models.bert("BertForSequenceClassification", **labels, **changes)

    return build


@pytest.fixture
def samples():
    """Return a function that makes a data set of so many samples of so many tokens."""

    def make(count=10, length=8, raises_at=None):
        import torch

        class Samples(torch.utils.data.Dataset):
            def __len__(self):
                return count

            def __getitem__(self, index):
                if index == raises_at:
                    raise OSError("sample is gone")
                generator = torch.Generator().manual_seed(index)
                return {
                    "input_ids": torch.randint(1, 50, (length,), generator=generator),
                    "attention_mask": (torch.arange(length) < length - index % 3).long(),
                    "labels": torch.tensor(index % 3),
                }

        return Samples()

    return make


@pytest.fixture
def trainer(workbench, classifier, samples, tmp_path):
    """Return a function that makes a trainer of the tiny classifier. The process is in eager mode at first."""
    from gaudi_lab.transformers import GaudiTrainer, GaudiTrainingArguments

    def make(model=None, data=None, use_habana=True, train_dataset=None, gaudi_config=None, **options):
        options = {"per_device_eval_batch_size": 4, "disable_tqdm": True, **options}
        args = GaudiTrainingArguments(output_dir=str(tmp_path), use_habana=use_habana, **options)
        return GaudiTrainer(
            model=classifier() if model is None else model,
            gaudi_config=gaudi_config,
            args=args,
            eval_dataset=samples() if data is None else data,
            train_dataset=train_dataset,
            compute_metrics=accuracy,
        )

    return make


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


@pytest.fixture
def in_mode(workbench):
    """Return a function that puts the process into a mode, as `%gaudi_mode` does."""

    def go(name):
        from gaudi_lab.settings import Mode

        workbench.change(mode=Mode.parse(name))

    return go


@pytest.fixture
def traces():
    """Return a function that tells what instruments have left on a model: its own attention, once all are off."""

    def of(model):
        left = {name for name in ("forward", "clear_cache", "clear_inputs") if name in vars(model)}
        if vars(model).get("_compiled_call_impl") is not None:
            left.add("compiled")
        return left | {model.config._attn_implementation}

    return of
