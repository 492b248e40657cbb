"""What a skops file holds, looked at before anything in it is made.

A skops file is a ZIP archive: ``schema.json``, a tree of nodes that name types
and how each is made again, and arrays. Three things are checked first: the
archive (sizes, names), the types (skops' own list and :data:`REVIEWED`), and
which scikit-learn saved it.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from hitl_audit.errors import InputError, UntrustedModelError

__all__ = ["REVIEWED", "WAY_OUT", "SkopsFile", "examine", "load"]

# More than this unpacked needs a plan that was made for it: an array of 2 GiB
# would be a forest of some 30 million nodes.
UNPACKED_LIMIT = 2 * 1024**3
SCHEMA_LIMIT = 256 * 1024**2
ENTRIES_LIMIT = 100_000
# What to do with a model that another scikit-learn saved.
WAY_OUT = (
    "install that version here, save the model again with this one, or serve it where it works "
    'and name its address in model.path ("https://…")'
)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

_OBJECT, _FUNCTION, _TYPE, _DICT = "ObjectNode", "FunctionNode", "TypeNode", "DictNode"


def _under(module: str, loader: str, names: str) -> dict[str, tuple[str, ...]]:
    return {f"{module}.{name}": (loader,) for name in names.split()}


# Types that skops does not trust by itself, with the one way of making each that
# was reviewed: we have read what runs then (``__new__`` and ``__setstate__``, or the
# constructor skops calls) and that no file, connection or code of the file's choosing
# is reached by it. Another way of making the same type is refused: calling
# ``Booster("path")``, for example, would open a file. What a review of a type cannot
# show is that its numbers make sense: see model_structure and model_worker.
REVIEWED: dict[str, tuple[str, ...]] = {
    "numpy.dtype": ("DTypeNode",),
    "collections.OrderedDict": (_TYPE, _DICT),
    # A function with some arguments filled in; the function itself must be let through too.
    "functools.partial": ("PartialNode",),
    **_under("sklearn.utils.validation", _FUNCTION, "check_array"),
    # Nodes of trees: __setstate__ checks layout and shape, then copies.
    "sklearn.tree._tree.Tree": ("TreeNode",),
    **_under("sklearn.ensemble._hist_gradient_boosting.predictor", _OBJECT, "TreePredictor"),
    **_under("sklearn.ensemble._hist_gradient_boosting.binning", _OBJECT, "_BinMapper"),
    **_under(
        "sklearn._loss.link",
        _OBJECT,
        "HalfLogitLink IdentityLink Interval LogitLink LogLink MultinomialLogit",
    ),
    **_under(
        "sklearn._loss.loss",
        _OBJECT,
        "AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss HalfMultinomialLoss "
        "HalfPoissonLoss HalfSquaredError HuberLoss PinballLoss",
    ),
    # Search trees over points: __setstate__ assigns typed arrays.
    **_under("sklearn.neighbors._kd_tree", _OBJECT, "KDTree KDTree64"),
    **_under("sklearn.neighbors._ball_tree", _OBJECT, "BallTree BallTree64"),
    # Distances with a closed form; not PyFuncDistance, which calls a function.
    **_under(
        "sklearn.metrics._dist_metrics",
        _OBJECT,
        "EuclideanDistance64 ManhattanDistance64 MinkowskiDistance64 ChebyshevDistance64 "
        "SEuclideanDistance64 CanberraDistance64 BrayCurtisDistance64 HammingDistance64 "
        "JaccardDistance64",
    ),
    # Plain attributes, no __setstate__ of their own.
    **_under("sklearn.calibration", _OBJECT, "_CalibratedClassifier _SigmoidCalibration"),
    **_under(
        "sklearn.neural_network._stochastic_optimizers", _OBJECT, "AdamOptimizer SGDOptimizer"
    ),
    **_under("sklearn.multiclass", _OBJECT, "_ConstantPredictor"),
    **_under("sklearn.gaussian_process._gpc", _OBJECT, "_BinaryGaussianProcessClassifierLaplace"),
    **_under(
        "sklearn.gaussian_process.kernels",
        _OBJECT,
        "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern Product "
        "RBF RationalQuadratic Sum WhiteKernel",
    ),
    **_under("sklearn.utils._bunch", _DICT, "Bunch"),
    **_under("sklearn.utils._metadata_requests", _OBJECT, "MetadataRequest MethodMetadataRequest"),
    # Scorers and folds are kept by searches over parameters and never run here.
    **_under(
        "sklearn.metrics._scorer",
        _OBJECT,
        "_CurveScorer _PassthroughScorer _Scorer _MultimetricScorer",
    ),
    **_under("sklearn.model_selection._split", _OBJECT, "KFold StratifiedKFold"),
    **_under(
        "sklearn.metrics._classification",
        _FUNCTION,
        "accuracy_score balanced_accuracy_score f1_score log_loss",
    ),
    **_under("sklearn.metrics._ranking", _FUNCTION, "average_precision_score roc_auc_score"),
    **_under(
        "sklearn.feature_selection._univariate_selection",
        _FUNCTION,
        "chi2 f_classif f_regression",
    ),
    **_under(
        "sklearn.feature_selection._mutual_info",
        _FUNCTION,
        "mutual_info_classif mutual_info_regression",
    ),
    **_under("scipy.interpolate._bsplines", _OBJECT, "BSpline"),
    **_under("scipy._lib.array_api_compat.numpy._aliases", _FUNCTION, "asarray"),
    # Boosters: __setstate__ hands bytes (XGBoost) or text (LightGBM) to the
    # library's own reader of models.
    **_under("xgboost.core", _OBJECT, "Booster"),
    **_under(
        "xgboost.sklearn", _OBJECT, "XGBClassifier XGBRegressor XGBRFClassifier XGBRFRegressor"
    ),
    **_under("lightgbm.basic", _OBJECT, "Booster"),
    **_under("lightgbm.sklearn", _OBJECT, "LGBMClassifier LGBMRegressor"),
}


@dataclass(frozen=True)
class SkopsFile:
    """A skops file that may be loaded.

    Attributes:
        trusted: the types that skops is to be told to trust.
        versions: the releases of scikit-learn that saved its parts, sorted.
    """

    trusted: tuple[str, ...]
    versions: tuple[str, ...]


def examine(content: bytes, *, trusted_types: Collection[str] = ()) -> SkopsFile:
    """Check a skops file without making anything that is in it.

    Args:
        content: the file's bytes.
        trusted_types: types that the plan vouches for, made in any way.

    Raises:
        InputError: no skops file, or an archive that would not fit; the message
            completes "model.path is …, which …".
        UntrustedModelError: it holds types that nobody allowed; ``types`` lists them.
    """
    import skops.io

    schema = _schema(content)
    try:
        untrusted = skops.io.get_untrusted_types(data=content)
    except Exception as error:
        raise InputError(f"is not a skops file that can be read: {_short(error)}") from error
    vouched = set(trusted_types)
    strangers = {t for t in untrusted if t not in REVIEWED and t not in vouched}
    nodes = list(_nodes(schema))
    odd = {
        f"{name} (made by {node['__loader__']})"
        for name, node in nodes
        if name in REVIEWED and name not in vouched and node["__loader__"] not in REVIEWED[name]
    }
    versions = tuple(sorted(set(_versions(nodes))))
    if strangers or odd:
        names = sorted(strangers | odd)
        raise UntrustedModelError(
            "contains types that nobody has allowed:\n"
            + "\n".join(f"  • {t}" for t in names)
            + "\nIf you know them, add them to model.trusted_types in the plan."
            + _older(versions),
            sorted(strangers | {n.partition(" ")[0] for n in odd}),
        )
    return SkopsFile(tuple(sorted(untrusted)), versions)


def load(content: bytes, trusted: Collection[str]) -> Any:
    """The model in a file that :func:`examine` let through."""
    import skops.io

    return skops.io.loads(content, trusted=sorted(trusted))


def _schema(content: bytes) -> dict[str, Any]:
    """The parsed ``schema.json``, once the archive's own list of entries is plausible."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_entries(archive.infolist())
            schema = json.loads(archive.read("schema.json"))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"is not a skops file: {_short(error)}") from error
    if not isinstance(schema, dict):
        raise InputError("is not a skops file: its schema is no object")
    return schema


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > ENTRIES_LIMIT:
        raise InputError(
            f"is an archive of {len(entries):,} entries; expected at most {ENTRIES_LIMIT:,}"
        )
    # zipfile stops at the size an entry declares, so what is declared is what can come.
    declared = sum(entry.file_size for entry in entries)
    if declared > UNPACKED_LIMIT:
        raise InputError(
            f"would unpack to {declared / 1024**3:,.1f} GiB; expected at most "
            f"{UNPACKED_LIMIT / 1024**3:.0f} GiB"
        )
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise InputError("is an archive with two entries of the same name")
    for entry in entries:
        name = entry.filename
        if "/" in name or "\\" in name or name.startswith(".") or entry.is_dir():
            raise InputError(f'is an archive with an entry "{name[:80]}"; skops writes no folders')
        if entry.flag_bits & 1 or entry.compress_type not in METHODS:
            raise InputError(f'is an archive whose entry "{name[:80]}" is encrypted or unreadable')
        if name == "schema.json" and entry.file_size > SCHEMA_LIMIT:
            raise InputError(
                f"has a schema of {entry.file_size / 1024**2:,.0f} MiB; expected at most "
                f"{SCHEMA_LIMIT / 1024**2:.0f} MiB"
            )
    if "schema.json" not in names:
        raise InputError("is not a skops file: it has no schema.json")


def _nodes(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of the schema as (name of its type, node); a loop, as files may be deep."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "__loader__" in value:
                yield f"{value.get('__module__')}.{value.get('__class__')}", value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _versions(nodes: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    for _, node in nodes:
        content = node.get("content")
        if isinstance(content, dict) and isinstance(content.get("_sklearn_version"), dict):
            text = str(content["_sklearn_version"].get("content", ""))
            yield text.strip('"')[:40]


def _older(versions: tuple[str, ...]) -> str:
    """Names that another scikit-learn used are strangers too, and trusting them does not help."""
    here = importlib.metadata.version("scikit-learn")
    if not versions or set(versions) == {here}:
        return ""
    return (
        f"\nThe file was saved by scikit-learn {' and '.join(versions)} and scikit-learn {here} is "
        f"installed here, in which some of these may no longer exist: {WAY_OUT}."
    )


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:500]}"
