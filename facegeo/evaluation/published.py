"""Figures that papers report, as rows for the tables of ``facegeo eval``.

SynergyNet: Wu, Xu, Neumann, 3DV 2021. M3-LRN: its earlier form, of the same authors and year. The
rows of other methods are as these two papers quote them.
"""

from __future__ import annotations

from typing import Final

#: Method -> figures, in the order of the table's columns.
Rows = dict[str, tuple[float, ...]]

#: NME in percent of 68 points, AFLW2000-3D, original annotation: 0-30, 30-60, 60-90, mean.
AFLW2000_ORIGINAL_SOURCE: Final = "SynergyNet, Table 4"
AFLW2000_ORIGINAL: Final[Rows] = {
    "ESR": (4.60, 6.70, 12.67, 7.99),
    "3DDFA": (3.43, 4.24, 7.17, 4.94),
    "Dense Corr": (3.62, 6.06, 9.56, 6.41),
    "3DSTN": (3.15, 4.33, 5.98, 4.49),
    "3D-FAN": (3.16, 3.53, 4.60, 3.76),
    "3DDFA-PAMI": (2.84, 3.57, 4.96, 3.79),
    "PRNet": (2.75, 3.51, 4.61, 3.62),
    "2DASL": (2.75, 3.46, 4.45, 3.55),
    "3DDFA-V2 (MR)": (2.75, 3.49, 4.53, 3.59),
    "3DDFA-V2 (MRS)": (2.63, 3.42, 4.48, 3.51),
    "SynergyNet": (2.65, 3.30, 4.27, 3.41),
}

#: The same with the reannotated points of LS3D-W.
AFLW2000_REANNOTATED_SOURCE: Final = "SynergyNet, Table S2"
AFLW2000_REANNOTATED: Final[Rows] = {
    "DHM": (2.28, 3.10, 6.95, 4.11),
    "3DDFA": (2.84, 3.52, 5.15, 3.83),
    "PRNet": (2.35, 2.78, 4.22, 3.11),
    "MGCNet": (2.72, 3.12, 3.76, 3.20),
    "Deng et al": (2.56, 3.11, 4.45, 3.37),
    "3DDFA-V2": (2.84, 3.03, 4.13, 3.33),
    "SynergyNet": (2.05, 2.49, 3.52, 2.65),
}

#: Mean absolute error in degrees, AFLW2000-3D: yaw, pitch, roll, mean.
AFLW2000_POSE_SOURCE: Final = "SynergyNet, Table 8"
AFLW2000_POSE: Final[Rows] = {
    "PnP-landmark": (5.92, 11.76, 8.27, 8.65),
    "FAN-12 point": (6.36, 12.30, 8.71, 9.12),
    "HopeNet": (6.47, 6.56, 5.44, 6.16),
    "SSRNet-MD": (5.14, 7.09, 5.89, 6.01),
    "FSANet": (4.50, 6.08, 4.64, 5.07),
    "QuatNet": (3.97, 5.62, 3.92, 4.15),
    "TriNet": (4.20, 5.77, 4.04, 3.97),
    "RankPose": (2.99, 4.75, 3.25, 3.66),
    "3DDFA-TPAMI": (4.33, 5.98, 4.30, 4.87),
    "2DASL": (3.85, 5.06, 3.50, 4.13),
    "3DDFA-V2": (4.06, 5.26, 3.48, 4.27),
    "SynergyNet": (3.42, 4.09, 2.55, 3.35),
}

#: NME in percent of 21 points, AFLW full set: 0-30, 30-60, 60-90, mean.
AFLW21_SOURCE: Final = "SynergyNet, Table 5"
AFLW21: Final[Rows] = {
    "ESR": (5.66, 7.12, 11.94, 8.24),
    "3DDFA": (4.75, 4.83, 6.39, 5.32),
    "3D-FAN": (4.40, 4.52, 5.17, 4.69),
    "3DSTN": (3.55, 3.92, 5.21, 4.23),
    "3DDFA-PAMI": (4.11, 4.38, 5.16, 4.55),
    "PRNet": (4.19, 4.69, 5.45, 4.77),
    "3DDFA-V2": (3.98, 4.31, 4.99, 4.43),
    "SynergyNet": (3.76, 3.92, 4.48, 4.06),
}

#: Mean absolute error in degrees, BIWI: yaw, pitch, roll, mean.
BIWI_SOURCE: Final = "M3-LRN, Table S2"
BIWI: Final[Rows] = {
    "HopeNet (alpha 1)": (4.81, 6.61, 3.27, 4.90),
    "HopeNet (alpha 2)": (5.17, 6.98, 3.39, 5.18),
    "SSR-Net-MD": (4.49, 6.31, 3.61, 4.65),
    "FSA-Caps-Fusion": (4.27, 4.96, 2.76, 4.00),
    "M3-LRN": (3.99, 4.78, 2.93, 3.90),
}
