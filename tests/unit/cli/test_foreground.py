"""What `gaudi-lab` starts in its place."""

import sys

from gaudi_lab.cli.foreground import run_in_foreground


def test_a_program_that_takes_its_time_to_end_after_ctrl_c_is_waited_for():
    # From a terminal both have the signal.
    code = (
        "import os, signal, sys, time; time.sleep(0.3); os.kill(os.getppid(), signal.SIGINT); time.sleep(0.6)"
    )
    assert run_in_foreground([sys.executable, "-c", f"{code}; sys.exit(5)"]) == 5
