"""Pixels of random views, in batches on a device: warps, covers, colour, blur, noise, blocks, cuts.

All functions take and give images ``(N, 3, S, S)`` float32 BGR, 0 to 255, and compute on the device
that these are on; what is random was drawn before, but for the noise of single pixels. Pixel
centres are whole numbers: pixel x of a crop of side S lies at (x + 1/2) / S of its side.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch.nn import functional

#: Side of blur kernels, pixels.
KERNEL_SIDE = 11

#: Brightness of BGR.
_LUMA = (0.114, 0.587, 0.299)

#: Quantisation of JPEG's example tables (ITU-T T.81, annex K.1): brightness, colour.
_QUANTISATION = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 "
    "62 18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 "
    "98 112 100 103 99",
    "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 "
    "99" + 32 * " 99",
)
_BLOCK = 8

#: Borders of :func:`warped`: what lies beyond a crop.
BLACK, REPLICATED, REFLECTED = 0, 1, 2


def warped(
    images: torch.Tensor, matrices: torch.Tensor, borders: torch.Tensor, size: int
) -> torch.Tensor:
    """Move images by similarities and resize them to ``size``, with one interpolation.

    Parameters
    ----------
    images : (N, 3, S, S)
    matrices : (N, 2, 3) float64
        From the image's pixels to those of the view, both of side S.
    borders : (N,) integers
        :data:`BLACK`, :data:`REPLICATED` or :data:`REFLECTED`.
    """
    side = images.shape[-1]
    count = len(images)
    linear = torch.linalg.inv(matrices[:, :, :2])
    offset = -(linear @ matrices[:, :, 2:])[:, :, 0]
    # From -1..1 over the view to -1..1 over the image, both from border to border.
    half = side / 2
    offset = (linear.sum(dim=2) * (half - 0.5) + offset + 0.5) / half - 1
    theta = torch.cat([linear, offset[:, :, None]], dim=2).float()
    grid = functional.affine_grid(theta, [count, 3, size, size], align_corners=False)
    last = (side - 1) / side  # of the outermost pixel's centre
    for border, inside in ((REPLICATED, _clamped), (REFLECTED, _folded)):
        rows = torch.nonzero(borders == border)[:, 0]
        grid[rows] = inside(grid[rows], last)
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def _clamped(grid: torch.Tensor, last: float) -> torch.Tensor:
    return grid.clamp_(-last, last)


def _folded(grid: torch.Tensor, last: float) -> torch.Tensor:
    """Places beyond the outermost pixels, mirrored there."""
    return (grid.add_(last).remainder_(4 * last).sub_(2 * last).abs_().neg_()).add_(last)


def filtered(images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Each image with its own kernel ``(N, K, K)``; the border is reflected."""
    count, channels, height, width = images.shape
    reach = kernels.shape[-1] // 2
    padded = functional.pad(images, (reach,) * 4, mode="reflect")
    weights = kernels.to(images.dtype).repeat_interleave(channels, dim=0)[:, None]
    grouped = padded.reshape(1, count * channels, *padded.shape[2:])
    found = functional.conv2d(grouped, weights, groups=count * channels)
    return found.reshape(count, channels, height, width)


def gaussian_kernels(sigma: np.ndarray, side: int = KERNEL_SIDE) -> np.ndarray:
    """``(N, side, side)`` float32 kernels of these widths, pixels."""
    places = np.arange(side) - side // 2
    line = np.exp(-0.5 * (places / sigma[:, None]) ** 2)
    line /= line.sum(axis=1, keepdims=True)
    return (line[:, :, None] * line[:, None, :]).astype(np.float32)


def motion_kernels(length: np.ndarray, angle: np.ndarray, side: int = KERNEL_SIDE) -> np.ndarray:
    """``(N, side, side)`` float32 kernels of straight motion over ``length`` pixels."""
    places = np.arange(side) - side // 2
    columns, rows = np.meshgrid(places, places)
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    along, across = columns * cos + rows * sin, -columns * sin + rows * cos
    # A line one pixel wide, with soft edges.
    ends = np.clip(length[:, None, None] / 2 + 0.5 - np.abs(along), 0, 1)
    kernels = ends * np.clip(1 - np.abs(across), 0, 1)
    return (kernels / kernels.sum(axis=(1, 2), keepdims=True)).astype(np.float32)


def recoloured(
    images: torch.Tensor,
    saturation: torch.Tensor,
    gain: torch.Tensor,
    offset: torch.Tensor,
    tint: torch.Tensor,
) -> torch.Tensor:
    """Colour by one affine map an image.

    Parameters
    ----------
    saturation, gain, offset : (N,)
        Distance from grey; distance from the image's mean brightness; what is added, 0 to 255.
    tint : (N, 3)
        Factor of each channel.
    """
    luma = images.new_tensor(_LUMA)
    identity = torch.eye(3, device=images.device)
    mixed = saturation[:, None, None] * identity + (1 - saturation)[:, None, None] * luma
    matrix = tint[:, :, None] * gain[:, None, None] * mixed
    centre = images.mean(dim=(2, 3)) @ luma
    constant = tint * ((1 - gain) * centre + offset)[:, None]
    flat = torch.baddbmm(constant[:, :, None], matrix, images.flatten(2))
    return flat.reshape(images.shape).clamp(0, 255)


def covered(
    images: torch.Tensor,
    masks: torch.Tensor,
    fill: torch.Tensor,
    own: torch.Tensor,
    shift: torch.Tensor,
) -> torch.Tensor:
    """Images with patches over them.

    Parameters
    ----------
    masks : (N, S, S) bool
    fill : (N, 3, k, k)
        Colours of the patch, made larger smoothly.
    own : (N,) bool
        The patch shows the image itself, mirrored, from elsewhere instead.
    shift : (N, 2)
        Where from: to the right and down, in sides of the image.
    """
    size = images.shape[-1]
    patch = functional.interpolate(fill, (size, size), mode="bilinear", align_corners=False)
    places = torch.arange(size, device=images.device)
    steps = (shift * size).long()
    columns = (size - 1 - places + steps[:, :1]).remainder(size)
    rows = (places + steps[:, 1:]).remainder(size)
    patch = torch.where(own[:, None, None, None], _at(images, rows, columns), patch)
    return torch.where(masks[:, None], patch, images)


def patch_masks(boxes: torch.Tensor, round_: torch.Tensor, size: int) -> torch.Tensor:
    """Masks of patches, ``(N, size, size)`` bool.

    Parameters
    ----------
    boxes : (N, 4)
        ``xyxy`` in sides of the image.
    round_ : (N,) bool
        Ellipses instead of rectangles.
    """
    places = (torch.arange(size, device=boxes.device) + 0.5) / size
    low, high = boxes[:, :2], boxes[:, 2:]
    middle, half = (low + high) / 2, (high - low).clamp(min=1e-6) / 2
    x, y = ((places - middle[:, i : i + 1]) / half[:, i : i + 1] for i in (0, 1))
    x, y = x[:, None, :], y[:, :, None]
    inside = (x.abs() <= 1) & (y.abs() <= 1)
    return torch.where(round_[:, None, None], x.square() + y.square() <= 1, inside)


def cut_off(images: torch.Tensor, windows: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
    """Images of which only a window is left.

    Parameters
    ----------
    windows : (N, 4)
        ``xyxy`` in sides of the image.
    fill : (N,)
        Grey value around it; negative: the window's border is repeated.
    """
    size = images.shape[-1]
    places = torch.arange(size, device=images.device)
    low = (windows[:, :2] * size).round().long().clamp(0, size - 1)
    high = ((windows[:, 2:] * size).round().long() - 1).clamp(min=0).maximum(low)
    columns, rows = (places.clamp(low[:, i : i + 1], high[:, i : i + 1]) for i in (0, 1))
    outside = (rows != places)[:, None, :, None] | (columns != places)[:, None, None, :]
    plain = outside & (fill >= 0)[:, None, None, None]
    return torch.where(plain, fill[:, None, None, None], _at(images, rows, columns))


def _at(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Each image with its own choice of rows and columns ``(N, S)``."""
    size = images.shape[-1]
    taken = images.gather(2, rows[:, None, :, None].expand(-1, 3, -1, size))
    return taken.gather(3, columns[:, None, None, :].expand(-1, 3, size, -1))


def noisy(images: torch.Tensor, sigma: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images with noise of these standard deviations ``(N,)``."""
    noise = torch.randn(images.shape, device=images.device, generator=generator)
    return (images + sigma[:, None, None, None] * noise).clamp(0, 255)


def compressed(images: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Images as JPEG at ``(N,)`` qualities (1 to 100) would leave them, colour at half the size."""
    size = images.shape[-1]
    pad = -size % (2 * _BLOCK)
    padded = functional.pad(images, (0, pad, 0, pad), mode="replicate")
    to_ycc = images.new_tensor(_TO_YCC)
    ycc = torch.einsum("ij,njhw->nihw", to_ycc, padded)
    # libjpeg: factor in percent by which the example tables are scaled.
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    luma, chroma = (
        (table * percent / 100).add(0.5).floor().clamp(1, 255) for table in _tables(images.device)
    )
    brightness = _quantised(ycc[:, :1] - 128, luma)
    colour = _quantised(functional.avg_pool2d(ycc[:, 1:], 2), chroma)
    colour = functional.interpolate(colour, padded.shape[2:], mode="bilinear", align_corners=False)
    restored = torch.cat([brightness + 128, colour], dim=1)
    bgr = torch.einsum("ij,njhw->nihw", torch.linalg.inv(to_ycc), restored)
    return bgr[..., :size, :size].clamp(0, 255)


#: BGR to brightness and the two differences of colour (JFIF).
_TO_YCC = (_LUMA, (0.5, -0.331264, -0.168736), (-0.081312, -0.418688, 0.5))


def _quantised(channels: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
    """``(N, C, H, W)`` after a cosine transform of blocks of 8 and rounding to ``(N, 8, 8)``."""
    count, channel, height, width = channels.shape
    basis = _cosines(channels.device)
    shape = (count, channel, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    blocks = channels.reshape(shape).transpose(3, 4)  # (..., rows of blocks, columns, 8, 8)
    step = tables[:, None, None, None]
    coefficients = ((basis @ blocks @ basis.T) / step).round() * step
    return (basis.T @ coefficients @ basis).transpose(3, 4).reshape(channels.shape)


@functools.lru_cache(maxsize=4)
def _cosines(device: torch.device) -> torch.Tensor:
    """The orthonormal cosine transform (DCT-II) of 8 values, ``(8, 8)``."""
    places = np.arange(_BLOCK)
    basis = np.cos(np.pi * (places + 0.5) * places[:, None] / _BLOCK) * math.sqrt(2 / _BLOCK)
    basis[0] /= math.sqrt(2)
    return torch.from_numpy(basis.astype(np.float32)).to(device)


@functools.lru_cache(maxsize=4)
def _tables(device: torch.device) -> tuple[torch.Tensor, ...]:
    return tuple(
        torch.tensor([float(n) for n in text.split()], device=device).reshape(_BLOCK, _BLOCK)
        for text in _QUANTISATION
    )
