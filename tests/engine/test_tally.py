"""Words and numbers of progress."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hitl_audit.engine import PartsDone
from hitl_audit.engine.tally import Tally


@pytest.mark.parametrize(
    ("done", "remaining", "words"),
    [
        (PartsDone(0, 0, 8, 0.0), None, "part 0 of 8"),
        (PartsDone(3, 0, None, 9.0), None, "part 3"),
        (PartsDone(2, 0, 8, 6.0), 18.0, "part 2 of 8, about 18 s left"),
        (PartsDone(4, 4, 8, 6.0), None, "part 4 of 8 (4 from before)"),
        (PartsDone(6, 4, 8, 6.0), 6.0, "part 6 of 8 (4 from before), about 6 s left"),
        (PartsDone(1, 0, 2, 0.2), 0.2, "part 1 of 2, about 1 s left"),
        (PartsDone(1, 0, 11, 60.0), 600.0, "part 1 of 11, about 10 min left"),
        (PartsDone(1, 0, 3, 9000.0), 18000.0, "part 1 of 3, about 5.0 h left"),
        (PartsDone(8, 8, 8, 0.0), 0.0, "part 8 of 8 (8 from before)"),
    ],
)
def test_the_estimate_is_of_what_was_worked_on(
    done: PartsDone, remaining: float | None, words: str
) -> None:
    assert done.remaining == remaining
    assert str(done) == words


def test_what_somebody_else_counts_never_runs_backwards() -> None:
    told: list[PartsDone] = []
    tally = Tally(iter(()), told.append, lambda: 0.0)
    for seen in [(0, 0), (1, 4), (1, 4), (0, 4), (4, 4), (4, 12)]:
        tally.watch(*seen)
    tally.finished(5)
    assert [(done.done, done.total) for done in told] == [(1, 4), (4, 4), (4, 12), (12, 12)]


def test_a_length_is_taken_where_there_is_one() -> None:
    def lazily() -> Iterator[int]:
        yield from (1, 2)

    assert Tally([1, 2], None, lambda: 0.0).total == 2
    assert Tally(lazily(), None, lambda: 0.0).total is None
