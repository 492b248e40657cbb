"""The server of the review page: Voilà, on this machine, with a token.

The page's code is not shown and cannot be run from outside: Voilà takes only
the messages that widgets need. Every person gets a kernel of their own.
"""

from __future__ import annotations

import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError, MissingDependencyError
from hitl_audit.review_app import page

__all__ = ["ReviewServer", "serve_review"]

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class ReviewServer:
    """How the page is served.

    Attributes:
        folder: the audit folder, with results.
        reviewer: who judges; ``""`` lets the page ask.
        role: as what.
        host, port: where it listens; port 0 takes a free one.
        user_header: name of the header in which a proxy says who signed in.
        base_url: path under which a proxy serves it.
        token: secret part of the address; ``""`` where a proxy guards it.
        preheat: start the next person's kernel ahead.
        adjudicate: the cases on which reviewers differ, for a third person.
    """

    folder: Path
    reviewer: str = ""
    role: str = "domain expert"
    host: str = "127.0.0.1"
    port: int = 0
    user_header: str = ""
    base_url: str = "/"
    token: str = ""
    preheat: bool = True
    adjudicate: bool = False

    @property
    def address(self) -> str:
        """What to open in a browser."""
        query = f"?token={self.token}" if self.token else ""
        return f"http://{self.host}:{self.port}{self.base_url}{query}"


def serve_review(
    folder: str | Path,
    *,
    reviewer: str = "",
    role: str = "domain expert",
    host: str = "127.0.0.1",
    port: int = 0,
    user_header: str = "",
    base_url: str = "/",
    preheat: bool = True,
    adjudicate: bool = False,
    open_browser: bool = False,
    say: Callable[[ReviewServer], None] = lambda server: None,
) -> None:
    """Serve the review page of an audit folder until it is stopped.

    Args:
        folder: the audit folder, with results.
        reviewer: who judges; ``""`` lets the page, or a proxy, say.
        role: as what they judge.
        host: address to listen on; beyond this machine only with a proxy's header.
        port: to listen on; 0 takes a free one.
        user_header: header in which a proxy says who signed in. The proxy must
            remove the same header from what browsers send.
        base_url: path under which a proxy serves the page.
        preheat: start the next person's kernel ahead: faster, one kernel more.
        adjudicate: the cases on which reviewers differ, for a third person.
        open_browser: open the page on this machine.
        say: called with the address once it is known.

    Raises:
        InputError: not an audit folder, no results, or settings that contradict.
        MissingDependencyError: Voilà is not installed.
    """
    dossier = Dossier(folder)
    dossier.registered_plan()
    dossier.evidence()
    if reviewer and user_header:
        raise InputError(
            f'reviewer is "{reviewer}" and user_header is "{user_header}"; expected one of them: '
            "who reviews comes from one place"
        )
    if host not in ("127.0.0.1", "localhost", "::1") and not user_header:
        raise InputError(
            f'host is "{host}", which other machines can reach; expected 127.0.0.1, or user_header '
            "with the name of the header in which a proxy says who signed in"
        )
    try:
        from tornado.ioloop import IOLoop

        from hitl_audit.review_app.voila_app import ReviewVoila
    except ImportError:
        raise MissingDependencyError(
            'the review page needs Voilà; install it with: pip install "hitl-audit[notebook]"'
        ) from None
    server = ReviewServer(
        folder=dossier.folder.resolve(),
        reviewer=reviewer.strip(),
        role=role,
        host=host,
        port=port or _free_port(host),
        user_header=user_header,
        base_url=f"/{base_url.strip('/')}/".replace("//", "/"),
        token="" if user_header else secrets.token_urlsafe(24),
        preheat=preheat,
        adjudicate=adjudicate,
    )
    os.environ.update(environment(server))
    # An instance of its own: the traits of a singleton would outlive this call.
    app = ReviewVoila()
    app.initialize(arguments(server))

    def started() -> None:
        say(server)
        if open_browser:
            webbrowser.open(server.address)

    # The address is told when it answers: the loop runs once the page listens.
    IOLoop.current().add_callback(started)
    app.start()


def environment(server: ReviewServer) -> dict[str, str]:
    """What the kernels and Voilà read from the environment."""
    path = os.environ.get("JUPYTER_PATH", "")
    ours = str(_HERE / "jupyter")
    return {
        page.FOLDER: str(server.folder),
        page.REVIEWER: server.reviewer,
        page.ROLE: server.role,
        page.ADJUDICATE: "1" if server.adjudicate else "",
        page.HEADER: server.user_header,
        "JUPYTER_PATH": f"{ours}{os.pathsep}{path}" if path else ours,
        # Small calls: more threads only wait for each other.
        "OMP_NUM_THREADS": "1",
    }


def arguments(server: ReviewServer) -> list[str]:
    """Voilà's command line."""
    given = [
        str(_HERE / "review.ipynb"),
        f"--Voila.ip={server.host}",
        f"--port={server.port}",
        "--Voila.port_retries=0",
        "--no-browser",
        "--template=hitl_audit",
        f"--base_url={server.base_url}",
        "--show_tracebacks=False",
        "--Voila.log_level=ERROR",
        # A kernel without its page is of no use; ours is replaced before somebody gets it.
        "--KernelManager.autorestart=False",
        # A page that is left does not always say so. Who only closed the laptop
        # comes back to the same step: the ledger knows it, not the kernel.
        "--MappingKernelManager.cull_idle_timeout=300",
        "--MappingKernelManager.cull_interval=30",
        "--MappingKernelManager.cull_connected=False",
        f"--preheat_kernel={server.preheat}",
        "--pool_size=1",
        f"--token={server.token}",
    ]
    if server.user_header:
        given.append(f"--VoilaConfiguration.http_header_envs={server.user_header}")
    return given


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
