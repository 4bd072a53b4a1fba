"""Decoding through PyAV: frames as they are meant to be seen, with the container's own times."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facegeo.errors import (
    CorruptFileError,
    DependencyMissingError,
    InvalidInputError,
    UnreadableFileError,
)
from facegeo.video.pixels import FrameConverter

_log = logging.getLogger(__name__)

#: A file whose last frame ends this much before the stated end (seconds, part of all) was cut.
_MISSING_END_S, _MISSING_END = 0.25, 0.1

#: Formats that state their length; of others FFmpeg guesses it from what is there.
_STATES_LENGTH = frozenset({"mov", "matroska", "avi", "flv", "asf", "hls", "dash"})

#: Those that state when they end by their own clock, whenever that started.
_STATES_END = frozenset({"matroska", "flv"})

#: Those that state how many frames there are, and no times: frames are in the order of decoding.
_STATES_FRAMES = frozenset({"avi"})

#: Bytes between a packet's place by the index of such a file, and by the packet itself.
_CHUNK_HEADER = 8

#: Those that may be recorded from the middle of a broadcast: what cannot be decoded before the
#: first frame is no damage.
_JOINABLE = frozenset({"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "flv", "rtsp", "hls"})

#: Larger frames are a damaged file's: 16 times 4K.
_MOST_PIXELS = 16 * 3840 * 2160

#: What PyAV stumbles over where a damaged file's numbers make no sense.
_STUMBLES = (ArithmeticError, LookupError, TypeError, ValueError)


def import_av() -> Any:
    """PyAV. Raises DependencyMissingError that names the extra."""
    try:
        import av
    except ImportError as error:
        raise DependencyMissingError(
            "video needs PyAV, which is not installed: pip install 'facegeo[video]'"
        ) from error
    return av


def reason_of(error: BaseException) -> str:
    """The words of an error, without the number that those of the system begin with."""
    return str(getattr(error, "strerror", None) or error)


def photo_message(name: str) -> str:
    """The error where a video was expected."""
    return f"{name}: a photo, not a video; for photos: facegeo predict FILE"


def cut_message(name: str, missing: int) -> str:
    """The error where nothing of a cut file can be read."""
    return (
        f"{name}: cut short by {missing} bytes, which tell how to read the rest; copy or download "
        "it again"
    )


def no_decoder_message(name: str) -> str:
    """The error where FFmpeg does not know what is in a file."""
    return (
        f"{name}: no decoder for its video, or a damaged file; convert it to H.264 with a program "
        "that can play it"
    )


class Container:
    """One opened container; :meth:`frames` may be used once.

    Of several video streams it takes the one that players take: the default one, else the best.
    Edit lists are honoured by the demuxer (frames outside are never given out).

    Parameters
    ----------
    address : str
        What FFmpeg opens.
    shown : str
        The same for messages: a URL without its password.
    format : str, optional
        Of a device, as ``v4l2``.
    options : mapping
        Of the demuxer.
    timeout_s : float, optional
        Seconds after which opening or one read fails. Files have none.
    missing_bytes : int
        Bytes that the file states and that are not there: reported after the last frame.

    Raises
    ------
    av.error.FFmpegError
        What the system said; the sources turn it into an error of facegeo's.
    CorruptFileError
        If there is no video in it.
    InvalidInputError
        If it is a photo.
    """

    def __init__(
        self,
        address: str,
        shown: str,
        format: str | None = None,
        options: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        missing_bytes: int = 0,
    ) -> None:
        self._av = import_av()
        self._shown = shown
        self._missing_bytes = missing_bytes
        # Titles in another encoding than the file promises are nothing to fail for.
        self._container = self._av.open(
            address,
            format=format,
            options=dict(options or {}),
            timeout=timeout_s,
            metadata_errors="replace",
        )
        try:
            self._format = self._container.format.name.split(",")[0]
            self._video = self._chosen()
        except BaseException:
            self._container.close()
            raise
        self._video.thread_type = "AUTO"
        self._video.codec_context.options = {"max_pixels": str(_MOST_PIXELS)}

    @property
    def rate(self) -> float | None:
        """Mean frames a second; None where the container does not say."""
        rate = self._video.average_rate or self._video.guessed_rate
        return float(rate) if rate else None

    @property
    def duration_s(self) -> float | None:
        """Length of the image in seconds; None where it is not known, as of live streams."""
        length = self._video_length_s()
        if length is not None:
            return length
        whole = self._container.duration
        # That of the container may be the sound's.
        if whole and whole > 0 and len(self._container.streams) == 1:
            length = float(whole / self._av.time_base)
            start = self._start_s() if self._format in _STATES_END else 0.0
            return length - start if length > start else length
        return None

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Timestamps in seconds and upright BGR images, in the order of presentation.

        Raises
        ------
        CorruptFileError
            After the last frame that could be decoded, if something is damaged or missing.
        UnreadableFileError
            If PyAV has no decoder for it.
        """
        convert = FrameConverter(self._av)
        step = 1 / (self.rate or 30.0)
        times = self._decoding_times() if self._format in _STATES_FRAMES else None
        found = _Found(-step)
        for item in self._decoded(found, times):
            if isinstance(item, Exception):
                self._note(found, reason_of(item))
                found.lost += found.damaged_s is not None
                continue
            frame = item
            # Frames that are left when reading fails know no unit: they are asked for the number.
            time = self._seconds(frame.pts) if times is None else times.of(frame)
            found.time_s = time if time is not None else found.time_s + step
            lasts = self._seconds(frame.duration) or step
            found.video_end_s = max(found.video_end_s, found.time_s + lasts)
            found.count += 1
            if frame.is_corrupt:
                found.concealed += 1
                self._note(found, "the decoder concealed what was missing")
            else:
                found.is_broken = False
            shape, transfer = self._video.sample_aspect_ratio, self._transfer(frame)
            yield found.time_s, convert(frame, shape, transfer)
        if found.count == 0:
            self._refuse_cut()
            raise CorruptFileError(f"{self._shown}: holds no frame that can be decoded")
        self._check(found)

    def close(self) -> None:
        """Release file handles and decoder threads."""
        self._container.close()

    def _chosen(self) -> Any:
        if self._format == "image2" or self._format.endswith("_pipe"):
            raise InvalidInputError(photo_message(self._shown))
        attached = self._av.stream.Disposition.attached_pic
        moving = [s for s in self._container.streams.video if not s.disposition & attached]
        if not moving:
            self._refuse_cut()
            pictures = len(self._container.streams.video)
            raise CorruptFileError(
                f"{self._shown}: holds no video" + (", only a cover picture" if pictures else "")
            )
        moving = [stream for stream in moving if stream.codec_context is not None]
        if not moving:
            self._refuse_cut()
            raise UnreadableFileError(no_decoder_message(self._shown))
        best = self._container.streams.best("video")
        if best in moving:
            return best
        default = self._av.stream.Disposition.default
        return max(moving, key=lambda s: (bool(s.disposition & default), s.width * s.height))

    def _refuse_cut(self) -> None:
        """Name the reason why nothing can be read, if the file tells it."""
        if self._missing_bytes:
            raise CorruptFileError(cut_message(self._shown, self._missing_bytes))

    def _transfer(self, frame: Any) -> int | None:
        # Older releases of PyAV tell it of the stream only; 2 is "not specified".
        for place in (frame, self._video.codec_context):
            transfer = getattr(place, "color_trc", None)
            if transfer is not None and transfer != 2:
                return int(transfer)
        return None

    def _decoded(self, found: _Found, times: _DecodingTimes | None) -> Iterator[Any]:
        """Frames, and errors of packets that could not be read or decoded."""
        try:
            for packet in self._packets():
                found.add_end(packet)
                if packet.stream is not self._video:
                    continue
                if times is not None and packet.size:
                    times.add(packet)
                if packet.is_corrupt:
                    yield self._av.error.InvalidDataError(0, "a packet is cut or damaged")
                try:
                    yield from packet.decode()
                except self._av.error.DecoderNotFoundError as error:
                    raise UnreadableFileError(no_decoder_message(self._shown)) from error
                except (self._av.error.FFmpegError, *_STUMBLES) as error:
                    yield error
        except (self._av.error.InvalidDataError, *_STUMBLES) as error:
            yield error
            yield from self._remaining()

    def _packets(self) -> Iterator[Any]:
        """Packets of all streams, then those that empty the decoders."""
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except IndexError:
                # At the end PyAV looks for streams that have appeared meanwhile, and knows only
                # those of the beginning: its own have been emptied by then.
                return
            yield packet

    def _remaining(self) -> list[Any]:
        """Frames that the decoder holds back when reading has come to an early end."""
        try:
            return list(self._video.decode(None))
        except (self._av.error.FFmpegError, *_STUMBLES):
            return []

    def _seconds(self, units: int | None) -> float | None:
        """A time or duration of the video stream; None where it is not stated."""
        base = self._video.time_base
        return None if units is None or not base else float(units * base)

    def _decoding_times(self) -> _DecodingTimes:
        times = _DecodingTimes(self._av.video.frame.PictureType.B)
        # Older releases of PyAV do not tell the index.
        for entry in getattr(self._video, "index_entries", ()):
            if entry.size:  # an empty one repeats the picture before it
                times.expect(entry.pos + _CHUNK_HEADER, self._seconds(entry.timestamp))
        return times

    def _note(self, found: _Found, reason: str) -> None:
        """Keep the first damage; each run of them is one line in the log."""
        if found.count == 0 and self._format in _JOINABLE:
            return
        if not found.is_broken:
            _log.warning("%s: damaged after %.2f s (%s)", self._shown, found.time_s, reason)
        found.is_broken = True
        found.reason = found.reason or reason
        if found.damaged_s is None:
            found.damaged_s = max(found.time_s, 0.0)

    def _check(self, found: _Found) -> None:
        missing, length = self._missing(found)
        of = f" of {length:.2f} s" if length is not None else ""
        if missing or (found.is_broken and not found.concealed):
            raise CorruptFileError(
                f"{self._shown}: damaged or cut short after {found.count} frames "
                f"({found.video_end_s:.2f} s{of}); the frames before that are good"
                + (f" up to {found.damaged_s:.2f} s" if found.damaged_s is not None else "")
            )
        if found.damaged_s is not None:
            raise CorruptFileError(
                f"{self._shown}: damaged from {found.damaged_s:.2f} s{of} on ({found.reason}): of "
                f"{found.count} frames {found.concealed} are partly invented"
                + (f", and {found.lost} packets are lost" if found.lost else "")
            )

    def _missing(self, found: _Found) -> tuple[bool, float | None]:
        """True if the end is missing, and the length that is stated."""
        if self._format not in _STATES_LENGTH:
            return self._missing_bytes > 0, None
        length, end = self._video_length_s(), found.video_end_s
        if length is None:
            whole = self._container.duration
            length = float(whole / self._av.time_base) if whole and whole > 0 else None
            end = max(found.end_s, end)
        if length is None:
            return self._missing_bytes > 0, None
        stated = length if self._format in _STATES_END else length + self._start_s()
        late = stated - end > max(_MISSING_END_S, _MISSING_END * length)
        return late or self._missing_bytes > 0, length

    def _video_length_s(self) -> float | None:
        video = self._video
        if not video.time_base:
            return None
        if self._format in _STATES_FRAMES and video.frames and self.rate:
            # FFmpeg shortens the length of a cut file to the part that is there.
            return float(video.frames / self.rate)
        return float(video.duration * video.time_base) if video.duration else None

    def _start_s(self) -> float:
        start = None if self._format in _STATES_FRAMES else self._video.start_time
        return self._seconds(start) or 0.0


@dataclass
class _Found:
    """Findings on a container so far."""

    time_s: float
    count: int = 0
    video_end_s: float = 0.0
    end_s: float = 0.0  # of all streams
    concealed: int = 0
    lost: int = 0
    damaged_s: float | None = None
    reason: str = ""
    is_broken: bool = False  # the newest item was no good frame

    def add_end(self, packet: Any) -> None:
        """Take note of where a packet of any stream ends."""
        start = packet.pts if packet.pts is not None else packet.dts
        if start is not None and packet.time_base:
            self.end_s = max(self.end_s, float((start + (packet.duration or 0)) * packet.time_base))


class _DecodingTimes:
    """Times of frames where packets have those of decoding only, as in AVI.

    Frames are shown at the same moments at which they are decoded, in another order: each takes the
    next of these moments. All that is decoded before a picture that is not of type B is shown
    before it: where packets were lost, or gave no frame, such a picture passes over their moments.
    """

    def __init__(self, type_b: Any) -> None:
        self._type_b = type_b
        self._moments: list[float | None] = []
        self._numbers: dict[int, int] = {}  # of packets, by their place in the file
        self._newest = -1  # of the packets
        self._last = -1  # of the moments
        self._early: set[int] = set()  # packets of pictures that were shown before earlier packets'

    def expect(self, place: int, moment: float | None) -> None:
        """The file's index has a packet at this place."""
        self._numbers[place] = len(self._moments)
        self._moments.append(moment)

    def add(self, packet: Any) -> None:
        """A packet goes into the decoder; its frame is to have its number for a time."""
        self._newest = self._numbers.get(packet.pos, self._newest + 1)
        if self._newest >= len(self._moments):
            is_known = packet.dts is not None and packet.time_base
            self._moments.append(float(packet.dts * packet.time_base) if is_known else None)
        packet.pts = self._newest

    def of(self, frame: Any) -> float | None:
        """Time of the frame that comes out."""
        number, place = frame.pts, self._last + 1
        if number is not None and frame.pict_type == self._type_b:
            self._early.add(number)
        elif number is not None:
            self._early = {early for early in self._early if early > number}
            place = max(place, number + len(self._early))
        self._last = place
        return self._moments[place] if place < len(self._moments) else None
