// The slices panel: where the model errs. What is chosen becomes the cohort of all views.

// Arrow keys move among the items, one of which is a tab stop.
function roving(list, { choose, toggle }) {
  const seen = () => [...list.children].filter((item) => item.dataset.id && !item.hidden);
  const go = (item) => {
    if (!item) return;
    for (const other of list.children) if (other.tabIndex === 0) other.tabIndex = -1;
    item.tabIndex = 0;
    item.focus();
  };
  list.addEventListener("click", (event) => {
    const item = event.target.closest("[data-id]");
    if (!item) return;
    go(item);
    if (toggle && event.target.closest(".hs-twist") && item.hasAttribute("aria-expanded")) toggle(item);
    else choose(item.dataset.id);
  });
  list.addEventListener("keydown", (event) => {
    const item = event.target.closest("[data-id]");
    if (!item || event.ctrlKey || event.altKey || event.metaKey) return;
    const items = seen();
    const at = items.indexOf(item);
    const open = item.getAttribute("aria-expanded");
    const keys = {
      ArrowDown: () => go(items[at + 1]),
      ArrowUp: () => go(items[at - 1]),
      Home: () => go(items[0]),
      End: () => go(items.at(-1)),
      Enter: () => choose(item.dataset.id),
      " ": () => choose(item.dataset.id),
    };
    if (toggle) {
      keys.ArrowRight = () => (open === "false" ? toggle(item) : open === "true" ? go(items[at + 1]) : null);
      keys.ArrowLeft = () => (open === "true" ? toggle(item)
        : go(items.find((other) => other.dataset.id === item.dataset.parent)));
    }
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
}

function render({ model, el }) {
  const nodes = {};
  let schema = null;

  const link = linked({
    model,
    kind: "slices",
    busy: (words) => { nodes.busy.textContent = words; },
    lost: (words) => {
      if (!words && !nodes.alert.hasAttribute("data-lost")) return; // it says something else
      nodes.alert.textContent = words;
      nodes.alert.toggleAttribute("data-lost", Boolean(words));
    },
    receive(message) {
      if (message.about === "schema") {
        schema = message.schema;
        build();
      } else if (message.about === "refused") nodes.alert.textContent = message.words;
      else if (message.about === "answer") paint(message.shown);
    },
  });

  const choose = (id) => {
    nodes.alert.textContent = "";
    link.ask({ act: "choose", id });
  };

  function said(row) {
    return `${row.group}; ${row.n}; ${row.small ? "insufficient data, " : ""}${schema.kind} ${figure(row)}` +
      `${row.chip && !row.small ? `; ${row.chip.words}` : ""}${row.p ? `; ${row.p}` : ""}`;
  }

  function item(row, attributes) {
    return h("li", { class: "hi-row hs-item", "data-id": row.id, tabindex: "-1", "aria-selected": "false",
      "--level": row.level ?? 1, ...attributes },
    h("span", { class: "hj-sentence" }, said(row)),
    h("span", { class: "hi-label hs-words", "aria-hidden": "true" },
      row.level ? h("span", { class: "hs-twist" }) : null,
      h("span", {}, row.group, " ", h("span", { class: "hj-muted hi-n" }, row.n))),
    lane(row, schema.ticks, [], schema.overall),
    h("span", { class: "hi-value", "aria-hidden": "true" },
      h("span", { class: "hi-figure", "data-small": row.small }, h("strong", {}, row.words),
        h("span", { class: "hj-muted" }, row.span)),
      h("span", { class: "hs-test" }, row.p ? h("span", { class: "hj-muted hs-p" }, row.p.replace("adjusted ", "")) : null, chip(row.chip))));
  }

  function axis() {
    return h("li", { class: "hi-row hi-axis", role: "presentation", "aria-hidden": "true" }, h("span", { class: "hi-label" }),
      h("span", { class: "hi-lane" }, ...schema.ticks.map(([at, words]) =>
        h("span", { class: "hi-tick", "--at": at, "data-end": at === 0 ? "low" : at === 1 ? "high" : "" }, words))),
      h("span", { class: "hi-value hj-muted" }, h("span", { class: "hi-k hs-k-all" }), `all ${schema.overall_words}`));
  }

  function build() {
    nodes.summary.textContent = schema.summary;
    nodes.measured.textContent = `${schema.kind[0].toUpperCase()}${schema.kind.slice(1)}, ${schema.measured}; p values are adjusted for how many were compared`;
    nodes.none.hidden = schema.slices.length > 0;
    nodes.slices.hidden = !schema.slices.length;
    nodes.slices.replaceChildren(...schema.slices.map((row) => item(row, { role: "option" })));
    nodes.slicesAxis.replaceChildren(axis());
    nodes.slicesAxis.hidden = !schema.slices.length;
    nodes.treeCard.hidden = schema.tree.length < 2;
    nodes.tree.replaceChildren(...schema.tree.map((row) => item(row, { role: "treeitem",
      "aria-level": row.level, "aria-setsize": row.of, "aria-posinset": row.place,
      "aria-expanded": row.leaf ? null : "true", "data-parent": row.parent })));
    nodes.treeAxis.replaceChildren(axis());
    for (const list of [nodes.slices, nodes.tree]) if (list.firstChild) list.firstChild.tabIndex = 0;
    nodes.notes.replaceChildren(h("summary", {}, "How it was searched"), ...schema.notes.map((words) => h("p", {}, words)));
  }

  function toggle(item) {
    item.setAttribute("aria-expanded", String(item.getAttribute("aria-expanded") === "false"));
    const open = {};
    for (const other of nodes.tree.children) {
      const parent = other.dataset.parent;
      other.hidden = Boolean(parent) && !open[parent];
      open[other.dataset.id] = !other.hidden && other.getAttribute("aria-expanded") !== "false";
    }
  }

  function paint(v) {
    for (const other of [...nodes.slices.children, ...nodes.tree.children])
      other.setAttribute("aria-selected", String(Boolean(v.name) && other.dataset.id === v.chosen));
    nodes.clear.disabled = !v.name;
    nodes.name.textContent = v.name ? "The cohort" : "Everybody";
    nodes.conditions.replaceChildren(...v.conditions.map((words) => h("li", {}, words)));
    nodes.conditions.hidden = !v.conditions.length;
    nodes.called.textContent = v.name && v.conditions.join(" and ") !== v.name ? v.name : "";
    nodes.size.textContent = v.size;
    nodes.errors.replaceChildren(v.small
      ? h("span", { class: "hi-chip", "data-status": "insufficient data" }, `? ${v.few}`) : v.errors);
    nodes.note.textContent = v.note;
    nodes.who.replaceChildren(...v.who.flatMap((part) => {
      const list = h("ul", { class: "hi-list" });
      intervals(list, part, { what: `${part.title}, share of the cohort` });
      return [h("h4", {}, part.title), list];
    }));
    nodes.key.hidden = !v.who.length;
    nodes.hint.hidden = Boolean(v.name);
    nodes.strip.hidden = !v.name;
    nodes.strip.textContent = v.name ? `Cohort: ${v.name} · ${v.size}` : "";
    nodes.live.textContent = v.name ? `Cohort: ${v.name}. ${v.size}. ${v.small ? v.few : v.errors}` : "Everybody";
  }

  // ------------------------------------------------------------- elements
  nodes.alert = h("p", { class: "hj-alert", role: "alert" });
  nodes.busy = h("span", { class: "hj-muted" });
  nodes.live = h("p", { class: "hj-sentence", role: "status" });
  nodes.summary = h("p", { class: "hs-summary" });
  nodes.measured = h("p", { class: "hj-muted hs-small" });
  nodes.none = h("p", { class: "hj-muted", hidden: true }, "No slice errs more than the rest by enough to be singled out.");
  nodes.slices = h("ul", { class: "hi-list", role: "listbox", "aria-label": "Slices with more errors" });
  nodes.tree = h("ul", { class: "hi-list", role: "tree", "aria-label": "Tree of errors" });
  nodes.slicesAxis = h("ul", { class: "hi-list hs-axis", "aria-hidden": "true" });
  nodes.treeAxis = h("ul", { class: "hi-list hs-axis", "aria-hidden": "true" });
  nodes.notes = h("details", { class: "hj-keys" });
  roving(nodes.slices, { choose });
  roving(nodes.tree, { choose, toggle });
  nodes.clear = h("button", { type: "button", class: "hj-quiet", disabled: true, onclick: () => link.ask({ act: "clear" }) }, "Everybody again");
  nodes.name = h("h3", {});
  nodes.called = h("p", {});
  nodes.conditions = h("ul", { class: "hs-conditions" });
  nodes.size = h("p", { class: "hs-size" });
  nodes.errors = h("p", {});
  nodes.note = h("p", { class: "hj-muted hs-small" });
  nodes.hint = h("p", { class: "hj-muted hs-small" }, "Choose a slice or a node: all views then show it beside everybody.");
  nodes.key = h("p", { class: "hj-muted hs-small", hidden: true }, "Who is in it: ",
    h("span", { class: "hi-k hi-k-all" }), "share of the cohort ", h("span", { class: "hi-k hi-k-was" }), "share of everybody");
  nodes.who = h("div", { class: "hs-who" });
  nodes.strip = h("p", { class: "hs-strip", "aria-hidden": "true", hidden: true });
  const slices = h("section", { class: "hj-card", "aria-label": "Slices" },
    h("h3", {}, "Slices with more errors"), nodes.none, nodes.slices, nodes.slicesAxis, nodes.measured, nodes.notes);
  nodes.treeCard = h("section", { class: "hj-card", "aria-label": "Tree" },
    h("h3", {}, "Tree of errors"), nodes.tree, nodes.treeAxis);
  const chosen = h("section", { class: "hj-card hs-chosen", "aria-label": "Cohort" },
    h("div", { class: "hs-head" }, nodes.name, nodes.clear), nodes.called, nodes.conditions, nodes.size, nodes.errors, nodes.hint, nodes.note,
    nodes.key, nodes.who);
  const root = h("section", { class: "hitl-judge hs-panel", "aria-label": "Where the model errs", "data-lm-suppress-shortcuts": "true" },
    h("header", { class: "hj-header" }, h("h2", {}, "Where the model errs"), nodes.busy, nodes.summary),
    nodes.alert, nodes.live,
    h("div", { class: "hs-columns" }, h("div", { class: "hs-left" }, slices, nodes.treeCard), chosen), nodes.strip);
  root.addEventListener("keydown", (event) => event.stopPropagation()); // JupyterLab would take the keys for itself
  el.append(root);
  const loose = keepInSight(chosen);
  link.ask({ act: "open" });
  return () => {
    link.drop();
    loose();
  };
}

export default { render };
