// The panel in the browser. It shows the widget's data and sends requests; it decides nothing itself.
//
// Each part is a function from data to DOM nodes. `morph` changes the page to look like them, in place, so
// that focus, open sections and a screen reader's position survive every update.

const STALE = "The kernel of this panel is gone. Run its cell again to show a live one.";
const NO_ANSWER = "The kernel has not answered. If it was restarted, run this panel's cell again.";
const ANSWER_WITHIN = 8000;
const ANNOUNCE_EVERY = 4000;
const SHOWN = 240;

let views = 0;

export default { render };

function render({ model, el }) {
  const view = new View(model, el, `gl-${++views}-${Date.now().toString(36)}`);
  view.open();
  return () => view.close();
}

class View {
  constructor(model, el, id) {
    this.model = model;
    this.id = id;
    this.calls = model.get("calls");
    this.ui = { selected: null, zoom: false, trouble: "", stale: false, pending: new Map(), copied: "" };
    this.requests = 0;
    this.root = h("section", { class: "gl-panel", "aria-label": "Gaudi Lab panel" });
    this.switches = h("div");
    this.timeline = h("div", { class: "gl-timeline" });
    this.news = h("p", { class: "gl-news gl-hidden", role: "status" });
    this.alert = h("div", { class: "gl-alert", role: "alert" });
    this.header = h("header");
    this.code = h("div");
    this.root.append(this.header, this.alert, this.news, this.switches, this.timeline, this.code);
    el.append(this.root);
    this.listeners = {
      "change:settings": () => this.settingsChanged(),
      "change:live": () => this.liveChanged(),
      "change:calls": () => this.callsReset(),
      "change:outcome": () => this.answered(),
      "msg:custom": (message) => this.callsCame(message),
      comm_live_update: () => this.checkKernel(),
    };
  }

  open() {
    for (const [event, listener] of Object.entries(this.listeners)) this.model.on(event, listener);
    for (const event of ["click", "change", "keydown", "focusin", "mouseover"]) {
      this.root.addEventListener(event, this);
    }
    this.update();
    this.checkKernel();
  }

  close() {
    for (const [event, listener] of Object.entries(this.listeners)) this.model.off(event, listener);
    clearTimeout(this.newsTimer);
    for (const timer of this.ui.pending.values()) clearTimeout(timer);
  }

  // --- what comes from the kernel ---

  settingsChanged() {
    this.update();
    this.announce(this.model.get("settings").said);
  }

  liveChanged() {
    this.update();
    const compiles = this.model.get("live").counters?.[0]?.value;
    if (this.compiles !== undefined && compiles !== this.compiles) this.announce(`${compiles} compiles so far`);
    this.compiles = compiles;
  }

  callsReset() {
    this.calls = this.model.get("calls");
    this.updateTimeline();
  }

  callsCame({ kind, rows }) {
    if (kind !== "calls") return;
    const last = this.calls.at(-1)?.n ?? 0;
    const fresh = rows.filter((call) => call.n > last);
    if (!fresh.length) return;
    this.calls = [...this.calls, ...fresh].slice(-SHOWN);
    this.updateTimeline();
  }

  answered() {
    const { id, trouble } = this.model.get("outcome");
    if (!this.ui.pending.has(id)) return;
    clearTimeout(this.ui.pending.get(id).timer);
    this.ui.pending.delete(id);
    this.ui.trouble = trouble;
    this.update();
  }

  async checkKernel() {
    // The proxy that a view is given does not tell whether the kernel is there; the model itself does.
    try {
      const whole = await this.model.widget_manager.get_model(this.model.get("own_id"));
      this.ui.stale = whole.comm_live === false;
    } catch {
      this.ui.stale = true;
    }
    this.update();
  }

  // --- what goes to the kernel ---

  request(content) {
    const id = `${this.id}-${++this.requests}`;
    const timer = setTimeout(() => this.unanswered(id), ANSWER_WITHIN);
    this.ui.pending.set(id, { timer, what: key(content.model, content.do) });
    this.ui.trouble = "";
    this.update();
    try {
      this.model.send({ ...content, id });
    } catch (error) {
      this.unanswered(id, `The request could not be sent: ${error.message}`);
    }
  }

  unanswered(id, trouble = NO_ANSWER) {
    const waiting = this.ui.pending.get(id);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    // A running cell goes first, however long it takes.
    if (this.model.get("live").busy && trouble === NO_ANSWER) {
      waiting.timer = setTimeout(() => this.unanswered(id), ANSWER_WITHIN);
      return;
    }
    this.ui.pending.delete(id);
    this.ui.trouble = trouble;
    this.update();
  }

  // --- what the user does ---

  handleEvent(event) {
    const control = event.target.closest?.("[data-do]");
    if (event.type === "click" && control) this.clicked(event, control);
    else if (event.type === "change" && control) this.chosen(event, control);
    else if (event.type === "keydown") this.keyed(event);
    else if (event.type === "mouseover") this.pointed(event);
    else if (event.type === "focusin" && event.target.matches(".gl-bars")) this.select(this.ui.selected ?? this.calls.at(-1)?.n);
  }

  clicked(event, control) {
    const { do: what, model: name } = control.dataset;
    if (refused(control)) {
      event.preventDefault();
      if (control.tagName !== "SELECT") this.announce(reasonOf(control), true);
      return;
    }
    if (what === "copy") this.copy(control);
    else if (what === "zoom") this.toggleZoom();
    else if (what === "dismiss") this.dismiss();
    else if (control.getAttribute("role") === "switch") {
      this.request({ do: what, model: name, value: control.getAttribute("aria-checked") !== "true" });
    } else if (what === "free" || what === "try") this.request({ do: what, model: name });
    else if (what === "go" || what === "stay") this.request({ do: what });
  }

  chosen(event, control) {
    const { do: what, model: name } = control.dataset;
    if (refused(control)) {
      this.announce(reasonOf(control), true);
      this.update();
      return;
    }
    this.request({ do: what, model: name, value: control.value });
  }

  keyed(event) {
    // In command mode a plain key is the notebook's: an arrow would leave the panel, two Ds delete its cell.
    const plain = !(event.ctrlKey || event.metaKey || event.altKey) && event.key !== "Escape";
    if (plain && !(event.shiftKey && event.key === "Enter")) event.stopPropagation();
    if (event.target.matches("input[type=radio]")) this.keyedOnMode(event);
    else if (event.target.matches(".gl-bars")) this.keyedOnBars(event);
  }

  // The browser's arrow keys would choose every mode they pass. Here they move, and Space chooses.
  keyedOnMode(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) {
      if (event.key === "Enter") event.target.click();
      return;
    }
    event.preventDefault();
    const radios = [...this.root.querySelectorAll("input[type=radio]")];
    const next = (radios.indexOf(event.target) + step + radios.length) % radios.length;
    radios[next].focus();
  }

  keyedOnBars(event) {
    const last = this.calls.length - 1;
    const here = this.calls.findIndex((call) => call.n === this.ui.selected);
    const target = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    this.select(this.calls[Math.max(0, Math.min(target, last))]?.n);
  }

  pointed(event) {
    const bar = event.target.closest?.("[data-n]");
    if (bar) this.select(Number(bar.dataset.n));
  }

  select(n) {
    if (n === undefined || n === this.ui.selected) return;
    this.ui.selected = n;
    this.updateTimeline();
  }

  toggleZoom() {
    this.ui.zoom = !this.ui.zoom;
    this.updateTimeline();
  }

  dismiss() {
    this.ui.trouble = "";
    this.update();
  }

  async copy(control) {
    const code = this.model.get("settings").export[Number(control.dataset.index)].lines;
    try {
      await navigator.clipboard.writeText(code);
      this.announce("Copied", true);
      this.ui.copied = control.dataset.index;
    } catch {
      // Without https there is no clipboard: leave the code selected for the user's own copy.
      getSelection().selectAllChildren(control.parentElement.querySelector("code"));
      this.announce("Selected. Copy it with your keyboard.", true);
    }
    this.update();
  }

  // --- what is shown ---

  update() {
    const settings = this.model.get("settings");
    const live = this.model.get("live");
    if (!settings.badge) return;
    this.root.classList.toggle("gl-stale", this.ui.stale);
    const shared = { id: this.id, ui: this.ui, settings, live };
    morph(this.header, h("header", {}, header(shared)));
    morph(this.alert, h("div", { class: "gl-alert", role: "alert" }, trouble(this.ui)));
    morph(this.switches, h("div", {}, modes(shared), question(settings), counters(live), settings.models.map((m) => card(shared, m)), nobody(settings)));
    morph(this.code, h("div", {}, exported(shared)));
    this.updateTimeline();
  }

  updateTimeline() {
    const live = this.model.get("live");
    const { emulated } = this.model.get("settings").badge;
    const nodes = timeline({ id: this.id, ui: this.ui, live, calls: this.calls, emulated });
    morph(this.timeline, h("div", { class: "gl-timeline" }, nodes));
  }

  // Says something to a screen reader. Counters move often, so they are told now and then only.
  announce(text, now = false) {
    if (!text) return;
    clearTimeout(this.newsTimer);
    const wait = now ? 0 : Math.max(0, (this.lastNews ?? 0) + ANNOUNCE_EVERY - Date.now());
    this.newsTimer = setTimeout(() => {
      this.lastNews = Date.now();
      this.news.textContent = text;
    }, wait);
  }
}

// --- parts ---


function header({ settings, live, ui }) {
  const state = ui.stale ? "stale" : live.busy ? "a cell is running" : "ready";
  const waits = live.busy && !ui.stale ? "switches act when it ends" : "";
  return h("p", { class: "gl-head" },
    h("strong", {}, "Gaudi Lab"),
    h("span", { class: "gl-badge", "data-emulated": settings.badge.emulated }, settings.badge.text),
    h("span", { class: "gl-state", "data-busy": Boolean(live.busy) }, [state, waits].filter(Boolean).join(": ")),
  );
}

function trouble(ui) {
  const text = ui.stale ? STALE : ui.trouble;
  if (!text) return [];
  return h("p", {}, h("span", {}, text), ui.stale ? [] : button("Dismiss", { "data-do": "dismiss" }));
}

function modes({ id, settings, ui }) {
  return h("fieldset", { class: "gl-modes", "aria-describedby": `${id}-keys` },
    h("legend", {}, "Mode"),
    h("p", { id: `${id}-keys`, class: "gl-hidden" }, "Arrow keys move, Space chooses."),
    h("div", { class: "gl-row" }, settings.modes.map((mode) => radio(id, ui, mode))),
  );
}

// Asked before the notebook goes over into a fresh process.
function question({ question: asked }) {
  if (!asked) return [];
  return h("div", { class: "gl-question", role: "group", "aria-label": asked.title },
    h("p", {}, h("strong", {}, asked.title)),
    h("p", {}, asked.keeps),
    asked.left.map((text) => h("p", { class: "gl-left" }, text)),
    h("p", {}, button(asked.go, { "data-do": "go" }), " ", button("Stay", { "data-do": "stay" })),
  );
}

function radio(id, ui, mode) {
  const own = `${id}-mode-${mode.value}`;
  return h("div", { class: "gl-choice" },
    h("label", {},
      h("input", {
        type: "radio", name: `${id}-mode`, id: own, value: mode.value, checked: mode.on, "data-do": "mode",
        "aria-disabled": Boolean(ui.stale), "aria-describedby": `${own}-note`,
      }),
      mode.label, waiting(ui, key("", "mode"), mode.on)),
    note(`${own}-note`, mode),
  );
}

function card({ id, ui, live }, model) {
  const own = `${id}-${slug(model.name)}`;
  return h("fieldset", { class: "gl-model", "data-key": model.name },
    h("legend", {}, h("strong", {}, model.name), " ", h("span", { class: "gl-soft" }, `${model.kind}, ${model.weights}`)),
    h("div", { class: "gl-row" }, model.switches.map((choice) => toggle(own, ui, model, choice))),
    options(own, ui, model),
    attention(model),
    graphs(own, ui, model, live.graphs?.[model.name] ?? []),
    tryIt(own, ui, model),
  );
}

function nobody(settings) {
  return settings.models.length ? [] : h("p", { class: "gl-soft" }, "No model is attached. Run: %gaudi_attach model");
}

function toggle(own, ui, model, choice) {
  const id = `${own}-${choice.value}`;
  return h("div", { class: "gl-choice" },
    h("button", {
      type: "button", role: "switch", id, class: "gl-switch", "data-do": choice.value, "data-model": model.name,
      "aria-checked": choice.on, "aria-disabled": Boolean(choice.reason) || ui.stale, "aria-describedby": `${id}-note`,
    }, h("span", { class: "gl-track", "aria-hidden": true }), choice.label, waiting(ui, key(model.name, choice.value), true)),
    note(`${id}-note`, choice),
  );
}

function note(id, choice) {
  return h("p", { id, class: choice.reason ? "gl-note gl-reason" : "gl-note" },
    choice.reason ? `Not available: ${choice.reason}` : choice.note);
}

function options(own, ui, model) {
  if (!model.options.length) return [];
  const told = `${own}-options-note`;
  const reasons = [...new Set(model.options.map((option) => option.reason).filter(Boolean))];
  const notes = model.options.map((option) => option.note).filter(Boolean);
  return h("div", { class: "gl-options" },
    model.options.map(({ name, label, value, words, default: unchosen, reason }) =>
      h("label", { class: "gl-option" }, label, " ",
        h("select", {
          "data-do": name, "data-model": model.name, "data-value": value,
          "aria-disabled": Boolean(reason) || ui.stale, "aria-describedby": told,
        }, [["", unchosen], ...words.map((word) => [word, word])]
          .map(([word, text]) => h("option", { value: word }, text))))),
    h("p", { id: told, class: reasons.length ? "gl-note gl-reason" : "gl-note" },
      reasons.length ? `Not available: ${reasons.join(" ")}` : notes.join(" ")),
  );
}

function attention(model) {
  if (!model.attention.length) return h("p", { class: "gl-soft" }, "No attention that is known.");
  const told = model.attention.map(({ part, kind, text }) => `${part ? `${part} (${kind})` : kind}: ${text}`);
  return h("p", {}, h("span", { class: "gl-soft" }, "Attention in use "), told.join(" · "));
}

function graphs(own, ui, model, captured) {
  if (!model.hpu_graphs) return [];
  if (!captured.length) return h("p", { class: "gl-soft" }, "No graph captured yet: the next call captures one.");
  const parts = captured.some((graph) => graph.part);
  return h("div", { class: "gl-graphs" },
    table("Captured HPU graphs", [...(parts ? ["part"] : []), "input shape", "replays", "memory"],
      captured.map((g) => [...(parts ? [g.part] : []), g.shapes, String(g.replays), g.size])),
    button("Free graphs", { "data-do": "free", "data-model": model.name, "aria-disabled": ui.stale },
      waiting(ui, key(model.name, "free"), true)),
  );
}

function tryIt(own, ui, model) {
  const before = model.previous ? `beside ${model.previous}` : "";
  return h("div", { class: "gl-try" },
    button("Try it", {
      "data-do": "try", "data-model": model.name, "aria-disabled": ui.stale, "aria-describedby": `${own}-try`,
      "aria-label": `Try ${model.name}`,
    }, waiting(ui, key(model.name, "try"), true)),
    h("span", { id: `${own}-try`, class: "gl-note" }, `Times these settings on the last input seen ${before}`.trim()),
    model.trial ? trialResult(model.trial) : [],
  );
}

function trialResult(trial) {
  const longest = Math.max(...trial.rows.map((row) => row.median));
  const rows = trial.rows.map((row) => [
    row.label, row.settings, row.first, row.after,
    h("span", { class: "gl-measure", "aria-hidden": true, style: `width: ${(6 * row.median) / longest}rem` }),
  ]);
  const told = [
    trial.part && `Timed: ${trial.part}`,
    trial.difference && `largest difference of the outputs ${trial.difference}`,
    trial.note, trial.caution,
  ].filter(Boolean);
  return h("div", { class: "gl-trial" },
    table("Settings side by side", ["", "settings", "first", "after", ""], rows),
    h("p", { class: "gl-soft" }, told.join(" · ")));
}

function counters(live) {
  return h("dl", { class: "gl-counters" }, (live.counters ?? []).map(({ name, value, detail }) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, h("strong", {}, value), " ", h("span", { class: "gl-soft" }, detail)))));
}

function exported({ settings, ui }) {
  return h("details", { class: "gl-export" },
    h("summary", {}, "Export these settings as code"),
    settings.export.map((code, index) =>
      h("div", { class: "gl-code" },
        h("p", {}, h("span", { class: "gl-soft" }, code.title), " ",
          button(ui.copied === String(index) ? "Copied" : "Copy", {
            "data-do": "copy", "data-index": index, "aria-label": `Copy: ${code.title}`,
          })),
        h("pre", { tabindex: 0 }, h("code", {}, code.lines)))));
}

// --- the timeline ---

function timeline({ id, ui, live, calls, emulated }) {
  const shown = calls.find((call) => call.n === ui.selected);
  return [
    h("p", { class: "gl-timeline-head" },
      h("strong", {}, "Calls"), " ",
      h("span", {}, summary(calls)), " ",
      h("span", { class: "gl-running" }, running(live)),
      calls.length ? zoomSwitch(ui) : []),
    calls.length ? [plot(id, ui, calls), legend(emulated),
      h("p", { class: "gl-detail" }, shown ? describe(shown) : "Point at a call, or move along them with the arrow keys."),
      warmups(calls)] : [],
  ];
}

function summary(calls) {
  if (!calls.length) return "none yet";
  const steady = calls.filter((call) => call.steady);
  const median = steady.length ? `, median ${seconds(middle(steady.map((call) => call.wall)))}` : "";
  return `${calls.length} shown: ${calls.length - steady.length} warm-up, ${steady.length} steady${median}`;
}

function running(live) {
  if (!live.running) return "";
  const { model, shapes, seconds: elapsed } = live.running;
  return `running ${model} ${shapes}, ${seconds(elapsed)}`;
}

function zoomSwitch(ui) {
  return h("button", { type: "button", role: "switch", class: "gl-switch", "data-do": "zoom", "aria-checked": ui.zoom },
    h("span", { class: "gl-track", "aria-hidden": true }), "Zoom on steady calls");
}

function plot(id, ui, calls) {
  const steady = calls.filter((call) => call.steady).map((call) => call.wall);
  const top = ui.zoom && steady.length ? 1.25 * Math.max(...steady) : Math.max(...calls.map((call) => call.wall));
  return h("div", { class: "gl-plot" },
    h("span", { class: "gl-top gl-soft", "aria-hidden": true }, seconds(top)),
    h("div", {
      class: "gl-bars", role: "listbox", tabindex: 0, "aria-label": "Calls, oldest first",
      "aria-activedescendant": ui.selected === null ? false : `${id}-call-${ui.selected}`,
    }, calls.map((call) => bar(id, ui, call, top))));
}

function bar(id, ui, call, top) {
  const fit = Math.min(1, top / call.wall) * (100 / top);
  const after = Math.max(call.wall - call.compile - call.inside, 0);
  const piece = (kind, size) => (size > 0 ? h("span", { class: `gl-${kind}`, style: `height: ${(size * fit).toFixed(2)}%` }) : []);
  return h("div", {
    class: call.wall > top ? "gl-bar gl-cut" : "gl-bar", id: `${id}-call-${call.n}`, role: "option", "data-n": call.n,
    "data-key": call.n, "data-steady": call.steady, "aria-selected": ui.selected === call.n, "aria-label": describe(call),
  }, h("span", { class: "gl-stack" }, piece("inside", call.inside), piece("after", after), piece("compile", call.compile)));
}

function legend(emulated) {
  const entry = (kind, text) => h("span", {}, h("span", { class: `gl-swatch gl-${kind}`, "aria-hidden": true }), text);
  return h("p", { class: "gl-key gl-soft" },
    entry("compile", "compiling"), entry("inside", "in the call"), entry("after", "until the next call"),
    entry("warm", "warm-up"), emulated ? h("span", {}, "emulated on CPU, these are not Gaudi times") : []);
}

function warmups(calls) {
  const rows = calls.filter((call) => !call.steady).slice(-30);
  if (!rows.length) return [];
  return h("details", {},
    h("summary", {}, "Warm-up calls as a table"),
    table("Warm-up calls", ["call", "model", "input shape", "time", "what was new", "settings"],
      rows.map((call) => [String(call.n), call.model, call.shapes, call.times, whatWasNew(call), call.settings])));
}

function whatWasNew(call) {
  return call.remedy ? [call.causes, h("br"), h("span", { class: "gl-soft" }, `→ ${call.remedy}`)] : call.causes;
}

function describe(call) {
  const change = call.remedy ? ` → ${call.remedy}` : "";
  const phase = `${call.steady ? "steady" : "warm-up"}${call.causes ? `: ${call.causes}${change}` : ""}`;
  return `Call ${call.n} of ${call.model}, ${call.shapes}: ${call.times}. ${phase}. ${call.settings}.`;
}

// --- small things ---

function button(label, attributes, ...more) {
  return h("button", { type: "button", class: "gl-button", ...attributes }, label, ...more);
}

function table(caption, heads, rows) {
  return h("table", {},
    h("caption", { class: "gl-hidden" }, caption),
    h("thead", {}, h("tr", {}, heads.map((head) => (head ? h("th", { scope: "col" }, head) : h("td"))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell))))));
}

function waiting(ui, what, show) {
  const asked = [...ui.pending.values()].some((request) => request.what === what);
  return asked && show ? h("span", { class: "gl-waiting" }, " waits") : [];
}

function refused(control) {
  return control.getAttribute("aria-disabled") === "true";
}

function reasonOf(control) {
  const id = control.getAttribute("aria-describedby");
  return document.getElementById(id)?.textContent ?? "Not available now";
}

function key(model, what) {
  return `${model ?? ""}/${what}`;
}

function slug(name) {
  return name.replace(/[^\w-]/g, "_");
}

function middle(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function seconds(value) {
  const [scale, unit] = value >= 0.9995 ? [1, "s"] : value >= 0.0009995 ? [1e3, "ms"] : [1e6, "µs"];
  return `${Number((value * scale).toPrecision(3))} ${unit}`;
}

// --- DOM ---

function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    const aria = name.startsWith("aria-") || name.startsWith("data-");
    if (value === null || value === undefined || (value === false && (!aria || name === "aria-activedescendant"))) continue;
    node.setAttribute(name, value === true && !aria ? "" : String(value));
  }
  node.append(...children.flat(Infinity));
  return node;
}

/** Change `from` in place until it looks like `to`. Children with a `data-key` keep their identity. */
function morph(from, to) {
  copyAttributes(from, to);
  const wanted = [...to.childNodes];
  const kept = new Map([...from.childNodes].filter(keyOf).map((child) => [keyOf(child), child]));
  let here = from.firstChild;
  for (const child of wanted) {
    const match = keyOf(child) ? kept.get(keyOf(child)) : alike(here, child) ? here : null;
    if (!match) {
      from.insertBefore(child, here);
    } else {
      if (match === here) here = here.nextSibling;
      else from.insertBefore(match, here);
      if (match.nodeType === Node.TEXT_NODE) {
        if (match.data !== child.data) match.data = child.data;
      } else morph(match, child);
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
  copyState(from, to);
}

function copyAttributes(from, to) {
  for (const { name } of [...from.attributes]) {
    // Whether a section is open is the user's business.
    if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
}

function copyState(from, to) {
  if (from.matches("input[type=radio]")) from.checked = to.hasAttribute("checked");
  if (from.matches("select") && from.value !== from.dataset.value) from.value = from.dataset.value;
}

function alike(a, b) {
  return a && a.nodeType === b.nodeType && a.nodeName === b.nodeName && !keyOf(a);
}

function keyOf(node) {
  return node.dataset?.key;
}
