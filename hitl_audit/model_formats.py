"""Formats that hold a model as data, and the one reader of each.

What is read is bytes, not a file: the bytes that were digested are the bytes
that are loaded, here and in a worker process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from hitl_audit.booster_model import read_lightgbm, read_xgboost
from hitl_audit.onnx_model import read_onnx
from hitl_audit.skops_file import load

__all__ = ["FORMATS", "Format", "load_content"]

Format = Literal["skops", "onnx", "xgboost", "lightgbm"]
# By the ending of the file's name.
FORMATS: dict[str, Format] = {
    ".skops": "skops",
    ".onnx": "onnx",
    ".ubj": "xgboost",
    ".json": "xgboost",
    ".txt": "lightgbm",
}


def load_content(kind: Format, content: bytes, trusted: Sequence[str] = ()) -> Any:
    """The model in the bytes of a file.

    Args:
        kind: the format.
        content: the file's bytes; a skops file has been examined before.
        trusted: for skops, the types to trust.

    Raises:
        InputError: the bytes are no such model.
        MissingDependencyError: the library that reads the format is missing.
    """
    if kind == "skops":
        return load(content, trusted)
    if kind == "onnx":
        return read_onnx(content)
    if kind == "xgboost":
        return read_xgboost(content)
    return read_lightgbm(content.decode("utf-8", errors="replace"))
