"""Errors inside `backward()`: they come out of it as what they are, and no thread of it outlives Python.

Where C++ code of autograd meets an error of ours, such as a copy to the host that runs a recorded program which
fails, PyTorch leaves the exception pending in its thread and first takes its guards down. One of them asks the device
guard for its type, and the device guard of a Python backend is Python: a call with an exception pending either ends
in `std::terminate`, or loses the exception, and `backward()` raises a bare SystemError. So the device guard here takes
a pending exception into its hands, and `backward()` raises it.

A device's thread lets go of Python objects after `backward()` has returned or raised. Where Python ends meanwhile the
thread is ended too, in the middle of C++ code, and the process aborts. So the end of Python waits for it.
"""

from __future__ import annotations

import atexit
import ctypes
import sys
import time
import weakref
from typing import Any

import torch

_KEY = "hpu_backward_pass"
_PENDING = ctypes.pythonapi.PyErr_Occurred  # called while an exception is pending, it raises that exception
_TYPE = torch._C._autograd.DeviceType.PrivateUse1


class DeviceGuard(torch._C._acc.DeviceGuard):
    """Tells PyTorch's C++ code which device this is."""

    def type_(self) -> Any:
        """Return the type of the device, also while an exception is pending, which then waits for `Engine`."""
        try:
            _PENDING()
        except BaseException as error:
            if torch._C._is_key_in_tls(_KEY):
                torch._C._get_obj_in_tls(_KEY).taken.append(error)
        return _TYPE


class Pass:
    """One backward pass. Autograd's threads hold it while they work for the pass.

    Attributes
    ----------
    taken
        The exceptions that the device guard found pending.
    """

    def __init__(self) -> None:
        self.taken: list[BaseException] = []


_unfinished: weakref.WeakSet[Pass] = weakref.WeakSet()


class Engine(torch._C._ImperativeEngine):
    """PyTorch's engine of autograd, that raises what `DeviceGuard` had to take away."""

    def run_backward(self, *args: Any, **kwargs: Any) -> Any:
        """Run a backward pass; see `torch.autograd.graph`."""
        # Python that ends runs no other thread any more.
        alone = sys.is_finalizing()
        outer = torch._C._get_obj_in_tls(_KEY) if torch._C._is_key_in_tls(_KEY) else None
        own = Pass()
        _unfinished.add(own)
        # The threads of this pass, and only they, have what its caller puts here.
        torch._C._stash_obj_in_tls(_KEY, own)
        try:
            with torch.autograd.set_multithreading_enabled(
                not alone and torch._C._is_multithreading_enabled()
            ):
                return super().run_backward(*args, **kwargs)
        except SystemError:
            if not own.taken:
                raise
        finally:
            # Nothing may be left: a thread that ends with an object of Python's here waits for Python forever.
            if outer is None:
                torch._C._remove_obj_from_tls(_KEY)
            else:
                torch._C._stash_obj_in_tls(_KEY, outer)
        raise own.taken[0]


def _wait() -> None:
    """Wait until autograd's threads have let go of every pass, for one second at the most."""
    end = time.monotonic() + 1
    while len(_unfinished) and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(0.001)  # a pass is not the last thing that they let go of


def register() -> None:
    """Let every backward pass go through `Engine`, and the end of Python wait for its threads."""
    torch.autograd.Variable._execution_engine = Engine()
    atexit.register(_wait)
