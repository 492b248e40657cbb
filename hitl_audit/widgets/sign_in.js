// Asks for a name and sends it. Set behind dom.js.

const KEY = "hitl-audit/reviewer"; // per tab: the next person at this desk is asked again

function remembered(name) {
  try {
    if (name === undefined) return sessionStorage.getItem(KEY);
    if (name === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, name);
  } catch {}
  return null;
}

function render({ model, el }) {
  const view = model.get("view");
  const alert = h("p", { class: "hj-alert", role: "alert" });
  const field = view.names.length
    ? h("select", { id: "hj-name", required: true },
        h("option", { value: "" }, "Choose your name"),
        ...view.names.map((name) => h("option", { value: name }, name)))
    : h("input", { id: "hj-name", type: "text", required: true, maxlength: "100", autocomplete: "name" });
  const enter = (name) => {
    alert.textContent = "";
    remembered(name);
    model.send({ kind: "enter", name });
  };
  const form = h("form", {
      class: "hj-card hj-sign-in",
      onsubmit: (event) => {
        event.preventDefault();
        const name = field.value.trim();
        if (name) enter(name);
        else alert.textContent = "Say who you are: your name is kept with every answer.";
      },
    },
    h("h2", {}, view.title),
    h("p", { class: "hj-muted" },
      "You will see real cases, one at a time. Decide first; then see what the model says, and why."),
    h("div", { class: "hj-why" }, h("label", { for: "hj-name" }, "Your name"), field),
    alert,
    h("div", { class: "hj-actions" }, h("button", { type: "submit", class: "hj-primary" }, "Begin")));
  form.noValidate = true; // our words, in our place
  const root = h("section", { class: "hitl-judge", "aria-label": "Sign in", "data-lm-suppress-shortcuts": "true" }, form);
  root.addEventListener("keydown", (event) => event.stopPropagation());
  el.append(root);
  const onMessage = (message) => {
    if (message.kind !== "refused") return;
    remembered(null);
    alert.textContent = message.words;
    field.focus();
  };
  model.on("msg:custom", onMessage);
  const before = remembered();
  if (before) {
    field.value = before;
    enter(before);
  }
  return () => model.off("msg:custom", onMessage);
}

export default { render };
