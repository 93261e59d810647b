"""`%gaudi_ops` in a real kernel: shown, switched, typed wrong, run twice and out of order."""

import pytest

pytestmark = pytest.mark.kernel

MODEL = """
norm = nn.Sequential(nn.Linear(4, 4), nn.RMSNorm(4)).eval().requires_grad_(False).to("hpu")
"""


def test_it_is_shown_switched_and_undone(notebook):
    notebook.run(MODEL + "%gaudi_attach norm\nexpected = norm(x)")
    (shown,) = notebook.run("%gaudi_ops norm").shown
    assert "FusedRMSNorm" in shown["text/plain"]
    assert "1 RMSNorm" in shown["text/html"]
    assert "emulated on CPU" in shown["text/html"]
    first = notebook.run("%gaudi_ops on rms_norm norm").printed
    assert "norm: rms_norm on" in first
    assert "outputs" in first
    assert "nothing to change" in notebook.run("%gaudi_ops on rms_norm norm").printed
    assert notebook.value("bool((norm(x) - expected).abs().max() < 1e-6)")
    assert "rms_norm off" in notebook.run("%gaudi_ops off rms_norm norm").printed
    assert notebook.value("type(norm[1]) is nn.RMSNorm")


def test_what_is_typed_wrong_says_what_to_run(notebook):
    notebook.run(MODEL)
    for line, instead in {
        "%gaudi_ops on": "%gaudi_ops on rms_norm",
        "%gaudi_ops on rms norm": "%gaudi_ops on rms_norm",
        "%gaudi_ops rms_norm": "%gaudi_ops on rms_norm",
        "%gaudi_ops enable rms_norm": "%gaudi_ops on rms_norm",
        "%gaudi_ops on rms_norm norm": "norm(**batch)",
        "%gaudi_ops on rms_norm nrom": "%gaudi_attach",
    }.items():
        error = notebook.run(line).printed
        assert error.startswith("UsageError: "), line
        assert f"Run: {instead}" in error, line
    assert notebook.value("type(norm[1]) is nn.RMSNorm")


def test_the_model_is_as_it_was_after_unloading(notebook):
    notebook.run(MODEL + "%gaudi_attach norm\nnorm(x)\n%gaudi_ops on rms_norm")
    assert notebook.value("type(norm[1]) is nn.RMSNorm") is False
    notebook.run("%unload_ext gaudi_lab")
    assert notebook.value("type(norm[1]) is nn.RMSNorm")
    assert notebook.value("'_compiled_call_impl' in vars(norm)") is False
