"""Downloads, from a server on this machine."""

import hashlib
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from facegeo.errors import DependencyMissingError, DownloadError, InvalidInputError
from facegeo.importing import download
from facegeo.zoo.releases import RELEASES, Release, RemoteFile

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT everywhere but under names that ask for trouble."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.failures_left = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Server = self.server
        server.requests.append(self.path)
        if server.failures_left:
            server.failures_left -= 1
            self.send_error(503)
        elif "missing" in self.path:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[: len(CONTENT) // 2] if "cut" in self.path else CONTENT)

    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    monkeypatch.delenv("FACEGEO_OFFLINE", raising=False)
    monkeypatch.delenv("FACEGEO_MIRROR", raising=False)
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def release(server: Server, path: str = "weights.bin", sha256: str | None = SHA256) -> Release:
    file = RemoteFile("weights.bin", f"{server.url}/{path}", sha256)
    return Release("test", "test", "faceboxes", "MIT", (file,))


def test_a_file_arrives_whole_and_is_not_asked_for_again(cache, server):
    folder = download.download(release(server))
    assert (folder / "weights.bin").read_bytes() == CONTENT
    download.download(release(server))
    assert len(server.requests) == 1


def test_another_file_than_promised_is_not_kept(cache, server):
    with pytest.raises(DownloadError, match="not the expected file"):
        download.download(release(server, sha256="0" * 64))
    assert list((cache / "downloads/test").iterdir()) == []


def test_a_damaged_file_is_fetched_again(cache, server):
    folder = download.download(release(server))
    (folder / "weights.bin").write_bytes(b"x" + CONTENT[1:])
    download.download(release(server))
    assert (folder / "weights.bin").read_bytes() == CONTENT


def test_an_unknown_checksum_is_recorded_and_said_then_enforced(cache, server, caplog):
    with caplog.at_level(logging.WARNING, "facegeo"):
        folder = download.download(release(server, sha256=None))
    assert SHA256 in caplog.text and "no checksum is known" in caplog.text
    (folder / "weights.bin").unlink()
    record = folder / "recorded-sha256.json"
    record.write_text(record.read_text().replace(SHA256, "0" * 64))
    with pytest.raises(DownloadError, match="not the expected file"):
        download.download(release(server, sha256=None))


def test_a_failing_server_is_asked_again(cache, server):
    server.failures_left = 2
    download.download(release(server))
    assert len(server.requests) == 3


@pytest.mark.parametrize(("path", "requests"), [("missing", 1), ("cut", 3)])
def test_what_does_not_arrive_is_one_clear_error(cache, server, path, requests):
    with pytest.raises(DownloadError, match="put the file at"):
        download.download(release(server, path))
    assert len(server.requests) == requests
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_offline_forbids_and_cached_files_still_work(cache, server, monkeypatch):
    monkeypatch.setenv("FACEGEO_OFFLINE", "1")
    with pytest.raises(DownloadError, match="FACEGEO_OFFLINE"):
        download.download(release(server))
    assert server.requests == []
    monkeypatch.delenv("FACEGEO_OFFLINE")
    download.download(release(server))
    monkeypatch.setenv("FACEGEO_OFFLINE", "1")
    download.download(release(server))
    assert len(server.requests) == 1


def test_a_mirror_is_asked_for_the_same_path(server, monkeypatch):
    monkeypatch.setenv("FACEGEO_MIRROR", server.url + "/mirror/")
    assert download.mirrored("https://example.org/a/b.pth") == f"{server.url}/mirror/a/b.pth"


def test_unknown_releases_are_refused(cache):
    with pytest.raises(InvalidInputError, match="3ddfa-v2-mb05"):
        download.fetch("nothing")


def test_nothing_is_downloaded_that_cannot_be_converted(cache, server, monkeypatch):
    monkeypatch.setenv("FACEGEO_MIRROR", server.url)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(DependencyMissingError, match=r"facegeo\[torch\]"):
        download.fetch("faceboxes")
    assert server.requests == []


def test_fetching_a_release_installs_a_working_model(cache, server, shared, monkeypatch):
    """The real FaceBoxes weights, served here under the path of the original."""
    pytest.importorskip("torch")
    weights = (shared / "upstream/faceboxes/FaceBoxesProd.pth").read_bytes()
    monkeypatch.setitem(globals(), "CONTENT", weights)
    monkeypatch.setenv("FACEGEO_MIRROR", server.url)
    model = download.fetch("faceboxes")
    assert server.requests == [RELEASES["faceboxes"].files[0].url.split("githubusercontent.com")[1]]
    assert model.card.architecture == "faceboxes" and model.read("network")
