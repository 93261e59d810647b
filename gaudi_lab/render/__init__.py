"""Text and HTML of Gaudi Lab's results, from the same data.

`line`, `text` and `html` lay out any result, and `plot` draws some; `timelines`, `reasons`, `forecasts`, `savings`,
`states`, `accounts`, `comparisons` and `operator_ticks` say how, by the means of `layout`; `units` writes numbers for
people; `templates/` and `style.css` hold the HTML.
"""

from gaudi_lab.render import (
    accounts,
    comparisons,
    forecasts,
    operator_ticks,
    reasons,
    savings,
    states,
    timelines,
)
from gaudi_lab.render.layout import EMULATED, NO_GAUDI_TIMES, html, line, plot, text

__all__ = [
    "EMULATED",
    "NO_GAUDI_TIMES",
    "accounts",
    "comparisons",
    "forecasts",
    "html",
    "line",
    "operator_ticks",
    "plot",
    "reasons",
    "savings",
    "states",
    "text",
    "timelines",
]
