from dataclasses import replace

from gaudi_lab import render
from gaudi_lab.bridge import Identity
from gaudi_lab.report import OperatorPlace, Operators, OperatorSaving, OperatorUse, PlainCall

PLACES = (
    OperatorPlace("layers.0.norm", "LlamaRMSNorm"),
    OperatorPlace("layers.1.norm", "<Norm>", "not established"),
)
USE = OperatorUse(
    "rms_norm",
    "FusedRMSNorm",
    "Normalises",
    model="net",
    places=PLACES,
    on=True,
    saving=OperatorSaving((1117, 92), (60_000, 53_450)),
    plain_calls=(PlainCall("rms_norm", "the data are empty", 3),),
)
MISSING = OperatorUse(
    "rotary", "rotary embedding", "Turns", missing="bridge 1.17 does not have it", model="net"
)
OPERATORS = Operators((USE, MISSING), Identity(True, "1.23.0"))


def test_a_table_says_where_how_many_and_what_is_saved():
    lines = repr(OPERATORS).splitlines()
    assert lines[0].split() == [
        "operator",
        "ask",
        "for",
        "model",
        "on",
        "places",
        "operator",
        "calls",
        "memory",
    ]
    assert "1 of 2 LlamaRMSNorm, <Norm>" in lines[1]
    assert "1,117 → 92" in lines[1]
    assert "58.6 KiB → 52.2 KiB" in lines[1]
    assert lines[3] == "rms_norm in net: not established, layers.1.norm"
    assert lines[4] == "net: 3 calls ran without rms_norm: the data are empty"
    assert lines[5] == "rotary: bridge 1.17 does not have it"
    assert lines[-1] == "emulated on CPU · bridge 1.23.0"


def test_html_has_the_same_and_the_paths_and_escapes_names():
    page = render.html(OPERATORS)
    assert "<script" not in page
    assert "layers.0.norm" in page
    assert "&lt;Norm&gt;" in page
    assert "<Norm>" not in page
    assert "1,117 → 92" in page


def test_what_was_not_measured_says_so():
    use = replace(USE, saving=None, not_measured="because the model has not been called yet", plain_calls=())
    shown = repr(Operators((use,), Identity(True, "1.23.0")))
    assert "rms_norm in net: not measured, because the model has not been called yet" in shown
    nowhere = replace(use, places=())
    assert "not known" in repr(Operators((nowhere,), Identity(True, "1.23.0")))
    assert "none" in repr(Operators((replace(nowhere, not_measured=""),), Identity(True, "1.23.0")))
    lazy = replace(USE, saving=OperatorSaving((2, 1)))
    assert "memory is measured in eager mode only" in repr(Operators((lazy,), Identity(True, "1.23.0")))


def test_one_line_names_what_there_is_and_what_is_on():
    assert str(OPERATORS) == "1 operator: FusedRMSNorm · rms_norm on in net · emulated on CPU · bridge 1.23.0"
