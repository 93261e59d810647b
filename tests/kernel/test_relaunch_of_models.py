"""What people have in a notebook comes along into a fresh process: models on the device, and what is around them."""

from __future__ import annotations

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


@pytest.fixture(scope="module")
def one_kernel() -> Iterator[Notebook]:
    """A kernel whose bridge keeps its mode, as one on hardware does."""
    with start_kernel(GAUDI_LAB_RELAUNCH="always", PT_HPU_LAZY_MODE="0") as notebook:
        yield notebook


@pytest.fixture
def frozen(one_kernel: Notebook) -> Iterator[Notebook]:
    """The same in eager mode, with nothing in it."""
    one_kernel.run("%reset -f\n%load_ext gaudi_lab\nimport torch")
    one_kernel.run("%gaudi_mode eager")
    reply = one_kernel.run(DIGEST)
    assert reply.status == "ok", reply.error
    yield one_kernel
    one_kernel.run("%unload_ext gaudi_lab\n%reset -f")


def do(notebook: Notebook, code: str) -> str:
    reply = notebook.run(code)
    assert reply.status == "ok", reply.printed + reply.error + reply.traceback
    return reply.printed


def test_the_notebooks_own_classes_and_what_shares_memory(frozen):
    do(
        frozen,
        """
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
state = digest_of(net, x, list(optimizer.state_dict()["state"].values()), [p.grad for p in net.parameters()])
optimizer.zero_grad()
host = torch.arange(12.0).reshape(3, 4)
row, array = host[1], host.numpy()
column = array[:, 1]
frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]})
points = [Point(1), Point(2)]
points[0].near.append(points[1])
first = points[0]
random.seed(5), np.random.seed(6), torch.manual_seed(7)
""",
    )
    printed = do(
        frozen,
        """
%gaudi_mode lazy
print("optimizer", state == digest_of(net, x, list(optimizer.state_dict()["state"].values()), [torch.zeros(0)]) or "")
print(alias is net, part is net.inner[0], tied is net.inner[0].weight, type(net) is Net)
print(optimizer.param_groups[0]["params"][0] is tied, first is points[0], points[0].near[0] is points[1])
print(isinstance(first, Point), dataclasses.asdict(Point(4)), times(3))
""",
    )
    assert "eager → lazy: fresh process in " in printed
    assert "False" not in printed.partition("\n")[2].replace("optimizer False", "")
    printed = do(
        frozen,
        """
scale = 10.0
host[1, 1] = -1.0
print(times(3), row[1].item(), column[1], array[1, 1])
print(frame.equals(pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]})))
after = random.random(), np.random.rand(), torch.rand(()).item()
random.seed(5), np.random.seed(6), torch.manual_seed(7)
print(after == (random.random(), np.random.rand(), torch.rand(()).item()))
import habana_frameworks.torch.utils.internal as internal
print(internal.is_lazy(), net(x).device.type)
""",
    )
    assert printed.split() == ["30.0", "-1.0", "-1.0", "-1.0", "True", "True", "True", "hpu"]


def test_an_optimizer_goes_on_where_it_was(frozen):
    do(
        frozen,
        """
from torch import nn
torch.manual_seed(0)
weights = nn.Linear(6, 3)
start = {k: v.clone() for k, v in weights.state_dict().items()}
x = torch.randn(5, 6)

def train(net, optimizer, steps, device):
    for _ in range(steps):
        optimizer.zero_grad()
        net(x.to(device)).square().mean().backward()
        optimizer.step()

on_cpu = nn.Linear(6, 3); on_cpu.load_state_dict(start)
on_hpu = nn.Linear(6, 3); on_hpu.load_state_dict(start); on_hpu.to("hpu")
optimizers = [torch.optim.AdamW(net.parameters(), lr=0.05) for net in (on_cpu, on_hpu)]
train(on_cpu, optimizers[0], 3, "cpu")
train(on_hpu, optimizers[1], 3, "hpu")
""",
    )
    printed = do(
        frozen,
        """
%gaudi_mode lazy
train(on_cpu, optimizers[0], 3, "cpu")
train(on_hpu, optimizers[1], 3, "hpu")
print(max((a - b.cpu()).abs().max().item() for a, b in zip(on_cpu.parameters(), on_hpu.parameters())))
""",
    )
    assert float(printed.split()[-1]) < 1e-6


def test_trainers_and_a_pipeline_work_on_the_other_side(frozen):
    do(
        frozen,
        """
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
before = gaudi_trainer.evaluate()["eval_loss"], trainer.evaluate()["eval_loss"]
""".replace("DIGITS", repr(str(DIGITS))),
    )
    printed = do(
        frozen,
        """
state = digest_of(classifier, pipeline.unet, pipeline.vae, pipeline.text_encoder)
%gaudi_mode lazy
print("same", state == digest_of(classifier, pipeline.unet, pipeline.vae, pipeline.text_encoder))
print("one model", trainer.model is classifier, gaudi_trainer.model is classifier)
after = gaudi_trainer.evaluate()["eval_loss"], trainer.evaluate()["eval_loss"]
print("loss", max(abs(a - b) for a, b in zip(before, after)) < 1e-5)
images = pipeline("a three", num_inference_steps=2, batch_size=1, output_type="np").images
print("image", images[0].shape)
""",
    )
    for told in ("same True", "one model True True", "loss True", "image (64, 64, 3)"):
        assert told in printed


def test_switches_come_back_with_their_mode(frozen):
    do(
        frozen,
        """
from torch import nn
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval().requires_grad_(False).to("hpu")
x = torch.randn(3, 4).to("hpu")
before = net(x).cpu()
%gaudi_mode lazy
""",
    )
    do(frozen, "%gaudi_graphs on\nnet(x), net(x)")
    assert "net: HPU graphs off until lazy mode returns" in do(frozen, "%gaudi_mode eager")
    assert "compile" in do(frozen, "%gaudi_mode compile")
    assert frozen.value("float((net(x).cpu() - before).abs().max()) < 1e-5")
    assert "HPU graphs on" in do(frozen, "%gaudi_mode lazy")
    do(frozen, "net(x), net(x)")
    assert frozen.value(
        "[m.status().graphs[0].replays > 0 for m in __import__('gaudi_lab').workbench.lab.current().models.values()]"
    ) == [True]
    refused = frozen.run("%gaudi_mode compile")
    assert refused.printed.startswith("UsageError: torch.compile needs eager mode")


def test_a_gigabyte_of_weights(frozen):
    do(
        frozen,
        """
from torch import nn
big = nn.Linear(16384, 16384, bias=False).requires_grad_(False)
state = digest_of(big)
""",
    )
    printed = do(frozen, "%gaudi_mode lazy\nprint(state == digest_of(big))")
    assert printed.endswith("True\n")
    assert "1.0 GB" in printed or "1.1 GB" in printed or "GiB" in printed
