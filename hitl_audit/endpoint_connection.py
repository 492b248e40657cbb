"""One connection to a scoring endpoint: a bounded POST, and nowhere else.

Rows and token go only to the host in the plan. A redirect is followed if it
keeps method, scheme, host and port (307 or 308), at most three times. Proxies
are those of the environment (``HTTPS_PROXY``, ``NO_PROXY`` …), never for this
machine itself.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import urllib.request
import weakref
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from hitl_audit.errors import InputError

__all__ = ["Connection", "NoReplyError", "Reply", "checked_address"]

_REDIRECTS = 3
_SECRET_NAMES = re.compile(r"(?i)(^|[-_.])(api-?key|key|token|secret|password|sig|signature|code)$")


class NoReplyError(Exception):
    """There was no reply, or not all of it; another try may help."""


@dataclass(frozen=True)
class Reply:
    """An HTTP reply.

    Attributes:
        status: its code.
        headers: by name in lower case.
        body: all of it, or the first bytes if the status is an error.
        redirected_to: where a redirect that was not followed points, without its query.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    redirected_to: str = ""


def checked_address(url: str, *, plain_http: bool) -> SplitResult:
    """The parts of an endpoint's address.

    Raises:
        InputError: not an address this toolkit would send rows to.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"model.path is no web address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InputError(f'model.path is "{url[:200]}"; expected https://host/path')
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "model.path is an address with a name or password in it, and a plan is no place for "
            "secrets; name an environment variable in model.token_from"
        )
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InputError(f"model.path is {url[:200]!r}; expected an address without blanks")
    for pair in parts.query.split("&"):
        name = pair.partition("=")[0]
        if _SECRET_NAMES.search(name):
            raise InputError(
                f'model.path is an address with "{name}=…" in it, which looks like a secret; a '
                "plan is published: name an environment variable in model.token_from"
            )
    if parts.fragment:
        raise InputError(f'model.path is "{url[:200]}"; an endpoint has no #fragment')
    if parts.scheme == "http" and not plain_http and not _is_here(parts.hostname):
        raise InputError(
            f'model.path is "{url[:200]}"; expected https://, as the rows and the token would '
            "travel in clear text (model.plain_http = true allows it)"
        )
    return parts


def _is_here(host: str) -> bool:
    """Is a host this machine?"""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


class Connection:
    """A connection that is kept between posts.

    Args:
        url: the endpoint's address.
        plain_http: as in :func:`checked_address`.
    """

    def __init__(self, url: str, *, plain_http: bool = False) -> None:
        self._parts = checked_address(url, plain_http=plain_http)
        self._through = ""
        # At most one; in a list of its own, so that it is closed when this is dropped.
        self._kept: list[http.client.HTTPConnection] = []
        weakref.finalize(self, _close_all, self._kept)

    def post(self, body: bytes, *, token: str, seconds: float, most_bytes: int) -> Reply:
        """Send a JSON body and wait for the reply.

        Args:
            body: the request.
            token: bearer token, or empty.
            seconds: that all of it may take.
            most_bytes: that the reply may have.

        Raises:
            NoReplyError: no connection, no reply in time, or one cut short.
            InputError: the reply is larger than it may be, or the server's
                certificate is not trusted.
        """
        address = self._parts
        for _ in range(_REDIRECTS + 1):
            reply = self._posted(address, body, token, seconds, most_bytes)
            if not 300 <= reply.status < 400:
                return reply
            target = urlsplit(urljoin(address.geturl(), reply.headers.get("location", "")))
            same = (target.scheme, target.netloc) == (address.scheme, address.netloc)
            if reply.status not in (307, 308) or not same:
                shown = f"{target.scheme}://{target.hostname}{target.path}"[:200]
                return Reply(reply.status, reply.headers, b"", shown)
            address = target
        return Reply(reply.status, reply.headers, b"", "itself, again and again")

    def close(self) -> None:
        """Close the connection."""
        _close_all(self._kept)

    def _posted(
        self, address: SplitResult, body: bytes, token: str, seconds: float, most_bytes: int
    ) -> Reply:
        # A connection that was kept may have been closed by the server meanwhile.
        fresh = not self._kept
        while True:
            try:
                return self._once(address, body, token, seconds, most_bytes)
            except (
                http.client.RemoteDisconnected,
                http.client.CannotSendRequest,
                BrokenPipeError,
                ConnectionResetError,
            ) as error:
                self.close()
                if fresh:
                    raise NoReplyError(
                        f"the connection was closed ({type(error).__name__})"
                    ) from None
                fresh = True

    def _once(
        self, address: SplitResult, body: bytes, token: str, seconds: float, most_bytes: int
    ) -> Reply:
        if not self._kept:
            self._kept.append(self._opened(seconds))
        connection = self._kept[0]
        connection.timeout = seconds
        late = threading.Event()

        def expire() -> None:
            # A server that sends a byte now and then never meets a socket's own limit.
            late.set()
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            if connection.sock is not None:
                connection.sock.settimeout(seconds)
            connection.request("POST", self._target(address), body, self._headers(token))
            response = connection.getresponse()
            headers = {k.lower(): v for k, v in response.getheaders()}
            try:
                content = self._body(response, headers, most_bytes)
            finally:
                response.close()  # it holds the socket open as well
            if late.is_set():
                # Cut off by ourselves, which a body without a length does not show.
                raise TimeoutError
            return Reply(response.status, headers, content)
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise InputError(
                f"the endpoint {self._parts.geturl()} has a certificate that is not trusted: "
                f"{error.verify_message}"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if late.is_set() or isinstance(error, TimeoutError):
                raise NoReplyError(f"no full reply within {seconds:,.3g} seconds") from None
            if isinstance(
                error, http.client.RemoteDisconnected | BrokenPipeError | ConnectionResetError
            ):
                raise
            if isinstance(error, http.client.IncompleteRead):
                raise NoReplyError("the reply was cut short") from None
            raise NoReplyError(f"{type(error).__name__}: {str(error)[:200]}") from None
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()

    def _body(
        self, response: http.client.HTTPResponse, headers: dict[str, str], most_bytes: int
    ) -> bytes:
        if headers.get("content-encoding", "identity").lower() != "identity":
            self.close()
            raise InputError(
                f"the endpoint {self._parts.geturl()} replied with compressed content, which was "
                "not asked for"
            )
        if response.status != 200:
            # An error page: its first words are enough, and the rest is not waited for.
            body = response.read(4096)
            if not response.isclosed():
                self.close()
            return body
        body = response.read(most_bytes + 1)
        if len(body) > most_bytes:
            self.close()
            raise InputError(
                f"the endpoint {self._parts.geturl()} replied with more than {most_bytes:,} bytes, "
                "more than the numbers that were asked for can take"
            )
        length = headers.get("content-length", "")
        if length.isdigit() and len(body) < int(length):
            self.close()
            raise http.client.IncompleteRead(body)
        return body

    def _headers(self, token: str) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "hitl-audit",
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self._through and self._parts.scheme == "http":
            headers |= _proxy_login(urlsplit(self._through))
        return headers

    def _target(self, address: SplitResult) -> str:
        path = address.path or "/"
        path = f"{path}?{address.query}" if address.query else path
        if self._through and address.scheme == "http":
            return f"http://{address.netloc}{path}"
        return path

    def _opened(self, seconds: float) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        self._through = self._proxy(host)
        secure = self._parts.scheme == "https"
        if not self._through:
            return self._plain_or_tls(host, port, seconds, secure=secure)
        proxy = urlsplit(self._through if "://" in self._through else f"http://{self._through}")
        self._through = proxy.geturl()
        connection = self._plain_or_tls(proxy.hostname or "", proxy.port, seconds, secure=secure)
        if secure:
            # The tunnel is opened in clear text to the proxy, then TLS goes to the host itself.
            connection.set_tunnel(host, port or 443, headers=_proxy_login(proxy))
        return connection

    @staticmethod
    def _plain_or_tls(
        host: str, port: int | None, seconds: float, *, secure: bool
    ) -> http.client.HTTPConnection:
        if secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
        return http.client.HTTPConnection(host, port, timeout=seconds)

    def _proxy(self, host: str) -> str:
        if _is_here(host) or urllib.request.proxy_bypass(host):
            return ""
        proxies = urllib.request.getproxies()
        return proxies.get(self._parts.scheme) or proxies.get("all") or ""


def _close_all(connections: list[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


def _proxy_login(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
