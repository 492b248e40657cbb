"""Which cases people judge, each with the chance it had of being drawn.

A case is drawn by the hash of its id and the seed, smallest first: the same
ids and seed give the same sample in any row order, on any machine, and anyone
can recompute it. The order of the sample is the order of judging.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from hitl_audit.canonical import digest
from hitl_audit.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DESIGNS", "CaseSample", "SampledCase", "sample_cases"]

DESIGNS = ("random", "stratified")
PURPOSIVE = "purposive"
MISSING = "missing"


@dataclass(frozen=True)
class SampledCase:
    """One case to judge.

    Attributes:
        case_id: its id.
        inclusion_probability: its chance of being in the sample, π.
        stratum: the stratum it was drawn from, ``""`` without strata.
        reason: why it is here, in words.
    """

    case_id: str
    inclusion_probability: float
    stratum: str
    reason: str


@dataclass(frozen=True)
class CaseSample:
    """The cases people will judge, in order of judging.

    Attributes:
        design: how they were drawn, one of :data:`DESIGNS`.
        population: number of cases they were drawn from.
        random_state: the seed.
        cases: the sample.
    """

    design: str
    population: int
    random_state: int
    cases: tuple[SampledCase, ...]
    format: Literal["hitl-audit/sample/v1"] = "hitl-audit/sample/v1"

    @property
    def case_ids(self) -> tuple[str, ...]:
        """The ids, in order of judging."""
        return tuple(case.case_id for case in self.cases)

    def frame(self) -> pd.DataFrame:
        """One row per case: case_id, inclusion_probability, stratum, reason, design."""
        import pandas as pd

        columns = list(SampledCase.__dataclass_fields__)
        frame = pd.DataFrame([asdict(case) for case in self.cases], columns=columns)
        return frame.assign(design=self.design)


def sample_cases(
    frame_or_ids: pd.DataFrame | pd.Series[Any] | Iterable[object],
    n: int,
    *,
    design: str = "random",
    strata: Iterable[object] | None = None,
    random_state: int = 0,
) -> CaseSample:
    """Draw the cases that people will judge.

    ``"random"`` draws without replacement, every case with π = n / N.
    ``"stratified"`` draws the same number from every stratum h, each case with
    π = n_h / N_h. What n leaves over after equal shares goes one each to the
    largest strata (ties by name); a stratum with fewer cases than its share is
    taken whole and the others share the rest.

    Args:
        frame_or_ids: a DataFrame or Series, whose index holds the case ids, or
            the ids themselves; every id once.
        n: number of cases.
        design: ``"random"`` or ``"stratified"``.
        strata: for ``"stratified"``, one label per row, in row order; a row
            without a label belongs to the stratum ``"missing"``.
        random_state: the seed.

    Raises:
        InputError: an unknown design, more cases than there are, fewer cases
            than strata, a repeated id, or strata that do not fit.
    """
    if design not in DESIGNS:
        accepted = ", ".join(DESIGNS)
        raise InputError(
            f'sample: design is "{design}"; accepted: {accepted}{did_you_mean(design, DESIGNS)}'
        )
    if (design == "stratified") != (strata is not None):
        raise InputError('sample: strata go with design "stratified", and only with it')
    ids = _ids(frame_or_ids)
    if not 1 <= n <= len(ids):
        raise InputError(f"sample: got n={n}, expected 1 to {len(ids)}, the number of cases")
    labels = [""] * len(ids) if strata is None else _labels(strata, len(ids))

    members: dict[str, list[str]] = {}
    for case_id, label in zip(ids, labels, strict=True):
        members.setdefault(label, []).append(case_id)
    if n < len(members):
        raise InputError(f"sample: got n={n}, expected at least {len(members)}, one per stratum")

    cases = []
    for label, share in _shares({label: len(rows) for label, rows in members.items()}, n).items():
        rows = members[label]
        reason = f"drawn at random, {share} of {len(rows)}"
        if label:
            reason += f" in stratum {label}"
        cases += [
            SampledCase(case_id, share / len(rows), label, reason)
            for case_id in sorted(rows, key=lambda row: _key(row, random_state))[:share]
        ]
    cases.sort(key=lambda case: _key(case.case_id, random_state))
    return CaseSample(design, len(ids), random_state, tuple(cases))


def _key(case_id: str, random_state: int) -> str:
    return digest([random_state, case_id])


def _ids(frame_or_ids: Any) -> list[str]:
    if not hasattr(frame_or_ids, "__iter__"):
        raise InputError(
            f"sample: the cases are a {type(frame_or_ids).__name__}; expected a table or their ids"
        )
    is_frame = hasattr(frame_or_ids, "iloc")
    ids = [str(row) for row in (frame_or_ids.index if is_frame else frame_or_ids)]
    if len(set(ids)) < len(ids):
        repeated, _ = Counter(ids).most_common(1)[0]
        raise InputError(f'sample: case id "{repeated}" occurs more than once; expected unique ids')
    return ids


def _labels(strata: Iterable[object], rows: int) -> list[str]:
    labels = [MISSING if _is_missing(label) else str(label) for label in strata]
    if len(labels) != rows:
        raise InputError(f"sample: got {len(labels)} strata labels, expected {rows}, one per row")
    return labels


def _is_missing(label: object) -> bool:
    # By their text: pd.NA has no truth value, and NaN comes in several types.
    return label is None or str(label) in ("nan", "NaT", "<NA>")


def _shares(sizes: dict[str, int], n: int) -> dict[str, int]:
    """Equal allocation of n over strata, never more than a stratum has."""
    shares: dict[str, int] = {}
    open_strata = sorted(sizes, key=lambda label: (-sizes[label], label))
    while open_strata:
        base, extra = divmod(n - sum(shares.values()), len(open_strata))
        small = [label for label in open_strata if sizes[label] <= base]
        if not small:
            return shares | {label: base + (i < extra) for i, label in enumerate(open_strata)}
        shares |= {label: sizes[label] for label in small}
        open_strata = [label for label in open_strata if label not in shares]
    return shares
