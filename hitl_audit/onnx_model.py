"""A model in an ONNX file, as a predictor: a graph of operations, no code and no pickle.

The graph declares its inputs: one per column, or one matrix. A classifier is
a graph with a label output (whole numbers or texts, one per row) and another
output with its probabilities: a matrix, or one map per row from class to
probability (what converters call ZipMap).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, MissingDependencyError

__all__ = ["OnnxClassifier", "OnnxModel", "OnnxRegressor", "read_onnx"]

FloatArray = npt.NDArray[np.float64]
_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


class OnnxModel:
    """What classifiers and regressors share; made by :func:`read_onnx`.

    Attributes:
        feature_names_in_: the names of the inputs, if there is one per column.
        n_features_in_: how many columns it takes.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        inputs = self._session.get_inputs()
        for one in inputs:
            if one.type not in _TYPES:
                raise InputError(
                    f'its input "{one.name}" is a {one.type}; accepted: {", ".join(_TYPES)}'
                )
        if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].shape[1] != 1:
            width = inputs[0].shape[1]
            if isinstance(width, int):
                self.n_features_in_ = width
        else:
            names = [one.name for one in inputs]
            self.feature_names_in_ = np.array(names, dtype=object)
            self.n_features_in_ = len(names)

    def __getstate__(self) -> dict[str, Any]:
        # A session cannot be pickled; the graph it was made from can.
        return {k: v for k, v in self.__dict__.items() if k != "_session"}

    @cached_property
    def _session(self) -> Any:
        return _session(self._content)

    def _run(self, X: Any) -> dict[str, Any]:
        frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
        inputs = self._session.get_inputs()
        if hasattr(self, "feature_names_in_"):
            if not isinstance(X, pd.DataFrame):
                if frame.shape[1] != len(inputs):
                    raise InputError(
                        f"got {frame.shape[1]} columns; the graph has {len(inputs)} inputs"
                    )
                frame = frame.set_axis(list(self.feature_names_in_), axis=1)
            missing = [one.name for one in inputs if one.name not in frame.columns]
            if missing:
                raise InputError(f"the graph's inputs {', '.join(missing)} are not columns of X")
            feed = {one.name: _tensor(frame[[one.name]], one) for one in inputs}
        else:
            width = getattr(self, "n_features_in_", frame.shape[1])
            if frame.shape[1] != width:
                raise InputError(f"got {frame.shape[1]} columns; the graph takes {width}")
            feed = {inputs[0].name: _tensor(frame, inputs[0])}
        names = [one.name for one in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, feed), strict=True))


class OnnxClassifier(OnnxModel):
    """A graph with labels and probabilities.

    Attributes:
        classes_: the labels, in the order of the columns of ``predict_proba``.
    """

    def __init__(self, content: bytes, label: str, scores: str) -> None:
        super().__init__(content)
        self._label, self._scores = label, scores
        self._assumed = False
        first = self._run(self._blank())
        found = first[scores]
        if isinstance(found, list):
            labels: list[Any] = sorted(found[0])
        else:
            width = max(2, np.shape(found)[1])
            listed = _class_labels(content, width)
            self._assumed = listed is None
            labels = list(range(width)) if listed is None else listed
        self.classes_ = np.array(labels)
        self.predict_proba(self._blank())

    def _blank(self) -> pd.DataFrame:
        columns = getattr(self, "feature_names_in_", range(getattr(self, "n_features_in_", 1)))
        texts = {one.name for one in self._session.get_inputs() if "string" in one.type}
        return pd.DataFrame({name: ["" if name in texts else 0] for name in columns})

    def predict_proba(self, X: Any) -> FloatArray:
        """Probabilities, shape (n, classes).

        Raises:
            InputError: X does not fit the graph's inputs.
        """
        outputs = self._run(X)
        found = outputs[self._scores]
        if isinstance(found, list):
            labels = self.classes_.tolist()
            return np.array([[row[c] for c in labels] for row in found], dtype=np.float64)
        scores = np.asarray(found, dtype=np.float64)
        if scores.shape[1] == 1:
            scores = np.column_stack([1 - scores, scores])
        if self._assumed:
            self._check_labels(scores, np.asarray(outputs[self._label]).ravel())
        return scores

    def _check_labels(self, scores: FloatArray, labels: npt.NDArray[Any]) -> None:
        """The graph lists no classes: 0 … k − 1 are assumed, if its own labels say the same."""
        order = np.sort(scores, axis=1)
        clear = order[:, -1] - order[:, -2] > 1e-6
        wrong = (self.classes_[scores.argmax(axis=1)] != labels) & clear
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise InputError(
                f"the graph does not list its classes, and its label {labels[i]!r} is not the "
                f"column of the highest probability ({scores[i].argmax()}); save it with ZipMap"
            )

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Labels, shape (n,)."""
        return np.asarray(self._run(X)[self._label]).ravel()


class OnnxRegressor(OnnxModel):
    """A graph with numbers and no labels."""

    def predict(self, X: Any) -> FloatArray:
        """Values, shape (n,), or (n, k) for k > 1 values per row.

        Raises:
            InputError: X does not fit the graph's inputs.
        """
        (first, *_) = self._run(X).values()
        values = np.asarray(first, dtype=np.float64)
        return values.ravel() if values.ndim == 2 and values.shape[1] == 1 else values


def read_onnx(content: bytes) -> OnnxClassifier | OnnxRegressor:
    """A model from the bytes of an ONNX file.

    Columns are cast to the types that the graph declares: a graph of single
    precision sees numbers in single precision, as it does in production.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        InputError: not an ONNX model, or its inputs or outputs are of another
            kind; the message completes "which …".
    """
    outputs = _session(content).get_outputs()
    labels = [o for o in outputs if o.type in ("tensor(int64)", "tensor(string)")]
    scores = [
        o for o in outputs if "map(" in o.type or o.type in ("tensor(float)", "tensor(double)")
    ]
    if labels and scores:
        return OnnxClassifier(content, labels[0].name, scores[0].name)
    if not scores:
        listed = ", ".join(f"{o.name} ({o.type})" for o in outputs)
        raise InputError(f"its outputs are {listed}; expected probabilities or values")
    return OnnxRegressor(content)


def _session(content: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            "a model in an .onnx file needs onnxruntime, which is not installed; install it with: "
            'pip install "hitl-audit[onnx]"'
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is said by exceptions
    # One thread adds up in one order: the same row gives the same bits, whoever runs it.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InputError(f"it is no ONNX model that can be run: {error}") from error


def _tensor(frame: pd.DataFrame, declared: Any) -> npt.NDArray[Any]:
    kind = _TYPES[declared.type]
    gaps = frame.isna()
    if kind not in (np.float32, np.float64) and gaps.any(axis=None):
        name = gaps.columns[gaps.any(axis=0)][0]
        raise InputError(
            f'column "{name}" has missing values, which the graph\'s {declared.type} cannot hold'
        )
    try:
        if kind is np.object_:
            values = frame.astype(object).map(str).to_numpy(dtype=object)
        else:
            floats = frame.to_numpy(dtype=np.float64, na_value=np.nan)
            if np.issubdtype(kind, np.integer) and (floats != np.rint(floats)).any():
                raise InputError(
                    f'input "{declared.name}" is a {declared.type}; got numbers with fractions'
                )
            values = floats.astype(kind)
    except (TypeError, ValueError) as error:
        raise InputError(f'input "{declared.name}" is a {declared.type}: {error}') from error
    return values.ravel() if len(declared.shape) == 1 else values


# --- class labels, read from the graph's bytes -------------------------------------
# onnxruntime does not show the attributes of a graph, and the onnx package would be
# a dependency for two lists. The message layout is that of onnx.proto: ModelProto.graph
# = 7, GraphProto.node = 1, NodeProto.attribute = 5, AttributeProto.name = 1, .ints = 8,
# .strings = 9.


def _class_labels(content: bytes, width: int) -> list[Any] | None:
    """The class labels that a classifier node of the graph lists, if there are ``width``."""
    for graph in _parts(content, 7):
        for node in _parts(graph, 1):
            for attribute in _parts(node, 5):
                name = next((bytes(v) for v in _parts(attribute, 1)), b"")
                labels: list[Any] = []
                if name == b"classlabels_strings":
                    labels = [bytes(v).decode() for v in _parts(attribute, 9)]
                elif name in (b"classlabels_int64s", b"classlabels_ints"):
                    labels = list(_integers(attribute, 8))
                if len(labels) == width:
                    return labels
    return None


def _parts(message: bytes | memoryview, number: int) -> Iterator[memoryview]:
    """The length-delimited fields of one number in a protocol-buffer message."""
    for found, kind, value in _fields(memoryview(message)):
        if found == number and kind == 2:
            yield value


def _integers(message: memoryview, number: int) -> Iterator[int]:
    """The 64-bit integers of one repeated field, packed or not."""
    for found, kind, value in _fields(message):
        if found != number:
            continue
        if kind == 0:
            yield _signed(value)
        elif kind == 2:
            at = 0
            while at < len(value):
                raw, at = _varint(value, at)
                yield _signed(raw)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _fields(message: memoryview) -> Iterator[tuple[int, int, Any]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value: Any
            value, at = _varint(message, at)
        else:
            length, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = message[at : at + length], at + length
        yield key >> 3, kind, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
