import pytest

from gaudi_lab.notebook.completion import complete


def offered(text, workbench=None, user_ns=None):
    return [completion.text for completion in complete(text, user_ns or {})["completions"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%gaudi_mode ", ["lazy", "eager", "compile"]),
        ("%gaudi_mode l", ["lazy"]),
        ("%gaudi_mode lazy ", []),
        ("  %gaudi_graphs o", ["on", "off"]),
        ("%gaudi_graphs on ", ["net", "--verify"]),
        ("%gaudi_sdpa on ", ["net", "--recompute", "--no-recompute", "--softmax"]),
        ("%gaudi_sdpa on net --softmax ", ["fast", "fp32"]),
        ("%gaudi_attach ", ["net", "--detach"]),
        ("%%gaudi_warmup -", ["-n", "--until-steady"]),
        ("print(gaudi_mode ", []),
    ],
)
def test_what_can_follow_is_offered(net, text, expected):
    assert offered(text, user_ns={"net": net}) == expected


def test_models_attached_from_python_are_offered_too(net, workbench):
    workbench.attach(net, "mine")
    assert offered("%gaudi_graphs on ") == ["mine", "--verify"]


def test_only_an_expression_to_measure_is_left_to_python():
    assert complete("%gaudi_mode xyz", {})["suppress"]
    assert not complete("%gaudi_warmup -n 3 le", {})["suppress"]
