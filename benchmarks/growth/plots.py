"""The curves of growth as small SVG files."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TITLES = {
    "batch": ("MiniLM, 32 tokens", "sentences in a batch", "time of a call, of CPU eager's"),
    "length": ("MiniLM, one sentence", "tokens", "time of a call, of CPU eager's"),
    "graph": ("small operators on 8 x 8 matrices", "operators in one program", "µs for an operator"),
}


def medians(curve: Mapping[str, Any]) -> dict[str, dict[int, float]]:
    """Return what is drawn: for each way, by size, the median ratio to CPU eager, or microseconds for an operator."""
    found: dict[str, dict[int, float]] = {}
    for text, ways in curve["sizes"].items():
        size = int(text)
        for name, times in ways.items():
            if curve["axis"] == "graph":
                value = statistics.median(times) / size * 1e6
            else:
                pairs = zip(times, ways["CPU eager"], strict=True)
                value = statistics.median([a / b for a, b in pairs])
            found.setdefault(name, {})[size] = value
    return found


def draw(curve: Mapping[str, Any], folder: Path) -> Path:
    """Write the plot of one curve into `folder`; return its file."""
    import matplotlib as mpl

    mpl.use("svg")
    # Text as text and no date: small files, which are the same for the same numbers.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "gaudi-lab", "font.size": 9})
    from matplotlib import pyplot as plt

    title, across, up = TITLES[curve["axis"]]
    figure, axes = plt.subplots(figsize=(4.2, 3.0), layout="constrained")
    for name, points in medians(curve).items():
        axes.plot(list(points), list(points.values()), marker=".", label=name)
    sizes = [int(x) for x in curve["sizes"]]
    axes.set_title(f"{title}, emulated on CPU", fontsize=9)
    axes.set(xlabel=across, ylabel=up, xscale="log", ylim=(0, None))
    axes.set_xticks(sizes, [f"{x:,}" for x in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    file = folder / f"growth_{curve['axis']}.svg"
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    return file
