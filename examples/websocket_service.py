"""Faces over a WebSocket: a client sends JPEG frames and receives JSON.

uvicorn --app-dir examples websocket_service:app      # then connect to ws://localhost:8000/faces

Each binary message (a JPEG or PNG file) is answered by one text message, in order:
{"frame": 0, "timestamp_s": ..., "faces": [...]}, as a line of `facegeo video --json`, or
{"frame": 0, "error": "..."} for one that cannot be used; the connection stays open. Send a frame
when the one before is answered. The model is $FACEGEO_MODEL, else the default.

It has no authentication and no encryption: put it behind a server that has both.
"""

from __future__ import annotations

import asyncio
import os
import queue
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from facegeo import FaceGeometry
from facegeo.errors import FacegeoError, InvalidImageError
from facegeo.images import decode_photo, load_photo
from facegeo.track import TrackerOptions

#: Larger messages and pictures are refused before they take memory and time.
MOST_BYTES = 8_000_000
MOST_PIXELS = 4096 * 4096

#: The next picture may show something else altogether: a face that is doubted is not reported, and
#: the detector looks at every picture, for not every network tells whether there is a face.
TRACKING = TrackerOptions(detect_every=1, patience=1)

Load = Callable[[], FaceGeometry]


class Connection:
    """The faces of one client, followed from frame to frame. Used by one thread at a time."""

    def __init__(self, predictor: FaceGeometry) -> None:
        self._pictures: queue.Queue[tuple[float, np.ndarray] | None] = queue.Queue()
        self._start = time.monotonic()
        self._count = 0
        # A stream takes any iterator: here one that waits for the client.
        source = iter(self._pictures.get, None)
        self._stream = predictor.stream(source, timeout_s=None, tracking=TRACKING)

    def answer(self, message: bytes) -> dict[str, Any]:
        """Faces of the next frame, or what was wrong with it."""
        number, self._count = self._count, self._count + 1
        try:
            image = decode(message)
        except FacegeoError as error:
            return {"frame": number, "error": str(error)}
        self._pictures.put((time.monotonic() - self._start, image))
        return next(self._stream).to_dict() | {"frame": number}

    def close(self) -> None:
        """End the stream and its thread."""
        self._pictures.put(None)
        self._stream.close()


def decode(message: bytes) -> np.ndarray:
    """A picture file as BGR. Raises InvalidImageError."""
    if len(message) > MOST_BYTES:
        raise InvalidImageError(f"frame: expected at most {MOST_BYTES} bytes, got {len(message)}")
    image = decode_photo(message, "frame")
    if image.shape[0] * image.shape[1] > MOST_PIXELS:
        raise InvalidImageError(f"frame: expected at most {MOST_PIXELS} pixels")
    return load_photo(image)


def create_app(load: Load) -> FastAPI:
    """The service; ``load`` makes the predictor once, when the service starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # One thread for all clients: the network uses all cores anyway, the event loop stays free.
        with ThreadPoolExecutor(1, thread_name_prefix="faces") as worker:
            app.state.worker = worker
            loop = asyncio.get_running_loop()
            app.state.predictor = await loop.run_in_executor(worker, load)
            app.state.info = await loop.run_in_executor(worker, app.state.predictor.info)
            yield

    app = FastAPI(title="facegeo", lifespan=lifespan)

    @app.get("/")
    async def info() -> dict[str, str]:
        return app.state.info

    @app.websocket("/faces")
    async def faces(socket: WebSocket) -> None:
        loop, worker = asyncio.get_running_loop(), app.state.worker
        await socket.accept()
        connection = await loop.run_in_executor(worker, Connection, app.state.predictor)
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                if message.get("bytes") is None:
                    await socket.send_json({"error": "expected a binary message: a JPEG file"})
                    continue
                answer = connection.answer
                await socket.send_json(await loop.run_in_executor(worker, answer, message["bytes"]))
        except WebSocketDisconnect:
            pass
        finally:
            worker.submit(connection.close)

    return app


app = create_app(lambda: FaceGeometry(os.environ.get("FACEGEO_MODEL", "default")))
