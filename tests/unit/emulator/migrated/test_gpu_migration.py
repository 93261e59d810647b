"""Programs for CUDA on hpu. Each runs in a process of its own: migration stays until the process ends."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from tests.unit.forked import run_forked

BY_IMPORT = "import torch, habana_frameworks.torch.gpu_migration\n"


def told(program: str, lazy: int = 0, **variables: str) -> str:
    """Return what `program` prints in a new process, which is forked where it begins by importing PyTorch."""
    variables = {**os.environ, "GAUDI_LAB_EMULATE": "1", "PT_HPU_LAZY_MODE": str(lazy), **variables}
    done = (
        run_forked(program, environment=variables, quiet=True)
        if program.startswith(BY_IMPORT)
        else subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
            capture_output=True,
            text=True,
            check=False,
            env=variables,
        )
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("lazy", [0, 1])
def test_the_variable_alone_is_enough(lazy):
    program = """
        import torch
        print(torch.cuda.is_available(), torch.ones(2, device="cuda").device)
    """
    assert told(program, lazy, PT_HPU_GPU_MIGRATION="1") == "True hpu:0\n"


def test_without_it_cuda_is_not_there():
    program = "import torch, habana_frameworks.torch; print(torch.cuda.is_available(), torch.ones(2).is_cuda)"
    assert told(program, PT_HPU_GPU_MIGRATION="0") == "False False\n"


def test_every_place_that_takes_a_device():
    told(
        BY_IMPORT
        + """
import io
from torch import nn
cuda = torch.device("cuda")
made = [
    torch.ones(2, device="cuda"), torch.zeros(2, device=cuda), torch.tensor([1.0], device="cuda:0"),
    torch.rand(2, generator=torch.Generator("cuda"), device="cuda"), torch.ones(2).to("cuda"), torch.ones(2).to(cuda),
    torch.ones(2).cuda(), torch.ones(2).cuda(0), torch.ones(2).cuda(cuda), torch.ones_like(torch.ones(2), device=cuda),
    torch.ones(2).new_zeros(2, device="cuda"), torch.cuda.FloatTensor([1.0]),
    torch.ones(2).type("torch.cuda.HalfTensor"),
    torch.fft.fftfreq(4, device="cuda"), torch.hann_window(4, device="cuda"),
    nn.Linear(2, 2, device="cuda").weight, nn.Linear(2, 2).cuda().weight, nn.Linear(2, 2).to(device="cuda").weight,
]
with cuda:
    made.append(torch.ones(2))
file = io.BytesIO()
torch.save(torch.ones(2), file)
for place in ("cuda", cuda, {"cpu": "cuda:0"}):
    file.seek(0)
    made.append(torch.load(file, map_location=place))
torch.set_default_device("cuda")
made.append(torch.ones(2))
assert all(str(x.device) == "hpu:0" and x.is_cuda for x in made), [str(x.device) for x in made]
assert not torch.ones(2, device="cpu").is_cuda
"""
    )


def test_what_a_training_loop_uses():
    told(
        BY_IMPORT
        + """
from torch import nn
torch.cuda.manual_seed_all(1)
model = nn.Linear(2, 2).cuda()
optimizer = torch.optim.AdamW(model.parameters())
scaler = torch.amp.GradScaler("cuda")
assert not scaler.is_enabled(), "bfloat16 needs no scaling"
start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
start.record()
with torch.cuda.stream(torch.cuda.Stream()), torch.cuda.nvtx.range("step"), torch.cuda.device("cuda:0"):
    with torch.autocast("cuda", dtype=torch.float16):
        assert torch.is_autocast_enabled("cuda")
        out = model(torch.ones(4, 2, device="cuda"))
    assert out.dtype is torch.bfloat16
    scaler.scale(out.sum()).backward()
    scaler.step(optimizer)
    scaler.update()
end.record()
torch.cuda.synchronize()
assert start.elapsed_time(end) > 0
assert torch.cuda.memory_allocated() > 0 and torch.cuda.max_memory_allocated("cuda:0") > 0
with torch.random.fork_rng():
    pass
loader = torch.utils.data.DataLoader(torch.ones(4, 2), pin_memory=True, pin_memory_device="cuda")
assert sum(x.cuda().sum().item() for x in loader) == 8
assert torch.equal(torch.compile(lambda x: x + 1)(torch.ones(2, device="cuda")).cpu(), torch.full((2,), 2.0))
"""
    )


def test_what_has_no_counterpart_says_so():
    told(
        BY_IMPORT
        + """
for call, says in (
    (torch.cuda.get_device_capability, "torch.cuda.get_device_capability has no counterpart on hpu: ask"),
    (torch.cuda.ExternalStream, "torch.cuda.ExternalStream has no counterpart on hpu: use torch.cuda.Stream"),
    (lambda: torch.set_default_tensor_type("torch.cuda.FloatTensor"), "torch.set_default_device"),
):
    try:
        call()
    except NotImplementedError as error:
        assert says in str(error), error
    else:
        raise AssertionError(says)
assert not isinstance(1, torch.cuda.MemPool)
"""
    )


def test_nccl_is_hccl():
    told(
        BY_IMPORT
        + """
import os
from torch import distributed, nn
os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
store = distributed.HashStore()
distributed.init_process_group("nccl", store=store, rank=0, world_size=1)
assert distributed.get_backend() == "nccl" and distributed.is_nccl_available()
x = torch.ones(2, device="cuda")
distributed.all_reduce(x)
model = nn.parallel.DistributedDataParallel(nn.Linear(2, 2).cuda(), device_ids=[0], output_device=0)
model(x).sum().backward()
assert model.module.weight.grad.is_cuda
distributed.destroy_process_group()
"""
    )
