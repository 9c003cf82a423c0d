"""tools/make_shapes.py: pictures and videos, once."""

import json

import pytest
from tiny_refcoco import run_tool


def test_videos(tmp_path, capsys):
    arguments = ['--video', '--out', tmp_path, '--train', '2', '--val', '1', '--test', '0', '--frames', '6',
                 '--fps', '4', '--sides', '112', '140', '--difficulty', 'easy']  # fmt: skip
    run_tool('make_shapes', *map(str, arguments))
    train, val = capsys.readouterr().out.splitlines()
    for line, split in ((train, 'train'), (val, 'val')):
        path = tmp_path / 'meta_expressions' / split / 'meta_expressions.json'
        videos = json.loads(path.read_text())['videos'].values()
        assert [(len(video['frames']), video['fps']) for video in videos] == [(6, 4.0)] * len(videos)
        number = sum(len(video['expressions']) for video in videos)
        assert line.startswith(f'{tmp_path}: {number} expressions in {split}: ')
    run_tool('make_shapes', *map(str, arguments))
    assert capsys.readouterr().out == f'{tmp_path}: these shapes are there already, nothing to do.\n'


def test_pictures(tmp_path, capsys):
    arguments = ['--out', str(tmp_path), '--train', '1', '--val', '1', '--test', '0']
    run_tool('make_shapes', *arguments)
    assert ' in train, ' in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"of other parameters, .*'num_images'.* instead of .*'num_videos'"):
        run_tool('make_shapes', '--video', *arguments)
