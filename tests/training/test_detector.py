"""Scenes, assignment, loss and checkpoints of the detector's training."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegeo.errors import CorruptFileError, InvalidInputError  # noqa: E402
from facegeo.networks.one_stage import STRIDES, OneStageDetector, cells  # noqa: E402
from facegeo.training.detector.batches import Scenes, collate  # noqa: E402
from facegeo.training.detector.checkpoint import Checkpoint  # noqa: E402
from facegeo.training.detector.config import DetectorTraining  # noqa: E402
from facegeo.training.detector.loop import learning_rate  # noqa: E402
from facegeo.training.detector.matching import assign, detection_loss, overlap  # noqa: E402
from facegeo.training.detector.scenes import Composer, Scene, rotated_box  # noqa: E402
from facegeo.training.detector.sources import Backgrounds, Faces, complete_boxes  # noqa: E402

FACE_BOX = np.array([22, -3, 98, 99], np.float32)


@pytest.fixture(scope="module")
def composer():
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (4, 120, 120, 3), dtype=np.uint8)
    photos = [rng.integers(0, 256, (160, 240, 3), dtype=np.uint8) for _ in range(3)]
    ignored = [np.zeros((0, 4), np.float32)] * 3
    faces = Faces(crops, np.tile(FACE_BOX, (4, 1)))
    return Composer(faces, Backgrounds(("a", "b", "c"), photos, ignored))


def test_the_same_seed_composes_the_same_scenes_in_any_worker(composer):
    scenes = Scenes(composer, (128,), 2, (3, 0), 3)
    for a, b in zip(scenes, scenes, strict=True):
        assert torch.equal(a.photos, b.photos)
        assert torch.equal(a.boxes, b.boxes)


def test_counted_faces_lie_mostly_in_the_scene(composer):
    rng = np.random.default_rng(1)
    boxes = np.concatenate([composer.scene(192, rng).boxes for _ in range(60)])
    assert len(boxes) > 60
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert ((centre >= 0) & (centre <= 191)).all()
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    assert sides.min() < 24
    assert sides.max() > 120


def test_a_face_is_pasted_where_its_box_says():
    """A white disc fills the box of a black crop; the pasted pixels must fill the given box."""
    y, x = np.mgrid[:120, :120]
    inside = ((x - 60) / 30) ** 2 + ((y - 60) / 20) ** 2 <= 1
    crop = np.repeat((inside * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    faces = Faces(crop[None], np.array([[30, 40, 90, 80]], np.float32))
    photo = np.zeros((200, 300, 3), np.uint8)
    backgrounds = Backgrounds(("a",), [photo], [np.zeros((0, 4), np.float32)])
    for angle in (0.0, 30.0, -50.0):
        canvas = photo.copy()
        rng = np.random.default_rng(5)
        box = Composer(faces, backgrounds).paste(canvas, 0, (120.0, 90.0), 80.0, angle, rng)
        rows, columns = np.nonzero(canvas[:, :, 0] > canvas.max() // 2)
        drawn = [columns.min(), rows.min(), columns.max(), rows.max()]
        assert drawn == pytest.approx(box, abs=4)


def test_box_of_a_turned_ellipse():
    centre, size = np.zeros(2, np.float32), np.array([60.0, 100.0])
    assert rotated_box(centre, size, 90) == pytest.approx([-50, -30, 50, 30], abs=1e-4)
    diagonal = np.hypot(30, 50) / np.sqrt(2)
    assert rotated_box(centre, size, 45)[2:] == pytest.approx([diagonal] * 2, abs=1e-4)


def targets_of(boxes, ignored=(), side=512):
    centres, strides = cells(side, side)
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    holes = np.array(ignored, np.float32).reshape(-1, 4)
    batch = collate([Scene(np.zeros((side, side, 3), np.uint8), rows, holes)])
    return assign(batch.boxes, batch.valid, batch.ignored, centres, strides), centres, strides


@pytest.mark.parametrize("size", [14, 20, 40, 43, 44, 45, 90, 176, 180, 400])
def test_every_face_is_learnt_by_some_cell_of_a_fitting_scale(size):
    rng = np.random.default_rng(size)
    for x, y in rng.uniform(size / 4, 512 - size / 4, (50, 2)):
        box = [x - size / 2, y - size / 2, x + size / 2, y + size / 2]
        targets, _, strides = targets_of([box])
        used = strides[targets.positive[0]]
        # At the very border the last cell of the coarsest scale may be too far.
        if max(x, y) < 512 - STRIDES[-1]:
            assert len(used) >= 1
        assert ((size / used < 5.501) | (used == STRIDES[-1])).all()


def test_nothing_is_learnt_in_ignored_regions_and_everything_elsewhere():
    targets, centres, _ = targets_of([], [[100, 100, 300, 200]])
    inside = (centres >= torch.tensor([100, 100])) & (centres <= torch.tensor([300, 200]))
    assert torch.equal(targets.counted[0], ~inside.all(dim=1))
    assert not targets.positive.any()


def test_the_loss_vanishes_for_the_right_answer_and_only_for_it():
    targets, centres, strides = targets_of([[100, 100, 160, 180], [300, 300, 330, 330]])
    positive = targets.positive[0]
    logits = torch.where(positive, 20.0, -20.0)[None]
    reach = torch.ones(len(centres), 4)
    faces = targets.boxes[0]
    reach[:, :2] = torch.where(positive[:, None], centres - faces[:, :2], reach[:, :2])
    reach[:, 2:] = torch.where(positive[:, None], faces[:, 2:] - centres, reach[:, 2:])
    distances = (reach / (2 * strides[:, None])).log().T[None]
    right, parts = detection_loss(logits, distances, targets, centres, strides)
    assert float(right) == pytest.approx(0, abs=1e-4)
    assert parts["iou"] == pytest.approx(1, abs=1e-4)
    moved, _ = detection_loss(logits, distances + 0.3, targets, centres, strides)
    missed, _ = detection_loss(-logits, distances, targets, centres, strides)
    assert float(moved) > 0.1
    assert float(missed) > 0.1


def test_generalised_overlap_by_hand():
    a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1]])
    b = torch.tensor([[1.0, 0, 3, 2], [2, 0, 3, 1]])
    iou, generalised = overlap(a, b)
    assert iou.tolist() == pytest.approx([1 / 3, 0])
    assert generalised.tolist() == pytest.approx([1 / 3, -1 / 3])


def test_unsure_boxes_come_from_the_points():
    rng = np.random.default_rng(0)
    features = np.column_stack([np.ones(400), rng.normal(0, 1, (400, 3))])
    truth = (features @ rng.normal(0, 10, (4, 4))).astype(np.float32)
    scores = np.where(np.arange(400) % 4, 0.9, 0.1)
    given = np.where(scores[:, None] > 0.5, truth, 0).astype(np.float32)
    assert complete_boxes(given, scores, features) == pytest.approx(truth, abs=0.5)


def test_a_checkpoint_gives_everything_back(tmp_path):
    torch.manual_seed(0)
    network = OneStageDetector()
    state = Checkpoint.start(network, torch.optim.AdamW(network.parameters(), lr=0.1))
    photos = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)

    def step(run):
        logits, distances = run.network.raw(photos)
        run.optimiser.zero_grad()
        (logits.mean() + distances.square().mean()).backward()
        run.optimiser.step()
        run.advance(0.9)

    step(state)
    state.save(tmp_path / "c.safetensors")
    other = OneStageDetector()
    resumed = Checkpoint.start(other, torch.optim.AdamW(other.parameters(), lr=0.1))
    resumed.load(tmp_path / "c.safetensors")
    step(state)
    step(resumed)
    assert resumed.step == 2
    for a, b in zip(
        state.average.state_dict().values(), resumed.average.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
    (tmp_path / "bad.safetensors").write_bytes(b"0" * 64)
    with pytest.raises(CorruptFileError, match=r"bad\.safetensors"):
        resumed.load(tmp_path / "bad.safetensors")


def test_configuration_names_what_is_wrong(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text("crops: a\nbackgrounds: b\nrun: c\nsteps: 7\n")
    config = DetectorTraining.load(path)
    assert config.steps == 7
    assert config.crops == str((tmp_path / "a").resolve())
    path.write_text("crops: a\nbackgrounds: b\nrun: c\nstps: 7\n")
    with pytest.raises(InvalidInputError, match="stps"):
        DetectorTraining.load(path)
    path.write_text("crops: a\nrun: c\n")
    with pytest.raises(InvalidInputError, match="backgrounds"):
        DetectorTraining.load(path)


def test_rate_rises_then_falls():
    config = DetectorTraining("a", "b", "c", steps=1000, warmup=100, rate=1.0)
    rates = [learning_rate(step, config) for step in (0, 99, 100, 550, 1000)]
    assert rates == pytest.approx([0.01, 1, 1, 0.505, 0.01])
