// What the widgets share; set before the file that renders (see sources.py).
// All text goes through textContent, so a hostile string stays a string.

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const h = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

const s = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

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

// Beside a long list the answers stay in sight: they stick at their top, or,
// where they are taller than the window, at their bottom.
function keepInSight(element) {
  const measure = () => element.style.setProperty("--height", `${element.offsetHeight}px`);
  const watch = new ResizeObserver(measure);
  watch.observe(element);
  measure();
  return () => watch.disconnect();
}
