"""An operator from a cell in a real kernel: run ten times, broken, mended, interrupted."""

from __future__ import annotations

import re
import time

import pytest

pytestmark = pytest.mark.kernel

CELL = """%%gaudi_op scaled_gelu
def scaled_gelu(x: Tensor, scale: float = 2.0) -> Tensor:
    return torch.nn.functional.gelu(x) * scale

def reference(x, scale=2.0):
    return torch.nn.functional.gelu(x) * scale
"""
OPERATORS = (
    "[n for n in torch._C._dispatch_get_all_op_names() if n.startswith('gaudi_lab_user::scaled_gelu')]"
)


def marks(reply):
    (shown,) = reply.shown
    rows = [line.split(maxsplit=1) for line in shown["text/plain"].splitlines()[1:-1]]
    return {name.split("  ")[0]: mark for mark, name in rows}


def test_the_cell_ten_times_leaves_one_operator_and_its_table(notebook):
    for _ in range(10):
        reply = notebook.run(CELL)
        assert reply.status == "ok", reply.error
    found = marks(reply)
    assert found["HPU graph"] == found["float64 reference"] == found["schema"] == "✓"
    assert found["gradient"] == "–"
    assert "✗" not in found.values()
    assert notebook.value(OPERATORS) == ["gaudi_lab_user::scaled_gelu"]
    assert "emulated on CPU" in reply.shown[0]["text/html"]
    assert notebook.value("scaled_gelu(torch.ones(1, device='hpu')).tolist()[0]") == pytest.approx(1.6826895)
    assert notebook.run("%gaudi_mode").printed.startswith("eager mode")  # as before the checks
    assert notebook.value("[n for n in ('reference', 'Tensor') if n in globals()]") == []


def test_a_broken_cell_says_where_and_leaves_the_old_one(notebook):
    notebook.run(CELL)
    for broken, says in (
        (CELL.replace("-> Tensor:", "-> Tensor"), "line 2: expected ':'"),
        (CELL.replace("x: Tensor", "x"), "needs types"),
        (CELL.replace("def scaled_gelu", "def gelu"), "no function scaled_gelu"),
    ):
        reply = notebook.run(broken)
        assert reply.status == "error"
        assert says in reply.printed
        assert "Traceback" not in reply.printed
        assert notebook.run("scaled_gelu(torch.ones(1))").status == "ok"
    raising = notebook.run(CELL.replace("gelu(x) * scale\n\n", "gelu(x) @ undefined\n\n"))
    assert marks(raising)["it runs"] == "✗"
    assert "line 3" in raising.shown[0]["text/plain"]
    mended = notebook.run(CELL)
    assert "✗" not in marks(mended).values()


def test_the_line_of_the_cell_is_in_a_traceback(notebook):
    notebook.run(
        "%%gaudi_op --unchecked fails\ndef fails(x: Tensor) -> Tensor:\n    y = x + 1\n    return y @ y\n"
    )
    reply = notebook.run("fails(torch.ones(2, 3))")
    assert reply.status == "error"
    shown = re.sub(r"\x1b\[[\d;]*m", "", reply.traceback)
    assert "return y @ y" in shown
    assert "<gaudi_op fails>" in shown


def test_a_variable_of_that_name_is_not_lost(notebook):
    notebook.run("scaled_gelu = 3")
    reply = notebook.run(CELL)
    assert reply.status == "error"
    assert "Run: del scaled_gelu" in reply.printed
    assert notebook.value("scaled_gelu") == 3


def test_an_interrupt_leaves_mode_and_operator(notebook):
    notebook.run(CELL)
    slow = CELL.replace("    return torch.nn", "    time.sleep(0.7)\n    return torch.nn", 1)
    notebook.run("import time")
    running = notebook.start(slow)
    time.sleep(4)
    notebook.manager.interrupt_kernel()
    reply = notebook.wait(running)
    assert reply.status == "error"
    assert "KeyboardInterrupt" in reply.error
    assert notebook.run("%gaudi_mode").printed.startswith("eager mode")
    assert notebook.run("scaled_gelu(torch.ones(1, device='hpu')).cpu()").status == "ok"
    r = notebook.run(CELL)
    assert "✗" not in marks(r).values(), r.shown[0]["text/plain"]


def test_help_and_unload(notebook):
    assert "--cpp" in notebook.run("%gaudi_op -h").printed
    assert "%%gaudi_op" in notebook.complete("%%gaudi_o")
    notebook.run(CELL)
    assert marks(notebook.run("%gaudi_op scaled_gelu"))["lazy"] == "✓"
    assert "There is no operator gelu" in notebook.run("%gaudi_op gelu").printed
    notebook.run("%unload_ext gaudi_lab")
    assert notebook.run(CELL).status == "error"
