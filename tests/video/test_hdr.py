"""Tone mapping: the standards' own numbers, and a face that looks as before."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo.video import hdr


def coded(signal: float, transfer: str) -> int:
    """The 8-bit grey of an HDR grey."""
    value = np.full((1, 1, 3), round(signal * 65535), np.uint16)
    b, g, r = hdr.to_sdr(value, transfer)[0, 0].tolist()
    assert b == g == r
    return g


@pytest.mark.parametrize(("light", "signal"), [(0, 0.0), (100, 0.508), (203, 0.581), (1000, 0.752)])
def test_pq_has_the_signals_of_bt2408(light, signal):
    assert hdr.pq_signal(np.array(float(light))) == pytest.approx(signal, abs=6e-4)
    assert hdr.pq_light(hdr.pq_signal(np.array(float(light)))) == pytest.approx(light, abs=1e-6)


def test_hlg_has_the_scene_light_of_bt2100():
    # BT.2408, table 1: 75 % HLG is 203 cd/m2 on a screen of 1000 cd/m2.
    scene = hdr.hlg_scene(np.array([0.5, 0.75, 1.0]))
    np.testing.assert_allclose(scene[[0, 2]], [1 / 12, 1.0], atol=1e-6)
    assert 1000 * scene[1] ** 1.2 == pytest.approx(203, abs=1)


def test_dark_light_is_kept_and_the_peak_becomes_white():
    light = np.linspace(0, 1000, 500)
    reduced = hdr.reduce_range(light)
    assert (np.diff(reduced) > 0).all()
    np.testing.assert_allclose(reduced[light < 85], light[light < 85], atol=1e-6)
    assert reduced[-1] == pytest.approx(203, abs=0.01)


@pytest.mark.parametrize("nits", [5, 20, 50, 80])
def test_tones_of_a_face_are_those_that_an_sdr_screen_shows(nits):
    expected = 255 * (nits / 203) ** (1 / 2.4)
    assert coded(float(hdr.pq_signal(np.array(float(nits)))), "pq") == pytest.approx(
        expected, abs=1
    )
    scene = (nits / 1000) ** (1 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.sqrt(3 * scene) if scene <= 1 / 12 else a * np.log(12 * scene - b) + c
    assert coded(float(signal), "hlg") == pytest.approx(expected, abs=1)


def test_white_black_and_colours():
    assert (coded(0, "pq"), coded(1, "pq"), coded(0, "hlg"), coded(1, "hlg")) == (0, 255, 0, 255)
    # BT.709's red in BT.2020: columns of BT.2087's matrix.
    red = np.array([0.6274, 0.0691, 0.0164]) * 50
    signal = np.round(hdr.pq_signal(red) * 65535).astype(np.uint16)
    b, g, r = hdr.to_sdr(signal[None, None], "pq")[0, 0].tolist()
    assert r == pytest.approx(255 * (50 / 203) ** (1 / 2.4), abs=2)
    assert max(b, g) <= 12


@pytest.mark.parametrize(("number", "transfer"), [(16, "pq"), (18, "hlg")])
def test_an_hdr_file_is_read_as_what_was_filmed(tmp_path, number, transfer, sample_photo):
    av = pytest.importorskip("av")
    from facegeo.video.sources import FileSource

    # The portrait as light on an SDR screen of 100 cd/m2, in BT.2020.
    linear = 100 * (sample_photo[..., ::-1] / 255.0) ** 2.4 @ np.linalg.inv(hdr._TO_BT709).T
    linear = np.clip(linear, 0, None)
    if transfer == "pq":
        signal = hdr.pq_signal(linear)
    else:
        y = linear @ [0.2627, 0.6780, 0.0593] / 1000
        scene = linear / 1000 * np.maximum(y, 1e-9)[..., None] ** (1 / 1.2 - 1)
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        high = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    path = tmp_path / "hdr.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = signal.shape[:2]
        stream.pix_fmt = "yuv420p10le"
        stream.codec_context.color_trc = number
        stream.codec_context.color_primaries = 9
        stream.codec_context.colorspace = 9
        rgb = np.round(signal * 65535).astype(np.uint16)
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb48le")
        frame = frame.reformat(format="yuv420p10le", dst_colorspace=9)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    source = FileSource(path)
    ((_, image),) = source.frames()
    source.close()
    expected = 255 * (np.minimum(hdr.reduce_range(linear.max(axis=2)), 203) / 203) ** (1 / 2.4)
    # Colour is stored at half the resolution: edges differ.
    assert np.median(np.abs(image.max(axis=2) - expected)) < 4
    assert abs(float(image.mean()) - 0.744 * float(sample_photo.mean())) < 6
