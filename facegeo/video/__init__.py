"""Video: frames from anywhere, faces with stable ids out, annotated files.

The data flow: a source (:mod:`facegeo.video.sources`) is read in a thread of its own
(:mod:`facegeo.video.reader`), its faces are followed (:mod:`facegeo.track`), and frame after frame
is handed to the caller (:mod:`facegeo.video.stream`). Decoding needs the extra ``[video]``.
"""

from facegeo.video.stream import FaceStream, StreamFrame

__all__ = ["FaceStream", "StreamFrame"]
