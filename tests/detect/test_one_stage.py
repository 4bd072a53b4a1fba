"""Decoding, tiles and batches of facegeo's own detector."""

from itertools import pairwise

import numpy as np
import pytest

from facegeo.detect import DetectorOptions
from facegeo.detect.one_stage import (
    SIDE_MULTIPLE,
    OneStageFaces,
    Search,
    candidates,
    cells,
    pad,
    tile_starts,
)
from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError

FACE = 40.0


class SpotNetwork:
    """Stands in for the network: a face of 40 px at the finest cell of every white pixel."""

    def __init__(self):
        self.batches = []

    def run(self, inputs):
        photos = inputs["photos"]
        self.batches.append(photos.shape)
        grid = cells(*photos.shape[1:3])
        column, row = grid[:, 0].astype(int), grid[:, 1].astype(int)
        scores = (photos[:, row, column].min(axis=2) == 255) * 0.9 * (grid[:, 2] == 8)
        logs = np.log(FACE / 2 / (2 * grid[:, 2]))
        distances = np.broadcast_to(logs, (len(photos), 4, len(grid)))
        return {"scores": scores.astype(np.float32), "distances": distances.astype(np.float32)}


class SizedNetwork:
    """Stands in for the network: one face, given in parts of the picture, where it can see it.

    As the real one it knows no faces of more than ``most`` pixels; of those it sees a piece.
    """

    def __init__(self, part, most=600.0):
        self.part, self.most = np.asarray(part), most
        self.shapes = []

    def run(self, inputs):
        height, width = inputs["photos"].shape[1:3]
        self.shapes.append((height, width))
        grid = cells(height, width)
        scores = np.zeros((1, len(grid)), np.float32)
        distances = np.zeros((1, 4, len(grid)), np.float32)
        box, score = self.part * [width, height, width, height], 0.9
        if (box[2:] - box[:2]).mean() > self.most:  # a cheek
            box, score = box[[0, 1, 0, 1]] + [100, 100, 300, 300], 0.7
        middle = (box[:2] + box[2:]) / 2
        cell = np.abs(grid[:, :2] - middle).sum(axis=1).argmin()
        reach = np.concatenate([grid[cell, :2] - box[:2], box[2:] - grid[cell, :2]])
        distances[0, :, cell] = np.log(reach / (2 * grid[cell, 2]))
        scores[0, cell] = score
        return {"scores": scores, "distances": distances}


@pytest.mark.parametrize("side", [256, 320, 640, 960, 1280, 2560, 4000])
def test_a_face_that_fills_the_photo_is_found_at_every_resolution(side):
    """And nothing else: the piece of it that the larger view shows is no second face."""
    network = SizedNetwork([0.1, 0.05, 0.9, 0.95])
    found = OneStageFaces(network)(np.zeros((side, side, 3), np.uint8))
    expected = np.array([[0.1, 0.05, 0.9, 0.95]]) * side
    np.testing.assert_allclose(found.boxes, expected, atol=0.02 * side)
    assert len(network.shapes) == (1 if side <= 640 else 2)
    assert max(map(max, network.shapes)) <= 1280


def test_a_small_face_is_that_of_the_larger_view():
    network = SizedNetwork([0.5, 0.5, 0.6, 0.62])
    found = OneStageFaces(network)(np.zeros((1280, 1280, 3), np.uint8))
    np.testing.assert_allclose(found.boxes[0] / 1280, [0.5, 0.5, 0.6, 0.62], atol=1e-3)
    assert len(found) == 1


def photo_with_spot(height, width, x, y):
    photo = np.zeros((height, width, 3), np.uint8)
    photo[y, x] = 255
    return photo


def test_box_lies_around_its_cell_whatever_the_padding():
    found = OneStageFaces(SpotNetwork())(photo_with_spot(70, 101, 64, 32))
    assert found.boxes == pytest.approx(np.array([[44, 12, 84, 52]]), abs=1e-4)
    assert found.scores == pytest.approx([0.9])


def test_photos_of_one_size_go_together_and_keep_their_order():
    network = SpotNetwork()
    photos = [photo_with_spot(64, 96, 8 * k, 16) for k in range(4)]
    photos.insert(2, np.zeros((32, 32, 3), np.uint8))
    found = OneStageFaces(network).detect(photos)
    assert sorted(shape[0] for shape in network.batches) == [1, 4]
    assert [len(f) for f in found] == [1, 1, 0, 1, 1]
    x = [float(f.boxes[0, 0]) + FACE / 2 for f in found if len(f)]
    assert x == pytest.approx([0, 8, 16, 24], abs=1e-4)


def test_tiles_give_boxes_in_the_photo_once():
    photo = photo_with_spot(600, 1000, 0, 0)
    photo[:] = 0
    starts = [(x, y) for y in tile_starts(600, 256) for x in tile_starts(1000, 256)]
    x, y = starts[-1][0] + 96, starts[-1][1] + 128
    photo[y, x] = 255
    search = Search(max_side=512, tile=256)
    found = OneStageFaces(SpotNetwork(), DetectorOptions(search=search))(photo)
    expected = [x - 20, y - 20, x + 20, y + 20]
    assert found.boxes == pytest.approx(np.array([expected]), abs=1e-3)


def test_boxes_of_a_photo_that_was_scaled_down_are_in_its_own_pixels():
    network = SpotNetwork()
    photo = np.zeros((512, 1024, 3), np.uint8)
    photo[224:288, 480:544] = 255
    found = OneStageFaces(network, DetectorOptions(search=Search(max_side=512)))(photo)
    assert network.batches == [(1, 256, 512, 3)]
    assert (found.boxes[:, 2:] - found.boxes[:, :2]) == pytest.approx(80, abs=1e-3)
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    assert len(found) and np.abs(centres - (512, 256)).max() <= 32


def test_of_boxes_that_overlap_much_the_best_stays():
    for apart, left in ((8, 1), (32, 2)):  # overlaps of 0.67 and 0.11
        photo = photo_with_spot(96, 160, 48, 48)
        photo[48, 48 + apart] = 255
        assert len(OneStageFaces(SpotNetwork())(photo)) == left


@pytest.mark.parametrize(("length", "tile"), [(100, 256), (256, 256), (257, 256), (4000, 640)])
def test_tiles_cover_with_overlap(length, tile):
    starts = tile_starts(length, tile)
    assert starts[0] == 0
    assert starts[-1] == max(length - tile, 0)
    assert all(b - a <= 0.75 * tile for a, b in pairwise(starts))


def test_threshold_and_number_of_faces():
    photo = photo_with_spot(96, 192, 16, 16)
    photo[64, 160] = 255
    assert len(OneStageFaces(SpotNetwork())(photo)) == 2
    assert len(OneStageFaces(SpotNetwork(), DetectorOptions(max_faces=1))(photo)) == 1
    assert len(OneStageFaces(SpotNetwork(), DetectorOptions(score_threshold=0.95))(photo)) == 0


@pytest.mark.parametrize("shape", [(1, 1), (32, 64), (33, 31), (720, 1280)])
def test_padding_adds_black_pixels_at_the_end(shape):
    photo = np.full((*shape, 3), 7, np.uint8)
    padded = pad(photo)
    assert all(
        n % SIDE_MULTIPLE == 0 and n - m < SIDE_MULTIPLE
        for n, m in zip(padded.shape[:2], shape, strict=True)
    )
    assert (padded[: shape[0], : shape[1]] == 7).all()
    assert padded.sum() == photo.sum()


def test_options_are_checked(tmp_path):
    with pytest.raises(InvalidInputError, match="tile"):
        Search(tile=8)
    with pytest.raises(UnreadableFileError, match=r"none\.onnx"):
        OneStageFaces.from_file(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_bytes(b"no network")
    with pytest.raises(CorruptFileError, match=r"text\.onnx: not a usable network"):
        OneStageFaces.from_file(tmp_path / "text.onnx")


def test_decoding_is_the_networks_own():
    torch = pytest.importorskip("torch")
    from facegeo.networks.detector import network as one_stage

    rng = np.random.default_rng(0)
    grid = cells(96, 160)
    centres, strides = one_stage.cells(96, 160)
    assert (grid == np.column_stack([centres.numpy(), strides.numpy()])).all()
    distances = rng.normal(0, 3, (4, len(grid))).astype(np.float32)
    boxes, _ = candidates(np.ones(len(grid), np.float32), distances, grid)
    theirs = one_stage.decode(torch.from_numpy(distances), centres, strides).numpy()
    np.testing.assert_allclose(boxes, theirs, rtol=1e-5, atol=1e-3)


def test_exported_network_serves_any_size_and_number(random_detector, tmp_path):
    (tmp_path / "detector.onnx").write_bytes(random_detector[1])
    assert (tmp_path / "detector.onnx").stat().st_size < 4e6
    detector = OneStageFaces.from_file(tmp_path / "detector.onnx", DetectorOptions(0.0))
    photos = [np.zeros((n, 50, 3), np.uint8) for n in (40, 40, 130)]
    assert len(detector.detect(photos)) == 3
