// Values with their intervals, one line per group: a dot and its whiskers on a common axis.


function whisker(mark, name) {
  if (mark == null || mark.at == null) return [];
  const parts = [];
  if (mark.low != null && mark.high != null)
    parts.push(h("span", { class: `hi-whisker ${name}`, "data-small": mark.small, "data-beyond": mark.beyond,
      "--low": mark.low, "--high": mark.high }));
  parts.push(h("span", { class: `hi-dot ${name}`, "data-small": mark.small, "--at": mark.at }));
  return parts;
}

function chip(found) {
  return found ? h("span", { class: "hi-chip", "data-status": found.status },
    h("span", { "aria-hidden": "true" }, `${found.mark} `), found.words) : null;
}

const few = () => h("span", { class: "hi-chip", "data-status": "insufficient data" },
  h("span", { "aria-hidden": "true" }, "? "), "insufficient data");

function figure(mark) {
  return `${mark.words}${mark.span ? ` (${mark.span})` : ""}`;
}

function sentence(row, what, cohort) {
  const parts = [`${row.group}, ${row.n}: ${row.small ? "insufficient data, " : ""}${figure(row)}`];
  if (row.reference) parts.push("the reference group");
  if (row.chip) parts.push(row.chip.words);
  if (row.was_words) parts.push(`at the plan’s threshold ${row.was_words}`);
  if (row.cohort) parts.push(`in ${cohort}, ${row.cohort.n}: ${row.cohort.small ? "insufficient data, " : ""}${figure(row.cohort)}`);
  return `${what} ${parts.join("; ")}.`;
}

function lane(row, ticks, lines, equal) {
  return h("span", { class: "hi-lane", "aria-hidden": "true" },
    ...ticks.map(([at]) => h("span", { class: "hi-grid", "--at": at })),
    equal == null ? null : h("span", { class: "hi-equal", "--at": equal }),
    ...lines.map((at) => h("span", { class: "hi-line", "--at": at })),
    row.was == null ? null : h("span", { class: "hi-was", "--at": row.was }),
    ...whisker(row, "hi-all"), ...whisker(row.cohort, "hi-cohort"));
}

// what: read before each line; cohort: its name, or nothing.
function intervals(list, { rows, ticks, lines, promise = [] }, { what, equal = null, cohort = "" }) {
  list.classList.toggle("hi-double", Boolean(cohort));
  list.replaceChildren(
    ...rows.map((row) => h("li", { class: "hi-row", "data-reference": Boolean(row.reference) },
      h("span", { class: "hj-sentence" }, sentence(row, what, cohort)),
      h("span", { class: "hi-label", "aria-hidden": "true" }, row.group, " ",
        h("span", { class: "hj-muted hi-n" }, row.n),
        row.reference ? h("span", { class: "hi-tag" }, "reference") : null),
      lane(row, ticks, lines, equal),
      h("span", { class: "hi-value", "aria-hidden": "true" },
        h("span", { class: "hi-figure", "data-small": row.small }, h("strong", {}, row.words), " ",
          h("span", { class: "hj-muted" }, row.span)),
        row.small && !row.chip ? few() : chip(row.chip),
        row.cohort ? h("span", { class: "hi-beside" }, h("span", { class: "hi-k hi-k-cohort" }),
          row.cohort.small ? "? insufficient data " : `${row.cohort.words} `, h("span", { class: "hi-n" }, row.cohort.n)) : null))),
    h("li", { class: "hi-row hi-axis", "aria-hidden": "true" },
      h("span", { class: "hi-label" }),
      h("span", { class: "hi-lane" },
        ...ticks.map(([at, words]) => h("span", { class: "hi-tick", "--at": at, "data-end": at === 0 ? "low" : at === 1 ? "high" : "" }, words))),
      h("span", { class: "hi-value hj-muted" },
        promise.length ? h("span", { class: "hi-k hi-k-line" }) : null,
        promise.length ? `plan: ${promise.join("; ")}` : null)));
}
