"""Whatever goes wrong when a process is replaced: all is as it was, or the cell says what is missing and where."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Notebook
from replaced import RELAUNCH, hear, small_kernel

pytestmark = pytest.mark.kernel

NEW = "relaunch({'PLANTED': 'yes'}, title='old → new')"

# What it does when it is loaded: only in the process that checks, or only in the one that takes over.
FAILS = """
class Fails:
    def __init__(self, how): self.how = how
    def __setstate__(self, state):
        import os, signal, sys, time
        self.__dict__.update(state)
        arrived = 'ipykernel' in sys.modules
        if self.how == 'killed' and not arrived: os.kill(os.getpid(), signal.SIGKILL)
        if self.how == 'slow' and not arrived: open(self.begun, 'w').close(); time.sleep(60)
        if self.how == 'raises' and not arrived: raise ValueError('planted')
        if self.how == 'late' and arrived and 'FINE' not in os.environ: raise ValueError('planted')
        if self.how == 'dies' and arrived: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def small() -> Iterator[Notebook]:
    with small_kernel(PYTHONPATH=f"{Path(__file__).parent}:{Path(__file__).parents[2]}") as kernel:
        yield kernel


@pytest.fixture
def notebook(small: Notebook) -> Notebook:
    """A kernel with an object, a companion that holds it, and a mark on the process."""
    small.run("%reset -f")
    setup = f"""
{RELAUNCH}
import glob, os, sys, tempfile, planted_companion
os.environ.pop('PLANTED', None)
{FAILS}
class Thing: pass
thing = Thing()
companion = planted_companion.Planted(thing)
planted_companion.calls.clear()
sys.same_process = True
def snapshots():
    places = (tempfile.gettempdir(), '/dev/shm')
    return sorted(path for place in places for path in glob.glob(f'{{place}}/gaudi-lab-notebook-{{os.getpid()}}-*'))
"""
    assert small.run(setup).status == "ok"
    return small


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_all_is_as_it_was(notebook: Notebook, packed: bool = True) -> None:
    """Look whether the old process goes on, and whether the companion had taken its edits off meanwhile."""
    assert notebook.value("(sys.same_process, thing.mark, 'PLANTED' in os.environ)") == (True, "on", False)
    assert notebook.value("planted_companion.calls") == (["pack", "stay"] if packed else [])


WITH = NEW.replace("title", "companions=[companion], title")


@pytest.mark.parametrize(
    ("how", "says"),
    [("killed", "which ended with -9"), ("raises", "planted")],
)
def test_what_does_not_load_in_the_new_environment_is_refused(notebook, how, says):
    notebook.run(f"fails = Fails({how!r})\nbefore = snapshots()")
    failed, behind = hear(notebook, notebook.start(WITH), notebook.start("1"))
    assert says in failed.error
    assert "LabError" in failed.error
    assert behind.reply["status"] == "aborted"
    assert_all_is_as_it_was(notebook)
    assert notebook.value("snapshots() == before")


def test_an_interrupt_while_it_is_checked_leaves_all_as_it_was(notebook, tmp_path):
    begun = tmp_path / "begun"
    notebook.run(f"fails = Fails('slow'); fails.begun = {str(begun)!r}\nbefore = snapshots()")
    cell = notebook.start(WITH)
    wait_until(begun.exists)
    notebook.manager.interrupt_kernel()
    (heard,) = hear(notebook, cell)
    assert "KeyboardInterrupt" in heard.error
    assert_all_is_as_it_was(notebook)
    assert notebook.value("snapshots() == before")
    processes = notebook.value(
        "__import__('gaudi_lab.handover.kernel.bystanders', fromlist=['x'])._processes()"
    )
    assert processes == []


def test_an_interrupt_while_a_companion_packs_leaves_all_as_it_was(notebook):
    notebook.run("companion.slow = 60")
    cell = notebook.start(WITH)
    wait_until(lambda: "packing" in notebook.client.get_iopub_msg(timeout=60)["content"].get("text", ""))
    notebook.manager.interrupt_kernel()
    (heard,) = hear(notebook, cell)
    assert "KeyboardInterrupt" in heard.error
    assert_all_is_as_it_was(notebook)


def test_what_cannot_travel_is_named_and_can_be_given_up(notebook):
    notebook.run(
        "g = (x for x in range(3)); lock = __import__('threading').Lock(); fine = [1, 2]\n"
        "bound = [fine]; bad = [fine, lock]; big = [bound]"
    )
    (heard,) = hear(notebook, notebook.start(WITH))
    assert "g is a running generator" in heard.error
    assert "lock is a lock, which shares objects with fine, bound, bad, big\n" in heard.error
    assert heard.error.endswith(
        "Run: the same line with drop=['g', 'lock', 'bad']"
    )  # the others travel without these
    (again,) = hear(notebook, notebook.start(WITH.replace("title", "drop=['lock', 'g'], title")))
    assert again.error.endswith("with drop=['lock', 'g', 'bad']")  # the line that it takes is whole
    assert_all_is_as_it_was(notebook, packed=False)
    assert notebook.value("next(g)") == 0
    drop = "drop=['g', 'lock', 'bad', 'big'], title"
    (heard,) = hear(notebook, notebook.start(WITH.replace("title", drop)))
    assert "dropped g, lock, bad, big" in heard.text
    assert "what was dropped is kept for now: gaudi_lab.restore(names=['big'])" in heard.text
    assert notebook.value("('g' in globals(), 'big' in globals(), fine)") == (False, False, [1, 2])
    assert notebook.run("import gaudi_lab\ngaudi_lab.restore(names=['big'])").printed == "restored big\n"
    assert notebook.value("big") == [[[1, 2]]]


def test_a_name_is_bound_anew_by_its_cell_where_that_finds_what_it_found(notebook):
    notebook.run("size = 3")
    notebook.run("g = (n for n in range(size))\nprint('made')")
    notebook.run("next(g)")
    (heard,) = hear(notebook, notebook.start(NEW.replace("title", "rerun=['g'], title") + "\nlist(g)"))
    assert heard.shown == ["[0, 1, 2]"], heard.error
    assert "re-ran 1" in heard.text
    assert heard.text.count("made") == 1
    notebook.run("items = [1, 2]")
    notebook.run("g = iter(n for n in items); other = 1")
    (heard,) = hear(notebook, notebook.start(NEW.replace("title", "rerun=['g'], title")))
    assert "items is a list, and whether it has changed since is not known" in heard.error
    notebook.run("g = iter(n for n in range(size)); other = 1")
    notebook.run("other = 2")
    (heard,) = hear(notebook, notebook.start(NEW.replace("title", "rerun=['g'], title")))
    assert "would bind other anew too" in heard.error
    (heard,) = hear(
        notebook,
        notebook.start("g = iter(n for n in range(3))\n" + NEW.replace("title", "rerun=['g'], title")),
    )
    assert "which is running" in heard.error
    assert notebook.value("other") == 2


def test_what_is_not_there_cannot_be_given_up(notebook):
    (heard,) = hear(notebook, notebook.start(WITH.replace("title", "drop=['thimg', 'nowhere'], title")))
    assert "There is no nowhere and no thimg here to give up. Is it thing?" in heard.error
    assert heard.error.endswith("Everything is as it was. Run: %who")
    assert_all_is_as_it_was(notebook, packed=False)


def test_a_thread_and_a_process_are_named_and_can_be_given_up(notebook):
    notebook.run(
        "import threading, subprocess\n"
        "end = None\n"
        "threading.Thread(target=time.sleep, args=(60,), name='worker', daemon=True).start()\n"
        "number = subprocess.Popen(['sleep', '60']).pid"
    )
    number = notebook.value("number")
    (heard,) = hear(notebook, notebook.start(WITH))
    assert "the thread worker is running" in heard.error
    assert f"process {number}" in heard.error
    assert "sleep 60" in heard.error
    assert_all_is_as_it_was(notebook, packed=False)
    (heard,) = hear(
        notebook, notebook.start(NEW.replace("title", f"drop=['thread worker', 'process {number}'], title"))
    )
    assert heard.reply["status"] == "ok", heard.error
    notebook.run("os.kill(number, 9)")


def test_libraries_threads_do_not_hinder(notebook):
    notebook.run(
        "import asyncio, concurrent.futures\n"
        "await asyncio.get_running_loop().run_in_executor(None, int)\n"
        "%load_ext autoreload"
    )
    assert notebook.run(NEW).status == "ok"


def test_if_the_process_cannot_be_replaced_the_cell_says_so_and_how_to_restore(notebook):
    notebook.run(
        "os.execve = planted_companion.no_memory\n"
        "held = os.open(os.devnull, os.O_RDONLY); os.set_inheritable(held, True)"
    )
    failed, behind = hear(
        notebook, notebook.start(WITH + "\nprint('never')"), notebook.start("print('never')")
    )
    assert failed.kinds == ["busy", "execute_input", "error", "idle"]
    assert "Cannot allocate memory" in failed.error
    assert failed.reply["status"] == "error"
    assert behind.reply["status"] == "aborted"
    path = failed.error.partition("gaudi_lab.restore('")[2].partition("'")[0]
    assert Path(path).is_dir()
    assert_all_is_as_it_was(notebook)
    assert notebook.value("os.get_inheritable(held)") is True
    (heard,) = hear(
        notebook, notebook.start("os.execve = __import__('posix').execve; os.close(held); 'alive'")
    )
    assert heard.shown == ["'alive'"]
    cell = notebook.start("time.sleep(60)")
    time.sleep(0.5)
    notebook.manager.interrupt_kernel()
    assert "KeyboardInterrupt" in notebook.wait(cell).error
    (heard,) = hear(notebook, notebook.start("status = os.system('echo by another program')"), lasting=1.0)
    assert "by another program" in heard.text
    assert notebook.run(NEW).status == "ok"


def test_whatever_goes_wrong_once_the_cell_has_ended_it_is_answered(notebook):
    notebook.run(
        "from gaudi_lab.handover.kernel.passage import Passage\n"
        "write, Passage.write = Passage.write, planted_companion.broken"
    )
    failed, behind = hear(notebook, notebook.start(WITH), notebook.start("1"))
    assert "The new process could not be started: planted. Everything is as it was" in failed.error
    assert behind.reply["status"] == "aborted"
    assert_all_is_as_it_was(notebook)
    notebook.run("Passage.write = write\ndel write")
    notebook.run("get_ipython().history_manager.writeout_cache = planted_companion.broken")
    assert notebook.run(NEW).status == "ok"  # what cannot be added to the history is no reason to stay


def test_a_working_directory_that_is_gone_is_told(notebook, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    notebook.run(f"before = os.getcwd(); os.chdir({str(gone)!r})")
    gone.rmdir()
    assert "in the working directory, which is gone" in notebook.run(NEW).error
    assert notebook.run(f"os.chdir(before)\n{NEW}").status == "ok"


def test_what_does_not_load_after_all_is_named_and_the_rest_is_there(notebook):
    notebook.run("late = Fails('late'); other = [thing, 1]")
    failed, behind = hear(
        notebook, notebook.start(WITH + "\nprint('never')"), notebook.start("print('never')")
    )
    assert failed.kinds == ["busy", "execute_input", "stream", "error", "idle"]
    assert "late" in failed.error
    assert "planted" in failed.error
    assert "never" not in failed.text
    path = failed.error.partition("gaudi_lab.restore('")[2].partition("'")[0]
    assert Path(path).is_dir()
    assert behind.reply["status"] == "aborted"
    assert notebook.value("('late' in globals(), other[0] is thing, thing.mark)") == (False, True, "on again")
    line = failed.error.partition("Run: ")[2]
    restored = notebook.run(f"import gaudi_lab\nos.environ['FINE'] = '1'\n{line}")
    assert restored.printed == "restored Fails, late\n"
    assert notebook.run("del os.environ['FINE']").status == "ok"


def test_a_cell_that_fails_when_it_is_run_again_is_named(notebook):
    notebook.run("g = (n for n in range(1 // hasattr(sys, 'same_process')))")
    failed = notebook.run(NEW.replace("title", "rerun=['g'], title"))
    number = notebook.value("max(n for n, cell in enumerate(In) if cell.startswith('g ='))")
    assert f"g: cell {number}, which was to bind it anew, raised an error" in failed.error
    assert failed.error.endswith(f"the snapshot is kept. Run: %rerun {number}")


def test_a_cell_that_is_run_again_can_be_interrupted(notebook):
    notebook.run("print('made')\nif not hasattr(sys, 'same_process'): time.sleep(60)\ng = iter([1])")
    cell = notebook.start(NEW.replace("title", "rerun=['g'], title"))
    wait_until(lambda: "made" in notebook.client.get_iopub_msg(timeout=60)["content"].get("text", ""))
    notebook.manager.interrupt_kernel()
    (heard,) = hear(notebook, cell)
    assert "which was to bind it anew, raised an error" in heard.error
    assert notebook.value("(hasattr(sys, 'same_process'), 'g' in globals())") == (False, False)


def test_what_a_killed_process_did_not_bring_back_is_told_and_restored():
    with small_kernel() as lost:
        lost.run(FAILS)
        lost.run("work = [1, 2]; alias = work; dies = Fails('dies')")
        cell = lost.start(NEW)
        process = lost.manager.provisioner.process
        for _ in range(600):
            if process.poll() is not None:
                break
            time.sleep(0.1)
        assert process.poll() == -9, cell
    with small_kernel() as fresh:
        line = fresh.value("__import__('gaudi_lab.handover.notice', fromlist=['x']).left_behind()")
        path = line.partition("gaudi_lab.restore('")[2].partition("'")[0]
        assert f"-{process.pid}-" in path
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in Path(path).iterdir()} == {0o600}
        fresh.run(
            f"from gaudi_lab.handover import kept\nkept.restore({path!r}, names=['work'], into=globals())"
        )
        assert fresh.value("(work, alias is work)") == ([1, 2], True)
    shutil.rmtree(path)


def test_a_companion_comes_along_with_the_objects_that_it_shares(notebook):
    (heard,) = hear(notebook, notebook.start(WITH + "\n(thing.mark, planted_companion.calls)"))
    assert heard.shown == ["('on again', ['unpack'])"]
    assert "the mark is on again" in heard.text


def test_what_a_companion_holds_can_be_given_up_with_its_name(notebook):
    notebook.run("thing.lock = planted_companion.with_a_lock().lock")
    (heard,) = hear(notebook, notebook.start(WITH))
    assert heard.error.endswith("with drop=['thing', 'companion']")
    assert_all_is_as_it_was(notebook)
    (heard,) = hear(notebook, notebook.start(WITH.replace("title", "drop=['thing', 'companion'], title")))
    assert "there is nothing to mark" in heard.text, heard.error


def test_a_companion_can_be_given_up_itself(notebook):
    made = "companions=[planted_companion.Planted(planted_companion.with_a_lock())], title"
    (heard,) = hear(notebook, notebook.start(NEW.replace("title", made)))
    assert "the planted companion['thing'].lock is a lock" in heard.error
    assert heard.error.endswith("with drop=['the planted companion']")
    (heard,) = hear(notebook, notebook.start(NEW.replace("title", f"drop=['the planted companion'], {made}")))
    assert "dropped the planted companion" in heard.text, heard.error


def test_all_that_other_programs_print_is_read_in_the_new_process(notebook):
    notebook.run(NEW)
    print_much = "print('a line of text\\n' * 20_000)"  # more than a pipe holds
    cell = f"import subprocess\nended = subprocess.run([sys.executable, '-c', {print_much!r}])"
    (heard,) = hear(notebook, notebook.start(cell), lasting=2.0)
    assert heard.text.count("a line of text") == 20_000


def test_descriptors_are_closed_and_output_goes_where_it_should(notebook):
    notebook.run("held = os.open(os.devnull, os.O_RDONLY); os.set_inheritable(held, True)")
    (heard,) = hear(
        notebook, notebook.start(NEW + "\nprint('by Python')\nprint('as an error', file=sys.stderr)")
    )
    assert "by Python" in heard.text
    assert "as an error" in heard.text
    files = "[os.path.realpath(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if int(n) > 2]"
    assert "/dev/null" not in notebook.value(files)
    assert "by a process" in notebook.run("!echo by a process").printed


def test_an_unknown_ipykernel_is_refused(notebook):
    notebook.run("import ipykernel; version = ipykernel.version_info; ipykernel.version_info = (9, 0)")
    assert "is not known to survive" in notebook.run(NEW).error
    notebook.run("ipykernel.version_info = (6, 29)")
    assert "is not known to survive" in notebook.run(NEW).error
    notebook.run("ipykernel.version_info = version")
    assert notebook.run(NEW).status == "ok"


def test_from_a_thread_it_is_refused(notebook):
    notebook.run(
        "import threading\nerrors = []\n"
        "def work():\n"
        "    try: relaunch({}, title='')\n"
        "    except Exception as error: errors.append(str(error))\n"
        "t = threading.Thread(target=work); t.start(); t.join(); del t"
    )
    (error,) = notebook.value("errors")
    assert "from a thread" in error


def test_outside_of_a_kernel_the_line_to_start_instead_is_told():
    program = (
        "from gaudi_lab.handover.relaunching import relaunch\nrelaunch({'PT_HPU_LAZY_MODE': '0'}, title='')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "There is no notebook kernel here" in ended.stderr
    assert "PT_HPU_LAZY_MODE=0" in ended.stderr


def test_twenty_switches_in_a_row_leave_memory_and_descriptors_flat(notebook):
    notebook.run("payload = list(range(100_000)); alias = payload")
    sizes, descriptors = [], []
    for _ in range(20):
        assert notebook.run(NEW).status == "ok"
        resident, count = notebook.value(
            "(int(open('/proc/self/statm').read().split()[1]), len(os.listdir('/proc/self/fd')))"
        )
        sizes.append(resident * 4096)
        descriptors.append(count)
    print(sizes, descriptors)
    assert notebook.value("payload is alias and payload[-1]") == 99_999
    assert max(descriptors[1:]) - min(descriptors[1:]) <= 2
    assert max(sizes[5:]) - min(sizes[5:]) < 10e6
