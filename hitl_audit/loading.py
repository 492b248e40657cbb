"""Reading model and data files, and the objects that a plan names by import path."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hitl_audit.canonical import Digest, digest_bytes, digest_file
from hitl_audit.errors import InputError, UntrustedModelError
from hitl_audit.imported import import_object, is_import

__all__ = ["LoadedModel", "model_in_memory", "read_data", "read_model"]

# Types that skops does not trust by itself and that we have read: plain
# containers of numbers whose loading runs no code of the file's.
REVIEWED_TYPES = (
    "numpy.dtype",
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)


def _onnx(file: Path) -> Any:
    from hitl_audit.onnx_model import read_onnx

    return read_onnx(file.read_bytes())


def _xgboost(file: Path) -> Any:
    from hitl_audit.booster_model import read_xgboost

    return read_xgboost(file)


def _lightgbm(file: Path) -> Any:
    from hitl_audit.booster_model import read_lightgbm

    return read_lightgbm(file.read_text(encoding="utf-8", errors="replace"))


# Formats that hold a model as data: reading them runs no code of the file's.
DATA_ONLY: dict[str, Callable[[Path], Any]] = {
    ".onnx": _onnx,
    ".ubj": _xgboost,
    ".json": _xgboost,
    ".txt": _lightgbm,
}
MODEL_FILES = (".skops", *DATA_ONLY, ".joblib")


@dataclass(frozen=True)
class LoadedModel:
    """A model and where it came from.

    Attributes:
        model: the object.
        source: how it was read, for people.
        digest: of the file's bytes, or of the pickled object in memory.
        digest_of: what ``digest`` was taken of.
    """

    model: Any
    source: str
    digest: Digest
    digest_of: str


def _existing(path: str, field: str, folder: Path, suffixes: Sequence[str]) -> Path:
    file = Path(path)
    file = file if file.is_absolute() else folder / file
    accepted = ", ".join(suffixes) + " or package.module:name"
    if file.suffix not in suffixes:
        raise InputError(f'{field} is "{path}"; expected {accepted}')
    if not file.is_file():
        raise InputError(f'{field} is "{path}": there is no such file; expected {accepted}')
    return file


def read_data(
    path: str, *, folder: str | Path = ".", field: str = "data.path", query: str = ""
) -> pd.DataFrame:
    """Read a table into memory.

    One ``.parquet`` or ``.csv`` file, or a DataFrame that
    ``package.module:name`` gives, is read by pandas. Everything else that
    :func:`~hitl_audit.rows.open_rows` takes (globs, queries, databases, other
    tables) is read by that, with the types that pandas would give.

    Args:
        path: as written in the plan; relative paths start at ``folder``.
        folder: the plan's folder.
        field: the plan's key, for error messages.
        query: the query, if ``path`` is the URL of a database alone.

    Raises:
        InputError: no such file or function, or not a table.
        MissingDependencyError: the library that reads it is not installed.
    """
    from hitl_audit.rows import collect, open_rows

    folder = Path(folder)
    if is_import(path):
        found = import_object(path, field, folder)
        table = found() if callable(found) else found
        if isinstance(table, pd.DataFrame):
            return table
        given = f'{field} is "{path}", which gave a {type(table).__name__}'
        return collect(open_rows(table, folder=folder, field=field, given=given))
    file = folder / path
    if file.suffix not in (".parquet", ".csv") or not file.is_file():
        return collect(open_rows(path, folder=folder, field=field, query=query))
    try:
        return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    except Exception as error:
        raise InputError(
            f'{field} is "{path}", which cannot be read as {file.suffix[1:]}: {error}'
        ) from error


def read_model(
    path: str,
    *,
    folder: str | Path = ".",
    trust: bool = False,
    trusted_types: Sequence[str] = (),
) -> LoadedModel:
    """Read a model from a file, or the object that an import path names.

    ``.skops``; ``.onnx`` (needs onnxruntime); ``.ubj`` and ``.json`` of XGBoost
    and ``.txt`` of LightGBM, whose classes are 0 … k − 1; ``.joblib`` with
    ``trust``; ``package.module:object``.

    Args:
        path: as written in the plan; relative paths start at ``folder``.
        folder: the plan's folder.
        trust: allow a joblib file, whose loading can run any code.
        trusted_types: types in a skops file that the plan vouches for.

    Raises:
        UntrustedModelError: the file has types that nobody allowed.
        InputError: no such file or object, or it cannot be loaded.
        MissingDependencyError: the library that reads such a file is not installed.
    """
    folder = Path(folder)
    if is_import(path):
        found = import_object(path, "model.path", folder)
        is_model = hasattr(found, "predict") or hasattr(found, "predict_proba")
        model = found if is_model or not callable(found) else found()
        return model_in_memory(model, source=path)
    file = _existing(path, "model.path", folder, MODEL_FILES)
    if file.suffix in DATA_ONLY:
        try:
            model = DATA_ONLY[file.suffix](file)
        except InputError as error:
            raise InputError(f'model.path is "{path}", but {error}') from error
        return LoadedModel(model, path, digest_file(file), "the file's bytes")
    if file.suffix == ".joblib":
        if not trust:
            raise UntrustedModelError(
                f'model.path is "{path}": loading a joblib file can run any code in it; save the '
                "model as .skops, or set model.trust = true if you made this file yourself"
            )
        import joblib

        load: Callable[[], Any] = lambda: joblib.load(file)  # noqa: E731
    else:
        import skops.io

        try:
            untrusted = skops.io.get_untrusted_types(file=file)
        except Exception as error:
            raise InputError(
                f'model.path is "{path}", which is not a skops file: {error}'
            ) from error
        allowed = {*REVIEWED_TYPES, *trusted_types}
        strangers = [t for t in untrusted if t not in allowed]
        if strangers:
            raise UntrustedModelError(
                f'model.path is "{path}", which contains types that nobody has allowed:\n'
                + "\n".join(f"  • {t}" for t in sorted(strangers))
                + "\nIf you know them, add them to model.trusted_types in the plan.",
                strangers,
            )
        load = lambda: skops.io.load(file, trusted=sorted(set(untrusted)))  # noqa: E731
    try:
        model = load()
    except Exception as error:
        version = importlib.metadata.version("scikit-learn")
        raise InputError(
            f'model.path is "{path}", which cannot be loaded with scikit-learn {version}: '
            f"{type(error).__name__}: {error}. A model saved by another scikit-learn often does "
            "not load; install the version that saved it."
        ) from error
    return LoadedModel(model, source=path, digest=digest_file(file), digest_of="the file's bytes")


def model_in_memory(model: Any, *, source: str = "object in memory") -> LoadedModel:
    """Describe a model that was handed over as an object."""
    import pickle

    try:
        raw = pickle.dumps(model, protocol=5)
    except Exception:
        # A lambda or an open connection: its code cannot be pinned, its scores are.
        return LoadedModel(model, source, digest_bytes(repr(type(model)).encode()), "its type only")
    return LoadedModel(model, source, digest_bytes(raw), "the pickled object")
