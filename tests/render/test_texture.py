"""UV textures: what is seen, what is taken from the other side, what is filled."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo.errors import InvalidImageError, InvalidInputError
from facegeo.render import TexelSource, rasterize, sample_texture

SIZE = 96  # of the texture
HEIGHT, WIDTH = 160, 200


def sheet():
    """A flat square grid facing the viewer, symmetric in x, and its layout: u right, v up."""
    steps = np.linspace(0, 1, 9)
    u, v = (grid.ravel() for grid in np.meshgrid(steps, steps))
    index = np.arange(81).reshape(9, 9)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    # Counter-clockwise with v up.
    triangles = np.concatenate([np.stack([a, b, d], -1), np.stack([a, d, c], -1)]).reshape(-1, 3)
    vertices = np.column_stack([20 + 160 * u, 140 - 120 * v, np.zeros(81)]).astype(np.float32)
    mirror = index[:, ::-1].ravel()
    return vertices, triangles, np.column_stack([u, v]), mirror


def photo():
    """Smooth and symmetric about the sheet's middle, different in each channel."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    return np.dstack([np.abs(x - 100) * 2, y, 255 - y]).clip(0, 255).astype(np.uint8)


def expected_texture():
    centres = (np.arange(SIZE) + 0.5) / SIZE
    x, y = np.meshgrid(20 + 160 * centres, 140 - 120 * (1 - centres))
    return np.dstack([np.abs(x - 100) * 2, y, 255 - y])


def cover(*corners):
    """The sheet's raster with one triangle in front of it."""
    vertices, triangles, _, _ = sheet()
    front = np.array([[x, y, 50] for x, y in corners], np.float32)
    return rasterize(
        np.vstack([vertices, front]), np.vstack([triangles, [[81, 82, 83]]]), HEIGHT, WIDTH
    )


def test_a_sheet_gives_back_the_photo():
    vertices, triangles, uv, mirror = sheet()
    texture = sample_texture(photo(), vertices, triangles, uv, triangles, size=SIZE, mirror=mirror)
    assert (texture.source == TexelSource.SEEN).all()
    difference = texture.image - expected_texture()
    assert np.abs(difference).max() <= 2
    # Half a texel down would be 0.6 levels.
    assert np.abs(difference[..., 1].mean()) <= 0.2


LEFT = ((20, 20), (20, 140), (90, 20))


def test_occluded_texels_come_from_the_other_side_and_are_marked():
    vertices, triangles, uv, mirror = sheet()
    texture = sample_texture(
        photo(), vertices, triangles, uv, triangles, size=SIZE, mirror=mirror, raster=cover(*LEFT)
    )
    hidden = texture.source == TexelSource.MIRRORED
    assert 0.15 < hidden.mean() < 0.3
    assert not hidden[:, SIZE // 2 :].any()
    assert hidden[5, 5]
    assert (texture.source[~hidden] == TexelSource.SEEN).all()
    assert np.abs(texture.image - expected_texture()).max() <= 4


def test_mirrored_texels_take_on_the_light_of_their_side():
    vertices, triangles, uv, mirror = sheet()
    lit = photo().astype(int)
    lit[:, 100:] += 25  # one side is brighter; the hidden part is on the darker one
    lit = lit.clip(0, 255).astype(np.uint8)
    texture = sample_texture(
        lit, vertices, triangles, uv, triangles, size=SIZE, mirror=mirror, raster=cover(*LEFT)
    )
    hidden = texture.source == TexelSource.MIRRORED
    difference = np.abs(texture.image - expected_texture())[hidden]
    assert np.percentile(difference, 95) <= 6  # not 25


def test_without_symmetry_hidden_texels_are_continued():
    vertices, triangles, uv, _ = sheet()
    texture = sample_texture(
        photo(), vertices, triangles, uv, triangles, size=SIZE, raster=cover(*LEFT)
    )
    hidden = texture.source == TexelSource.FILLED
    assert 0.15 < hidden.mean() < 0.3
    assert not (texture.source == TexelSource.MIRRORED).any()
    seen = texture.image[~hidden]
    filled = texture.image[hidden]
    assert (filled >= seen.min(axis=0)).all()
    assert (filled <= seen.max(axis=0)).all()
    assert filled.std(axis=0).max() > 5  # not one colour


def test_layout_with_rows_of_its_own_and_empty_texels():
    vertices, triangles, uv, _ = sheet()
    reverse = np.arange(81)[::-1]
    texture = sample_texture(
        photo(), vertices, triangles, uv[reverse] * 0.5, 80 - triangles, size=SIZE
    )
    quarter = texture.source[SIZE // 2 :, : SIZE // 2]  # u and v below 0.5: lower left
    assert (quarter == TexelSource.SEEN).mean() > 0.95
    assert (texture.source[: SIZE // 2 - 1] == TexelSource.EMPTY).all()
    small = expected_texture().reshape(SIZE // 2, 2, SIZE // 2, 2, 3).mean(axis=(1, 3))
    assert np.abs(texture.image[SIZE // 2 :, : SIZE // 2] - small).mean() <= 2


def test_a_face_from_behind_or_outside_is_all_filled():
    vertices, triangles, uv, mirror = sheet()
    for placed in (vertices * np.float32([-1, 1, 1]) + [200, 0, 0], vertices + 1000):
        texture = sample_texture(
            photo(), placed, triangles, uv, triangles, size=SIZE, mirror=mirror
        )
        assert (texture.source == TexelSource.FILLED).all()
        assert np.isfinite(texture.image).all()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("image", np.zeros((4, 4)), InvalidImageError),
        ("vertices", np.full((81, 3), np.nan), InvalidInputError),
        ("uv", np.zeros((81, 3)), InvalidInputError),
        ("uv_triangles", np.zeros((5, 3), int), InvalidInputError),
        ("uv_triangles", np.full((128, 3), 81), InvalidInputError),
        ("size", 0, InvalidInputError),
        ("mirror", np.zeros(80, int), InvalidInputError),
        ("mirror", np.full(81, 81), InvalidInputError),
    ],
)
def test_refuses_bad_input(name, value, error):
    vertices, triangles, uv, mirror = sheet()
    arguments = {
        "image": photo(),
        "vertices": vertices,
        "triangles": triangles,
        "uv": uv,
        "uv_triangles": triangles,
        "mirror": mirror,
        "size": SIZE,
    }
    arguments[name] = value
    with pytest.raises(error, match=f"^{name}: expected"):
        sample_texture(**arguments)


def ridge() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A roof seen from the side, as a nose in profile: x up to 100, the far slope is hidden."""
    columns, rows = 65, 17
    across, along = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(0, 1, rows))
    x, y = 100 - 80 * np.abs(across), 20 + 100 * along
    vertices = np.stack([x, y, 100 * across], axis=-1).reshape(-1, 3).astype(np.float32)
    uv = np.stack([(across + 1) / 2, 1 - along], axis=-1).reshape(-1, 2).astype(np.float32)
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate(
        [np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))]
    )
    return vertices, triangles, uv, index[:, ::-1].ravel()


def test_what_lies_beside_a_face_does_not_get_onto_its_ridge():
    """A mesh whose outline is 1.5 % of the face too large shows no background in its texture."""
    vertices, triangles, uv, mirror = ridge()
    image = np.full((140, 140, 3), 200, np.uint8)
    image[:, 97:] = 0
    texture = sample_texture(image, vertices, triangles, uv, triangles, size=SIZE, mirror=mirror)
    assert (texture.source == TexelSource.SEEN).mean() > 0.4
    assert (texture.source == TexelSource.MIRRORED).mean() > 0.4
    assert texture.image.min() > 190
    # What is cut by the photo's border is no outline: with the ridge there nothing is left out.
    cut = image[:, :97]
    at_border = sample_texture(cut, vertices, triangles, uv, triangles, size=SIZE, mirror=mirror)
    filled = [(one.source == TexelSource.FILLED).sum() for one in (at_border, texture)]
    assert filled[0] < filled[1]
