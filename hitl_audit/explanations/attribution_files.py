"""The attributions of every row, as parquet files that a retried part writes again by name."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hitl_audit.canonical import canonical_bytes, digest, digest_bytes
from hitl_audit.errors import InputError
from hitl_audit.explanations.attribution_sums import AttributionFile, AttributionSums
from hitl_audit.files import write_atomically

__all__ = ["MANIFEST", "PartWriter", "write_manifest"]

FloatArray = npt.NDArray[np.float64]

MANIFEST = "attributions.json"
_FORMAT = "hitl-audit/attributions/v1"
_ROWS_PER_FILE = 250_000


class PartWriter:
    """Writes the attributions of one part, in files of at most 250,000 rows.

    A file has the columns ``row`` (the identifier, or the SHA-256 of the row's content
    in hexadecimal digits), ``output`` and one of each feature's attributions; a row whose
    output is not finite has none. It appears as a whole or not at all, under a name that
    says which part of which pass it is of: a part that is done again writes the same
    files again, and no others. Where a part has no key, two tries may read its rows in two
    orders; then the content is in the name too, and what a lost try wrote is not in the
    manifest.

    Args:
        folder: where; it must exist.
        of: the key of the pass, and the name and key of the part. The name is in it
            because two parts may hold the same bytes.
        features: names of the attributions.
    """

    def __init__(self, folder: str, of: tuple[str, str, str], features: Sequence[str]) -> None:
        self._folder = Path(folder)
        self._of = of
        self._names = ("row", "output", *features)
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self.files: list[AttributionFile] = []

    def add(self, ids: Sequence[str], outputs: FloatArray, values: FloatArray) -> None:
        """Keep n rows: their names, outputs (n,) and attributions (n, p).

        Raises:
            OSError: the disk refuses.
        """
        finite = np.isfinite(outputs)
        columns = [outputs, *values.T]
        arrays = [pa.array(ids, pa.string())]
        arrays += [pa.array(np.ascontiguousarray(c), mask=~finite) for c in columns]
        batch = pa.RecordBatch.from_arrays(arrays, list(self._names))
        start = 0
        while start < len(batch):
            some = batch.slice(start, _ROWS_PER_FILE - self._rows)
            self._waiting.append(some)
            self._rows += len(some)
            start += len(some)
            if self._rows == _ROWS_PER_FILE:
                self.finish()

    def finish(self) -> None:
        """Write what waits.

        Raises:
            OSError: the disk refuses.
        """
        if not self._rows:
            return
        buffer = BytesIO()
        pq.write_table(pa.Table.from_batches(self._waiting), buffer)
        data = buffer.getvalue()
        content = "" if self._of[2] else digest_bytes(data)
        told = digest([*self._of, len(self.files), content])
        name = f"{told.partition(':')[2][:40]}.parquet"
        write_atomically(self._folder / name, data)
        self.files.append(AttributionFile(name, self._rows, len(data)))
        self._waiting, self._rows = [], 0


def write_manifest(folder: str | Path, sums: AttributionSums) -> Path:
    """Write ``attributions.json``, which names the files with every row once; last of all.

    Files that it does not name are of no finished pass and can be deleted.

    Raises:
        InputError: a file is gone or of another size, or rows are in none or several.
        OSError: the disk refuses.
    """
    where = Path(folder)
    for file in sums.files:
        path = where / file.name
        size = path.stat().st_size if path.is_file() else None
        if size != file.size:
            found = "is not there" if size is None else f"has {size:,} bytes"
            raise InputError(
                f"{where}: {file.name} {found}; expected {file.size:,} bytes (explain the rows "
                f"again, without what was kept of them)"
            )
    rows = sum(file.rows for file in sums.files)
    if rows != sums.rows + sums.left_out:
        raise InputError(
            f"{where}: the files have {rows:,} rows; expected the "
            f"{sums.rows + sums.left_out:,} that were read"
        )
    return write_atomically(
        where / MANIFEST,
        canonical_bytes(
            {
                "format": _FORMAT,
                "about": sums.about,
                "rows": rows,
                "explained": sums.rows,
                "sums": sums.digest,
                "files": sums.files,
            }
        ),
    )
