"""Close the capture that an error has left open, and say on the error what became of it."""

from __future__ import annotations

import traceback

from gaudi_lab import bridge
from gaudi_lab.errors import add_note, chain_of

CLOSED = (
    "Gaudi Lab: this ended the capture of an HPU graph. The unfinished graph was discarded and the capture is closed: "
    "other cells run as usual, and the next call with these shapes captures anew."
)
STILL_OPEN = (
    "Gaudi Lab: this ended the capture of an HPU graph, and something still holds the unfinished graph, so the capture "
    "is open: no other graph can be captured. Run: import gc; gc.collect(). If that does not help, restart the kernel."
)


def close_capture(error: BaseException) -> None:
    """Let go of the graph that `error` left under capture, and note on the error what became of it.

    The bridge has no `finally` there: its capture stays open until the graph object dies, and what keeps that alive is
    the traceback, which a notebook holds on to. Until then every operator goes into the dead graph, and no other graph
    can be captured. So the frames are let go here.

    To be called where the error is handled, only if no capture was open before the call that failed. An error
    outside of a capture, such as one in a replay, is left as it is.
    """
    if not bridge.capturing():
        return
    for link in chain_of(error):
        traceback.clear_frames(link.__traceback__)
    add_note(error, STILL_OPEN if bridge.capturing() else CLOSED)
