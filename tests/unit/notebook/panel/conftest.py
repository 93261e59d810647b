"""An open panel, and a shell without a front end."""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import gaudi_lab
from gaudi_lab.notebook.panel.controller import Controller


@pytest.fixture
def panel(bert, workbench):
    Controller.forget()  # its log outlives panels
    workbench.attach(bert, "bert")
    shown = gaudi_lab.panel()
    yield shown
    shown.close()


@pytest.fixture
def shell():
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    yield shell
    InteractiveShell.clear_instance()
