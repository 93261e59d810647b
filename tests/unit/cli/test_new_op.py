"""The folder that `gaudi-lab new-op` writes; nothing that was there is touched. `tests/processes` runs its tests."""

from __future__ import annotations

import pytest

from gaudi_lab.cli.main import main
from gaudi_lab.cli.new_op import write_operator
from gaudi_lab.errors import LabValueError


def test_what_it_writes(tmp_path):
    folder = write_operator("scaled_relu", tmp_path / "made", device="gaudi3")
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == [
        "README.md",
        "conftest.py",
        "device/hpu_scaled_relu.cpp",
        "device/scaled_relu_params.h",
        "device/setup.py",
        "scaled_relu.py",
        "test_scaled_relu.py",
        "tpc/CMakeLists.txt",
        "tpc/kernels/scaled_relu_f32_gaudi3.c",
        "tpc/src/glue.cpp",
    ]
    texts = {path: (folder / path).read_text() for path in files}
    assert not [path for path, text in texts.items() if "{{" in text or "NAME" in text]
    for path, text in texts.items():
        if path.endswith(".py"):
            compile(text, path, "exec")
    # Operator, glue code and kernel name the same things.
    guid = '"scaled_relu_f32_gaudi3"'
    assert guid in texts["device/hpu_scaled_relu.cpp"]
    assert guid in texts["tpc/src/glue.cpp"]
    assert "DEVICE_ID_GAUDI3" in texts["tpc/src/glue.cpp"]
    assert "ScaledReluParams" in texts["device/scaled_relu_params.h"]


def test_a_folder_that_is_there_is_not_touched(tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes").write_text("keep")
    with pytest.raises(LabValueError, match="is there already"):
        write_operator("scaled_relu", mine)
    assert main(["new-op", "scaled_relu", "--folder", str(mine)]) == 1
    assert "--folder OTHER" in capsys.readouterr().err
    assert [path.name for path in mine.iterdir()] == ["notes"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(("name", "device"), [("not a name", "gaudi2"), ("fine", "tpu")])
def test_what_cannot_be_is_said(tmp_path, name, device):
    with pytest.raises(LabValueError):
        write_operator(name, tmp_path / "made", device=device)
    assert not list(tmp_path.iterdir())


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new-op", "scaled_relu"]) == 0
    assert (tmp_path / "scaled_relu" / "scaled_relu.py").exists()
    assert "cd scaled_relu && pytest" in capsys.readouterr().out
