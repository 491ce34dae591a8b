"""`course bench --url` against a small server of ours: what it sends, what it counts, and what fails."""

import json
import random
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from course_lib.errors import CourseError
from course_lib.workload.bench import BenchOptions, run_bench


class Completions(BaseHTTPRequestHandler):
    """A server of tokens "x", which are sent in pieces that are cut anywhere. `fate` says what happens to a request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def do_GET(self):
        self._answer(200, json.dumps({"data": [{"id": "small"}]}).encode())

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number, fate = len(self.server.bodies), self.server.fate(len(self.server.bodies))
            self.server.bodies.append(body)
            self.server.keys.add(self.headers.get("Authorization"))
        if fate == "strict" and "return_token_ids" in body:
            fate = 400
        if isinstance(fate, int):
            return self._answer(fate, b'{"error": "no\nroom"}')
        n, usage = body["max_tokens"], {"prompt_tokens": len(body["prompt"]), "completion_tokens": body["max_tokens"]}
        events = [{"choices": [{"text": "x\u2028é", "finish_reason": None}]} for _ in range(n - 1)]
        events += [{"choices": [{"text": "x", "finish_reason": "length"}]}, {"choices": [], "usage": usage}]
        if body.get("return_token_ids"):
            for k, event in enumerate(events[:-1]):
                event["choices"][0]["token_ids"] = [900 + k]
        if fate == "odd":  # a first piece with the role only, one without choices, and the reason in a piece of its own
            role = {"choices": [{"text": "", "delta": {"role": "assistant"}, "finish_reason": None}]}
            events[-2]["choices"][0]["finish_reason"] = None
            last = {"choices": [{"text": "", "finish_reason": "length"}], "usage": None}
            events = [role, {"choices": []}, *events[:-1], last, events[-1]]
        if fate == "no usage":
            del events[-1]
        if fate == "error inside":
            events[1:] = [{"error": {"message": "out of\nmemory", "code": 500}}]
        sent = "".join(f"data: {json.dumps(one, ensure_ascii=False)}\n\n" for one in events) + "data: [DONE]\n\n"
        if fate == "odd":
            sent = ": ping\r\n\r\n" + sent.replace("\n\n", "\r\n\r\n: keep-alive\r\n\r\n")
        if fate == "never done":
            sent = sent.removesuffix("data: [DONE]\n\n")
        if fate == "not streamed":
            return self._answer(200, json.dumps({"choices": [{"text": "x" * n}], "usage": usage}).encode())
        if fate == "no JSON":
            sent = "data: <html>\n\n"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._send_in_pieces(sent.encode(), random.Random(number), fate)

    def _send_in_pieces(self, sent, draw, fate):
        breaks = fate == "breaks"
        while sent:
            if fate == "slow":
                time.sleep(0.02)
            cut = draw.randint(1, 200)
            piece, sent = sent[:cut], sent[cut:]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
            if breaks:
                self.close_connection = True
                self.connection.shutdown(2)
                return
        self.wfile.write(b"0\r\n\r\n")

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server():
    running = ThreadingHTTPServer(("127.0.0.1", 0), Completions)
    running.daemon_threads, running.lock = True, threading.Lock()
    running.bodies, running.keys, running.fate = [], set(), lambda number: "well"
    running.url = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def bench(server, path, **options):
    """(exit code, record) of a run against the server."""
    wanted = {"lengths": "12:5", "rate": float("inf"), "num_requests": 8} | options
    code = run_bench(BenchOptions(url=server.url, **wanted), path)
    return code, json.loads(path.read_text())


def test_all_is_counted_and_the_requests_are_those_of_the_workload(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret-key")
    code, record = bench(server, tmp_path / "a.json", seed=3)
    results = record["results"]
    assert code == 0 and (results["completed"], results["failed"]) == (8, 0)
    assert (results["total_input_tokens"], results["total_output_tokens"]) == (8 * 12, 8 * 5)
    first, *bodies = server.bodies  # the first one tries the server, and is not measured
    assert first["max_tokens"] == 2 and len(bodies) == 8
    assert all(body["model"] == "small" and body["stream"] and body["ignore_eos"] for body in bodies)
    assert len({tuple(body["prompt"]) for body in bodies}) == 8 and {len(body["prompt"]) for body in bodies} == {12}
    assert 0 < results["median_ttft_ms"] <= results["median_e2el_ms"] <= results["duration"] * 1e3
    assert results["mean_queue_time_ms"] is None and "Successful requests:" in capsys.readouterr().out
    assert server.keys == {"Bearer a-secret-key"} and "a-secret-key" not in (tmp_path / "a.json").read_text()


def test_users_wait_for_their_answer(server, tmp_path):
    code, record = bench(server, tmp_path / "a.json", rate=None, users=2)
    assert code == 0 and record["results"]["completed"] == 8
    assert record["results"]["max_concurrent_requests"] <= 8 and len(server.bodies) == 9


def test_failures_are_counted_and_told(server, tmp_path, capsys):
    fates = {2: 500, 3: 429, 4: "breaks", 5: 429}
    server.fate = lambda number: fates.get(number, "well")
    code, record = bench(server, tmp_path / "a.json")
    assert code == 0 and (record["results"]["completed"], record["results"]["failed"]) == (4, 4)
    assert record["results"]["total_output_tokens"] == 4 * 5
    kinds = Counter()
    for problem, n in record["problems"].items():
        kinds[problem[:8]] += n
    assert kinds["HTTP 500"] == 1 and kinds["HTTP 429"] == 2 and sum(kinds.values()) == 4
    assert all("\n" not in problem for problem in record["problems"])
    said = capsys.readouterr().out
    assert "HTTP 429" in said and "Failed, 2 times" in said and len(server.bodies) == 9  # nothing is sent again


def test_what_real_servers_do_besides_is_understood(server, tmp_path):
    """Comments that keep the connection, \\r\\n, a piece with the role only, pieces without choices, slow pieces."""
    fates = {1: "odd", 2: "odd", 3: "slow", 4: "odd"}
    server.fate = lambda number: fates.get(number, "well")
    code, record = bench(server, tmp_path / "a.json")
    assert code == 0 and (record["results"]["completed"], record["results"]["failed"]) == (8, 0), record["problems"]
    assert (record["results"]["total_input_tokens"], record["results"]["total_output_tokens"]) == (8 * 12, 8 * 5)
    assert record["results"]["p99_ttft_ms"] < record["results"]["p99_e2el_ms"]


def test_without_usage_pieces_are_tokens_and_the_prompt_is_what_was_sent(server, tmp_path):
    server.fate = lambda number: "no usage"
    _, record = bench(server, tmp_path / "a.json")
    assert (record["results"]["total_input_tokens"], record["results"]["total_output_tokens"]) == (8 * 12, 8 * 5)


def test_what_is_no_whole_answer_fails_with_a_reason(server, tmp_path):
    fates = {1: "error inside", 2: "never done", 3: "not streamed", 4: "no JSON"}
    server.fate = lambda number: fates.get(number, "well")
    code, record = bench(server, tmp_path / "a.json")
    assert code == 0 and (record["results"]["completed"], record["results"]["failed"]) == (4, 4)
    said = " | ".join(sorted(record["problems"]))
    assert "out of memory" in said and "before [DONE]" in said and "JSONDecodeError" in said, said
    assert all("\n" not in problem for problem in record["problems"])


def test_several_clients_and_conversations_reach_the_server(server, tmp_path):
    code, record = bench(server, tmp_path / "a.json", rate=None, num_requests=3, turns="2",
                         client=("web:users=2", "batch:users=1,lengths=20:3"))  # fmt: skip
    assert code == 0 and record["results"]["completed"] == 2 * 2 * 3 and set(record["clients"]) == {"web", "batch"}
    assert record["clients"]["batch"]["total_output_tokens"] == 6 * 3
    assert sum(body["max_tokens"] == 3 for body in server.bodies) == 6


@pytest.mark.parametrize("fate", ["well", "strict"])
def test_the_next_prompt_of_a_conversation_holds_the_answer_where_the_server_tells_its_tokens(server, tmp_path, fate):
    server.fate = lambda number: fate
    code, record = bench(server, tmp_path / "a.json", rate=None, num_requests=1, turns="2")
    first, second = (body["prompt"] for body in server.bodies[-2:])
    answer = [900, 901, 902, 903, 904] if fate == "well" else []
    assert code == 0 and record["target"]["answers_in_prompts"] == (fate == "well")
    assert second[: len(first) + len(answer)] == first + answer and len(second) == 12 + len(answer) + 12


def test_a_run_in_which_all_fails_is_saved_and_is_no_success(server, tmp_path):
    server.fate = lambda number: 500 if number else "well"
    code, record = bench(server, tmp_path / "a.json")
    assert code == 1 and (record["results"]["completed"], record["results"]["failed"]) == (0, 8)


def test_a_server_that_refuses_the_first_request_is_not_measured(server, tmp_path):
    server.fate = lambda number: 404
    with pytest.raises(CourseError, match="HTTP 404"):
        bench(server, tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_said(server, tmp_path):
    url = server.url.rpartition(":")[0] + ":1"
    for options in (BenchOptions(url=url), BenchOptions(url=url, model="small")):
        with pytest.raises(CourseError, match="127.0.0.1:1/v1"):
            run_bench(options, tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_keeps_what_has_ended(server, tmp_path, ctrl_c_after_3):
    """Requests that are open then are given up, and count nowhere."""
    before = signal.getsignal(signal.SIGINT)
    code, record = bench(server, tmp_path / "a.json", rate=None, users=2, num_requests=1000)
    assert code == 130 and record["interrupted"] and signal.getsignal(signal.SIGINT) is before
    assert 3 <= record["results"]["completed"] <= 5 and record["results"]["failed"] == 0
    assert 0 <= record["unfinished"] <= 2
