"""Faces followed from frame to frame: who is who, where to look next, and smoothing."""

from facegeo.track.smoothing import FaceSmoother, Smoothing
from facegeo.track.tracker import Tracker, TrackerOptions

__all__ = ["FaceSmoother", "Smoothing", "Tracker", "TrackerOptions"]
