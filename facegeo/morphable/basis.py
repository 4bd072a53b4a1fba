"""Parts of a morphable model: landmark rows with their bases, eyes, colours, how it mirrors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from facegeo.base.arrays import array_of
from facegeo.conventions import DEPTH_ORIGIN
from facegeo.errors import InvalidInputError
from facegeo.morphable.validation import ReadOnlyArrays, frozen, index_array, permutation

#: The layout of points that every model has: iBUG's 68.
IBUG68: Final = "ibug68"

#: Parts of the eyeballs, in the order of :class:`Eyes`.
EYE_PARTS: Final = ("eye_right", "eye_left")


@dataclass(frozen=True, eq=False)
class Mirror(ReadOnlyArrays):
    """Change of a model's coefficients and vertices when x is reflected.

    The face with coefficients (a, e), its x negated and its vertices reordered by ``vertices``, is
    the face with ``shape_sign * a[shape_index]`` and ``expression_sign * e[expression_index]``.

    Attributes
    ----------
    vertices : (V,) int64
        ``reflected[i] = points[vertices[i]]`` restores the vertex order; an involution.
    shape_index : (Ns,) int64
    shape_sign : (Ns,) float32, each +1 or -1
    expression_index : (Ne,) int64
    expression_sign : (Ne,) float32, each +1 or -1
    """

    vertices: np.ndarray
    shape_index: np.ndarray
    shape_sign: np.ndarray
    expression_index: np.ndarray
    expression_sign: np.ndarray

    def checked(self, num_vertices: int, num_shape: int, num_expression: int) -> Mirror:
        """This mirror in canonical dtypes, or :class:`InvalidInputError`."""
        sizes = {"shape": num_shape, "expression": num_expression}
        fields = {"vertices": permutation("mirror/vertices", self.vertices, num_vertices)}
        for kind, size in sizes.items():
            index, sign = f"{kind}_index", f"{kind}_sign"
            fields[index] = permutation(f"mirror/{index}", getattr(self, index), size)
            fields[sign] = frozen(array_of(f"mirror/{sign}", getattr(self, sign), (size,)))
            if not np.isin(fields[sign], (-1, 1)).all():
                raise InvalidInputError(f"mirror/{sign}: expected +1 or -1")
        return Mirror(**fields)

    def truncated(self, num_shape: int, num_expression: int) -> Mirror | None:
        """The mirror of the first modes; None where they do not mirror into each other."""
        shape_index = self.shape_index[:num_shape]
        expression_index = self.expression_index[:num_expression]
        if (shape_index >= num_shape).any() or (expression_index >= num_expression).any():
            return None
        return Mirror(
            vertices=self.vertices,
            shape_index=shape_index,
            shape_sign=self.shape_sign[:num_shape],
            expression_index=expression_index,
            expression_sign=self.expression_sign[:num_expression],
        )


def first_modes(model: Any, num_shape: int, num_expression: int) -> dict[str, Any]:
    """The fields of a model, or of its cage, that have a row a mode, with the first rows only."""
    fields: dict[str, Any] = {}
    for kind, count in (("shape", num_shape), ("expression", num_expression)):
        for name in (f"{kind}_basis", f"{kind}_names", f"{kind}_std"):
            value = getattr(model, name)
            fields[name] = None if value is None else value[:count]
    fields["mirror"] = model.mirror and model.mirror.truncated(num_shape, num_expression)
    return fields


@dataclass(frozen=True, eq=False)
class VertexTexture(ReadOnlyArrays):
    """A colour for every vertex, linear in coefficients of its own.

    Attributes
    ----------
    mean : (V, 3) float32
        RGB, 0 to 255.
    basis : (Nt, V, 3) float32
        Change for a coefficient of one; Nt may be 0.
    std : (Nt,) float32
        Standard deviation of each coefficient in the population.
    """

    mean: np.ndarray
    basis: np.ndarray
    std: np.ndarray

    def checked(self, num_vertices: int) -> VertexTexture:
        """This texture in canonical dtypes, or :class:`InvalidInputError`."""
        basis = array_of("texture/basis", self.basis, ("Nt", num_vertices, 3))
        return VertexTexture(
            mean=frozen(array_of("texture/mean", self.mean, (num_vertices, 3))),
            basis=frozen(basis),
            std=frozen(array_of("texture/std", self.std, (len(basis),))),
        )

    def colors(self, coefficients: np.ndarray) -> np.ndarray:
        """Colours of N faces, ``(N, V, 3)`` float32 RGB in 0..255, of ``(N, Nt)`` coefficients.

        Raises
        ------
        InvalidInputError
            If there are more or fewer coefficients than modes, or one is not finite.
        """
        coefficients = array_of("coefficients", coefficients, ("N", len(self.basis)))
        # x[n, v, c] = mean[v, c] + sum_t a[n, t] basis[t, v, c]
        colours = self.mean + np.tensordot(coefficients, self.basis, 1)
        return np.clip(colours, 0, 255, out=colours)


@dataclass(frozen=True, eq=False)
class Eyes(ReadOnlyArrays):
    """Eyeballs, the person's right one first; their triangles are the parts of these names.

    Attributes
    ----------
    centre : (2, 3) float32
        What they turn about, on the mean face, model units.
    radius : (2,) float32
        From there to the rim of the iris.
    iris : (2, K) int64
        Vertices: the middle of the pupil, then points around the iris.
    shape_basis : (Ns, 2, 3) float32
        How the centres move with the shape
    expression_basis : (Ne, 2, 3) float32
        and with the expression. Eyes that turn, as of ``eyeLookInLeft``, turn about their centre.
    """

    centre: np.ndarray
    radius: np.ndarray
    iris: np.ndarray
    shape_basis: np.ndarray
    expression_basis: np.ndarray

    def checked(self, num_vertices: int, num_shape: int, num_expression: int) -> Eyes:
        """These eyes in canonical dtypes, or :class:`InvalidInputError`."""
        bases = {"shape_basis": num_shape, "expression_basis": num_expression}
        fields = {
            "centre": array_of("eyes/centre", self.centre, (2, 3)),
            "radius": array_of("eyes/radius", self.radius, (2,)),
            "iris": index_array("eyes/iris", self.iris, (2, "K"), num_vertices),
        }
        for name, size in bases.items():
            fields[name] = array_of(f"eyes/{name}", getattr(self, name), (size, 2, 3))
        if not (fields["radius"] > 0).all():
            raise InvalidInputError("eyes/radius: expected positive numbers")
        return Eyes(**{name: frozen(array) for name, array in fields.items()})

    def truncated(self, num_shape: int, num_expression: int) -> Eyes:
        """The eyes of the model with its first modes only."""
        return dataclasses.replace(
            self,
            shape_basis=self.shape_basis[:num_shape],
            expression_basis=self.expression_basis[:num_expression],
        )

    def centres(self, shape: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Centres of N faces in the model frame, ``(N, 2, 3)`` float32.

        Parameters
        ----------
        shape : (N, Ns) float
        expression : (N, Ne) float

        Raises
        ------
        InvalidInputError
            If there are more or fewer coefficients than modes, or one is not finite.
        """
        shape = array_of("shape", shape, ("N", len(self.shape_basis)))
        expression = array_of("expression", expression, (len(shape), len(self.expression_basis)))
        moved = np.tensordot(shape, self.shape_basis, 1)
        moved += np.tensordot(expression, self.expression_basis, 1)
        return np.asarray(self.centre + moved)


#: How the names of expressions begin that 68 landmarks do not show: gaze, cheeks, tongue.
_UNSEEN: Final = ("eyeLook", "cheekPuff", "tongueOut")

#: The expression that opens the mouth, and the one that closes the lips of the open mouth.
_CLOSING: Final = ("jawOpen", "mouthClose")


@dataclass(frozen=True, eq=False)
class LandmarkBasis(ReadOnlyArrays):
    """A morphable model cut to its 68 landmarks, in landmark order; or to K points of a layout.

    Attributes
    ----------
    mean : (68, 3) float32, model units
    shape_basis : (Ns, 68, 3) float32
    expression_basis : (Ne, 68, 3) float32
    shape_std : (Ns,) float32
        Standard deviation of each coefficient in the population.
    expression_std : (Ne,) float32
    unit_mm : float
        Millimetres in one model unit.
    expression_range : (float, float) or None
        What an expression's coefficient may be; fits keep to it.
    expression_names : tuple of str
        One a mode, or empty.
    """

    mean: np.ndarray
    shape_basis: np.ndarray
    expression_basis: np.ndarray
    shape_std: np.ndarray
    expression_std: np.ndarray
    unit_mm: float
    expression_range: tuple[float, float] | None = None
    expression_names: tuple[str, ...] = ()

    @cached_property
    def unseen(self) -> np.ndarray:
        """True for expressions that landmarks do not show, ``(Ne,)`` bool: fits leave them."""
        unseen = [name.startswith(_UNSEEN) for name in self.expression_names]
        return np.array(unseen or [False] * len(self.expression_basis), bool)

    @property
    def one_sided(self) -> bool:
        """True where expressions begin at 0, as blendshapes do: 0 is then the face at rest."""
        return self.expression_range is not None and self.expression_range[0] == 0

    @property
    def closing(self) -> tuple[int, int] | None:
        """Expressions ``jawOpen`` and ``mouthClose``, if there are both and they are one-sided.

        Lips that close further than the jaw has opened them pass each other.
        """
        if not self.one_sided or not set(_CLOSING) <= set(self.expression_names):
            return None
        opens, closes = (self.expression_names.index(name) for name in _CLOSING)
        return opens, closes

    def points(
        self, shape: np.ndarray, expression: np.ndarray, pose: np.ndarray | None = None
    ) -> np.ndarray:
        """The points of N faces; the same face gives the same bits in any batch.

        Parameters
        ----------
        shape : (N, Ns) float32
        expression : (N, Ne) float32
        pose : (N, 3, 4) float32, optional
            Model units to the wanted frame.

        Returns
        -------
        (N, K, 3) float32
        """
        coefficients = np.concatenate([shape, expression], axis=1)
        # A product of its own for each face: the order of the sums, and so the last bit, does not
        # depend on how many faces there are, as it does in one product for all.
        offsets = coefficients[:, None] @ self._modes
        points = offsets.reshape(len(shape), len(self.mean), 3) + self.mean
        return points if pose is None else _transformed(points, pose)

    @cached_property
    def _modes(self) -> np.ndarray:
        """(Ns + Ne, 3 K): what :meth:`points` multiplies."""
        modes = np.concatenate([self.shape_basis, self.expression_basis])
        return modes.reshape(len(modes), 3 * len(self.mean))

    def depths(self, shape: np.ndarray, expression: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """Depth of the middle of the outer eye corners.

        Parameters
        ----------
        shape : (N, Ns) float32
        expression : (N, Ne) float32
        affine : (N, 3, 4) float32
            Model units to the frame in which depth is meant.

        Returns
        -------
        depths : (N,) float32
        """
        mean, shape_basis, expression_basis = self._eyes
        middle = mean + shape @ shape_basis + expression @ expression_basis
        return np.asarray((affine[:, 2, :3] * middle).sum(axis=1) + affine[:, 2, 3])

    @cached_property
    def _eyes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (3,) and bases (Ns, 3), (Ne, 3) of the middle of the outer eye corners."""
        rows = list(DEPTH_ORIGIN)
        return (
            self.mean[rows].mean(axis=0),
            self.shape_basis[:, rows].mean(axis=1),
            self.expression_basis[:, rows].mean(axis=1),
        )


def _transformed(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """``pose[n, :, :3] @ points[n, v] + pose[n, :, 3]``, added up in the order x, y, z, t."""
    columns = pose[:, None]  # (N, 1, 3, 4)
    moved = points[..., 0:1] * columns[..., 0]
    moved += points[..., 1:2] * columns[..., 1]
    moved += points[..., 2:3] * columns[..., 2]
    moved += columns[..., 3]
    return moved


def basis_at(model: Any, rows: np.ndarray) -> LandmarkBasis:
    """A morphable model cut to some of its vertices."""
    shape_std, expression_std = (
        np.ones(len(basis), np.float32) if std is None else std
        for basis, std in (
            (model.shape_basis, model.shape_std),
            (model.expression_basis, model.expression_std),
        )
    )
    return LandmarkBasis(
        mean=frozen(model.mean[rows]),
        shape_basis=frozen(model.shape_basis[:, rows]),
        expression_basis=frozen(model.expression_basis[:, rows]),
        shape_std=frozen(shape_std),
        expression_std=frozen(expression_std),
        unit_mm=model.unit_mm,
        expression_range=model.expression_range,
        expression_names=model.expression_names,
    )


def check_layout(known: Sequence[str], layout: str) -> None:
    """Refuse a layout that a model does not have."""
    if layout not in known:
        raise InvalidInputError(f"layout: expected one of {', '.join(known)}, got {layout!r}")
