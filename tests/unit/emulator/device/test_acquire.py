"""Which device there is."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import nn


def load_to(device):
    file = io.BytesIO()
    torch.save(torch.ones(2), file)
    file.seek(0)
    return torch.load(file, map_location=device)


PLACES = {
    "zeros": lambda device: torch.zeros(3, device=device),
    "empty": lambda device: torch.empty(3, device=device),
    "empty_strided": lambda device: torch.empty_strided((2,), (1,), device=device),
    "tensor": lambda device: torch.tensor([1.0], device=device),
    "zeros_like": lambda device: torch.zeros_like(torch.ones(2), device=device),
    "new_zeros": lambda device: torch.ones(1, device="hpu").new_zeros(3, device=device),
    "to_from_host": lambda device: torch.ones(3).to(device),
    "to_from_device": lambda device: torch.ones(3, device="hpu").to(device),
    "to_number": lambda device: torch.ones(3).to(torch.device(device).index or 0),
    "numpy": lambda device: torch.from_numpy(np.ones(2)).to(device),
    "module": lambda device: nn.Linear(2, 2, device=device).weight,
    "module_to": lambda device: nn.Linear(2, 2).to(device).weight,
    "load": load_to,
    "set_device": lambda device: torch.hpu.set_device(device),
    "with_device": lambda device: torch.hpu.device(device),
    "generator": lambda device: torch.Generator(device),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_device_that_is_not_there_is_refused(mode, name):
    for device in ("hpu", "hpu:0"):
        PLACES[name](device)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"hpu:7 does not exist: one device is emulated|HPU device 7"):
            PLACES[name]("hpu:7")
    assert torch.device("hpu:7").index == 7  # as for CUDA, the name alone is no error


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 1),
        ({"GAUDI_LAB_EMULATED_DEVICES": "4"}, 4),
        ({"GAUDI_LAB_EMULATED_DEVICES": "4", "HABANA_VISIBLE_MODULES": "2,3"}, 2),
        ({"GAUDI_LAB_EMULATED_DEVICES": "4", "HABANA_VISIBLE_DEVICES": "none"}, 0),
    ],
)
def test_how_many_devices_there_are(monkeypatch, environment, count):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert torch.hpu.device_count() == torch.accelerator.device_count() == count


@pytest.mark.parametrize("asked", ["0", "-1", "two", ""])
def test_a_number_of_devices_that_is_none(monkeypatch, asked):
    monkeypatch.setenv("GAUDI_LAB_EMULATED_DEVICES", asked)
    with pytest.raises(ValueError, match="is no number of devices"):
        torch.hpu.device_count()


def test_a_process_has_one_of_several_devices(mode, monkeypatch):
    monkeypatch.setenv("GAUDI_LAB_EMULATED_DEVICES", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    torch.hpu.set_device(1)  # by the rank that the launcher gave it
    assert torch.hpu.current_device() == 0
    for name in ("hpu", "hpu:1"):  # PyTorch's `barrier(device_ids=[rank])` makes a tensor there
        assert torch.zeros(1, device=name).device == torch.device("hpu:0")
    with pytest.raises(RuntimeError, match=r"a process has one device, hpu:0.*torchrun --nproc_per_node 2"):
        torch.zeros(1, device="hpu:2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(RuntimeError, match="a process has one device"):
        torch.hpu.set_device(1)
