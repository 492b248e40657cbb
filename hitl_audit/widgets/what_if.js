// Trying changes on one case: controls, the model's answer, and what can be asked about it.
// One message is in flight; while it is, a newer try replaces the one that waits.

const KEY_PAUSE = 450; // ms without a key: then what the arrow keys set is one edit
const SLOW = 400;
const TOP = 8;

function whatIf({ post, uid, lost = () => {}, warning = null }) {
  let schema = null;
  let answer = null; // to the last edit
  let shownNow = null; // as painted: the last edit, or a try
  let curve = null;
  let order = []; // of the bars: fixed while a slider moves
  let asking = false; // say first what is expected
  let touched = "";
  let held = ""; // the feature whose slider is being moved
  let keyTimer = null;
  let pendingKey = null;
  const rows = {};
  const nodes = {};

  // ------------------------------------------------------------- messages
  let serial = 0;
  let inFlight = 0;
  let waiting = [];
  let slowTimer = null;
  let deadTimer = null;

  function ask(message) {
    waiting = waiting.filter((m) => m.act !== "try");
    waiting.push(message);
    pump();
  }

  function pump() {
    if (inFlight || !waiting.length) return;
    inFlight = ++serial;
    post({ kind: "what-if", serial, ...waiting.shift() });
    clearTimeout(slowTimer);
    slowTimer = setTimeout(() => { nodes.busy.textContent = "Still computing…"; }, SLOW);
    clearTimeout(deadTimer);
    deadTimer = setTimeout(lost, 15000);
  }

  function release(message) {
    if (message.serial !== inFlight) return;
    inFlight = 0;
    clearTimeout(slowTimer);
    clearTimeout(deadTimer);
    nodes.busy.textContent = "";
    pump();
  }

  function receive(message) {
    const { about } = message;
    if (about === "preparing") {
      clearTimeout(slowTimer);
      clearTimeout(deadTimer);
      nodes.busy.textContent = "Preparing the model: the first time takes a few seconds…";
      return;
    }
    if (about === "schema") {
      schema = message.schema;
      asking = message.expectation_first;
      buildControls();
      buildQuestions(message);
      if (message.compare) paintComparison(message.compare);
      return; // its answer follows
    }
    if (about === "answer") onAnswer(message);
    else if (about === "bars") onBars(message);
    else if (about === "curve") {
      curve = message.curve;
      paintCurve();
    } else if (about === "refused") onRefused(message);
    else if (about === "searching") onSearching(message.seconds);
    else if (about === "ways") paintWays(message.found);
    else if (about === "cancelled") found("The search was stopped.");
    else if (about === "counterpart") paintCounterpart(message.found);
    else if (about === "flip") paintFlip(message.found);
    else if (about === "compare") paintComparison(message.compare);
    if (about !== "bars" && about !== "ways") release(message);
  }

  // ------------------------------------------------------------- controls
  const number = (c, value) =>
    Number(value).toLocaleString("en-US", { maximumFractionDigits: c.decimals });

  function buildControls() {
    const many = schema.groups.reduce((n, g) => n + g.features.length, 0) > 12;
    nodes.rows.replaceChildren(...schema.groups.map((group) =>
      h("fieldset", { class: "hw-group" },
        h("legend", group.title ? {} : { class: "hj-sentence" }, group.title || "Facts"),
        ...group.features.map(buildRow))));
    nodes.find.hidden = !many;
    nodes.ask.checked = asking;
  }

  function buildRow(c) {
    const id = `${uid}-w-${Object.keys(rows).length}`;
    const row = { c, id };
    row.was = h("span", { class: "hw-was", id: `${id}-was` });
    row.alert = h("p", { class: "hw-wrong", id: `${id}-wrong`, role: "alert" });
    row.asked = h("div", { class: "hw-asked" });
    const described = `${c.note ? `${id}-note ` : ""}${id}-was ${id}-wrong`;
    const parts = [];
    if (c.locked) {
      row.label = h("span", { class: "hw-label" }, c.label);
      row.fixed = h("span", { class: "hw-fixed" }, c.was);
      parts.push(h("span", { class: "hw-why hj-muted" }, h("span", { class: "hw-lock", "aria-hidden": "true" }),
        c.locked.startsWith("it is computed") ? "follows" : "fixed",
        h("span", { class: "hj-sentence" }, `: ${c.locked}`)), row.fixed);
      row.root = h("div", { class: "hw-row", title: `Cannot be changed: ${c.locked}` },
        row.label, ...parts, row.was);
    } else if (c.kind === "number") {
      row.box = h("input", { id, class: "hw-box", type: "text", inputmode: "decimal", autocomplete: "off",
        "aria-describedby": described,
        onchange: () => commit(c, row.box.value, false),
        onkeydown: (e) => {
          if (e.key === "Escape") paintRow(row, shownNow);
          if (e.key === "Enter" && !e.ctrlKey) { e.preventDefault(); row.box.blur(); row.box.focus(); }
        } });
      if (c.low != null && c.high > c.low)
        row.slider = h("input", { class: "hw-slider", type: "range", min: c.low, max: c.high, step: c.step,
          "aria-label": `${c.label}, slider`,
          onpointerdown: () => { held = c.feature; },
          oninput: () => slide(row),
          onchange: () => released(row),
          onblur: () => flush() });
      parts.push(row.slider ?? h("span"),
        h("span", { class: "hw-value" }, row.box, c.unit ? h("span", { class: "hj-muted" }, c.unit) : null));
    } else {
      row.box = h("select", { id, "aria-describedby": described,
        onchange: () => commit(c, row.box.value, false) },
        c.start === "start" ? h("option", { value: "start" }, c.was) : null,
        ...c.choices.map((words, i) => h("option", { value: i }, words)),
        c.missing ? h("option", { value: "" }, "not recorded") : null);
      parts.push(h("span", { class: "hw-value hw-wide" }, row.box));
    }
    row.root ??= h("div", { class: "hw-row" },
      h("label", { class: "hw-label", for: id }, c.label,
        c.protected ? h("span", { class: "hj-muted" }, " (protected)") : null),
      ...parts, c.note ? h("span", { class: "hj-muted hw-note", id: `${id}-note` }, c.note) : null, row.was, row.alert, row.asked);
    row.root.dataset.label = c.label.toLowerCase();
    rows[c.feature] = row;
    paintRow(row, null);
    return row.root;
  }

  const chosen = (c, value) => // a choice travels as its place
    c.kind === "choice" && /^\d+$/.test(value) ? Number(value) : value;

  function slide(row) {
    const { c, slider } = row;
    row.box.value = number(c, slider.value);
    slider.setAttribute("aria-valuetext", `${row.box.value} ${c.unit}`.trim());
    pendingKey = row;
    if (!asking) ask({ act: "try", feature: c.feature, value: Number(slider.value), slider: true });
  }

  function released(row) {
    clearTimeout(keyTimer);
    if (held) {
      held = "";
      flush();
    } else keyTimer = setTimeout(flush, KEY_PAUSE); // the next arrow key is the same edit
  }

  function flush() {
    clearTimeout(keyTimer);
    if (!pendingKey) return;
    const row = pendingKey;
    pendingKey = null;
    commit(row.c, Number(row.slider.value), true);
  }

  function commit(c, value, slider) {
    const row = rows[c.feature];
    row.alert.textContent = "";
    row.box.removeAttribute("aria-invalid");
    touched = c.feature;
    if (c.kind === "number" && !slider) {
      pendingKey = null;
      const now = shownNow.values[c.feature] ?? c.start;
      if (value === (now == null ? "" : number(c, now))) return; // nothing was typed
    }
    const message = { act: "set", feature: c.feature, value: chosen(c, value), slider };
    if (asking) expectFirst(row, message);
    else send(message);
  }

  function send(message) {
    ask(message);
    ask({ act: "curve", feature: message.feature });
  }

  function expectFirst(row, message) {
    const words = row.c.kind === "choice"
      ? row.box.selectedOptions[0].textContent : row.box.value || "not recorded";
    const choose = (expected) => {
      row.asked.replaceChildren();
      send({ ...message, expected });
      (row.slider ?? row.box).focus();
    };
    row.asked.replaceChildren(
      h("p", {}, `With ${row.c.label} ${words}, the score will …`),
      h("div", { class: "hw-buttons", role: "group", "aria-label": "What do you expect?" },
        h("button", { type: "button", onclick: () => choose("up") }, "▲ go up"),
        h("button", { type: "button", onclick: () => choose("down") }, "▼ go down"),
        h("button", { type: "button", onclick: () => choose("stay") }, "= stay"),
        h("button", { type: "button", class: "hw-plain", onclick: () => {
          row.asked.replaceChildren();
          paintRow(row, shownNow);
          row.box.focus();
        } }, "Cancel")));
  }

  function paintRow(row, told) {
    const { c } = row;
    const has = told && c.feature in told.values;
    const value = has ? told.values[c.feature] : c.start;
    if (c.locked) row.fixed.textContent = has ? told.words[c.feature] : c.was;
    else if (c.kind === "choice") row.box.value = value == null ? "" : String(value);
    else {
      row.box.value = value == null ? "" : number(c, value);
      row.box.placeholder = c.missing ? "not recorded" : "";
      if (row.slider && held !== c.feature && pendingKey !== row && value != null) {
        row.slider.value = value;
        row.slider.setAttribute("aria-valuetext", `${row.box.value} ${c.unit}`.trim());
      }
    }
    row.root.toggleAttribute("data-changed", Boolean(has));
    row.was.textContent = has ? `was ${c.was}` : "";
  }

  // ------------------------------------------------------------- the answer
  function onAnswer(message) {
    shownNow = message.answer;
    if (!message.trying) answer = message.answer;
    for (const row of Object.values(rows)) {
      if (pendingKey === row || held === row.c.feature) {
        const c = row.c; // the hand is faster than the answer: only the note beside it
        row.root.toggleAttribute("data-changed", c.feature in shownNow.values);
        row.was.textContent = c.feature in shownNow.values ? `was ${c.was}` : "";
      } else paintRow(row, shownNow);
    }
    if (shownNow.bars) {
      if (!message.trying || !order.length) sortBars();
      paintBars(shownNow.bars, false);
    } else nodes.bars.dataset.stale = "true";
    paintScore();
    if (curve && message.trying) paintCurve();
    if (!message.trying) {
      nodes.undo.disabled = !answer.undo;
      nodes.redo.disabled = !answer.redo;
      nodes.reset.disabled = !answer.edits;
      nodes.keep.disabled = !answer.edits;
      nodes.live.textContent = [answer.decision, answer.score, answer.edits ? answer.moved : "",
        answer.likeness === "like others" ? "" : answer.distance].filter(Boolean).join(". ");
      nodes.expected.textContent = message.expected ?? "";
      nodes.expected.dataset.outcome = message.outcome ?? "";
    }
  }

  function onBars(message) {
    if (!message.bars) {
      nodes.barsWords.replaceChildren(h("summary", {}, "No contributions"), h("p", {}, message.words));
      return;
    }
    shownNow.bars = message.bars;
    sortBars();
    paintBars(message.bars);
  }

  function onRefused(message) {
    pendingKey = null;
    held = "";
    if (message.answer) onAnswer({ answer: message.answer, trying: false });
    const row = rows[message.feature];
    if (!row) {
      nodes.expected.textContent = message.words;
      nodes.expected.dataset.outcome = "violated";
      return;
    }
    row.alert.textContent = message.words;
    row.box?.setAttribute("aria-invalid", "true");
    row.box?.focus();
  }

  function paintScore() {
    const a = shownNow;
    nodes.decision.textContent = a.decision || a.score;
    nodes.chance.textContent = a.decision ? a.score : "";
    nodes.turned.hidden = !a.turned;
    nodes.moved.textContent = a.edits ? `Was ${schema.start} · ${a.moved}` : "As it is: nothing is changed";
    nodes.strip.firstChild.replaceChildren(h("strong", {}, a.decision || a.score),
      a.decision ? ` · ${a.score}` : "", a.edits ? ` · was ${schema.start}` : "");
    nodes.gauge.style.setProperty("--p", a.level);
    nodes.gauge.style.setProperty("--s", a.start_level);
    nodes.gauge.style.setProperty("--t", schema.threshold ?? -1);
    nodes.gauge.dataset.edits = a.edits ? "some" : "none";
    nodes.threshold.hidden = schema.threshold == null;
    nodes.distance.textContent = a.distance;
    nodes.distance.dataset.likeness = a.likeness;
  }

  function sortBars() {
    const b = shownNow.bars;
    const size = (i) => Math.max(Math.abs(b.before[i]), Math.abs(b.after[i]));
    const ranked = b.features.map((_, i) => i).sort((i, j) => size(j) - size(i));
    order = ranked.slice(0, TOP);
    const place = b.features.indexOf(touched);
    if (place >= 0 && !order.includes(place)) order.splice(TOP - 1, 1, place);
  }

  function paintBars(b) {
    nodes.bars.dataset.stale = "false";
    nodes.barsWords.replaceChildren(h("summary", {}, "About these numbers"), h("p", {}, `${b.words}.`));
    const sum = (values) => values.reduce((total, v, i) => total + (order.includes(i) ? 0 : v), 0);
    const lines = order.map((i) => [b.labels[i], b.values[i], b.before[i], b.after[i]]);
    const others = b.features.length - order.length;
    if (others) lines.push([`${others} other features together`, "", sum(b.before), sum(b.after)]);
    const longest = Math.max(...lines.flatMap((l) => [Math.abs(l[2]), Math.abs(l[3])])) || 1;
    const digits = b.factor === 100 ? 1 : 2;
    nodes.bars.replaceChildren(...lines.map(([label, value, before, after]) => {
      const size = (Math.abs(after) * b.factor).toFixed(digits);
      const side = !Number(size) ? "none" : after > 0 ? "up" : "down";
      const text = side === "none" ? `${size}${b.unit}`
        : `${side === "up" ? "▲ +" : "▼ −"}${size}${b.unit}`;
      const was = (Math.abs(before) * b.factor).toFixed(digits);
      const differs = was !== size || (before > 0) !== (after > 0);
      return h("li", { class: "hj-bar", "data-side": side },
        h("span", { class: "hj-sentence" }, `${label}${value ? `, ${value}` : ""}: ` +
          (side === "none" ? "changes nothing" : `${side === "up" ? "raises" : "lowers"} by ${size}${b.unit}`) +
          (differs ? `; before: ${before > 0 ? "raised" : "lowered"} by ${was}${b.unit}` : "")),
        h("span", { class: "hj-feature", "aria-hidden": "true" }, label,
          value ? h("span", { class: "hj-muted" }, ` ${value}`) : null),
        h("span", { class: "hj-track", "aria-hidden": "true" },
          h("span", { class: "hj-fill", "--length": (Math.abs(after) / longest) * 100 }),
          differs ? h("span", { class: "hw-ghost", "data-side": before > 0 ? "up" : "down",
            "--length": (Math.abs(before) / longest) * 100 }) : null),
        h("span", { class: "hj-effect", "aria-hidden": "true" }, text));
    }));
  }

  // ------------------------------------------------------------- the response curve
  function paintCurve() {
    const box = nodes.curve;
    box.hidden = !curve || !curve.case.some((v) => v != null);
    if (box.hidden) return;
    const W = Math.max(260, box.clientWidth || 520), H = 190;
    const [left, right, top, foot] = [38, 14, 12, 52];
    const seen = [...curve.case, ...curve.low, ...curve.high, curve.level].filter((v) => v != null);
    let [low, high] = [Math.min(...seen), Math.max(...seen)];
    const gap = Math.max(0.05, (high - low) * 0.12);
    [low, high] = [Math.max(0, low - gap), Math.min(1, high + gap)];
    const xs = curve.x;
    const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
    const pad = curve.numeric ? 0 : 0.5;
    const px = (x) => left + ((x - x0 + pad) / (x1 - x0 + 2 * pad || 1)) * (W - left - right);
    const py = (y) => top + (1 - (y - low) / (high - low)) * (H - top - foot);
    const line = (ys) => xs.map((x, i) => (ys[i] == null ? null : [px(x), py(ys[i])]))
      .filter(Boolean).map((p, i) => `${i ? "L" : "M"}${p[0].toFixed(1)} ${p[1].toFixed(1)}`).join("");
    const band = () => {
      const there = xs.map((_, i) => i).filter((i) => curve.low[i] != null);
      return there.map((i, k) => `${k ? "L" : "M"}${px(xs[i])} ${py(curve.high[i])}`).join("") +
        there.reverse().map((i) => `L${px(xs[i])} ${py(curve.low[i])}`).join("") + "Z";
    };
    const most = Math.max(...curve.near, 1);
    const width = Math.max(3, Math.min(26, ((W - left - right) / xs.length) * 0.7));
    const c = rows[curve.feature].c;
    const trying = shownNow?.values[curve.feature] ?? c.start;
    const at = curve.numeric || typeof trying === "number" ? trying : null;
    const level = shownNow?.level ?? curve.level;
    const ticks = [low + (high - low) * 0.1, high - (high - low) * 0.1];
    const mark = (x, y, name) => x == null || x === "start" ? null
      : s("circle", { class: name, cx: px(x), cy: py(Math.min(high, Math.max(low, y))), r: 5.5 });
    const chart = s("svg", { viewBox: `0 0 ${W} ${H}`, width: "100%", role: "img", class: "hw-chart",
      "aria-label": `How the score answers to ${curve.label}. ${curve.words}` },
      ...xs.map((x, i) => s("rect", { class: "hw-density", x: px(x) - width / 2, width,
        y: H - foot + 24 - (curve.near[i] / most) * 20, height: (curve.near[i] / most) * 20 })),
      ...ticks.map((t) => s("g", {},
        s("line", { class: "hw-grid", x1: left, x2: W - right, y1: py(t), y2: py(t) }),
        s("text", { x: left - 6, y: py(t) + 4, "text-anchor": "end" }, (t * 100).toFixed(0)))),
      schema.threshold != null && schema.threshold > low && schema.threshold < high
        ? s("line", { class: "hw-limit", x1: left, x2: W - right, y1: py(schema.threshold), y2: py(schema.threshold) })
        : null,
      curve.numeric ? s("path", { class: "hw-band", d: band() }) : null,
      curve.numeric ? s("path", { class: "hw-average", d: line(curve.average) }) : null,
      curve.numeric ? s("path", { class: "hw-case", d: line(curve.case) })
        : s("g", {}, ...xs.map((x, i) => curve.case[i] == null ? null
          : s("g", {}, s("line", { class: "hw-average", x1: px(x) - 12, x2: px(x) + 12,
              y1: py(curve.average[i]), y2: py(curve.average[i]) }),
            s("rect", { class: "hw-dot", x: px(x) - 4, y: py(curve.case[i]) - 4, width: 8, height: 8 })))),
      mark(curve.start_at, curve.start_level, "hw-start"),
      mark(at, level, "hw-here"));
    const show = curve.numeric ? [0, xs.length - 1]
      : xs.map((_, i) => i).filter((i) => xs.length <= 8 || i === 0 || i === xs.length - 1);
    for (const i of show)
      chart.append(s("text", { x: px(xs[i]), y: H - 10,
        "text-anchor": curve.numeric ? (i ? "end" : "start") : "middle" },
        short(curve.names[i], curve.numeric ? 24 : Math.max(4, Math.floor((W - left - right) / show.length / 7)))));
    box.replaceChildren(h("h4", {}, `How the score answers to ${curve.label}`), chart,
      h("p", { class: "hj-muted hw-key" },
        h("span", { class: "hw-k hw-k-case" }), "this case",
        h("span", { class: "hw-k hw-k-average" }), `average of ${curve.people}`,
        h("span", { class: "hw-k hw-k-density" }), "people in the data"),
      h("p", { class: "hj-muted" }, curve.words));
  }

  const short = (text, most) => (text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text);

  // ------------------------------------------------------------- questions
  function buildQuestions(message) {
    const flips = message.attributes.map(([name, label]) =>
      h("button", { type: "button", onclick: () => question({ act: "flip", attribute: name }) }, `As another ${label.toLowerCase()}`));
    const decides = schema.decides;
    nodes.questions.replaceChildren(...[
      decides ? h("button", { type: "button", onclick: () => question({ act: "ways" }) }, "Smallest changes to the other decision") : null,
      decides ? h("button", { type: "button", onclick: () => question({ act: "counterpart" }) }, "A similar person, decided otherwise") : null,
      ...flips].filter(Boolean));
  }

  function question(message) {
    flush();
    found("");
    ask(message);
  }

  function found(words, ...children) {
    nodes.found.replaceChildren(...(words ? [h("p", { class: "hw-found-words" }, words)] : []),
      ...children.filter(Boolean));
    nodes.say.textContent = words;
  }

  function onSearching(seconds) {
    const started = performance.now();
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Searching" });
    found("Searching…", bar, h("button", { type: "button", onclick: () => ask({ act: "cancel" }) }, "Stop"));
    const move = () => {
      if (!bar.isConnected) return;
      bar.value = Math.min(1, (performance.now() - started) / (1000 * seconds));
      setTimeout(move, 100);
    };
    move();
  }

  const change = ([label, before, after]) =>
    h("li", {}, label, " ", h("span", { class: "hj-muted" }, before), " → ", h("strong", {}, after));

  function paintWays(ways) {
    found(ways.words, ways.rows.length ? h("ol", { class: "hw-ways" }, ...ways.rows.map((way, place) =>
      h("li", {}, h("div", {},
        h("div", {},
          h("ul", {}, ...way.changes.map(change), ...way.follows.map(change)),
          h("p", { class: "hj-muted" }, `${way.decision} · ${way.score}`,
            way.likeness === "like others" ? "" : ` · ${way.likeness}`)),
        h("button", { type: "button", class: "hj-quiet", onclick: () => ask({ act: "apply", place }) }, "Try it",
          h("span", { class: "hj-sentence" }, ` (suggestion ${place + 1})`)))))) : null);
  }

  function paintCounterpart(other) {
    found(other.words, other.rows.length ? h("div", { class: "hw-scroll", tabindex: "0", role: "region", "aria-label": "Differences" },
      h("table", { class: "hw-table" },
        h("thead", {}, h("tr", {}, ...["What differs most", "This case", "That person"].map((t) => h("th", { scope: "col" }, t)))),
        h("tbody", {}, ...other.rows.map(([label, here, there]) =>
          h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, here), h("td", {}, there)))))) : null,
      other.more ? h("p", { class: "hj-muted" }, `and ${other.more} smaller differences`) : null);
  }

  function paintFlip(flip) {
    const table = (title, flips) => h("div", { class: "hw-scroll", tabindex: "0", role: "region", "aria-label": title },
      h("table", { class: "hw-table" },
        h("thead", {}, h("tr", {}, ...["As", "What changes", "Score"].map((t) => h("th", { scope: "col" }, t)))),
        h("tbody", {}, ...flips.map((f) => h("tr", {}, h("th", { scope: "row" }, f.to),
          h("td", {}, f.changes.length ? h("ul", {}, ...f.changes.map(change)) : "nothing"),
          h("td", {}, h("strong", {}, f.score), ` ${f.moved}`,
            f.turned ? h("span", { class: "hw-turned" }, "decision changes") : null))))));
    // The last one of a group has everything that goes with it; the others are its parts.
    const last = flip.together.filter((f, i) => flip.together[i + 1]?.to !== f.to);
    const parts = flip.together.filter((f) => !last.includes(f));
    found(flip.words,
      ...(flip.alone.length ? [h("h5", {}, "Nothing else changed"), table("Nothing else changed", flip.alone)] : []),
      ...(last.length ? [h("h5", {}, "With what goes with it"), table("With what goes with it", last)] : []),
      parts.length ? h("details", { class: "hj-keys" }, h("summary", {}, "One at a time"), table("One at a time", parts)) : null,
      h("p", { class: "hj-muted hw-small" }, flip.notes.join("; ") + "."));
  }

  function paintComparison(compare) {
    nodes.compare.hidden = !compare;
    if (!compare) return nodes.compare.replaceChildren();
    const line = (title, get) => h("tr", {}, h("th", { scope: "row" }, title),
      ...compare.columns.map((column) => h("td", {}, get(column))));
    nodes.compare.replaceChildren(h("h4", {}, "Side by side"),
      h("div", { class: "hw-scroll", tabindex: "0", role: "region", "aria-label": "Versions side by side" },
        h("table", { class: "hw-table" },
          h("thead", {}, h("tr", {}, h("td", {}), ...compare.columns.map((c) => h("th", { scope: "col" }, c.name)))),
          h("tbody", {},
            line("Score", (c) => h("strong", {}, c.score)),
            schema.decides ? line("Decision", (c) => c.decision) : "",
            line("In the data", (c) => c.likeness),
            ...compare.rows.map((label, i) => h("tr", {}, h("th", { scope: "row" }, label),
              ...compare.columns.map((c) => h("td", { "data-changed": c.changed[i] }, c.values[i]))))))),
      h("button", { type: "button", class: "hj-quiet", onclick: () => ask({ act: "forget" }) }, "Clear"));
  }

  // ------------------------------------------------------------- elements
  const act = (name) => () => {
    flush();
    ask({ act: name });
    if (curve) ask({ act: "curve", feature: curve.feature });
  };
  nodes.undo = h("button", { type: "button", class: "hj-quiet", disabled: true, "aria-keyshortcuts": "Control+Z", onclick: act("undo") }, "Undo");
  nodes.redo = h("button", { type: "button", class: "hj-quiet", disabled: true, onclick: act("redo") }, "Redo");
  nodes.reset = h("button", { type: "button", class: "hj-quiet", disabled: true, onclick: act("reset") }, "Reset all");
  nodes.find = h("input", { type: "search", class: "hw-find", placeholder: "Find a fact", "aria-label": "Find a fact", hidden: true,
    oninput: () => {
      const wanted = nodes.find.value.trim().toLowerCase();
      for (const row of Object.values(rows)) row.root.hidden = !row.root.dataset.label.includes(wanted);
      for (const group of nodes.rows.children)
        group.hidden = ![...group.querySelectorAll(".hw-row")].some((row) => !row.hidden);
    } });
  nodes.ask = h("input", { type: "checkbox", onchange: () => { asking = nodes.ask.checked; } });
  nodes.rows = h("div", { class: "hw-rows" });
  nodes.tools = h("div", { class: "hw-tools" }, nodes.undo, nodes.redo, nodes.reset);
  // The answer in one line, over the controls, as long as the answer itself is out of sight.
  nodes.strip = h("div", { class: "hw-strip", "aria-hidden": "true", hidden: true }, h("p"));
  const controls = h("section", { class: "hj-card hw-controls", "aria-label": "The case, editable" },
    h("div", { class: "hw-head" }, h("h3", { tabindex: "-1" }, "Change the case"), nodes.tools),
    nodes.strip, nodes.find, nodes.rows,
    h("label", { class: "hw-ask" }, nodes.ask, "Ask me first what I expect"));

  nodes.decision = h("p", { class: "hj-decision" });
  nodes.turned = h("span", { class: "hw-turned", hidden: true }, "the decision changes");
  nodes.chance = h("span", {});
  nodes.moved = h("p", { class: "hj-muted hw-moved" });
  nodes.busy = h("span", { class: "hj-muted" });
  nodes.threshold = h("span", { class: "hj-threshold" });
  nodes.gauge = h("div", { class: "hj-gauge", "aria-hidden": "true" },
    h("span", { class: "hj-level" }), h("span", { class: "hw-origin" }), nodes.threshold);
  const sight = new IntersectionObserver((entries) => {
    nodes.strip.hidden = entries.at(-1).isIntersecting;
  });
  sight.observe(nodes.gauge);
  nodes.distance = h("p", { class: "hw-distance" });
  nodes.expected = h("p", { class: "hw-expected", role: "status" });
  nodes.live = h("p", { class: "hj-sentence", role: "status" });
  nodes.bars = h("ul", { class: "hj-bars" });
  nodes.barsWords = h("details", { class: "hj-keys" });
  nodes.curve = h("div", { class: "hw-curve", hidden: true });
  const told = h("section", { class: "hj-card hw-answer", "aria-label": "The model’s answer" },
    h("h3", {}, "The model’s answer"),
    nodes.decision, h("p", { class: "hj-chance" }, nodes.chance, " ", nodes.turned),
    nodes.gauge, nodes.moved, nodes.busy, nodes.live, nodes.expected, nodes.distance,
    h("h4", {}, "What moved it"), warning,
    h("p", { class: "hj-muted" }, "▲ raises the score   ▼ lowers it   ", h("span", { class: "hw-k hw-k-ghost" }), "before your edits"),
    nodes.bars, nodes.barsWords, nodes.curve);

  nodes.questions = h("div", { class: "hw-buttons" });
  nodes.found = h("div", { class: "hw-found" });
  nodes.say = h("p", { class: "hj-sentence", role: "status" });
  nodes.compare = h("div", { class: "hw-compare", hidden: true });
  nodes.keep = h("button", { type: "button", disabled: true, onclick: () => { flush(); ask({ act: "keep" }); } }, "Keep this version");
  const questions = h("section", { class: "hj-card hw-questions", "aria-label": "Ask about this case" },
    h("h3", {}, "Ask about this case"), nodes.questions, nodes.say, nodes.found,
    h("div", { class: "hw-buttons" }, nodes.keep), nodes.compare);

  return {
    controls, told, questions, receive, flush,
    tools: nodes.tools,
    open: () => ask({ act: "open" }),
    undo: () => nodes.undo.click(),
    redraw: () => { if (curve) paintCurve(); },
    drop: () => { sight.disconnect(); clearTimeout(slowTimer); clearTimeout(deadTimer); clearTimeout(keyTimer); },
    get changed() { return Boolean(answer?.edits); },
  };
}

// Ctrl+Z outside of text takes the last edit back; within text it is the browser's.
function undoKey(event, desk) {
  const inText = event.target.matches("textarea, input:not([type=checkbox], [type=radio], [type=range])");
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || inText) return false;
  event.preventDefault();
  desk.undo();
  return true;
}
