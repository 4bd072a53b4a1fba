"""Clips made on the spot, and a world of faces that needs no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facegeo.conventions import NUM_LANDMARKS, NUM_PARAMS
from facegeo.detect import Detections
from facegeo.errors import MissingBasisError
from facegeo.geometry.crop import find_convention
from facegeo.results import FaceBatch

#: Landmarks of every face of this world, in parts of its box.
TEMPLATE = np.random.default_rng(3).uniform(0, 1, (NUM_LANDMARKS, 3)).astype(np.float32)
TEMPLATE[:2, :2] = [[0, 0], [1, 1]]
TEMPLATE[36:48, :2], TEMPLATE[48:, :2] = (0.5, 0.3), (0.5, 0.8)  # eyes, mouth: it stands upright
TEMPLATE[:, 2] -= TEMPLATE[[36, 45], 2].mean()  # depth is counted from the eyes


def picture(index: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A frame whose number can be read back: six bits along the lower edge; bright top left.

    Not by its brightness: FFmpeg's converters darken by up to three levels, by processor.
    """
    image = np.full((height, width, 3), 120, np.uint8)
    image[: height // 3, : width // 3] = 250
    for bit in range(6):
        column = slice(bit * width // 6, (bit + 1) * width // 6)
        image[height - height // 3 :, column] = 220 if index >> bit & 1 else 20
    return image


def number_of(image: np.ndarray) -> int:
    """Which of the pictures this is."""
    height, width = image.shape[:2]
    row = image[height - height // 6, (np.arange(6) * 2 + 1) * width // 12].mean(axis=-1)
    return int(((row > 120) << np.arange(6)).sum())


def write_clip(
    path: Path,
    count: int = 20,
    size: tuple[int, int] = (64, 48),
    fps: object = 30,
    options: dict[str, str] | None = None,
    format: str | None = None,
    make: Callable[[int, int, int], np.ndarray] = picture,
    codec: str = "libx264",
    coding: dict[str, str] | None = None,
    first: int = 0,
    sound: bool = False,
    pixel_shape: object = None,
) -> Path:
    """A video whose frames are ``picture(0..count)``, in the format of its ending.

    ``coding`` are options of the codec, ``first`` is the number by whose time the clock starts,
    ``sound`` adds silence as long as the video.
    """
    import av

    usual = {"g": "5", "preset": "fast", "crf": "4"} if codec == "libx264" else {}
    with av.open(str(path), "w", format=format, options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options={**usual, **(coding or {})})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if pixel_shape is not None:
            stream.codec_context.sample_aspect_ratio = pixel_shape
        silence = container.add_stream("aac", rate=48000) if sound else None
        samples = 0
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(make(index, *size), format="bgr24")
            frame.pts = index + first
            container.mux(stream.encode(frame))
            while silence is not None and samples / 48000 < (index + 1) / float(fps):
                piece = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                piece.sample_rate, piece.pts = 48000, samples
                samples += 1024
                container.mux(silence.encode(piece))
        for each in container.streams:
            container.mux(each.encode(None))
    return path


def write_changing_clip(folder: Path) -> Path:
    """Four frames 64 wide, then four 96 wide, in one stream."""
    parts = [
        write_clip(folder / f"{w}.h264", 4, size=(w, 48), format="h264").read_bytes()
        for w in (64, 96)
    ]
    path = folder / "both.h264"
    path.write_bytes(b"".join(parts))
    return path


def noisy_picture(index: int, width: int, height: int) -> np.ndarray:
    """What cannot be compressed, so that half of the file is half of the frames."""
    return np.random.default_rng(index).integers(0, 255, (height, width, 3), np.uint8)


@dataclass
class World:
    """Faces at known places; ``look`` and ``measure`` are detector and network.

    Attributes
    ----------
    boxes : dict of str to (4,) sequence
        Where faces are now. Change it between frames.
    hidden : set of str
        Faces that are behind something: the network slips to what is nearest.
    tells_presence : bool
    """

    boxes: dict[str, Sequence[float]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    tells_presence: bool = True
    detections: int = 0

    def visible(self) -> np.ndarray:
        """(N, 4) boxes of the faces that can be seen."""
        seen = [box for name, box in self.boxes.items() if name not in self.hidden]
        return np.array(seen, np.float32).reshape(-1, 4)

    def look(self, photo: np.ndarray) -> Detections:
        """A perfect detector."""
        self.detections += 1
        found = self.visible()
        return Detections(found, np.full(len(found), 0.9, np.float32))

    def measure(
        self, crops: np.ndarray, rois: np.ndarray, rotations: np.ndarray | None = None
    ) -> FaceBatch:
        """The face nearest to the middle of each region; where there is none, one is imagined."""
        landmarks = np.zeros((len(rois), NUM_LANDMARKS, 3), np.float32)
        presence = np.zeros(len(rois), np.float32)
        for i, roi in enumerate(np.asarray(rois, np.float32)):
            middle, side = (roi[:2] + roi[2:]) / 2, roi[2] - roi[0]
            found = self.visible()
            away = np.linalg.norm((found[:, :2] + found[:, 2:]) / 2 - middle, axis=1)
            if len(found) and away.min() < side / 2:
                box, presence[i] = found[away.argmin()], 0.98
            else:
                quarter = side / np.sqrt(8)
                box, presence[i] = np.concatenate([middle - quarter, middle + quarter]), 0.02
            size = np.append(box[2:] - box[:2], 50)
            landmarks[i] = TEMPLATE * size + np.append(box[:2], 0)
        if not self.tells_presence:
            presence[:] = np.nan
        params = np.zeros((len(rois), NUM_PARAMS), np.float32)
        params[:, [0, 5, 10]] = 1.0
        return FaceBatch(params, landmarks, landmarks, presence, rois, find_convention("exact"))


class NoMesh:
    """A mesh source of a model without dense bases."""

    unit_mm = 1.0

    @property
    def morphable(self):
        raise MissingBasisError("no bases")


class WorldPredictor:
    """As much of a predictor as a stream needs, over a :class:`World`."""

    max_faces = None
    mesh_source = NoMesh()

    def __init__(self, world: World) -> None:
        self.detector = self.locate = world.look
        self.crop_convention = find_convention("exact")
        self.predict_crops = world.measure
        self.crop_size = 120
