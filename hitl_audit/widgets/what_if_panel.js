// The what-if panel of a notebook: controls beside the model's answer.

function render({ model, el }) {
  const uid = newId().slice(0, 8);
  const alert = h("p", { class: "hj-alert", role: "alert" });
  const desk = whatIf({
    post: (message) => {
      try {
        model.send(message);
      } catch {}
    },
    uid,
    lost: () => { alert.textContent = "No answer: the kernel is not running. Run the cell again."; },
  });
  const side = h("div", { class: "hj-side" }, desk.told, desk.questions);
  const root = h("section", { class: "hitl-judge hw-panel", "aria-label": "What if", "data-lm-suppress-shortcuts": "true" },
    h("header", { class: "hj-header" }, h("h2", {}, `What if? Case ${model.get("case")}`)),
    alert, h("div", { class: "hj-columns hw-columns" }, desk.controls, side));
  root.addEventListener("keydown", (event) => {
    undoKey(event, desk);
    event.stopPropagation(); // JupyterLab would take the keys for itself
  });
  el.append(root);
  const loose = keepInSight(side);
  const receive = (message) => {
    if (message.kind !== "what-if") return;
    alert.textContent = "";
    desk.receive(message);
  };
  model.on("msg:custom", receive);
  desk.open();
  return () => {
    model.off("msg:custom", receive);
    desk.drop();
    loose();
  };
}

export default { render };
