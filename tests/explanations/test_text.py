"""Texts by their words: closed forms, shap and lime themselves, and the definition."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lime.lime_text import LimeTextExplainer
from sklearn.compose import make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.shap_values import import_shap
from hitl_audit.explanations.texts.text import REST, explain_text
from hitl_audit.explanations.trust.quality import quality

GOOD = ["pays early", "steady work", "always paid in time", "long steady job", "no late payment"]
BAD = ["late again", "rent was late", "lost the job", "late payment and a fee", "no work now"]


@pytest.fixture(scope="module")
def letters() -> pd.Series:
    rng = np.random.default_rng(0)
    texts = []
    for i in range(80):
        pool = GOOD if i % 2 else BAD
        drawn = [*rng.choice(pool, size=2, replace=False).tolist(), rng.choice(GOOD + BAD)]
        texts.append(". ".join(drawn).capitalize() + ".")
    return pd.Series(texts, index=[f"letter-{i}" for i in range(80)])


@pytest.fixture(scope="module")
def labels() -> Any:
    return np.arange(80) % 2


@pytest.fixture(scope="module")
def linear(letters: pd.Series, labels: Any) -> Any:
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(letters, labels)


def test_linear_words_are_shaps_own_closed_form(linear: Any, letters: pd.Series) -> None:
    found = explain_text(linear, letters.iloc[:6], background=letters.iloc[20:60])
    assert (found.algorithm, found.exact, found.scale) == ("linear", True, "log-odds")
    assert list(found.index) == [f"letter-{i}" for i in range(6)]
    vectorizer, model = linear[0], linear[1]
    shap = import_shap()
    behind = vectorizer.transform(letters.iloc[20:60]).toarray()
    masker = shap.maskers.Independent(behind, max_samples=40)
    own = shap.LinearExplainer(model, masker).shap_values(
        vectorizer.transform(letters.iloc[:6]).toarray()
    )
    terms = vectorizer.get_feature_names_out().tolist()
    for i in range(6):
        present = {t for t in found.feature_names[:-1] if found.data[t].iloc[i] > 0}
        assert present == set(vectorizer.build_analyzer()(letters.iloc[i]))
        for j, word in enumerate(found.feature_names[:-1]):
            wanted = own[i, terms.index(word)] if word in present else 0.0
            assert found.values[i, j] == pytest.approx(wanted, abs=1e-9)
        absent = sum(own[i, k] for k, t in enumerate(terms) if t not in present)
        assert found.values[i, -1] == pytest.approx(absent, abs=1e-9)
    np.testing.assert_allclose(found.predictions, linear.decision_function(letters.iloc[:6]))
    assert np.abs(found.residual).max() < 1e-9
    assert "does not re-weight" in found.notes[0]


def test_data_counts_words(linear: Any, letters: pd.Series) -> None:
    found = explain_text(linear, ["Late, late, LATE rent", "unknown"], background=letters)
    assert found.data["late"].tolist() == [3, 0]
    assert found.data[REST].tolist() == [
        len(linear[0].vocabulary_) - 2,
        len(linear[0].vocabulary_),
    ]
    assert found.values[1, :-1].tolist() == [0, 0]
    assert found.feature_names == ("late", "rent", REST)


def test_the_other_class_is_the_mirror_image(linear: Any, letters: pd.Series) -> None:
    one = explain_text(linear, letters.iloc[:3], background=letters)
    zero = explain_text(linear, letters.iloc[:3], background=letters, output=0)
    np.testing.assert_allclose(zero.values, -one.values, atol=1e-12)
    np.testing.assert_allclose(zero.base_values, -one.base_values)


def test_steps_between_keep_their_words(letters: pd.Series, labels: Any) -> None:
    model = make_pipeline(
        CountVectorizer(ngram_range=(1, 2)), TfidfTransformer(), SelectKBest(k=12), Ridge()
    ).fit(letters, labels.astype(float))
    found = explain_text(model, letters.iloc[:4], background=letters)
    assert (found.algorithm, found.scale, found.output) == ("linear", "value", None)
    assert np.abs(found.residual).max() < 1e-9
    kept = set(model[0].get_feature_names_out()[model[2].get_support()])
    dropped = [j for j, w in enumerate(found.feature_names[:-1]) if w not in kept]
    assert (found.values[:, dropped] == 0).all()
    assert any(" " in word for word in found.feature_names[:-1])


def words_shapley(model: Any, text: str, background: pd.Series, words: list[str]) -> list[float]:
    """The definition, on the columns: each word and the rest of the vocabulary are players."""
    vectorizer, estimator = model[0], model[-1]
    x = vectorizer.transform([text]).toarray()[0]
    behind = vectorizer.transform(background).toarray()
    at = [[vectorizer.vocabulary_[w]] for w in words]
    at.append([j for j in range(len(x)) if j not in {k for g in at for k in g}])
    p = len(at)

    def worth(team: frozenset[int]) -> float:
        mixed = behind.copy()
        for k in team:
            mixed[:, at[k]] = x[at[k]]
        return float(estimator.predict_proba(mixed)[:, 1].mean())

    values = {
        frozenset(t): worth(frozenset(t))
        for size in range(p + 1)
        for t in itertools.combinations(range(p), size)
    }
    phi = []
    for k in range(p):
        total = 0.0
        for team, value in values.items():
            if k not in team:
                weight = math.factorial(len(team)) * math.factorial(p - len(team) - 1)
                total += weight / math.factorial(p) * (values[team | {k}] - value)
        phi.append(total)
    return phi


@pytest.mark.parametrize("kind", ["linear", "bayes"])
def test_a_probability_is_asked_word_by_word(
    linear: Any, letters: pd.Series, labels: Any, kind: str
) -> None:
    model = linear
    if kind == "bayes":
        model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(letters, labels)
    texts, background = ["late rent and a steady job", " ".join(GOOD)], letters.iloc[20:32]
    arguments: dict[str, Any] = {"background": background, "scale": "probability"}
    short = explain_text(model, texts[:1], **arguments)
    assert (short.algorithm, short.exact) == ("exact", True)
    words = list(short.feature_names[:-1])
    np.testing.assert_allclose(
        short.values[0], words_shapley(model, texts[0], background, words), atol=1e-9
    )
    both = explain_text(model, texts, **arguments)
    assert (both.algorithm, both.exact) == ("permutation", False)
    assert np.abs(both.residual).max() < 1e-6
    again = [both.feature_names.index(word) for word in words]
    np.testing.assert_allclose(both.values[0, again], short.values[0, :-1], atol=1e-12)


def test_trees_on_words(letters: pd.Series, labels: Any) -> None:
    forest = RandomForestClassifier(15, max_depth=3, random_state=0)
    model = make_pipeline(TfidfVectorizer(), forest).fit(letters, labels)
    found = explain_text(model, letters.iloc[:5], background=letters.iloc[20:40])
    assert (found.algorithm, found.scale) == ("tree-interventional", "probability")
    assert np.abs(found.residual).max() < 1e-6
    np.testing.assert_allclose(found.predictions, model.predict_proba(letters.iloc[:5])[:, 1])
    behind = model[0].transform(letters.iloc[20:40]).toarray()
    own = (
        import_shap()
        .TreeExplainer(forest, behind)
        .shap_values(model[0].transform(letters.iloc[:5]).toarray())[:, :, 1]
    )
    for j, word in enumerate(found.feature_names[:-1]):
        wanted = own[:, model[0].vocabulary_[word]] * (found.data[word].to_numpy() > 0)
        np.testing.assert_allclose(found.values[:, j], wanted, atol=1e-6)
    assert (np.abs(found.values[:, -1]) > 1e-3).any()


def test_three_classes(letters: pd.Series, labels: Any) -> None:
    y = np.where(letters.str.contains("job"), "job", np.where(labels, "good", "bad"))
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(letters, y)
    with pytest.raises(InputError, match="3 classes; expected output"):
        explain_text(model, letters)
    found = explain_text(
        model, letters.iloc[:2], background=letters.iloc[20:30], output="job", n_permutations=3
    )
    assert found.scale == "probability"
    assert np.abs(found.residual).max() < 1e-6


def test_a_linear_model_with_another_link_is_asked(letters: pd.Series, labels: Any) -> None:
    model = make_pipeline(TfidfVectorizer(), SGDClassifier(loss="modified_huber", random_state=0))
    model.fit(letters, labels)
    with pytest.raises(ExplanationError, match=r'not finite.*try scale="probability"'):
        explain_text(model, letters.iloc[:20])
    found = explain_text(
        model, letters.iloc[:2], background=letters.iloc[20:30], scale="probability"
    )
    assert found.algorithm in ("exact", "permutation")
    assert np.abs(found.residual).max() < 1e-6


# --- LIME -------------------------------------------------------------------------


def test_lime_words_are_lime_texts_own_per_seed(linear: Any, letters: pd.Series) -> None:
    text = letters.iloc[3]
    found = explain_text(
        linear, [text], method="lime", n_seeds=3, n_samples=300, scale="probability"
    )
    clean = " ".join(linear[0].build_analyzer()(text))
    per_seed = []
    for seed in range(3):
        own = LimeTextExplainer(random_state=seed, feature_selection="none").explain_instance(
            clean, linear.predict_proba, labels=(1,), num_features=100, num_samples=300
        )
        per_seed.append(dict(own.as_list(label=1)))
    for j, word in enumerate(found.feature_names[:-1]):
        drawn = [weights[word] for weights in per_seed]
        assert found.values[0, j] == pytest.approx(np.mean(drawn), abs=1e-9)
        assert found.spread is not None
        assert found.spread[0, j] == pytest.approx(np.std(drawn, ddof=1), abs=1e-9)
    assert found.n_seeds == 3
    assert found.background_size == 0
    assert found.predictions[0] == pytest.approx(linear.predict_proba([text])[0, 1])


def test_shap_and_lime_of_words_can_be_compared(linear: Any, letters: pd.Series) -> None:
    shap = explain_text(linear, letters.iloc[:3], background=letters)
    lime = explain_text(linear, letters.iloc[:3], method="lime", n_seeds=2, n_samples=400)
    assert lime.feature_names == shap.feature_names
    pd.testing.assert_frame_equal(lime.data, shap.data)
    assert quality(shap, lime, k=3).frame()["sign_agreement"].mean() > 0.6


def test_lime_takes_any_model_of_texts() -> None:
    def shouting(texts: list[str]) -> Any:
        return np.array([sum(c.isupper() for c in t) / max(1, len(t)) for t in texts])

    found = explain_text(shouting, ["PAY now", "..."], method="lime", n_seeds=2, n_samples=60)
    assert found.feature_names == ("PAY", "now", REST)
    assert found.values[0, 0] > 0 > found.values[0, 1]
    assert found.values[1].tolist() == [0, 0, 0]  # a text without words
    assert found.base_values[1] == found.predictions[1]
    with pytest.raises(InputError, match=r'starts with a CountVectorizer.*or method="lime"'):
        explain_text(shouting, ["PAY now", "..."])


# --- what cannot be ---------------------------------------------------------------


def test_a_mixture_of_words_is_refused_in_words(letters: pd.Series, labels: Any) -> None:
    model = make_pipeline(TfidfVectorizer(), TruncatedSVD(3), LogisticRegression())
    model.fit(letters, labels)
    with pytest.raises(ExplanationError, match=r"TruncatedSVD on .* does not say which input"):
        explain_text(model, letters)
    found = explain_text(model, letters.iloc[:1], method="lime", n_seeds=2, n_samples=60)
    assert found.values.shape[0] == 1


def test_characters_have_no_words_to_take_away(letters: pd.Series, labels: Any) -> None:
    model = make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(2, 2)), Ridge())
    model.fit(letters, labels)
    assert explain_text(model, letters.iloc[:2], background=letters).algorithm == "linear"
    with pytest.raises(ExplanationError, match="analyzer is 'char'"):
        explain_text(model, letters, method="lime")


def test_wrong_texts_are_named(linear: Any, letters: pd.Series, labels: Any) -> None:
    for texts, message in (
        ("one text", "texts is a str; expected a list or Series"),
        (["a", None], "1 entries that are not texts .first: None at 1"),
        ([], "texts is empty"),
        (["only one"], "no background; expected background texts"),
    ):
        with pytest.raises(InputError, match=message):
            explain_text(linear, texts)
    with pytest.raises(InputError, match='method is "shp"; accepted: shap, lime; did you mean'):
        explain_text(linear, letters, method="shp")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="n_seeds is 1"):
        explain_text(linear, letters, method="lime", n_seeds=1)
    table = pd.DataFrame({"note": letters, "x": 1.0})
    mixed = make_pipeline(
        make_column_transformer((TfidfVectorizer(), "note"), remainder="passthrough"),
        LogisticRegression(),
    ).fit(table, labels)
    with pytest.raises(InputError, match="takes tables with texts in note; expected a model of te"):
        explain_text(mixed, letters)
