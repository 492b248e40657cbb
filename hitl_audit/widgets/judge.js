// The judging page: shows the `view` trait, sends what the reviewer does.
// Set behind dom.js and what_if.js.

const NOTHING = "This answer is not saved yet";
const LOST =
  "Not saved yet: the connection is lost. Your answer is kept in this browser " +
  "and will be sent when you reload.";
const LOST_EDIT = "No answer: the connection is lost. Reload to go on; what you recorded is safe.";

function render({ model, el }) {
  let view = model.get("view");
  let choice = null;
  let lostTimer = null;
  let nodes = {};
  let desk = null; // what is tried on the case on screen
  let loose = () => {};
  const uid = newId().slice(0, 8);
  const root = h("section", {
    class: "hitl-judge",
    "aria-label": "Case review",
    "data-lm-suppress-shortcuts": "true", // JupyterLab: "1" or "d d" would change the cell
  });
  el.append(root);

  const outboxKey = () => `hitl-audit/outbox/${view.outbox}`;
  const draftKey = () => `hitl-audit/draft/${view.outbox}/${view.case?.id}`;
  const noteKey = () => `${draftKey()}/note`;
  const outbox = () => storage.read(outboxKey(), []);
  const isVerdict = () => ["final", "correction", "adjudicate"].includes(view.stage);
  const needsWhy = () =>
    choice === "disagree" || view.stage === "adjudicate" ||
    (choice === "escalate" && view.escalates_to);

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
    if (!nodes.save) return;
    desk?.flush(); // an edit that waits for the next arrow key comes before the verdict
    const reasons = [...root.querySelectorAll(".hj-reasons input:checked")].map((x) => x.value);
    const sure = root.querySelector(".hj-sure input:checked");
    const message = {
      kind: "submit",
      event_id: newId(),
      case_id: view.case.id,
      step: view.stage,
      answer: choice ?? "",
      confidence: sure ? Number(sure.value) : null,
      reasons: nodes.reasons?.hidden === false ? reasons : [],
      rationale: nodes.whyBox?.hidden === false ? nodes.why.value : "",
      note: nodes.note?.value ?? "",
      corrects: view.stage === "correction" ? view.saved.event_id : null,
    };
    save(message);
  }

  function withdraw() {
    save({ kind: "withdraw", event_id: newId(), case_id: view.case.id, step: "withdraw",
      withdraws: view.saved.event_id, rationale: nodes.why.value });
  }

  function save(message) {
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
    if (message.kind === "what-if") {
      desk?.receive(message);
      return;
    }
    acknowledge(message.event_id);
    if (message.kind === "saved") {
      storage.write(draftKey(), null);
      storage.write(noteKey(), null);
      alarm("");
    } else if (message.kind === "refused") {
      nodes.status.textContent = NOTHING;
      alarm(message.words);
      const field = {
        answer: root.querySelector(".hj-answers button"),
        confidence: root.querySelector(".hj-sure input"),
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
    if (nodes.reasons) nodes.reasons.hidden = answer !== "disagree" && view.stage !== "adjudicate";
    if (nodes.why) {
      nodes.whyBox.hidden = !needsWhy() && answer !== "escalate";
      nodes.why.required = Boolean(needsWhy());
      nodes.whyLabel.textContent =
        answer !== "escalate" ? "Why? In a few words"
          : view.escalates_to ? `What should the ${view.escalates_to} decide? In a few words`
            : "Why? (optional)";
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
      h("span", { class: "hj-muted" }, view.case && view.stage !== "back" ? words : ""),
      view.due ? dueWords() : null,
      view.simulated ? h("strong", { class: "hj-flag" }, "SIMULATED JUDGMENTS") : null,
      h("span", { class: "hj-muted hj-who" }, view.reviewer),
      view.history?.length && view.stage !== "back"
        ? h("button", { type: "button", class: "hj-quiet", onclick: () => lookAt(view.history.at(-1)) },
          "Look back")
        : null,
      h("progress", { max: total || 1, value: judged, "aria-label": `Progress: ${words}` }),
    );
  }

  function dueWords() {
    const due = new Date(view.due);
    const late = due < new Date();
    const day = due.toLocaleDateString([], { dateStyle: "medium" });
    return h("span", { class: late ? "hj-late" : "hj-muted" }, late ? `Overdue since ${day}` : `Due ${day}`);
  }

  const lookAt = (caseId) => post({ kind: "back", case_id: caseId });

  function remarks() {
    return view.remarks?.length
      ? h("div", { class: "hj-remarks", role: "note" }, ...view.remarks.map((words) => h("p", {}, words)))
      : null;
  }

  function caseCard() {
    const line = ([name, value]) =>
      h("div", {}, h("dt", {}, name),
        h("dd", value === "not recorded" ? { class: "hj-missing" } : {}, value));
    const groups = view.case.groups ?? [["", view.case.values]];
    const missing = view.case.values.filter(([, value]) => value === "not recorded").length;
    return h("section", { class: "hj-card", "aria-label": "The case" },
      h("div", { class: "hw-head" }, h("h3", { tabindex: "-1" }, "The case"),
        view.what_if ? h("button", { type: "button", class: "hj-quiet", onclick: tryChanges }, "Try changes") : null),
      missing ? h("p", { class: "hj-muted" }, `${missing} of ${view.case.values.length} facts ${missing === 1 ? "is" : "are"} not recorded.`) : null,
      ...groups.flatMap(([title, values]) => [
        title ? h("h4", { class: "hj-group-title" }, title) : null,
        h("dl", { class: "hj-values" }, ...values.map(line))]));
  }

  // The facts become controls, in their place; the judgment beside them stays as it is.
  function tryChanges() {
    if (!desk) {
      desk = whatIf({ post: (message) => {
        try {
          model.send(message);
        } catch {}
      }, uid, lost: () => alarm(LOST_EDIT), warning: unreliable(view.model) });
      desk.open();
      desk.tools.append(h("button", { type: "button", class: "hj-quiet", onclick: stopTrying }, "Done"));
    }
    nodes.case.replaceWith(desk.controls);
    nodes.model.replaceWith(desk.told);
    nodes.side.append(desk.questions);
    nodes.columns.classList.add("hw-columns");
    desk.redraw();
    desk.controls.querySelector("h3").focus();
  }

  function stopTrying() {
    desk.flush();
    desk.controls.replaceWith(nodes.case);
    desk.told.replaceWith(nodes.model);
    desk.questions.remove();
    nodes.columns.classList.remove("hw-columns");
    nodes.case.querySelector("h3").focus();
  }

  const unreliable = (m) => m.reliable ? null
    : h("p", { class: "hj-warning" }, h("strong", {}, "Do not rely on this explanation. "), m.reason);

  function modelCard() {
    if (!view.model)
      return h("p", { class: "hj-hidden" },
        h("span", { class: "hj-lock", "aria-hidden": "true" }),
        view.stage === "back"
          ? "The model’s answer was not shown to you on this case."
          : "The model’s answer stays hidden until you have recorded your own.");
    const m = view.model;
    const rows = m.bars.map((bar) =>
      h("li", { class: "hj-bar", "data-side": bar.side },
        h("span", { class: "hj-sentence" }, bar.sentence),
        h("span", { class: "hj-feature", "aria-hidden": "true" }, bar.feature,
          bar.value ? h("span", { class: "hj-muted" }, ` ${bar.value}`) : null),
        h("span", { class: "hj-track", "aria-hidden": "true" },
          h("span", { class: "hj-fill", "--length": bar.length })),
        h("span", { class: "hj-effect", "aria-hidden": "true" }, bar.text)));
    return h("section", { class: "hj-card", "aria-label": "The model’s answer" },
      h("h3", {}, "The model’s answer"),
      h("p", { class: "hj-decision" }, m.decision),
      h("p", { class: "hj-chance" }, m.chance, h("span", { class: "hj-muted" }, ` · ${m.rule}`)),
      h("div", { class: "hj-gauge", "aria-hidden": "true", "--p": m.probability, "--t": m.threshold },
        h("span", { class: "hj-level" }), h("span", { class: "hj-threshold" })),
      rows.length ? h("h4", {}, "What moved it") : null,
      unreliable(m),
      rows.length ? h("p", { class: "hj-muted" }, m.start, h("span", { class: "hj-legend" }, m.legend)) : null,
      h("ul", { class: "hj-bars" }, ...rows));
  }

  function argumentsCard() {
    const said = view.dissent.arguments.map((a) =>
      h("li", {}, h("strong", {}, a.decision), a.reasons.length ? ` · ${a.reasons.join(" · ")}` : "",
        a.rationale ? h("blockquote", {}, a.rationale) : null));
    return h("section", { class: "hj-card", "aria-label": "The reviewers’ arguments" },
      h("h3", {}, "The reviewers differ"),
      h("p", { class: "hj-muted" }, view.dissent.words),
      h("ul", { class: "hj-said" }, ...said));
  }

  function backCard() {
    const answers = view.look.answers.map((a) =>
      h("li", { "data-gone": a.gone ? "true" : null }, h("strong", {}, a.words),
        h("span", { class: "hj-muted" }, ` · ${time(a.at)} · record ${a.record}`),
        a.more.length ? h("blockquote", {}, a.more.join(" — ")) : null));
    nodes.question = h("h3", { tabindex: "-1" }, view.question);
    nodes.status = h("p", { class: "hj-muted", role: "status" });
    nodes.alert = h("p", { class: "hj-alert", role: "alert" });
    const place = view.history.indexOf(view.case.id);
    const step = (offset, label) => h("button", { type: "button",
      disabled: view.history[place + offset] === undefined,
      onclick: () => lookAt(view.history[place + offset]) }, label);
    nodes.return = h("button", { type: "button", class: "hj-primary", "aria-keyshortcuts": "Alt+N",
      onclick: () => post({ kind: "next" }) }, "Return to your queue", h("kbd", {}, "Alt+N"));
    nodes.next = nodes.return;
    const card = h("section", { class: "hj-card hj-answer", "aria-label": "What you recorded" },
      nodes.question, h("p", { class: "hj-muted" }, "Nothing here can be changed. A correction is a new record."),
      h("ul", { class: "hj-said" }, ...answers), nodes.alert, nodes.status,
      h("div", { class: "hj-actions" }, nodes.return, step(-1, "Earlier case"), step(1, "Later case")));
    if (view.saved) {
      nodes.why = h("textarea", { id: `${uid}-withdraw`, rows: "2" });
      card.append(h("div", { class: "hj-actions" },
        h("button", { type: "button", onclick: () => post({ kind: "correct" }) }, "Correct this verdict")),
        h("details", { class: "hj-keys" }, h("summary", {}, "Withdraw from this case"),
          h("div", { class: "hj-why" },
            h("label", { for: `${uid}-withdraw` }, "Why? In a few words"), nodes.why,
            h("button", { type: "button", onclick: withdraw }, "Withdraw"))));
    }
    return card;
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
        h("p", { class: "hj-verdict" }, saved.settled ? "Your decision: " : "Your verdict: ", h("strong", {}, saved.answer)),
        nodes.status, nodes.alert,
        h("div", { class: "hj-actions" }, nodes.next,
          saved.settled ? null
            : h("button", { type: "button", onclick: () => post({ kind: "correct" }) }, "Correct this verdict")));
      return card;
    }
    if (view.own) card.append(h("p", { class: "hj-muted" }, "Your own decision was: ", h("strong", {}, view.own)));
    card.append(h("div", { class: "hj-answers", role: "group", "aria-label": view.question },
      ...view.answers.map(([answer, label], i) =>
        h("button", { type: "button", "data-answer": answer, "aria-pressed": "false",
          "aria-keyshortcuts": String(i + 1), onclick: () => choose(answer) },
          h("kbd", { "aria-hidden": "true" }, String(i + 1)), label))));
    if (view.stage === "blind") card.append(confidence());
    if (isVerdict()) {
      nodes.reasons = h("fieldset", { class: "hj-reasons", hidden: view.stage !== "adjudicate" }, h("legend", {}, "Reasons"),
        ...view.reasons.map((reason) => h("label", {}, h("input", { type: "checkbox", value: reason }), reason)));
      nodes.whyLabel = h("label", { for: `${uid}-why` }, "Why? In a few words");
      nodes.why = h("textarea", { id: `${uid}-why`, rows: "2",
        oninput: () => storage.write(draftKey(), nodes.why.value || null) });
      nodes.why.value = view.stage === "correction" ? "" : storage.read(draftKey(), "");
      nodes.whyBox = h("div", { class: "hj-why", hidden: view.stage !== "adjudicate" },
        nodes.whyLabel, nodes.why);
      card.append(nodes.reasons, nodes.whyBox);
    }
    if (isVerdict() && view.stage !== "adjudicate") {
      nodes.note = h("textarea", { id: `${uid}-note`, rows: "1",
        oninput: () => storage.write(noteKey(), nodes.note.value || null) });
      nodes.note.value = view.stage === "final" ? storage.read(noteKey(), "") : "";
      card.append(h("div", { class: "hj-why hj-note" },
        h("label", { for: `${uid}-note` }, "Anything to add? (optional)"), nodes.note));
    }
    nodes.save = h("button", { type: "button", class: "hj-primary", disabled: true,
      "aria-keyshortcuts": "Control+Enter", onclick: submit }, "Save", h("kbd", {}, "Ctrl+Enter"));
    card.append(nodes.alert, h("div", { class: "hj-actions" }, nodes.save, nodes.status), keyboardHelp());
    return card;
  }

  function confidence() {
    const names = ["a guess", "", "", "", "certain"];
    return h("fieldset", { class: "hj-sure" }, h("legend", {}, "How sure are you? (optional)"),
      h("div", {}, ...names.map((name, i) =>
        h("label", { "aria-keyshortcuts": `Shift+${i + 1}` },
          h("input", { type: "radio", name: `${uid}-sure`, value: String(i + 1) }),
          h("span", {}, String(i + 1), name ? h("span", { class: "hj-muted" }, ` ${name}`) : null)))));
  }

  function keyboardHelp() {
    const key = "hitl-audit/single-keys";
    const input = h("input", { type: "checkbox", onchange: () => storage.write(key, input.checked) });
    input.checked = storage.read(key, true);
    nodes.singleKeys = input;
    return h("details", { class: "hj-keys" }, h("summary", {}, "Keyboard"),
      h("p", { class: "hj-muted" }, "1–4 choose · Shift+1–5 how sure · Ctrl+Enter save · Alt+N next case · Ctrl+Z undo a change"),
      h("label", {}, input, "Number keys choose while no text field has the focus"));
  }

  function draw(moveFocus) {
    loose();
    desk?.drop();
    desk = null;
    nodes = {};
    choice = null;
    root.dataset.stage = view.stage;
    root.dataset.case = view.case?.id ?? "";
    if (view.stage === "done") {
      nodes.alert = h("p", { class: "hj-alert", role: "alert" });
      nodes.question = h("h3", { tabindex: "-1" }, view.question);
      nodes.status = h("p", { class: "hj-muted", role: "status" }, "Every answer is in the ledger.");
      root.replaceChildren(...[header(), remarks(),
        h("section", { class: "hj-card hj-finished" }, nodes.question, nodes.status,
          view.debrief ? h("p", {}, view.debrief) : null, nodes.alert)].filter(Boolean));
    } else {
      nodes.model = modelCard();
      nodes.case = caseCard();
      nodes.side = h("div", { class: "hj-side" }, nodes.model, view.dissent ? argumentsCard() : null,
        view.stage === "back" ? backCard() : answerCard());
      nodes.columns = h("div", { class: "hj-columns" }, nodes.case, nodes.side);
      root.replaceChildren(...[header(), remarks(), nodes.columns].filter(Boolean));
      loose = keepInSight(nodes.side);
    }
    const first = view.stage === "saved" ? nodes.next : nodes.question;
    if (view.moved) alarm(view.moved); // why this is another case than the one that was answered
    if (moveFocus) first.focus({ preventScroll: false });
  }

  // ------------------------------------------------------------- keyboard
  root.addEventListener("keydown", (event) => {
    const inText = event.target.matches("textarea, select, input:not([type=checkbox], [type=radio])");
    const plain = !event.ctrlKey && !event.altKey && !event.metaKey;
    if (desk && undoKey(event, desk)) {
      // the last edit is taken back
    } else if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      submit();
    } else if (event.altKey && event.code === "KeyN" && nodes.next) {
      event.preventDefault();
      nodes.next.click();
    } else if (plain && event.shiftKey && !inText && nodes.singleKeys?.checked &&
        /^Digit[1-5]$/.test(event.code) && !/^[0-9]$/.test(event.key)) {
      const radio = root.querySelectorAll(".hj-sure input")[Number(event.code.at(-1)) - 1];
      if (radio) {
        event.preventDefault();
        radio.checked = true;
        radio.focus();
      }
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
    loose();
    desk?.drop();
    model.off("change:view", onView);
    model.off("msg:custom", receive);
  };
}

export default { render };
