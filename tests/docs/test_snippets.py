"""The Python that README and docs show runs as it stands, page by page, on a drawn picture."""

import re

import pytest
import torch
from PIL import Image
from tiny_refcoco import REPOSITORY

from flmm.shapes import DIFFICULTY, generate_sample

FENCE = re.compile(r'^```python\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A working directory with what a clone has, and pictures under the names that the pages use."""
    for name in ('assets', 'configs'):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    scene = Image.fromarray(generate_sample(0, seed=0, split='val', config=DIFFICULTY['easy']).image)
    for name in ('photo.jpg', 'photos/one.jpg', 'photos/two.jpg', 'data/shapes/images/000001000001.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        scene.save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(page):
    """Run all snippets of a page, one after the other, in one namespace."""
    snippets = FENCE.findall((REPOSITORY / page).read_text(encoding='utf-8'))
    assert snippets, f'{page} shows no Python'
    names = {}
    for snippet in snippets:
        exec(compile(snippet, page, 'exec'), names)
    return names


@pytest.mark.parametrize('page', ['README.md', 'README_zh-CN.md'])
def test_readme(page, clone):
    names = run(page)
    width, height = Image.open('photo.jpg').size
    assert names['masks'].shape == (2, height, width)
    assert names['masks'].dtype == torch.bool
    assert names['boxes'].shape == (2, 4)
    assert Image.open('overlay.png').width == width
    assert names['answer'].text


def test_quickstart(clone, capsys):
    names = run('docs/quickstart.md')
    width, height = Image.open('photo.jpg').size
    assert names['masks'].shape == (2, height, width)
    assert len(capsys.readouterr().out.splitlines()) == 2  # a line for each phrase
    assert names['picture'].width == width
    assert names['right'].phrases == ['the red triangle on the right']
    assert names['maps'].maps.shape[0] == len(names['maps'].channels) == 4 * 6  # layers * heads of the demo's LMM
    assert names['in_video'].masks.shape == (4, 1, height, 320)
    assert Image.open('star.gif').n_frames == 4


def test_the_command_in_python(clone):
    run('docs/ground_command.md')
    assert sorted(path.name for path in (clone / 'photos').iterdir()) == [
        'one.jpg', 'one.jpg.masks', 'one.jpg.overlay.png', 'two.jpg', 'two.jpg.masks', 'two.jpg.overlay.png',
    ]  # fmt: skip


def test_both_readmes_have_the_same_commands_and_links():
    """But for what says where the other one is."""
    pages = [(REPOSITORY / name).read_text(encoding='utf-8') for name in ('README.md', 'README_zh-CN.md')]
    outside = [FENCE.sub('', page) for page in pages]
    for pattern in (r'^    (\S.*)$', r'^## ', r'`([^`\n]+)`', r'\]\((?!README)([^)]+)\)', r'^\| .*$'):
        english, chinese = (set(re.findall(pattern, page, re.MULTILINE)) for page in outside)
        assert english == chinese
    codes = [[line.partition('  #')[0] for code in FENCE.findall(page) for line in code.splitlines()] for page in pages]
    assert codes[0] == codes[1]


def test_logs(clone):
    folder = clone / 'work_dirs' / 'demo' / '20260101_000000' / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(
        '{"loss": 3.5, "iter": 20, "step": 20}\n{"loss": 2.5, "iter": 40, "step": 40}\n'
    )
    names = run('docs/logs.md')
    assert (names['steps'], names['losses']) == ([20, 40], [3.5, 2.5])


def test_archives(clone):
    lines = ''.join(f'{{"image": "{name}.jpg", "phrases": ["the star", "?"]}}\n' for name in ('one', 'two', 'none'))
    (clone / 'archive').symlink_to(clone / 'photos')
    (clone / 'photos' / 'a.jsonl').write_text(lines)
    names = run('docs/archives.md')
    assert (names['report'].images, names['report'].errors) == (3, 3)  # two phrases that say nothing, an absent image
    assert names['found']['status'].to_pylist() == ['ok', 'error', 'ok', 'error', 'error']
    (star,) = names['grounder'].read('photos/one.jpg').ground(['the star']).to_dict()['phrases']
    assert names['found']['rle'][0].as_py() == star['segmentation']
