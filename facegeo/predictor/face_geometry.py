"""Photos in, faces out: the whole flow, one line a stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from facegeo.backends import AUTO, Backend, open_network
from facegeo.backends.base import check_takes_crops
from facegeo.base import arrays
from facegeo.base.closing import Closing
from facegeo.base.pickling import MadeAnew
from facegeo.detect import Detections, Detector, DetectorOptions, PresenceFilter, Search
from facegeo.detect.chosen import ChosenDetector
from facegeo.errors import BackendUnavailableError, BatchError, InvalidInputError
from facegeo.geometry import crop
from facegeo.geometry.params import split
from facegeo.images import Color
from facegeo.predictor.arguments import check_arguments
from facegeo.predictor.looking import Looker
from facegeo.predictor.outputs import NetworkOutputs
from facegeo.predictor.photos import FaceSearch, Known, Located, located
from facegeo.results import Face, FaceBatch, PhotoResult
from facegeo.zoo.mesh_source import ModelMesh
from facegeo.zoo.store import find

if TYPE_CHECKING:
    from facegeo.track import Smoothing, TrackerOptions
    from facegeo.video.stream import FaceStream

#: Photos whose faces share a network call; more would only hold more photos in memory.
_IMAGES_TOGETHER = 16


class FaceGeometry(MadeAnew, Closing):
    """Complete 3D face geometry from photos.

    >>> predictor = FaceGeometry()
    >>> faces = predictor("photo.jpg")
    >>> faces[0].landmarks.shape, faces[0].pose.yaw

    Calls keep no state: the same input gives the same output. A context manager, see
    :meth:`close`. Pickled as its arguments: another process opens engines of its own.

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
    detector : str, Detector or None
        ``auto`` or ``default``, the detector in the package; the name of a detection model; or an
        object of your own, as :class:`facegeo.detect.Detector` describes it. None: every call
        brings ``boxes`` or ``landmarks``, and no detector is ever opened.
    backend : str
        ``auto``, ``onnxruntime``, ``openvino``, ``pytorch`` or ``tensorrt``.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. A device that was named and is not there is an
        error; only ``auto`` chooses.
    precision : str
        ``auto``, ``fp32``, ``fp16``, ``bf16`` or ``int8``, as far as engine and model have it.
    network : Backend, optional
        One that is open already, instead of ``backend`` and ``precision``; ``device`` is then the
        detector's. Card, conventions and mesh are those of ``model``.

        >>> from facegeo.backends.trt.backend import open_engine
        >>> with open_engine("engines/synergy-mbv2.engine") as engine:
        ...     faces = FaceGeometry("synergy-mbv2", network=engine)("photo.jpg")
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
        presence output; None keeps them all. Boxes of the caller's are never dropped. In a stream
        it is asked of newcomers; who is followed: ``TrackerOptions.least_presence``.
    rotations : {"upright", "any"}
        Faces are looked for as they stand, and found up to a lean of about 45 degrees; or, where
        that finds none or a presence below 0.99, in the photo turned by 90, 180 and 270 too.
    recrop : bool, optional
        Look at a face again where its landmarks ask for another crop than its box did: by a corner
        that is off by more than 8 percent of the side, or a lean of more than 20 degrees. By
        default networks of facegeo do, and imported ones cut each face by its box alone, as their
        releases do.

    Raises
    ------
    ModelNotFoundError
        If a model that was named is not installed; the message says how to get it.
    BackendUnavailableError
        If the backend, device or precision that was named is not there.
    CorruptFileError
        If an installed file is damaged.
    InvalidInputError
        If ``network`` does not take the model's crops, or an option has no one to go to.
    """

    def __init__(
        self,
        model: str = "default",
        *,
        detector: str | Detector | None = AUTO,
        backend: str = AUTO,
        device: str = AUTO,
        precision: str = AUTO,
        network: Backend | None = None,
        score_threshold: float = DetectorOptions.score_threshold,
        max_faces: int | None = DetectorOptions.max_faces,
        min_face_size: float = DetectorOptions.min_size,
        batch_size: int | None = None,
        search: Search | None = DetectorOptions.search,
        second_opinion: PresenceFilter | None = PresenceFilter(),  # noqa: B008 - it is frozen
        rotations: Literal["upright", "any"] = "upright",
        recrop: bool | None = None,
    ) -> None:
        check_arguments(batch_size, min_face_size, second_opinion, rotations, recrop)
        installed = find(model)
        self.card = installed.card
        self._closed, self._owns_network = False, network is None
        if network is None:
            network = open_network(installed, backend, device, precision)
        elif (backend, precision) != (AUTO, AUTO):
            raise InvalidInputError(
                f"network: expected neither backend nor precision beside a network that is open, "
                f"got backend={backend!r}, precision={precision!r}"
            )
        check_takes_crops(network, self.card.crop_size, self.card.name)
        self.network = network
        self.crop_convention = crop.find_convention(self.card.crop_convention)
        self.crop_size = self.card.crop_size
        self.mesh_source = ModelMesh(installed)
        self._outputs = NetworkOutputs(installed, self.mesh_source, network)
        self._batch_size = batch_size or (64 if network.device == "cpu" else 256)
        self._options = DetectorOptions(score_threshold, max_faces, min_face_size, search)
        self._detector = ChosenDetector(detector, self._options, device)
        self._search = FaceSearch(
            Looker(
                self.predict_crops,
                self.crop_size,
                self.card.crop_convention == "exact" if recrop is None else recrop,
            ),
            second_opinion,
            max_faces,
            self._detector.find if rotations == "any" else None,
            self.crop_convention,
        )

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
            For one photo that cannot be used, or one without boxes where there is no detector.
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
        self._check_open()
        if isinstance(photos, Sequence):
            for name, given in (("boxes", boxes), ("landmarks", landmarks)):
                if given is not None and len(given) != len(photos):
                    raise InvalidInputError(
                        f"{name}: expected one entry for each of {len(photos)} photos, "
                        f"got {len(given)}"
                    )
        pending: list[Located] = []
        for index, source in enumerate(photos):
            known = Known(
                boxes[index] if boxes is not None else None,
                landmarks[index] if landmarks is not None else None,
            )
            if known.is_nothing:
                self._detector.check()  # the call is wrong, not the photo
            pending.append(
                located(index, source, color, known, self._detector.find, self.crop_convention)
            )
            if len(pending) == _IMAGES_TOGETHER:
                yield from self._finished(pending)
                pending = []
        yield from self._finished(pending)

    def predict_crops(
        self, crops: np.ndarray, rois: np.ndarray, rotations: np.ndarray | None = None
    ) -> FaceBatch:
        """The inner level: crops to parameters and landmarks, no detector, no loop over faces.

        Parameters
        ----------
        crops : (N, S, S, 3) uint8
            BGR, as :func:`facegeo.geometry.crop.crop_faces` cuts them with ``crop_size``: 120
            unless the model says otherwise.
        rois : (N, 4) float
            ``xyxy`` of each crop in its photo.
        rotations : (N,) float, optional
            Degrees by which each region is turned in its photo, see
            :mod:`facegeo.geometry.crop`; none is.

        Returns
        -------
        batch : FaceBatch
            In photo pixels.

        Raises
        ------
        InvalidInputError
            If a shape or dtype is wrong.
        """
        self._check_open()
        wanted = self.network.input_metadata["crops"]
        if not wanted.fits(crops):
            raise InvalidInputError(f"crops: expected {wanted}, got {arrays.describe(crops)}")
        rois = arrays.array_of("rois", rois, (len(crops), 4))
        turned = np.zeros(len(crops), np.float32)
        if rotations is not None and np.any(rotations):
            turned = arrays.array_of("rotations", rotations, (len(crops),))
        step = self._batch_size
        parts = [slice(k, k + step) for k in range(0, max(len(crops), 1), step)]
        return FaceBatch.concatenate(
            [
                self._outputs(self.network.run({"crops": crops[part]}), rois[part], turned[part])
                for part in parts
            ]
        )

    def reconstruct(
        self,
        params: np.ndarray,
        rois: np.ndarray | None = None,
        *,
        rotations: np.ndarray | None = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Parameters to dense vertices.

        Parameters
        ----------
        params : (N, P) float
            De-normalised parameters, as in :class:`FaceBatch`.
        rois : (N, 4) float, optional
            ``xyxy`` of the crops; without them the vertices are in crop pixels.
        rotations : (N,) float, optional
            As :meth:`predict_crops` takes them.
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
        params = arrays.array_of("params", params, ("N", self.card.num_params))
        pose, convention = split(params).pose, self.crop_convention
        if rois is None:
            affine = crop.pose_to_crop(pose, convention)
        else:
            rois = arrays.array_of("rois", rois, (len(params), 4))
            if rotations is not None:
                rotations = arrays.array_of("rotations", rotations, (len(params),))
            affine = crop.pose_to_photo(pose, rois, convention, rotations=rotations)
            affine[:, 2, 3] -= self.mesh_source.depths(params, affine)
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
            A camera's index, an RTSP or HTTP URL, a video file, a folder of images, or images:
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
            Of folders, and of images without timestamps (default: 30).
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
        InvalidInputError
            If the predictor has no detector, or an option is not as stated.
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
            look=self._search.looked_at,
        )

    @property
    def detector(self) -> Detector:
        """The face detector. ``auto`` opens it here: callers with boxes of their own need none.

        Raises
        ------
        InvalidInputError
            If the predictor was made with ``detector=None``.
        """
        self._check_open()
        return self._detector.get()

    def locate(self, image: np.ndarray) -> Detections:
        """Find where a stream looks for faces in a ``(H, W, 3)`` uint8 BGR image."""
        self._check_open()
        found = self._detector.find(image)
        return found if self._search.find is None else self._search.confirmed(image, found)

    @property
    def max_faces(self) -> int | None:
        """Most faces that are reported of a photo."""
        return self._options.max_faces

    def info(self) -> dict[str, str]:
        """Summary of what really runs: model, detector, backend, device, precision; and why."""
        self._check_open()
        return {
            "model": self.card.name,
            "detector": self._detector.name,
            "backend": self.network.name,
            "device": self.network.device,
            "precision": self.network.precision,
            "picked": self.network.selection_reason,
        }

    def close(self) -> None:
        """Close the network and the detector that were opened here. May be called more than once.

        A network or detector that the caller gave stays open.
        """
        self._closed = True
        self._detector.close()
        if self._owns_network:
            self.network.close()

    def _check_open(self) -> None:
        if self._closed:
            raise BackendUnavailableError(
                "predictor: it was closed and runs no more; make a new FaceGeometry"
            )

    def _finished(self, photos: Sequence[Located]) -> Iterator[PhotoResult]:
        if not photos:
            return
        seen = self._search(photos)
        faces = iter(seen.batch.faces(seen.found.boxes, seen.found.scores, self.mesh_source))
        for k, photo in enumerate(photos):
            own = list(islice(faces, int((seen.owners == k).sum())))
            yield PhotoResult(photo.index, photo.source, photo.image, own, photo.error)
