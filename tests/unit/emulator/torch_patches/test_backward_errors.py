"""An error inside `backward()` is an ordinary exception every time, and the process ends as it should."""

from __future__ import annotations

import os
import threading

import pytest
import torch

from gaudi_lab.emulator.torch_patches import backward_errors
from tests.unit.forked import run_forked

# A step that only fails when the recorded program runs, and that is where the gradient goes to the host.
PROGRAM = """
import atexit, sys, threading
import habana_frameworks.torch, torch
library = torch.library.Library("failing", "DEF")
library.define("step(Tensor x) -> Tensor")
def fail(x): raise ValueError("it ran")
library.impl("step", fail, "CompositeExplicitAutograd")
torch.library.register_fake("failing::step", lambda x: torch.empty_like(x), lib=library)

class Failing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x * 1
    @staticmethod
    def backward(ctx, grad): return torch.ops.failing.step(grad)

def at_the_copy(x):
    return Failing.apply(x.to("hpu")).sum()
def in_a_hook(x):
    y = x.to("hpu") * 2
    y.register_hook(lambda grad: torch.ops.failing.step(grad).cpu())
    return y.sum()
def in_a_pass_of_a_hook(x):
    def again(grad):
        with torch.enable_grad():
            at_the_copy(torch.ones(3, requires_grad=True)).backward()
    y = x.to("hpu") * 2
    y.register_hook(again)
    return y.sum()

def attempt():
    for loss in (at_the_copy, in_a_hook, in_a_pass_of_a_hook):
        try:
            loss(torch.ones(3, requires_grad=True)).backward()
        except ValueError as error:
            print(error, flush=True)

class Dying:
    def __del__(self): attempt()
def in_thread():
    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
def dies(): Dying()

kind, times = sys.argv[1], 10
act = {"main": attempt, "thread": in_thread, "del": dies, "exit": attempt}[kind]
run = lambda: [act() for _ in range(times)]
atexit.register(run) if kind == "exit" else run()
"""


def ends(kind: str) -> tuple[int, list[str], str]:
    variables = {**os.environ, "GAUDI_LAB_EMULATE": "1", "PT_HPU_LAZY_MODE": "1"}
    done = run_forked(PROGRAM, kind, environment=variables)
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize("kind", ["main", "thread", "del", "exit"])
def test_in_the_main_thread_in_another_one_in_a_destructor_and_at_exit(kind):
    code, lines, complaints = ends(kind)
    assert (code, complaints) == (0, "")
    assert lines == ["it ran"] * 30


@pytest.fixture
def broken_loss(mode):
    x = torch.ones(3, requires_grad=True)
    y = x.to("hpu") * 2

    def fail(grad):
        raise LookupError("the hook")

    y.register_hook(fail)
    return y.sum()


def test_what_a_hook_raises_keeps_its_class_and_its_traceback(broken_loss):
    with pytest.raises(LookupError, match="the hook") as caught:
        broken_loss.backward()
    assert [frame.name for frame in caught.traceback][-1] == "fail"


def test_a_pass_after_a_failed_one_is_right(broken_loss):
    with pytest.raises(LookupError):
        broken_loss.backward()
    x = torch.ones(3, requires_grad=True)
    (x.to("hpu") * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    assert not torch._C._is_key_in_tls(backward_errors._KEY)


def test_threads_that_fail_at_once_get_their_own_errors(mode):
    found = {}

    def attempt(number):
        def fail(grad):
            raise LookupError(number)

        x = torch.ones(3, requires_grad=True)
        y = x.to("hpu") * number
        y.register_hook(fail)
        try:
            y.sum().backward()
        except LookupError as error:
            found[number] = error.args[0]

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number for number in range(20)}
