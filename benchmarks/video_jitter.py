"""Jitter and delay of the smoothing: a still photo under sensor noise, turns, a blink.

    python benchmarks/video_jitter.py
    python benchmarks/video_jitter.py --photo clip.mp4 --name news-clip

Without a photo it is the sample photo, of a video it is the first frame.

The raw signal is real: landmarks and rotations of one photo under 200 draws of noise with a
standard deviation of 3, each through crop and network; and once more through the whole stream,
with its own regions. Motion is laid over it exactly: the head's landmarks turned by an angle, the
eyelids closed by a half sine of 150 ms. Delay is the shift in time by which the filtered motion
fits the true one best; amplitude is that of the blink at its deepest, with the noise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegeo import Face, FaceGeometry
from facegeo.base.files import write_bytes
from facegeo.bench.timing import machine
from facegeo.geometry import crop
from facegeo.geometry.axes import flip_y
from facegeo.geometry.pose import euler_from_rotation, rotation_from_euler
from facegeo.images import PHOTO_SUFFIXES, encode_photo, load_photo
from facegeo.images.demo import sample_photo
from facegeo.track.rotations import rotation_difference
from facegeo.track.smoothing import Smoothing, landmark_filter, rotation_filter
from facegeo.video.sources import open_source

FRAMES = 200
SIGMA = 3.0
BLINK_S = 0.15
#: Side of what is kept of the photo, in sizes of the face.
AROUND = 2.5
#: Upper and lower lid of both eyes.
UPPER, LOWER = (37, 38, 43, 44), (41, 40, 47, 46)


@dataclass(frozen=True)
class Still:
    """Predictions of the network for one photo under noise: (F, 68, 3) and (F, 3, 3)."""

    landmarks: np.ndarray
    rotations: np.ndarray

    @property
    def size(self) -> float:
        """Larger side of the landmarks' box, pixels."""
        return float(np.ptp(self.landmarks.mean(axis=0)[:, :2], axis=0).max())


def load_image(path: Path | None) -> np.ndarray:
    """A photo, the first frame of a video, or the sample photo."""
    if path is None:
        return sample_photo()
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return load_photo(path)
    source = open_source(path)
    try:
        return next(source.frames())[1]
    finally:
        source.close()


def around(image: np.ndarray, face: Face) -> np.ndarray:
    """The part of a photo that a face's crops come from: noise elsewhere only costs time."""
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    reach = AROUND * (high - low).max() / 2
    first = np.maximum((low + high) / 2 - reach, 0).astype(int)
    last = ((low + high) / 2 + reach).astype(int)
    return np.ascontiguousarray(image[first[1] : last[1], first[0] : last[0]])


def noisy_copies(image: np.ndarray) -> Iterator[np.ndarray]:
    """The photo under draws of noise, the same ones each time."""
    rng = np.random.default_rng(0)
    for _ in range(FRAMES):
        noisy = image + SIGMA * rng.standard_normal(image.shape, np.float32)
        yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def measure_still(predictor: FaceGeometry, image: np.ndarray) -> Still:
    """The network on noisy copies of a photo, in the region that a track would hold."""
    face = predictor(image)[0]
    roi = crop.rois_from_landmarks(face.landmarks[None])
    landmarks, rotations = [], []
    for noisy in noisy_copies(image):
        batch = predictor.predict_crops(crop.crop_faces(noisy, roi, predictor.crop_size), roi)
        landmarks.append(batch.landmarks[0])
        rotations.append(batch.similarity[1][0])
    return Still(np.array(landmarks), np.array(rotations))


def measure_stream(predictor: FaceGeometry, image: np.ndarray) -> float:
    """By how much smoothing lowers the landmarks' standard deviation in the whole stream."""
    found = []
    for smooth in (False, True):
        stream = predictor.stream(noisy_copies(image), smooth=smooth)
        found.append(std(np.array([frame.faces[0].landmarks for frame in stream])))
    return found[0] / found[1]


def smooth_landmarks(values: np.ndarray, fps: float, how: Smoothing) -> np.ndarray:
    """(F, 68, 3) through the filter of the landmarks."""
    size = float(np.ptp(values[0, :, :2], axis=0).max())
    one_euro = landmark_filter(how)
    return np.array([one_euro(value, 1 / fps, size)[0] for value in values])


def smooth_rotations(values: np.ndarray, fps: float, how: Smoothing) -> np.ndarray:
    """(F, 3, 3) through the filter of the rotation."""
    one_euro = rotation_filter(how)
    return np.array([one_euro(value, 1 / fps)[0] for value in values])


def turning(still: Still, deg_per_s: float, fps: float) -> tuple[Still, np.ndarray]:
    """The still face at rest, turning, and at rest again; also the true angle in degrees."""
    frames = len(still.landmarks)
    rest = 30
    span = min(30.0 / deg_per_s, (frames - 3 * rest) / fps)
    angle = np.clip((np.arange(frames) - rest) / fps, 0, span) * deg_per_s
    turn = rotation_from_euler(np.stack([angle, 0 * angle, 0 * angle], axis=1))
    points = flip_y(still.landmarks)
    # The head turns about its middle, which lies behind the face.
    centre = points.mean(axis=0).mean(axis=0) - [0, 0, 0.3 * still.size]
    moved = np.einsum("fij,fkj->fki", turn, points - centre) + centre
    return Still(flip_y(moved), turn @ still.rotations), angle


def blinking(still: Still, fps: float, at: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks with one blink, and how far the lids are closed (0..1) in each frame."""
    time = (np.arange(len(still.landmarks)) - at) / fps
    closed = np.where((time > 0) & (time < BLINK_S), np.sin(np.pi * time / BLINK_S), 0)
    values = still.landmarks.copy()
    gap = still.landmarks.mean(axis=0)[list(LOWER)] - still.landmarks.mean(axis=0)[list(UPPER)]
    values[:, UPPER] += closed[:, None, None] * gap
    return values, closed


def delay_frames(truth: np.ndarray, signal: np.ndarray) -> float:
    """Shift in frames by which ``truth``, delayed, fits ``signal`` best."""
    frames = np.arange(len(truth), dtype=float)
    shifts = np.arange(-2, 12, 0.05)
    errors = [
        np.square(np.interp(frames - shift, frames, truth) - signal).sum() for shift in shifts
    ]
    return float(shifts[int(np.argmin(errors))])


def lid_gap(values: np.ndarray) -> np.ndarray:
    """Mean height of the eye openings in each frame, pixels."""
    return np.linalg.norm(values[:, LOWER] - values[:, UPPER], axis=2).mean(axis=1)


def std(values: np.ndarray) -> float:
    """Mean standard deviation of a number over the frames after the filter has settled."""
    settled = values[FRAMES // 4 :, :, :2]
    return float(settled.std(axis=0).mean())


def spread(rotations: np.ndarray) -> float:
    """Root mean square angle from the mean rotation, after the filter has settled."""
    settled = rotations[FRAMES // 4 :]
    vectors = np.array([rotation_difference(r, settled[0])[0] for r in settled])
    return float(np.sqrt(vectors.var(axis=0).sum()))


def evaluate(still: Still, fps: float, how: Smoothing) -> tuple[dict[str, float], dict[str, tuple]]:
    """The figures, and the curves that show them."""
    at_rest = smooth_landmarks(still.landmarks, fps, how)
    figures = {
        "raw_std_px": std(still.landmarks),
        "smoothed_std_px": std(at_rest),
        "reduction": std(still.landmarks) / std(at_rest),
    }
    turned = smooth_rotations(still.rotations, fps, how)
    figures["rotation_reduction"] = spread(still.rotations) / spread(turned)
    curves = {"still": (still.landmarks[:, 37, 1], at_rest[:, 37, 1])}
    for speed in (5.0, 90.0):
        moved, truth = turning(still, speed, fps)
        yaw = euler_from_rotation(smooth_rotations(moved.rotations, fps, how))[:, 0]
        base = euler_from_rotation(still.rotations).mean(axis=0)[0]
        nose = smooth_landmarks(moved.landmarks, fps, how)[:, 30, 0]
        clean, _ = turning(
            Still(np.repeat(still.landmarks.mean(axis=0)[None], FRAMES, 0), still.rotations),
            speed,
            fps,
        )
        clean_yaw = euler_from_rotation(
            rotation_from_euler(np.stack([truth, 0 * truth, 0 * truth], axis=1))
            @ still.rotations.mean(axis=0)
        )[:, 0]
        figures[f"turn_{speed:.0f}_delay_frames_pose"] = delay_frames(clean_yaw, yaw)
        figures[f"turn_{speed:.0f}_delay_frames_landmarks"] = delay_frames(
            clean.landmarks[:, 30, 0], nose
        )
        curves[f"yaw, {speed:.0f} deg/s"] = (
            euler_from_rotation(moved.rotations)[:, 0] - base,
            yaw - base,
        )
    raw, closed = blinking(still, fps)
    smoothed = smooth_landmarks(raw, fps, how)
    gap = lid_gap(still.landmarks).mean()
    truth = 1 - closed
    figures["blink_delay_frames"] = delay_frames(truth[90:115], lid_gap(smoothed)[90:115] / gap)
    figures["blink_amplitude"] = float(
        (gap - lid_gap(smoothed)[98:110].min()) / (gap - lid_gap(raw)[98:110].min())
    )
    curves["eye opening, blink"] = (lid_gap(raw), lid_gap(smoothed))
    return figures, curves


def draw(curves: dict[str, tuple]) -> np.ndarray:
    """Raw (grey) and smoothed (blue) signals, one below the other."""
    width, height, pad = 1000, 190, 34
    rows = []
    for name, (raw, smoothed) in curves.items():
        row = np.full((height, width, 3), 255, np.uint8)
        low, high = float(min(raw.min(), smoothed.min())), float(max(raw.max(), smoothed.max()))
        x = np.linspace(pad, width - pad, len(raw))
        for values, colour, thick in ((raw, (170, 170, 170), 1), (smoothed, (180, 90, 20), 2)):
            y = height - pad - (values - low) / max(high - low, 1e-9) * (height - 2 * pad)
            points = np.rint(np.stack([x, y], axis=1) * 16).astype(np.int32)
            cv2.polylines(row, [points], False, colour, thick, cv2.LINE_AA, 4)
        text = f"{name}: {low:.2f} to {high:.2f}"
        cv2.putText(
            row, text, (pad, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 60, 60), 1, cv2.LINE_AA
        )
        rows.append(row)
    return np.concatenate(rows)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photo", type=Path, help="photo or video")
    parser.add_argument("--name", default="portrait", help="of the picture, in the results")
    parser.add_argument("--model", default="default")
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    predictor = FaceGeometry(options.model, detector=options.detector)
    photo = load_image(options.photo)
    photo = around(photo, predictor(photo)[0])
    still = measure_still(predictor, photo)
    figures, curves = evaluate(still, options.fps, Smoothing())
    figures["stream_reduction"] = measure_stream(predictor, photo)
    report = {
        "picture": options.name,
        "face_px": still.size,
        "model": predictor.card.name,
        "fps": options.fps,
        "noise_std": SIGMA,
        **figures,
        "machine": machine(),
    }
    text = json.dumps(report, indent=1) + "\n"
    print(text, end="")
    write_bytes(options.out / f"video-jitter-{options.name}.json", text.encode())
    write_bytes(options.out / "video_jitter.jpg", encode_photo(draw(curves), ".jpg"))


if __name__ == "__main__":
    main()
