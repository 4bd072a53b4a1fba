"""Label files of rendered faces, made of labelled photos of faces."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

import cv2
import numpy as np

from facegeo.base.files import replacing
from facegeo.base.progress import ProgressLine
from facegeo.conventions import LANDMARK_REGIONS, NUM_POSE
from facegeo.errors import InvalidInputError
from facegeo.geometry.crop import CROP_SIZE, find_convention
from facegeo.images import decode_photo
from facegeo.images.collections import ImageCollection
from facegeo.morphable import MorphableModel
from facegeo.synthetic.expressions import EYE_SHAPES, random_expression, random_eyes
from facegeo.synthetic.head import HeadTables
from facegeo.synthetic.negatives import background_crop
from facegeo.synthetic.rendered import FaceRenderer, RenderedFace, random_params
from facegeo.synthetic.skins import Skin, with_bare_head
from facegeo.training.core.workers import each
from facegeo.training.data.datasets import LabelledFaces, write_labels
from facegeo.training.data.variants import labelled, yaws_deg
from facegeo.training.data.visibility import COVERED, SEEN, TURNED_AWAY, UNKNOWN, unknown

#: Of the labels, as of every network that is trained here.
CONVENTION: Final = find_convention("exact")

#: Files of :func:`write_rendered` in its folder.
CROPS, LABELS = "crops.tar", "labels.npz"

#: ``photos``: other expressions over photos; ``eyes``: other eyes over photos; ``alone``: whole
#: heads before photos without faces.
Kind = Literal["photos", "eyes", "alone"]
KINDS: Final = get_args(Kind)

#: Kinds of six faces in a row.
_ORDER: Final[tuple[Kind, ...]] = ("photos", "alone", "eyes", "alone", "photos", "alone")

#: Photos that faces are drawn over look to the side by at most this; skins come from photos that
#: look at the viewer, as the other side of a nose is not in a photo. Degrees.
_MOST_YAW_DEG: Final[dict[Kind, float]] = {"photos": 55.0, "eyes": 55.0, "alone": 25.0}

#: Lids that look less like the cheeks than this are glasses or in a shadow; photos that are tried.
_LEAST_LIKENESS: Final = 0.7
_TRIES: Final = 20

#: Faces that a worker makes at a time, and how many photos lend their skins to those of a kind: a
#: skin takes longer than a face, and one face with several expressions teaches more.
_CHUNK: Final = 128
_SKINS: Final[dict[Kind, int]] = {"photos": 20, "eyes": 12, "alone": 20}

_JPEG_QUALITY: Final = 95

_FEATURES: Final = [
    index
    for name, region in LANDMARK_REGIONS.items()
    if name not in ("jaw", "right_eyebrow", "left_eyebrow")
    for index in region
]


@dataclass(frozen=True, eq=False)
class Row:
    """One rendered face as it is written.

    Attributes
    ----------
    crop : (120, 120, 3) uint8
    params : (P,) float32
    landmarks : (68, 3) float32
    visibility : (68,) uint8
    exact : (68,) bool
        Landmarks that are exactly where they were drawn.
    gaze : (2, 3) float32
    expression : (Ne,) bool
        Coefficients that are exactly as drawn.
    """

    crop: np.ndarray
    params: np.ndarray
    landmarks: np.ndarray
    visibility: np.ndarray
    exact: np.ndarray
    gaze: np.ndarray
    expression: np.ndarray


class RenderedRows:
    """Rendered faces by number: the same number and seed give the same face.

    Parameters
    ----------
    faces : LabelledFaces
        Of the model; they lend photos and skins.
    model : MorphableModel
        A coarse mesh of it is enough.
    backgrounds : ImageCollection
        Photos without faces.
    only : str, optional
        One of ``KINDS``; by default half of the faces are alone, a third over photos, and of a
        sixth only the eyes are drawn.
    """

    def __init__(
        self,
        faces: LabelledFaces,
        model: MorphableModel,
        backgrounds: ImageCollection,
        only: Kind | None = None,
        seed: int = 0,
    ) -> None:
        if faces.morphable_model != model.name:
            raise InvalidInputError(
                f"faces: expected labels of {model.name}, got those of {faces.morphable_model}"
            )
        absent = [name for name in EYE_SHAPES if name not in (model.expression_names or ())]
        if absent or model.eyes is None:
            raise InvalidInputError(
                f"model: expected one with eyes and ARKit's blendshapes, {model.name} has no "
                f"{absent[0] if absent else 'eyes'}"
            )
        self._faces, self._backgrounds = faces, backgrounds
        self._order = _ORDER if only is None else (only,)
        self._seed = seed
        self.morphable_model, self.offset_px = model.name, faces.offset_px
        self._renderer = FaceRenderer(HeadTables(model, CONVENTION))
        self._donors = {kind: self._fitting(kind) for kind in set(self._order)}
        self._chunk, self._lent = -1, dict[tuple[Kind, int], tuple[int, Skin]]()

    def kind(self, number: int) -> Kind:
        return self._order[number % len(self._order)]

    def __call__(self, number: int) -> Row:
        kind = self.kind(number)
        rng = np.random.default_rng((self._seed, number))
        if kind == "alone":
            return self._alone(number, rng)
        return self._over_photo(kind, number, rng)

    def _fitting(self, kind: Kind) -> np.ndarray:
        """Numbers of the photos for a kind: not turned too far, features not covered."""
        faces = self._faces
        fits = np.abs(yaws_deg(faces.params)) <= _MOST_YAW_DEG[kind]
        if faces.visibility is not None:
            fits &= ~(faces.visibility[:, _FEATURES] == COVERED).any(axis=1)
        if not fits.any():
            raise InvalidInputError(
                f"faces: expected some within {_MOST_YAW_DEG[kind]:g} degrees of frontal whose "
                f"eyes, nose and mouth nothing covers, got none of {len(faces)}"
            )
        return np.flatnonzero(fits)

    def _donor(self, kind: Kind, number: int, rng: np.random.Generator) -> tuple[int, Skin]:
        """One of the photos that the faces of a chunk share, and its skin."""
        chunk, place = number // _CHUNK, int(rng.integers(_SKINS[kind]))
        if chunk != self._chunk:
            self._chunk, self._lent = chunk, {}
        if (kind, place) not in self._lent:
            own = np.random.default_rng((self._seed, chunk, KINDS.index(kind), place))
            index, skin = self._new_donor(kind, own)
            if kind == "alone":
                skin = with_bare_head(skin, self._renderer.head)
            self._lent[kind, place] = index, skin
        return self._lent[kind, place]

    def _new_donor(self, kind: Kind, rng: np.random.Generator) -> tuple[int, Skin]:
        """A photo whose eyes are not behind glasses or in the dark, as far as its skin tells."""
        for _ in range(_TRIES):
            index = int(rng.choice(self._donors[kind]))
            sample = labelled(self._faces, index)
            skin = self._renderer.skin(sample.crop, sample.params, rng)
            if skin.likeness >= _LEAST_LIKENESS:
                break
        return index, skin

    def _alone(self, number: int, rng: np.random.Generator) -> Row:
        _, skin = self._donor("alone", number, rng)
        photo = int(rng.integers(len(self._backgrounds.names)))
        name = self._backgrounds.names[photo]
        background = background_crop(decode_photo(self._backgrounds.read(photo), name), rng)
        params = random_params(rng, self._renderer.head)
        face = self._renderer.alone(params, skin, background, rng)
        return _row(face, np.full(len(face.landmarks), SEEN, np.uint8))

    def _over_photo(self, kind: Kind, number: int, rng: np.random.Generator) -> Row:
        index, skin = self._donor(kind, number, rng)
        faces, head = self._faces, self._renderer.head
        sample = labelled(faces, index)
        old = sample.params[NUM_POSE + head.num_shape :]
        only_eyes = kind == "eyes"
        if only_eyes:
            expression = random_eyes(rng, old, head.names)
        else:
            expression = random_expression(rng, head.names)
        face = self._renderer.over_photo(
            sample.crop, sample.params, sample.landmarks, expression, skin, rng, only_eyes=only_eyes
        )
        states = unknown(1) if faces.visibility is None else faces.visibility[[index]]
        return _row(face, states[0])


def _row(face: RenderedFace, before: np.ndarray) -> Row:
    """With the states of the landmarks, given those of the photo."""
    visibility = np.where(face.drawn, SEEN, before)
    visibility[face.hidden & np.isin(visibility, (SEEN, UNKNOWN)) & face.drawn] = TURNED_AWAY
    visibility[face.hidden & (visibility == UNKNOWN)] = TURNED_AWAY
    places = face.landmarks[:, :2]
    outside = ((places < -0.5) | (places > CROP_SIZE - 0.5)).any(axis=1)
    visibility[outside & (visibility == SEEN)] = COVERED
    return Row(
        face.crop,
        face.params,
        face.landmarks,
        visibility.astype(np.uint8),
        face.drawn,
        face.gaze,
        face.known,
    )


def write_rendered(
    folder: str | Path,
    rows: RenderedRows,
    count: int,
    workers: int = 0,
) -> dict[str, Any]:
    """Draw faces and write them as :func:`facegeo.training.data.datasets.read_labelled` reads them.

    Parameters
    ----------
    folder : path
        ``crops.tar`` and ``labels.npz`` are written there.
    count : int
        At least 1.
    workers : int
        Processes; 0: this one.

    Returns
    -------
    report : dict
        ``faces``, how many of each kind, ``pictures`` and ``labels``.
    """
    if count < 1:
        raise InvalidInputError(f"count: expected at least 1, got {count}")
    folder = Path(folder)
    jobs = [(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    made: dict[int, Row] = {}
    names = [f"{number:06d}.jpg" for number in range(count)]
    with (
        replacing(folder / CROPS) as temporary,
        tarfile.open(temporary, "w") as archive,
        ProgressLine("faces", count) as progress,
    ):
        for start, chunk in each(_Chunk(rows), jobs, workers):
            for number, (data, row) in enumerate(chunk, start):
                made[number] = row
                member = tarfile.TarInfo(names[number])
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
            progress.update(len(chunk))
    arrays = {
        key: np.stack([getattr(made[number], key) for number in range(count)])
        for key in ("params", "landmarks", "visibility", "exact", "gaze", "expression")
    }
    write_labels(
        folder / LABELS,
        names,
        arrays["params"],
        arrays["landmarks"],
        rows.morphable_model,
        rows.offset_px,
        visibility=arrays["visibility"],
        manual=arrays["exact"],
        gaze=arrays["gaze"],
        exact_expression=arrays["expression"],
    )
    return {
        "faces": count,
        **{kind: sum(rows.kind(number) == kind for number in range(count)) for kind in KINDS},
        "pictures": str(folder / CROPS),
        "labels": str(folder / LABELS),
    }


class _Chunk:
    """Makes faces of a range of numbers; travels to other processes."""

    def __init__(self, rows: RenderedRows) -> None:
        self._rows = rows

    def __call__(self, job: tuple[int, int]) -> tuple[int, list[tuple[bytes, Row]]]:
        made = []
        for number in range(*job):
            row = self._rows(number)
            quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            data = cv2.imencode(".jpg", row.crop, quality)[1].tobytes()
            made.append((data, replace(row, crop=row.crop[:0])))
        return job[0], made
