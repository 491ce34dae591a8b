"""Hub ids: the real client, against a server of our own on this machine."""

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from checkpoints import reference, save
from huggingface_hub.utils import filter_repo_objects

from course_lib.errors import ModelError
from course_lib.models import load_model
from course_lib.models.folder import _answers, find_folder


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The folder that the server offers as owner/good."""
    return save(reference("llama3"), tmp_path_factory.mktemp("good"))


class FakeHub(BaseHTTPRequestHandler):
    """Answers as the hub does: one repository that is there, one gated, and no other."""

    folder = None
    asked = []
    sha = "0123456789abcdef0123456789abcdef01234567"

    def do_GET(self):
        path = self.path.split("?")[0]
        self.asked.append(path)
        if "/owner/gated" in path:
            return self.answer(403, b"{}", **{"X-Error-Code": "GatedRepo"})
        if path.startswith("/api/models/owner/good/tree/"):
            return self.answer(
                200,
                json.dumps([{"type": "file", "path": f, "size": 1, "oid": "0" * 40} for f in self.files()]).encode(),
            )
        if path.startswith("/api/models/owner/good"):
            body = {"id": "owner/good", "sha": self.sha, "siblings": [{"rfilename": f} for f in self.files()]}
            return self.answer(200, json.dumps(body).encode())
        file = self.folder / path.rpartition("/")[2]
        if path.startswith("/owner/good/resolve/") and file.is_file():
            return self.answer(200, file.read_bytes(), ETag=f'"{file.name}"', **{"X-Repo-Commit": self.sha})
        return self.answer(404, b"{}", **{"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def files(self):
        extra = ["pytorch_model.bin", "consolidated.safetensors", "original/params.json", "onnx/model.safetensors"]
        return sorted(f.name for f in self.folder.iterdir()) + extra

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(good):
    FakeHub.folder, FakeHub.asked = good, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


ASK = """
import sys
from course_lib.errors import ModelError
from course_lib.models import load_model, load_tokenizer
load = load_tokenizer if sys.argv[1] == "tokenizer" else load_model
for name in sys.argv[2:]:
    try:
        print("LOADED", load(name) if load is load_tokenizer else load(name, device="cpu")[0])
    except ModelError as error:
        print("REFUSED", error)
"""


def ask(what, names, home, **environment):
    """One line for each name, from a process of its own: the client reads its environment once, at import."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    done = subprocess.run(
        [sys.executable, "-c", ASK, what, *names],
        capture_output=True,
        text=True,
        env={**kept, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_hub_id_is_downloaded_once_and_then_found_without_a_network(hub, tmp_path):
    missing, gated, loaded = ask("model", ["owner/missing", "owner/gated", "owner/good"], tmp_path, HF_ENDPOINT=hub)
    assert missing.startswith("REFUSED There is no folder 'owner/missing'") and "it does not exist" in missing
    assert gated.startswith("REFUSED 'owner/gated' is gated") and "hf auth login" in gated
    assert loaded.startswith("LOADED Transformer(llama")
    fetched = {path.rpartition("/")[2] for path in FakeHub.asked if "/resolve/" in path}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= fetched
    assert not {"pytorch_model.bin", "consolidated.safetensors", "params.json"} & fetched

    here, elsewhere = ask("model", ["owner/good", "owner/elsewhere"], tmp_path, HF_HUB_OFFLINE="1")
    assert here == loaded
    assert "cannot be reached" in elsewhere and "HF_HUB_OFFLINE" in elsewhere and "'tale'" in elsewhere


def test_templates_of_a_chat_are_fetched_and_weights_in_other_formats_are_not(monkeypatch, tmp_path):
    offered = ["config.json", "chat_template.jinja", "additional_chat_templates/tool_use.jinja", "a.py", "README.md"]
    offered += ["onnx/config.json", "original/params.json", "assets/a.json", "model.safetensors", "a/b/c.jinja"]
    taken = []

    def download(name, allow_patterns, ignore_patterns):
        taken[:] = filter_repo_objects(offered, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)
        return tmp_path

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    find_folder("owner/name")
    assert taken == [*offered[:3], "model.safetensors"]
    find_folder("owner/name", weights=False)
    assert taken == offered[:3]


def test_a_tokenizer_alone_does_not_fetch_the_weights(hub, tmp_path):
    (loaded,) = ask("tokenizer", ["owner/good"], tmp_path, HF_ENDPOINT=hub)
    assert loaded == "LOADED Tokenizer(262 tokens, start '<s>'=1, end '</s>'=2)"
    assert not any("safetensors" in path for path in FakeHub.asked if "/resolve/" in path)


def test_a_hub_id_without_a_network(tmp_path):
    """Port 9 of this machine takes no connections."""
    (line,) = ask("model", ["owner/name"], tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert line.startswith("REFUSED There is no folder 'owner/name'") and "cannot be reached" in line


def test_a_hub_that_does_not_answer_in_time_counts_as_unreachable(hub):
    assert _answers(hub)  # with 404, which is an answer
    assert not _answers("http://127.0.0.1:9") and not _answers("no address")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections wait in its queue for ever
        assert not _answers(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.1)


@pytest.mark.parametrize(
    "raised", [RuntimeError("went wrong\nand a page follows"), OSError(28, "No space left on device")]
)
def test_a_download_that_breaks_off_says_why_in_one_line(monkeypatch, raised):
    def download(*args, **options):
        raise raised

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(
        ModelError, match=f"download failed .*{type(raised).__name__}.*(went wrong|No space left)"
    ) as seen:
        load_model("owner/name")
    assert "a page follows" not in str(seen.value) and seen.value.__suppress_context__


def test_a_name_that_the_hub_does_not_allow():
    with pytest.raises(ModelError, match="(?s)the name is not valid there.*Check the spelling"):
        load_model("owner/bad..name")
