"""Models in the own file formats of XGBoost and LightGBM: trees as data, no code and no pickle."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError, MissingDependencyError

__all__ = ["LightGBMClassifier", "LightGBMRegressor", "read_lightgbm", "read_xgboost"]

FloatArray = npt.NDArray[np.float64]
XGBOOST_CLASSIFIERS = ("binary:logistic", "multi:softprob", "multi:softmax")
XGBOOST_REGRESSORS = ("reg:", "count:poisson")
LIGHTGBM_CLASSIFIERS = ("binary", "multiclass", "multiclassova")
LIGHTGBM_REGRESSORS = (
    "regression",
    "regression_l1",
    "huber",
    "fair",
    "poisson",
    "quantile",
    "mape",
    "gamma",
    "tweedie",
)


def read_xgboost(content: bytes) -> Any:
    """A fitted ``XGBClassifier`` or ``XGBRegressor``, from a ``.ubj`` or ``.json`` file's bytes.

    Class labels are not in the file: they are 0 … k − 1.

    Raises:
        MissingDependencyError: xgboost is not installed.
        InputError: not such a file, or an objective that is neither.
    """
    try:
        import xgboost
    except ImportError as error:
        raise MissingDependencyError(
            "an XGBoost model in a .ubj or .json file is read by xgboost, which is not installed"
        ) from error
    try:
        booster = xgboost.Booster(model_file=bytearray(content))
        objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    except xgboost.core.XGBoostError as error:
        raise InputError(f"it is no XGBoost model: {str(error).splitlines()[0]}") from error
    if objective in XGBOOST_CLASSIFIERS:
        model = xgboost.XGBClassifier()
    elif objective.startswith(XGBOOST_REGRESSORS):
        model = xgboost.XGBRegressor()
    else:
        raise InputError(
            f'its objective is "{objective}"; accepted: '
            f"{', '.join((*XGBOOST_CLASSIFIERS, 'reg:…', 'count:poisson'))}"
        )
    model.load_model(bytearray(content))
    return model


class _LightGBM:
    """A LightGBM booster read from text.

    Attributes:
        booster: the ``lightgbm.Booster``.
        feature_names_in_: its columns; absent if it was fitted on an array.
        n_features_in_: how many columns it takes.
    """

    def __init__(self, booster: Any) -> None:
        self.booster = booster
        names = booster.feature_name()
        self.n_features_in_ = len(names)
        if names != [f"Column_{i}" for i in range(len(names))]:
            self.feature_names_in_ = np.array(names, dtype=object)

    def _predict(self, X: Any) -> FloatArray:
        return np.asarray(self.booster.predict(X), dtype=np.float64)


class LightGBMClassifier(_LightGBM):
    """Class labels are not in the file: ``classes_`` is 0 … k − 1."""

    def __init__(self, booster: Any) -> None:
        super().__init__(booster)
        self.classes_ = np.arange(max(2, booster.num_model_per_iteration()))

    def predict_proba(self, X: Any) -> FloatArray:
        """Probabilities, shape (n, classes)."""
        p = self._predict(X)
        return p if p.ndim == 2 else np.column_stack([1 - p, p])

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Labels, shape (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class LightGBMRegressor(_LightGBM):
    """A booster that gives one number per row."""

    def predict(self, X: Any) -> FloatArray:
        """Values, shape (n,)."""
        return self._predict(X)


def read_lightgbm(content: str) -> LightGBMClassifier | LightGBMRegressor:
    """A model from LightGBM's text format.

    Raises:
        MissingDependencyError: lightgbm is not installed.
        InputError: not such a text, or an objective that is neither
            classification nor regression.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise MissingDependencyError(
            "a LightGBM model in a .txt file is read by lightgbm, which is not installed"
        ) from error
    # LightGBM prints to the console what is wrong with a text; its head says enough.
    lines = content.splitlines()
    if not lines or lines[0].strip() != "tree":
        raise InputError('it is no LightGBM model: its first line is not "tree"')
    stated = next((v for v in lines if v.startswith("objective=")), "objective=none")
    objective = stated.removeprefix("objective=").split(" ")[0]
    if objective not in (*LIGHTGBM_CLASSIFIERS, *LIGHTGBM_REGRESSORS):
        raise InputError(
            f'its objective is "{objective}"; accepted: '
            f"{', '.join((*LIGHTGBM_CLASSIFIERS, *LIGHTGBM_REGRESSORS))}"
        )
    try:
        booster = lightgbm.Booster(model_str=content)
    except lightgbm.basic.LightGBMError as error:
        raise InputError(f"it is no LightGBM model: {error}") from error
    kind = LightGBMClassifier if objective in LIGHTGBM_CLASSIFIERS else LightGBMRegressor
    return kind(booster)
