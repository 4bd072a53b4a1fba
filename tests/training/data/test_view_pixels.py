"""Pixels on a device, beside OpenCV's of the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from facegeo.training.data import pixels
from facegeo.training.data.similarity import similarities


def smooth_crops(count: int, seed: int = 0) -> np.ndarray:
    """Crops (N, 120, 120, 3) float32 with soft colours everywhere."""
    noise = np.random.default_rng(seed).uniform(0, 255, (count, 120, 120, 3)).astype(np.float32)
    crops = np.stack([cv2.GaussianBlur(image, (0, 0), 3) for image in noise])
    return np.asarray((crops - crops.min()) / np.ptp(crops) * 255, np.float32)


def on_device(crops: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()


def back(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("size", [120, 96, 64])
def test_warps_are_those_of_opencv_with_all_borders(size):
    crops = smooth_crops(6)
    rng = np.random.default_rng(1)
    matrices = similarities(
        rng.uniform(-40, 40, 6), rng.uniform(0.8, 1.3, 6), rng.uniform(-30, 30, (6, 2))
    )
    borders = [pixels.BLACK, pixels.REPLICATED, pixels.REFLECTED] * 2
    found = back(
        pixels.warped(on_device(crops), torch.from_numpy(matrices), torch.tensor(borders), size)
    )
    ratio = size / 120
    of_opencv = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)
    for crop, matrix, border, image in zip(crops, matrices, borders, found, strict=True):
        resize = np.array([[ratio, 0, (ratio - 1) / 2], [0, ratio, (ratio - 1) / 2]])
        whole = resize[:, :2] @ matrix
        whole[:, 2] += resize[:, 2]
        flags = {"flags": cv2.INTER_LINEAR, "borderMode": of_opencv[border]}
        expected = cv2.warpAffine(crop, whole, (size, size), **flags)
        assert np.abs(image - expected).max() < 0.05


def test_blur_is_that_of_opencv():
    crops = smooth_crops(4)
    sigma = np.array([0.5, 1.0, 1.6, 2.0])
    kernels = torch.from_numpy(pixels.gaussian_kernels(sigma))
    found = back(pixels.filtered(on_device(crops), kernels))
    for crop, width, image in zip(crops, sigma, found, strict=True):
        side = (pixels.KERNEL_SIDE, pixels.KERNEL_SIDE)
        assert np.abs(image - cv2.GaussianBlur(crop, side, width)).max() < 0.1


def test_motion_smears_along_its_direction():
    spot = torch.zeros(2, 3, 41, 41)
    spot[:, :, 20, 20] = 100
    kernels = pixels.motion_kernels(np.array([7.0, 7.0]), np.array([0.0, np.pi / 2]))
    along, down = (
        np.argwhere(image[..., 0] > 5)
        for image in back(pixels.filtered(spot, torch.from_numpy(kernels)))
    )
    assert np.ptp(along, axis=0).tolist() == [0, 6] and np.ptp(down, axis=0).tolist() == [6, 0]


def test_colour_is_saturation_contrast_brightness_and_tint():
    crop = smooth_crops(1)[0] * 0.4 + 70
    saturation, gain, offset, tint = 0.6, 1.2, 9.0, np.array([1.05, 0.97, 1.0])
    grey = crop @ np.array([0.114, 0.587, 0.299])
    mixed = grey[..., None] + saturation * (crop - grey[..., None])
    expected = (gain * (mixed - grey.mean()) + grey.mean() + offset) * tint
    arguments = (torch.tensor([v], dtype=torch.float32) for v in (saturation, gain, offset))
    found = pixels.recoloured(on_device(crop[None]), *arguments, torch.tensor(tint[None]).float())
    assert np.abs(back(found)[0] - expected).max() < 0.02


def test_images_without_saturation_are_grey():
    one = torch.ones(1)
    found = back(
        pixels.recoloured(on_device(smooth_crops(1)), 0 * one, one, 0 * one, torch.ones(1, 3))
    )
    assert np.ptp(found, axis=3).max() < 1e-3


@pytest.mark.parametrize(("size", "quality"), [(96, 20), (120, 45), (100, 70)])
def test_compression_is_nearly_that_of_a_jpeg_file(size, quality):
    crop = smooth_crops(1, seed=3)[0][:size, :size]
    crop += np.random.default_rng(0).normal(0, 12, crop.shape).astype(np.float32)
    crop = np.clip(np.rint(crop), 0, 255)
    found = back(pixels.compressed(on_device(crop[None]), torch.tensor([float(quality)])))[0]
    data = cv2.imencode(".jpg", crop.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    expected = cv2.imdecode(data, cv2.IMREAD_COLOR).astype(np.float32)
    lost, apart = np.abs(expected - crop).mean(), np.abs(found - expected).mean()
    assert lost > 4 and apart < 0.25 * lost


def test_noise_has_its_standard_deviation():
    grey = torch.full((2, 3, 120, 120), 128.0)
    generator = torch.Generator().manual_seed(0)
    found = pixels.noisy(grey, torch.tensor([3.0, 12.0]), generator)
    assert found.std(dim=(1, 2, 3)).tolist() == pytest.approx([3, 12], rel=0.02)


def test_patches_lie_in_their_boxes():
    boxes = torch.tensor([[0.25, 0.5, 0.75, 1.0], [0.25, 0.5, 0.75, 1.0]])
    masks = pixels.patch_masks(boxes, torch.tensor([False, True]), 40).numpy()
    rows, columns = np.nonzero(masks[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 39, 10, 29)
    assert masks[0].sum() == 400 and abs(masks[1].sum() - 100 * np.pi) < 10
    assert not (masks[1] & ~masks[0]).any()


def test_patches_show_a_colour_or_the_image_from_elsewhere():
    images = on_device(smooth_crops(2))
    masks = torch.zeros(2, 120, 120, dtype=torch.bool)
    masks[:, 30:60, 40:80] = True
    fill = torch.full((2, 3, 4, 4), 77.0)
    own, shift = torch.tensor([False, True]), torch.tensor([[0.0, 0.0], [0.5, 0.25]])
    found = pixels.covered(images, masks, fill, own, shift)
    assert (found[0][:, masks[0]] - 77).abs().max() < 1e-3
    assert torch.equal(found[:, :, :30], images[:, :, :30])
    # mirrored, half the side to the right, a quarter down
    assert torch.equal(found[1, :, 45, 50], images[1, :, 45 + 30, (119 - 50 + 60) % 120])


def test_what_a_border_cuts_off_is_filled():
    images = on_device(smooth_crops(3))
    windows = torch.tensor([[0.25, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.5], [0.0, 0.5, 1.0, 1.0]])
    found = pixels.cut_off(images, windows, torch.tensor([0.0, 120.0, -1.0]))
    assert (found[0, :, :, :30] == 0).all() and torch.equal(
        found[0, :, :, 30:], images[0, :, :, 30:]
    )
    assert (found[1, :, 60:] == 120).all() and torch.equal(found[1, :, :60], images[1, :, :60])
    assert torch.equal(found[2, :, 10], images[2, :, 60])
    assert torch.equal(found[2, :, 60:], images[2, :, 60:])
