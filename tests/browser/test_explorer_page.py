"""The explanation explorer in a real browser: by mouse, by keyboard, with many rows, for all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from hitl_audit.widgets.cohort import Cohort
from hitl_audit.widgets.explanation_explorer import ExplanationExplorer
from hitl_audit.widgets.explored import Explored, Labels
from hitl_audit.widgets.trials import Trials, ahead
from tests.browser.in_process import ARGUMENTS, show, violations
from tests.what_if.conftest import people, prepared
from tests.widgets.explorer_world import HOSTILE, explained

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    assert problems == []
    assert page.title() == "Review"
    assert page.locator("img:not([role=img])").count() == 0
    context.close()


def explorer(about: Explored, **given: Any) -> ExplanationExplorer:
    return ExplanationExplorer(about, title=HOSTILE, **{"beside": lambda work: work()} | given)


def of_people() -> Explored:
    """Attributions of the people whose cases can be changed, too."""
    X, y = people()
    rng = np.random.default_rng(0)
    about = explained(len(X))
    values = rng.normal(0, 0.05, X.shape)
    base = about.explanation.base_values
    explanation = replace(
        about.explanation, data=X, values=values, predictions=base + values.sum(axis=1)
    )
    labels = Labels({}, ("Approve", "Deny"), (("", tuple(X.columns)),))
    groups = pd.DataFrame({"Sex": X["sex"]})
    return replace(about, explanation=explanation, labels=labels, groups=groups, recorded=y)


def test_from_all_cases_to_one_and_what_if(page: Page) -> None:
    about = of_people()
    engine = prepared("boosting")
    widget = explorer(about, trials=Trials(ahead(lambda: engine)))
    show(page, widget)
    features = page.get_by_role("listbox", name="Features, strongest first")
    expect(features.get_by_role("option")).to_have_count(7)
    wanted = about.explanation.global_importance().iloc[2]
    third = features.get_by_role("option").nth(2)
    expect(third).to_have_accessible_name(
        f"{wanted.feature}: {100 * wanted.mean_abs:.1f} points, interval "
        f"{100 * wanted.low:.1f} to {100 * wanted.high:.1f}"
    )
    third.click()
    expect(page.get_by_role("heading", name=str(wanted.feature), exact=True)).to_be_visible()
    expect(third).to_have_attribute("aria-selected", "true")
    # A click in the chart chooses the case that lies there.
    dot = page.locator("circle.hx-in").nth(17)
    box = dot.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    chosen = page.get_by_role("listbox", name="Cases").locator("[aria-selected=true]")
    expect(chosen).to_have_count(1)
    case = chosen.locator(".hx-case").inner_text()
    expect(page.get_by_role("heading", name=f"Case {case}", exact=True)).to_be_visible()
    place = about.names.index(case)
    score = f"{100 * about.explanation.predictions[place]:.1f} of 100"
    expect(page.get_by_text(f"The model’s score for “Approve”: {score}").first).to_be_visible()
    page.get_by_role("button", name="Try changes").click()
    expect(page.get_by_role("heading", name=f"What if? Case {case}")).to_be_focused()
    debt = page.get_by_label("Debt", exact=True)
    debt.fill("41")
    debt.press("Enter")
    expect(page.get_by_text("your edit moved it").first).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("button", name="Try changes")).to_be_focused()
    page.get_by_label("Look at").select_option("group 0")
    expect(page.locator(".hx-feature .hx-some")).to_have_count(7)
    number = int((about.groups["Sex"] == "female").sum())
    expect(page.get_by_text(f"of {number}")).to_be_visible()


def test_by_keyboard_alone(page: Page) -> None:
    about = explained()
    show(page, explorer(about))
    features = page.get_by_role("listbox", name="Features, strongest first")
    expect(features.get_by_role("option")).to_have_count(4)
    for _ in range(4):
        page.keyboard.press("Tab")
        if features.evaluate("(list) => list === document.activeElement"):
            break
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("heading", name="owner", exact=True)).to_be_visible()
    page.keyboard.press("Home")
    expect(page.get_by_role("heading", name="Income (k$)", exact=True)).to_be_visible()
    rows = page.get_by_role("listbox", name="Cases")
    for _ in range(6):
        page.keyboard.press("Tab")
        if rows.evaluate("(list) => list === document.activeElement"):
            break
    order = np.argsort(-np.abs(about.explanation.values[:, 0]), kind="stable")
    page.keyboard.press("ArrowDown")
    title = page.get_by_role("heading", name="Case C")
    expect(title).to_have_text(f"Case {about.names[order[0]]}")
    page.keyboard.press("End")  # beyond what the page holds
    expect(title).to_have_text(f"Case {about.names[order[-1]]}")
    expect(page.get_by_text("191 to 200 of 200")).to_be_visible()
    page.keyboard.press("PageUp")
    expect(title).to_have_text(f"Case {about.names[order[189]]}")
    expect(rows).to_be_focused()
    active = rows.get_attribute("aria-activedescendant")
    expect(page.locator(f"[id='{active}']")).to_have_attribute("aria-posinset", "190")
    # Another feature, the same case.
    page.keyboard.press("Shift+Tab")
    features.focus()
    page.keyboard.press("ArrowDown")
    expect(rows.locator("[aria-selected=true] .hx-case")).to_have_text(about.names[order[189]])


def test_many_rows_are_cells_and_nothing_old_is_painted(page: Page) -> None:
    about = explained(12_000)
    # Intervals of so many rows come when they are there; nothing waits for them.
    sent = show(page, explorer(about, beside=lambda work: None))
    expect(page.get_by_text("Darker: more cases.")).to_be_visible()
    assert page.locator("svg circle").count() == 2  # the chosen one, and the one under the pointer
    page.locator(".hx-features").evaluate(
        """(list) => {
          for (let i = 0; i < 40; i++)
            list.dispatchEvent(new KeyboardEvent("keydown", { key: i % 2 ? "ArrowUp" : "ArrowDown" }));
          list.dispatchEvent(new KeyboardEvent("keydown", { key: "End" }));
        }"""
    )
    expect(page.get_by_role("heading", name=HOSTILE, exact=True)).to_be_visible()
    assert sum(m.get("act") == "feature" for m in sent) <= 4
    page.get_by_role("button", name="Later ▶").click()
    expect(page.get_by_text("11 to 20 of 12,000")).to_be_visible()
    page.get_by_role("button", name="◀ Earlier").click()
    expect(page.get_by_text("1 to 10 of 12,000")).to_be_visible()


def test_a_cohort_chosen_elsewhere_appears(page: Page) -> None:
    about = explained()
    cohort = Cohort(pd.DataFrame(index=list(about.names)))
    show(page, explorer(about, cohort=cohort))
    expect(page.locator(".hx-feature")).to_have_count(4)
    cohort.choose(f"Slice {HOSTILE}", about.names[:50], conditions=("owner is 1",))
    expect(page.get_by_label("Look at")).to_have_value("cohort")
    expect(page.get_by_text("owner is 1")).to_be_visible()
    expect(page.locator(".hx-feature .hx-some")).to_have_count(4)
    expect(page.get_by_text("1 to 10 of 50")).to_be_visible()
    cohort.clear()
    expect(page.get_by_label("Look at")).to_have_value("all")
    expect(page.locator(".hx-feature .hx-some")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out_on_any_width(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    show(page, explorer(explained()))
    rows = page.get_by_role("listbox", name="Cases")
    expect(rows.get_by_role("option")).to_have_count(10)
    page.get_by_label("Look at").select_option("group 2")
    expect(page.get_by_text("insufficient data: 5 cases, needs 30").first).to_be_visible()
    rows.focus()
    for key in ("End", "ArrowUp", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    page.get_by_text("C0001", exact=True).click()
    expect(page.get_by_text("Do not rely on this explanation.")).to_be_visible()
    for summary in page.locator("summary:visible").all():
        summary.click()
    assert violations(page) == []
    for width in (360, 640, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.locator("svg.hx-chart")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 360, "height": 900})
    assert violations(page) == []
