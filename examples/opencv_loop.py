"""A plain OpenCV loop with facegeo in it.

python examples/opencv_loop.py clip.mp4
python examples/opencv_loop.py 0                     # camera; q ends
python examples/opencv_loop.py clip.mp4 --no-window  # prints only

facegeo takes frames from any iterator, so the loop around cv2.VideoCapture stays yours.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np

from facegeo import FaceGeometry
from facegeo.errors import BackendUnavailableError, FacegeoError, UnreadableFileError
from facegeo.render.annotate import annotate


def frames(capture: cv2.VideoCapture, live: bool) -> Iterator[tuple[float, np.ndarray]]:
    """Seconds and BGR pictures: a camera's by the clock, a file's as the file states them."""
    start = time.monotonic()
    while True:
        there, image = capture.read()
        if not there:
            return
        now = time.monotonic() - start if live else capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        yield now, image


def check_display() -> None:
    """Raise BackendUnavailableError where OpenCV cannot open a window.

    Asked in another process: without a display, OpenCV's Qt does not fail, it ends its process.
    """
    program = "import cv2; cv2.namedWindow('facegeo'); cv2.waitKey(1)"
    if subprocess.run([sys.executable, "-c", program], capture_output=True).returncode != 0:
        raise BackendUnavailableError(
            "a window cannot be opened: there is no display, or OpenCV was installed without "
            "windows; --no-window needs none"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="video file or camera index")
    parser.add_argument("--model", default="default", help="an installed landmark model")
    parser.add_argument("--no-window", action="store_true", help="print poses, show nothing")
    options = parser.parse_args()
    live = options.source.isdigit()
    try:
        if not options.no_window:
            check_display()
        run(options.source, live, options.model, show=not options.no_window)
    except FacegeoError as error:
        print(f"opencv_loop.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def run(source: str, live: bool, model: str, show: bool) -> None:
    predictor = FaceGeometry(model)
    capture = cv2.VideoCapture(int(source) if live else source)
    try:
        if not capture.isOpened():
            raise UnreadableFileError(f"{source}: OpenCV cannot open it as a video")
        # live: always the newest picture; a file: every picture, in order
        mode = "live" if live else "offline"
        with predictor.stream(frames(capture, live), mode=mode) as stream:
            for frame in stream:
                for face in frame.faces:
                    pose = face.pose
                    print(
                        f"{frame.timestamp_s:8.3f} s  face {face.track_id}  yaw {pose.yaw:+6.1f}  "
                        f"pitch {pose.pitch:+6.1f}  roll {pose.roll:+6.1f}"
                    )
                if show:
                    cv2.imshow("facegeo", annotate(frame.image, frame.faces, ["landmarks", "id"]))
                    if cv2.waitKey(1) & 0xFF == ord("q"):
                        break
    finally:
        capture.release()
        if show:
            cv2.destroyAllWindows()


if __name__ == "__main__":
    sys.exit(main())
