"""The sample, by sorting all rows, and how evenly it draws them."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import binomtest, chisquare

from hitl_audit.canonical import seeded_digests, sha256
from hitl_audit.population.batch import read_batch
from hitl_audit.population.content import row_digests
from hitl_audit.population.row_sample import (
    RowSample,
    joined_samples,
    priorities,
    sample_rows,
)
from tests.population.worlds import Piece, nasty, passing, populated


def contents(n: int) -> bytes:
    return b"".join(sha256(str(i).encode()) for i in range(n))


def test_the_smallest_priorities() -> None:
    frame, digests = pd.DataFrame({"i": np.arange(500)}), contents(500)
    order = np.argsort(priorities(3, digests, None))
    found = sample_rows(frame, size=40, seed=3, digests=digests, ids=None)
    assert found.frame["i"].tolist() == order[:40].tolist()
    ids = [str(i) for i in range(500)]
    raw = seeded_digests(3, ids)
    by_hand = sorted(range(500), key=lambda i: raw[32 * i : 32 * i + 8])
    named = sample_rows(frame, size=40, seed=3, digests=digests, ids=ids)
    assert named.frame["i"].tolist() == by_hand[:40]


@pytest.mark.parametrize("named", [False, True])
def test_every_row_is_as_likely(named: bool) -> None:
    n, size, seeds = 60, 15, 2000
    frame, digests = pd.DataFrame({"i": np.arange(n)}), contents(n)
    ids = [f"L{i}" for i in range(n)] if named else None
    times = np.zeros(n)
    both = 0
    for seed in range(seeds):
        rows = sample_rows(frame, size=size, seed=seed, digests=digests, ids=ids).frame["i"]
        times[rows] += 1
        both += {7, 31} <= set(rows)
    assert chisquare(times).pvalue > 1e-3
    # Two rows together: without replacement.
    assert binomtest(both, seeds, size * (size - 1) / (n * (n - 1))).pvalue > 1e-3


def test_rows_of_a_sampled_identifier_are_all_seen() -> None:
    frame, digests = pd.DataFrame({"i": np.arange(300)}), contents(300)
    ids = [f"L{i % 299}" for i in range(300)]  # L0 twice
    seen = 0
    for seed in range(40):
        found = sample_rows(frame, size=100, seed=seed, digests=digests, ids=ids)
        in_it = {0, 299} & set(found.frame["i"])
        last = found.ids[-1] == "L0"
        assert len(in_it) != 1 or last
        assert found.repeated_ids() == (["L0"] if len(in_it) == 2 else [])
        seen += len(in_it) == 2
    assert 3 < seen < 30


def test_copies_enter_together_as_far_as_there_is_room() -> None:
    table = nasty(40).select(["x", "small", "purpose", "race", "woman", "paid"])
    frame = populated([table, table, table], sample_size=50).frame()
    assert len(frame) == 50
    times = frame.astype(str).value_counts(sort=False)
    assert (times % 3 == 0).sum() >= len(times) - 1
    assert frame.dtypes["x"] == np.float64
    assert frame.dtypes["purpose"].kind == "O"


def test_a_part_keeps_no_more_rows_than_it_needs() -> None:
    """One huge part: rows are dropped as it is read, not at its end."""
    table = nasty(4000)
    over, _ = passing(table, sample_size=20)
    held = []

    class Watched(Piece):
        def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
            for batch in super().batches(columns):
                held.append(sum(len(o) for o in gc.get_objects() if isinstance(o, RowSample)))
                yield batch

    gc.collect()
    found = over(Watched("a", table, rows_per_batch=40))
    assert len(held) > 100
    assert max(held) <= 100
    whole = over(Piece("a", table))
    assert found.sample.priority.tolist() == whole.sample.priority.tolist()


def test_columns_of_one_type_whatever_the_batches() -> None:
    table = pa.table(
        {
            "flag": pa.array([True, None, False, True]),
            "text": pa.array([None, None, "a", None]),
            "nothing": pa.nulls(4),
            "sure": pa.array([True, True, False, False]),
        }
    )
    samples = []
    for start, stop in ((0, 1), (1, 2), (2, 4)):
        batch = read_batch(table.slice(start, stop - start).to_batches()[0], table.column_names, "")
        samples.append(
            sample_rows(batch.frame, size=9, seed=0, digests=row_digests(batch), ids=None)
        )
    one, other = joined_samples(samples).uniform(), joined_samples(samples[::-1]).uniform()
    pd.testing.assert_frame_equal(one, other)
    kinds = {name: kind.kind for name, kind in one.dtypes.items()}
    assert kinds == {"flag": "O", "text": "O", "nothing": "f", "sure": "b"}
    assert sorted(map(str, one["flag"])) == ["False", "True", "True", "nan"]
