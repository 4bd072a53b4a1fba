"""Axes, pixels, angle signs and point order: the one text on conventions, and its index tables.

Letters for array axes: N faces, K = 68 landmarks, V vertices, F triangles, P parameters,
S = 120 crop side, H x W photo height and width. Points are rows: ``(N, K, 3)``, ``(N, V, 3)``.

Photo pixels
    x right, y down, origin at the *centre* of the top-left pixel, z in the same unit and larger
    towards the viewer. This frame is left-handed. Boxes are ``xyxy`` in it. Photos are BGR uint8
    unless an argument says otherwise. Depth is counted from the middle of the outer eye corners
    (:data:`DEPTH_ORIGIN`), whatever the network and wherever its crop lay: there ``landmarks``,
    ``coarse_landmarks`` and both meshes have z = 0.

Crop pixels
    The same axes in a square crop of side S; depth has the network's own origin here. How crop
    pixels map to photo pixels belongs to each model (``exact`` or ``3ddfa``, see
    :mod:`facegeo.geometry.crop`) and is written in its card.

Model frame
    Right-handed: x to the right in the image of a face that looks at the viewer, y up, z to the
    viewer. Morphable models and ``Pose.rotation`` live in it: a rotation takes model axes to camera
    axes (x right, y up, z to the viewer).

Parameters
    The numbers of a network are 12 pose (a 3x4 matrix in row order: scaled rotation | translation,
    model units to crop pixels with y up), then the shape and the expression coefficients of its
    face model: P = 12 + Ns + Ne, which is 62 with 40 and 10 as in 3DDFA and SynergyNet.

Angles
    In degrees at the surface. ``R = Rx(pitch) Ry(yaw) Rz(roll)`` with the elementary matrices of
    :func:`facegeo.geometry.pose.rotation_from_euler`, which are those of 3DDFA and of AFLW2000-3D's
    ``Pose_Para``.

    - yaw   > 0: the face turns towards the image's left (the person looks to their own right);
    - pitch > 0: the face looks up;
    - roll  > 0: the head leans towards the image's right, clockwise as the viewer sees it.

    At yaw of +-90 degrees only a combination of pitch and roll is defined; roll is then 0.

Landmarks
    The 68 points of iBUG / Multi-PIE in that order, zero-based here. ``coarse_landmarks`` are rows
    of ``coarse_mesh``; ``landmarks`` are the network's refined points where it has refinement, else
    the coarse ones. "Left" and "right" in the names below are the person's own.
"""

from __future__ import annotations

import numpy as np

NUM_LANDMARKS = 68

#: Landmarks whose middle has depth 0: the outer corners of the eyes.
DEPTH_ORIGIN = (36, 45)
NUM_POSE = 12

#: Modes of the parameters that 3DDFA and SynergyNet speak, and the networks that ship. Other face
#: models have other numbers: a model's, a network's or a card's own say which.
NUM_SHAPE = 40
NUM_EXPRESSION = 10
NUM_PARAMS = NUM_POSE + NUM_SHAPE + NUM_EXPRESSION

#: Ranges of the 68 points. The person's right is on the left of the image.
LANDMARK_REGIONS: dict[str, range] = {
    "jaw": range(0, 17),
    "right_eyebrow": range(17, 22),
    "left_eyebrow": range(22, 27),
    "nose_bridge": range(27, 31),
    "nose_base": range(31, 36),
    "right_eye": range(36, 42),
    "left_eye": range(42, 48),
    "outer_lips": range(48, 60),
    "inner_lips": range(60, 68),
}

#: Regions that are drawn as closed curves.
CLOSED_REGIONS = frozenset({"right_eye", "left_eye", "outer_lips", "inner_lips"})

#: ``mirrored_points[i] = points[LANDMARK_MIRROR[i]]`` restores the order after a horizontal flip.
LANDMARK_MIRROR = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ],
    dtype=np.int64,
)

#: AFLW's 21 points, each the mean of these of the 68 (zero-based).
AFLW21_FROM_68: tuple[tuple[int, ...], ...] = (
    (17,),
    (19,),
    (21,),
    (22,),
    (24,),
    (26,),
    (36,),
    tuple(range(36, 42)),
    (39,),
    (42,),
    tuple(range(42, 48)),
    (45,),
    (2,),
    (31,),
    (30,),
    (35,),
    (14,),
    (48,),
    tuple(range(60, 68)),
    (54,),
    (8,),
)
