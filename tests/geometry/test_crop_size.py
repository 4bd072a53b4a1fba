"""A network that takes crops of another side than 120: everything around it follows its card."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from facegeo import FaceGeometry
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.export.publishing import sample_crops
from facegeo.geometry import crop
from facegeo.images.demo import sample_photo
from facegeo.zoo.store import find

SIZE = 64
BOXES = np.array([[150.0, 45.0, 290.0, 200.0]], np.float32)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache with one such network."""
    from helpers.tiny_model import install_tiny

    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEO_CACHE_DIR", str(folder))
        install_tiny("small-crops", SIZE)
    return folder


@pytest.fixture
def predictor(cache, monkeypatch):
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(cache))
    # Nobody trained it: what it sees is no reason to look elsewhere.
    return FaceGeometry(
        "small-crops", backend="onnxruntime", device="cpu", precision="fp32", recrop=False
    )


def test_a_photo_is_cut_to_that_side_and_points_come_back_in_its_pixels(predictor):
    photo = sample_photo()
    (face,) = predictor(photo, boxes=BOXES)
    rois = crop.rois_from_boxes(BOXES, predictor.crop_convention)
    outputs = predictor.network.run({"crops": crop.crop_faces(photo, rois, SIZE)})
    expected = crop.crop_to_photo(outputs["landmarks"], rois, crop.find_convention("exact"))
    np.testing.assert_array_equal(face.landmarks[:, :2], expected[0, :, :2])
    depth = expected[0, :, 2]
    np.testing.assert_allclose(face.landmarks[:, 2], depth - depth[[36, 45]].mean(), atol=1e-3)
    # The mesh belongs to the same place: both are in pixels of a crop of side 120.
    middle = face.mesh.vertices[:, :2].mean(axis=0)
    assert np.abs(middle - face.coarse_landmarks[:, :2].mean(axis=0)).max() < 60


def test_crops_of_another_side_are_refused(predictor):
    with pytest.raises(InvalidInputError, match="64, 64, 3"):
        predictor.predict_crops(sample_crops(2), np.tile(BOXES, (2, 1)))
    assert len(predictor.predict_crops(sample_crops(2, SIZE), np.tile(BOXES, (2, 1)))) == 2


def test_a_bad_photo_stops_no_other(predictor):
    results = list(predictor.predict_photos(["missing.jpg", sample_photo()], [None, BOXES]))
    assert results[0].error is not None and len(results[1].faces) == 1


def test_tracking_looks_through_crops_of_that_side(predictor):
    from facegeo.detect import Detections
    from facegeo.track import Tracker, TrackerOptions

    options = TrackerOptions(least_presence=0.0)
    tracker = Tracker(
        lambda photo: Detections(BOXES, np.ones(1, np.float32)),
        predictor.predict_crops,
        options,
        predictor.crop_size,
    )
    for time_s in (0.0, 0.04):
        tracker.update(sample_photo(), time_s)


def test_a_card_with_a_side_that_is_none_is_refused(cache, monkeypatch):
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(cache))
    path = next(cache.rglob("card.json"))
    text = path.read_text()
    try:
        path.write_text(text.replace('"crop_size": 64', '"crop_size": 0'))
        with pytest.raises(CorruptFileError, match="crop_size"):
            find("small-crops")
    finally:
        path.write_text(text)


def test_resized_crops_are_means_of_what_they_cover():
    crops = np.arange(2 * 120 * 120 * 3, dtype=np.uint32).reshape(2, 120, 120, 3).astype(np.uint8)
    halved = crop.resized_crops(crops, 60)
    means = crops.reshape(2, 60, 2, 60, 2, 3).mean(axis=(2, 4))
    assert np.abs(halved - means).max() <= 0.5
    assert crop.resized_crops(crops, 120) is crops
