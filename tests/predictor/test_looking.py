"""Which look at a face counts, with a network whose presence is made up."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.video_data import TEMPLATE

from facegeo.conventions import NUM_PARAMS
from facegeo.detect import Detections, PresenceFilter
from facegeo.geometry.crop import CONVENTIONS, landmark_boxes, rotation_matrices
from facegeo.geometry.regions import Regions
from facegeo.predictor.looking import Looker
from facegeo.predictor.photos import FaceSearch, Located, distinct
from facegeo.results import FaceBatch

IMAGE = np.zeros((400, 400, 3), np.uint8)
EXACT = CONVENTIONS["exact"]


def face(degrees=0.0, middle=(200, 200), size=100.0):
    """Landmarks of a face that leans."""
    turn = rotation_matrices(np.array([degrees]))[0]
    points = (TEMPLATE[:, :2] - 0.5) * size @ turn.T + middle
    return np.concatenate([points, np.zeros((68, 1))], axis=1).astype(np.float32)


def batch_of(landmarks, presence, rois, rotations):
    params = np.zeros((len(rois), NUM_PARAMS), np.float32)
    return FaceBatch(
        params, landmarks, landmarks, np.float32(presence), rois, EXACT, np.float32(rotations)
    )


class Network:
    """Sees in each region a face that stands upright there.

    ``believed`` tells the presence of a region: its roi and its rotation.
    """

    def __init__(self, believed):
        self.believed = believed
        self.looks = []

    def __call__(self, crops, rois, rotations):
        self.looks.append([float(degrees) for degrees in rotations])
        landmarks = np.array([face(degrees) for degrees in rotations]).reshape(-1, 68, 3)
        presence = [self.believed(*region) for region in zip(rois, rotations, strict=True)]
        return batch_of(landmarks, presence, rois, rotations)


def looked(believed, regions):
    network = Network(believed)
    batch, _ = Looker(network, 120, True)([IMAGE], np.zeros(len(regions), int), regions)
    return batch, network.looks


OWN = Regions.from_landmarks(face()[None])


@pytest.mark.parametrize(
    ("upright", "upside_down", "wins"),
    [
        (0.9734, 0.9735, False),
        (0.95, 0.975, False),
        (0.95, 0.99, True),
        (0.98, 0.99, False),
        (0.9, 0.97, True),
        (0.5, 0.6, False),
        (0.5, 0.99, True),
        (0.0, 1.0, True),
        (1.0, 1.0, False),
    ],
)
def test_another_orientation_needs_clearly_better_odds(upright, upside_down, wins):
    def believed(roi, degrees):
        return {0: upright, 180: upside_down}.get(abs(round(float(degrees))), 0.0)

    batch, looks = looked(believed, OWN)
    assert (abs(batch.rotations[0]) == 180) == wins
    assert batch.presence[0] == pytest.approx(upside_down if wins else upright)
    assert (len(looks) == 1) == (upright >= 0.99)


def test_a_lean_that_the_detector_did_not_tell_is_tried():
    batch, _ = looked(lambda roi, degrees: 0.99 if round(float(degrees)) == 45 else 0.1, OWN)
    assert batch.rotations[0] == pytest.approx(45)


def test_a_doubtful_face_is_looked_at_where_its_landmarks_are_before_it_is_turned():
    # The box lies 5 percent off, which is no reason to look again at a face that is believed.
    moved = Regions(OWN.rois + np.float32([0, 8, 0, 8]), OWN.rotations)

    def believed(roi, degrees):
        if degrees:
            return 0.98
        return 0.995 if np.array_equal(roi, OWN.rois[0]) else 0.85

    batch, looks = looked(believed, moved)
    assert batch.presence[0] == pytest.approx(0.995) and batch.rotations[0] == 0
    assert looks == [[0.0], [0.0]]
    batch, looks = looked(lambda roi, degrees: 0.995, moved)
    np.testing.assert_array_equal(batch.rois, moved.rois)
    assert looks == [[0.0]]


def test_each_of_several_faces_has_its_own_best_look():
    places = np.float32([[-30], [0], [30]]) + OWN.rois

    def believed(roi, degrees):
        in_the_middle = abs(roi[0] - OWN.rois[0, 0]) < 15
        presences = {0: 0.6, 90: 0.97} if in_the_middle else {0: 0.7, 180: 0.97, 90: 0.9}
        return presences.get(abs(round(float(degrees))), 0.0)

    class Still(Network):
        """Its landmarks lie in the middle of the region, so that no other one is asked for."""

        def __call__(self, crops, rois, rotations):
            batch = super().__call__(crops, rois, rotations)
            middles = (rois[:, :2] + rois[:, 2:]) / 2
            batch.landmarks[..., :2] += (middles - 200)[:, None]
            return batch

    regions = Regions(places, np.zeros(3, np.float32))
    batch, _ = Looker(Still(believed), 120, True)([IMAGE], np.zeros(3, int), regions)
    assert np.abs(batch.rotations).round().tolist() == [180, 90, 180]
    assert batch.presence == pytest.approx([0.97] * 3)


def search(believed, find, presence_filter=PresenceFilter()):  # noqa: B008 - it is frozen
    looker = Looker(Network(believed), 120, True)
    return FaceSearch(looker, presence_filter, None, find, EXACT)


@pytest.mark.parametrize(("presence", "searches"), [(0.995, 0), (0.98, 3), (0.6, 3)])
def test_any_searches_on_where_a_face_is_doubtful(presence, searches):
    searched = []

    def find(image):
        searched.append(image)
        return Detections.none()

    box = landmark_boxes(face()[None])
    found = Detections(box, np.float32([0.9]))
    photo = Located(0, None, IMAGE, found, OWN)
    look = search(lambda roi, degrees: 0.0 if degrees else presence, find)
    assert len(look([photo])) == 1
    assert len(searched) == searches


@pytest.mark.parametrize(
    ("score", "first", "later", "kept"),
    [
        (0.7, 0.2, 0.2, False),
        (0.7, 0.4, 0.4, True),
        (0.7, 0.4, 0.8, True),
        (0.7, 0.2, 0.8, False),  # found by looking again and again
        (0.7, 0.2, 0.96, True),  # but now it is clear
        (0.85, 0.2, 0.2, True),
    ],
)
def test_a_face_that_only_a_further_look_has_found_must_be_clear(score, first, later, kept):
    moved = Regions(OWN.rois + np.float32([0, 20, 0, 20]), OWN.rotations)
    found = Detections(landmark_boxes(face()[None]), np.float32([score]))

    def believed(roi, degrees):
        if degrees:
            return 0.0
        return first if np.array_equal(roi, moved.rois[0]) else later

    look = search(believed, None)
    seen = look([Located(0, None, IMAGE, found, moved)])
    assert len(seen) == kept
    batch, mask = look.looked_at(IMAGE, moved, np.float32([score]))
    assert mask.tolist() == [kept] and batch.presence[0] == pytest.approx(later)
    everything = search(believed, None, presence_filter=None)
    assert len(everything([Located(0, None, IMAGE, found, moved)])) == 1


@pytest.mark.parametrize(
    ("degrees", "shift", "presence", "kept"),
    [
        (0, 30, 0.96, False),  # one face, seen twice
        (0, 50, 0.96, True),  # one that is half behind the other
        (170, 50, 0.96, False),  # upside down on the shoulder of another one
        (170, 80, 0.96, True),
        (170, 50, 0.995, True),
    ],
)
def test_a_doubtful_face_that_lies_across_another_is_none(degrees, shift, presence, kept):
    landmarks = np.array([face(), face(degrees, (200 + shift, 200))])
    regions = Regions.from_landmarks(landmarks)
    batch = batch_of(landmarks, [0.999, presence], regions.rois, regions.rotations)
    assert distinct(batch, np.float32([0.8, 0.8])).tolist() == [True, kept]
