import pytest
from torch.utils.data import DataLoader

from gaudi_lab.notebook.completion import COMPARE_OPTIONS, complete


def offered(text, workbench=None, user_ns=None):
    return [completion.text for completion in complete(text, user_ns or {})["completions"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%gaudi_mode ", ["lazy", "eager", "compile"]),
        ("%gaudi_mode l", ["lazy"]),
        ("%gaudi_mode lazy ", ["--relaunch", "--drop", "--rerun"]),
        ("%gaudi_relaunch ", ["--env", "--drop", "--rerun"]),
        ("%gaudi_relaunch --drop ", ["net", "--rerun"]),
        ("%gaudi_relaunch --drop net n", []),
        ("%gaudi_compare ", ["net", *COMPARE_OPTIONS]),
        ("%gaudi_compare --rounds 3 n", ["net"]),
        ("%gaudi_compare --method r", ["resident", "ray"]),
        ("%gaudi_export --form h", ["habana_frameworks"]),
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


def test_of_a_forecast_the_loaders_come_first_and_then_the_models(net):
    names = {"net": net, "loader": DataLoader([1]), "_hidden": DataLoader([1])}
    assert offered("%gaudi_forecast ", user_ns=names) == ["loader", "--epochs", "--most"]
    assert offered("%gaudi_forecast loader ", user_ns=names) == ["net", "--epochs", "--most"]


def test_models_attached_from_python_are_offered_too(net, workbench):
    workbench.attach(net, "mine")
    assert offered("%gaudi_graphs on ") == ["mine", "--verify"]


def test_only_an_expression_to_measure_is_left_to_python():
    assert complete("%gaudi_mode xyz", {})["suppress"]
    assert not complete("%gaudi_warmup -n 3 le", {})["suppress"]
