"""Make the environment that `make` uses. Standard library only: it runs before anything exists.

    python tools/setup_env.py VENV LOCK [--extras EXTRAS] [--system]

VENV is created if it is not there and filled with exactly the versions of the
LOCK file (checked by hash), then with this checkout. Nothing is done when the
lock and pyproject.toml are what they were the last time. ``--system`` also
looks for the programs that the tests use and installs them where it may.
"""

import argparse
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Program -> Debian package.
PROGRAMS = {
    "chromium": "chromium fonts-dejavu-core",  # without a font it draws no text
    "mutool": "mupdf-tools",
    "openssl": "openssl",
    "pdfdetach": "poppler-utils",
    "pdfinfo": "poppler-utils",
    "pdfsig": "poppler-utils",
    "pdftoppm": "poppler-utils",
    "pdftotext": "poppler-utils",
    "qpdf": "qpdf",
    "softhsm2-util": "softhsm2",
    "ssh-keygen": "openssh-client",
}
# What Spark needs at least; Debian 12 and Ubuntu have 17, Debian 13 has 21.
JAVA = 17
JAVA_PACKAGES = ("openjdk-17-jre-headless", "openjdk-21-jre-headless")
# Server program that Debian keeps off the PATH -> Debian package.
SERVERS = {"usr/lib/postgresql/*/bin/initdb": "postgresql"}
# Shared library -> Debian package: what the browser's driver loads.
LIBRARIES = {"libatomic.so.1": "libatomic1"}


def fail(message: str) -> None:
    sys.exit(f"\n{message}\n")


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT)
    if done.returncode:
        fail(f"This step failed (exit code {done.returncode}): {' '.join(command)}")


def python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def create(venv: Path) -> None:
    """A virtual environment with pip, also where Debian splits venv from Python."""
    if (
        subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True).returncode
        == 0
    ):
        return
    shutil.rmtree(venv, ignore_errors=True)
    # Debian without python3-venv: no ensurepip, but a system pip can fill the environment.
    bare = subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)])
    pip = [sys.executable, "-m", "pip", "--python", str(python_of(venv)), "install", "-q", "pip"]
    if bare.returncode == 0 and subprocess.run(pip).returncode == 0:
        return
    shutil.rmtree(venv, ignore_errors=True)
    fail(
        "This Python cannot make a virtual environment. On Debian or Ubuntu install the module:\n"
        "    sudo apt install python3-venv\n"
        "then run the same command again."
    )


def loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def java_package() -> str:
    """The package with a Java that Spark can start on, or "" if there is one already."""
    java = shutil.which("java")
    if java:
        said = subprocess.run([java, "-version"], capture_output=True, text=True)
        found = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
        if found and int(found[1]) >= JAVA:
            return ""
    if shutil.which("apt-cache"):
        for package in JAVA_PACKAGES:
            if not subprocess.run(["apt-cache", "show", package], capture_output=True).returncode:
                return package
    return JAVA_PACKAGES[0]


def system_programs() -> None:
    absent = [packages for name, packages in PROGRAMS.items() if not shutil.which(name)]
    absent += [package] if (package := java_package()) else []
    absent += [
        package
        for pattern, package in SERVERS.items()
        if not any(Path("/").glob(pattern)) and not shutil.which(Path(pattern).name)
    ]
    absent += [package for name, package in LIBRARIES.items() if not loads(name)]
    missing = sorted({package for packages in absent for package in packages.split()})
    if not missing:
        return
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        print(f"Installing system packages: {' '.join(missing)}", flush=True)
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)
        return
    fail(
        "The tests need these programs, and this user may not install them. Run:\n"
        f"    sudo apt-get update && sudo apt-get install -y {' '.join(missing)}\n"
        "then run the same command again."
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("venv", type=Path)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--extras", default="")
    parser.add_argument("--system", action="store_true")
    args = parser.parse_args()
    if sys.version_info < (3, 11):
        fail(
            f"Found Python {sys.version.split()[0]}; Python 3.11 or later is needed. If it is "
            "installed under another name, say so: make PYTHON=python3.11 demo"
        )
    if args.system:
        system_programs()
    python = python_of(args.venv)
    inputs = [ROOT / args.lock, ROOT / "pyproject.toml"]
    state = hashlib.sha256(
        b"".join(p.read_bytes() for p in inputs) + args.extras.encode()
    ).hexdigest()
    stamp = args.venv / f"installed-{args.lock.stem}"
    if python.exists() and stamp.exists() and stamp.read_text() == state:
        return
    if not python.exists():
        print(f"Creating the environment in {args.venv} …", flush=True)
        create(args.venv)
    print("Installing packages (the first time takes a few minutes) …", flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--require-hashes", "-r", str(args.lock))
    run(*pip, "--no-deps", "--editable", f".[{args.extras}]" if args.extras else ".")
    stamp.write_text(state)


if __name__ == "__main__":
    main()
