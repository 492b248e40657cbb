// The fairness panel: thresholds to move, and what becomes of each group.

function render({ model, el }) {
  const uid = newId().slice(0, 8);
  const nodes = {};
  let schema = null;
  let view = null;
  let sliders = "";

  const link = linked({
    model,
    kind: "fairness",
    busy: (words) => { nodes.busy.textContent = words; },
    lost: (words) => {
      if (!words && !nodes.alert.hasAttribute("data-lost")) return; // it says something else
      nodes.alert.textContent = words;
      nodes.alert.toggleAttribute("data-lost", Boolean(words));
    },
    receive,
  });

  function receive(message) {
    const { about } = message;
    if (about === "schema") {
      schema = message.schema;
      build();
    } else if (about === "searching") {
      nodes.searching.textContent = "Searching the thresholds…";
    } else if (about === "refused") {
      nodes.searching.textContent = "";
      nodes.alert.textContent = message.words;
    } else if (about === "answer") {
      nodes.searching.textContent = "";
      view = message.shown;
      paint(message.trying);
    }
  }

  const ask = (message) => {
    nodes.alert.textContent = "";
    link.ask(message);
  };

  // ------------------------------------------------------------- controls
  function build() {
    fillSelect(nodes.by, schema.choices.map((words, i) => [i, words]));
    fillSelect(nodes.metric, schema.metrics);
    nodes.rules.replaceChildren(...schema.rules.map(([rule, title, words]) =>
      h("li", {}, h("button", { type: "button", class: "hf-rule", "data-rule": rule, "aria-pressed": "false",
        disabled: !schema.scored, onclick: () => ask({ act: "rule", rule }) },
      h("span", { class: "hf-rule-title" }, title),
      h("span", { class: "hf-rule-words" }, words)))));
    nodes.costBefore.textContent = schema.cost_before;
    nodes.costAfter.textContent = schema.cost_after;
    nodes.noScore.hidden = schema.scored;
    nodes.grouped.disabled = !schema.scored;
    sliders = "";
  }

  function fillSelect(select, pairs) {
    select.replaceChildren(...pairs.map(([value, words]) => h("option", { value }, words)));
  }

  function slider(label, detail, group) {
    const id = `${uid}-t-${group ?? "all"}`.replace(/\s+/g, "-");
    const range = h("input", { type: "range", class: "hf-slider", min: schema.low, max: schema.high, step: schema.step,
      "aria-label": `Threshold, ${label}, slider`, disabled: !schema.scored });
    const box = h("input", { id, type: "text", inputmode: "decimal", autocomplete: "off", class: "hf-box", disabled: !schema.scored });
    const at = group == null ? {} : { group };
    range.addEventListener("input", () => {
      box.value = String(Number(Number(range.value).toFixed(4)));
      range.setAttribute("aria-valuetext", box.value);
      ask({ act: "try", threshold: Number(range.value), ...at });
    });
    range.addEventListener("change", () => ask({ act: "set", threshold: Number(range.value), ...at }));
    box.addEventListener("change", () => {
      const value = Number(box.value.trim().replace("−", "-").replace(",", "."));
      const wrong = !box.value.trim() || !Number.isFinite(value);
      box.toggleAttribute("aria-invalid", wrong);
      if (wrong) nodes.alert.textContent = `“${box.value}” is not a threshold; type a number like ${schema.plan}.`;
      else ask({ act: "set", threshold: value, ...at });
    });
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); box.blur(); box.focus(); }
    });
    const root = h("div", { class: "hf-threshold" },
      h("label", { for: id, class: "hf-name" }, label, detail ? h("span", { class: "hj-muted" }, ` ${detail}`) : null),
      h("div", { class: "hf-move" }, group == null ? bars() : null, range), box);
    return { root, range, box };
  }

  function bars() {
    const [good, bad] = schema.bars;
    const width = 100 / good.length;
    return s("svg", { class: "hf-bars", viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" },
      ...good.flatMap((up, i) => [
        s("rect", { class: "hf-good", x: i * width, width: width * 0.85, y: 30 - up * 29, height: up * 29 }),
        s("rect", { class: "hf-bad", x: i * width, width: width * 0.85, y: 30 - (up + bad[i]) * 29, height: bad[i] * 29 })]));
  }

  let movers = {};
  function buildSliders(t) {
    const wanted = JSON.stringify([t.per_group, t.grouped_by, t.groups.map((g) => g.group)]);
    if (wanted === sliders) return;
    sliders = wanted;
    const held = Object.entries(movers).find(([, m]) => m.root.contains(document.activeElement));
    movers = {};
    if (t.per_group) {
      for (const g of t.groups) movers[g.group] = slider(g.group, `n = ${g.n}`, g.group);
      nodes.sliders.replaceChildren(h("p", { class: "hj-muted" }, `By ${t.grouped_by}`), ...Object.values(movers).map((m) => m.root));
    } else {
      movers[""] = slider("everybody", "", null);
      nodes.sliders.replaceChildren(movers[""].root);
    }
    if (held) (movers[held[0]] ?? Object.values(movers)[0]).range.focus();
  }

  // ------------------------------------------------------------- the answer
  function paint(trying) {
    const v = view;
    const t = v.thresholds;
    nodes.by.value = String(v.by);
    nodes.metric.value = v.metric;
    for (const radio of nodes.compare.querySelectorAll("input")) radio.checked = radio.value === v.compare;
    buildSliders(t);
    if (!trying && !link.pending) {
      const values = t.per_group ? t.groups.map((g) => [g.group, g]) : [["", t]];
      for (const [name, at] of values) {
        movers[name].range.value = at.value;
        movers[name].range.setAttribute("aria-valuetext", at.words);
        movers[name].box.value = at.words;
        movers[name].box.removeAttribute("aria-invalid");
      }
      if (document.activeElement !== nodes.cost) nodes.cost.value = String(v.cost);
    }
    nodes.grouped.checked = t.per_group;
    nodes.grouped.disabled = !schema.scored || !t.can_group;
    nodes.unlawful.hidden = !t.per_group;
    nodes.keyBars.hidden = t.per_group;
    nodes.reset.disabled = !v.exploring && !v.rule;
    nodes.state.textContent = v.state;
    nodes.state.dataset.exploring = String(v.exploring);
    nodes.flag.hidden = !v.exploring;
    for (const rule of v.rules) {
      const button = [...nodes.rules.querySelectorAll("button")].find((b) => b.dataset.rule === rule.rule);
      button.setAttribute("aria-pressed", String(rule.chosen));
      button.dataset.attainable = String(rule.attainable);
      button.lastChild.textContent = rule.words || schema.rules.find(([name]) => name === rule.rule)[2];
    }
    nodes.overall.replaceChildren(...v.overall.map((o) => h("div", { class: "hf-tile" },
      h("dt", {}, o.title), h("dd", {}, h("strong", {}, o.value), h("span", { class: "hj-muted" }, o.range),
        o.was ? h("span", { class: "hf-plan" }, o.was) : null,
        o.note ? h("span", { class: "hi-chip", "data-status": "insufficient data" }, `? ${o.note}`) : null))));
    const cohort = v.cohort?.name ?? "";
    nodes.cohort.hidden = !v.cohort;
    if (v.cohort)
      nodes.cohort.replaceChildren(h("span", { class: "hi-k hi-k-cohort" }), "Cohort: ", h("strong", {}, v.cohort.name),
        ` · ${v.cohort.words}`, v.cohort.note ? h("span", { class: "hj-muted hf-line" }, v.cohort.note) : null);
    const metric = v.metric_words[0].toUpperCase() + v.metric_words.slice(1);
    nodes.ratesTitle.textContent = v.by_words === schema.choices.at(-1) ? `${metric}, ${v.by_words.toLowerCase()}` : `${metric} by ${v.by_words}`;
    intervals(nodes.rates, v.rates, { what: metric, cohort });
    nodes.keyWas.hidden = !v.exploring;
    nodes.keyCohort.hidden = !cohort;
    const c = v.compared;
    nodes.comparison.hidden = !c;
    if (c) {
      nodes.comparedTitle.textContent = c.title;
      intervals(nodes.compared, c, { what: c.title, equal: c.equal, cohort });
      nodes.promises.toggleAttribute("data-stale", trying); // its sentences wait for the hand to rest
      if (!trying) nodes.promises.replaceChildren(
        ...(c.words.length ? c.words.map((words) => h("p", {}, words))
          : [h("p", { class: "hj-muted" }, "The plan promises nothing about this.")]),
        ...c.notes.map((words) => h("p", { class: "hj-muted" }, words)));
    }
    if (!trying) nodes.live.textContent = [v.state, ...v.overall.map((o) => `${o.title} ${o.value}`), ...(c?.words ?? [])].join(". ");
  }

  // ------------------------------------------------------------- elements
  nodes.alert = h("p", { class: "hj-alert", role: "alert" });
  nodes.busy = h("span", { class: "hj-muted" });
  nodes.live = h("p", { class: "hj-sentence", role: "status" });
  nodes.searching = h("p", { class: "hj-muted hf-searching", role: "status" });
  nodes.flag = h("span", { class: "hj-flag hf-flag", hidden: true }, "EXPLORATORY");
  nodes.state = h("p", { class: "hf-state" });
  nodes.by = h("select", { id: `${uid}-by`, onchange: () => ask({ act: "show", by: Number(nodes.by.value) }) });
  nodes.metric = h("select", { id: `${uid}-metric`, onchange: () => ask({ act: "show", metric: nodes.metric.value }) });
  nodes.compare = h("fieldset", { class: "hf-compare" }, h("legend", {}, "Compare by"),
    h("div", {}, ...[["ratio", "ratio"], ["difference", "difference"]].map(([value, words]) =>
      h("label", {}, h("input", { type: "radio", name: `${uid}-compare`, value,
        onchange: () => ask({ act: "show", compare: value }) }), words))));
  nodes.sliders = h("div", { class: "hf-sliders" });
  nodes.keyBars = h("p", { class: "hj-muted hf-key" },
    h("span", {}, h("span", { class: "hf-k hf-k-good" }), "favorable outcome"),
    h("span", {}, h("span", { class: "hf-k hf-k-bad" }), "unfavorable outcome"));
  nodes.grouped = h("input", { type: "checkbox", onchange: () => ask({ act: "per-group", on: nodes.grouped.checked }) });
  nodes.unlawful = h("p", { class: "hj-warning", hidden: true }, h("strong", {}, "Exploratory only. "),
    "One threshold per group decides about people by their group: in many laws that is disparate treatment. Shown to compare, not to use without legal advice.");
  nodes.noScore = h("p", { class: "hj-muted", hidden: true }, "This model only decides: there is no score to move a threshold on.");
  nodes.reset = h("button", { type: "button", class: "hj-quiet", disabled: true, onclick: () => ask({ act: "reset" }) }, "Reset to the plan");
  nodes.costBefore = h("span", {});
  nodes.costAfter = h("span", {});
  nodes.cost = h("input", { type: "number", class: "hf-box", min: "0.1", max: "1000", step: "any", value: "1",
    onchange: () => ask({ act: "cost", ratio: Number(nodes.cost.value) }) });
  nodes.rules = h("ul", { class: "hf-rules" });
  nodes.overall = h("dl", { class: "hf-overall" });
  nodes.cohort = h("p", { class: "hf-cohort", hidden: true });
  nodes.ratesTitle = h("h3", {});
  nodes.rates = h("ul", { class: "hi-list" });
  nodes.keyWas = h("span", { hidden: true }, h("span", { class: "hi-k hi-k-was" }), "at the plan’s threshold");
  nodes.keyCohort = h("span", { hidden: true }, h("span", { class: "hi-k hi-k-cohort" }), "the cohort");
  nodes.comparedTitle = h("h4", {});
  nodes.compared = h("ul", { class: "hi-list" });
  nodes.promises = h("div", { class: "hf-promises" });
  nodes.comparison = h("div", {}, nodes.comparedTitle, nodes.compared, nodes.promises);

  const look = h("section", { class: "hj-card hf-at-look", "aria-label": "What to look at" },
    h("div", { class: "hf-look" },
      h("div", {}, h("label", { for: `${uid}-by` }, "Groups by"), nodes.by),
      h("div", {}, h("label", { for: `${uid}-metric` }, "Metric"), nodes.metric),
      nodes.compare));
  const controls = h("section", { class: "hj-card hf-at-controls", "aria-label": "Thresholds" },
    h("div", { class: "hf-head" }, h("h3", {}, "Threshold"), nodes.reset),
    nodes.noScore, nodes.sliders,
    nodes.keyBars,
    h("label", { class: "hf-check" }, nodes.grouped, "One threshold per group"), nodes.unlawful);
  const rules = h("section", { class: "hj-card hf-at-rules", "aria-label": "Rules that choose" },
    h("h3", {}, "Let a rule choose"), nodes.rules, nodes.searching,
    h("label", { class: "hf-cost" }, nodes.costBefore, nodes.cost, nodes.costAfter),
    h("p", { class: "hj-muted hf-line" }, "Found and measured on the same cases, so its cost flatters a rule; confirm a choice on other cases."));
  const told = h("section", { class: "hj-card hf-at-told", "aria-label": "What it does" },
    nodes.overall, nodes.cohort, nodes.ratesTitle,
    h("p", { class: "hj-muted hf-key" }, h("span", {}, h("span", { class: "hi-k hi-k-all" }), "everybody, with interval"), nodes.keyWas, nodes.keyCohort),
    nodes.rates, nodes.comparison);
  const root = h("section", { class: "hitl-judge hf-panel", "aria-label": "Fairness", "data-lm-suppress-shortcuts": "true" },
    h("header", { class: "hj-header" }, h("h2", {}, "Fairness at any threshold"), nodes.flag, nodes.busy, nodes.state),
    nodes.alert, nodes.live, h("div", { class: "hf-columns" }, look, controls, rules, told));
  root.addEventListener("keydown", (event) => event.stopPropagation()); // JupyterLab would take the keys for itself
  el.append(root);
  const loose = keepInSight(told);
  link.ask({ act: "open" });
  return () => {
    link.drop();
    loose();
  };
}

export default { render };
