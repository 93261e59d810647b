"""The command `gaudi-lab`."""

import pytest

from gaudi_lab.cli.main import main


def test_without_a_command_it_says_which_there_are(capsys):
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_doctor_prints_its_report(capsys):
    assert main(["doctor"]) == 0
    assert "bridge" in capsys.readouterr().out
