// The oversight panel: asks for news as long as it is open and in sight. Set behind dom.js.

const DEAD = 15000; // ms without an answer

function render({ model, el }) {
  const every = Math.max(250, 1000 * model.get("every"));
  const nodes = {};
  const painted = {};
  let view = model.get("view");
  let serial = 0;
  let inFlight = 0;
  let paused = false;
  let problem = "";
  let timer = null;
  let deadTimer = null;
  let direction = 0;

  // ------------------------------------------------------------- messages
  // One question in flight; the next one only after its answer.
  function look() {
    clearTimeout(timer);
    if (inFlight || paused || document.visibilityState === "hidden") return;
    inFlight = ++serial;
    try {
      model.send({ kind: "look", serial });
    } catch {}
    deadTimer = setTimeout(() => {
      inFlight = 0;
      say("Not live: the kernel does not answer. It may be busy, or not running.");
      again();
    }, DEAD);
  }

  function again() {
    clearTimeout(timer);
    if (!paused) timer = setTimeout(look, problem ? 5 * every : every);
  }

  function receive(message) {
    if (message.kind !== "looked" || message.serial !== inFlight) return;
    inFlight = 0;
    clearTimeout(deadTimer);
    say(message.failed ? `Not live: ${message.failed}` : "");
    again();
  }

  function say(words) {
    if (problem === words) return;
    problem = words;
    nodes.alert.textContent = words;
    paintPulse();
  }

  const back = () => { if (document.visibilityState === "visible") look(); };

  // ------------------------------------------------------------- pieces
  const quiet = (words) => h("p", { class: "hj-muted" }, words);
  const few = (list, most) => list.slice(0, most);

  // A number with its interval, as a line in a list: the sentence for who listens,
  // the places for who looks. `range` is what the ends of the track stand for.
  function estimates(lines, range, { label } = {}) {
    const [from, to] = range;
    const at = (x) => `${(100 * (Math.min(to, Math.max(from, x)) - from)) / (to - from)}%`;
    return h("ul", { class: "ho-lines", "aria-label": label }, ...lines.map((line) => {
      const told = line.value || line.status;
      const sentence = [line.name, told, line.interval && `interval ${line.interval}`, line.n, line.words]
        .filter(Boolean).join("; ");
      const track = h("span", { class: "ho-track" });
      if (from < 0) track.append(h("span", { class: "ho-zero", "--at": at(0) }));
      if (line.at) {
        const [value, low, high] = line.at;
        if (low != null) track.append(h("span", { class: "ho-whisker", "--low": at(low), "--high": at(high) }));
        track.append(h("span", { class: "ho-point", "--at": at(value) }));
      } else track.classList.add("ho-none");
      return h("li", { class: "ho-line" },
        h("span", { class: "hj-sentence" }, sentence),
        h("span", { class: "ho-name", "aria-hidden": "true" }, line.name, h("span", { class: "ho-n" }, line.n)),
        h("span", { "aria-hidden": "true", class: "ho-drawn" }, track),
        h("span", { class: "ho-value", "aria-hidden": "true" },
          line.value ? h("strong", {}, line.value) : h("em", {}, line.status),
          line.interval ? h("span", { class: "ho-n" }, line.interval) : null),
        line.words ? h("span", { class: "ho-words", "aria-hidden": "true" }, line.words) : null);
    }));
  }

  const scale = (range, words = (x) => `${Math.round(100 * x)}%`) => h("div", { class: "ho-scale", "aria-hidden": "true" },
    h("span", {}), h("span", { class: "ho-ends" }, h("span", {}, words(range[0])), h("span", {}, words(range[1]))), h("span", {}));

  // The end of a scale of shares: round, and no further than the widest interval.
  function shares(lines) {
    const most = Math.max(0.1, ...lines.flatMap((l) => (l.at ? l.at.filter((x) => x != null) : [])));
    return [0, [0.1, 0.2, 0.4, 0.6, 0.8].find((end) => most <= end) ?? 1];
  }

  function around(lines) {
    const most = Math.max(0.1, ...lines.flatMap((l) => (l.at ? l.at.map((x) => Math.abs(x ?? 0)) : [])));
    const end = [0.1, 0.2, 0.4, 0.6, 0.8].find((e) => most <= e) ?? 1;
    return [-end, end];
  }

  const points = (x) => `${x < 0 ? "−" : x > 0 ? "+" : ""}${Math.round(Math.abs(100 * x))}`;

  function drawn(lines, { signed = false, plain = false, label } = {}) {
    const range = plain ? [-1, 1] : signed ? around(lines) : shares(lines);
    const list = estimates(lines, range, { label });
    if (!lines.some((line) => line.at)) return list;
    return h("div", {}, list, scale(range, plain ? (x) => String(x).replace("-", "−") : signed ? (x) => `${points(x)} points` : undefined));
  }

  // ------------------------------------------------------------- painting
  // A part is painted again only where something in it changed: what is open stays open.
  function part(name, told, paint) {
    const key = JSON.stringify(told ?? null);
    if (painted[name] === key) return;
    painted[name] = key;
    nodes[name].replaceChildren(...paint(told).filter((node) => node != null));
  }

  function paint() {
    const { state } = view;
    nodes.flag.hidden = !view.simulated;
    nodes.empty.hidden = state === "live";
    nodes.grid.hidden = state !== "live";
    if (state === "reading") nodes.empty.replaceChildren(h("p", {}, "Reading what was recorded…"));
    if (state === "empty") paintEmpty();
    if (state === "live") {
      part("progress", view.progress, paintProgress);
      part("reviewers", view.reviewers, paintReviewers);
      part("agreement", view.agreement, paintAgreement);
      part("overrides", [view.overrides, direction], () => paintOverrides());
      part("use", view.use, paintUse);
      part("escalations", view.escalations, paintEscalations);
      part("recent", view.recent, paintRecent);
    }
    const said = state === "reading" ? "" : `${view.simulated ? "Simulated judgments. " : ""}${view.said}. Record ${view.events}.`;
    if (nodes.status.textContent !== said) nodes.status.textContent = said;
    paintPulse();
  }

  function paintEmpty() {
    nodes.empty.replaceChildren(
      h("h3", {}, "Nobody has judged a case yet"),
      h("p", {}, `${view.progress.sampled} cases are drawn and wait. As soon as the first answer is recorded, it shows here.`),
      h("p", { class: "hj-muted" }, "People judge on the page of audit.review(), or of “hitl-audit review” without a notebook."));
  }

  function paintPulse() {
    const state = problem ? "lost" : paused ? "paused" : view.state === "reading" ? "reading" : "live";
    nodes.pulse.dataset.state = state;
    nodes.pulseWords.textContent = { lost: "Not live", paused: "Paused", reading: "Reading…", live: "Live" }[state];
    nodes.pause.textContent = paused ? "Go on" : "Pause";
    nodes.last.textContent = view.last ? `Last answer ${ago(view.last)}` : "";
    nodes.last.title = view.last ? `${view.last.slice(0, 19).replace("T", " ")} UTC` : "";
  }

  function ago(utc) {
    const seconds = Math.max(0, (Date.now() - new Date(utc)) / 1000);
    if (seconds < 60) return "less than a minute ago";
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    return `${day(utc)}, ${time(utc)}`;
  }

  const day = (utc) => new Date(utc).toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" });

  function paintProgress(told) {
    const whole = Math.max(1, told.sampled);
    return [
      h("p", { class: "ho-big" }, h("strong", {}, told.judged.toLocaleString("en-US")),
        ` of ${told.sampled.toLocaleString("en-US")} drawn cases judged`),
      h("div", { class: "ho-parts", "aria-hidden": "true" }, ...told.parts.map(([, count], i) =>
        count ? h("span", { class: `ho-part-${i === told.parts.length - 1 ? "none" : i}`, "--share": count / whole }) : null)),
      h("ul", { class: "ho-key" }, ...told.parts.map(([name, count], i) => h("li", {},
        h("span", { class: `ho-k ho-part-${i === told.parts.length - 1 ? "none" : i}`, "aria-hidden": "true" }),
        h("strong", {}, count.toLocaleString("en-US")), ` ${name}`))),
      h("dl", { class: "ho-tiles" }, ...told.tiles.map(([name, value, note]) => h("div", {},
        h("dt", {}, name), h("dd", {}, h("strong", {}, value), " ", h("span", { class: "ho-n" }, note))))),
      told.notes.length ? h("details", { class: "hj-keys" }, h("summary", {}, "Not counted"),
        h("ul", {}, ...told.notes.map((note) => h("li", {}, note)))) : null,
    ];
  }

  function table(caption, heads, rows) {
    return h("div", { class: "hw-scroll", role: "region", tabindex: "0", "aria-label": caption },
      h("table", { class: "ho-table" },
        h("thead", {}, h("tr", {}, ...heads.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, ...rows)));
  }

  function paintReviewers(told) {
    if (!told.rows.length) return [quiet(told.note || "Nobody yet.")];
    const controls = told.rows.some((row) => row.controls);
    const waits = told.rows.some((row) => row.waits);
    return [
      table("Reviewers, under numbers instead of names",
        ["Reviewer", "Answers", waits ? "Tasks" : null, "Verdicts", "Overrides", controls ? "Controls" : null].filter(Boolean),
        told.rows.map((row) => h("tr", {},
          h("th", { scope: "row" }, row.name, row.simulated ? h("span", { class: "ho-sim" }, "simulated") : null,
            row.role && row.role !== "simulation" ? h("span", { class: "ho-n" }, row.role) : null),
          h("td", {}, String(row.answers)),
          waits ? h("td", {}, row.share == null ? "" : h("span", { class: "ho-mini", "aria-hidden": "true" },
            h("span", { "--share": row.share })), row.waits) : null,
          h("td", {}, row.verdicts || "–"),
          h("td", {}, row.overrides),
          controls ? h("td", {}, row.controls || "–") : null))),
      told.note ? quiet(told.note) : null,
    ];
  }

  function paintAgreement(told) {
    const among = told.reviewers.flatMap((one) => [
      h("h4", {}, `Among reviewers: ${one.title.toLowerCase()}`),
      one.none ? quiet(one.none) : null,
      one.pairs && !one.none ? quiet(one.pairs) : null,
      one.first.length ? drawn(one.first.map((l) => ({ ...l, words: "" })), { plain: true, label: one.title }) : null,
      one.first.length ? h("details", { class: "hj-keys" }, h("summary", {}, "How to read them, and the other coefficients"),
        ...one.first.map((l) => h("p", {}, h("strong", {}, `${l.name}: `), l.words)),
        one.others.length ? drawn(one.others.map((l) => ({ ...l, words: "" })), { plain: true, label: "Other coefficients" }) : null) : null,
    ]);
    if (!told.reviewers.length)
      among.push(h("h4", {}, "Among reviewers"), quiet("Not assessed: this takes two people who judged the same cases."));
    return [drawn(told.model, { label: "Agreement with the model" }), ...among];
  }

  function paintOverrides() {
    nodes.direction.hidden = view.overrides.length < 2;
    const names = view.overrides.map((one) => one.name);
    if (nodes.choose.options.length !== names.length)
      nodes.choose.replaceChildren(...names.map((name, i) => h("option", { value: i }, name)));
    const told = view.overrides[Math.min(direction, names.length - 1)];
    if (!told) return [quiet("Not assessed: no verdicts recorded yet.")];
    return [
      drawn(told.lines, { label: "Override rate by group" }),
      ...told.notes.map(quiet),
      told.gaps.length ? h("details", { class: "hj-keys", open: told.gaps.some((g) => g.at) },
        h("summary", {}, "Differences between groups, at the same score"),
        drawn(told.gaps, { signed: true, label: "Differences at the same score" })) : null,
    ];
  }

  function paintUse(told) {
    if (!told.reliance.length) return [quiet("Not assessed: no verdicts recorded yet.")];
    return [
      h("h4", {}, "What people added"),
      quiet(told.truth),
      told.effect.length ? drawn(told.effect, { signed: true, label: "What people added" }) : null,
      h("h4", {}, "How they used the model’s answer"),
      drawn(told.reliance, { label: "Reliance" }),
    ];
  }

  const STATES = { overdue: "▲ overdue", open: "● open", resolved: "✓ resolved", "taken back": "– taken back" };

  function paintEscalations(told) {
    if (!told.rows.length) return [quiet("Nothing was escalated.")];
    return [
      h("p", { class: "ho-big" }, h("strong", {}, String(told.open + told.overdue)), " open",
        told.overdue ? h("span", { class: "ho-late" }, `▲ ${told.overdue} overdue`) : null),
      table("Escalations", ["About", "Condition", "For", "Until", "State"], few(told.rows, 100).map((row) => h("tr", {},
        h("th", { scope: "row" }, row.subject, row.simulated ? h("span", { class: "ho-sim" }, "simulated") : null),
        h("td", {}, row.condition), h("td", {}, row.role),
        h("td", {}, row.deadline ? day(row.deadline) : "–"),
        h("td", { class: `ho-${row.status === "overdue" ? "late" : "state"}` }, STATES[row.status],
          row.outcome ? `: ${row.outcome}` : "")))),
      told.rows.length > 100 ? quiet(`and ${told.rows.length - 100} more, in audit.escalations().frame()`) : null,
    ];
  }

  const paintRecent = (told) => [h("ol", { class: "ho-recent" }, ...told.map(([at, words]) =>
    h("li", {}, h("time", { datetime: at, class: "ho-n" }, time(at)), words)))];

  // ------------------------------------------------------------- elements
  nodes.alert = h("p", { class: "hj-alert", role: "alert" });
  nodes.status = h("p", { class: "hj-sentence", role: "status" });
  nodes.flag = h("strong", { class: "hj-flag", hidden: true }, "SIMULATED JUDGMENTS");
  nodes.pulseWords = h("span", {});
  nodes.pulse = h("span", { class: "ho-pulse" }, nodes.pulseWords);
  nodes.last = h("span", { class: "hj-muted ho-last" });
  nodes.pause = h("button", { type: "button", class: "hj-quiet", onclick: () => {
    paused = !paused;
    paintPulse();
    if (paused) clearTimeout(timer);
    else look();
  } });
  nodes.choose = h("select", { "aria-label": "Which overrides", onchange: () => {
    direction = Number(nodes.choose.value);
    paint();
  } });
  nodes.direction = h("label", { class: "ho-choose" }, "Decided ", nodes.choose);
  nodes.empty = h("section", { class: "hj-card hj-finished", "aria-label": "Nothing yet" });
  const card = (name, title, ...before) => {
    nodes[name] = h("div", { class: "ho-body" });
    return h("section", { class: "hj-card", "aria-label": title },
      h("h3", {}, title), ...before, nodes[name]);
  };
  nodes.grid = h("div", { class: "ho-grid" },
    h("div", { class: "ho-column" }, card("progress", "Progress"), card("escalations", "Escalations"),
      card("agreement", "Agreement"), card("reviewers", "Reviewers"), card("recent", "Last answers")),
    h("div", { class: "ho-column" }, card("overrides", "Overrides by group", nodes.direction),
      card("use", "Reliance, and what people added")));
  const root = h("section", { class: "hitl-judge ho-panel", "aria-label": "Oversight", "data-lm-suppress-shortcuts": "true" },
    h("header", { class: "hj-header" }, h("h2", {}, "Oversight", h("span", { class: "hj-sentence" }, ` of ${model.get("title")}`)),
      h("span", { class: "hj-muted" }, model.get("title")), nodes.flag,
      h("span", { class: "ho-live" }, nodes.last, nodes.pulse, nodes.pause)),
    nodes.alert, nodes.status, nodes.empty, nodes.grid);
  root.addEventListener("keydown", (event) => event.stopPropagation()); // JupyterLab would take the keys

  const changed = () => {
    view = model.get("view");
    paint();
  };
  el.append(root);
  model.on("msg:custom", receive);
  model.on("change:view", changed);
  document.addEventListener("visibilitychange", back);
  const clock = setInterval(paintPulse, 15000);
  paint();
  look();
  return () => {
    model.off("msg:custom", receive);
    model.off("change:view", changed);
    document.removeEventListener("visibilitychange", back);
    clearInterval(clock);
    clearTimeout(timer);
    clearTimeout(deadTimer);
    paused = true;
  };
}

export default { render };
