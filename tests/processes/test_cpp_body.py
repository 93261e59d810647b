"""Bodies in C++: compiled once, with the faults that only they can have."""

from __future__ import annotations

import pickle
import textwrap

import pytest
import torch

from gaudi_lab import bridge
from gaudi_lab.custom_ops import define
from gaudi_lab.custom_ops.builds import cpp_body
from gaudi_lab.errors import LabError

pytest.importorskip("ninja")

pytestmark = pytest.mark.inductor  # compiles C++

# One source for all: the body of each operator is one of its functions, and is compiled with the others.
FAULTS = """
torch::Tensor right(const torch::Tensor& x, double scale) {
  auto from = x.contiguous();
  auto out = torch::empty_like(from);
  const float* in = from.data_ptr<float>();
  float* to = out.data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i) to[i] = in[i] * scale;
  return out;
}
torch::Tensor ignores_strides(const torch::Tensor& x) {
  auto out = torch::empty(x.sizes(), x.options());
  for (int64_t i = 0; i < x.numel(); ++i) out.data_ptr<float>()[i] = x.data_ptr<float>()[i] * 2;
  return out;
}
torch::Tensor reads_beyond(const torch::Tensor& x) {
  auto from = x.contiguous();
  auto out = torch::empty_like(from);
  for (int64_t i = 0; i < x.numel(); ++i) {
    out.data_ptr<float>()[i] = from.data_ptr<float>()[i] + 0 * from.data_ptr<float>()[i + 1];
  }
  return out;
}
torch::Tensor writes_beyond(const torch::Tensor& x) {
  auto from = x.contiguous();
  auto out = torch::empty_like(from);
  for (int64_t i = 0; i <= x.numel(); ++i) out.data_ptr<float>()[i] = 1;
  return out;
}
torch::Tensor writes_into_its_input(const torch::Tensor& x) {
  if (x.numel()) x.data_ptr<float>()[0] = 7;
  return x * 2;
}
torch::Tensor crashes_when_empty(const torch::Tensor& x) {
  auto out = x.clone();
  if (!x.numel()) *static_cast<volatile float*>(nullptr) = 1;
  return out;
}
"""

NAMES = [
    "right",
    "ignores_strides",
    "reads_beyond",
    "writes_beyond",
    "writes_into_its_input",
    "crashes_when_empty",
]


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    """Build all of them in one go, by the way that every body goes."""
    bridge.load()
    patch = pytest.MonkeyPatch()
    patch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path_factory.mktemp("built")))
    body = "torch::Tensor all_faults(const torch::Tensor& x, double scale, int64_t which) {\n" + "".join(
        f"  if (which == {number}) return {name}(x{', scale' if name == 'right' else ''});\n"
        for number, name in enumerate(NAMES)
    )
    source = FAULTS + body + "  return x;\n}\n"
    python = "def shape(x, scale, which): return torch.empty(x.shape, dtype=x.dtype, device=x.device)\n"
    yield define.from_cell("all_faults", python, {}, cpp=source)
    patch.undo()


def crosses(operators, name):
    checks = operators.check(torch.randn(4, 6), 2.0, NAMES.index(name))
    return [tick.name for tick in checks.ticks if tick.passed is False]


def test_the_types_and_names_are_those_of_the_function(operators):
    assert operators.schema == "all_faults(Tensor x, float scale, int which) -> Tensor"


@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
def test_it_runs_on_the_device_through_the_host(operators, lazy):
    x = torch.randn(3, 4)
    with bridge.in_mode(lazy=lazy):
        assert torch.equal(operators(x.to("hpu"), 3.0, 0).cpu(), x * 3.0)


def test_a_right_one_has_no_cross_but_for_what_it_does_not_take(operators):
    assert crosses(operators, "right") == ["bfloat16"]


@pytest.mark.parametrize(
    ("name", "tick"),
    [
        ("ignores_strides", "strided inputs"),
        ("reads_beyond", "NaN-filled padding"),
        ("writes_beyond", "out of bounds"),
        ("writes_into_its_input", "schema"),
        ("crashes_when_empty", "empty inputs"),
    ],
)
def test_each_fault_is_found_by_its_tick(operators, name, tick):
    assert tick in crosses(operators, name)


def test_it_is_compiled_once(operators, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("compiled again")

    monkeypatch.setattr(torch.utils.cpp_extension, "load_inline", fail)
    before = cpp_body.cached_library("all_faults", operators.definition.cpp).stat().st_mtime_ns
    again = pickle.loads(pickle.dumps(operators))
    assert again is operators
    assert cpp_body.cached_library("all_faults", operators.definition.cpp).stat().st_mtime_ns == before
    assert cpp_body.cached_library("all_faults", operators.definition.cpp + " ") != cpp_body.cached_library(
        "all_faults", operators.definition.cpp
    )


# All of PyTorch's headers take the compiler ten seconds and more, and it says the same below a few of them.
FEW_HEADERS = """\
#include <ATen/core/Tensor.h>
namespace torch {{ using at::Tensor; }}
#line {line} "{file}"
{source}
"""


def test_an_error_of_the_compiler_has_the_users_line(operators, monkeypatch):
    monkeypatch.setattr(cpp_body, "_HEADER", FEW_HEADERS)
    source = textwrap.dedent(
        """\
        torch::Tensor broken(const torch::Tensor& x) {
          return x * undeclared;
        }
        """
    )
    with pytest.raises(
        LabError, match=r"line 3: .undeclared. was not declared[\s\S]*return x \* undeclared;\n +\^"
    ):
        define.from_cell("broken", "", {}, cpp=source)
    assert not list(cpp_body.cached_library("broken", source).parent.glob("broken*"))
