"""`HPUGraph`: a graph under capture, and its replay."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import torch

from gaudi_lab.emulator.device.tensor import HpuTensor
from gaudi_lab.emulator.lazy.capture import Capture
from gaudi_lab.emulator.lazy.record import tape
from gaudi_lab.emulator.process import flags

from ..utils.internal import is_lazy
from . import streams


class HPUGraph:
    """A captured graph: `capture_begin`, device work, `capture_end`, then `replay` as often as wanted.

    Raises
    ------
    RuntimeError
        In eager mode.
    """

    def __init__(self) -> None:
        if not is_lazy():
            raise RuntimeError("HPUGraph class is available in lazy mode only.")
        self._captured = Capture()
        self._stream: streams.Stream | None = None
        self._user_inputs: list[torch.Tensor] = []

    def capture_begin(self, dry_run: bool = False) -> None:
        """Start to capture. With `dry_run` nothing is computed until the first replay.

        Raises
        ------
        RuntimeError
            Another capture is open.
        """
        self._captured.begin(dry_run)
        flags.put("PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES", False)  # and never on again, as on hardware
        self._stream = streams.current_stream()

    def capture_end(self) -> None:
        """End the capture.

        Raises
        ------
        RuntimeError
            Another stream is in use than when the capture began.
        """
        if self._stream is not None and self._stream is not streams.current_stream():
            raise RuntimeError("GRAPH:: Capture must end on the same stream it began on.")
        self._captured.end()

    def replay(self, asynchronous: bool = False) -> None:
        """Run what was captured on the present contents of the same memory.

        Raises
        ------
        RuntimeError
            A capture is open.
        """
        self._captured.replay()

    def replayV2(
        self, static_tlist: Sequence[torch.Tensor], tlist: Sequence[torch.Tensor], asynchronous: bool = False
    ) -> None:
        """Replay with `tlist` read in place of the captured inputs `static_tlist`."""
        self._captured.replay(
            {
                old._cell: new._cell
                for old, new in zip(static_tlist, tlist, strict=True)
                if isinstance(old, HpuTensor) and isinstance(new, HpuTensor)
            }
        )

    def replayV3(self, tlistI: Sequence[torch.Tensor], asynchronous: bool = False) -> None:
        """Replay with `tlistI` read in place of the inputs given to `mark_user_inputs`."""
        self.replayV2(self._user_inputs, tlistI, asynchronous)

    def mark_user_inputs(self, static_tlist: Sequence[torch.Tensor]) -> None:
        """Say which captured tensors are the caller's inputs."""
        self._user_inputs = list(static_tlist)

    def mark_user_outputs(self, static_tlist: Sequence[torch.Tensor]) -> None:
        """Say which captured tensors the caller keeps: the graph lets go of the memory of all others."""
        self._captured.keep_only([x._cell for x in static_tlist if isinstance(x, HpuTensor)])

    def get_user_input_match_indices(self) -> list[int]:
        """Return the positions of those marked inputs that the graph reads."""
        read = self._captured.reads()
        return [
            position
            for position, x in enumerate(self._user_inputs)
            if isinstance(x, HpuTensor) and x._cell in read
        ]

    def clear_inputs(self) -> None:
        """Let go of the marked inputs."""
        self._user_inputs = []

    def reset(self) -> None:
        """Let go of the graph and its memory; an open capture ends."""
        self._captured.clear()

    def __del__(self) -> None:
        captured = getattr(self, "_captured", None)
        if captured is not None:
            captured.clear()


class graph:
    """Capture the device work of a `with` block into `hpu_graph`, on `stream` or on a stream of its own."""

    def __init__(
        self, hpu_graph: HPUGraph, stream: streams.Stream | None = None, dry_run: bool = False
    ) -> None:
        self.hpu_graph = hpu_graph
        self.dry_run = dry_run
        self._stream = streams.stream(stream or streams.Stream())

    def __enter__(self) -> None:
        """Begin the capture."""
        self._stream.__enter__()
        self.hpu_graph.capture_begin(dry_run=self.dry_run)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the capture."""
        self.hpu_graph.capture_end()
        self._stream.__exit__(kind, error, traceback)


def is_current_stream_capturing() -> bool:
    """Return True while a graph is captured."""
    return tape.capture is not None
