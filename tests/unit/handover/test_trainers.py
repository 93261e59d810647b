"""What transformers, accelerate and diffusers make survives, and works afterwards."""

from __future__ import annotations

TRAINER = """
import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, Trainer, TrainingArguments
from tokenizers import Tokenizer, models

class Rows(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, row):
        return {"input_ids": torch.arange(6) + row, "labels": torch.tensor(row % 2)}

rows = Rows()
size = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
model = BertForSequenceClassification(BertConfig(vocab_size=32, **size))
arguments = TrainingArguments(
    output_dir=FOLDER, report_to=[], use_cpu=True, max_steps=2, disable_tqdm=True, save_strategy="no"
)
trainer = Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=rows)
trainer.train()
loss = trainer.evaluate()["eval_loss"]
words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
"""

AFTER_TRAINER = """
_answer["loss"] = [loss, trainer.evaluate()["eval_loss"]]
_answer["same"] = [trainer.model is model, trainer.args is arguments, trainer.train_dataset is rows]
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
_answer["state"] = [
    AcceleratorState().distributed_type == trainer.accelerator.distributed_type,
    trainer.accelerator.state.__dict__ is AcceleratorState().__dict__,
]
before = next(model.parameters()).detach().clone()
trainer.train()
_answer["trains"] = bool((before != next(model.parameters())).any())
_answer["ids"] = tokenizer("a")["input_ids"]
"""

PIPELINE = """
import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

torch.manual_seed(0)
blocks = dict(block_out_channels=(4, 8), down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2)
unet = UNet2DModel(sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=2, **blocks)
pipeline = DDIMPipeline(unet, DDIMScheduler())
pipeline.set_progress_bar_config(disable=True)

def draw():
    return pipeline(num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(1)).images

image = draw()
"""


def test_a_trainer_evaluates_and_trains_afterwards(carry, tmp_path):
    carried = carry(f"FOLDER = {str(tmp_path)!r}\n{TRAINER}", AFTER_TRAINER)
    assert carried.before["left"] == carried.after["left"] == {}
    assert carried.after["differs"] == carried.after["not_compared"] == []
    before, after = carried.after["loss"]
    assert before == after
    assert carried.after["same"] == [True] * 3
    assert carried.after["state"] == [True] * 2
    assert carried.after["trains"]
    assert carried.after["ids"] == [1]


def test_a_diffusion_pipeline_draws_the_same_afterwards(carry):
    carried = carry(PIPELINE, "_answer['same'] = [bool((draw() == image).all()), pipeline.unet is unet]")
    assert carried.before["left"] == carried.after["left"] == {}
    assert carried.after["differs"] == carried.after["not_compared"] == []
    assert carried.after["same"] == [True, True]
