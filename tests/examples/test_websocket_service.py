"""The service on real pictures, bad ones and several clients, through its real protocol."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the service needs the extra [examples]")
pytest.importorskip("httpx2", reason="Starlette's test client needs it: the extra [dev]")

from facegeo.images import decode_photo, encode_photo


@pytest.fixture
def client(example, predictor):
    from starlette.testclient import TestClient

    app = example("websocket_service").create_app(lambda: predictor)
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def photo(sample_photo) -> bytes:
    return encode_photo(sample_photo, ".jpg")


def readers() -> int:
    return sum(thread.name == "facegeo-reader" for thread in threading.enumerate())


def test_frames_are_answered_with_a_followed_face(client, photo, predictor):
    (expected,) = predictor(decode_photo(photo))
    with client.websocket_connect("/faces") as socket:
        for number in range(4):
            socket.send_bytes(photo)
            answer = socket.receive_json()
            (face,) = answer["faces"]
            assert (answer["frame"], face["track_id"]) == (number, 1)
    # The region is the one that follows the landmarks, so it is not exactly the photo's.
    assert np.abs(np.array(face["landmarks"]) - expected.landmarks)[:, :2].max() < 4
    assert client.get("/").json()["model"] == "mb05"


def test_bad_frames_are_answered_and_the_face_is_kept(client, photo):
    with client.websocket_connect("/faces") as socket:
        socket.send_bytes(photo)
        assert socket.receive_json()["faces"][0]["track_id"] == 1
        for bad, reason in (
            (b"", "not an image"),
            (b"no picture", "not an image"),
            (photo[: len(photo) // 2], "damaged|cut short"),
            (encode_photo(np.zeros((4, 4, 3), np.uint8), ".jpg"), "at least 16x16"),
        ):
            socket.send_bytes(bad)
            answer = socket.receive_json()
            assert re.search(reason, answer["error"]) and "faces" not in answer
        socket.send_text("hello")
        assert "binary message" in socket.receive_json()["error"]
        socket.send_bytes(photo)
        answer = socket.receive_json()
        assert (answer["frame"], answer["faces"][0]["track_id"]) == (5, 1)


def test_each_connection_has_a_tracker_of_its_own_and_leaves_nothing(client, photo, sample_photo):
    empty = encode_photo(np.zeros_like(sample_photo), ".png")
    with client.websocket_connect("/faces") as one, client.websocket_connect("/faces") as two:
        for _ in range(2):
            one.send_bytes(empty)
            two.send_bytes(photo)
            assert one.receive_json()["faces"] == []
            assert two.receive_json()["faces"][0]["track_id"] == 1
        assert readers() == 2
        one.send_bytes(photo)
        one.receive_json()
    deadline = time.monotonic() + 5
    while readers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert readers() == 0


def test_the_next_picture_without_a_face_has_none(client, photo, sample_photo):
    """The network of this client tells no presence: only the detector knows."""
    noise = np.random.default_rng(0).integers(90, 160, sample_photo.shape, np.uint8)
    mirrored = encode_photo(np.ascontiguousarray(sample_photo[:, ::-1]), ".jpg")
    with client.websocket_connect("/faces") as socket:
        answers = []
        for message in (photo, encode_photo(noise, ".jpg"), mirrored, photo):
            socket.send_bytes(message)
            answers.append(socket.receive_json()["faces"])
    assert [len(faces) for faces in answers] == [1, 0, 1, 1]
    # Eileen Collins stands left of the middle; after a mirror, right of it.
    middles = [np.mean(faces[0]["landmarks"], axis=0)[0] for faces in answers if faces]
    assert middles[0] < 256 < middles[1]
    assert abs(middles[2] - middles[0]) < 3


def test_inference_does_not_block_the_event_loop(example, photo, predictor):
    """While one client's frame is being measured, other requests are answered."""
    from starlette.testclient import TestClient

    measuring, release = threading.Event(), threading.Event()

    class Slow:
        """A predictor that waits in the middle of a frame."""

        def info(self):
            return {"model": "slow"}

        def stream(self, source, **options):
            stream = predictor.stream(source, **options)
            track = stream._tracker.update

            def update(*arguments):
                measuring.set()
                assert release.wait(20)
                return track(*arguments)

            stream._tracker.update = update
            return stream

    app = example("websocket_service").create_app(Slow)
    with TestClient(app) as client, client.websocket_connect("/faces") as socket:
        socket.send_bytes(photo)
        assert measuring.wait(20)
        assert client.get("/").json() == {"model": "slow"}
        release.set()
        assert len(socket.receive_json()["faces"]) == 1
