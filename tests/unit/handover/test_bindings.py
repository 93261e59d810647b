from __future__ import annotations

import pytest

from gaudi_lab.handover.bindings import submodules_imported


@pytest.mark.parametrize(
    ("cell", "modules"),
    [
        ("import os.path, sys", {"os.path"}),
        ("def f():\n    import xml.etree.ElementTree\n    await g()", {"xml.etree.ElementTree"}),
        ("import xml.etree.ElementTree as tree\nfrom os import path", set()),
        ("import os.path as", set()),
    ],
)
def test_a_module_that_is_imported_without_a_name_of_its_own_is_found(cell, modules):
    assert submodules_imported(cell) == modules
