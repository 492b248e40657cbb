"""A widget on a page of a real browser, joined to this process instead of to a kernel."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from playwright.sync_api import Page, Route

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
HTML = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Review</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/widget.css">
<style>body { margin: 0 } @media (prefers-color-scheme: dark) { body { background: #15191d } }</style>
<main id="here"></main>
<script type="module">
import widget from "/widget.js";
const heard = {};
const toView = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const state = await toKernel(null);
const model = {
  get: (name) => state[name],
  on: (name, f) => { (heard[name] ??= []).push(f); },
  off: () => {},
  send: async (message) => (await toKernel(message)).forEach(hear),
};
window.hear = (answer) => {
  if (answer.view) { state.view = answer.view; heard["change:view"].forEach((f) => f()); }
  else heard["msg:custom"].forEach((f) => f(answer.content, answer.buffers.map(toView)));
};
window.leave = widget.render({ model, el: document.getElementById("here") });
</script>"""


def show(page: Page, widget: Any) -> list[dict[str, Any]]:
    """Show the widget; the list holds every message that its page sends.

    What the widget says of its own accord reaches the page too; ``leave()`` on the page
    closes the view.
    """
    answers: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] = []
    asked = False

    def send(content: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        packed = [b64encode(one).decode() for one in buffers]
        answer = {"content": json.loads(json.dumps(content)), "buffers": packed}
        if asked:
            answers.append(answer)
        else:
            page.evaluate("(answer) => hear(answer)", answer)

    widget.send = send

    def to_kernel(message: dict[str, Any] | None) -> Any:
        if message is None:
            synced = {name: getattr(widget, name) for name in widget.keys if name[0] != "_"}
            return {n: v for n, v in synced.items() if isinstance(v, str | float | dict)}
        nonlocal asked
        sent.append(message)
        answers.clear()
        before = getattr(widget, "view", None)
        asked = True
        try:
            widget.receive(message)
        finally:
            asked = False
        after = getattr(widget, "view", None)
        return [*answers, *([] if after is before else [{"view": after}])]

    def serve(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[1]
        if name == "widget.js":
            route.fulfill(body=widget._esm, content_type="text/javascript")
        elif name == "widget.css":
            route.fulfill(body=widget._css, content_type="text/css")
        else:
            route.fulfill(body=HTML, content_type="text/html")

    page.expose_function("toKernel", to_kernel)
    page.route("http://review.test/**", serve)
    page.goto("http://review.test/")
    return sent


def violations(page: Page, within: str = "body") -> list[str]:
    """What axe-core finds that is serious or critical; "rule: element" each."""
    axe = files("axe_playwright_python") / "axe.min.js"
    page.evaluate(axe.read_text("utf-8"))
    found = page.evaluate("(within) => axe.run(within)", within)["violations"]
    return [
        f"{violation['id']}: {node['html'][:160]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
