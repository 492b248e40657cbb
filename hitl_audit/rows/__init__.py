"""Rows of any number, from anywhere, read part by part and never held as a whole."""

from hitl_audit.rows.collecting import collect, has_more_than
from hitl_audit.rows.normal import id_texts, normal_frame
from hitl_audit.rows.opening import open_rows
from hitl_audit.rows.part import ROWS_PER_PART, Part, RowSource
from hitl_audit.rows.spark import SparkParts

__all__ = [
    "ROWS_PER_PART",
    "Part",
    "RowSource",
    "SparkParts",
    "collect",
    "has_more_than",
    "id_texts",
    "normal_frame",
    "open_rows",
]
