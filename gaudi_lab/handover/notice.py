"""What a fresh kernel tells of a notebook that did not arrive."""

from __future__ import annotations

from gaudi_lab.handover import kept


def left_behind() -> str | None:
    """Return a line about the newest snapshot that nobody came for; None if there is none.

    It lies there when a process was ended after it had been left and before the notebook was in the new one, or while
    it was written.
    """
    found = kept.orphans()
    if not found:
        return None
    line = f"gaudi_lab.restore({str(found[0].path)!r})"
    if not found[0].finished:
        return f"A notebook's process was killed while it was being saved. To have what was saved by then: {line}"
    return f"A notebook was saved for a process that never came. To have it: {line}"
