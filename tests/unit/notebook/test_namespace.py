import pytest
from torch import nn

from gaudi_lab.errors import LabValueError
from gaudi_lab.notebook import namespace

Trainer = type("Trainer", (), {"__module__": "transformers.trainer"})


def test_models_are_found_by_name_and_parts_of_them_are_not(net):
    found = namespace.models({"x": 3, "net": net, "first": net[0], "again": net, "_": net, "_hidden": net})
    assert found == {"net": net}


def test_a_trainer_and_its_model_are_both_names_a_reader_may_use(net):
    trainer = Trainer()
    trainer.model = net
    assert list(namespace.models({"net": net, "trainer": trainer})) == ["net", "trainer"]


def test_what_is_on_the_device_is_attached_once(net, workbench):
    trainer = Trainer()
    trainer.model = net
    names = {"net": net, "trainer": trainer, "elsewhere": nn.Linear(2, 2)}
    namespace.attach_all(names)
    namespace.attach_all(names)
    assert list(workbench.models) == ["net"]


def test_an_unknown_name_lists_the_models_there_are(net):
    with pytest.raises(LabValueError, match=r"no model called nett\. This notebook has net\.") as caught:
        namespace.resolve("nett", {"net": net})
    assert caught.value.for_notebook().endswith("Run: %gaudi_attach net")
    with pytest.raises(LabValueError, match="no model yet"):
        namespace.resolve("net", {})
