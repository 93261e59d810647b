"""Every result as a line, as text and as HTML. To import this is to have all layouts registered."""

from gaudi_lab.render import states, timelines
from gaudi_lab.render.layout import EMULATED, NO_GAUDI_TIMES, html, line, text

__all__ = ["EMULATED", "NO_GAUDI_TIMES", "html", "line", "states", "text", "timelines"]
