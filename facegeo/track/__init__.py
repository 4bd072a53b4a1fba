"""Faces followed from frame to frame: who is who, where to look next, and smoothing."""

from facegeo.track.options import TrackerOptions
from facegeo.track.smoothing import FaceSmoother, Smoothing
from facegeo.track.tracker import Tracker

__all__ = ["FaceSmoother", "Smoothing", "Tracker", "TrackerOptions"]
