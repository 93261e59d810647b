"""What people have in a notebook comes along into a fresh process: models on the device, and what is around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Notebook, start_kernel

pytestmark = pytest.mark.kernel

DIGITS = Path(__file__).parents[2] / "notebooks" / "digits_diffusion" / "model"

DIGEST = '''
import hashlib
import torch

def digest_of(*values):
    """Return a hash of every number in tensors, modules, arrays and frames."""
    made = hashlib.blake2b(digest_size=8)
    for value in values:
        if isinstance(value, torch.nn.Module):
            value = value.state_dict()
        if isinstance(value, dict):
            for name, inner in value.items():
                made.update(f"{name} {digest_of(inner)}".encode())
        elif isinstance(value, torch.Tensor):
            host = value.detach().cpu().contiguous()
            made.update(f"{value.dtype} {tuple(value.shape)} {value.device.type}".encode())
            made.update(host.view(-1).view(torch.uint8).numpy().data)
        elif isinstance(value, (list, tuple)):
            made.update(digest_of(*value).encode())
        else:
            made.update(repr(value).encode())
    return made.hexdigest()
'''

CLASSES = """
import dataclasses, random
import numpy as np, pandas as pd
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    def forward(self, x):
        return self.inner(x) * scale

@dataclasses.dataclass
class Point:
    x: int
    near: list = dataclasses.field(default_factory=list)

scale, times = 2.0, (lambda x: x * scale)
torch.manual_seed(3)
net = Net().eval().to("hpu")
alias, part = net, net.inner[0]
tied = net.inner[0].weight
x = torch.randn(3, 4).to("hpu")
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
net(x).square().sum().backward()
optimizer.step()
optimizer.zero_grad()
state = digest_of(net, x, list(optimizer.state_dict()["state"].values()))
host = torch.arange(12.0).reshape(3, 4)
row, array = host[1], host.numpy()
column = array[:, 1]
frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]})
points = [Point(1), Point(2)]
points[0].near.append(points[1])
first = points[0]
random.seed(5), np.random.seed(6), torch.manual_seed(7)
"""

OPTIMIZERS = """
from torch import nn
torch.manual_seed(0)
weights = nn.Linear(6, 3)
start = {k: v.clone() for k, v in weights.state_dict().items()}
inputs = torch.randn(5, 6)

def train(net, optimizer, steps, device):
    for _ in range(steps):
        optimizer.zero_grad()
        net(inputs.to(device)).square().mean().backward()
        optimizer.step()

on_cpu = nn.Linear(6, 3); on_cpu.load_state_dict(start)
on_hpu = nn.Linear(6, 3); on_hpu.load_state_dict(start); on_hpu.to("hpu")
optimizers = [torch.optim.AdamW(net.parameters(), lr=0.05) for net in (on_cpu, on_hpu)]
train(on_cpu, optimizers[0], 3, "cpu")
train(on_hpu, optimizers[1], 3, "hpu")
"""

TRAINERS = """
import tempfile
import gaudi_lab
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from gaudi_lab import GaudiStableDiffusionPipeline, GaudiTrainer, GaudiTrainingArguments

class Data(torch.utils.data.Dataset):
    def __len__(self): return 10
    def __getitem__(self, n):
        return {"input_ids": torch.arange(6) + n, "attention_mask": torch.ones(6, dtype=torch.long), "labels": n % 2}

torch.manual_seed(0)
config = BertConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
classifier = BertForSequenceClassification(config).eval()
folder = tempfile.mkdtemp()
quiet = {"output_dir": folder, "report_to": [], "disable_tqdm": True, "per_device_eval_batch_size": 4}
gaudi_trainer = GaudiTrainer(
    classifier, args=GaudiTrainingArguments(use_habana=True, **quiet), eval_dataset=Data()
)
trainer = Trainer(classifier, TrainingArguments(**quiet), eval_dataset=Data())
pipeline = GaudiStableDiffusionPipeline.from_pretrained(
    DIGITS, use_habana=True, gaudi_config=gaudi_lab.GaudiConfig(use_torch_autocast=False)
)
pipeline.set_progress_bar_config(disable=True)
state_of_models = digest_of(classifier, pipeline.unet, pipeline.vae, pipeline.text_encoder)
losses = gaudi_trainer.evaluate()["eval_loss"], trainer.evaluate()["eval_loss"]
""".replace("DIGITS", repr(str(DIGITS)))

GIGABYTE = """
from torch import nn
big = nn.Linear(16384, 16384, bias=False).requires_grad_(False)
state_of_big = digest_of(big)
"""


ON_A_GAUDI = {"GAUDI_LAB_RELAUNCH": "always", "PT_HPU_LAZY_MODE": "0"}


@pytest.fixture(scope="module")
def carried() -> Iterator[tuple[Notebook, str]]:
    """A kernel in lazy mode with all that was made here in eager mode, and what it printed as its process was replaced.

    The bridge keeps its mode, as one on hardware does. One way over serves all the tests that look at what has come.
    """
    with start_kernel(**ON_A_GAUDI) as notebook:
        do(notebook, "%load_ext gaudi_lab\nimport torch")
        for made in (DIGEST, OPTIMIZERS, TRAINERS, GIGABYTE, CLASSES):
            do(notebook, made)
        drawn = "drawn = random.random(), np.random.rand(), torch.rand(()).item()"
        yield notebook, do(notebook, f"%gaudi_mode lazy\n{drawn}")


def do(notebook: Notebook, code: str) -> str:
    reply = notebook.run(code)
    assert reply.status == "ok", reply.printed + reply.error + reply.traceback
    return reply.printed


def test_the_notebooks_own_classes_and_what_shares_memory(carried):
    notebook, told = carried
    assert "eager → lazy: fresh process in " in told
    printed = do(
        notebook,
        """
print(state == digest_of(net, x, list(optimizer.state_dict()["state"].values())))
print(alias is net, part is net.inner[0], tied is net.inner[0].weight, type(net) is Net)
print(optimizer.param_groups[0]["params"][0] is tied, first is points[0], points[0].near[0] is points[1])
print(isinstance(first, Point), dataclasses.asdict(Point(4)) == {"x": 4, "near": []}, times(3) == 6.0)
""",
    )
    assert set(printed.split()) == {"True"}
    printed = do(
        notebook,
        """
scale = 10.0
host[1, 1] = -1.0
print(times(3), row[1].item(), column[1], array[1, 1])
print(frame.equals(pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]})))
random.seed(5), np.random.seed(6), torch.manual_seed(7)
print(drawn == (random.random(), np.random.rand(), torch.rand(()).item()))
import habana_frameworks.torch.utils.internal as internal
print(internal.is_lazy(), net(x).device.type)
""",
    )
    assert printed.split() == ["30.0", "-1.0", "-1.0", "-1.0", "True", "True", "True", "hpu"]


def test_an_optimizer_goes_on_where_it_was(carried):
    printed = do(
        carried[0],
        """
train(on_cpu, optimizers[0], 3, "cpu")
train(on_hpu, optimizers[1], 3, "hpu")
print(max((a - b.cpu()).abs().max().item() for a, b in zip(on_cpu.parameters(), on_hpu.parameters())))
""",
    )
    assert float(printed.split()[-1]) < 1e-6


def test_trainers_and_a_pipeline_work_on_the_other_side(carried):
    printed = do(
        carried[0],
        """
print("same", state_of_models == digest_of(classifier, pipeline.unet, pipeline.vae, pipeline.text_encoder))
print("one model", trainer.model is classifier, gaudi_trainer.model is classifier)
now = gaudi_trainer.evaluate()["eval_loss"], trainer.evaluate()["eval_loss"]
print("loss", max(abs(a - b) for a, b in zip(losses, now)) < 1e-5)
images = pipeline("a three", num_inference_steps=2, batch_size=1, output_type="np").images
print("image", images[0].shape)
""",
    )
    for told in ("same True", "one model True True", "loss True", "image (64, 64, 3)"):
        assert told in printed


def test_a_gigabyte_of_weights(carried):
    notebook, told = carried
    assert notebook.value("state_of_big == digest_of(big)")
    assert re.search(r"1\.\d+ G", told), told


def test_switches_come_back_with_their_mode():
    with start_kernel(**ON_A_GAUDI) as notebook:
        do(
            notebook,
            """
%load_ext gaudi_lab
import torch
from torch import nn
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval().requires_grad_(False).to("hpu")
x = torch.randn(3, 4).to("hpu")
before = net(x).cpu()
%gaudi_mode lazy
""",
        )
        do(notebook, "%gaudi_graphs on\nnet(x), net(x)")
        assert "net: HPU graphs off until lazy mode returns" in do(notebook, "%gaudi_mode eager")
        assert "compile" in do(notebook, "%gaudi_mode compile")
        assert notebook.value("float((net(x).cpu() - before).abs().max()) < 1e-5")
        assert "HPU graphs on" in do(notebook, "%gaudi_mode lazy")
        do(notebook, "net(x), net(x)")
        models = "__import__('gaudi_lab').workbench.lab.current().models.values()"
        assert notebook.value(f"[m.status().graphs[0].replays > 0 for m in {models}]") == [True]
        assert "lazy → compile" in do(notebook, "%gaudi_mode compile")
        assert notebook.value("float((net(x).cpu() - before).abs().max()) < 1e-5")


def test_a_class_of_the_notebook_that_was_compiled_comes_along():
    """torch.compile puts names of its own beside it, which stay behind and are nobody's loss."""
    with start_kernel() as notebook:
        do(
            notebook,
            """
%load_ext gaudi_lab
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.seen = torch.nn.Linear(4, 4), []
    def forward(self, x):
        x = self.inner(x)
        self.seen.append(x.sum().item())
        return torch.relu(x)
net, x = Net().eval().requires_grad_(False).to("hpu"), torch.ones(3, 4).to("hpu")
%gaudi_mode compile
before = net(x).cpu()
""",
        )
        assert notebook.value("any(name.startswith('__compiled_fn') for name in globals())")
        do(notebook, "%gaudi_relaunch --env NEW=1")
        do(notebook, "seen = len(net.seen); same = float((net(x).cpu() - before).abs().max()) < 1e-5")
        assert notebook.value("(seen, same)") == (1, True)
