"""Scoring endpoints, asked over real sockets: what goes out, what may come back, what fails."""

from __future__ import annotations

import email.utils
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from hitl_audit.endpoint_model import Endpoint, EndpointClasses, EndpointScores, read_endpoint
from hitl_audit.errors import InputError
from hitl_audit.inputs import build_inputs
from hitl_audit.loading import read_model, read_planned_model
from hitl_audit.plan import AuditPlan
from hitl_audit.plan_sections import ModelSection

Answer = Callable[["Handler", dict[str, Any]], None]


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        self.server.seen.append((self.path, dict(self.headers), request))
        script = self.server.script
        answer = script.pop(0) if script else self.server.usual
        answer(self, request)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def reply(self, content: Any, status: int = 200, **headers: str) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Answer] = []
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.over = threading.Event()
        self.usual: Answer = halves

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/invocations"

    @property
    def sizes(self) -> list[int]:
        return [len(request["dataframe_split"]["data"]) for _, _, request in self.seen]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.over.set()
    made.shutdown()
    thread.join()
    made.server_close()


def halves(handler: Handler, request: dict[str, Any]) -> None:
    handler.reply({"predictions": [0.5] * len(request["dataframe_split"]["data"])})


def says(content: Any, status: int = 200, **headers: str) -> Answer:
    return lambda handler, _: handler.reply(content, status, **headers)


def hangs(handler: Handler, _: dict[str, Any]) -> None:
    handler.server.over.wait()
    handler.close_connection = True


def stops_halfway(handler: Handler, _: dict[str, Any]) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{")
    handler.server.over.wait()
    handler.close_connection = True


def cuts_short(handler: Handler, _: dict[str, Any]) -> None:
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n{"predictions"')
    handler.close_connection = True


def hangs_up(handler: Handler, _: dict[str, Any]) -> None:
    handler.close_connection = True


ROWS = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0, 5.0]})


def ask(server: Server, X: pd.DataFrame = ROWS, *, time: Time | None = None, **keys: Any) -> Any:
    time = time or Time()
    asked = Endpoint(server.url, clock=time.clock, sleep=time.sleep, **keys)
    return EndpointScores(asked)(X)


def test_rows_go_out_in_batches_with_every_digit_and_gaps_as_null(server: Server) -> None:
    X = pd.DataFrame(
        {
            "a": [0.1, np.nan, 1e-300],
            "n": [1, 2, 2**53 + 1],
            "t": ["ä", None, ""],
            "b": [True, False, True],
            "d": pd.Series(["2026-01-02", None, "2026-01-03"], dtype="datetime64[us]"),
            "f": np.array([0.1, 0.2, 0.3], dtype=np.float32),
            "i": pd.array([1, None, 3], dtype="Int64"),
        }
    )
    np.testing.assert_array_equal(ask(server, X, batch_rows=2), [0.5] * 3)
    assert server.sizes == [2, 1]
    split = server.seen[0][2]["dataframe_split"]
    assert split["columns"] == ["a", "n", "t", "b", "d", "f", "i"]
    assert split["data"] == [
        [0.1, 1, "ä", True, "2026-01-02T00:00:00", float(np.float32(0.1)), 1],
        [None, 2, None, False, None, float(np.float32(0.2)), None],
    ]
    last = server.seen[1][2]["dataframe_split"]["data"]
    assert last[0][:3] == [1e-300, 2**53 + 1, ""]
    assert ask(server, X.iloc[:0]).shape == (0,)


def test_an_endpoint_scores_and_decides_like_its_model(server: Server, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=90), "b": rng.normal(size=90)})
    y = pd.Series((X["a"] + rng.normal(size=90) > 0).astype(int))
    model = LogisticRegression().fit(X, y)
    sex = pd.DataFrame({"sex": rng.choice(["f", "m"], 90)})

    def scored(handler: Handler, request: dict[str, Any]) -> None:
        split = request["dataframe_split"]
        frame = pd.DataFrame(split["data"], columns=split["columns"])
        handler.reply({"predictions": model.predict_proba(frame)[:, 1].tolist()})

    server.usual = scored
    plan = AuditPlan.from_dict({"audit": {"title": "t"}, "data": {"sensitive": ["sex"]}})
    section = ModelSection(path=server.url, batch_rows=40)
    loaded = read_planned_model(section, folder=tmp_path)
    assert loaded.digest_of.startswith("its address only")
    asked = build_inputs(loaded.model, X, y, plan=plan, sensitive=sex, loaded=loaded)
    here = build_inputs(model, X, y, plan=plan, sensitive=sex)
    np.testing.assert_allclose(asked.y_score, here.y_score, rtol=1e-14)
    assert (asked.y_pred == here.y_pred).all()
    assert server.sizes == [40, 40, 10]
    loaded.check_unchanged()  # nothing on disk to look at


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_numbers_come_back_as_they_were_sent(server: Server, values: list[float]) -> None:
    server.usual = lambda handler, request: handler.reply(
        {"predictions": [row[0] for row in request["dataframe_split"]["data"]]}
    )
    found = ask(server, pd.DataFrame({"x": values}), batch_rows=7)
    assert found.tobytes() == np.array(values).tobytes()


def test_classes_and_labels(server: Server) -> None:
    server.usual = lambda handler, request: handler.reply(
        {"predictions": [[0.25, 0.75]] * len(request["dataframe_split"]["data"])}
    )
    model = read_endpoint(Endpoint(server.url, batch_rows=2), classes=["no", "yes"])
    assert isinstance(model, EndpointClasses)
    assert model.predict_proba(ROWS).tolist() == [[0.25, 0.75]] * 5
    assert model.predict(ROWS).tolist() == ["yes"] * 5
    with pytest.raises(InputError, match=r"2 numbers per row; expected one, or model\.classes"):
        ask(server)
    server.usual = lambda handler, request: handler.reply(
        {"predictions": ["yes", "no"] * (len(request["dataframe_split"]["data"]) // 2)}
    )
    labels = read_endpoint(Endpoint(server.url), output="label")
    assert labels.predict(ROWS.iloc[:4]).tolist() == ["yes", "no", "yes", "no"]  # type: ignore[union-attr]
    assert not hasattr(labels, "predict_proba")


def test_it_waits_as_asked_and_then_a_little_longer_each_time(server: Server) -> None:
    server.script = [
        says({}, 503, Retry_After="7"),
        says({}, 429, Retry_After=email.utils.formatdate(1_000_012, usegmt=True)),
        says({}, 502),
        says({}, 500, Retry_After="soon"),
    ]
    time = Time()
    np.testing.assert_array_equal(ask(server, time=time, now=lambda: 1_000_000.0), [0.5] * 5)
    assert time.slept[:2] == [7.0, 12.0]
    assert 1.0 <= time.slept[2] <= 2.0
    assert 2.0 <= time.slept[3] <= 4.0
    again = Time()
    server.script = [says({}, 503)] * 4
    ask(server, time=again, seed=1)
    assert again.slept != sorted(again.slept, reverse=True)
    server.script = [says({}, 503)] * 4
    third = Time()
    ask(server, time=third, seed=1)
    assert third.slept == again.slept  # the seed decides


def test_it_gives_up(server: Server) -> None:
    server.usual = says(b"overloaded", 503)
    with pytest.raises(
        InputError,
        match=r'did not score rows 1 to 5 of 5 in 5 tries within .*status 503 \("overloaded"\)',
    ):
        ask(server)
    assert len(server.seen) == 5
    time = Time()
    with pytest.raises(
        InputError, match=r"in 6 tries within 1\d seconds; the last one: status 503"
    ):
        ask(server, time=time, retries=20, give_up_after=20.0, seed=3)
    assert time.seconds <= 20
    server.usual = says({}, 503, Retry_After="3600")
    with pytest.raises(InputError, match=r"in 1 try .*left alone for 3,600 seconds more"):
        ask(server, time=time)


def test_the_failing_batch_is_named(server: Server) -> None:
    server.script = [halves]
    server.usual = says(b"no", 400)
    with pytest.raises(InputError, match=r'refused rows 3 to 4 of 5: status 400 \("no"\)'):
        ask(server, batch_rows=2)
    assert server.sizes == [2, 2]


@pytest.mark.parametrize("fault", [hangs, stops_halfway])
def test_a_server_that_hangs_is_left(server: Server, fault: Answer) -> None:
    server.script = [fault]
    with pytest.raises(InputError, match=r"in 1 try .* no full reply within 0\.2 seconds"):
        ask(server, timeout=0.2, retries=0)
    server.script = [fault]
    time = Time()
    np.testing.assert_array_equal(ask(server, time=time, timeout=0.2), [0.5] * 5)
    assert len(time.slept) == 1


def test_a_reply_cut_short_is_asked_for_again(server: Server) -> None:
    server.script = [cuts_short, halves]
    np.testing.assert_array_equal(ask(server), [0.5] * 5)
    server.usual = cuts_short
    with pytest.raises(InputError, match=r"in 2 tries.*cut short"):
        ask(server, retries=1)
    server.usual = hangs_up
    with pytest.raises(InputError, match=r"in 2 tries.*connection was closed"):
        ask(server, retries=1)


def test_a_kept_connection_that_the_server_closed_is_opened_again(server: Server) -> None:
    model = EndpointScores(Endpoint(server.url, retries=0))
    model(ROWS)
    server.script = [hangs_up]
    np.testing.assert_array_equal(model(ROWS), [0.5] * 5)
    assert len(server.seen) == 3


def test_nobody_listening_is_an_error() -> None:
    time = Time()
    asked = Endpoint("http://127.0.0.1:9/x", retries=1, clock=time.clock, sleep=time.sleep)
    with pytest.raises(InputError, match=r"in 2 tries.*ConnectionRefusedError"):
        EndpointScores(asked)(ROWS)


BAD_REPLIES = {
    "short": ({"predictions": [0.5] * 4}, "with 4 predictions; expected 5, one per row"),
    "long": ({"predictions": [0.5] * 6}, "with 6 predictions; expected 5"),
    "none": ({"predictions": []}, "with 0 predictions; expected 5"),
    "no list": ({"predictions": 0.5}, 'without a list "predictions"'),
    "a list": ([0.5] * 5, 'without a list "predictions"'),
    "error page": (b"<html>Sign in</html>", "something that is no JSON: '<html>Sign in</html>'"),
    "empty": (b"", "something that is no JSON"),
    "deep": (b"[" * 90_00, "something that is no JSON|cannot be read"),
    "NaN": (b'{"predictions": [0.5, NaN, 0.5, 0.5, 0.5]}', "with NaN, which is no number"),
    "infinity": (b'{"predictions": [0.5, 1e999, 0.5, 0.5, 0.5]}', "inf for row 2"),
    "null": ({"predictions": [0.5, 0.5, None, 0.5, 0.5]}, "'null' for row 3; expected a number"),
    "text": ({"predictions": ["0.5"] + [0.5] * 4}, "for row 1; expected a number"),
    "bool": ({"predictions": [True] * 5}, "'true' for row 1; expected a number"),
    "object": ({"predictions": [{"p": 1}] * 5}, "for row 1; expected a number"),
    "beyond one": ({"predictions": [0.5] * 4 + [1.5]}, "1.5 for row 5; expected a probability"),
    "negative": ({"predictions": [-0.1] + [0.5] * 4}, "-0.1 for row 1"),
}


@pytest.mark.parametrize("name", BAD_REPLIES)
def test_replies_that_are_no_scores_are_named(server: Server, name: str) -> None:
    content, message = BAD_REPLIES[name]
    server.usual = says(content)
    with pytest.raises(InputError, match=f"replied to rows 1 to 5 of 5 .*(?:{message})"):
        ask(server)
    assert len(server.seen) == 1  # asking again would not change it


def test_rows_are_counted_over_all_batches(server: Server) -> None:
    server.script = [halves, says({"predictions": [0.5, None]})]
    with pytest.raises(InputError, match=r"rows 3 to 4 of 5 with 'null' for row 4"):
        ask(server, batch_rows=2)
    server.usual = says({"predictions": [[0.5, 0.5], [0.5, "x"]]})
    model = EndpointClasses(Endpoint(server.url, batch_rows=2), [0, 1])
    with pytest.raises(InputError, match=r"rows 1 to 2 of 5 with .* for row 2; expected a number"):
        model.predict_proba(ROWS)
    server.usual = says({"predictions": [[0.5, 0.5], [0.5]]})
    with pytest.raises(InputError, match=r"'\[0\.5\]' for row 2; expected 2 probabilities"):
        model.predict_proba(ROWS)


def test_a_flood_or_compressed_content_is_refused(server: Server) -> None:
    server.usual = says(b" " * 200_000)
    with pytest.raises(InputError, match="replied with more than 67,536 bytes"):
        ask(server)
    server.usual = says(b"", Content_Encoding="gzip")
    with pytest.raises(InputError, match="compressed content"):
        ask(server)


def test_the_token_goes_in_the_header_and_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cret-t0ken"
    monkeypatch.setenv("SCORES", secret)
    model = EndpointScores(Endpoint(server.url, token_from="SCORES"))
    model(ROWS)
    path, headers, request = server.seen[0]
    assert headers["Authorization"] == f"Bearer {secret}"
    assert secret not in path + json.dumps(request)
    assert secret.encode() not in pickle.dumps(model)
    assert secret not in repr(model.endpoint)
    server.usual = lambda handler, _: handler.reply(
        f"token {handler.headers['Authorization']} is not known".encode(), 401
    )
    with pytest.raises(
        InputError, match=r'status 401 .* in the environment variable "SCORES"'
    ) as e:
        model(ROWS)
    assert secret not in str(e.value)
    assert "[token]" in str(e.value)
    monkeypatch.setenv("SCORES", "a token\nX-Evil: 1")
    with pytest.raises(InputError, match="holds no token") as e:
        model(ROWS)
    assert "Evil" not in str(e.value)
    monkeypatch.delenv("SCORES")
    with pytest.raises(InputError, match=r'model\.token_from is "SCORES".*not set'):
        model(ROWS)
    server.usual = says({}, 403)
    with pytest.raises(InputError, match=r"environment variable named in model\.token_from"):
        ask(server)


def test_redirects_are_followed_on_the_same_server_only(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCORES", "s3cret")
    server.script = [says({}, 307, Location="/v2/invocations")]
    np.testing.assert_array_equal(ask(server, token_from="SCORES"), [0.5] * 5)
    assert [path for path, _, _ in server.seen] == ["/invocations", "/v2/invocations"]
    other = Server()
    try:
        for status, to in ((307, other.url + "?q=1"), (302, "/login"), (301, "https://x.example/")):
            server.script = [says({}, status, Location=to)]
            words = rf"status {status} to \S+/\S*, which is not followed"
            with pytest.raises(InputError, match=words) as caught:
                ask(server, token_from="SCORES")
            assert "?q" not in str(caught.value)
        assert not other.seen
    finally:
        other.server_close()
    server.usual = says({}, 308, Location="/invocations")
    with pytest.raises(InputError, match="status 308 to itself, again and again"):
        ask(server)


def test_a_model_that_is_replaced_during_the_run_is_noticed(server: Server) -> None:
    def of(model: str) -> Answer:
        return lambda handler, _: handler.reply({"predictions": [0.5]}, X_Model_Digest=model)

    server.script = [of("sha256:aa"), of("sha256:aa"), of("sha256:bb")]
    asked = Endpoint(server.url, batch_rows=1)
    with pytest.raises(
        InputError,
        match=r"rows 3 to 3 of 5 with another model: its x-model-digest was sha256:aa and is "
        "sha256:bb now",
    ):
        EndpointScores(asked)(ROWS)
    assert pickle.loads(pickle.dumps(asked)).model_digest == "sha256:aa"  # noqa: S301


def test_proxies_are_used_for_others_and_never_for_this_machine(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://me:pa%20ss@127.0.0.1:{server.server_port}")
    far = Endpoint("http://scores.example/invocations?v=2", plain_http=True, retries=0)
    np.testing.assert_array_equal(EndpointScores(far)(ROWS), [0.5] * 5)
    path, headers, _ = server.seen[0]
    assert path == "http://scores.example/invocations?v=2"
    assert headers["Host"] == "scores.example"
    assert headers["Proxy-Authorization"] == "Basic bWU6cGEgc3M="
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    np.testing.assert_array_equal(ask(server), [0.5] * 5)
    assert server.seen[-1][0] == "/invocations"


def test_copies_ask_for_themselves(server: Server) -> None:
    model = EndpointScores(Endpoint(server.url))
    model(ROWS)
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301
    np.testing.assert_array_equal(copy(ROWS), [0.5] * 5)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(model(ROWS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.tolist() for r in results] == [[0.5] * 5] * 4


BAD_ADDRESSES = {
    "http://scores.example/x": "expected https://, as the rows and the token would travel",
    "http://10.0.0.1/x": "expected https://",
    "http://localhost.example/x": "expected https://",
    "https://me:pw@scores.example/": "a plan is no place for secrets",
    "https://scores.example/x?api_key=1": '"api_key=…" in it, which looks like a secret',
    "https://scores.example/x?v=1&sig=1": '"sig=…"',
    "https://scores.example/x#y": "has no #fragment",
    "https:///x": "expected https://host/path",
    "https://scores.example:99999/": "is no web address",
    "https://scores.example/a b": "without blanks",
    "https://scores.example/\r\nX: y": "without blanks|expected",
}


@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_addresses_that_no_rows_are_sent_to(url: str) -> None:
    with pytest.raises(InputError, match=BAD_ADDRESSES[url]):
        read_model(url)


def test_addresses_of_this_machine_may_be_plain(server: Server) -> None:
    for host in ("localhost", "127.0.0.2", "[::1]"):
        assert read_model(f"http://{host}:1/x").source == f"http://{host}:1/x"
    assert read_model("https://scores.example/x").path is None


def test_infinite_numbers_cannot_be_sent(server: Server) -> None:
    for values in ([1.0, np.inf], ["a", float("inf")]):
        with pytest.raises(InputError, match="infinite number"):
            ask(server, pd.DataFrame({"x": pd.Series(values)}))
    assert not server.seen
