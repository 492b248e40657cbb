// The judging page: shows the `view` trait, sends what the reviewer does.
// All text goes through textContent, so a hostile string stays a string.

const NOTHING = "This answer is not saved yet";
const LOST =
  "Not saved yet: the connection is lost. Your answer is kept in this browser " +
  "and will be sent when you reload.";

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

function newId() {
  if (crypto.randomUUID) return crypto.randomUUID(); // only where the page is secure
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// A browser may forbid storage; then answers simply have no second home.
const storage = {
  read(key, otherwise) {
    try {
      return JSON.parse(localStorage.getItem(key)) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  write(key, value) {
    try {
      if (value == null) localStorage.removeItem(key);
      else localStorage.setItem(key, JSON.stringify(value));
    } catch {}
  },
};

const time = (utc) => new Date(utc).toLocaleTimeString([], { timeStyle: "short" });

function render({ model, el }) {
  let view = model.get("view");
  let choice = null;
  let lostTimer = null;
  let nodes = {};
  const uid = newId().slice(0, 8);
  const root = h("section", {
    class: "hitl-judge",
    "aria-label": "Case review",
    "data-lm-suppress-shortcuts": "true", // JupyterLab: "1" or "d d" would change the cell
  });
  el.append(root);

  const outboxKey = () => `hitl-audit/outbox/${view.outbox}`;
  const draftKey = () => `hitl-audit/draft/${view.outbox}/${view.case?.id}`;
  const outbox = () => storage.read(outboxKey(), []);
  const isVerdict = () => view.stage === "final" || view.stage === "correction";

  // ------------------------------------------------------------- sending
  function post(message) {
    try {
      model.send(message);
    } catch {} // a closed connection: the outbox keeps the answer
    clearTimeout(lostTimer);
    lostTimer = setTimeout(() => {
      if (!outbox().length) return;
      nodes.status.textContent = "";
      alarm(LOST);
    }, 3000);
  }

  function submit() {
    if (!view.answers || view.stage === "saved") return;
    const reasons = [...root.querySelectorAll(".hj-reasons input:checked")].map((x) => x.value);
    const message = {
      kind: "submit",
      event_id: newId(),
      case_id: view.case.id,
      step: view.stage,
      answer: choice ?? "",
      reasons: choice === "disagree" ? reasons : [],
      rationale: nodes.why?.value ?? "",
      corrects: view.stage === "correction" ? view.saved.event_id : null,
    };
    alarm("");
    nodes.status.textContent = "Saving…";
    const others = outbox().filter((m) => m.case_id !== message.case_id || m.step !== message.step);
    storage.write(outboxKey(), [...others, message]); // a second try replaces the first
    post(message);
  }

  function acknowledge(eventId) {
    const rest = outbox().filter((message) => message.event_id !== eventId);
    storage.write(outboxKey(), rest.length ? rest : null);
    if (!rest.length) clearTimeout(lostTimer);
  }

  function receive(message) {
    acknowledge(message.event_id);
    if (message.kind === "saved") {
      storage.write(draftKey(), null);
      alarm("");
    } else if (message.kind === "refused") {
      nodes.status.textContent = NOTHING;
      alarm(message.words);
      const field = {
        answer: root.querySelector(".hj-answers button"),
        reasons: root.querySelector(".hj-reasons input"),
        rationale: nodes.why,
      }[message.field];
      field?.focus();
    }
  }

  // ------------------------------------------------------------- showing
  function alarm(words) {
    nodes.alert.textContent = words;
  }

  function choose(answer) {
    choice = answer;
    for (const button of root.querySelectorAll(".hj-answers button"))
      button.setAttribute("aria-pressed", String(button.dataset.answer === answer));
    const disagrees = answer === "disagree";
    if (nodes.reasons) nodes.reasons.hidden = !disagrees;
    if (nodes.why) {
      nodes.why.required = disagrees;
      nodes.whyLabel.textContent = disagrees
        ? "Why? In a few words"
        : "Anything to add? (optional)";
    }
    nodes.save.disabled = false;
    alarm("");
  }

  function header() {
    const { words, judged, total } = view.progress;
    const title = view.case ? `Case ${view.case.id}` : "Review";
    return h(
      "header",
      { class: "hj-header" },
      h("h2", {}, title),
      h("span", { class: "hj-muted" }, view.case ? words : ""),
      view.simulated ? h("strong", { class: "hj-flag" }, "SIMULATED JUDGMENTS") : null,
      h("span", { class: "hj-muted hj-who" }, view.reviewer),
      h("progress", { max: total || 1, value: judged, "aria-label": `Progress: ${words}` }),
    );
  }

  function caseCard() {
    const list = h("dl", { class: "hj-values" });
    for (const [name, value] of view.case.values)
      list.append(h("div", {}, h("dt", {}, name), h("dd", {}, value)));
    return h("section", { class: "hj-card", "aria-label": "The case" },
      h("h3", {}, "The case"), list);
  }

  function modelCard() {
    if (view.stage === "blind")
      return h("p", { class: "hj-hidden" },
        h("span", { class: "hj-lock", "aria-hidden": "true" }),
        "The model’s answer stays hidden until you have recorded your own.");
    const m = view.model;
    const rows = m.bars.map((bar) =>
      h("li", { class: "hj-bar", "data-side": bar.side },
        h("span", { class: "hj-sentence" }, bar.sentence),
        h("span", { class: "hj-feature", "aria-hidden": "true" }, bar.feature,
          bar.value ? h("span", { class: "hj-muted" }, ` ${bar.value}`) : null),
        h("span", { class: "hj-track", "aria-hidden": "true" },
          h("span", { class: "hj-fill", "--length": bar.length })),
        h("span", { class: "hj-effect", "aria-hidden": "true" }, bar.text)));
    const warning = m.reliable ? null
      : h("p", { class: "hj-warning" }, h("strong", {}, "Do not rely on this explanation. "), m.reason);
    return h("section", { class: "hj-card", "aria-label": "The model’s answer" },
      h("h3", {}, "The model’s answer"),
      h("p", { class: "hj-decision" }, m.decision),
      h("p", { class: "hj-chance" }, m.chance, h("span", { class: "hj-muted" }, ` · ${m.rule}`)),
      h("div", { class: "hj-gauge", "aria-hidden": "true", "--p": m.probability, "--t": m.threshold },
        h("span", { class: "hj-level" }), h("span", { class: "hj-threshold" })),
      rows.length ? h("h4", {}, "What moved it") : null,
      warning,
      rows.length ? h("p", { class: "hj-muted" }, m.start, h("span", { class: "hj-legend" }, m.legend)) : null,
      h("ul", { class: "hj-bars" }, ...rows));
  }

  function answerCard() {
    nodes.question = h("h3", { tabindex: "-1" }, view.question);
    const saved = view.saved;
    const what = view.stage === "saved" ? "Saved" : "Previous answer saved";
    nodes.status = h("p", { class: "hj-status", role: "status" },
      saved ? `${what} at ${time(saved.at)} · record ${saved.record}` : NOTHING);
    nodes.alert = h("p", { class: "hj-alert", role: "alert" });
    const card = h("section", { class: "hj-card hj-answer", "aria-label": "Your judgment" }, nodes.question);
    if (view.stage === "saved") {
      nodes.status.classList.add("hj-done");
      nodes.next = h("button", { type: "button", class: "hj-primary", "aria-keyshortcuts": "Alt+N",
        onclick: () => post({ kind: "next" }) }, "Next case", h("kbd", {}, "Alt+N"));
      card.append(
        h("p", { class: "hj-verdict" }, "Your verdict: ", h("strong", {}, saved.answer)),
        nodes.status, nodes.alert,
        h("div", { class: "hj-actions" }, nodes.next,
          h("button", { type: "button", onclick: () => post({ kind: "correct" }) }, "Correct this verdict")));
      return card;
    }
    if (view.own) card.append(h("p", { class: "hj-muted" }, "Your own decision was: ", h("strong", {}, view.own)));
    card.append(h("div", { class: "hj-answers", role: "group", "aria-label": view.question },
      ...view.answers.map(([answer, label], i) =>
        h("button", { type: "button", "data-answer": answer, "aria-pressed": "false",
          "aria-keyshortcuts": String(i + 1), onclick: () => choose(answer) },
          h("kbd", { "aria-hidden": "true" }, String(i + 1)), label))));
    if (isVerdict()) {
      nodes.reasons = h("fieldset", { class: "hj-reasons", hidden: true }, h("legend", {}, "Reasons"),
        ...view.reasons.map((reason) => h("label", {}, h("input", { type: "checkbox", value: reason }), reason)));
      nodes.whyLabel = h("label", { for: `${uid}-why` }, "Anything to add? (optional)");
      nodes.why = h("textarea", { id: `${uid}-why`, rows: "2",
        oninput: () => storage.write(draftKey(), nodes.why.value || null) });
      nodes.why.value = view.stage === "final" ? storage.read(draftKey(), "") : "";
      card.append(nodes.reasons, h("div", { class: "hj-why" }, nodes.whyLabel, nodes.why));
    }
    nodes.save = h("button", { type: "button", class: "hj-primary", disabled: true,
      "aria-keyshortcuts": "Control+Enter", onclick: submit }, "Save", h("kbd", {}, "Ctrl+Enter"));
    card.append(nodes.alert, h("div", { class: "hj-actions" }, nodes.save, nodes.status), keyboardHelp());
    return card;
  }

  function keyboardHelp() {
    const key = "hitl-audit/single-keys";
    const input = h("input", { type: "checkbox", onchange: () => storage.write(key, input.checked) });
    input.checked = storage.read(key, true);
    nodes.singleKeys = input;
    return h("details", { class: "hj-keys" }, h("summary", {}, "Keyboard"),
      h("p", { class: "hj-muted" }, "1–4 choose · Ctrl+Enter save · Alt+N next case"),
      h("label", {}, input, "Number keys choose while no text field has the focus"));
  }

  function draw(moveFocus) {
    nodes = {};
    choice = null;
    root.dataset.stage = view.stage;
    if (view.stage === "done") {
      nodes.alert = h("p", { class: "hj-alert", role: "alert" });
      nodes.question = h("h3", { tabindex: "-1" }, view.question);
      nodes.status = h("p", { class: "hj-muted", role: "status" }, "Every answer is in the ledger.");
      root.replaceChildren(header(),
        h("section", { class: "hj-card hj-finished" }, nodes.question, nodes.status, nodes.alert));
    } else {
      root.replaceChildren(header(), h("div", { class: "hj-columns" }, caseCard(),
        h("div", { class: "hj-side" }, modelCard(), answerCard())));
    }
    if (moveFocus) (nodes.next ?? nodes.question).focus({ preventScroll: false });
  }

  // ------------------------------------------------------------- keyboard
  root.addEventListener("keydown", (event) => {
    const inText = event.target.matches("textarea, input:not([type=checkbox])");
    const plain = !event.ctrlKey && !event.altKey && !event.metaKey;
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      submit();
    } else if (event.altKey && event.code === "KeyN" && nodes.next) {
      event.preventDefault();
      nodes.next.click();
    } else if (plain && !inText && nodes.singleKeys?.checked && /^[1-4]$/.test(event.key)) {
      const button = root.querySelectorAll(".hj-answers button")[event.key - 1];
      if (button) {
        event.preventDefault();
        button.focus();
        choose(button.dataset.answer);
      }
    }
    event.stopPropagation();
  });

  const onView = () => {
    view = model.get("view");
    draw(true);
  };
  model.on("change:view", onView);
  model.on("msg:custom", receive);
  draw(false);
  // On a page of its own nothing else has the focus, and keys would go nowhere.
  requestAnimationFrame(() => {
    if (document.activeElement === document.body) nodes.question.focus({ preventScroll: true });
  });
  for (const message of outbox()) post(message);
  return () => {
    clearTimeout(lostTimer);
    model.off("change:view", onView);
    model.off("msg:custom", receive);
  };
}

export default { render };
