"""Which detector and which network a predictor has, and who closes them."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
from helpers.landmark_network import LandmarkNetwork

from facegeo import FaceGeometry
from facegeo.detect import Detections, Detector, DetectorOptions, PresenceFilter, Search
from facegeo.detect import chosen as chosen_module
from facegeo.errors import BackendUnavailableError, BatchError, InvalidInputError

BOX = np.array([[10, 10, 60, 60]], np.float32)
PHOTO = np.full((90, 120, 3), 200, np.uint8)


class Own:
    """A detector of the caller's."""

    name = "own"

    def __init__(self, result=None) -> None:
        self.result = Detections(BOX, np.array([0.2], np.float32)) if result is None else result
        self.closed = False

    def __call__(self, photo):
        return self.result

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def predictor_of():
    """Makes predictors of the shipped model's card with a network that costs nothing."""

    def make(**options):
        return FaceGeometry("default", network=LandmarkNetwork(96), **options)

    return make


@pytest.fixture
def no_detector_opens(monkeypatch):
    def forbidden(*arguments, **more):
        raise AssertionError("opened a detector")

    monkeypatch.setattr(chosen_module, "open_detector", forbidden)


def test_a_detector_of_the_callers_is_used_as_it_is(predictor_of, no_detector_opens):
    own = Own()
    assert isinstance(own, Detector)
    predictor = predictor_of(detector=own)
    (face,) = predictor(PHOTO)
    assert face.box.tolist() == BOX[0].tolist()
    assert face.score == pytest.approx(0.2)  # below the threshold of a detector that is named
    assert predictor.detector is own and predictor.info()["detector"] == "own"
    with predictor.stream([PHOTO]) as stream:
        assert len(next(stream).faces) == 1


def test_without_a_detector_boxes_must_come(predictor_of, no_detector_opens):
    predictor = predictor_of(detector=None)
    assert len(predictor(PHOTO, boxes=BOX)) == 1
    assert [len(faces) for faces in predictor([PHOTO, PHOTO], boxes=[BOX, []])] == [1, 0]
    assert predictor.info()["detector"] == "none"
    message = r"detector=None.*pass boxes= or landmarks="
    for call in (
        lambda: predictor(PHOTO),
        lambda: predictor([PHOTO, PHOTO], boxes=[BOX, None]),
        lambda: list(predictor.predict_photos([PHOTO])),
        lambda: predictor.detector,
        lambda: predictor.stream([PHOTO]),
    ):
        with pytest.raises(InvalidInputError, match=message):
            call()


@pytest.mark.parametrize("detector", [3, object(), lambda photo: None, Own])
def test_what_is_no_detector_is_refused(predictor_of, detector):
    with pytest.raises(InvalidInputError, match="detector: expected a name, None, or an object"):
        predictor_of(detector=detector)


def test_what_a_detector_returns_is_looked_at(predictor_of):
    predictor = predictor_of(detector=Own(BOX))
    with pytest.raises(InvalidInputError, match=r"detector 'own': .*Detections, got an array"):
        predictor(PHOTO)
    with pytest.raises(BatchError):  # the photo's boxes of the caller's are used
        predictor([PHOTO, PHOTO], boxes=[BOX, None])


@pytest.mark.parametrize("detector", [None, Own()])
@pytest.mark.parametrize(
    "options",
    [{"score_threshold": 0.4}, {"max_faces": 2}, {"min_face_size": 9}, {"search": Search()}],
)
def test_options_without_a_named_detector_are_not_dropped_silently(predictor_of, detector, options):
    with pytest.raises(InvalidInputError, match="expected the defaults without a detector's name"):
        predictor_of(detector=detector, **options)


def test_the_predictors_defaults_are_those_of_the_options():
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(FaceGeometry).parameters.items()
    }
    ours = DetectorOptions(
        defaults["score_threshold"],
        defaults["max_faces"],
        defaults["min_face_size"],
        defaults["search"],
    )
    assert ours == DetectorOptions()


def test_options_reach_the_detector(predictor_of, monkeypatch):
    asked = []
    monkeypatch.setattr(
        chosen_module, "open_detector", lambda *arguments: asked.append(arguments) or Own()
    )
    search = Search(tile=640)
    predictor = predictor_of(
        score_threshold=0.3, max_faces=4, min_face_size=20, search=search, device="cpu"
    )
    assert not asked  # auto is opened when it is needed, and once
    assert predictor.detector is predictor.detector
    assert asked == [("auto", DetectorOptions(0.3, 4, 20, search), "cpu")]


def test_what_was_given_stays_open_and_what_was_opened_is_closed(monkeypatch):
    opened = Own()
    monkeypatch.setattr(chosen_module, "open_detector", lambda *_: opened)
    network, given = LandmarkNetwork(96), Own()
    with FaceGeometry(network=network, detector=given) as predictor:
        predictor(PHOTO)
    assert not given.closed and not network.released
    with FaceGeometry(network=network) as predictor:
        predictor(PHOTO, boxes=BOX)
        predictor.detector  # noqa: B018 - opens it
    assert opened.closed and not network.released


def test_a_closed_predictor_says_so():
    with FaceGeometry(device="cpu") as predictor:
        assert len(predictor(PHOTO, boxes=BOX)) <= 1
        detector = predictor.detector
    predictor.close()
    for call in (
        lambda: predictor(PHOTO, boxes=BOX),
        lambda: predictor([PHOTO], boxes=[BOX]),
        lambda: predictor.predict_crops(np.zeros((0, 96, 96, 3), np.uint8), np.zeros((0, 4))),
        lambda: predictor.stream([PHOTO]),
        lambda: predictor.info(),
    ):
        with pytest.raises(BackendUnavailableError, match="predictor: it was closed"):
            call()
    for call in (
        lambda: predictor.network.run({"crops": np.zeros((1, 96, 96, 3), np.uint8)}),
        lambda: detector(PHOTO),
    ):
        with pytest.raises(BackendUnavailableError, match="network: it was closed"):
            call()


def test_a_network_that_is_not_the_models_is_refused():
    with pytest.raises(
        InvalidInputError,
        match=r"'synergy-mbv2' has crops of shape \(N, 96, 96, 3\) and dtype uint8 as its one "
        r"input, this network takes crops of shape \(N, 120, 120, 3\)",
    ):
        FaceGeometry("synergy-mbv2", network=LandmarkNetwork(120))
    blind = LandmarkNetwork(96)
    blind.output_metadata = {"presence": blind.output_metadata["presence"]}
    with pytest.raises(InvalidInputError, match="expected outputs params and landmarks"):
        FaceGeometry(network=blind)
    for option in ({"backend": "onnxruntime"}, {"precision": "fp32"}):
        with pytest.raises(InvalidInputError, match="neither backend nor precision"):
            FaceGeometry(network=LandmarkNetwork(96), **option)


def test_large_batches_go_in_parts_that_are_joined():
    network = LandmarkNetwork(96)
    predictor = FaceGeometry(network=network, detector=None, batch_size=4)
    crops = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((96, 96, 3), np.uint8)
    rois = np.tile(np.float32([0, 0, 120, 120]), (10, 1)) + np.arange(10)[:, None]
    batch = predictor.predict_crops(crops, rois)
    assert network.batches == [4, 4, 2]
    np.testing.assert_allclose(batch.presence * 255, np.arange(10), atol=1e-4)
    whole = FaceGeometry(network=network, detector=None).predict_crops(crops, rois)
    np.testing.assert_array_equal(batch.landmarks, whole.landmarks)


@pytest.mark.parametrize("batch_size", [2.5, True, "4", 0, -1, float("nan")])
def test_batch_sizes_are_whole_numbers(predictor_of, batch_size):
    with pytest.raises(InvalidInputError, match="batch_size: expected"):
        predictor_of(batch_size=batch_size)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: DetectorOptions(max_faces=2.5), "max_faces"),
        (lambda: DetectorOptions(max_faces=0), "max_faces"),
        (lambda: DetectorOptions(score_threshold=float("nan")), "score_threshold"),
        (lambda: DetectorOptions(score_threshold=None), "score_threshold"),
        (lambda: DetectorOptions(min_size="9"), "min_size"),
        (lambda: DetectorOptions(min_size=-1), "min_size"),
        (lambda: Search(max_side=640.5), "max_side"),
        (lambda: Search(tile=8), "tile"),
        (lambda: PresenceFilter(sure_score=2), "sure_score"),
        (lambda: PresenceFilter(least_presence="no"), "least_presence"),
    ],
)
def test_options_that_cannot_be_meant_are_named(make, name):
    with pytest.raises(InvalidInputError, match=f"{name}: expected"):
        make()


def test_a_network_that_is_open_is_not_pickled(predictor_of):
    with pytest.raises(InvalidInputError, match="network was to be pickled"):
        pickle.dumps(predictor_of())


def test_a_predictor_is_pickled_as_its_arguments(sample_photo):
    with FaceGeometry(batch_size=3, score_threshold=0.6, detector="auto") as predictor:
        expected = predictor(sample_photo)[0].landmarks
        data = pickle.dumps(predictor)
    assert len(data) < 1000
    with pickle.loads(data) as copied:  # open, although the other one is closed by now
        np.testing.assert_array_equal(copied(sample_photo)[0].landmarks, expected)
        assert copied._options == predictor._options and copied._batch_size == 3


def test_results_name_paths_and_keep_no_pixels_as_their_source(predictor_of, tmp_path):
    predictor, path = predictor_of(detector=Own()), tmp_path / "missing.png"
    results = list(predictor.predict_photos([PHOTO, path, "missing.jpg", 3.5]))
    assert [result.source for result in results] == [None, path, "missing.jpg", None]
    assert [result.index for result in results] == [0, 1, 2, 3]
