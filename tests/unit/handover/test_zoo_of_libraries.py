"""Kinds of objects of NumPy, pandas and PyTorch, as in `test_zoo`."""

from __future__ import annotations

import pytest

from tests.unit.handover.test_zoo import Kind, Refused, program

IMPORTS = "import copy as cp_, numpy as np, pandas as pd, torch, tempfile, os\nfrom torch import nn\n"

KINDS = {
    "array": Kind("NAME = np.full((2, 3), 1.5)", "x, x.flags.owndata"),
    "fortran": Kind("NAME = np.asfortranarray(np.arange(6).reshape(2, 3))", "x, x.flags.f_contiguous"),
    "empty": Kind("NAME = [np.empty((0, 3)), np.empty(0)]", "x"),
    "read_only": Kind("NAME = np.arange(3); NAME.flags.writeable = False", "x.flags.writeable"),
    "structured": Kind("NAME = np.zeros(2, [('a', 'i4'), ('b', 'S3')])", "x, x.dtype"),
    "dates": Kind("NAME = np.array(['2026-01-01'], 'M8[D]')", "x"),
    "objects": Kind("NAME = np.array([1, 'a', [2]], object)", "x"),
    "view_of_objects": Kind("NAME = VALUES_['objects'][1:]", "x[1] is the_objects[2], x.shape"),
    "text": Kind("NAME = np.array(['a', 'longer'], 'U')", "x"),
    "any_text": Kind("NAME = np.array(['a', 'longer'], np.dtypes.StringDType()) if hasattr(np.dtypes, 'StringDType') else 0", "x"),
    "masked": Kind("NAME = np.ma.array([1, 2], mask=[0, 1])", "x"),
    "record": Kind("NAME = np.rec.array([(1, 2.0)], names='a,b')", "x.a, type(x)"),
    "matrix": Kind("class array_(np.ndarray): pass\nNAME = np.arange(3).view(array_); NAME.unit = 'm'", "x, x.unit, type(x)"),
    "scalar": Kind("NAME = (np.float32(1.5), np.bool_(True), np.dtype('i4'), np.add, np.float64)", "x"),
    "backward": Kind("NAME = VALUES_['array'][::-1, ::2]", "x, np.shares_memory(x, the_array)"),
    "over_bytes": Kind("NAME = np.frombuffer(bytearray(b'abcd'), 'u1')", "x"),
    "windows": Kind("NAME = np.lib.stride_tricks.sliding_window_view(np.arange(4), 2)", "x"),
    "generator": Kind("NAME = np.random.default_rng(3); NAME.random()", "x.random()"),
    "mapped": Kind("path_ = tempfile.mkstemp()[1]; np.arange(4).tofile(path_); NAME = np.memmap(path_, 'i8', 'r')[1:]", "x, type(x), x.flags.writeable"),
    "frame": Kind("NAME = pd.DataFrame({'a': [1, 2], 'b': ['x', None], 'c': pd.Categorical(['u', 'v'])}, index=pd.date_range('2026', periods=2))", "x, x.dtypes"),
    "series": Kind("NAME = VALUES_['frame']['a']", "x, x.name"),
    "index": Kind("NAME = pd.MultiIndex.from_tuples([(1, 'a'), (2, 'b')])", "x"),
    "tensor": Kind("NAME = torch.arange(6.0).reshape(2, 3)", "x, x.untyped_storage().resizable()"),
    "not_contiguous": Kind("NAME = torch.arange(6).reshape(2, 3).t()", "x, x.stride()"),
    "expanded": Kind("NAME = torch.ones(1, 2).expand(3, 2)", "x, x.stride(), x.untyped_storage().nbytes()"),
    "half": Kind("NAME = [torch.ones(2, dtype=getattr(torch, d)) for d in ('bfloat16', 'float16', 'bool', 'complex64', 'float8_e4m3fn')]", "x"),
    "conjugated": Kind("NAME = torch.tensor([1 + 2j]).conj()", "x, x.is_conj()"),
    "negated": Kind("NAME = torch.tensor([1 + 2j]).conj().imag", "x, x.is_neg()"),
    "none": Kind("NAME = [torch.empty(0), torch.empty(0), torch.empty(2, 0, 3)]", "x, x[0] is x[1], x[2].shape"),
    "sparse": Kind("NAME = [torch.eye(2).to_sparse(), torch.eye(2).to_sparse_csr()]", "x"),
    "quantised": Kind("NAME = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)", "x"),
    "meta": Kind("NAME = torch.empty(3, device='meta')", "x, x.device"),
    "leaf": Kind("NAME = torch.ones(2, requires_grad=True); (NAME * 2).sum().backward()", "x, x.grad, x.is_leaf"),
    "parameter": Kind("NAME = nn.Parameter(torch.ones(2), requires_grad=False); NAME.tag = 1", "x, type(x), x.tag"),
    "own_parameter": Kind("class parameter_(nn.Parameter): pass\nNAME = parameter_(torch.ones(2))", "x, type(x), x.requires_grad"),
    "buffer": Kind("NAME = nn.Buffer(torch.ones(2), persistent=False)", "isinstance(x, nn.Buffer), x.persistent"),
    "uninitialised": Kind("NAME = nn.LazyLinear(3)", "x, type(x.weight)"),
    "subclass": Kind("class tensor_(torch.Tensor): pass\nNAME = torch.ones(2).as_subclass(tensor_); NAME.tag = NAME", "type(x), x.tag is x"),
    "hooked": Kind("def twice_(g): return g * 2\nNAME = torch.ones(1, requires_grad=True); NAME.register_hook(twice_)", "(x * 1).sum().backward(), x.grad"),
    "storage": Kind("NAME = torch.ones(2).untyped_storage()", "x.tolist()"),
    "types": Kind("NAME = (torch.float32, torch.device('cpu'), torch.Size([1]), torch.strided, torch.channels_last)", "x, x[3] is torch.strided"),
    "operators": Kind("NAME = (torch.relu, torch.ops.aten.add, torch.ops.aten.add.Tensor, nn.functional.gelu)", "x[1] is torch.ops.aten.add, x[2] is torch.ops.aten.add.Tensor, x[3]"),
    "random": Kind("NAME = torch.Generator().manual_seed(4); torch.randn(1, generator=NAME)", "torch.randn(2, generator=x)"),
    "default_random": Kind("NAME = torch.default_generator", "x is torch.default_generator"),
    "module": Kind("class Net_(nn.Module):\n    def __init__(self):\n        super().__init__(); self.a = nn.Linear(2, 2); self.b = nn.Linear(2, 2); self.b.weight = self.a.weight\n        self.register_forward_hook(lambda m, i, o: o + 1)\n    def forward(self, v): return self.b(self.a(v))\nNAME = Net_().eval()", "x(torch.ones(2)), x.a.weight is x.b.weight, x.training, x"),
    "deep_copy": Kind("NAME = cp_.deepcopy(VALUES_['module'])", "x(torch.ones(2))"),
    "state": Kind("NAME = VALUES_['module'].state_dict()", "x, x['a.weight'].data_ptr() == the_module.a.weight.data_ptr(), x._metadata"),
    "optimizer": Kind("NAME = torch.optim.Adam(VALUES_['module'].parameters()); VALUES_['module'](torch.ones(2)).sum().backward(); NAME.step()", "x.state_dict(), x.step(), the_module.a.weight"),
    "scheduler": Kind("NAME = torch.optim.lr_scheduler.LambdaLR(VALUES_['optimizer'], lambda e: 0.5 ** e); VALUES_['optimizer'].step(); NAME.step()", "x.get_last_lr(), x.optimizer is the_optimizer, x.step(), x.get_last_lr()"),
    "loader": Kind("NAME = torch.utils.data.DataLoader([1, 2, 3], batch_size=2)", "list(x)"),
    "distribution": Kind("NAME = torch.distributions.Normal(0.0, 1.0)", "x.log_prob(torch.tensor(0.5))"),
}  # fmt: skip

REFUSED = {
    "mapped_to_write": Refused("path_ = tempfile.mkstemp()[1]; NAME = np.memmap(path_, 'u1', 'w+', shape=3)", "NAME is a file mapped into memory for writing"),
    "iterated": Refused("NAME = iter(torch.utils.data.DataLoader([1, 2]))", "NAME is an iterator in the middle of a DataLoader"),
    "scripted": Refused("NAME = torch.jit.script(nn.Linear(1, 1))", "NAME is a ScriptModule, which only torch.jit.save can write"),
}  # fmt: skip


def test_each_kind_of_the_libraries_comes_back_as_it_was(carry):
    probes = {name: f"(lambda x: ({kind.probe},))(the_{name})" for name, kind in KINDS.items()}
    carried = carry(IMPORTS + program(KINDS), probes=probes, apart=True)
    assert carried.before["left"] == {}
    assert carried.after["left"] == {}
    assert carried.after["differs"] == []
    assert carried.after["not_compared"] == []
    wrong = {
        name: (carried.before["probes"][name], value)
        for name, value in carried.after["probes"].items()
        if value != carried.before["probes"][name]
    }
    assert wrong == {}


def test_what_of_the_libraries_cannot_travel_is_refused_with_its_reason(carry):
    carried = carry(IMPORTS + program(REFUSED))
    left = carried.before["left"]
    for name, refused in REFUSED.items():
        assert left.get(f"the_{name}", "it travels").startswith(refused.why.replace("NAME", f"the_{name}")), (
            name
        )


@pytest.mark.parametrize("mode", ["0", "1"])
def test_tensors_of_another_device_come_back_on_it_and_stay_on_the_host_when_checked(carry, mode):
    source = """
    import gaudi_lab, torch
    from torch import nn
    torch.manual_seed(0)
    base = torch.arange(12.0).to("hpu")
    view = base.view(3, 4).t()[1:]
    bits = base.view(torch.int32)
    weight = nn.Parameter(torch.ones(3).to("hpu"))
    (weight * 2).sum().backward()
    loss = (weight * 3).sum()
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).to("hpu")
    tied = model[0].weight
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, device="hpu")).sum().backward()
    optimizer.step()
    generator = torch.Generator("hpu").manual_seed(3)
    """
    probes = {
        name: f"{name}.cpu()"
        for name in ("base", "view", "bits", "weight.detach()", "weight.grad", "loss.detach()")
    }
    then = """
    with torch.no_grad():
        base.fill_(7)
        tied.fill_(5)
    _answer["devices"] = [str(x.device) for x in (base, view, weight, weight.grad, tied, loss)]
    _answer["shared"] = [view.cpu().sum().item(), bits.cpu()[0].item(), model[0].weight.cpu().sum().item()]
    _answer["same"] = [optimizer.param_groups[0]["params"][0] is tied, model[0].weight is tied, loss.requires_grad]
    _answer["kinds"] = [type(weight).__name__, isinstance(weight, nn.Parameter), weight.requires_grad]
    """
    other = {"PT_HPU_LAZY_MODE": "1" if mode == "0" else "0"}
    carried = carry(source, then, probes=probes, before={"PT_HPU_LAZY_MODE": mode}, after=other, apart=True)
    assert carried.before["left"] == carried.after["left"] == {}
    assert carried.before["changed"] == {"loss": "has no autograd graph any more"}
    assert carried.after["differs"] == carried.after["not_compared"] == []
    assert carried.after["probes"] == carried.before["probes"]
    assert carried.after["devices"] == ["hpu:0"] * 6
    assert carried.after["shared"] == [9 * 7.0, 0x40E00000, 20.0]
    assert carried.after["same"] == [True, True, False]
    assert carried.after["kinds"][1:] == [True, True]

    checked = carry(
        source,
        then,
        probes=probes,
        before={"PT_HPU_LAZY_MODE": mode},
        after=other,
        load={"on_host": True},
        apart=True,
    )
    assert checked.after["devices"] == ["cpu"] * 6
    assert checked.after["differs"] == checked.after["not_compared"] == []
    assert checked.after["shared"] == carried.after["shared"]
    assert checked.after["kinds"] == ["Parameter", True, True]
