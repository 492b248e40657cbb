"""One part in a process of its own: ``python -m hitl_audit.engine.one_part FOLDER KEY``.

Reads ``function.pkl`` and ``part.pkl`` from the folder, which the caller has just made
for this, and writes ``answer.pkl``. If this process dies, the part is to blame.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from hitl_audit.engine.work import payload_of

__all__ = ["main"]


def main(folder: Path, key: str) -> None:
    """Work on the part in ``folder``."""
    fn = pickle.loads((folder / "function.pkl").read_bytes())  # noqa: S301 - from our parent
    done = payload_of(fn, (folder / "part.pkl").read_bytes(), key)
    (folder / "answer.pkl").write_bytes(pickle.dumps(done))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
