import numpy as np
import pytest
from helpers.morphable_data import ellipsoid, random_poses, shared
from scipy.spatial.transform import Rotation

from facegeo.base import pickles
from facegeo.errors import InvalidInputError
from facegeo.morphable import MorphableModel, fitting
from facegeo.morphable.basis import LandmarkBasis
from facegeo.morphable.fitting import fit_landmarks
from facegeo.morphable.solver import similarity_transform


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return ellipsoid()


@pytest.fixture(scope="module")
def ict() -> MorphableModel:
    from facegeo.morphable.readers import read_upstream_model

    return read_upstream_model(shared("upstream", "ict_facekit", "ict_facekit_light.npz"))


def faces(
    model: MorphableModel, count: int, *, y_down: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random faces: shape, expression, pose and their exact landmarks."""
    rng = np.random.default_rng(3)
    shape = rng.normal(size=(count, model.num_shape))
    expression = rng.normal(size=(count, model.num_expression))
    pose = random_poses(count, y_down=y_down)
    return shape, expression, pose, model.landmarks(shape, expression, pose).astype(np.float64)


def rotation_error_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(Rotation.from_matrix(np.swapaxes(a, 1, 2) @ b).magnitude())


def test_similarity_transform_is_exact_at_any_rotation() -> None:
    rng = np.random.default_rng(0)
    pose = random_poses(100, y_down=False)
    source = rng.normal(size=(68, 3)) * 50
    target = source @ np.swapaxes(pose[:, :, :3], 1, 2) + pose[:, None, :, 3]
    scale, rotation, translation = similarity_transform(source, target, np.ones((100, 68)))
    np.testing.assert_allclose(scale[:, None, None] * rotation, pose[:, :, :3], atol=1e-10)
    np.testing.assert_allclose(translation, pose[:, :, 3], atol=1e-8)
    # A mirror image has no proper rotation: the answer is still one.
    _, rotation, _ = similarity_transform(source, target * (-1, 1, 1), np.ones((100, 68)))
    np.testing.assert_allclose(np.linalg.det(rotation), 1)


@pytest.mark.parametrize("frame", ["photo", "model"])
def test_exact_faces_are_recovered(model: MorphableModel, frame: str) -> None:
    shape, expression, pose, landmarks = faces(model, 80, y_down=frame == "photo")
    fit = model.fit(landmarks, frame=frame, landmark_noise_mm=0.01)
    np.testing.assert_allclose(fit.shape, shape, atol=0.02)
    np.testing.assert_allclose(fit.expression, expression, atol=0.02)
    np.testing.assert_allclose(fit.pose, pose, atol=0.05)
    again = model.landmarks(fit.shape, fit.expression, fit.pose)
    np.testing.assert_allclose(again, landmarks, atol=0.01)
    np.testing.assert_allclose(fit.residual, np.linalg.norm(again - landmarks, axis=2), atol=2e-3)
    # The pose is the similarity that its parts say, y turned round for the photo.
    flip = np.diag([1, -1 if frame == "photo" else 1, 1])
    np.testing.assert_allclose(
        flip @ (fit.scale[:, None, None] * fit.rotation), fit.pose[:, :, :3], atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.det(fit.rotation), 1)


def test_the_posterior_has_no_better_neighbour(model: MorphableModel) -> None:
    """The fit is the minimum of the stated objective, found here by a general optimiser."""
    from scipy.optimize import minimize

    noise = np.random.default_rng(5).normal(size=(1, 68, 3)) * 4
    # Squeezed, so that the fitted scale is not that of the mean face.
    landmarks = faces(model, 1, y_down=False)[3] * (1.5, 0.8, 1) + noise
    fit = model.fit(landmarks, frame="model", landmark_noise_mm=3.0)
    basis = model.landmark_basis
    modes = np.concatenate([basis.shape_basis, basis.expression_basis]).astype(np.float64)
    start, _, _ = similarity_transform(basis.mean.astype(np.float64), landmarks, np.ones((1, 68)))
    sigma = 3.0 * start[0]

    def objective(x: np.ndarray) -> float:
        turned = fit.rotation[0] @ Rotation.from_rotvec(x[:3]).as_matrix()
        face = basis.mean + np.einsum("m,mkj->kj", x[7:], modes)
        placed = fit.scale[0] * np.exp(x[3]) * face @ turned.T + fit.pose[0, :, 3] + x[4:7]
        return float(((placed - landmarks[0]) ** 2).sum() / sigma**2 + (x[7:] ** 2).sum())

    x0 = np.concatenate([np.zeros(7), fit.shape[0], fit.expression[0]])
    best = minimize(objective, x0, method="BFGS")
    assert objective(x0) - best.fun < 1e-5 * best.fun


def test_prior_pulls_towards_the_mean(model: MorphableModel) -> None:
    landmarks = faces(model, 30)[3] + np.random.default_rng(4).normal(size=(30, 68, 3))
    spread = [
        np.sqrt((model.fit(landmarks, landmark_noise_mm=noise).shape ** 2).mean())
        for noise in (1.0, 10.0, 1000.0)
    ]
    assert spread[0] > spread[1] > spread[2]
    assert spread[2] < 0.01


def test_units_of_the_model_do_not_matter(model: MorphableModel) -> None:
    """The same face in micrometres, its coefficients in micrometres too, as Basel's are."""
    landmarks = faces(model, 10)[3] + np.random.default_rng(4).normal(size=(10, 68, 3))
    basis = model.landmark_basis
    size = 2e5
    basel = LandmarkBasis(
        mean=basis.mean * 1000,
        shape_basis=basis.shape_basis * np.float32(1000 / size),
        expression_basis=basis.expression_basis * 1000,
        shape_std=basis.shape_std * np.float32(size),
        expression_std=basis.expression_std,
        unit_mm=0.001,
    )
    one, other = fit_landmarks(basis, landmarks), fit_landmarks(basel, landmarks)
    np.testing.assert_allclose(other.shape / size, one.shape, atol=1e-5)
    np.testing.assert_allclose(other.expression, one.expression, atol=1e-5)
    np.testing.assert_allclose(other.scale * 1000, one.scale, rtol=1e-6)


def test_given_rotation_is_kept(model: MorphableModel) -> None:
    shape, _, pose, landmarks = faces(model, 20)
    scale = np.linalg.norm(pose[:, 0, :3], axis=1)
    true = np.diag([1, -1, 1]) @ pose[:, :, :3] / scale[:, None, None]
    fit = model.fit(landmarks, rotation=true, landmark_noise_mm=0.01)
    np.testing.assert_array_equal(fit.rotation, true)
    np.testing.assert_allclose(fit.shape, shape, atol=0.02)
    turned = true @ Rotation.from_euler("y", 5, degrees=True).as_matrix()
    np.testing.assert_array_equal(model.fit(landmarks, rotation=turned).rotation, turned)


def test_points_of_weight_zero_do_not_count(model: MorphableModel) -> None:
    _, _, _, landmarks = faces(model, 10)
    weights = np.ones((10, 68))
    weights[:, 5:25] = 0
    wild = landmarks.copy()
    wild[:, 5:25] += 500
    one, other = (model.fit(points, weights=weights) for points in (landmarks, wild))
    np.testing.assert_array_equal(one.shape, other.shape)
    np.testing.assert_array_equal(one.pose, other.pose)


def test_robust_fit_ignores_wrong_points(model: MorphableModel) -> None:
    _, _, _, landmarks = faces(model, 40)
    rng = np.random.default_rng(6)
    noisy = landmarks + rng.normal(size=landmarks.shape) * 0.3
    wrong = np.zeros((40, 68), bool)
    wrong[:, ::8] = True
    noisy[wrong] += rng.normal(size=(wrong.sum(), 3)) * 60
    error = {}
    for robust in (False, True):
        fit = model.fit(noisy, robust=robust, landmark_noise_mm=0.5)
        placed = model.landmarks(fit.shape, fit.expression, fit.pose)
        error[robust] = np.linalg.norm(placed - landmarks, axis=2)[~wrong].mean()
    assert error[True] < 0.4  # about the noise of the good points
    assert error[False] > 10 * error[True]
    assert np.median(fit.weights[wrong]) < 0.01 * np.median(fit.weights[~wrong])


def test_batches_do_not_change_results(
    model: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, _, landmarks = faces(model, 7)
    whole = model.fit(landmarks)
    monkeypatch.setattr(fitting, "_CHUNK", 3)
    parts = model.fit(landmarks)
    np.testing.assert_allclose(parts.shape, whole.shape, atol=1e-6)
    np.testing.assert_allclose(parts.pose, whole.pose, atol=1e-4)
    none = model.fit(np.zeros((0, 68, 3)))
    assert (len(none), none.shape.shape, none.pose.shape) == (0, (0, 6), (0, 3, 4))


def test_mean_face_alone(model: MorphableModel) -> None:
    _, _, _, landmarks = faces(model, 3)
    fit = model.truncated(0, 0).fit(landmarks)
    assert fit.shape.shape == (3, 0)
    assert (fit.residual < 60).all()


def test_frames_of_one_person_share_a_shape(model: MorphableModel) -> None:
    """Noise averages out over frames; failed frames and points do no harm."""
    rng = np.random.default_rng(8)
    count = 30
    shape = np.repeat(rng.normal(size=(1, 6)), count, axis=0)
    expression = rng.normal(size=(count, 3))
    pose = random_poses(count)
    landmarks = model.landmarks(shape, expression, pose).astype(np.float64)
    size = np.linalg.norm(pose[:, 0, :3], axis=1)[:, None, None]  # pixels a millimetre
    noisy = landmarks + rng.normal(size=landmarks.shape) * 3 * size
    single = model.fit(noisy, landmark_noise_mm=3.0)
    clean = model.fit_shared_shape(noisy, landmark_noise_mm=3.0)
    np.testing.assert_array_equal(clean.shape, np.repeat(clean.shape[:1], count, axis=0))
    error = np.abs(clean.shape[0] - shape[0]).max()
    assert error < 0.5 * np.abs(single.shape - shape).max(axis=1).mean()

    noisy[:5] += rng.normal(size=(5, 68, 3)) * 100  # frames where detection failed
    noisy[5:15, 10:14] += 80  # points that a hand hides
    damaged = model.fit_shared_shape(noisy, landmark_noise_mm=3.0)
    assert np.abs(damaged.shape[0] - shape[0]).max() < 2 * error
    assert (damaged.frame_weights[:5] < 0.01).all()
    assert (damaged.frame_weights[5:] == 1).all()
    np.testing.assert_allclose(damaged.expression[15:], clean.expression[15:], atol=0.5)
    assert rotation_error_deg(damaged.rotation[15:], clean.rotation[15:]).max() < 2


def test_the_prior_counts_once_for_the_shared_shape(model: MorphableModel) -> None:
    """Sixteen equal frames are one frame with a quarter of the noise."""
    bare = model.truncated(6, 0)
    landmarks = faces(bare, 1)[3]
    shared_fit = bare.fit_shared_shape(np.repeat(landmarks, 16, axis=0), landmark_noise_mm=16.0)
    one = bare.fit(landmarks, robust=True, landmark_noise_mm=4.0)
    other = bare.fit(landmarks, robust=True, landmark_noise_mm=16.0)
    closeness = np.abs(shared_fit.shape[0] - one.shape[0]).max()
    assert closeness < 0.1 * np.abs(other.shape[0] - one.shape[0]).max()


def test_one_shared_frame_is_a_robust_fit(model: MorphableModel) -> None:
    landmarks = faces(model, 1)[3]
    one = model.fit_shared_shape(landmarks)
    np.testing.assert_allclose(one.shape, model.fit(landmarks, robust=True).shape, atol=1e-3)


@pytest.mark.parametrize(
    ("landmarks", "options", "message"),
    [
        (np.zeros((2, 68, 3)), {}, "all 68 points coincide in the face at index 0"),
        (np.zeros((68, 3)), {}, r"landmarks_3d: expected shape \(N, 68, 3\), got \(68, 3\)"),
        (np.full((1, 68, 3), np.nan), {}, "landmarks_3d: expected finite"),
        (np.eye(68, 3)[None], {"frame": "world"}, "frame: expected one of"),
        (np.eye(68, 3)[None], {"weights": np.zeros((1, 68))}, "at least 4 points"),
        (np.eye(68, 3)[None], {"weights": -np.ones((1, 68))}, "weights: expected numbers >= 0"),
        (np.eye(68, 3)[None], {"weights": np.ones(68)}, "weights: expected shape"),
        (np.eye(68, 3)[None], {"rotation": np.eye(3)}, "rotation: expected shape"),
        (np.eye(68, 3)[None], {"landmark_noise_mm": 0}, "landmark_noise_mm: expected a positive"),
    ],
)
def test_bad_input_is_named(
    model: MorphableModel, landmarks: np.ndarray, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        model.fit(landmarks, **options)


def test_no_frames(model: MorphableModel) -> None:
    with pytest.raises(InvalidInputError, match="at least one frame"):
        model.fit_shared_shape(np.zeros((0, 68, 3)))


def reference_landmarks() -> tuple[np.ndarray, np.ndarray]:
    """The 500 reference faces in crop pixels, and the size of each face's box."""
    with np.load(shared("reference", "mb05_aflw2000_dev.npz")) as archive:
        landmarks = np.swapaxes(archive["landmarks_crop_px"], 1, 2).astype(np.float64)
    return landmarks, np.sqrt(np.prod(np.ptp(landmarks[..., :2], axis=1), axis=1))


@pytest.mark.parametrize(
    ("num_shape", "num_expression", "noise_mm", "percent", "tolerance"),
    [(0, 0, 2.0, 6.2, 0.1), (40, 0, 3.5, 3.1, 0.15), (40, 53, 2.0, 1.63, 0.1)],
)
def test_ict_facekit_fits_the_reference_faces(
    ict: MorphableModel,
    num_shape: int,
    num_expression: int,
    noise_mm: float,
    percent: float,
    tolerance: float,
) -> None:
    landmarks, size = reference_landmarks()
    fit = ict.truncated(num_shape, num_expression).fit(landmarks, landmark_noise_mm=noise_mm)
    residual = 100 * (fit.residual.mean(axis=1) / size).mean()
    assert residual == pytest.approx(percent, abs=tolerance)


def test_basel_landmarks_are_explained_by_basel() -> None:
    """The reference faces come from these 68 rows, so they are fitted almost exactly.

    Not quite: upstream's 3x4 matrices are no similarities.
    """
    folder = shared("upstream", "3ddfa")
    std = pickles.load(folder / "param_whitening.pkl")["param_std"]
    modes = [
        np.loadtxt(folder / f"{name}_base.txt").reshape(204, -1).T.reshape(-1, 68, 3)
        for name in ("u", "w_shp", "w_exp")
    ]
    basis = LandmarkBasis(modes[0][0], modes[1], modes[2], std[12:52], std[52:], 0.001)
    landmarks, size = reference_landmarks()
    fit = fit_landmarks(basis, landmarks, landmark_noise_mm=0.5)
    assert 100 * (fit.residual.mean(axis=1) / size).mean() < 0.15
