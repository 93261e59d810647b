"""What the table of peers and the curves of growth say of the limits: nothing is measured here."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from growth.plots import medians
from peers import BARE_RECORDER, BARE_SUBCLASS, BY_STEPS, GRAPH_FUSED

from limits.limit import Limit

Case = Mapping[str, Any]

PEERS = ("PyTorch Inductor", "ONNX Runtime", "OpenVINO")
DEFAULTS = ("hpu lazy", "HPU graph", "hpu compile")
GRAPHS = ("HPU graph", "HPU graph, openvino", GRAPH_FUSED)
# Of CPU eager: a model as small as tiny BERT is nearly all dispatch.
STEADY = {"hpu lazy": (1.05, 1.3), "hpu eager": (1.3, 1.8)}
HUNDRED = ("minilm32", "unet", "bert")
FLAT = 1.2
CLOSE = 1e-4
LEAST = {
    "hpu eager": (BARE_SUBCLASS, "a tensor subclass in Python takes"),
    "hpu lazy": (BARE_RECORDER, "recording in Python and straight replay take"),
}


def read_limits(
    cases: Sequence[Case], curves: Sequence[Mapping[str, Any]], call: float | None = None
) -> list[Limit]:
    """Return the limits that follow. What was not measured has no row.

    Parameters
    ----------
    call
        The microseconds of a call around an HPU graph.
    """
    found = [_at_worst([_of_best_peer(case) for case in cases])]
    if call is not None:
        found.append(_at_worst([_of_openvino(case, call) for case in cases]))
    for name, (most, most_of_tiny) in STEADY.items():
        tiny = [case for case in cases if case["case"] == "tiny"]
        others = [case for case in cases if case["case"] != "tiny"]
        found += [
            _at_worst([_of_eager(case, name, most_of_tiny) for case in tiny]),
            _at_worst([_of_eager(case, name, most) for case in others]),
        ]
    for name in DEFAULTS:
        found.append(_at_worst([_hundred(case, name) for case in cases if case["case"] in HUNDRED]))
        found.append(_at_worst([_first_of_inductor(case, name) for case in cases]))
    found.append(_at_worst([_difference(case) for case in cases]))
    found += [_flat(curve, name) for curve in curves if curve["axis"] == "graph" for name in DEFAULTS[:2]]
    return [limit for limit in found if limit is not None]


def _at_worst(limits: Sequence[Limit | None]) -> Limit | None:
    """Return the limit of the model that comes off worst, with in how many it is met."""
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None
    met = sum(limit.met for limit in known)
    told = f"met in {met} of {len(known)} models, this is the worst" if len(known) > 1 else ""
    worst = max(known, key=lambda limit: limit.median)
    return worst._replace(note="; ".join([x for x in (told, worst.note) if x]))


def _of_best_peer(case: Case) -> Limit | None:
    """Hold the best of the default and OpenVINO, which a user would choose, against the best peer."""
    ours, peers = _measured(case, GRAPHS), _measured(case, PEERS)
    if not ours or not peers:
        return None
    best, peer = map(_quickest, (ours, peers))
    told = [_around_openvino(case, best)]
    if "OpenVINO" in peers and peer != "OpenVINO":
        told.append(f"OpenVINO's own call takes {_share(peers['OpenVINO'], peers[peer]):.2f}")
    return Limit(
        f"{best}, of the best peer, {peer}: {case['label']}",
        1.0,
        "",
        _ratios(ours[best], peers[peer]),
        "; ".join([x for x in told if x]),
    )


def _of_openvino(case: Case, call: float) -> Limit | None:
    """Hold the graph of OpenVINO against OpenVINO itself and the microseconds of a call around a graph."""
    ours, openvino = _measured(case, GRAPHS[1:]), _measured(case, ("OpenVINO",))
    if not ours or not openvino:
        return None
    best = _quickest(ours)
    own = [seconds + call / 1e6 for seconds in openvino["OpenVINO"]]
    return Limit(
        f"{best}, of OpenVINO and the {call:.0f} µs of a call around a graph: {case['label']}",
        1.0,
        "",
        _ratios(ours[best], own),
        _around_openvino(case, best),
    )


def _around_openvino(case: Case, name: str) -> str:
    """Say what of a call OpenVINO computes, and what lies around that: more than in calls one behind the other."""
    way, peer = case["ways"][name], _measured(case, ("OpenVINO",))
    inside = way.get("in_openvino")
    if not inside or not peer:
        return ""
    around = statistics.median([a - b for a, b in zip(way["times"], inside, strict=True)])
    return (
        f"its program takes {_share(inside, peer['OpenVINO']):.2f} of OpenVINO's own call, and {1e6 * around:.0f} µs "
        "lie around it, other models' calls in between"
    )


def _of_eager(case: Case, name: str, most: float) -> Limit | None:
    found = _measured(case, (name, "CPU eager"))
    if name not in found:
        return None
    limit = Limit(
        f"{name}, of CPU eager: {case['label']}", most, "", _ratios(found[name], found["CPU eager"])
    )
    return limit._replace(note=_least(case, name))


def _least(case: Case, name: str) -> str:
    """Say the least that a way can take, as a share of CPU eager; empty if nobody knows."""
    way, takes = LEAST.get(name, ("", ""))
    found = _measured(case, (way, "CPU eager"))
    if way not in found:
        return ""
    return f"{_share(found[way], found['CPU eager']):.2f} is the least that {takes}"


def _why_hundred(case: Case, name: str) -> str:
    """Say what a hundred calls are made of besides the first one."""
    found = _measured(case, (name, "CPU eager", BY_STEPS))
    shares = {way: _share(times, found["CPU eager"]) for way, times in found.items()}
    told = [f"a later one takes {shares[name]:.2f}", _least(case, name)]
    if BY_STEPS in shares:
        told.append(
            f"CPU eager with the bridge's attention, matmul, softmax, matmul, takes {shares[BY_STEPS]:.2f}"
        )
    if tracing := case["ways"][name].get("tracing", 0.0):
        told.insert(0, f"of which Dynamo traces {tracing:.1f} s")
    return "; ".join([x for x in told if x])


def _hundred(case: Case, name: str) -> Limit | None:
    found = _measured(case, (name, "CPU eager"))
    if name not in found:
        return None
    first, steady = case["ways"][name]["first"], statistics.median(found[name])
    hundred = (first + 99 * steady) / (100 * statistics.median(found["CPU eager"]))
    what = f"first hundred calls, of CPU eager's: {case['label']}, {name}"
    told = f"{first:.1f} s to the first result"
    limit = Limit(what, 1.0, "", [hundred], told)
    return limit if limit.met else limit._replace(note=f"{told}, {_why_hundred(case, name)}")


def _difference(case: Case) -> Limit | None:
    """Hold what the device computes against CPU eager: the way that differs most."""
    differs = {
        name: way["differs"]
        for name, way in case["ways"].items()
        if name.lower().startswith("hpu") and "differs" in way
    }
    if not differs:
        return None
    name = max(differs, key=lambda way: differs[way])
    what = f"difference from CPU eager, of the largest value: {case['label']}, {name}"
    return Limit(what, CLOSE, "", [differs[name]])


def _first_of_inductor(case: Case, name: str) -> Limit | None:
    found = _measured(case, (name, "PyTorch Inductor"))
    if len(found) < 2:
        return None
    first = [case["ways"][way]["first"] for way in (name, "PyTorch Inductor")]
    return Limit(
        f"first result, of PyTorch Inductor's: {case['label']}, {name}",
        1.0,
        "",
        [first[0] / first[1]],
        f"Inductor's takes {first[1]:.1f} s",
    )


def _flat(curve: Mapping[str, Any], name: str) -> Limit | None:
    points = medians(curve).get(name)
    if not points:
        return None
    small, large = min(points), max(points)
    return Limit(
        f"an operator in a program of {large:,}, of one of {small:,}: {name}, steady",
        FLAT,
        "",
        [points[large] / points[small]],
        f"{points[small]:.1f} and {points[large]:.1f} µs",
    )


def _measured(case: Case, names: Sequence[str]) -> dict[str, list[float]]:
    ways = {name: case["ways"].get(name, {}) for name in names}
    return {name: way["times"] for name, way in ways.items() if way.get("times")}


def _quickest(ways: Mapping[str, Sequence[float]]) -> str:
    return min(ways, key=lambda name: statistics.median(ways[name]))


def _share(one: Sequence[float], other: Sequence[float]) -> float:
    return statistics.median(_ratios(one, other))


def _ratios(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(one, other, strict=True)]
