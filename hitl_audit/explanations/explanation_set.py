"""Several outputs of one model, explained for the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series
from hitl_audit.errors import InputError
from hitl_audit.explanations.explanation import Explanation

__all__ = ["ExplanationSet"]

FloatArray = npt.NDArray[np.float64]
TOP = 8


@dataclass(frozen=True, eq=False, repr=False)
class ExplanationSet:
    """One :class:`Explanation` per output: n rows, p raw features, k outputs.

    ``set[label]`` is the explanation of that output; iteration gives the labels.

    Attributes:
        explanations: one per output, of the same rows and features, by the
            same method on the same scale.

    Raises:
        InputError: none, two of one output, or they do not fit each other.
    """

    explanations: tuple[Explanation, ...]

    def __post_init__(self) -> None:
        if not self.explanations:
            raise InputError("explanations is empty; expected at least one output")
        first = self.explanations[0]
        for other in self.explanations[1:]:
            if not other.index.equals(first.index):
                raise InputError("the explanations are of different rows; expected the same")
            for name in ("feature_names", "method", "scale", "background_digest"):
                if getattr(other, name) != getattr(first, name):
                    raise InputError(
                        f"the explanations differ in {name}: {getattr(first, name)!r} and "
                        f"{getattr(other, name)!r}; expected the same"
                    )
        twice = [o for o in self.outputs if self.outputs.count(o) > 1]
        if twice:
            raise InputError(f"output {twice[0]!r} is explained twice; expected once")

    @property
    def outputs(self) -> tuple[Any, ...]:
        """The k outputs: class labels, positions of values, or ``None`` for a single value."""
        return tuple(e.output for e in self.explanations)

    def __getitem__(self, output: Any) -> Explanation:
        for explanation in self.explanations:
            if explanation.output == output:
                return explanation
        raise InputError(
            f"output is {output!r}; explained are {', '.join(map(repr, self.outputs))}"
        )

    def __iter__(self) -> Iterator[Any]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.explanations)

    @property
    def values(self) -> FloatArray:
        """Attributions, shape (n, p, k), read-only."""
        return self._stacked([e.values for e in self.explanations])

    @property
    def base_values(self) -> FloatArray:
        """Base values, shape (n, k), read-only."""
        return self._stacked([e.base_values for e in self.explanations])

    @property
    def predictions(self) -> FloatArray:
        """The original model's outputs, shape (n, k), read-only."""
        return self._stacked([e.predictions for e in self.explanations])

    @staticmethod
    def _stacked(arrays: list[FloatArray]) -> FloatArray:
        stacked = np.stack(arrays, axis=-1)
        stacked.setflags(write=False)
        return stacked

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The raw features."""
        return self.explanations[0].feature_names

    @property
    def index(self) -> pd.Index:
        """The cases."""
        return self.explanations[0].index

    def to_shap(self) -> Any:
        """The same as one 3-D ``shap.Explanation`` with ``output_names``."""
        one = self.explanations[0].to_shap()
        return type(one)(
            values=np.array(self.values),
            base_values=np.array(self.base_values),
            data=one.data,
            display_data=one.display_data,
            feature_names=list(self.feature_names),
            output_names=[str(o) for o in self.outputs],
        )

    def frame(self) -> pd.DataFrame:
        """Tidy: output, row, feature, feature_value, attribution, and sd for LIME."""
        return self._joined([e.frame() for e in self.explanations])

    def global_importance(self, confidence: float = 0.95) -> pd.DataFrame:
        """Mean absolute attribution per output and feature; see :class:`Explanation`."""
        return self._joined([e.global_importance(confidence) for e in self.explanations])

    def _joined(self, tables: list[pd.DataFrame]) -> pd.DataFrame:
        for table, output in zip(tables, self.outputs, strict=True):
            table.insert(0, "output", pd.Series([output] * len(table), dtype=object))
        joined = pd.concat(tables, ignore_index=True)
        return joined.assign(output=joined["output"].infer_objects())

    def chart(self) -> Chart:
        """Bars of mean \\|attribution\\| per feature, one series per output."""
        tables = [e.global_importance().set_index("feature") for e in self.explanations]
        total = sum((t["mean_abs"] for t in tables[1:]), tables[0]["mean_abs"])
        top = total.sort_values(ascending=False, kind="stable").index[:TOP].tolist()
        method, scale = self.explanations[0].method.upper(), self.explanations[0].scale
        series = []
        for output, table in zip(self.outputs, tables, strict=True):
            chosen = table.loc[top]
            bounds = {
                side: tuple(None if np.isnan(v) else float(v) for v in chosen[side])
                for side in ("low", "high")
            }
            notes: tuple[str, ...] = ()
            if "mean_sd" in chosen:
                notes = tuple(f"sd over seeds {sd:.2g}" for sd in chosen["mean_sd"])
            values = tuple(chosen["mean_abs"].tolist())
            series.append(Series(str(output), tuple(top), values, **bounds, notes=notes))
        left_out = len(total) - len(top)
        rest = f"; {left_out} weaker features are left out" if left_out else ""
        message = (
            f"What moves the model's {scale} of its {len(self)} outputs most: "
            f"{' and '.join(top[:2])} ({method}, {len(self.index):,} cases){rest}"
        )
        numbers = "; ".join(
            f"{s.name}: " + ", ".join(f"{x} {y:.3g}" for x, y in zip(s.x, s.y, strict=True))
            for s in series
        )
        label = f"mean |{method}| ({scale})"
        return Chart("bars", message, f"{message}. {numbers}.", label, tuple(series))

    def plot(self) -> Any:
        """The chart as a plotly figure."""
        from hitl_audit.charts import to_plotly

        return to_plotly(self.chart())

    def __repr__(self) -> str:
        n, p, k = self.values.shape
        one = self.explanations[0]
        return (
            f"<ExplanationSet {one.method}: {n} rows × {p} features × {k} outputs "
            f"({', '.join(map(str, self.outputs))}), {one.scale}, "
            f"background {one.background_size} rows>"
        )

    def _repr_html_(self) -> str:
        from html import escape

        table = self.global_importance().groupby("output", dropna=False, sort=False).head(3)
        shown = table.to_html(index=False, border=0, float_format="{:.4g}".format)
        return f"<p>{escape(repr(self)[1:-1])}</p>{shown}"
