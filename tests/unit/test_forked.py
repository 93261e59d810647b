"""Programs that are forked run as programs of their own do."""

from tests.unit.forked import run_forked


def test_a_forked_program_is_a_fresh_process_for_the_bridge(tmp_path):
    (tmp_path / "here.py").write_text("value = 3")
    program = """
import sys
before = sorted({"gaudi_lab", "habana_frameworks"} & set(sys.modules)), "torch" in sys.modules
import here, habana_frameworks.torch as ht
import torch
print(before, __name__, sys.argv, here.value, ht.utils.internal.is_lazy(), torch.ones(1).to("hpu").device)
print("a complaint", file=sys.stderr)
import atexit
atexit.register(print, "the end")
sys.exit(4)
"""
    variables = {"GAUDI_LAB_EMULATE": "1", "PYTHONPATH": str(tmp_path)}
    for lazy in (1, 0):
        done = run_forked(program, "-x", environment={**variables, "PT_HPU_LAZY_MODE": str(lazy)})
        told = f"([], True) __main__ ['-c', '-x'] 3 {lazy == 1} hpu:0\nthe end\n"
        assert (done.returncode, done.stdout, done.stderr) == (4, told, "a complaint\n")


def test_one_that_dies_or_raises_says_so():
    assert run_forked("import os; os.kill(os.getpid(), 9)").returncode == -9
    raised = run_forked("import warnings\nwarnings.warn('told to nobody')\n1 / 0", quiet=True)
    assert raised.returncode == 1
    assert raised.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "told to nobody" not in raised.stderr


def test_what_is_forked_apart_shares_no_seed_with_the_others():
    one, same, other = [run_forked("print(hash('a'))", apart=apart).stdout for apart in (False, False, True)]
    assert one == same != other
