import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from gaudi_lab import render
from gaudi_lab.bridge import Counters, Identity, Memory
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.timeline import Iteration, Timeline
from gaudi_lab.report import CapturedGraph, Change, GraphRefusal, ModelChange, ModelStatus, Status
from gaudi_lab.settings import Mode, Settings
from gaudi_lab.shapes import Shape

SUMMARY = (
    "warm-up 2.00 s · 2 graphs compiled in 1.50 s · 47% compiling · steady after 1 run · "
    "then 600 ms ± 50.0 ms (2 runs) · emulated on CPU, these are not Gaudi times"
)

LAZY = Settings(Mode.LAZY, hpu_graphs=True)

TIMELINE = Timeline(
    (
        Iteration(1, 2.0, 2, 1.5, causes=(Cause("shape", "new shape <3×4>"),)),
        Iteration(2, 0.5),
        Iteration(3, 0.7),
    ),
    settings="lazy",
    emulated=True,
)

STATUS = Status(
    mode=Mode.LAZY,
    bridge=Identity(emulated=True, version="1.23.0"),
    loaded=True,
    models=(
        ModelStatus(
            "minilm",
            "BertModel",
            "hpu",
            22_713_216,
            LAZY,
            "sdpa",
            (
                CapturedGraph(
                    "", (Shape("input_ids", (8, 14)), Shape("attention_mask", (8, 14))), 3, 2_500_000
                ),
            ),
        ),
    ),
    counters=Counters(4, 0.25, 2, {"aten::nonzero": 2}),
    memory=Memory(90_900_000, 91_000_000, 96 << 30),
)

CHANGE = Change(
    Mode.EAGER, Mode.LAZY, (ModelChange("minilm", Settings(), LAZY),), ("so it is",), emulated=True
)


class Text(HTMLParser):
    """The text of a page, with the structure a screen reader would find."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.rows = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open and data.strip():
            self.text.append(data.strip())
            if "tr" in self.open:
                self.rows[-1].append(data.strip())


def test_a_timeline_in_text_is_a_table_and_a_summary():
    assert repr(TIMELINE).splitlines() == [
        "lazy",
        "run  wall time  compiled  compile time  what was new",
        "  1     2.00 s         2        1.50 s  new shape <3×4>",
        "  2     500 ms         –             –  –",
        "  3     700 ms         –             –  –",
        SUMMARY,
    ]


def test_a_timeline_in_html_has_the_same_rows_and_reads_without_script():
    page = render.html(TIMELINE)
    assert "<script" not in page
    rows = Text(page).rows
    assert [row[:5] for row in rows[1:]] == [
        ["1", "2.00 s", "2", "1.50 s", "new shape <3×4>"],
        ["2", "500 ms", "–", "–", "–"],
        ["3", "700 ms", "–", "–", "–"],
    ]


def test_bars_part_compiling_from_the_rest_on_one_scale():
    widths = [float(w) for w in re.findall(r"width: ([\d.]+)%", render.html(TIMELINE))]
    assert widths == [75.0, 25.0, 25.0, 35.0]


def test_what_a_user_named_is_escaped():
    status = replace(STATUS, models=(replace(STATUS.models[0], name="<img src=x>"),))
    assert "<img" not in render.html(status)


def test_a_sentence_that_begins_with_a_name_keeps_it_as_it_is():
    refusals = (GraphRefusal("device-read", "the host reads a value"),)
    status = replace(STATUS, models=(replace(STATUS.models[0], refusals=refusals),))
    assert "minilm runs without a graph" in " ".join(Text(render.html(status)).text)


def test_a_status_tells_graphs_attention_counters_and_memory():
    for shown in (repr(STATUS), " ".join(Text(render.html(STATUS)).text)):
        for part in (
            "minilm",
            "BertModel",
            "sdpa",
            "8×14, 3 replays, 2.38 MiB",
            "4 graphs compiled",
            "aten::nonzero",
        ):
            assert part in shown
        assert "86.7 MiB in use" in shown
        assert "96.0 GiB" in shown


def test_many_graphs_are_told_together_with_those_that_were_never_replayed():
    graphs = tuple(
        [
            CapturedGraph("", (Shape("input_ids", (1, length)),), replays, 1024)
            for length, replays in [(4, 0), (5, 7), (6, 2), (7, 0), (8, 0)]
        ]
    )
    status = replace(STATUS, models=(replace(STATUS.models[0], graphs=graphs),))
    told = "5 graphs, 5.00 KiB; most replayed: 1×5, 7 replays, 1.00 KiB; 3 never replayed, 3.00 KiB"
    assert told in repr(status)
    assert told in " ".join(Text(render.html(status)).text)


@pytest.mark.parametrize("result", [TIMELINE, STATUS, CHANGE])
def test_everything_says_that_it_is_emulated_in_every_form(result):
    bundle = result._repr_mimebundle_()
    assert "emulated on CPU" in str(result)
    assert "emulated on CPU" in bundle["text/plain"]
    assert "emulated on CPU" in bundle["text/html"]


@pytest.mark.parametrize(
    "result",
    [
        replace(TIMELINE, emulated=False),
        replace(STATUS, bridge=Identity(emulated=False, version="1.23.0")),
        replace(CHANGE, emulated=False),
    ],
)
def test_nothing_on_hardware_says_so(result):
    bundle = result._repr_mimebundle_()
    assert "emulated" not in str(result) + bundle["text/plain"] + " ".join(Text(bundle["text/html"]).text)


def test_a_change_is_one_line():
    assert str(CHANGE) == "eager → lazy · minilm: HPU graphs on · so it is · emulated on CPU"
    assert str(Change(Mode.LAZY, Mode.LAZY)) == "lazy mode · nothing to change"


def test_what_is_not_steady_yet_and_what_was_interrupted_say_so():
    unsettled = Timeline(TIMELINE.iterations[:1], interrupted=True)
    assert "interrupted after 1 run" in str(unsettled)
    assert "not steady yet" in str(unsettled)
    assert str(Timeline()) == "nothing was run"


def test_a_result_without_a_layout_is_a_type_error():
    with pytest.raises(TypeError, match="no line for a int"):
        render.line(3)


def test_many_steady_runs_in_a_row_share_a_row():
    iterations = tuple(
        Iteration(number, 0.01 * number, compilations=int(number in (1, 12)), causes=())
        for number in range(1, 21)
    )
    lines = render.text(Timeline(iterations)).splitlines()
    assert [line.split("  ")[0].strip() or line.split()[0] for line in lines[1:5]] == [
        "1",
        "2–11",
        "12",
        "13–20",
    ]
    assert "65.0 ms each" in lines[2]
    assert render.html(Timeline(iterations)).count("<tr>") == 5


def test_a_status_says_which_graphs_the_compiler_does_not_run_and_why():
    passed = [(f"graph_{number}", "OpenVINO", "it computes in torch.float64") for number in range(2)]
    passed += [(f"graph_{reason}", "OpenVINO", reason) for reason in ("it does not know a", "b", "c", "d")]
    text = render.text(replace(STATUS, counters=Counters(passed_over=tuple(passed))))
    assert (
        "6 graphs run step by step and not by OpenVINO: it computes in torch.float64 (2); it does not know a; b; "
        "2 reasons more"
    ) in text
    assert "step by step" not in render.text(STATUS)
