from __future__ import annotations

import os
import random
import warnings

from gaudi_lab.handover.surroundings import PARTS, Surrounding, gather, put_back

SOURCE = """
import os, random, sys, warnings, linecache
import numpy as np, torch, matplotlib
os.chdir({folder!r})
sys.path.insert(0, '/somewhere')
random.seed(3); np.random.seed(4); torch.manual_seed(5)
random.random(); np.random.rand(); torch.rand(1)
np.set_printoptions(precision=2); np.seterr(divide="raise")
torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False); torch.set_num_threads(2)
torch.use_deterministic_algorithms(True); torch.set_printoptions(precision=3)
warnings.filterwarnings("error", message="a message")
matplotlib.rcParams["lines.linewidth"] = 7.5
linecache.cache["<cell 3>"] = (4, None, ["1 / 0"], "<cell 3>")
from gaudi_lab.handover.surroundings import gather as gather_
around = gather_()
"""

THEN = """
import random
random.seed(99)
from gaudi_lab.handover.surroundings import put_back
failed = put_back(around)
import os, sys, warnings, linecache, numpy as np, torch, matplotlib
_answer["failed"] = failed
_answer["around"] = [
    os.getcwd(), sys.path[0], warnings.filters[0][0], random.random(), np.random.rand(), torch.rand(1).item(),
    np.get_printoptions()["precision"], np.geterr()["divide"], str(torch.get_default_dtype()),
    torch.is_grad_enabled(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(),
    torch._tensor_str.PRINT_OPTS.precision, matplotlib.rcParams["lines.linewidth"], linecache.getline("<cell 3>", 1),
]
"""

PROBE = {
    "next": "[__import__('random').random(), __import__('numpy').random.rand(), __import__('torch').rand(1).item()]"
}


def test_everything_around_the_names_comes_along(carry, tmp_path):
    carried = carry(SOURCE.format(folder=str(tmp_path)), THEN, probes=PROBE)
    assert carried.before["left"] == carried.after["left"] == {}
    assert carried.after["failed"] == []
    told = carried.after["around"]
    assert told[:3] == [str(tmp_path), "/somewhere", "error"]
    assert repr(told[3:6]) == carried.before["probes"]["next"]
    assert told[6:] == [2, "raise", "torch.float64", False, 2, True, 3, 7.5, "1 / 0"]


def test_a_part_that_cannot_be_put_back_is_told_and_the_rest_goes_on():
    def broken(state):
        raise ValueError("not today")

    before = random.getstate()
    more = (Surrounding("weather", "os", lambda: "rain", broken),)
    state = gather(more)
    random.random()
    failed = put_back({name: state[name] for name in ("weather", "state of random")}, more)
    assert failed == ("The weather could not be set: not today",)
    assert random.getstate() == before
    assert put_back({"of another version": 1}) == (
        "The of another version could not be set: this process does not know it",
    )


def test_a_part_that_cannot_be_read_is_told_and_the_rest_comes():
    def broken():
        raise OSError("no window")

    more = (Surrounding("weather", "os", broken, lambda state: None),)
    state = gather(more)
    assert state["working directory"] == os.getcwd()
    assert put_back({"weather": state["weather"]}, more) == (
        "The weather could not be set: it could not be read, no window",
    )


def test_gathering_changes_nothing():
    with warnings.catch_warnings():
        first = gather()
        assert first["working directory"] == os.getcwd()
        assert put_back({"warning filters": first["warning filters"]}) == ()
        assert list(warnings.filters) == first["warning filters"]
    assert len({part.name for part in PARTS}) == len(PARTS)
