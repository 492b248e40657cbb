"""Agreement against published tables, other libraries, and pairs counted one by one."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.review import agreement_coefficients as formulas
from hitl_audit.review.agreement import agreement
from hitl_audit.review.agreement_measuring import MIN_UNITS, N_BOOT
from hitl_audit.review.agreement_ratings import conflicts, ratings_frame, read_ratings

_N = None

# Krippendorff, "Computing Krippendorff's alpha-reliability" (2011): four
# observers, twelve units; also in Gwet (2014) and as `cac.raw4raters` in irrCAC.
FOUR_OBSERVERS = pd.DataFrame(
    {
        "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, _N, _N, _N],
        "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _N, _N],
        "C": [_N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 3],
        "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _N],
    }
)

# Gwet (2014): five observers, fifteen units.
FIVE_OBSERVERS = pd.DataFrame(
    {
        "A": [1, 1, 2, _N, 0, 0, 1, 1, 2, 2, _N, 0, 1, 3, 1],
        "B": [1, 1, 3, 0, 0, 0, 0, _N, 2, 1, 1, 0, 2, 3, 1],
        "C": [2, 0, 3, 0, 0, 0, 2, 2, 2, 1, 0, 0, 2, 2, 1],
        "D": [_N, 1, 3, _N, _N, _N, _N, 0, _N, 1, 0, 0, 2, 2, _N],
        "E": [2, _N, _N, 0, 0, 0, 1, _N, 2, _N, _N, _N, _N, 3, 1],
    }
)

# Gwet (2014): four raters, fifteen subjects, letters, nothing missing.
LETTERS = pd.DataFrame(
    {
        "A": list("aaaaabbbcaaaaab"),
        "B": list("aaaababccaaaaba"),
        "C": list("abbcaabbcabbcaa"),
        "D": list("ccccaabbcccccaa"),
    }
)

# Gwet (2014): two abstractors, 100 charts of ectopic pregnancies.
ABSTRACTORS = pd.DataFrame(
    [
        (first, second)
        for (first, second), number in {
            ("Ectopic", "Ectopic"): 13,
            ("AIU", "AIU"): 20,
            ("AIU", "NIU"): 7,
            ("NIU", "AIU"): 4,
            ("NIU", "NIU"): 56,
        }.items()
        for _ in range(number)
    ],
    columns=["first", "second"],
)

# Fleiss, "Measuring nominal scale agreement among many raters", Psychol Bull 76
# (1971), 378-382: thirty patients, six diagnoses each, in no particular order.
FLEISS_1971 = pd.DataFrame(
    [
        [int(digit) for digit in row]
        for row in [
            "444444",
            "222555",
            "233335",
            "555555",
            "222444",
            "113333",
            "333355",
            "113334",
            "114444",
            "555555",
            "144444",
            "124444",
            "222333",
            "144444",
            "224445",
            "333335",
            "111455",
            "111112",
            "224444",
            "133555",
            "555555",
            "244444",
            "224555",
            "114444",
            "144445",
            "222224",
            "111155",
            "224444",
            "133333",
            "555555",
        ]
    ]
)

NAMES = [
    "raw agreement",
    "weighted agreement",
    "Krippendorff's alpha",
    "Cohen's kappa",
    "weighted kappa",
    "Scott's pi",
    "Fleiss' kappa",
    "Conger's kappa",
    "Brennan-Prediger",
    "Gwet's AC1",
    "Gwet's AC2",
]


def value(ratings: pd.DataFrame, name: str, **options: Any) -> float:
    found = agreement(ratings, **options).coefficient(name)
    assert found.status == "estimated", found.reading
    assert found.value is not None
    return found.value


@pytest.mark.parametrize(
    ("level", "published"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_krippendorffs_example(level: str, published: float) -> None:
    assert value(FOUR_OBSERVERS, "Krippendorff's alpha", level=level) == pytest.approx(
        published, abs=0.0005
    )


# Values, standard errors and intervals as printed by Gwet's irrCAC, whose variance
# of alpha alone goes with one degree of freedom more for the unit rated once.
@pytest.mark.parametrize(
    ("name", "published", "error", "low"),
    [
        ("raw agreement", 0.81818, 0.12561, 0.542),
        ("Gwet's AC1", 0.77544, 0.14295, 0.461),
        ("Fleiss' kappa", 0.76117, 0.15302, 0.424),
        ("Conger's kappa", 0.76282, 0.14917, 0.435),
        ("Brennan-Prediger", 0.77273, 0.14472, 0.454),
        ("Krippendorff's alpha", 0.74342, 0.14548, 0.419),
    ],
)
def test_gwets_example(name: str, published: float, error: float, low: float) -> None:
    found = agreement(FOUR_OBSERVERS).coefficient(name)
    assert found.value == pytest.approx(published, abs=6e-6)
    assert found.low == pytest.approx(low, abs=0.0006)
    assert found.high == 1
    assert (found.n_units, found.n_raters, found.n_ratings) == (11, 4, 40)
    table = read_ratings(FOUR_OBSERVERS)
    same = np.eye(5)
    measured = {
        "raw agreement": formulas.observed_agreement(table.counts, same),
        "Gwet's AC1": formulas.gwet(table.counts, same),
        "Fleiss' kappa": formulas.fleiss(table.counts, same),
        "Conger's kappa": formulas.conger(table.codes, same),
        "Brennan-Prediger": formulas.brennan_prediger(table.counts, same),
        "Krippendorff's alpha": formulas.alpha(table.counts, same),
    }
    assert measured[name].error == pytest.approx(error, abs=6e-6)


@pytest.mark.parametrize(
    ("weights", "name", "published", "error"),
    [
        ("quadratic", "Gwet's AC2", 0.914, 0.104),
        ("quadratic", "weighted kappa", 0.858, 0.144),
        ("linear", "Gwet's AC2", 0.859, 0.117),
        ("linear", "weighted kappa", 0.814, 0.145),
    ],
)
def test_gwets_example_with_weights(
    weights: str, name: str, published: float, error: float
) -> None:
    found = agreement(FOUR_OBSERVERS, level="ordinal", weights=weights).coefficient(name)
    assert found.value == pytest.approx(published, abs=0.0005)
    table = read_ratings(FOUR_OBSERVERS)
    matrix = formulas.pair_weights(weights, np.arange(5.0))
    measured = (
        formulas.gwet(table.counts, matrix)
        if name == "Gwet's AC2"
        else formulas.conger(table.codes, matrix)
    )
    assert measured.error == pytest.approx(error, abs=0.0005)


@pytest.mark.parametrize("ratings", [FIVE_OBSERVERS, LETTERS], ids=["five observers", "letters"])
def test_gwets_other_examples(ratings: pd.DataFrame) -> None:
    five = ratings is FIVE_OBSERVERS
    published = {  # value, standard error
        "Fleiss' kappa": (0.458, 0.120) if five else (0.129, 0.141),
        "Gwet's AC1": (0.497, 0.122) if five else (0.208, 0.091),
        "Conger's kappa": (0.469, 0.117) if five else (0.166, 0.121),
        "Brennan-Prediger": (0.487, 0.121) if five else (0.183, 0.102),
        "Krippendorff's alpha": (0.481, 0.114) if five else (0.143, 0.141),
    }
    table = read_ratings(ratings)
    same = np.eye(len(table.categories))
    measured = {
        "Fleiss' kappa": formulas.fleiss(table.counts, same),
        "Gwet's AC1": formulas.gwet(table.counts, same),
        "Conger's kappa": formulas.conger(table.codes, same),
        "Brennan-Prediger": formulas.brennan_prediger(table.counts, same),
        "Krippendorff's alpha": formulas.alpha(table.counts, same),
    }
    found = agreement(ratings)
    for name, (expected, error) in published.items():
        assert found.coefficient(name).value == pytest.approx(expected, abs=0.0006)
        assert measured[name].error == pytest.approx(error, abs=0.0006)


def test_fleiss_1971() -> None:
    assert value(FLEISS_1971, "Fleiss' kappa") == pytest.approx(0.4302445, abs=5e-8)


def test_two_abstractors() -> None:
    found = agreement(ABSTRACTORS)
    published = {
        "Cohen's kappa": 0.7964094,
        "Scott's pi": 0.7962397,
        "Gwet's AC1": 0.8493305,
        "Brennan-Prediger": 0.835,
        "Krippendorff's alpha": 0.7972585,
        "raw agreement": 0.89,
    }
    for name, expected in published.items():
        assert found.coefficient(name).value == pytest.approx(expected, abs=5e-8)
    kappa = found.coefficient("Cohen's kappa")
    assert kappa.low == pytest.approx(0.680, abs=6e-4)
    assert kappa.high == pytest.approx(0.913, abs=6e-4)
    codes = read_ratings(ABSTRACTORS).codes
    error = formulas.conger(codes, np.eye(3), divisor=0).error
    assert error == pytest.approx(0.05891072, abs=5e-9)


def two_raters(seed: int, n: int = 80, q: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.choice(q, n, p=np.arange(1, q + 1) / sum(range(1, q + 1)))
    first, second = (np.where(rng.random(n) < 0.7, truth, rng.integers(0, q, n)) for _ in "ab")
    return pd.DataFrame({"a": first, "b": second})


@pytest.mark.parametrize("weights", ["identity", "linear", "quadratic"])
@pytest.mark.parametrize("seed", range(3))
def test_cohen_as_in_scikit_learn_and_statsmodels(seed: int, weights: str) -> None:
    ratings = two_raters(seed)
    theirs = cohen_kappa_score(
        ratings["a"], ratings["b"], weights=None if weights == "identity" else weights
    )
    name = "Cohen's kappa" if weights == "identity" else "weighted kappa"
    found = agreement(ratings, weights=weights).coefficient(name)
    assert found.value == pytest.approx(theirs, abs=1e-12)
    assert found.method.startswith("Fleiss-Cohen-Everitt")
    table = pd.crosstab(ratings["a"], ratings["b"]).to_numpy()
    matrix = formulas.pair_weights(weights, np.arange(4.0))
    theirs = cohens_kappa(table, weights=1 - matrix if weights != "identity" else None)
    ours = formulas.conger(read_ratings(ratings).codes, matrix, divisor=0)
    assert ours.error == pytest.approx(theirs.std_kappa, rel=1e-9)


def with_gaps(seed: int, n: int = 30, r: int = 4, q: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, q + 1, n)
    ratings = np.where(rng.random((n, r)) < 0.6, truth[:, None], rng.integers(1, q + 1, (n, r)))
    frame = pd.DataFrame(ratings.astype(float), columns=list("ABCDEFGH")[:r])
    return frame.mask(rng.random((n, r)) < 0.25)


@pytest.mark.parametrize("seed", range(4))
def test_pairs_counted_one_by_one(seed: int) -> None:
    ratings = with_gaps(seed)
    rows = [row.dropna().tolist() for _, row in ratings.iterrows()]
    rows = [row for row in rows if row]
    pairs = [list(itertools.permutations(row, 2)) for row in rows if len(row) > 1]
    raw = np.mean([np.mean([x == y for x, y in unit]) for unit in pairs])
    used = np.mean([[row.count(k) / len(row) for k in (1, 2, 3)] for row in rows], axis=0)
    own = [
        ratings[c].value_counts(normalize=True).reindex([1, 2, 3], fill_value=0) for c in ratings
    ]
    expected = {
        "Fleiss' kappa": sum(used**2),
        "Gwet's AC1": sum(used * (1 - used)) / 2,
        "Brennan-Prediger": 1 / 3,
        "Conger's kappa": np.mean([x @ y for x, y in itertools.combinations(own, 2)]),
    }
    found = agreement(ratings)
    assert found.coefficient("raw agreement").value == pytest.approx(raw)
    for name, chance in expected.items():
        assert found.coefficient(name).expected == pytest.approx(chance)
        assert found.coefficient(name).value == pytest.approx((raw - chance) / (1 - chance))


def alpha_by_hand(rows: list[list[float]], level: str) -> float:
    """From the coincidence matrix, as in Krippendorff (2011)."""
    rows = [row for row in rows if len(row) > 1]
    total = Counter(x for row in rows for x in row)
    values = sorted(total)

    def distance(x: float, y: float) -> float:
        if level == "nominal":
            return float(x != y)
        if level == "interval":
            return (x - y) ** 2
        if level == "ratio":
            return ((x - y) / (x + y)) ** 2 if x + y else 0.0
        low, high = min(x, y), max(x, y)
        between = sum(total[g] for g in values if low <= g <= high)
        return (between - (total[x] + total[y]) / 2) ** 2

    observed = sum(
        distance(x, y) / (len(row) - 1) for row in rows for x, y in itertools.permutations(row, 2)
    )
    expected = sum(distance(x, y) * total[x] * total[y] for x in values for y in values)
    n = sum(total.values())
    return 1 - (n - 1) * observed / expected


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
@pytest.mark.parametrize("seed", range(3))
def test_alpha_from_the_coincidence_matrix(seed: int, level: str) -> None:
    ratings = with_gaps(seed) * [1, 1, 1, 1] - 1  # with a 0, for the ratio metric
    rows = [row.dropna().tolist() for _, row in ratings.iterrows()]
    found = value(ratings, "Krippendorff's alpha", level=level)
    assert found == pytest.approx(alpha_by_hand(rows, level))


def test_the_bootstrap_of_ordinal_alpha_is_that_of_units_drawn() -> None:
    table = read_ratings(with_gaps(7))
    counts = table.counts[table.counts.sum(axis=1) > 1]
    replicates = formulas.ordinal_replicates(table.counts, 25, seed=3)
    rows, number = np.unique(counts, axis=0, return_counts=True)
    drawn = np.random.default_rng(3).multinomial(len(counts), number / len(counts), size=25)
    for replicate, times in zip(replicates, drawn, strict=True):
        whole = formulas.ordinal_alpha(np.repeat(rows, times, axis=0))
        assert replicate == pytest.approx(whole.value)


def test_the_linearised_errors_are_those_of_a_bootstrap() -> None:
    ratings = with_gaps(11, n=300)
    table = read_ratings(ratings.dropna(how="all"))
    n, same = len(table.units), np.eye(3)
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, n, n) for _ in range(400)]
    for measure in (formulas.fleiss, formulas.gwet, formulas.alpha, formulas.observed_agreement):
        drawn = np.array([measure(table.counts[rows], same).value for rows in draws], float)
        assert measure(table.counts, same).error == pytest.approx(np.std(drawn), rel=0.12)
    drawn = np.array([formulas.conger(table.codes[rows], same).value for rows in draws], float)
    assert formulas.conger(table.codes, same).error == pytest.approx(np.std(drawn), rel=0.12)


def test_low_prevalence_makes_kappa_low_and_says_so() -> None:
    # Two raters who find 83 % of the 10 % positive cases and call 18.5 % of the others positive.
    ratings = pd.DataFrame(
        [("yes", "yes")] * 100
        + [("no", "no")] * 600
        + [("yes", "no")] * 150
        + [("no", "yes")] * 150,
        columns=["first", "second"],
    )
    found = agreement(ratings)
    assert found.coefficient("raw agreement").value == pytest.approx(0.70)
    assert found.coefficient("Krippendorff's alpha").value == pytest.approx(0.20, abs=0.001)
    assert found.coefficient("Cohen's kappa").value == pytest.approx(0.20)
    assert found.coefficient("Fleiss' kappa").value == pytest.approx(0.20)
    assert found.coefficient("Gwet's AC1").value == pytest.approx(0.52)
    reading = found.coefficient("Cohen's kappa").reading
    assert "70.0%, and 62.5% were expected by chance" in reading
    assert '"no" makes up 75% of the answers' in reading
    assert "a low kappa does not by itself mean that raters disagree" in reading
    assert "AC1, which does not rise so, is 0.52" in reading
    assert "kappa paradox" in found.words
    no, yes = found.prevalence
    assert (no.category, no.value, yes.category, yes.value) == ("no", 0.75, "yes", 0.25)
    assert no.specific == pytest.approx(0.8)
    assert yes.specific == pytest.approx(0.4)
    assert yes.specific_units == 400


def test_even_prevalence_has_no_paradox() -> None:
    ratings = pd.DataFrame([(0, 0), (1, 1)] * 20 + [(0, 1), (1, 0)] * 5)
    found = agreement(ratings)
    assert value(ratings, "Cohen's kappa") == pytest.approx(value(ratings, "Gwet's AC1"))
    assert "paradox" not in found.words
    assert "makes up" not in found.coefficient("Cohen's kappa").reading


def test_a_category_that_nobody_used_makes_no_paradox() -> None:
    ratings = with_gaps(3, n=60)
    found = agreement(ratings, categories=[1, 2, 3, 4, 5, 6])
    ac1, kappa = (found.coefficient(n).value for n in ("Gwet's AC1", "Fleiss' kappa"))
    assert ac1 is not None
    assert kappa is not None
    assert ac1 - kappa > 0.1
    assert "paradox" not in found.words
    assert "makes up" not in found.coefficient("Fleiss' kappa").reading


def test_no_agreement_beyond_chance_is_said() -> None:
    ratings = pd.DataFrame(list(itertools.product((0, 1), repeat=2)) * 5)
    reading = agreement(ratings).coefficient("Cohen's kappa").reading
    assert "agreement beyond chance is not shown" in reading
    worse = pd.DataFrame([(0, 1), (1, 0)] * 10)
    assert "is below the 50.0% expected by chance" in (
        agreement(worse).coefficient("Cohen's kappa").reading
    )


def test_perfect_agreement_is_still_uncertain() -> None:
    ratings = pd.DataFrame({"a": [0, 1] * 10, "b": [0, 1] * 10})
    found = agreement(ratings, level="ordinal")
    for coefficient in found.coefficients:
        assert coefficient.value == pytest.approx(1)
        assert coefficient.high == 1
        assert coefficient.low is not None
        assert 0.5 < coefficient.low < 0.9
        assert coefficient.method == "Wilson on the observed agreement"


STATUS: dict[str, tuple[pd.DataFrame, dict[str, Any], dict[str, str]]] = {
    "one rater": (pd.DataFrame({"a": range(20)}), {}, dict.fromkeys(NAMES, "not defined")),
    "nobody answered": (
        pd.DataFrame({"a": [None] * 20, "b": [None] * 20}),
        {},
        dict.fromkeys(NAMES, "insufficient data"),
    ),
    "no rows": (pd.DataFrame({"a": [], "b": []}), {}, dict.fromkeys(NAMES, "insufficient data")),
    "three raters": (
        FOUR_OBSERVERS[["B", "C", "D"]],
        {},
        {"Cohen's kappa": "not defined", "Scott's pi": "not defined", "Gwet's AC1": "estimated"},
    ),
    "too few units": (
        pd.DataFrame({"a": [0, 1] * 4 + [None] * 9, "b": [0, 1] * 4 + [1] * 9}),
        {},
        {"raw agreement": "insufficient data", "Cohen's kappa": "insufficient data"},
    ),
    "raters without a unit in common": (
        pd.DataFrame({"a": [1] * 10 + [None] * 10, "b": [None] * 10 + [1] * 10}),
        {},
        {"raw agreement": "insufficient data", "Krippendorff's alpha": "insufficient data"},
    ),
    "one category": (
        pd.DataFrame({"a": ["x"] * 20, "b": ["x"] * 20}),
        {},
        {
            "raw agreement": "estimated",
            "Cohen's kappa": "not defined",
            "Fleiss' kappa": "not defined",
            "Krippendorff's alpha": "not defined",
            "Gwet's AC1": "not defined",
            "Brennan-Prediger": "not defined",
        },
    ),
    "one category of two": (
        pd.DataFrame({"a": ["x"] * 20, "b": ["x"] * 20}),
        {"categories": ["x", "y"]},
        {
            "Cohen's kappa": "not defined",
            "Gwet's AC1": "estimated",
            "Brennan-Prediger": "estimated",
        },
    ),
    "ordinal text without order": (
        LETTERS,
        {"level": "ordinal"},
        {
            "Krippendorff's alpha": "not defined",
            "weighted kappa": "not defined",
            "Gwet's AC2": "not defined",
            "Gwet's AC1": "estimated",
        },
    ),
    "ordinal text in order": (
        LETTERS,
        {"level": "ordinal", "categories": ["c", "a", "b"]},
        {"Krippendorff's alpha": "estimated", "weighted kappa": "estimated"},
    ),
    "interval of text": (
        LETTERS,
        {"level": "interval"},
        {"Krippendorff's alpha": "not defined", "Fleiss' kappa": "estimated"},
    ),
    "ratio of negative numbers": (
        FOUR_OBSERVERS - 2,
        {"level": "ratio"},
        {"Krippendorff's alpha": "not defined", "Fleiss' kappa": "estimated"},
    ),
    "an answer given to few units": (
        pd.DataFrame({"a": ["x"] * 26 + ["y"] * 4, "b": ["x"] * 26 + ["y"] * 4}),
        {},
        {
            "Cohen's kappa": "insufficient data",
            "Scott's pi": "insufficient data",
            "Fleiss' kappa": "insufficient data",
            "Conger's kappa": "insufficient data",
            "Krippendorff's alpha": "insufficient data",
            "Gwet's AC1": "estimated",
            "Brennan-Prediger": "estimated",
            "raw agreement": "estimated",
        },
    ),
    "no weights": (
        FOUR_OBSERVERS,
        {},
        {"weighted kappa": "not asked for", "Gwet's AC2": "not asked for"},
    ),
}


@pytest.mark.parametrize("case", STATUS)
def test_what_cannot_be_said_is_listed_with_the_reason(case: str) -> None:
    ratings, options, expected = STATUS[case]
    found = agreement(ratings, **options)
    assert [c.name for c in found.coefficients] == NAMES
    for name, status in expected.items():
        coefficient = found.coefficient(name)
        assert coefficient.status == status, name
        assert (coefficient.value is None) == (status != "estimated")
        assert coefficient.reading
    assert canonical_bytes(found)
    assert len(found.frame()) == len(NAMES)


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a list": ([[1, 2]], {}, "accepted: a DataFrame"),
    "level": (FOUR_OBSERVERS, {"level": "ordnal"}, 'level is "ordnal".*did you mean "ordinal"'),
    "weights": (FOUR_OBSERVERS, {"weights": "cubic"}, 'weights is "cubic"; accepted: identity'),
    "weights of another shape": (FOUR_OBSERVERS, {"weights": np.eye(3)}, r"accepted: \(5, 5\)"),
    "weights one way": (LETTERS, {"weights": [[1, 1, 0], [0, 1, 0], [0, 0, 1]]}, "symmetric"),
    "weights above 1": (LETTERS, {"weights": [[1, 2, 0], [2, 1, 0], [0, 0, 1]]}, "0 to 1"),
    "confidence": (FOUR_OBSERVERS, {"confidence": 95}, "confidence is 95"),
    "seed": (FOUR_OBSERVERS, {"random_state": -1}, "random_state is -1"),
    "a unit twice": (pd.DataFrame({"a": [1, 2]}, index=["u", "u"]), {}, 'unit "u"'),
    "a rater twice": (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, 'rater "a"'),
    "text and numbers": (pd.DataFrame({"a": [1], "b": ["x"]}), {}, "numbers and text"),
    "truth values and numbers": (pd.DataFrame({"a": [1], "b": [True]}), {}, "numbers and truth"),
    "empty text": (pd.DataFrame({"a": [" "]}), {}, "empty text"),
    "infinite": (pd.DataFrame({"a": [np.inf]}), {}, "finite"),
    "dates": (pd.DataFrame({"a": [pd.Timestamp("2026-01-01")]}), {}, "a Timestamp"),
    "outside the categories": (LETTERS, {"categories": ["a", "b"]}, '"c" is not among'),
    "a category twice": (LETTERS, {"categories": ["a", "a"]}, "twice"),
    "too many values": (pd.DataFrame({"a": np.arange(1001) / 7}), {}, "at most 1,000 categories"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    ratings, options, message = BAD[case]
    with pytest.raises(InputError, match=message):
        agreement(ratings, **options)


def test_an_unknown_coefficient_is_named() -> None:
    with pytest.raises(InputError, match='did you mean "Cohen\'s kappa"'):
        agreement(ABSTRACTORS).coefficient("Cohens kappa")


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    n, r = draw(st.integers(MIN_UNITS, 16)), draw(st.integers(2, 4))
    cells = st.sampled_from(["a", "b", "c", None])
    full = st.sampled_from(["a", "b", "c"])
    rows = draw(st.lists(st.tuples(full, full, *[cells] * (r - 2)), min_size=n, max_size=n))
    return pd.DataFrame(rows, columns=list("wxyz")[:r], dtype=object)


def values(ratings: pd.DataFrame, **options: Any) -> list[float]:
    frame = agreement(ratings, **options).frame()
    return list(frame["value"].tolist() + frame["low"].tolist() + frame["high"].tolist())


@settings(max_examples=15, deadline=None)
@given(tables(), st.permutations(["a", "b", "c"]), st.randoms(use_true_random=False))
def test_names_and_order_do_not_matter(
    ratings: pd.DataFrame, names: list[str], random: Any
) -> None:
    before = values(ratings, categories=["a", "b", "c"])
    renamed = ratings.replace(dict(zip("abc", names, strict=True)))
    assert values(renamed, categories=["a", "b", "c"]) == pytest.approx(before, nan_ok=True)
    rows, columns = list(ratings.index), list(ratings.columns)
    random.shuffle(rows)
    random.shuffle(columns)
    moved = ratings.loc[rows, columns]
    assert values(moved, categories=["a", "b", "c"]) == pytest.approx(before, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(tables(), st.sampled_from(["nominal", "ordinal", "interval", "ratio"]))
def test_values_are_at_most_1_and_inside_their_interval(ratings: pd.DataFrame, level: str) -> None:
    ratings = ratings.replace({"a": 1, "b": 2, "c": 4}).astype(object)
    for found in agreement(ratings, level=level).coefficients:
        if found.value is None:
            continue
        assert found.value <= 1 + 1e-12
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.high <= 1 + 1e-12
        if "bootstrap" not in found.method:
            assert found.low - 1e-6 <= found.value <= found.high + 1e-6
        assert found.expected is not None
        assert found.observed is not None
        assert found.value == pytest.approx(
            (found.observed - found.expected) / (1 - found.expected)
        )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=MIN_UNITS, max_size=30), st.integers(2, 4))
def test_copies_agree_perfectly(answers: list[str], raters: int) -> None:
    ratings = pd.DataFrame({f"rater {i}": answers for i in range(raters)})
    for found in agreement(ratings, categories=["a", "b", "c"], level="ordinal").coefficients:
        if found.status == "estimated":
            assert found.value == pytest.approx(1)
    assert conflicts(ratings).empty


def test_the_same_seed_gives_the_same_interval() -> None:
    alphas = [
        agreement(FIVE_OBSERVERS, level="ordinal", random_state=seed).coefficient(
            "Krippendorff's alpha"
        )
        for seed in (1, 1, 2)
    ]
    assert alphas[0] == alphas[1]
    assert alphas[0].low != alphas[2].low
    assert alphas[0].method == f"bootstrap over units, percentiles of {N_BOOT}"


def test_with_only_two_units_that_differ_the_bootstrap_says_what_it_left_out() -> None:
    ratings = pd.DataFrame({"a": [1] * 20, "b": [1] * 15 + [2] * 5})
    found = agreement(ratings, level="ordinal").coefficient("Krippendorff's alpha")
    assert "with a single category left out" in found.method


def test_custom_weights_are_kept() -> None:
    matrix = [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]
    found = agreement(LETTERS, weights=matrix)
    linear = agreement(LETTERS, weights="linear", categories=["a", "b", "c"])
    assert found.weights == "custom"
    assert found.weight_table == tuple(map(tuple, matrix))
    for name in ("weighted agreement", "weighted kappa", "Gwet's AC2"):
        assert found.coefficient(name).value == linear.coefficient(name).value


def test_frames_and_figure() -> None:
    found = agreement(FIVE_OBSERVERS, level="ordinal")
    frame = found.frame()
    assert list(frame.columns[:7]) == [
        "coefficient", "value", "low", "high", "n_units", "n_raters", "n_ratings",
    ]  # fmt: skip
    shares = found.prevalence_frame()
    assert shares["count"].sum() == found.n_ratings == 58
    assert shares["value"].sum() == pytest.approx(1)
    assert (shares["low"] < shares["value"]).all()
    figure = found.plot()
    assert len(figure.data[0].x) == (frame["status"] == "estimated").sum()
    assert "Gwet&#x27;s AC1" in found._repr_html_()
    assert canonical_bytes(found) == canonical_bytes(agreement(FIVE_OBSERVERS, level="ordinal"))


def test_a_list_of_ratings_becomes_a_table() -> None:
    frame = ratings_frame(["u2", "u1", "u2"], ["Ann", "Bo", "Bo"], ["yes", "no", None])
    assert frame.index.tolist() == ["u2", "u1"]
    assert frame.columns.tolist() == ["Ann", "Bo"]
    assert frame.loc["u2", "Ann"] == "yes"
    assert frame.loc["u2", "Bo"] is None
    assert frame.loc["u1", "Ann"] is None
    levels = pd.Series(["low", "high"], dtype=pd.CategoricalDtype(["low", "mid", "high"], True))
    table = read_ratings(ratings_frame([1, 2], ["a", "a"], levels))
    assert table.categories == ("low", "mid", "high")
    assert table.ordered


def test_a_list_of_ratings_that_cannot_be_used_is_named() -> None:
    with pytest.raises(InputError, match='rater "Bo" rated unit "u" 2 times'):
        ratings_frame(["u", "u", "u"], ["Bo", "Bo", "Al"], [1, 1, 1])
    with pytest.raises(InputError, match="2 units, 1 raters, 2 labels"):
        ratings_frame([1, 2], ["a"], [1, 2])
    with pytest.raises(InputError, match=r"raters\[1\] is missing"):
        ratings_frame([1, 2], ["a", None], [1, 2])


def test_conflicts_are_the_units_whose_raters_differ() -> None:
    assert conflicts(FOUR_OBSERVERS).index.tolist() == [1, 5, 7]
    assert conflicts(FOUR_OBSERVERS).columns.tolist() == list("ABCD")


@pytest.mark.parametrize(
    ("cells", "categories", "ordered"),
    [
        ([3.0, 1.0, None], (1, 3), True),
        ([1.5, 1.0], (1.0, 1.5), True),
        ([True, False], (False, True), True),
        (["b", "a"], ("a", "b"), False),
        (pd.Categorical(["b"], ["b", "a"]), ("b", "a"), False),
        (pd.Categorical(["b"], ["b", "a"], ordered=True), ("b", "a"), True),
        (pd.array([2, None], dtype="Int64"), (2,), True),
    ],
)
def test_categories_and_their_order(cells: Any, categories: Any, ordered: bool) -> None:
    table = read_ratings(pd.DataFrame({"a": cells}))
    assert table.categories == categories
    assert [type(c) for c in table.categories] == [type(c) for c in categories]
    assert table.ordered is ordered
