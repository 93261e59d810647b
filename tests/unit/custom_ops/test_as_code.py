"""What a notebook exports of an operator defines it again in a fresh process."""

from __future__ import annotations

import itertools
import linecache
import os
import textwrap

import pytest
import torch

from gaudi_lab.errors import LabError
from tests.unit.forked import run_forked

_numbers = itertools.count(1)


def run_cell(source):
    """Run a cell of a notebook, and return the notebook's names."""
    source, file = textwrap.dedent(source), f"<cell {next(_numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = {"__name__": "__main__"}
    exec(compile(source, file, "exec", dont_inherit=True), names)
    return names


def run_script(operator, **options):
    """Return what the operator makes of one in another process, which has its code alone."""
    script = (
        f"import torch\n{operator.as_code()}\nprint({operator.__name__}(torch.ones(1, device='hpu')).item())"
    )
    out = run_forked(script, **options)
    assert not out.returncode, out.stderr
    return float(out.stdout)


def test_a_script_has_the_operator_and_what_its_helpers_need(cell):
    names = run_cell(
        """
        import functools
        import math
        from torch import nn

        scale, unused = 3.0, object()

        def twice(function):
            @functools.wraps(function)
            def wrapper(*args):
                return 2 * function(*args)
            return wrapper

        def quarter(x, divisor=scale + 1):
            return x / divisor

        @twice
        def helper(x):
            return quarter(nn.functional.relu(x))

        half = helper
        third = lambda x: x / scale
        """
    )
    operator = cell(
        "def NAME(x: Tensor) -> Tensor:\n    # it's a sixth\n    return third(half(x)) * math.pi * scale",
        names,
    )
    assert "unused" not in operator.as_code()
    assert run_script(operator) == pytest.approx(operator(torch.ones(1)).item())


def test_functions_of_modules_are_imported(cell, tmp_path, monkeypatch):
    (tmp_path / "helpers_under_test.py").write_text("import math\n\ndef helper(x):\n    return x * math.pi\n")
    monkeypatch.syspath_prepend(tmp_path)
    names = run_cell(
        """
        from torch import relu
        from torch.nn.functional import gelu, silu
        from helpers_under_test import helper as h
        """
    )
    operator = cell("def NAME(x: Tensor) -> Tensor: return h(silu(relu(gelu(x))))", names)
    code = operator.as_code()
    assert "from torch.nn.functional import silu as silu" in code
    assert "from helpers_under_test import helper as h" in code
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert run_script(operator, environment=environment) == pytest.approx(operator(torch.ones(1)).item())


def test_what_cannot_be_written_down_is_named(cell):
    operator = cell("def NAME(x: Tensor) -> Tensor: return x * weight", {"weight": torch.ones(2)})
    with pytest.raises(LabError, match="uses weight, a Tensor, which cannot be written down"):
        operator.as_code()


def test_a_name_of_two_values_is_refused(cell):
    """An operator keeps the values of when its cell ran, and a helper reads those of now."""
    names = run_cell("scale = 2.0\ndef helper(x):\n    return x * scale\n")
    operator = cell("def NAME(x: Tensor) -> Tensor: return helper(x) + scale", names)
    names["scale"] = 3.0
    with pytest.raises(LabError, match="two values of the name scale, which cannot be written down"):
        operator.as_code()
