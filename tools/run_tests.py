"""Run all tests in two processes side by side: python tools/run_tests.py [pytest options].

Many tests wait for something (a browser, a cluster, a worker that starts), so one
process leaves half of a small machine idle. Every test is in exactly one of the two;
the exit code is 0 only if both are green.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What mostly waits; everything else is the other half.
WAITING = (
    "tests/browser",
    "tests/engine",
    "tests/rows",
    "tests/signing",
    "tests/verification",
    "tests/widgets",
    "tests/test_mlflow_folder.py",
    "tests/test_model_worker.py",
    "tests/test_notebooks.py",
    "tests/test_streaming.py",
)


def main() -> int:
    absent = [path for path in WAITING if not (ROOT / path).exists()]
    if absent:
        sys.exit(f"tools/run_tests.py names what is not there: {', '.join(absent)}")
    pytest = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    # Of two processes that write a cache into one folder, one would lose.
    waiting = [*pytest, "-p", "no:cacheprovider", *WAITING]
    others = [*pytest, "tests", *(f"--ignore={path}" for path in WAITING)]
    with tempfile.TemporaryFile() as said:
        beside = subprocess.Popen(waiting, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        try:
            code = subprocess.run(others, cwd=ROOT).returncode
            print("\nTests that wait for browsers, clusters and workers:", flush=True)
            codes = (code, beside.wait())
        finally:
            if beside.poll() is None:
                beside.terminate()
            said.seek(0)
            sys.stdout.flush()
            sys.stdout.buffer.write(said.read())
            sys.stdout.flush()
    return next((c for c in codes if c), 0)


if __name__ == "__main__":
    sys.exit(main())
