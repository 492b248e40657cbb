"""A model behind an HTTP scoring endpoint.

One call scores up to ``batch_rows`` rows. The request is a POST of::

    {"dataframe_split": {"columns": ["income", "purpose"], "data": [[41.5, "car"], …]}}

with numbers, texts, ``true``/``false`` and ``null`` for what is missing, and the
reply is::

    {"predictions": [0.81, …]}

one entry per row, in order: which is what MLflow's scoring server speaks. An
entry is the probability of the favorable outcome; or, if the plan lists
``model.classes``, a list of one probability per class; or, with ``model.output =
"label"``, the label itself.

A server may send the digest of the model it used in a header ``X-Model-Digest``;
if it changes while an audit runs, the audit ends with an error. Without that
header nothing is known of the model but its address and its scores.
"""

from __future__ import annotations

import email.utils
import json
import math
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.endpoint_connection import Connection, NoReplyError, Reply, checked_address
from hitl_audit.errors import InputError

__all__ = ["Endpoint", "EndpointClasses", "EndpointLabels", "EndpointScores", "read_endpoint"]

FloatArray = npt.NDArray[np.float64]
# Worth another try: too busy, down for a moment, or a proxy that lost its server.
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
DIGEST_HEADER = "x-model-digest"
_BYTES_PER_NUMBER = 400


@dataclass
class Endpoint:
    """Where and how a model is asked, one batch at a time.

    Args:
        url: ``https://…``; plain ``http://`` only on this machine, or with ``plain_http``.
        batch_rows: most rows per call.
        timeout: seconds that one try of one call may take, from connecting to the last byte.
        retries: further tries after a failure that may pass.
        give_up_after: seconds that one call may take with all its tries and waits.
        token_from: name of the environment variable that holds the bearer token.
        plain_http: allow ``http://`` to other machines.
        seed: of the random part of the waits.
        clock, sleep: seconds that pass, and waiting.
        now: seconds since 1970, for a ``Retry-After`` that is a date.
        model_digest: what the server said of its model, once it was asked.

    Raises:
        InputError: the address cannot be used.
    """

    url: str
    batch_rows: int = 10_000
    timeout: float = 60.0
    retries: int = 4
    give_up_after: float = 600.0
    token_from: str = ""
    plain_http: bool = False
    seed: int = 0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    model_digest: str = ""
    _open: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    def __post_init__(self) -> None:
        checked_address(self.url, plain_http=self.plain_http)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open = threading.local()

    def ask(self, X: pd.DataFrame, accepts: _Accepts) -> list[Any]:
        """The predictions for all rows, batch by batch.

        Raises:
            InputError: the server refused, failed for too long, or replied with
                something else; the message names the rows.
        """
        found: list[Any] = []
        for start in range(0, len(X), self.batch_rows):
            batch = X.iloc[start : start + self.batch_rows]
            rows = f"rows {start + 1:,} to {start + len(batch):,} of {len(X):,}"
            reply = self._called(_request(batch), len(batch) * accepts.width, rows)
            try:
                self._note_digest(reply)
                found += accepts.read(reply.body, len(batch), start)
            except InputError as error:
                raise InputError(f"{self._name} replied to {rows} {error}") from None
        return found

    @property
    def _name(self) -> str:
        return f"the endpoint {self.url}"

    def _called(self, body: bytes, numbers: int, rows: str) -> Reply:
        """One call, tried again while that may help."""
        token = self._token()
        dice = random.Random(f"{self.seed} {rows}")  # noqa: S311 (waits, not secrets)
        began = self.clock()
        failure = ""
        for attempt in range(self.retries + 1):
            left = self.give_up_after - (self.clock() - began)
            if left <= 0:
                break
            wait: float | None = None
            try:
                reply = self._connection().post(
                    body,
                    token=token,
                    seconds=min(self.timeout, left),
                    most_bytes=65_536 + _BYTES_PER_NUMBER * numbers,
                )
            except NoReplyError as error:
                failure = str(error)
            else:
                if reply.status == 200:
                    return reply
                failure = f"status {reply.status}{_said(reply, token)}"
                if reply.status not in RETRIED:
                    raise InputError(f"{self._name} refused {rows}: {failure}{_hint(self, reply)}")
                wait = _retry_after(reply, self.now)
            if attempt == self.retries:
                break
            asked = wait is not None
            if wait is None:
                # Half of the wait is random, so that many workers do not come back together.
                wait = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt) * (0.5 + dice.random() / 2)
            if wait > self.give_up_after - (self.clock() - began):
                if asked:
                    failure += f", and it asks to be left alone for {wait:,.0f} seconds more"
                break
            self.sleep(wait)
        tries = attempt + 1
        raise InputError(
            f"{self._name} did not score {rows} in {tries} {'try' if tries == 1 else 'tries'} "
            f"within {self.clock() - began:,.0f} seconds; the last one: {failure}"
        )

    def _connection(self) -> Connection:
        # One per thread and process: kept open between the calls.
        if getattr(self._open, "owner", None) != os.getpid():
            self._open.connection = Connection(self.url, plain_http=self.plain_http)
            self._open.owner = os.getpid()
        connection: Connection = self._open.connection
        return connection

    def _token(self) -> str:
        if not self.token_from:
            return ""
        token = os.environ.get(self.token_from, "").strip()
        if not token:
            raise InputError(
                f'model.token_from is "{self.token_from}", an environment variable that is not '
                "set; expected the endpoint's bearer token in it"
            )
        if not token.isascii() or not token.isprintable() or " " in token:
            raise InputError(
                f'the environment variable "{self.token_from}" (model.token_from) holds no token: '
                "it has blanks or characters that no header can carry"
            )
        return token

    def _note_digest(self, reply: Reply) -> None:
        digest = reply.headers.get(DIGEST_HEADER, "")[:200]
        if self.model_digest and digest != self.model_digest:
            raise InputError(
                f"with another model: its {DIGEST_HEADER} was {self.model_digest} and is "
                f"{digest or 'missing'} now. An audit is of one model: run it again"
            )
        self.model_digest = digest


class EndpointScores:
    """A callable: rows to probabilities of the favorable outcome, shape (n,)."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def __call__(self, X: pd.DataFrame) -> FloatArray:
        """Probabilities, shape (n,).

        Raises:
            InputError: see :meth:`Endpoint.ask`.
        """
        return np.array(self.endpoint.ask(X, _Accepts("scores")), dtype=np.float64)


class EndpointClasses:
    """A classifier: its server replies with one probability per class.

    Attributes:
        classes_: the labels, in the order of the columns.
    """

    def __init__(self, endpoint: Endpoint, classes: Sequence[Any]) -> None:
        self.endpoint = endpoint
        self.classes_ = np.array(classes)

    def predict_proba(self, X: pd.DataFrame) -> FloatArray:
        """Probabilities, shape (n, classes).

        Raises:
            InputError: see :meth:`Endpoint.ask`.
        """
        width = len(self.classes_)
        found = self.endpoint.ask(X, _Accepts("classes", width))
        return np.array(found, dtype=np.float64).reshape(len(X), width)

    def predict(self, X: pd.DataFrame) -> npt.NDArray[Any]:
        """Labels, shape (n,)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class EndpointLabels:
    """A server that replies with labels."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def predict(self, X: pd.DataFrame) -> npt.NDArray[Any]:
        """Labels, shape (n,).

        Raises:
            InputError: see :meth:`Endpoint.ask`.
        """
        found = np.empty(len(X), dtype=object)
        found[:] = self.endpoint.ask(X, _Accepts("labels"))
        return found


EndpointModel = EndpointScores | EndpointClasses | EndpointLabels


def read_endpoint(
    endpoint: Endpoint, *, output: str = "probability", classes: Sequence[Any] = ()
) -> EndpointModel:
    """The model behind an endpoint, as what the plan says its replies are.

    Args:
        endpoint: where and how it is asked.
        output: ``"probability"`` or ``"label"``.
        classes: the labels of the columns, if it replies with one probability each.
    """
    if output == "label":
        return EndpointLabels(endpoint)
    return EndpointClasses(endpoint, classes) if classes else EndpointScores(endpoint)


@dataclass(frozen=True)
class _Accepts:
    """What a reply must look like."""

    kind: Literal["scores", "classes", "labels"]
    width: int = 1

    def read(self, body: bytes, rows: int, start: int) -> list[Any]:
        """The entries of one reply, checked; messages complete "the endpoint replied …"."""
        try:
            reply = json.loads(body, parse_constant=_no_number)
        except InputError:
            raise
        except (ValueError, RecursionError):
            raise InputError(f"with something that is no JSON: {_snippet(body)}") from None
        entries = reply.get("predictions") if isinstance(reply, dict) else None
        if not isinstance(entries, list):
            raise InputError('without a list "predictions"')
        if len(entries) != rows:
            raise InputError(f"with {len(entries):,} predictions; expected {rows:,}, one per row")
        if self.kind == "labels":
            return self._checked(entries, {str, int, float, bool}, "a label", start)
        if self.kind == "scores":
            if entries and all(isinstance(e, list) and len(e) == 1 for e in entries):
                entries = [e[0] for e in entries]
            if entries and isinstance(entries[0], list):
                raise InputError(
                    f"with {len(entries[0])} numbers per row; expected one, or model.classes in "
                    "the plan to say of which class each is the probability"
                )
            return self._numbers(entries, start)
        for i, entry in enumerate(entries):
            if not isinstance(entry, list) or len(entry) != self.width:
                raise InputError(
                    f"with {_snippet(json.dumps(entry).encode())} for row {start + i + 1:,}; "
                    f"expected {self.width} probabilities, one for each of model.classes"
                )
        self._numbers([number for entry in entries for number in entry], start)
        return entries

    def _numbers(self, entries: list[Any], start: int) -> list[Any]:
        self._checked(entries, {int, float}, "a number", start)
        # A literal such as 1e999 is read as infinity, without a word.
        for i, value in enumerate(entries):
            if not 0 <= value <= 1:
                raise InputError(
                    f"with {value!r:.40} for row {start + i // self.width + 1:,}; expected a "
                    "probability from 0 to 1"
                )
        return entries

    def _checked(self, entries: list[Any], kinds: set[type], what: str, start: int) -> list[Any]:
        if not set(map(type, entries)) <= kinds:
            i, odd = next((i, e) for i, e in enumerate(entries) if type(e) not in kinds)
            raise InputError(
                f"with {_snippet(json.dumps(odd).encode())} for row "
                f"{start + i // self.width + 1:,}; expected {what}"
            )
        return entries


def _no_number(text: str) -> Any:
    raise InputError(f"with {text}, which is no number; expected a probability for every row")


def _snippet(body: bytes) -> str:
    text = body[:120].decode("utf-8", errors="replace")
    shown = "".join(c if c.isprintable() else " " for c in text)
    return repr(shown) + ("…" if len(body) > 120 else "")


def _said(reply: Reply, token: str) -> str:
    """What the server said, in short, and never the token, which it may repeat."""
    text = reply.body[:4096].decode("utf-8", errors="replace")
    if token:
        text = text.replace(token, "[token]")
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f' ("{words[:200]}")' if words else ""


def _hint(endpoint: Endpoint, reply: Reply) -> str:
    if reply.status in (401, 403):
        where = f'"{endpoint.token_from}"' if endpoint.token_from else "named in model.token_from"
        return f"; expected a valid bearer token in the environment variable {where}"
    if 300 <= reply.status < 400:
        return (
            f" to {reply.redirected_to or 'nowhere'}, which is not followed: rows and token go "
            "only to the address in the plan"
        )
    return ""


def _retry_after(reply: Reply, now: Callable[[], float]) -> float | None:
    """Seconds that the server asks to wait: a number, or a date (RFC 9110, 10.2.3)."""
    text = reply.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, moment - now())


def _request(batch: pd.DataFrame) -> bytes:
    columns = [_plain_column(batch.iloc[:, i]) for i in range(batch.shape[1])]
    split = {
        "columns": [str(name) for name in batch.columns],
        "data": list(zip(*columns, strict=True)) if columns else [()] * len(batch),
    }
    return json.dumps({"dataframe_split": split}, allow_nan=False).encode()


def _plain_column(column: pd.Series) -> list[Any]:
    """A column as JSON values: floats keep all their digits, what is missing is ``None``."""
    missing = column.isna().to_numpy()
    values = column.tolist()
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        if np.isinf(column.to_numpy(dtype=np.float64, na_value=np.nan)).any():
            raise InputError(f'column "{column.name}" has infinite numbers, which JSON cannot hold')
        if not missing.any():
            return values
        return [None if gone else v for v, gone in zip(values, missing.tolist(), strict=True)]
    return [
        None if gone else _plain(value)
        for value, gone in zip(values, missing.tolist(), strict=True)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isinf(value):
        raise InputError("an infinite number is among the values, which JSON cannot hold")
    if isinstance(value, str | int | float | bool):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
