"""The panel in a real notebook: by mouse, by keyboard, while a cell runs, in both themes."""

import json
import re

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is missing: pip install playwright"
)
expect = playwright.expect

MODE = "str(gaudi_lab.mode())"
SETTINGS = "gaudi_lab.workbench.lab.current().models['bert'].settings"
GRAPHS = f"{SETTINGS}.hpu_graphs"
FUSED = f"{SETTINGS}.fused_sdpa"
RECOMPUTE = f"{SETTINGS}.recompute"
SOFTMAX = f"{SETTINGS}.softmax"
COMPILED = f"str({SETTINGS}.mode)"

EVERYTHING_OFF = """
if gaudi_lab.mode() == "lazy": gaudi_lab.mode("eager")
gaudi_lab.workbench.lab.current().apply(gaudi_lab.Settings())
"""
IN_LAZY_MODE = "gaudi_lab.mode('lazy')"
WITH_FUSED_SDPA = "gaudi_lab.fused_sdpa(bert)"

# what it starts from, the switch, what the kernel says before and after
SWITCHES = [
    (IN_LAZY_MODE, "HPU graphs", GRAPHS, False, True),
    ("", "FusedSDPA", FUSED, False, True),
    ("", "torch.compile", COMPILED, "eager", "compile"),
]
OPTIONS = [("FusedSDPA recompute", RECOMPUTE, "on", True), ("softmax", SOFTMAX, "fast", "fast")]


@pytest.fixture
def kernel(notebook):
    """The kernel, every switch off and no call logged that a test has not made."""
    notebook.kernel.run(EVERYTHING_OFF)
    expect(notebook.radio("eager")).to_be_checked()
    return notebook.kernel


# --- each switch by mouse, and by keyboard alone ---


@pytest.mark.parametrize("mode", ["lazy", "compile"])
def test_modes_by_mouse(notebook, kernel, mode):
    notebook.radio(mode).click()
    kernel.becomes(MODE, mode)
    expect(notebook.radio(mode)).to_be_checked()
    notebook.radio("eager").click()
    kernel.becomes(MODE, "eager")


@pytest.mark.parametrize(("key", "mode"), [("ArrowLeft", "lazy"), ("ArrowRight", "compile")])
def test_modes_by_keyboard_move_with_arrows_and_choose_with_space(notebook, kernel, key, mode):
    notebook.focus_by_keyboard(notebook.radio("eager"))
    notebook.page.keyboard.press(key)
    expect(notebook.radio(mode)).to_be_focused()
    assert kernel.value(MODE) == "eager"
    notebook.page.keyboard.press("Space")
    kernel.becomes(MODE, mode)
    expect(notebook.radio(mode)).to_be_focused()


@pytest.mark.parametrize(("start", "name", "fact", "off", "on"), SWITCHES)
def test_switches_by_mouse(notebook, kernel, start, name, fact, off, on):
    kernel.run(start)
    expect(notebook.switch(name)).to_have_attribute("aria-disabled", "false")
    for wanted in (on, off):
        notebook.switch(name).click()
        kernel.becomes(fact, wanted)
        expect(notebook.switch(name)).to_have_attribute("aria-checked", str(wanted == on).lower())


@pytest.mark.parametrize(("start", "name", "fact", "off", "on"), SWITCHES)
def test_switches_by_keyboard(notebook, kernel, start, name, fact, off, on):
    kernel.run(start)
    expect(notebook.switch(name)).to_have_attribute(
        "aria-disabled", "false"
    )  # the panel has heard of the start
    for key, wanted in (("Space", on), ("Enter", off)):
        notebook.focus_by_keyboard(notebook.switch(name))
        notebook.page.keyboard.press(key)
        kernel.becomes(fact, wanted)
        # A key asks for the opposite of what is shown, so the next one has to wait for it.
        expect(notebook.switch(name)).to_have_attribute("aria-checked", str(wanted == on).lower())
        expect(notebook.switch(name)).to_be_focused()


@pytest.mark.parametrize(("label", "fact", "option", "value"), OPTIONS)
def test_options_by_mouse(notebook, kernel, label, fact, option, value):
    kernel.run(WITH_FUSED_SDPA)
    choice = notebook.panel.get_by_role("combobox", name=label)
    expect(choice).to_have_attribute("aria-disabled", "false")
    choice.select_option(option)
    kernel.becomes(fact, value)
    expect(choice).to_have_value(option)


@pytest.mark.parametrize(("label", "fact", "option", "value"), OPTIONS)
def test_options_by_keyboard(notebook, kernel, label, fact, option, value):
    kernel.run(WITH_FUSED_SDPA)
    choice = notebook.panel.get_by_role("combobox", name=label)
    expect(choice).to_have_attribute("aria-disabled", "false")
    notebook.focus_by_keyboard(choice)
    notebook.page.keyboard.press("ArrowDown")
    kernel.becomes(fact, value)
    expect(choice).to_have_value(option)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_graphs_are_listed_by_shape_and_freed(notebook, kernel, by):
    kernel.run(f"{IN_LAZY_MODE}; gaudi_lab.hpu_graphs(bert)\nfor rows in (2, 2, 1): bert(ids[:rows])")
    captured = notebook.panel.locator(".gl-graphs tbody tr")
    expect(captured).to_have_count(2)
    expect(captured.first).to_contain_text("2×6")
    assert [cell.strip() for cell in captured.first.locator("td").all_inner_texts()][1] == "1"
    free = notebook.panel.get_by_role("button", name="Free graphs")
    if by == "mouse":
        free.click()
    else:
        notebook.focus_by_keyboard(free)
        notebook.page.keyboard.press("Enter")
    kernel.becomes("len(gaudi_lab.workbench.lab.current().models['bert'].captured())", 0)
    expect(captured).to_have_count(0)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_trying_shows_now_beside_before_and_changes_nothing(notebook, kernel, by):
    kernel.run("bert(ids); gaudi_lab.fused_sdpa(bert)")
    button = notebook.panel.get_by_role("button", name="Try bert")
    if by == "mouse":
        button.click()
    else:
        notebook.focus_by_keyboard(button)
        notebook.page.keyboard.press("Enter")
    trial = notebook.panel.locator(".gl-trial")
    expect(trial).to_contain_text("eager + FusedSDPA")
    expect(trial).to_contain_text("largest difference of the outputs")
    expect(trial).to_contain_text("emulated on CPU")
    expect(trial.locator("tbody tr")).to_have_count(2)
    assert kernel.value(f"str({SETTINGS})") == "eager + FusedSDPA"


# --- what cannot be switched ---


@pytest.mark.parametrize(
    ("start", "name", "why", "fact", "stays"),
    [
        ("", "HPU graphs", "Run: %gaudi_mode lazy", GRAPHS, False),
        (IN_LAZY_MODE, "torch.compile", "Run: %gaudi_mode eager", COMPILED, "lazy"),
    ],
)
def test_a_switch_that_is_not_available_says_why_and_does_nothing(
    notebook, kernel, start, name, why, fact, stays
):
    kernel.run(start)
    switch = notebook.switch(name)
    expect(switch).to_have_attribute("aria-disabled", "true")
    expect(switch).to_have_accessible_description(why_pattern(why))
    notebook.focus_by_keyboard(switch)
    notebook.page.keyboard.press("Space")
    expect(notebook.panel.locator(".gl-news")).to_contain_text(why)
    switch.click(force=True)
    assert kernel.value(fact) == stays
    assert notebook.panel.locator(".gl-waiting").count() == 0


def test_compile_is_one_click_from_lazy_mode(notebook, kernel):
    kernel.run(IN_LAZY_MODE)
    notebook.radio("compile").click()
    expect(notebook.radio("compile")).to_be_checked()
    kernel.becomes(MODE, "compile")


def test_a_mode_says_beforehand_that_a_gaudi_needs_a_fresh_process(notebook, kernel):
    expect(notebook.radio("lazy")).to_have_accessible_description(why_pattern("fresh process"))


# --- in step ---


def test_magics_and_both_panels_are_in_step(notebook, kernel):
    kernel.run("%gaudi_mode lazy\n%gaudi_graphs on")
    for panel in notebook.panels.all():
        expect(panel.get_by_role("radio", name="lazy", exact=True)).to_be_checked()
        expect(panel.get_by_role("switch", name="HPU graphs")).to_have_attribute("aria-checked", "true")
    notebook.panels.nth(1).get_by_role("switch", name="HPU graphs").click()
    expect(notebook.switch("HPU graphs")).to_have_attribute("aria-checked", "false")
    kernel.becomes(GRAPHS, False)


def test_focus_and_open_sections_survive_updates(notebook, kernel):
    notebook.panel.get_by_text("Export these settings as code").click()
    notebook.focus_by_keyboard(notebook.switch("FusedSDPA"))
    kernel.run("%gaudi_sdpa on\nbert(ids)")
    expect(notebook.switch("FusedSDPA")).to_have_attribute("aria-checked", "true")
    expect(notebook.switch("FusedSDPA")).to_be_focused()
    code = notebook.panel.locator(".gl-code").first
    expect(code).to_be_visible()
    code.get_by_role("button", name="Copy").click()
    expect(notebook.panel.locator(".gl-news")).to_contain_text("Copied")
    copied = notebook.page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines() == ["%load_ext gaudi_lab", "%gaudi_mode eager", "%gaudi_sdpa on bert"]
    notebook.panel.get_by_text("Export these settings as code").click()


def test_an_error_is_shown_and_can_be_put_away(notebook, kernel):
    kernel.run(
        "broken = gaudi_lab.workbench.lab.current()\n"
        "def change(*args, **kwargs): raise OSError('the device is on fire')\n"
        "broken.change = change"
    )
    try:
        notebook.switch("FusedSDPA").click()
        alert = notebook.panel.get_by_role("alert")
        expect(alert).to_contain_text("OSError: the device is on fire")
        alert.get_by_role("button", name="Dismiss").click()
        expect(alert).to_be_empty()
    finally:
        kernel.run("del broken.change")


# --- while a cell runs ---

EVALUATION = """
from transformers import BertForSequenceClassification
judge = BertForSequenceClassification(config).eval()
arguments = gaudi_lab.GaudiTrainingArguments(
    output_dir="out", use_habana=True, use_lazy_mode=False, per_device_eval_batch_size=2, report_to="none")
trainer = gaudi_lab.GaudiTrainer(model=judge, args=arguments)
rows = [{"input_ids": [1, 2, 3, 4], "labels": 0}] * 400
"""


def test_the_timeline_grows_while_a_trainer_evaluates(notebook, kernel):
    kernel.run(EVALUATION)
    kernel.run("%gaudi_attach trainer")
    kernel.start("import time; trainer.evaluate(rows); time.sleep(3)")
    bars = notebook.panel.locator("[role=option][aria-label*='trainer']")
    expect(notebook.panel.locator(".gl-state")).to_contain_text("a cell is running")
    expect(bars).not_to_have_count(0)
    seen = bars.count()
    notebook.switch("FusedSDPA").first.click()
    expect(notebook.panel.locator(".gl-waiting").first).to_be_visible()
    expect(notebook.panel.locator(".gl-state")).to_contain_text("a cell is running")
    kernel.wait()
    expect(notebook.panel.locator(".gl-state")).to_have_text("ready")
    assert bars.count() > seen
    kernel.becomes(FUSED, True)
    kernel.run("gaudi_lab.detach(trainer)")


def test_calls_are_told_one_by_one_to_the_keyboard(notebook, kernel):
    kernel.run("bert(ids[:, :3]); bert(ids[:, :3])")
    detail = notebook.panel.locator(".gl-detail")
    bars = notebook.panel.get_by_role("listbox")
    notebook.focus_by_keyboard(bars)
    notebook.page.keyboard.press("End")
    expect(detail).to_contain_text("steady")
    notebook.page.keyboard.press("ArrowLeft")
    expect(detail).to_contain_text("new shape 2×3")
    active = bars.get_attribute("aria-activedescendant")
    expect(notebook.page.locator(f"#{active}")).to_have_attribute("aria-selected", "true")
    notebook.panel.get_by_role("option").last.hover()
    expect(detail).to_contain_text("steady")


def test_what_to_change_stands_behind_what_was_new(notebook, kernel):
    # From the host: what is sliced on the device is recorded with the model, as another operator.
    batches = "[ids[:rows, :5].cpu().to('hpu') for rows in (2, 1)]"
    kernel.run(f"{IN_LAZY_MODE}\nfor batch in {batches}: bert(batch).pooler_output.cpu()")
    notebook.focus_by_keyboard(notebook.panel.get_by_role("listbox"))
    notebook.page.keyboard.press("End")
    expect(notebook.panel.locator(".gl-detail")).to_contain_text(
        "input_ids 2×5 → 1×5 → if this is the last batch"
    )


# --- looks ---


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_axe_finds_nothing_serious(notebook, kernel, axe, theme, pytestconfig):
    kernel.run(
        f"{IN_LAZY_MODE}; gaudi_lab.hpu_graphs(bert)\nfor rows in (2, 2, 1, 1, 2): bert(ids[:rows]).pooler_output.cpu()"
    )
    notebook.panel.get_by_role("button", name="Try bert").click()
    expect(notebook.panel.locator(".gl-trial")).to_be_visible()
    notebook.theme(theme)
    pictures = pytestconfig.rootpath / "screenshots"
    pictures.mkdir(exist_ok=True)
    notebook.panel.screenshot(path=pictures / f"panel-{theme.lower()}.png")
    notebook.page.evaluate(axe)
    found = notebook.page.evaluate("axe.run('.gl-panel', { resultTypes: ['violations'] })")
    serious = [
        (violation["id"], violation["impact"], [node["html"][:200] for node in violation["nodes"]])
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert not serious, json.dumps(serious, indent=1)


# --- the end of the kernel; last, because it ends the others' ---


def test_after_a_restart_the_panel_says_that_it_is_stale(notebook, kernel):
    notebook.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(notebook.panel.get_by_role("alert")).to_contain_text("Run its cell again", timeout=30_000)
    expect(notebook.switch("FusedSDPA")).to_have_attribute("aria-disabled", "true")


def why_pattern(text):
    return re.compile(re.escape(text))
