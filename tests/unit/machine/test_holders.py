"""Who has a device open is found out by what every process has open."""

import os
import subprocess
import sys
import time

import pytest

from gaudi_lab.machine import holders

if not sys.platform.startswith("linux"):
    pytest.skip("processes can be looked at below /proc only", allow_module_level=True)

OPENS_AND_WAITS = "import sys; file = open(sys.argv[1], 'w'); print('open', flush=True); sys.stdin.read()"


@pytest.fixture
def opened_by(tmp_path):
    """Starts a process that has a file open, and waits until it has."""
    started = []

    def start(name, *arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-c", OPENS_AND_WAITS, tmp_path / name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.communicate()


def found(process):
    return next((holder for holder in holders.find() if holder.process == process.pid), None)


def test_a_process_is_found_while_it_has_the_device_open(opened_by):
    process = opened_by(f"{holders.LOCK_PREFIX}0-1000.lock")
    holder = found(process)
    assert holder.what.startswith("python")
    assert abs(holder.since - time.time()) < 60
    assert f"process {process.pid}, {holder.what}, started " in str(holder)
    process.communicate()
    assert found(process) is None


def test_what_else_a_process_has_open_is_no_device(opened_by):
    assert found(opened_by("gaudi-lab.lock")) is None


@pytest.mark.parametrize(
    ("file", "is_device"),
    [
        ("/dev/accel/accel0", True),
        ("/dev/accel/accel7", True),
        ("/dev/hl3", True),
        ("/dev/accel/accel1", False),  # of another maker, such as a laptop's NPU
        ("/dev/accel/accel2", False),  # whose it is is not known
        ("/dev/accel/accel_controlD0", False),  # a monitor, such as hl-smi
        ("/dev/hl_controlD0", False),
        ("/dev/hlx", False),
    ],
)
def test_the_drivers_files_for_work_count_and_those_for_watching_do_not(
    tmp_path, monkeypatch, file, is_device
):
    monkeypatch.setattr(holders, "_ACCELERATORS", tmp_path)
    for accelerator, vendor in (("accel0", "0x1da3"), ("accel1", "0x8086"), ("accel7", "0x1da3")):
        (tmp_path / accelerator / "device").mkdir(parents=True)
        (tmp_path / accelerator / "device" / "vendor").write_text(f"{vendor}\n")
    descriptors = tmp_path / "fd"
    descriptors.mkdir()
    (descriptors / "5").symlink_to(file)
    assert holders._has_device_open(tmp_path) is is_device


def test_a_kernel_is_called_after_its_notebook(opened_by):
    lock = f"{holders.LOCK_PREFIX}0-1000.lock"
    named = opened_by(lock, "ipykernel_launcher", JPY_SESSION_NAME="work/train.ipynb")
    nameless = opened_by(lock, "ipykernel_launcher")
    assert found(named).what == "the kernel of work/train.ipynb"
    assert found(nameless).what == "a notebook's kernel"


def test_a_process_does_not_find_itself(tmp_path):
    with (tmp_path / f"{holders.LOCK_PREFIX}0-1000.lock").open("w"):
        assert os.getpid() not in [holder.process for holder in holders.find()]
