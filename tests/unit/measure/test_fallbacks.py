"""What ran on the host, by operator and line."""

import inspect
import json

import pytest
import torch
from torch import nn

import gaudi_lab
from gaudi_lab import bridge
from gaudi_lab.bridge import Counters, Identity
from gaudi_lab.measure.causes import fallbacks
from gaudi_lab.measure.causes.cause import Place
from gaudi_lab.measure.causes.fallbacks import MOST_LINES, Fallbacks, HostRun
from gaudi_lab.measure.causes.watching import watching
from gaudi_lab.measure.why import Why


class Picks(nn.Module):
    """How many values are positive, nobody knows beforehand."""

    def forward(self, x):
        return torch.nonzero(x > 0)


LINE = inspect.getsourcelines(Picks.forward)[1] + 1


@pytest.mark.parametrize("mode", ["lazy", "eager"])
def test_operators_are_counted_by_the_users_line(workbench, mode):
    model = Picks().to("hpu")
    gaudi_lab.mode(mode)
    x = torch.tensor([1.0, -1.0, 2.0]).to("hpu")
    model(x)  # nobody watches yet
    gaudi_lab.attach(model, "picks")
    watching.fallbacks.clear()
    for _ in range(3):
        model(x)
    (run,) = gaudi_lab.why().on_host
    assert (run.operator, run.count) == ("aten.nonzero.default", 3)
    assert run.source.line == LINE
    assert run.source.source == "return torch.nonzero(x > 0)"
    assert run.call.source == "model(x)"
    before = gaudi_lab.why()
    model(x)
    (later,) = gaudi_lab.why(since=before).on_host
    assert later.count == 1
    gaudi_lab.detach("picks")
    model(x)
    assert sum(run.count for run in watching.fallbacks.runs) == 4


class Mixed(nn.Module):
    """Of four operators two give as many numbers as the values want."""

    def forward(self, x, mask, places):
        return x[mask].sum() + x[places].sum() + torch.unique(x).sum() + x.sort().values.sum()


def test_eager_mode_counts_what_lazy_mode_counts(workbench):
    model = Mixed().to("hpu")
    arguments = [x.to("hpu") for x in (torch.randn(5), torch.arange(5) > 2, torch.tensor([0, 3]))]
    counted = {}
    for mode in ("lazy", "eager"):
        gaudi_lab.mode(mode)
        gaudi_lab.attach(model, "mixed")
        before, counters = gaudi_lab.why(), bridge.counters()
        for _ in range(2):
            model(*arguments).cpu()
        counted[mode] = [(run.operator, run.count) for run in gaudi_lab.why(since=before).on_host]
        assert bridge.counters().since(counters).fallback_operators == dict(counted[mode])
        gaudi_lab.detach("mixed")
    assert counted["eager"] == counted["lazy"] == [("aten.index.Tensor", 2), ("aten._unique2.default", 2)]


def test_what_is_compiled_does_not_fall_back(workbench, net):
    gaudi_lab.mode("compile")
    gaudi_lab.attach(net, "net")
    before = gaudi_lab.why()
    net(torch.ones(23, 4).to("hpu")).cpu()
    assert gaudi_lab.why(since=before).on_host == ()


def test_lines_are_bounded():
    counted = Fallbacks()
    namespace = {"counted": counted}
    for number in range(MOST_LINES + 50):
        exec(compile("\n" * number + "counted.note('aten.x')", f"/made/up_{number}.py", "exec"), namespace)
    assert len(counted.runs) == MOST_LINES + 1
    assert counted.runs[0] == HostRun("aten.x", 50)


SEEN = Why(
    emulated=True,
    on_host=(
        HostRun("aten.nonzero.default", 3, Place("", 2, cell=4, source="keep = x[x > 0]"), Place("a.py", 7)),
    ),
)


def test_text_html_and_records_tell_them():
    assert repr(SEEN).splitlines()[:2] == [
        "ran on the host       times  where",
        "aten.nonzero.default      3  cell 4, line 2 from a.py:7",
    ]
    assert "3 operators ran on the host" in str(SEEN)
    page = SEEN._repr_html_()
    assert "ran on the host" in page
    assert "keep = x[x &gt; 0]" in page
    (record,) = SEEN.to_records()
    assert (record["kind"], record["count"], record["seconds"]) == ("fallback", 3, None)
    assert record["why"] == "aten.nonzero.default ran on the host"
    assert record["source"] == "cell 4, line 2"
    (told,) = json.loads(SEEN.to_json())
    assert (told["operator"], told["source"]["cell"]) == ("aten.nonzero.default", 4)


def test_where_only_counters_tell_no_line_is_claimed(monkeypatch):
    monkeypatch.setattr(bridge, "identity", lambda: Identity(emulated=False, version="1.23.0"))
    monkeypatch.setattr(bridge, "counters", lambda: Counters(0, 0.0, 3, {"aten::a": 1, "aten::b": 2}))
    assert gaudi_lab.why().on_host == (HostRun("aten::b", 2), HostRun("aten::a", 1))
    assert fallbacks.of_counters({}) == ()
