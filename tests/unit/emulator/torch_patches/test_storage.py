"""Tensors of the device in files, pickles and copies."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn

pytestmark = pytest.mark.usefixtures("mode")


def through_a_file(thing, **options):
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, **options)


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize(
    ("made_on", "location", "expected"),
    [
        ("hpu", None, "hpu"),
        ("hpu", "cpu", "cpu"),
        ("hpu", "hpu", "hpu"),
        ("cpu", "hpu", "hpu"),
        ("cpu", "hpu:0", "hpu"),
    ],
)
def test_save_and_load(made_on, location, expected, weights_only):
    x = torch.arange(6.0).reshape(2, 3).to(made_on)
    x += 1
    loaded = through_a_file({"x": x.T}, map_location=location, weights_only=weights_only)["x"]
    assert loaded.device.type == expected
    assert loaded.stride() == (1, 3)
    assert torch.equal(loaded.cpu(), x.cpu().T)


def test_another_device_that_is_not_there():
    with pytest.raises(RuntimeError, match="HPU device 3"):
        through_a_file(torch.ones(1), map_location="hpu:3")


def test_a_process_loads_to_the_device_that_its_launcher_gave_it(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert through_a_file(torch.ones(1), map_location="hpu:3").device == torch.device("hpu:0")


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
def test_a_typed_storage_is_restored_to_the_device():
    storage = torch.arange(3.0).storage()
    restored = torch.serialization.default_restore_location(storage, "hpu:0")
    assert restored.device.type == "hpu"
    assert restored.tolist() == [0.0, 1.0, 2.0]


def test_tied_weights_stay_tied():
    model = nn.ModuleDict({"a": nn.Linear(3, 3, bias=False), "b": nn.Linear(3, 3, bias=False)}).to("hpu")
    model["b"].weight = model["a"].weight
    loaded = through_a_file(model.state_dict())
    assert loaded["a.weight"].data_ptr() == loaded["b.weight"].data_ptr()
    whole = through_a_file(model, weights_only=False)
    assert whole["a"].weight is whole["b"].weight
    assert isinstance(whole["a"].weight, nn.Parameter)
    assert whole["a"].weight.requires_grad
    copied = copy.deepcopy(model)
    assert copied["a"].weight is copied["b"].weight
    assert copied["a"].weight is not model["a"].weight


def test_pickle():
    parameter = nn.Linear(2, 2).to("hpu").weight
    for thing in (parameter, parameter.detach()):
        back = pickle.loads(pickle.dumps(thing))
        assert back.device == thing.device
        assert isinstance(back, nn.Parameter) is isinstance(thing, nn.Parameter)
        assert torch.equal(back.cpu(), thing.cpu())


def test_attributes_go_along_where_they_do_on_the_host():
    for place in ("cpu", "hpu"):
        x = torch.ones(2, device=place)
        x.notes = ["kept"]
        copied = copy.deepcopy(x)
        assert copied.notes == x.notes, place
        assert copied.notes is not x.notes, place
        weight = nn.Parameter(torch.ones(2, device=place))
        weight.notes = ["kept"]
        weight.grad = torch.ones(2, device=place)
        back = pickle.loads(pickle.dumps(weight))
        assert isinstance(back, nn.Parameter), place
        assert back.notes == weight.notes, place
        assert copy.deepcopy(weight).grad is None, place


def test_optimizer_state(mode):
    model = nn.Linear(2, 2).to("hpu")
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2, device="hpu")).sum().backward()
    optimizer.step()
    state = through_a_file(optimizer.state_dict(), map_location="hpu")
    optimizer.load_state_dict(state)
    assert optimizer.state[model.weight]["exp_avg"].device.type == "hpu"


def test_safetensors(tmp_path):
    from safetensors.torch import load_file, save_file, save_model

    x = torch.arange(6.0, device="hpu").reshape(2, 3) * 2
    save_file({"x": x}, tmp_path / "x.safetensors")
    for device in ("cpu", "hpu"):
        loaded = load_file(tmp_path / "x.safetensors", device=device)["x"]
        assert loaded.device.type == device
        assert torch.equal(loaded.cpu(), x.cpu())
    save_model(nn.Linear(2, 2).to("hpu"), str(tmp_path / "model.safetensors"))


def test_storage():
    x = torch.zeros(4, device="hpu")
    view = x[2:]
    assert x.untyped_storage().device.type == "hpu"
    assert x.untyped_storage().data_ptr() == view.untyped_storage().data_ptr()
    assert view.data_ptr() - x.data_ptr() == 2 * 4
    assert x.untyped_storage().nbytes() == 16
    assert copy.deepcopy(x.untyped_storage()).data_ptr() != x.untyped_storage().data_ptr()


def test_reads():
    x = torch.arange(4.0, device="hpu").reshape(2, 2)
    assert x.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    with pytest.raises(
        TypeError, match=r"can't convert hpu:0 device type tensor to numpy\. Use Tensor\.cpu\(\)"
    ):
        x.numpy()
    assert x.numpy(force=True).sum() == 6.0


@pytest.mark.parametrize("workers", [0, 1])
def test_data_loader(workers):
    data = torch.utils.data.TensorDataset(torch.arange(8.0))
    loader = torch.utils.data.DataLoader(data, batch_size=4, pin_memory=True, num_workers=workers)
    batches = [batch.to("hpu", non_blocking=True) for (batch,) in loader]
    assert [batch.sum().item() for batch in batches] == [6.0, 22.0]
    assert torch.ones(2).pin_memory().is_pinned()
    assert not torch.ones(2).is_pinned()


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
def test_a_storage_of_the_device_is_a_storage_and_saved_as_one():
    storage = torch.tensor([1, 2], dtype=torch.uint8).to("hpu").untyped_storage()
    assert torch.is_storage(storage)
    file = io.BytesIO()
    torch.save(storage, file)
    file.seek(0)
    loaded = torch.load(file).untyped()
    assert (loaded.device.type, loaded.cpu().tolist()) == ("hpu", [1, 2])


def test_memory_that_was_given_back_is_an_error_to_look_at_and_comes_back():
    x = torch.ones(2, 3).to("hpu")
    x.untyped_storage().resize_(0)
    for look in (repr, torch.Tensor.cpu, lambda x: x.tolist()):
        with pytest.raises(RuntimeError, match="was given back"):
            look(x)
    x.untyped_storage().resize_(24)
    x.fill_(2)
    assert x.tolist() == [[2.0] * 3] * 2
