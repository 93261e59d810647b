"""What Intel's software wrote just now is found, with the cause first. The lines are of a report that users made."""

import os
import time

import pytest

from gaudi_lab.machine import habana_logs

FAILED = """\
[19:07:01.000000][GC                    ][error][tid:44F8A] an error of an hour ago, as far as anybody knows
[19:08:34.164000][GC                    ][info ][tid:44F8A] loading kernels
[19:08:34.164951][GC                    ][error][tid:44F8A] Failed to load tpc kernel for node: TPC634, GUID: constant_bf16. Got error: GLUE_FAILED
[19:08:34.164986][PASS_MANAGER          ][error][tid:44F8A] Graph optimization failed pass: loadTpcKernels
[19:08:34.165002][SYN_RECIPE    ][error][tid:44F8A] compileGraph: Can not compile graph
[19:08:34.165033][SYN_API       ][error][tid:44F8A] synGraphCompile: SYN_API_CALL failed status: 26[synFail]
[19:08:34.165045][PT_BRIDGE       ][error][tid:44F8A] graph.cpp: 599Graph compile failed. synStatus=synStatus 26
"""  # noqa: E501


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.setenv("HABANA_LOGS", str(tmp_path))
    return tmp_path


def test_the_first_error_of_the_last_minute_comes_first_and_the_bridge_is_not_heard_again(logs):
    (logs / "0").mkdir()
    (logs / "0" / "graph_compiler.log").write_text(FAILED)
    found = habana_logs.errors_just_now()
    assert found == (
        "GC: Failed to load tpc kernel for node: TPC634, GUID: constant_bf16. Got error: GLUE_FAILED",
        "PASS_MANAGER: Graph optimization failed pass: loadTpcKernels",
        "SYN_RECIPE: compileGraph: Can not compile graph",
    )


def test_what_several_files_say_is_put_in_order_and_said_once(logs):
    lines = FAILED.splitlines(keepends=True)
    (logs / "synapse_log.txt").write_text("".join(lines[3:]))
    (logs / "graph_compiler.log").write_text(lines[2] + lines[3])
    assert [line.partition(":")[0] for line in habana_logs.errors_just_now(9)] == [
        "GC",
        "PASS_MANAGER",
        "SYN_RECIPE",
        "SYN_API",
    ]


def test_an_error_of_hours_before_is_not_told_where_the_file_has_gone_on(logs):
    later = "[22:08:34.164000][GC                    ][info ][tid:44F8A] loading kernels\n"
    (logs / "graph_compiler.log").write_text(FAILED + later)
    assert habana_logs.errors_just_now() == ()


def test_a_file_that_was_not_written_to_lately_says_nothing(logs):
    log = logs / "graph_compiler.log"
    log.write_text(FAILED)
    an_hour_ago = time.time() - 3600
    os.utime(log, (an_hour_ago, an_hour_ago))
    assert habana_logs.errors_just_now() == ()


def test_where_there_are_no_logs_there_are_no_errors(monkeypatch, tmp_path):
    monkeypatch.setenv("HABANA_LOGS", str(tmp_path / "absent"))
    assert habana_logs.errors_just_now() == ()
    monkeypatch.delenv("HABANA_LOGS")
    assert str(habana_logs.folder()) == "/var/log/habana_logs"
