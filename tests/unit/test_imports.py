import subprocess
import sys

from tests.unit.forked import run_forked


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_gaudi_lab_imports_none_of_the_heavy_packages():
    code = "import sys, gaudi_lab; print({'torch', 'habana_frameworks', 'IPython'} & set(sys.modules))"
    assert python(code) == "set()"


def test_it_takes_under_a_tenth_of_a_second():
    code = "import time; start = time.process_time(); import gaudi_lab; print(time.process_time() - start)"
    # Of the processor, and the best of several: the machine may be busy.
    assert min(float(python(code)) for _ in range(3)) < 0.1


def test_the_state_can_be_asked_for_without_loading_torch():
    code = "import sys, gaudi_lab; print(gaudi_lab.status()); print('torch' in sys.modules)"
    status, torch = python(code).splitlines()
    assert status.startswith("eager mode · no model attached · emulated on CPU")
    assert torch == "False"


def test_every_public_name_is_there_and_documented():
    code = """
import gaudi_lab
for name in gaudi_lab.__all__:
    assert getattr(gaudi_lab, name).__doc__, name
print(callable(gaudi_lab.warmup), gaudi_lab.warmup.__doc__.split(".")[0])
"""
    done = run_forked(code, libraries=["transformers.trainer", "diffusers"])
    assert not done.returncode, done.stderr
    assert done.stdout.startswith("True Run something repeatedly")


def test_warmup_can_be_called_after_its_modules_are_imported():
    code = "import gaudi_lab.measure.recorder, gaudi_lab; print(len(gaudi_lab.warmup(dict, n=2).iterations))"
    assert python(code) == "2"


def test_a_name_that_does_not_exist_is_an_attribute_error():
    code = "import gaudi_lab\ntry: gaudi_lab.nothing\nexcept AttributeError as e: print(e)"
    assert python(code) == "module 'gaudi_lab' has no attribute 'nothing'"
