"""The shipped head's surface: closed where it should be, symmetric, nowhere folded."""

from __future__ import annotations

import numpy as np
import pytest
from head_archive import FLIP, Flips, shipped
from helpers.morphable_data import face_normals
from scipy import sparse
from scipy.sparse.csgraph import connected_components


def _edges(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=-1).reshape(-1, 2)
    return np.unique(np.sort(pairs, axis=1), axis=0, return_counts=True)


def test_size() -> None:
    head = shipped()
    assert 36_000 < len(head.mean) < 46_000
    assert 16_000 < head.region("face").sum() < 24_000


def test_skin_is_one_manifold_that_ends_at_the_neck() -> None:
    head = shipped()
    skin = np.isin(head.part, ["skin", "mouth_inside", "lid_lining"])
    triangles = head.fine.triangles[skin]
    edges, uses = _edges(triangles)
    assert uses.max() == 2
    graph = sparse.coo_matrix((np.ones(len(edges)), edges.T), (len(head.mean),) * 2)
    used = np.unique(triangles)
    count, _ = connected_components(graph.tocsr()[used][:, used], directed=False)
    assert count == 1
    border = edges[uses == 1]
    ends, degree = np.unique(border, return_counts=True)
    assert (degree == 2).all()
    assert head.mean[ends, 1].max() < -60
    loop = sparse.coo_matrix((np.ones(len(border)), border.T), (len(head.mean),) * 2)
    loops, _ = connected_components(loop.tocsr()[ends][:, ends], directed=False)
    assert loops == 1


@pytest.mark.parametrize("part", ["eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue"])
def test_parts_are_closed_or_have_a_simple_border(part: str) -> None:
    head = shipped()
    triangles = head.fine.triangles[head.part == part]
    edges, uses = _edges(triangles)
    assert uses.max() == 2
    if part.startswith("eye"):
        assert uses.min() == 2
        assert len(np.unique(triangles)) - len(edges) + len(triangles) == 2


def test_orientation_is_outward() -> None:
    head = shipped()
    for part in ("skin", "eye_left", "eye_right", "tongue"):
        corners = head.mean[head.fine.triangles[head.part == part]]
        volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
        assert volume > 0, part


def test_mirror_is_exact() -> None:
    head = shipped()
    mirror, arrays = head.mirror, head.arrays
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(mirror)))
    np.testing.assert_allclose(head.mean[mirror] * FLIP, head.mean, atol=1e-5)
    triangles = {tuple(t) for t in np.sort(head.fine.triangles, axis=1).tolist()}
    assert {tuple(t) for t in np.sort(mirror[head.fine.triangles], axis=1).tolist()} == triangles
    for kind, basis in (("shape", head.shape), ("expression", head.expression)):
        index, sign = arrays[f"mirror/{kind}_index"], arrays[f"mirror/{kind}_sign"]
        reflected = basis[:, mirror] * FLIP.astype(np.float32)
        step = arrays[f"cage/{kind}_scale"].max() / 32767
        np.testing.assert_allclose(reflected, basis[index] * sign[:, None, None], atol=2 * step)


def test_no_triangle_is_degenerate() -> None:
    head = shipped()
    area = 0.5 * np.linalg.norm(face_normals(head.mean, head.fine.triangles), axis=1)
    assert area.min() > 0.004


@pytest.fixture(scope="module")
def flips() -> Flips:
    head = shipped()
    return Flips(head.mean, head.fine.triangles)


def test_no_triangle_is_flipped_at_rest(flips: Flips) -> None:
    assert not flips(shipped().mean).any()


def test_no_expression_flips_a_triangle(flips: Flips) -> None:
    head = shipped()
    names = head.arrays["expression_names"]
    for name, offsets in zip(names, head.expression, strict=True):
        assert not flips(head.mean + offsets).any(), name


def _person(generator: np.random.Generator) -> np.ndarray:
    """A random person within two deviations."""
    head = shipped()
    amount = np.clip(generator.normal(size=len(head.shape)), -2, 2).astype(np.float32)
    return head.mean + np.tensordot(amount, head.shape, 1)


@pytest.mark.parametrize(
    "count", [40, pytest.param(1000, marks=pytest.mark.once)], ids=["some", "thousand"]
)
def test_no_person_within_two_deviations_has_a_flipped_triangle(flips: Flips, count: int) -> None:
    generator = np.random.default_rng(0)
    for _ in range(count):
        assert not flips(_person(generator)).any()


@pytest.mark.parametrize(
    "count", [40, pytest.param(1000, marks=pytest.mark.once)], ids=["some", "thousand"]
)
def test_people_with_three_expressions_have_no_flipped_triangle(flips: Flips, count: int) -> None:
    """Expressions add up: three may pull on one place."""
    head = shipped()
    names = head.arrays["expression_names"].tolist()
    generator = np.random.default_rng(1)
    for _ in range(count):
        person = _person(generator)
        amounts = {
            names[number]: generator.uniform() for number in generator.choice(52, 3, replace=False)
        }
        # What closes the lips of an open jaw needs one.
        if "mouthClose" in amounts:
            amounts["jawOpen"] = max(amounts.get("jawOpen", 0), amounts["mouthClose"])
        for name, amount in amounts.items():
            person += amount * head.expression[names.index(name)]
        assert not flips(person).any(), amounts


def test_a_triangle_that_is_turned_over_is_found(flips: Flips) -> None:
    head = shipped()
    row = int(head.arrays["landmarks/ibug68/rows"][30])
    near = np.linalg.norm(head.mean - head.mean[row], axis=1) < 3
    pulled = head.mean.copy()
    pulled[row] += 3 * (head.mean[near][np.argmin(head.mean[near, 2])] - head.mean[row])
    assert flips(pulled).any()
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    assert not flips(head.mean @ turn @ turn).any()
