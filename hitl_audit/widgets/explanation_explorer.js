// The explanation explorer: all cases → a feature → its rows → a case → what if.
// Set behind dom.js and what_if.js. One message in flight; a newer one replaces the one that waits.

const LINES = 10; // rows of the list in sight
const AHEAD = 60; // rows asked for at once
const MOST_FEATURES = 15;
const MOST_DOTS = 1500; // with more, cells that are darker where there are more cases
const CELL = 9;
const SHADES = 8;

// A list in which arrow keys choose: one stop of the Tab key.
function listBox(attributes, { move, count }) {
  const list = h("ul", { role: "listbox", tabindex: "0", ...attributes });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: LINES, PageUp: -LINES, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || !count() || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(step);
  });
  return list;
}

function render({ model, el }) {
  const uid = newId().slice(0, 8);
  const nodes = {};
  let open = null; // what the kernel said about everything
  let everybody = null; // importances of all cases
  let some = null; // those of the cases looked at, or nothing
  let scope = "all";
  let members = null; // which rows are looked at; nothing: all
  let feature = null; // what the kernel said about the feature
  let chosen = -1; // its place in the list of features
  let xs = null;
  let ys = null;
  let order = "strongest";
  let list = { start: 0, total: 0, rows: [] };
  let at = -1; // the line of the list that the keys are on
  let place = -1; // the chosen row in the data
  let hover = -1;
  let showAll = false;
  let factsOpen = null; // at first: where there is room beside the bars
  let desk = null;

  // ------------------------------------------------------------- messages
  let count = 0;
  let inFlight = "";
  let waiting = [];
  let busyTimer = null;
  let lostTimer = null;

  function ask(message) {
    waiting = waiting.filter((m) => m.act !== message.act);
    waiting.push(message);
    pump();
  }

  function pump() {
    if (inFlight || !waiting.length) return;
    inFlight = `${uid}-${++count}`;
    try {
      model.send({ kind: "explore", serial: inFlight, ...waiting.shift() });
    } catch {}
    clearTimeout(busyTimer);
    clearTimeout(lostTimer);
    busyTimer = setTimeout(() => { nodes.busy.textContent = "Still computing…"; }, 400);
    lostTimer = setTimeout(() => {
      inFlight = "";
      waiting = [];
      nodes.alert.textContent = "No answer: the kernel is not running. Run the cell again.";
    }, 15000);
  }

  const newer = (act) => waiting.some((m) => m.act === act);

  function receive(message, buffers) {
    if (message.kind === "what-if") {
      if (desk && message.case === desk.of) desk.receive(message);
      return;
    }
    if (message.kind !== "explore") return;
    const { about } = message;
    if (about === "cohort") return onCohort(message);
    if (about === "intervals") return onIntervals(message);
    if (!message.serial) {
      if (about === "refused") nodes.alert.textContent = message.words;
      return;
    }
    if (message.serial !== inFlight) return; // another view's
    inFlight = "";
    clearTimeout(busyTimer);
    clearTimeout(lostTimer);
    nodes.busy.textContent = "";
    nodes.alert.textContent = about === "refused" ? message.words : "";
    if (about === "opened") onOpened(message);
    else if (about === "importance") onImportance(message, buffers);
    else if (about === "feature" && !newer("feature")) onFeature(message, buffers);
    else if (about === "rows" && !newer("rows")) onRows(message);
    else if (about === "case" && !newer("case")) onCase(message.case);
    pump();
  }

  const bytes = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);

  // ------------------------------------------------------------- opening
  function onOpened(message) {
    open = message;
    everybody = message.importance;
    nodes.how.textContent = message.how;
    nodes.notes.hidden = !message.notes.length;
    nodes.notes.replaceChildren(h("summary", {}, "About these numbers"),
      h("ul", {}, ...message.notes.map((note) => h("li", {}, note))));
    nodes.order.replaceChildren(...message.orders.map(([name, words]) => h("option", { value: name }, words)));
    paintScopes();
    nodes.find.hidden = everybody.lines.length <= MOST_FEATURES;
    paintFeatures();
    chooseFeature(0);
  }

  function paintScopes() {
    const titles = [...new Set(open.scopes.map((s) => s.title))];
    nodes.scope.replaceChildren(...titles.flatMap((title) => {
      const options = open.scopes.filter((s) => s.title === title)
        .map((s) => h("option", { value: s.scope }, s.words));
      return title ? [h("optgroup", { label: title }, ...options)] : options;
    }));
    nodes.scope.value = scope;
  }

  const scopeWords = () => open.scopes.find((s) => s.scope === scope)?.words ?? "";

  // Another view chose a cohort, or nobody's any more.
  function onCohort(message) {
    if (!open) return;
    open.scopes = message.scopes;
    if (message.chosen) setScope("cohort");
    else if (scope === "cohort") setScope("all");
    paintScopes();
  }

  function setScope(next) {
    scope = next;
    const now = open.scopes.find((s) => s.scope === scope);
    nodes.about.textContent = [now?.about, now?.note].filter(Boolean).join(". ");
    ask({ act: "scope", scope });
    askRows({ start: 0 });
  }

  function onImportance(message, buffers) {
    if (message.scope !== scope) return;
    some = message.importance;
    members = buffers?.length ? new Uint8Array(bytes(buffers[0])) : null;
    paintFeatures();
    paintChart();
    nodes.status.textContent = some
      ? `${scopeWords()}: ${some.told || "importances beside everybody's"}.` : "All cases.";
  }

  function onIntervals(message) {
    if (message.scope === "all") everybody = message.importance;
    else if (message.scope === scope) some = message.importance;
    else return;
    if (open) paintFeatures();
  }

  // ------------------------------------------------------------- features
  const shownFeatures = () => {
    const words = nodes.find.value.trim().toLowerCase();
    const all = everybody.lines.map((line, i) => [line, i]);
    if (words) return all.filter(([line]) => line.label.toLowerCase().includes(words));
    return showAll ? all : all.filter(([, i]) => i < MOST_FEATURES || i === chosen);
  };

  function bar(line, most, kind) {
    const part = (x) => `${(100 * x) / most}%`;
    const [value, low, high] = line.at;
    return h("span", { class: "hx-track" }, h("span", { class: `hx-bar hx-${kind}`, "--size": part(value) }),
      low == null ? null : h("span", { class: "hx-whisker", "--low": part(low), "--high": part(high) }));
  }

  function paintFeatures() {
    const beside = some && !some.told ? some : null;
    const most = Math.max(1e-12, ...[everybody, beside].filter(Boolean)
      .flatMap((told) => told.lines.flatMap((line) => line.at.filter((x) => x != null))));
    const told = (line) => `${line.value}${line.interval ? `, interval ${line.interval}` : ""}`;
    const entries = shownFeatures();
    nodes.features.replaceChildren(...entries.map(([line, i]) => {
      const own = beside?.lines[i];
      const spoken = `${line.label}: ${told(line)}${own ? `; of the cases looked at: ${told(own)}` : ""}`;
      const item = h("li", { role: "option", id: `${uid}-f${i}`, class: "hx-feature", "aria-selected": String(i === chosen),
        "aria-label": spoken, onclick: () => { nodes.features.focus(); chooseFeature(i); } },
        h("span", { class: "hx-name" }, line.label),
        h("span", { class: "hx-bars" }, bar(line, most, "all"), own ? bar(own, most, "some") : null),
        h("span", { class: "hx-value" }, numbers(line), own ? numbers(own) : null));
      return item;
    }));
    if (chosen >= 0) nodes.features.setAttribute("aria-activedescendant", `${uid}-f${chosen}`);
    const hidden = everybody.lines.length - MOST_FEATURES;
    nodes.more.hidden = hidden <= 0 || nodes.find.value.trim() !== "";
    nodes.more.textContent = showAll ? `Show the ${MOST_FEATURES} strongest` : `Show all ${everybody.lines.length} features`;
    nodes.none.hidden = entries.length > 0;
    const key = (kind, words) => h("span", { class: "hx-key-item" },
      h("span", { class: `hx-k hx-${kind}`, "aria-hidden": "true" }), h("span", {}, words));
    nodes.key.replaceChildren(key("all", `all ${everybody.n.toLocaleString("en-US")} cases`),
      ...(beside ? [key("some", scopeWords())] : []));
    nodes.told.hidden = !some?.told;
    nodes.told.textContent = some?.told ? `${scopeWords()}: ${some.told} for importances of its own.` : "";
  }

  const numbers = (line) => h("span", {}, h("strong", {}, line.value),
    line.interval ? h("span", { class: "hx-n" }, line.interval) : null);

  function chooseFeature(i) {
    if (i === chosen || i < 0) return;
    chosen = i;
    hover = -1;
    for (const item of nodes.features.children)
      item.setAttribute("aria-selected", String(item.id === `${uid}-f${i}`));
    nodes.features.setAttribute("aria-activedescendant", `${uid}-f${i}`);
    document.getElementById(`${uid}-f${i}`)?.scrollIntoView({ block: "nearest" });
    ask({ act: "feature", feature: everybody.lines[i].feature });
    askRows(place >= 0 ? { around: place } : { start: 0 });
  }

  function moveFeature(step) {
    const shown = shownFeatures().map(([, i]) => i);
    const here = shown.indexOf(chosen);
    chooseFeature(shown[Math.min(shown.length - 1, Math.max(0, here + step))] ?? -1);
  }

  function onFeature(message, buffers) {
    feature = message;
    [xs, ys] = [0, 1].map((i) => new Float32Array(bytes(buffers[i])));
    nodes.featureTitle.textContent = message.label;
    nodes.featureWords.textContent = message.words;
    nodes.means.replaceChildren(h("summary", {}, "In numbers"),
      h("div", { class: "hw-scroll", role: "region", tabindex: "0", "aria-label": `Mean effect of ${message.label}` },
        h("table", { class: "hw-table" },
          h("thead", {}, h("tr", {}, ...["Value", "Mean effect", "Cases"].map((t) => h("th", { scope: "col" }, t)))),
          h("tbody", {}, ...message.means.map(([words, mean, n]) => h("tr", {},
            h("th", { scope: "row" }, words), h("td", {}, mean), h("td", {}, n.toLocaleString("en-US"))))))));
    paintChart();
  }

  // ------------------------------------------------------------- the chart
  let geometry = null;

  function paintChart() {
    if (!feature) return;
    const W = Math.max(240, nodes.plot.clientWidth || 480);
    const room = (W - 70) / feature.ticks.length;
    const crowded = feature.ticks.some(([, name]) => 7 * Math.min(name.length, 15) > room && !/^[−\d.,]+$/.test(name));
    const [left, right, top, foot] = [46, 10, 10, crowded ? 78 : 40];
    const H = Math.round(Math.min(340, Math.max(240, 0.62 * W))) + foot;
    const px = (x) => left + x * (W - left - right);
    const py = (y) => top + (1 - y) * (H - top - foot);
    geometry = { W, H, px, py };
    const cut = (name) => (name.length > 15 ? `${name.slice(0, 14)}…` : name);
    let reached = -Infinity; // names that would lie on each other are left out
    const free = ([x, name]) => {
      const half = crowded ? 8 : 3.6 * Math.min(name.length, 15);
      if (px(x) - half < reached) return false;
      reached = px(x) + half + (crowded ? 0 : 6);
      return true;
    };
    const tick = ([x, name]) => s("text", crowded
      ? { transform: `translate(${px(x).toFixed(1)} ${H - foot + 14}) rotate(-32)`, "text-anchor": "end" }
      : { x: px(x).toFixed(1), y: H - foot + 18, "text-anchor": "middle" }, cut(name));
    nodes.ring = s("circle", { r: 7, class: "hx-ring", visibility: "hidden" });
    nodes.near = s("circle", { r: 6, class: "hx-near", visibility: "hidden" });
    nodes.svg = s("svg", { width: W, height: H, viewBox: `0 0 ${W} ${H}`, class: "hx-chart", role: "img",
      "aria-label": `${feature.words} One mark per case; the list below has them in order.` },
      ...feature.heights.flatMap(([y, name]) => [
        s("line", { x1: left, x2: W - right, y1: py(y), y2: py(y), class: "hx-gridline" }),
        s("text", { x: left - 7, y: py(y) + 4, "text-anchor": "end" }, name)]),
      s("line", { x1: left, x2: W - right, y1: py(feature.zero), y2: py(feature.zero), class: "hx-zero" }),
      ...marks(), ...feature.ticks.filter(free).map(tick), nodes.near, nodes.ring);
    nodes.plot.replaceChildren(nodes.svg);
    const dense = (members ? tally(members) : xs.length) > MOST_DOTS;
    nodes.plotKey.textContent = "Across: the value. Up: how far it raised the score; below the line, how far it lowered it. "
      + (dense ? "Darker: more cases. " : "One dot is one case. ")
      + (members ? "Faint: the other cases. " : "") + "Click to choose a case.";
    paintRing();
  }

  const tally = (flags) => flags.reduce((sum, flag) => sum + flag, 0);

  function marks() {
    const everyone = [...xs.keys()];
    if (!members) return cloud(everyone, "hx-in");
    return [...cloud(everyone.filter((i) => !members[i]), "hx-out"), ...cloud(everyone.filter((i) => members[i]), "hx-in")];
  }

  function cloud(rows, kind) {
    const { px, py } = geometry;
    if (rows.length <= MOST_DOTS)
      return rows.map((i) => s("circle", { cx: px(xs[i]).toFixed(1), cy: py(ys[i]).toFixed(1), r: 3, class: kind }));
    const cells = new Map();
    let most = 1;
    for (const i of rows) {
      const key = Math.floor(px(xs[i]) / CELL) * 4096 + Math.floor(py(ys[i]) / CELL);
      const n = (cells.get(key) ?? 0) + 1;
      cells.set(key, n);
      if (n > most) most = n;
    }
    const paths = Array.from({ length: SHADES }, () => []);
    for (const [key, n] of cells) {
      const level = Math.min(SHADES - 1, Math.floor((SHADES * Math.log(1 + n)) / Math.log(2 + most)));
      paths[level].push(`M${Math.floor(key / 4096) * CELL} ${(key % 4096) * CELL}h${CELL - 1}v${CELL - 1}h-${CELL - 1}z`);
    }
    return paths.map((d, level) => (d.length
      ? s("path", { d: d.join(""), class: `${kind}-cell`, "--shade": `${18 + (82 * level) / (SHADES - 1)}%` }) : null)).filter(Boolean);
  }

  function paintRing() {
    if (!geometry || !xs || !nodes.ring) return;
    for (const [node, i] of [[nodes.ring, place], [nodes.near, hover]]) {
      node.setAttribute("visibility", i >= 0 && i < xs.length ? "visible" : "hidden");
      if (i < 0 || i >= xs.length) continue;
      node.setAttribute("cx", geometry.px(xs[i]).toFixed(1));
      node.setAttribute("cy", geometry.py(ys[i]).toFixed(1));
    }
  }

  function nearest(event, within) {
    if (!xs || !nodes.svg) return -1;
    const box = nodes.svg.getBoundingClientRect();
    const [mx, my] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1;
    let least = within * within;
    for (let i = 0; i < xs.length; i++) {
      if (members && !members[i]) continue;
      const dx = geometry.px(xs[i]) - mx;
      const dy = geometry.py(ys[i]) - my;
      const far = dx * dx + dy * dy;
      if (far < least) [best, least] = [i, far];
    }
    return best;
  }

  // ------------------------------------------------------------- rows
  let first = 0; // the line on top
  let after = null; // what to do with the next answer

  function askRows(where) {
    after = where;
    ask({ act: "rows", feature: everybody.lines[chosen].feature, order, scope, count: AHEAD,
      start: where.start ?? 0, around: where.around ?? null });
  }

  function onRows(message) {
    if (message.feature !== everybody.lines[chosen].feature) return;
    const then = after ?? {};
    after = null;
    list = message;
    at = message.at ?? -1;
    first = then.first ?? list.start;
    if (message.at != null) first = at - Math.floor(LINES / 2);
    if (then.want != null) chooseRow(then.want);
    else paintRows();
  }

  function paintRows() {
    if (at >= 0) first = Math.min(at, Math.max(first, at - LINES + 1));
    first = Math.max(list.start, Math.min(first, list.start + list.rows.length - LINES));
    const shown = list.rows.slice(first - list.start, first - list.start + LINES);
    nodes.rows.replaceChildren(...shown.map((row, k) => {
      const i = first + k;
      return h("li", { role: "option", id: `${uid}-r${i}`, class: "hx-row", "aria-selected": String(row.place === place),
        "aria-setsize": list.total, "aria-posinset": i + 1,
        "aria-label": `Case ${row.case}: ${row.value}; ${row.effect}; score ${row.score}`,
        onclick: () => { nodes.rows.focus(); chooseRow(i); } },
        h("span", { class: "hx-case" }, row.case), h("span", { class: "hx-cell" }, row.value),
        h("span", { class: "hx-effect" }, row.effect), h("span", { class: "hx-score" }, row.score));
    }));
    if (at >= 0) nodes.rows.setAttribute("aria-activedescendant", `${uid}-r${at}`);
    else nodes.rows.removeAttribute("aria-activedescendant");
    const told = (n) => n.toLocaleString("en-US");
    nodes.range.textContent = list.total ? `${told(first + 1)} to ${told(first + shown.length)} of ${told(list.total)}` : "No case";
    nodes.earlier.disabled = first <= 0;
    nodes.later.disabled = first + shown.length >= list.total;
  }

  const inList = (i) => i >= list.start && i < list.start + list.rows.length;

  function chooseRow(i) {
    const target = Math.min(list.total - 1, Math.max(0, i));
    if (target < 0) return;
    if (!inList(target)) {
      askRows({ start: Math.max(0, target - AHEAD / 2), want: target });
      return;
    }
    at = target;
    choosePlace(list.rows[at - list.start].place);
    paintRows();
  }

  function moveRow(step) {
    const from = after?.want ?? (at >= 0 ? at : step > 0 ? first - 1 : first);
    chooseRow(step === Infinity ? list.total - 1 : step === -Infinity ? 0 : from + step);
  }

  // The stretch in sight, without choosing.
  function page(step) {
    const target = Math.max(0, Math.min(list.total - LINES, first + step * LINES));
    at = -1;
    if (inList(target) && inList(Math.min(list.total, target + LINES) - 1)) {
      first = target;
      paintRows();
    } else askRows({ start: Math.max(0, target - AHEAD / 2), first: target });
  }

  function choosePlace(i) {
    if (i === place) return;
    place = i;
    paintRing();
    paintRows();
    ask({ act: "case", place: i });
  }

  // ------------------------------------------------------------- the case
  function onCase(told) {
    if (told.place !== place) return;
    const line = ([name, value]) => h("div", {}, h("dt", {}, name),
      h("dd", value === "not recorded" ? { class: "hj-missing" } : {}, value));
    const bars = told.bars.map((one) => h("li", { class: "hj-bar", "data-side": one.side },
      h("span", { class: "hj-sentence" }, one.sentence),
      h("span", { class: "hj-feature", "aria-hidden": "true" }, one.feature,
        one.value ? h("span", { class: "hj-muted" }, ` ${one.value}`) : null),
      h("span", { class: "hj-track", "aria-hidden": "true" }, h("span", { class: "hj-fill", "--length": one.length })),
      h("span", { class: "hj-effect", "aria-hidden": "true" }, one.text)));
    nodes.caseTitle.textContent = `Case ${told.case}`;
    nodes.status.textContent = `Case ${told.case}: ${told.decision}. ${told.score}.`;
    nodes.try.hidden = !open.tries;
    factsOpen ??= nodes.case.clientWidth >= 700;
    const facts = told.groups.reduce((n, [, pairs]) => n + pairs.length, 0);
    nodes.case.replaceChildren(
      h("div", {}, ...[
        h("p", { class: "hj-decision" }, told.decision),
        h("p", { class: "hj-chance" }, told.score, h("span", { class: "hj-muted" }, ` · ${told.rule}`)),
        told.probability == null ? null : h("div", { class: "hj-gauge", "aria-hidden": "true", "--p": told.probability, "--t": told.threshold },
          h("span", { class: "hj-level" }), h("span", { class: "hj-threshold" })),
        h("p", told.wrong ? { class: "hx-wrong" } : { class: "hj-muted" }, told.wrong ? "≠ " : "= ", told.recorded),
        h("h4", {}, "What moved it"),
        told.reliable === false ? h("p", { class: "hj-warning" }, h("strong", {}, "Do not rely on this explanation. "), told.reason) : null,
        told.reliable === null ? h("p", { class: "hj-muted" }, told.reason) : null,
        h("p", { class: "hj-muted" }, told.start, h("span", { class: "hj-legend" }, told.legend)),
        h("ul", { class: "hj-bars" }, ...bars),
      ].filter((node) => node != null)),
      h("details", { class: "hx-facts", open: factsOpen, ontoggle: (e) => { factsOpen = e.target.open; } },
        h("summary", {}, `All ${facts} facts`),
        ...told.groups.flatMap(([title, pairs]) => [
          title ? h("h4", { class: "hj-group-title" }, title) : "",
          h("dl", { class: "hj-values" }, ...pairs.map(line))])));
    if (desk && desk.of !== told.case) closeDesk();
  }

  // ------------------------------------------------------------- what if, in its place
  function openDesk() {
    const of = nodes.caseTitle.textContent.replace(/^Case /, "");
    closeDesk();
    desk = { of, ...whatIf({
      post: (message) => {
        try {
          model.send({ ...message, case: of });
        } catch {}
      },
      uid,
      lost: () => { nodes.alert.textContent = "No answer: the kernel is not running. Run the cell again."; },
    }) };
    const side = h("div", { class: "hj-side" }, desk.told, desk.questions);
    nodes.whatIf.replaceChildren(
      h("div", { class: "hw-head" }, h("h3", { tabindex: "-1" }, `What if? Case ${of}`),
        h("button", { type: "button", class: "hj-quiet", onclick: () => { closeDesk(); nodes.try.focus(); } }, "Done")),
      h("div", { class: "hj-columns hw-columns" }, desk.controls, side));
    nodes.whatIf.hidden = false;
    nodes.loose = keepInSight(side);
    desk.open();
    nodes.whatIf.querySelector("h3").focus();
  }

  function closeDesk() {
    if (!desk) return;
    desk.drop();
    nodes.loose();
    desk = null;
    nodes.whatIf.replaceChildren();
    nodes.whatIf.hidden = true;
  }

  // ------------------------------------------------------------- elements
  nodes.alert = h("p", { class: "hj-alert", role: "alert" });
  nodes.status = h("p", { class: "hj-sentence", role: "status" });
  nodes.busy = h("span", { class: "hj-muted" });
  nodes.how = h("p", { class: "hj-muted" });
  nodes.notes = h("details", { class: "hj-keys", hidden: true });
  nodes.scope = h("select", { onchange: () => setScope(nodes.scope.value) });
  nodes.about = h("p", { class: "hj-muted hx-about" });
  nodes.find = h("input", { type: "search", class: "hw-find", placeholder: "Find a feature", "aria-label": "Find a feature", hidden: true,
    oninput: () => paintFeatures() });
  nodes.features = listBox({ class: "hx-features", "aria-label": "Features, strongest first" },
    { move: moveFeature, count: () => everybody?.lines.length });
  nodes.none = h("p", { class: "hj-muted", hidden: true }, "No feature of that name.");
  nodes.more = h("button", { type: "button", class: "hj-quiet", hidden: true, onclick: () => { showAll = !showAll; paintFeatures(); } });
  nodes.key = h("p", { class: "hj-muted hx-key" });
  nodes.told = h("p", { class: "hj-warning", hidden: true });
  nodes.featureTitle = h("h3", {}, "Feature");
  nodes.featureWords = h("p", { class: "hj-muted" });
  nodes.plot = h("div", { class: "hx-plot",
    onclick: (event) => {
      const i = nearest(event, 30);
      if (i < 0) return;
      choosePlace(i);
      askRows({ around: i });
    },
    onpointermove: (event) => { hover = nearest(event, 16); paintRing(); },
    onpointerleave: () => { hover = -1; paintRing(); } });
  nodes.plotKey = h("p", { class: "hj-muted hx-small" });
  nodes.means = h("details", { class: "hj-keys" });
  nodes.order = h("select", { "aria-label": "Order of the cases", onchange: () => {
    order = nodes.order.value;
    askRows(place >= 0 ? { around: place } : { start: 0 });
  } });
  nodes.rows = listBox({ class: "hx-rows", "aria-label": "Cases" }, { move: moveRow, count: () => list.total });
  nodes.range = h("span", { class: "hj-muted hx-range" });
  nodes.earlier = h("button", { type: "button", class: "hj-quiet", disabled: true, onclick: () => page(-1) }, "◀ Earlier");
  nodes.later = h("button", { type: "button", class: "hj-quiet", disabled: true, onclick: () => page(1) }, "Later ▶");
  nodes.caseTitle = h("h3", {}, "The case");
  nodes.try = h("button", { type: "button", class: "hj-quiet", hidden: true, onclick: openDesk }, "Try changes");
  nodes.case = h("div", { class: "hx-told" }, h("p", { class: "hj-muted" }, "Choose a case: a dot of the chart, or a line of the list."));
  nodes.whatIf = h("section", { class: "hx-what-if", "aria-label": "What if", hidden: true });
  const root = h("section", { class: "hitl-judge hx-panel", "aria-label": "Explanations", "data-lm-suppress-shortcuts": "true" },
    h("header", { class: "hj-header" }, h("h2", {}, "What moves the model"),
      h("span", { class: "hj-muted" }, model.get("title")), nodes.busy,
      h("label", { class: "hx-scope" }, "Look at ", nodes.scope)),
    nodes.alert, nodes.status, nodes.about,
    h("div", { class: "hx-grid" },
      h("section", { class: "hj-card", "aria-label": "Features" }, h("h3", {}, "What moves it most"),
        nodes.how, nodes.key, nodes.told, nodes.find, nodes.features, nodes.none, nodes.more, nodes.notes),
      h("section", { class: "hj-card", "aria-label": "Rows of the feature" },
        nodes.featureTitle, nodes.featureWords, nodes.plot, nodes.plotKey, nodes.means,
        h("div", { class: "hx-list-head" }, h("h4", {}, "Its cases"), nodes.order),
        nodes.rows, h("div", { class: "hx-pages" }, nodes.earlier, nodes.range, nodes.later)),
      h("section", { class: "hj-card", "aria-label": "The case" },
        h("div", { class: "hw-head" }, nodes.caseTitle, nodes.try), nodes.case)),
    nodes.whatIf);
  root.addEventListener("keydown", (event) => {
    if (desk && nodes.whatIf.contains(event.target)) undoKey(event, desk);
    event.stopPropagation(); // JupyterLab would take the keys for itself
  });
  el.append(root);
  let width = 0;
  const watch = new ResizeObserver(() => {
    if (Math.abs(nodes.plot.clientWidth - width) < 2) return;
    width = nodes.plot.clientWidth;
    paintChart();
  });
  watch.observe(nodes.plot);
  model.on("msg:custom", receive);
  ask({ act: "open" });
  return () => {
    model.off("msg:custom", receive);
    watch.disconnect();
    closeDesk();
    clearTimeout(busyTimer);
    clearTimeout(lostTimer);
  };
}

export default { render };
