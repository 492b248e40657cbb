"""A model folder as MLflow saves it, read without MLflow.

``MLmodel`` (YAML) says which library saved the model, in which file and format,
and by its signature which columns it takes. Read are the flavors ``sklearn``,
``xgboost``, ``lightgbm`` and ``onnx``; a folder that only has ``python_function``
would need its own code to run. What the folder says may be trusted in it
(``skops_trusted_types``) is not believed: it may come from the same hand as the
model.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hitl_audit.canonical import Digest, digest, digest_file
from hitl_audit.errors import InputError, MissingDependencyError

__all__ = ["MlflowFolder", "digest_folder", "read_mlflow_folder"]

_DESCRIPTION_LIMIT = 4 * 1024**2
_FILES_LIMIT = 10_000
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9.+!_-]{1,40})\s*(?:[;#].*)?$")
# By flavor: the keys of its file and its version, and the package it is the version of.
_FLAVORS = {
    "sklearn": ("pickled_model", "sklearn_version", "scikit-learn"),
    "xgboost": ("data", "xgb_version", "xgboost"),
    "lightgbm": ("data", "lgb_version", "lightgbm"),
    "onnx": ("data", "onnx_version", "onnx"),
}
# Distributions that bring the same package under another name.
_ALSO = {"xgboost": ("xgboost-cpu",), "onnx": ("onnxruntime",)}


@dataclass(frozen=True)
class MlflowFolder:
    """What ``MLmodel`` says, checked.

    Attributes:
        flavor: ``"sklearn"``, ``"xgboost"``, ``"lightgbm"`` or ``"onnx"``.
        kind: format of the file: ``"skops"``, ``"xgboost"``, ``"lightgbm"``,
            ``"onnx"`` or ``"pickle"``.
        file: the model file, inside the folder.
        code: folder with the model's own code, if it has any.
        columns: names of the signature's inputs, in order, or ``None``.
        saved_with: versions that the folder states, by package.
    """

    flavor: str
    kind: str
    file: Path
    code: Path | None
    columns: tuple[str, ...] | None
    saved_with: dict[str, str]

    def drift(self) -> str:
        """Which packages have another version here than they had where it was saved."""
        parts = []
        for package, saved in self.saved_with.items():
            here = _installed(package)
            if here and here != saved and not (package == "onnx" and self.flavor == "onnx"):
                parts.append(f"{package} {saved} (here {here})")
        return ", ".join(parts)


def read_mlflow_folder(folder: Path) -> MlflowFolder:
    """Read ``MLmodel`` of a model folder.

    Raises:
        InputError: it is no such folder, or not one that can be read; the
            message completes "model.path is …, which …".
        MissingDependencyError: PyYAML is not installed.
    """
    described = _described(folder / "MLmodel")
    flavors = described.get("flavors")
    if not isinstance(flavors, dict):
        raise InputError("has an MLmodel file without flavors")
    flavor = next((name for name in _FLAVORS if isinstance(flavors.get(name), dict)), None)
    if flavor is None:
        raise InputError(
            f"has the flavors {', '.join(map(str, flavors)) or '(none)'}; accepted: "
            f"{', '.join(_FLAVORS)}. Serve the model (mlflow models serve) and name its address, "
            'such as "http://localhost:5000/invocations", in model.path'
        )
    stated = flavors[flavor]
    file_key, version_key, package = _FLAVORS[flavor]
    file = _inside(folder, stated.get(file_key), f"flavors.{flavor}.{file_key}")
    if not file.is_file():
        raise InputError(f'names the model file "{stated.get(file_key)}", which is not there')
    code = stated.get("code")
    saved_with = _requirements(folder / "requirements.txt")
    if isinstance(stated.get(version_key), str):
        saved_with = {package: stated[version_key][:40], **saved_with}
        saved_with[package] = stated[version_key][:40]
    return MlflowFolder(
        flavor=flavor,
        kind=_kind(flavor, stated, file),
        file=file,
        code=None if not code else _inside(folder, code, f"flavors.{flavor}.code"),
        columns=_columns(described.get("signature")),
        saved_with=saved_with,
    )


def digest_folder(folder: Path) -> Digest:
    """SHA-256 over the names and bytes of all files of a folder.

    Raises:
        InputError: a link in it leads out of it, or it has too many files.
    """
    listed = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            _inside(folder, str(path.relative_to(folder)), "a link in it")
        if path.is_file():
            listed.append([path.relative_to(folder).as_posix(), digest_file(path)])
        if len(listed) > _FILES_LIMIT:
            raise InputError(f"has more than {_FILES_LIMIT:,} files")
    return digest(sorted(listed))


def _described(file: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError(
            "an MLflow model folder is described in YAML, which PyYAML reads; install it with: "
            "pip install pyyaml"
        ) from error
    if not file.is_file():
        raise InputError("is a folder without a file MLmodel; expected a model folder of MLflow")
    if file.stat().st_size > _DESCRIPTION_LIMIT:
        raise InputError(f"has an MLmodel file of more than {_DESCRIPTION_LIMIT // 1024**2} MiB")
    try:
        # Plain values only: a tag that would make an object is an error.
        described = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        words = " ".join(str(error).split())[:300]
        raise InputError(f"has an MLmodel file that is not plain YAML: {words}") from None
    if not isinstance(described, dict):
        raise InputError("has an MLmodel file that describes nothing")
    return described


def _inside(folder: Path, name: Any, key: str) -> Path:
    """A path that the folder names, which must lie in it, also behind links."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"has no file name in {key} of MLmodel")
    root = folder.resolve()
    try:
        path = (folder / name).resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f'names "{name[:200]}" ({key}), which leads nowhere: {error}') from None
    if Path(name).is_absolute() or "\\" in name or not path.is_relative_to(root):
        raise InputError(f'names "{name[:200]}" ({key}), which lies outside the folder')
    return path


def _kind(flavor: str, stated: dict[str, Any], file: Path) -> str:
    if file.suffix == ".skops":
        return "skops"
    if flavor == "sklearn":
        return "pickle"
    if flavor == "lightgbm" and file.suffix not in (".lgb", ".txt"):
        return "pickle"
    if flavor == "xgboost" and file.suffix in (".pkl", ".pickle", ".joblib"):
        return "pickle"
    return flavor


def _columns(signature: Any) -> tuple[str, ...] | None:
    """Names of a signature's inputs; ``None`` for tensors, which have none."""
    inputs = signature.get("inputs") if isinstance(signature, dict) else None
    try:
        listed = json.loads(inputs) if isinstance(inputs, str) else inputs
    except (ValueError, RecursionError):
        raise InputError("has a signature in MLmodel whose inputs are no JSON") from None
    if not isinstance(listed, list) or not listed:
        return None
    names = [one.get("name") if isinstance(one, dict) else None for one in listed]
    if not all(isinstance(name, str) for name in names):
        return None
    return tuple(str(name) for name in names)


def _requirements(file: Path) -> dict[str, str]:
    """Exact versions in ``requirements.txt``, of the packages that matter to a model."""
    if not file.is_file() or file.stat().st_size > _DESCRIPTION_LIMIT:
        return {}
    wanted = ("scikit-learn", "xgboost", "lightgbm", "numpy", "pandas")
    found = {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _PINNED.match(line.strip())
        if match and match[1].lower() in wanted:
            found[match[1].lower()] = match[2]
    return found


def _installed(package: str) -> str:
    for name in (package, *_ALSO.get(package, ())):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""
