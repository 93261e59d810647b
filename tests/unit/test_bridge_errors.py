"""The bridge's errors in plain words, with what the machine says beside them."""

import os
import subprocess
import sys

import pytest

from gaudi_lab.bridge_errors import plain_errors, plain_words
from gaudi_lab.errors import LabError
from gaudi_lab.machine import holders


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("synStatus=8 [Device not found] Device acquire failed.", "another notebook kernel"),
        ("Wrong PT plugin library loaded in the system. Expected was EAGER, got LAZY.", "Restart the kernel"),
        ("cpu fallback is not supported during hpu graph capturing", "no kernel for"),
    ],
)
def test_known_errors_are_put_into_plain_words_and_quoted(said, meaning):
    with pytest.raises(LabError, match=meaning) as caught, plain_errors():
        raise RuntimeError(said)
    assert said in str(caught.value)


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError) as caught, plain_errors():
        raise RuntimeError("shape mismatch")
    assert type(caught.value) is RuntimeError


def test_what_is_in_plain_words_already_is_not_explained_again():
    assert plain_words(LabError("The bridge said: Device acquire failed.")) is None


def test_the_process_that_holds_the_device_is_named(tmp_path):
    busy = RuntimeError("synStatus=20 [Device already acquired] Device acquire failed.")
    assert "it may be another user's, or in another container" in plain_words(busy).why
    code = "import sys; f = open(sys.argv[1], 'w'); print(flush=True); sys.stdin.read()"
    lock = tmp_path / f"{holders.LOCK_PREFIX}0-{os.getuid()}.lock"
    command = [sys.executable, "-c", code, lock]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert f"It is process {process.pid}, python" in plain_words(busy).why


def test_a_graph_that_did_not_compile_comes_with_what_the_logs_say(tmp_path, monkeypatch):
    monkeypatch.setenv("HABANA_LOGS", str(tmp_path))
    failed = RuntimeError("Graph compile failed. synStatus=synStatus 26 [Generic failure].")
    assert f"Nothing about it is in the logs below {tmp_path}" in plain_words(failed).why
    (tmp_path / "graph_compiler.log").write_text("[19:08:34.16][GC   ][error][tid:4] no kernel for TPC634\n")
    assert f"The logs below {tmp_path} say: GC: no kernel for TPC634." in plain_words(failed).why
