"""Photos in, faces out: the whole flow, one line a stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from facegeo.backends import AUTO, open_network
from facegeo.base import arrays
from facegeo.conventions import NUM_LANDMARKS, NUM_PARAMS
from facegeo.detect import (
    Detections,
    Detector,
    DetectorOptions,
    PresenceFilter,
    Search,
    open_detector,
)
from facegeo.errors import BatchError, FacegeoError, InvalidInputError
from facegeo.geometry import crop
from facegeo.geometry.params import split
from facegeo.images import Color, load_photo
from facegeo.results import Face, FaceBatch, PhotoResult
from facegeo.zoo.mesh_source import ModelMesh
from facegeo.zoo.store import find

if TYPE_CHECKING:
    from facegeo.track import Smoothing, TrackerOptions
    from facegeo.video.stream import FaceStream

#: Photos whose faces share a network call; more would only hold more photos in memory.
_PHOTOS_TOGETHER = 16


class FaceGeometry:
    """Complete 3D face geometry from photos.

    >>> predictor = FaceGeometry()
    >>> faces = predictor("photo.jpg")
    >>> faces[0].landmarks.shape, faces[0].pose.yaw

    Calls keep no state: the same input gives the same output.

    Attributes
    ----------
    card : Card
        What the model is, where it comes from, what it allows.
    crop_size : int
        Side of the crops that the network takes: 120, or what its card says.
    network : Backend
        The engine; ``network.run({"crops": crops})`` is the bare call.

    Parameters
    ----------
    model : str
        Name of a shipped or installed landmark model, or ``default``.
    detector : str
        ``auto`` or ``default``, the detector in the package; or the name of a detection model.
    backend : str
        ``auto``, ``onnxruntime``, ``openvino``, ``pytorch`` or ``tensorrt``.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. A device that was named and is not there is an
        error; only ``auto`` chooses.
    precision : str
        ``auto``, ``fp32``, ``fp16``, ``bf16`` or ``int8``, as far as engine and model have it.
    score_threshold : float
        Lowest detector confidence, 0..1.
    max_faces : int or None
        Keep this many boxes a photo, those of highest score.
    min_face_size : float
        Photo pixels: drop boxes whose shorter side is less.
    batch_size : int, optional
        Most crops in one network call; by default 64 on a CPU, 256 on a GPU.
    search : Search, optional
        How large photos are searched for faces: at which size, and in tiles for tiny faces.
    second_opinion : PresenceFilter or None
        Drop doubtful boxes of the detector where the landmark network sees no face, if it has a
        presence output; None keeps them all. Boxes of the caller's are never dropped. A stream has
        a rule of its own: ``TrackerOptions.least_presence``.

    Raises
    ------
    ModelNotFoundError
        If a model that was named is not installed; the message says how to get it.
    BackendUnavailableError
        If the backend, device or precision that was named is not there.
    CorruptFileError
        If an installed file is damaged.
    """

    def __init__(
        self,
        model: str = "default",
        *,
        detector: str = AUTO,
        backend: str = AUTO,
        device: str = AUTO,
        precision: str = AUTO,
        score_threshold: float = 0.5,
        max_faces: int | None = None,
        min_face_size: float = 0.0,
        batch_size: int | None = None,
        search: Search | None = None,
        second_opinion: PresenceFilter | None = PresenceFilter(),  # noqa: B008 - it is frozen
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise InvalidInputError(f"batch_size: expected at least 1, got {batch_size}")
        installed = find(model)
        self.card = installed.card
        self.network = open_network(installed, backend, device, precision)
        self._convention = crop.find_convention(self.card.crop_convention)
        self.crop_size = self.card.crop_size
        self.mesh_source = ModelMesh(installed)
        self._batch_size = batch_size or (64 if self.network.device == "cpu" else 256)
        self._device = device
        self._detector_name = detector
        self._options = DetectorOptions(score_threshold, max_faces, min_face_size)
        self._search = search
        self._presence_filter = second_opinion
        self._detector: Detector | None = None
        if detector != AUTO:
            self._detector = self._open_detector()

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        photos: list[Any] | tuple[Any, ...],
        *,
        boxes: Any = None,
        landmarks: Any = None,
        color: Color = "bgr",
    ) -> list[list[Face]]: ...

    @overload
    def __call__(
        self, photos: object, *, boxes: Any = None, landmarks: Any = None, color: Color = "bgr"
    ) -> list[Face]: ...

    def __call__(
        self, photos: Any, *, boxes: Any = None, landmarks: Any = None, color: Color = "bgr"
    ) -> list[Face] | list[list[Face]]:
        """Find and measure every face.

        Parameters
        ----------
        photos : photo, or list or tuple of photos
            A photo is a path, a PIL image, or a uint8 array ``(H, W)``, ``(H, W, 3)`` or
            ``(H, W, 4)``. All faces of all photos go through the network together.
        boxes : (N, 4) array, or a list of them, optional
            ``xyxy``, photo pixels, placed as FaceBoxes would; then nothing is detected. For a list
            of photos a list of the same length, where None means: detect.
        landmarks : (N, 68, 2 or 3) array, or a list of them, optional
            Photo pixels: known faces to measure anew, as in tracking.
        color : {"bgr", "rgb"}
            Channel order of arrays.

        Returns
        -------
        faces : list of Face, or a list of such lists
            Highest score first, or in the order of ``boxes``. No face is an empty list.

        Raises
        ------
        InvalidImageError, UnreadableFileError, InvalidInputError
            For one photo that cannot be used.
        BatchError
            If photos of a list failed; the others' faces are in its ``results``.
        """
        if not isinstance(photos, list | tuple):
            (result,) = self.predict_photos([photos], [boxes], [landmarks], color)
            if result.error is not None:
                raise result.error
            return list(result.faces)
        results = list(self.predict_photos(photos, boxes, landmarks, color))
        failures = {r.index: r.error for r in results if r.error is not None}
        if failures:
            faces = [None if r.error is not None else list(r.faces) for r in results]
            raise BatchError(faces, failures)
        return [list(r.faces) for r in results]

    def predict_photos(
        self,
        photos: Iterable[Any],
        boxes: Sequence[Any] | None = None,
        landmarks: Sequence[Any] | None = None,
        color: Color = "bgr",
    ) -> Iterator[PhotoResult]:
        """Photo after photo, in order, in bounded memory; a bad photo does not stop the others.

        Arguments are those of a call with a list, but ``photos`` may be any iterable.

        Yields
        ------
        result : PhotoResult
            Its ``error`` says what was wrong with a photo that failed.
        """
        if isinstance(photos, Sequence):
            for name, given in (("boxes", boxes), ("landmarks", landmarks)):
                if given is not None and len(given) != len(photos):
                    raise InvalidInputError(
                        f"{name}: expected one entry for each of {len(photos)} photos, "
                        f"got {len(given)}"
                    )
        pending: list[_Prepared] = []
        for index, source in enumerate(photos):
            known = _Known(
                boxes[index] if boxes is not None else None,
                landmarks[index] if landmarks is not None else None,
            )
            pending.append(self._prepare(index, source, known, color))
            if len(pending) == _PHOTOS_TOGETHER:
                yield from self._finish(pending)
                pending = []
        yield from self._finish(pending)

    def predict_crops(self, crops: np.ndarray, rois: np.ndarray) -> FaceBatch:
        """The inner level: crops to parameters and landmarks, no detector, no loop over faces.

        Parameters
        ----------
        crops : (N, S, S, 3) uint8
            BGR, as :func:`facegeo.geometry.crop.crop_faces` cuts them with ``crop_size``: 120
            unless the model says otherwise.
        rois : (N, 4) float
            ``xyxy`` of each crop in its photo.

        Returns
        -------
        batch : FaceBatch
            In photo pixels.

        Raises
        ------
        InvalidInputError
            If a shape or dtype is wrong.
        """
        crops, rois = self._check_crops(crops, rois)
        values = self._infer(crops)
        refined = crop.crop_to_photo(values["landmarks"], rois, self._convention)
        coarse = refined
        if "coarse_landmarks" in values:
            coarse = crop.crop_to_photo(values["coarse_landmarks"], rois, self._convention)
        presence = values.get("presence", np.full(len(crops), np.nan, np.float32))
        return FaceBatch(values["params"], refined, coarse, presence, rois, self._convention)

    def reconstruct(
        self,
        params: np.ndarray,
        rois: np.ndarray | None = None,
        *,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Parameters to dense vertices.

        Parameters
        ----------
        params : (N, 62) float
            De-normalised parameters, as in :class:`FaceBatch`.
        rois : (N, 4) float, optional
            ``xyxy`` of the crops; without them the vertices are in crop pixels.
        out : (N, V, 3) float32, optional
            C-contiguous buffer that is filled and returned, instead of new memory in every call.

        Returns
        -------
        vertices : (N, V, 3) float32
            Photo pixels (crop pixels without ``rois``).

        Raises
        ------
        MissingBasisError
            If the model has no dense bases; the message names the missing file.
        """
        params = arrays.array_of("params", params, ("N", NUM_PARAMS))
        if rois is None:
            affine = crop.pose_to_crop(split(params).pose, self._convention)
        else:
            rois = arrays.array_of("rois", rois, (len(params), 4))
            affine = crop.pose_to_photo(split(params).pose, rois, self._convention)
        return self.mesh_source.vertices(params, affine, out=out)

    def stream(
        self,
        source: Any,
        *,
        mode: Literal["offline", "live"] = "offline",
        smooth: bool | Smoothing = True,
        tracking: TrackerOptions | None = None,
        fps: float | None = None,
        timeout_s: float | None = 30.0,
        color: Color = "bgr",
    ) -> FaceStream:
        """Faces of a video, each with a number that it keeps.

        >>> with predictor.stream("clip.mp4") as stream:
        ...     for frame in stream:
        ...         frame.timestamp_s, [(face.track_id, face.pose.yaw) for face in frame.faces]

        Parameters
        ----------
        source : int, str, path or iterable
            A camera's index, an RTSP or HTTP URL, a video file, a folder of pictures, or pictures:
            arrays, or tuples ``(seconds, array)``.
        mode : {"offline", "live"}
            Every frame in order; or always the newest, while those that nobody had time for are
            dropped and counted. A file is then played at the speed of its timestamps.
        smooth : bool or Smoothing
            Off: exactly what the network says of each frame. On: as described in
            :mod:`facegeo.track.smoothing`; slow changes arrive late by the delay of
            :class:`facegeo.track.filters.OneEuroSettings`, motion by at most one frame.
        tracking : TrackerOptions, optional
            When faces are looked for, believed and forgotten.
        fps : float, optional
            Of folders, and of pictures without timestamps (default: 30).
        timeout_s : float or None
            Seconds without a frame after which the stream is given up. Until then a network stream
            that was lost is opened again and again, after ever longer waits.
        color : {"bgr", "rgb"}
            Channel order of the caller's arrays.

        Returns
        -------
        stream : FaceStream
            An iterator over :class:`~facegeo.video.stream.StreamFrame`, and a context manager.

        Raises
        ------
        UnreadableFileError, CorruptFileError, StreamError
            If the source cannot be opened; also while frames are read, after the last good one.
        DependencyMissingError
            If PyAV is needed and missing: the extra ``[video]``.
        """
        from facegeo.video.stream import open_stream

        return open_stream(
            self,
            source,
            mode=mode,
            smooth=smooth,
            tracking=tracking,
            fps=fps,
            timeout_s=timeout_s,
            color=color,
        )

    @property
    def detector(self) -> Detector:
        """The face detector. ``auto`` opens it here: callers with boxes of their own need none."""
        if self._detector is None:
            self._detector = self._open_detector()
        return self._detector

    @property
    def max_faces(self) -> int | None:
        """Most faces that are reported of a photo."""
        return self._options.max_faces

    def info(self) -> dict[str, str]:
        """Summary of what really runs: model, detector, backend, device, precision; and why."""
        return {
            "model": self.card.name,
            "detector": self.detector.name,
            "backend": self.network.name,
            "device": self.network.device,
            "precision": self.network.precision,
            "picked": self.network.selection_reason,
        }

    def _open_detector(self) -> Detector:
        return open_detector(self._detector_name, self._options, self._device, search=self._search)

    def _prepare(self, index: int, source: Any, known: _Known, color: Color) -> _Prepared:
        try:
            photo = load_photo(source, color)
            found, rois = self._locate(photo, known)
            crops = crop.crop_faces(photo, rois, self.crop_size)
            return _Prepared(index, source, photo, found, rois, crops, None)
        except FacegeoError as error:
            empty = np.zeros((0, self.crop_size, self.crop_size, 3), np.uint8)
            return _Prepared(index, source, None, _NOTHING, _NO_ROIS, empty, error)

    def _locate(self, photo: np.ndarray, known: _Known) -> tuple[Detections, np.ndarray]:
        if known.boxes is not None and known.landmarks is not None:
            raise InvalidInputError("boxes, landmarks: expected one of them, got both")
        if known.landmarks is not None:
            points = _check_landmarks(known.landmarks)
            rois = crop.rois_from_landmarks(points)
            boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
            found = Detections(boxes, np.full(len(boxes), np.nan, np.float32))
        elif known.boxes is not None:
            boxes = arrays.boxes_xyxy(known.boxes)
            found = Detections(boxes, np.full(len(boxes), np.nan, np.float32))
            rois = crop.rois_from_boxes(boxes)
        else:
            found = self.detector(photo)
            rois = crop.rois_from_boxes(found.boxes)
        crop.check_rois(rois, (photo.shape[0], photo.shape[1]))
        return found, rois

    def _finish(self, prepared: Sequence[_Prepared]) -> Iterator[PhotoResult]:
        if not prepared:
            return
        crops = np.concatenate([p.crops for p in prepared])
        rois = np.concatenate([p.rois for p in prepared])
        boxes = np.concatenate([p.found.boxes for p in prepared])
        scores = np.concatenate([p.found.scores for p in prepared])
        batch = self.predict_crops(crops, rois)
        kept = np.ones(len(crops), bool)
        if self._presence_filter is not None:
            kept = self._presence_filter.keeps(scores, batch.presence)
        faces = batch.faces(boxes, scores, self.mesh_source)
        ends = np.cumsum([len(p.found) for p in prepared])
        for p, end in zip(prepared, ends.tolist(), strict=True):
            own = [faces[row] for row in range(end - len(p.found), end) if kept[row]]
            yield PhotoResult(p.index, p.source, p.photo, own, p.error)

    def _check_crops(self, crops: np.ndarray, rois: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = self.crop_size
        wish = f"crops: expected uint8 of shape (N, {size}, {size}, 3)"
        if not isinstance(crops, np.ndarray) or crops.dtype != np.uint8:
            raise InvalidInputError(f"{wish}, got {arrays.describe(crops)}")
        if crops.shape[1:] != (size, size, 3):
            raise InvalidInputError(f"{wish}, got {arrays.describe(crops)}")
        return np.ascontiguousarray(crops), arrays.array_of("rois", rois, (len(crops), 4))

    def _infer(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """The network's outputs by name, points in crop pixels, batch after batch."""
        if len(crops) == 0:
            return {
                "params": np.zeros((0, NUM_PARAMS), np.float32),
                "landmarks": np.zeros((0, NUM_LANDMARKS, 3), np.float32),
            }
        outputs = [
            self.network.run({"crops": crops[start : start + self._batch_size]})
            for start in range(0, len(crops), self._batch_size)
        ]
        if len(outputs) == 1:
            return outputs[0]
        return {name: np.concatenate([o[name] for o in outputs]) for name in outputs[0]}


@dataclass(frozen=True)
class _Known:
    """Facts that the caller knows of one photo's faces."""

    boxes: Any
    landmarks: Any


@dataclass(frozen=True)
class _Prepared:
    """One photo, ready for the network."""

    index: int
    source: Any
    photo: np.ndarray | None
    found: Detections
    rois: np.ndarray
    crops: np.ndarray
    error: FacegeoError | None


_NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
_NO_ROIS = np.zeros((0, 4), np.float32)


def _check_landmarks(landmarks: Any) -> np.ndarray:
    """Known landmarks as (N, 68, 2) float32."""
    points = np.asarray(landmarks)
    if points.ndim == 2:
        points = points[None]
    last = 3 if points.shape[-1:] == (3,) else 2
    return arrays.array_of("landmarks", points, ("N", NUM_LANDMARKS, last))[:, :, :2]
