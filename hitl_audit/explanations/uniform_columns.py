"""Raw rows from any source in the types that the background rows have."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.explanations.raw_features import is_number

__all__ = ["fitted_to", "uniform_columns"]


def uniform_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The types that :func:`hitl_audit.rows.normal_frame` gives; categories stay categories.

    Numbers become floats with NaN, booleans stay, all else becomes objects with NaN.
    """
    columns = {}
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == np.bool_:
            columns[name] = column
        elif is_number(column):
            columns[name] = (
                column.astype("Float64").astype(np.float64)
                if (column.dtype != np.float64)
                else column
            )
        else:
            whole = column.astype(object)
            columns[name] = whole.where(whole.notna(), np.nan)
    return pd.DataFrame(columns, index=frame.index)


def fitted_to(frame: pd.DataFrame, background: pd.DataFrame) -> pd.DataFrame:
    """The columns of the background, in its types; a category that it lacks is one more.

    Raises:
        InputError: text where the background has numbers.
    """
    columns = {}
    for name in background.columns:
        column, wanted = frame[name], background[name].dtype
        if column.dtype == wanted or wanted == np.bool_:
            columns[name] = column
        elif isinstance(wanted, pd.CategoricalDtype):
            unseen = [v for v in column.dropna().unique() if v not in wanted.categories]
            known = [*wanted.categories, *sorted(unseen, key=str)]
            columns[name] = column.astype(pd.CategoricalDtype(known, ordered=wanted.ordered))
        elif wanted == np.float64:
            try:
                columns[name] = column.astype(np.float64)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f'column "{name}" has text ({error}); expected numbers, as in the background'
                ) from error
        else:
            columns[name] = column.astype(object)
    return pd.DataFrame(columns, index=frame.index)
