"""An open panel, and a shell without a front end."""

import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import gaudi_lab
from gaudi_lab.notebook.panel.controller import Desk

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "diffusers"))  # its tiny pipelines


@pytest.fixture
def panel(bert, workbench):
    Desk._desks.clear()  # its log outlives panels
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
