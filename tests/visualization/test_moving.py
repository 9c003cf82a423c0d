import re
import sys

import numpy as np
import pytest
from PIL import Image

from flmm.visualization.moving import save_moving

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]


def pictures(size=(41, 31)):
    return (Image.new('RGB', size, colour) for colour in COLOURS)


def test_a_gif_shows_each_picture_and_repeats(tmp_path):
    save_moving(pictures(), tmp_path / 'a.gif', fps=2.0)

    with Image.open(tmp_path / 'a.gif') as gif:
        assert (gif.n_frames, gif.size, gif.info['loop']) == (3, (41, 31), 0)
        for number, colour in enumerate(COLOURS):
            gif.seek(number)
            assert gif.info['duration'] == 500
            np.testing.assert_allclose(np.asarray(gif.convert('RGB'))[15, 20], colour, atol=8)


def test_an_mp4_has_even_sides(tmp_path):
    av = pytest.importorskip('av')
    save_moving(pictures(), tmp_path / 'a.mp4', fps=2.5)

    with av.open(tmp_path / 'a.mp4') as container:
        assert float(container.streams.video[0].average_rate) == 2.5
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(32, 42, 3)] * 3
    for frame, colour in zip(frames, COLOURS, strict=True):
        np.testing.assert_allclose(frame[15, 20].astype(int), colour, atol=12)


@pytest.mark.parametrize(
    ('name', 'fps', 'message'),
    [
        ('a.avi', 2.0, "a.avi' is no moving picture; let it end in one of ['.gif', '.mp4']"),
        ('a.gif', 0.0, 'fps is 0.0, expected pictures in a second, above 0'),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, fps, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        save_moving(pictures(), tmp_path / name, fps=fps)
    assert list(tmp_path.iterdir()) == []


def test_an_mp4_without_pyav_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'av', None)
    with pytest.raises(
        ValueError, match=re.escape("an MP4 needs PyAV: pip install '.[video]'; or let the file end in")
    ):
        save_moving(pictures(), tmp_path / 'a.mp4', fps=2.0)
