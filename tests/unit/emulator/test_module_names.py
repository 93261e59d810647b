"""The hooks for the names of modules are there to be seen, and cost a call nothing."""

from __future__ import annotations

import copy

import pytest
import torch
from habana_frameworks.torch.core import module_names


class Inner(torch.nn.Module):
    def forward(self, x):
        self.seen = module_names.running()
        return x


@pytest.fixture
def outer():
    outer = torch.nn.Sequential(torch.nn.Sequential(Inner()))
    for module in outer.modules():
        for name, child in module.named_children():
            module_names._hook(child, name)
    return outer


def called(module):
    """Return whether PyTorch goes through the hooks of `module` at a call."""
    calls = []
    for hooks in (module._forward_hooks, module._forward_pre_hooks):
        for number in hooks:
            hooks[number] = lambda *_: calls.append(1)
    module(torch.ones(1))
    return bool(calls)


def test_idle_hooks_are_there_and_not_called(outer):
    inner = outer[0][0]

    assert len(inner._forward_hooks) == len(inner._forward_pre_hooks) == 1
    assert not called(inner)


def test_the_names_of_the_modules_that_run_are_read_off_the_stack(outer):
    outer(torch.ones(1))
    assert outer[0][0].seen == "0/0"
    outer[0](torch.ones(1))
    assert outer[0][0].seen == "0/0"
    assert module_names.running() == ""


def test_a_hook_of_somebody_else_is_called_until_it_is_removed(outer):
    inner = outer[0][0]
    handle = inner.register_forward_hook(lambda module, args, out: out + 1)
    assert outer(torch.zeros(1)).item() == 1
    handle.remove()
    assert outer(torch.zeros(1)).item() == 0
    assert not inner._forward_hooks


def test_a_hook_that_was_there_before_is_called_and_can_be_removed():
    module = Inner()
    handle = module.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    module_names._hook(module, "name")
    assert module(torch.zeros(1)).item() == 1
    handle.remove()
    assert module(torch.zeros(1)).item() == 0


def test_a_copy_of_a_hooked_module_costs_nothing_either(outer):
    assert not called(copy.deepcopy(outer)[0][0])
