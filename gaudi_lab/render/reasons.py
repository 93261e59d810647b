"""How the causes of compiles are laid out."""

from __future__ import annotations

from gaudi_lab.measure.causes.cause import Place
from gaudi_lab.measure.causes.fallbacks import HostRun
from gaudi_lab.measure.causes.history import CauseCost
from gaudi_lab.measure.why import Why
from gaudi_lab.render import layout, units

NOTHING = "nothing was compiled"
MOST_UNUSED = 10
"""So many rows of graphs that nothing came of are shown, the dearest."""

_ONLY_PART = "Intel's bridge does not tell of recorded programs one by one: a warm-up counts them"


@layout.line.register
def _(why: Why) -> str:
    emulated = layout.NO_GAUDI_TIMES if why.costs else layout.EMULATED
    return layout.join(*_summary(why), emulated if why.emulated else "")


@layout.text.register
def _(why: Why) -> str:
    return "\n".join([*_text_of_causes(why), *_text_of_unused(why), *_text_of_host(why), str(why)])


def _text_of_causes(why: Why) -> list[str]:
    if not why.costs:
        return []
    rows = [(_took(cost), _times(cost), cost.cause.text, _where(cost), _what(cost)) for cost in why.costs]
    table = layout.table(("took", "times", "why", "where", "what"), rows, left={2, 3, 4})
    lines = [table[0]]
    for line, cost in zip(table[1:], why.costs, strict=True):
        lines.append(line)
        if cost.cause.remedy:
            lines.append(f"{'':{_indent(table[0])}}→ {cost.cause.remedy}")
    sites = _sites(why)
    return [*lines, *([f"by call: {sites}"] if sites else [])]


def _text_of_unused(why: Why) -> list[str]:
    unused = why.unused
    if not unused:
        return []
    shown = unused[:MOST_UNUSED]
    rows = [(str(x.count), units.seconds(x.seconds), x.cause.text, x.why) for x in shown]
    table = layout.table(("graphs", "took", "made for", "and then"), rows, left={2, 3})
    lines = [table[0]]
    for line, x in zip(table[1:], shown, strict=True):
        lines.append(line)
        if x.remedy and x.remedy != x.cause.remedy:  # the cause's own stands with it, above
            lines.append(f"{'':{table[0].index('made for')}}→ {x.remedy}")
    return [*lines, *([f"and {len(unused) - len(shown)} more"] if len(unused) > len(shown) else [])]


def _text_of_host(why: Why) -> list[str]:
    if not why.on_host:
        return []
    rows = [(run.operator, str(run.count), _lines(run.source, run.call) or "–") for run in why.on_host]
    return [*layout.table(("ran on the host", "times", "where"), rows, left={0, 2})]


@layout.html.register
def _(why: Why) -> str:
    rows = [
        {
            "took": _took(cost),
            "times": _times(cost),
            "why": cost.cause.text,
            "where": _where(cost),
            "source": cost.cause.source.source if cost.cause.source else "",
            "what": _what(cost),
            "remedy": cost.cause.remedy,
        }
        for cost in why.costs
    ]
    on_host = [
        {
            "operator": run.operator,
            "times": run.count,
            "where": _lines(run.source, run.call) or "–",
            "source": run.source.source if run.source else "",
        }
        for run in why.on_host
    ]
    unused = [
        {
            "graphs": x.count,
            "took": units.seconds(x.seconds),
            "made_for": x.cause.text,
            "then": x.why,
            "remedy": x.remedy,
        }
        for x in why.unused
    ]
    return layout.rendered(
        "why.html.j2",
        unused=unused[:MOST_UNUSED],
        more=max(len(unused) - MOST_UNUSED, 0),
        why=why,
        rows=rows,
        on_host=on_host,
        summary=layout.join(*_summary(why)),
        sites=_sites(why),
    )


def _summary(why: Why) -> list[str]:
    if not why.costs:
        return [NOTHING, _on_host(why.on_host), "" if why.complete else _ONLY_PART]
    again = why.again
    count = sum(cost.count for cost in again)
    return [
        f"{units.count(why.count, 'compile')} in {units.seconds(why.seconds)}",
        f"{count} of them again, in {units.seconds(sum(cost.seconds for cost in again))}" if count else "",
        *_unused(why),
        _on_host(why.on_host),
        "" if why.complete else _ONLY_PART,
    ]


def _unused(why: Why) -> list[str]:
    never, shadowed = (
        sum(graph.never_hit for graph in why.graphs),
        sum(bool(graph.shadow) for graph in why.graphs),
    )
    return [
        f"{units.count(never, 'graph')} never found again" if never else "",
        f"{units.count(shadowed, 'graph')} in the shadow of another" if shadowed else "",
    ]


def _on_host(runs: tuple[HostRun, ...]) -> str:
    return f"{units.count(sum(run.count for run in runs), 'operator')} ran on the host" if runs else ""


def _took(cost: CauseCost) -> str:
    return units.seconds(cost.seconds) if cost.seconds else "–"


def _times(cost: CauseCost) -> str:
    return f"{cost.count} ({cost.loaded} from disk)" if cost.loaded else str(cost.count)


def _what(cost: CauseCost) -> str:
    if len(cost.layers) < 2:
        return "".join(cost.layers)
    return ", ".join(f"{count} × {layer}" for layer, count in cost.layers.items())


def _where(cost: CauseCost) -> str:
    cause = cost.cause
    model = ".".join(filter(None, (cause.model, cause.module)))
    return layout.join(model, _lines(cause.source, cause.call)) or "–"


def _lines(source: Place | None, call: Place | None) -> str:
    return " from ".join(dict.fromkeys(str(place) for place in (source, call) if place is not None))


def _sites(why: Why) -> str:
    # Where an HPU graph was refused, nothing was compiled.
    sites = [site for site in why.sites if site.seconds]
    if len(sites) < 2:
        return ""
    return ", ".join(f"{site.call or 'elsewhere'} {units.seconds(site.seconds)}" for site in sites[:5])


def _indent(heads: str) -> int:
    return heads.index("why")
