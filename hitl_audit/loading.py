"""Reading model and data files, and the objects that a plan names by import path."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from hitl_audit.canonical import Digest, digest_bytes, digest_file
from hitl_audit.endpoint_model import Endpoint, read_endpoint
from hitl_audit.errors import (
    InputError,
    MissingDependencyError,
    UntrustedModelError,
)
from hitl_audit.imported import import_object, importable, is_import
from hitl_audit.mlflow_folder import MlflowFolder, digest_folder, read_mlflow_folder
from hitl_audit.model_formats import FORMATS, Format, load_content
from hitl_audit.model_structure import check_structure
from hitl_audit.model_worker import WorkerModel
from hitl_audit.skops_file import WAY_OUT, examine

if TYPE_CHECKING:
    from hitl_audit.plan_sections import ModelSection

__all__ = [
    "EndpointSettings",
    "LoadedModel",
    "model_in_memory",
    "read_data",
    "read_model",
    "read_planned_model",
]

MODEL_FILES = (*FORMATS, ".joblib")


@dataclass(frozen=True)
class LoadedModel:
    """A model and where it came from.

    Attributes:
        model: the object.
        source: how it was read, for people.
        digest: of the file's bytes, of all files of a folder, of the pickled object
            in memory, or of an endpoint's address.
        digest_of: what ``digest`` was taken of.
        path: the file or folder it was read from.
        columns: the columns it takes, where its folder states them.
        notes: what a reader of the audit should know of the model.
        worker: the same model in a process of its own, if it is scored there.
    """

    model: Any
    source: str
    digest: Digest
    digest_of: str
    path: Path | None = None
    columns: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    worker: WorkerModel | None = field(default=None, repr=False, compare=False)

    @property
    def scoring(self) -> Any:
        """What scores the audited rows: the worker if there is one, or the model."""
        return self.worker or self.model

    def check_unchanged(self) -> None:
        """Is the model the one that was read? For the end of a run.

        Raises:
            InputError: its file or folder was changed or removed meanwhile.
        """
        if self.path is None:
            return
        try:
            now = digest_folder(self.path) if self.path.is_dir() else digest_file(self.path)
        except OSError as error:
            raise InputError(
                f'model.path is "{self.source}", which was there and cannot be read now '
                f"({type(error).__name__}); the run is of a model that is gone: run it again"
            ) from None
        if now != self.digest:
            raise InputError(
                f'model.path is "{self.source}", which was changed while it was audited: its '
                f"digest was {self.digest} and is {now} now. An audit is of one model: run it again"
            )


def _existing(path: str, field: str, folder: Path, suffixes: Sequence[str]) -> Path:
    file = Path(path)
    file = file if file.is_absolute() else folder / file
    accepted = ", ".join(suffixes) + " or package.module:name"
    if field == "model.path":
        accepted += ", a model folder of MLflow, or https://…"
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


def read_planned_model(
    section: ModelSection,
    *,
    folder: str | Path = ".",
) -> LoadedModel:
    """Read the model that a plan's ``[model]`` names; see :func:`read_model`."""
    return read_model(
        section.path,
        folder=folder,
        trust=section.trust,
        trusted_types=section.trusted_types,
        worker=section.worker,
        timeout=section.timeout,
        output=section.output,
        classes=section.classes,
        endpoint=EndpointSettings(
            batch_rows=section.batch_rows,
            retries=section.retries,
            token_from=section.token_from,
            plain_http=section.plain_http,
        ),
    )


@dataclass(frozen=True)
class EndpointSettings:
    """How a scoring endpoint is asked; see :class:`~hitl_audit.endpoint_model.Endpoint`."""

    batch_rows: int = 10_000
    retries: int = 4
    token_from: str = ""
    plain_http: bool = False


def read_model(
    path: str,
    *,
    folder: str | Path = ".",
    trust: bool = False,
    trusted_types: Sequence[str] = (),
    worker: bool = False,
    timeout: float = 60.0,
    output: str = "probability",
    classes: Sequence[Any] = (),
    endpoint: EndpointSettings = EndpointSettings(),
) -> LoadedModel:
    """Read a model from a file or folder, behind an address, or named by an import path.

    ``.skops``; ``.onnx`` (needs onnxruntime); ``.ubj`` and ``.json`` of XGBoost
    and ``.txt`` of LightGBM, whose classes are 0 … k − 1; ``.joblib`` with
    ``trust``; a model folder of MLflow; ``https://…``; ``package.module:object``.

    Args:
        path: as written in the plan; relative paths start at ``folder``.
        folder: the plan's folder.
        trust: allow a file of joblib or pickle, whose loading can run any code.
        trusted_types: types in a skops file that the plan vouches for.
        worker: load a file that is data in a worker process first, and score there.
        timeout: seconds that a worker may take for 10,000 rows, or an endpoint for a call.
        output: of an endpoint, ``"probability"`` or ``"label"``.
        classes: of an endpoint that replies with one probability per class.
        endpoint: how an endpoint is asked.

    Raises:
        UntrustedModelError: the file has types that nobody allowed.
        InputError: no such file or object, or it cannot be loaded.
        MissingDependencyError: the library that reads such a file is not installed.
    """
    folder = Path(folder)
    if path.partition("://")[0].lower() in ("http", "https"):
        return _read_address(path, timeout, output, classes, endpoint)
    if is_import(path):
        found = import_object(path, "model.path", folder)
        is_model = hasattr(found, "predict") or hasattr(found, "predict_proba")
        model = found if is_model or not callable(found) else found()
        return model_in_memory(model, source=path)
    place = Path(path) if Path(path).is_absolute() else folder / path
    described: MlflowFolder | None = None
    try:
        if place.is_dir():
            described = read_mlflow_folder(place)
            file, kind = described.file, described.kind
        else:
            file = _existing(path, "model.path", folder, MODEL_FILES)
            kind = FORMATS.get(file.suffix, "pickle")
        content = file.read_bytes()
        whole = digest_bytes(content) if described is None else digest_folder(place)
        if kind == "pickle":
            model = _unpickled(file, described, trust=trust)
            aside, notes = None, _notes((), described)
        else:
            model, aside, notes = _read_data_only(
                cast("Format", kind), content, described, path, trusted_types, worker, timeout
            )
    except UntrustedModelError as error:
        raise UntrustedModelError(_completed(path, error), error.types) from error
    except InputError as error:
        raise InputError(_completed(path, error)) from error
    columns = None if described is None else _agreed_columns(path, model, described.columns)
    return LoadedModel(
        model,
        source=path,
        digest=whole,
        digest_of="the file's bytes" if described is None else "all files of the folder",
        path=place,
        columns=columns,
        notes=notes,
        worker=aside,
    )


def _completed(path: str, error: InputError) -> str:
    """The message of a reader, as a sentence about the plan's key."""
    said = str(error).removeprefix(f"{path}: ")
    if said.startswith("model."):
        return said
    start = said.split(" ", 1)[0]
    joint = ", but " if start in ("it", "its") else ", which "
    joint = joint if start.islower() and start.isalpha() else ": "
    return f'model.path is "{path}"{joint}{said}'


def _read_data_only(
    kind: Format,
    content: bytes,
    described: MlflowFolder | None,
    path: str,
    trusted_types: Sequence[str],
    worker: bool,
    timeout: float,
) -> tuple[Any, WorkerModel | None, tuple[str, ...]]:
    aside = None
    if worker:
        aside = WorkerModel(content, kind=kind, name=path, timeout=timeout)
        aside.start()  # imports while the file is examined here
    try:
        trusted: Sequence[str] = ()
        versions: tuple[str, ...] = ()
        if kind == "skops":
            examined = examine(content, trusted_types=trusted_types)
            trusted, versions = examined.trusted, examined.versions
        model = _loaded(kind, content, trusted, aside, versions, described)
        check_structure(model)
    except BaseException:
        if aside is not None:
            aside.close()
        raise
    return model, aside, _notes(versions, described)


def _loaded(
    kind: Format,
    content: bytes,
    trusted: Sequence[str],
    aside: WorkerModel | None,
    versions: Sequence[str],
    described: MlflowFolder | None,
) -> Any:
    """The model itself; what a worker has loaded is loaded here next, never before it."""
    try:
        if aside is not None:
            aside.load(trusted)
        with warnings.catch_warnings():
            # Another version is said in words, in the document too.
            warnings.filterwarnings("ignore", message="Trying to unpickle estimator")
            return load_content(kind, content, trusted)
    except MissingDependencyError:
        raise
    except Exception as error:
        if kind != "skops":
            raise
        words = _drift_in_words(versions, described, error)
        raise InputError(f"cannot be loaded: {words}") from error


def _unpickled(file: Path, described: MlflowFolder | None, *, trust: bool) -> Any:
    if not trust:
        what = "a joblib file" if described is None else f"the {file.suffix} file in this folder"
        raise UntrustedModelError(
            f"is not read: loading {what} can run any code in it; save the model as .skops, or "
            "set model.trust = true if you made this file yourself"
        )
    try:
        if described is None:
            import joblib

            return joblib.load(file)
        import pickle

        with importable(described.code or file.parent):
            return pickle.loads(file.read_bytes())  # noqa: S301 (model.trust = true)
    except Exception as error:
        raise InputError(f"cannot be loaded: {_drift_in_words((), described, error)}") from error


def _saved_versions(versions: Sequence[str], described: MlflowFolder | None) -> list[str]:
    stated = None if described is None else described.saved_with.get("scikit-learn")
    return sorted({*versions, *([stated] if stated else [])})


def _drift_in_words(
    versions: Sequence[str], described: MlflowFolder | None, error: BaseException
) -> str:
    """Why a model of scikit-learn's may not load: both versions, and the way out."""
    here = importlib.metadata.version("scikit-learn")
    saved = _saved_versions(versions, described)
    problem = f"{type(error).__name__}: {str(error)[:1000]}"
    if isinstance(error, InputError):  # from a worker, which has said its kind
        problem = str(error)
    if saved and saved != [here]:
        return (
            f"{problem}. It was saved by scikit-learn {' and '.join(saved)} and is read by "
            f"scikit-learn {here}, and a model saved by another version often does not load: "
            f"{WAY_OUT}"
        )
    if saved:
        return f"{problem}. It was saved by the scikit-learn that reads it ({here})"
    return (
        f"{problem}. It cannot be loaded with scikit-learn {here}; which one saved it is not in "
        f"the file, and a model saved by another version often does not load: {WAY_OUT}"
    )


def _notes(versions: Sequence[str], described: MlflowFolder | None) -> tuple[str, ...]:
    here = importlib.metadata.version("scikit-learn")
    saved = [v for v in _saved_versions(versions, described) if v != here]
    notes = []
    if saved:
        notes.append(
            f"The model was saved by scikit-learn {' and '.join(saved)} and read by scikit-learn "
            f"{here}: it may decide otherwise than where it is used."
        )
    elif described is not None and described.drift():
        notes.append(
            f"The model was saved with other versions than read: {described.drift()}; it may "
            "decide otherwise than where it is used."
        )
    return tuple(notes)


def _agreed_columns(
    path: str, model: Any, columns: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """The signature's columns, if the model does not say otherwise."""
    if columns is None:
        return None
    own = getattr(model, "feature_names_in_", None)
    width = getattr(model, "n_features_in_", None)
    if own is not None and [str(n) for n in own] != list(columns):
        missing = [str(n) for n in own if str(n) not in columns]
        extra = [n for n in columns if n not in {str(o) for o in own}]
        if missing or extra:
            raise InputError(
                f'model.path is "{path}", whose signature names the columns {", ".join(columns)} '
                f"and whose model was fitted on {', '.join(map(str, own))}; expected the same"
            )
        return tuple(str(n) for n in own)
    if own is None and width is not None and int(width) != len(columns):
        raise InputError(
            f'model.path is "{path}", whose signature names {len(columns)} columns and whose model '
            f"takes {int(width)}; expected the same number"
        )
    return columns


def _read_address(
    url: str, timeout: float, output: str, classes: Sequence[Any], settings: EndpointSettings
) -> LoadedModel:
    asked = Endpoint(
        url,
        batch_rows=settings.batch_rows,
        timeout=timeout,
        retries=settings.retries,
        token_from=settings.token_from,
        plain_http=settings.plain_http,
    )
    return LoadedModel(
        read_endpoint(asked, output=output, classes=classes),
        source=url,
        digest=digest_bytes(url.encode()),
        digest_of="its address only: what is known of the model are its scores",
    )


def model_in_memory(model: Any, *, source: str = "object in memory") -> LoadedModel:
    """Describe a model that was handed over as an object."""
    import pickle

    try:
        raw = pickle.dumps(model, protocol=5)
    except Exception:
        # A lambda or an open connection: its code cannot be pinned, its scores are.
        return LoadedModel(model, source, digest_bytes(repr(type(model)).encode()), "its type only")
    return LoadedModel(model, source, digest_bytes(raw), "the pickled object")
