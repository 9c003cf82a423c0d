"""``flmm ground``: what it writes and says."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from tiny_grounder import tiny_grounder
from tiny_models import tiny_processor
from tiny_refcoco import REPOSITORY
from tiny_video_sam import tiny_video_sam

from flmm.cli.main import main
from flmm.datasets import QwenImageProcessorWrapper, RefCOCO2PNG
from flmm.grounder import Grounder, ReadImage
from flmm.models.sam.video_tracker import VideoTracker
from flmm.shapes import DIFFICULTY, generate_sample
from flmm.video import FrameSampling

pytestmark = pytest.mark.usefixtures('on_one_thread')

CONFIG = ['--config', 'configs/tiny.py', '--checkpoint', 'tiny.pth']


@pytest.fixture(scope='module')
def tiny():
    processor = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())
    return Grounder(model=tiny_grounder(), to_sample=RefCOCO2PNG(image_processor=processor, prompt='Look.'))


@pytest.fixture
def asked(tiny, monkeypatch, tmp_path):
    """What a grounder was made of; the working directory is empty."""
    calls = []

    def make(name, **kwargs):
        calls.append((name, kwargs))
        return tiny

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Grounder, 'from_config', make)
    monkeypatch.setattr(Grounder, 'from_pretrained', make, raising=False)
    monkeypatch.setattr('flmm.grounder.demo.demo_folder', lambda: 'the demo')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    return calls


def photo(path, size=(90, 60), seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)
    return path


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file())


def assert_written(document, found, folder):
    """The JSON, and the masks that it names, are what was found."""
    for row, mask in zip(document['phrases'], found.masks.numpy(), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(folder / row['mask_file'])), mask)
        if mask.any():
            np.testing.assert_array_equal(coco_mask.decode(row['segmentation']), mask)
    without_files = [{key: row[key] for key in row if key != 'mask_file'} for row in document['phrases']]
    assert {**document, 'phrases': without_files} == found.to_dict()


def test_an_image(asked, tiny, tmp_path, capsys):
    photo(tmp_path / 'photo.png')
    assert main(['ground', 'photo.png', 'a cat', 'Größe 狗', *CONFIG]) == 0
    assert asked == [('configs/tiny.py', {'checkpoint': 'tiny.pth', 'device': 'cpu'})]
    out = tmp_path / 'grounded'
    assert files_in(out) == [
        'photo.json', 'photo_masks/1_a cat.png', 'photo_masks/2_Größe 狗.png', 'photo_overlay.png'
    ]  # fmt: skip
    found = tiny.read('photo.png').ground(['a cat', 'Größe 狗'])
    document = json.loads((out / 'photo.json').read_text())
    assert_written(document, found, out)
    assert document['image'] == 'photo.png'
    np.testing.assert_array_equal(np.asarray(Image.open(out / 'photo_overlay.png')), np.asarray(found.overlay()))

    said = capsys.readouterr()
    assert said.err == ''
    title, *lines, places = [line for line in said.out.splitlines() if 'WARNING' not in line]
    assert title == 'photo.png (60x90 px)'
    for number, (line, row) in enumerate(zip(lines, document['phrases'], strict=True), 1):
        share = f'{row["area"] / 5400:.1%}'
        expected = [f'{number}', row['phrase'], f'score {row["score"]:.2f}', share, str(row['bbox'])]
        assert re.split('  +', line.strip()) == expected
    assert places == '  grounded/photo.json, grounded/photo_masks, grounded/photo_overlay.png'


def test_what_is_not_there(asked, tiny, tmp_path, capsys, monkeypatch):
    with torch.no_grad():  # as a model that judges existence would have it
        found = tiny.read(photo(tmp_path / 'photo.png')).ground(['a', 'b'])
    verdict = {'existence': torch.tensor([0.1, 0.9]), 'exists': torch.tensor([False, True])}
    judged = type(found)(**{**vars(found), **verdict})
    monkeypatch.setattr(tiny, 'read', lambda path: SimpleNamespace(ground=lambda phrases: judged))
    assert main(['ground', 'photo.png', 'a', 'b', *CONFIG, '--no-overlay']) == 0
    assert '  1  a  not there\n  2  b  score ' in capsys.readouterr().out
    document = json.loads((tmp_path / 'grounded' / 'photo.json').read_text())
    assert [row['segmentation'] is None for row in document['phrases']] == [True, False]
    assert [row['exists'] for row in document['phrases']] == [False, True]
    assert_written(document, judged, tmp_path / 'grounded')


def video(path, num_frames=6):
    av = pytest.importorskip('av')
    rng = np.random.default_rng(0)
    with av.open(path, 'w') as container:
        stream = container.add_stream('libx264', rate=2)
        stream.width, stream.height, stream.pix_fmt = 60, 90, 'yuv420p'
        for _ in range(num_frames):
            pixels = rng.integers(0, 255, (90, 60, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))
    return path


def test_a_video(asked, tiny, tmp_path, capsys):
    video(tmp_path / 'clip.mp4')
    assert main(['ground', 'clip.mp4', 'a cat', 'dog', *CONFIG, '--fps', '1', '--read-as', 'images']) == 0
    out = tmp_path / 'grounded'
    found = tiny.read_video('clip.mp4', sampling=FrameSampling(fps=1.0), read_as='images').ground(['a cat', 'dog'])
    document = json.loads((out / 'clip.json').read_text())
    assert document['frames'] == ['00000', '00002', '00003', '00005']  # four at the least
    assert [row.pop('mask_folder') for row in document['phrases']] == ['clip_masks/1_a cat', 'clip_masks/2_dog']
    assert document == found.to_dict()
    assert files_in(out) == [
        'clip.json',
        *(f'clip_masks/{phrase}/{name}.png' for phrase in ('1_a cat', '2_dog') for name in document['frames']),
        'clip_overlay.gif',
    ]
    for phrase, folder in enumerate(['1_a cat', '2_dog']):
        for number, name in enumerate(document['frames']):
            with Image.open(out / 'clip_masks' / folder / f'{name}.png') as image:
                np.testing.assert_array_equal(np.asarray(image), found[number].masks[phrase])
    with Image.open(out / 'clip_overlay.gif') as gif:
        assert (gif.n_frames, gif.size) == (4, found[0].overlay().size)

    title, *lines, places = capsys.readouterr().out.splitlines()
    assert title == 'clip.mp4 (60x90 px, 4 frames)'
    for number, line in enumerate(lines):
        in_frames = found.masks[:, number].flatten(1).any(dim=1)
        best = float(found.scores[in_frames, number].max())
        cells = [f'{number + 1}', found.phrases[number], f'score {best:.2f}', f'in {int(in_frames.sum())} of 4 frames']
        assert re.split('  +', line.strip()) == cells
    assert places == '  grounded/clip.json, grounded/clip_masks, grounded/clip_overlay.gif'


def test_a_tracked_video(asked, tiny, tmp_path):
    tiny_video_sam().save_pretrained(tmp_path / 'sam2')
    video(tmp_path / 'clip.mp4', num_frames=4)
    assert main(['ground', 'clip.mp4', 'a cat', *CONFIG, '--tracker', 'sam2', '--no-overlay']) == 0
    tracker = VideoTracker(model=tiny_video_sam())
    expected = tiny.read_video('clip.mp4').ground(['a cat']).tracked(tracker).to_dict()
    document = json.loads((tmp_path / 'grounded' / 'clip.json').read_text())
    (row,), (other,) = document['phrases'], expected['phrases']
    assert row.pop('mask_folder') == 'clip_masks/1_a cat'
    assert row.pop('existence') == pytest.approx(other.pop('existence'), abs=1e-5)
    assert document == expected


def test_results_are_replaced_on_demand_alone(asked, tmp_path, capsys):
    photo(tmp_path / 'photo.png')
    ask = ['ground', 'photo.png', *CONFIG, '--out', 'deep/out']
    assert main([*ask, 'a', 'b']) == 0
    before = {name: (tmp_path / 'deep' / 'out' / name).read_bytes() for name in files_in(tmp_path / 'deep' / 'out')}
    assert main([*ask, 'c']) == 2
    message = "flmm: error: 'deep/out/photo.json' exists; name another folder by --out, or add --overwrite\n"
    assert capsys.readouterr().err == message
    assert {name: (tmp_path / 'deep' / 'out' / name).read_bytes() for name in before} == before
    assert len(asked) == 1  # before a model is built
    assert main([*ask, 'c', '--overwrite', '--no-overlay']) == 0
    assert files_in(tmp_path / 'deep' / 'out') == ['photo.json', 'photo_masks/1_c.png']


@pytest.mark.parametrize('num_workers', [0, 2])
def test_a_folder_goes_on_behind_what_is_broken(asked, tiny, tmp_path, capfd, num_workers):
    (tmp_path / 'photos').mkdir()
    for seed, name in enumerate(['a.png', 'c.png']):
        photo(tmp_path / 'photos' / name, seed=seed)
    (tmp_path / 'photos' / 'b.jpg').write_bytes(b'no image')
    assert main(['ground', 'photos', 'x', *CONFIG, '--num-workers', str(num_workers), '--no-overlay']) == 1
    out = tmp_path / 'grounded'
    assert files_in(out) == ['a.json', 'a_masks/1_x.png', 'c.json', 'c_masks/1_x.png']
    for name in ('a', 'c'):
        document = json.loads((out / f'{name}.json').read_text())
        assert_written(document, tiny.read(f'photos/{name}.png').ground(['x']), out)
    said = capfd.readouterr()
    assert [line for line in said.out.splitlines() if not line.startswith(' ')] == [
        'photos/a.png (60x90 px)', 'photos/c.png (60x90 px)'
    ]  # fmt: skip
    assert "flmm: error: image 'photos/b.jpg' cannot be read (no image of JPEG" in said.err
    assert said.err.endswith('flmm: error: 1 of 3 images failed\n')
    assert '3/3' in said.err  # of the bar


def test_a_folder_without_faults(asked, tmp_path):
    (tmp_path / 'photos').mkdir()
    photo(tmp_path / 'photos' / 'a.png')
    assert main(['ground', str(tmp_path / 'photos'), 'x', *CONFIG]) == 0
    assert files_in(tmp_path / 'grounded') == ['a.json', 'a_masks/1_x.png', 'a_overlay.png']


def test_images_that_differ_in_their_suffix_alone(asked, tmp_path):
    (tmp_path / 'photos').mkdir()
    for name in ('a.png', 'A.bmp', 'a.bmp.png'):
        photo(tmp_path / 'photos' / name)
    assert main(['ground', 'photos', 'x', *CONFIG, '--no-overlay']) == 0
    assert [name for name in files_in(tmp_path / 'grounded') if name.endswith('.json')] == [
        'A.bmp.json', 'a.bmp.png.json', 'a.png.json'
    ]  # fmt: skip


def test_which_weights(asked, tmp_path, capsys):
    photo(tmp_path / 'photo.png')
    assert main(['ground', 'photo.png', 'x', '--no-overlay']) == 0
    notice = capsys.readouterr().err
    assert notice.startswith("flmm: these are the demo's weights, which know drawn shapes only; name others by --model")
    assert notice.count('\n') == 1
    assert main(['ground', 'photo.png', 'x', '--no-overlay', '--overwrite', '--model', 'a/b', '--device', 'meta']) == 0
    assert main(['ground', 'photo.png', 'x', '--no-overlay', '--overwrite', '--config', 'c.py']) == 0
    assert asked == [
        ('the demo', {'device': 'cpu'}),
        ('a/b', {'device': 'meta'}),
        ('c.py', {'checkpoint': None, 'device': 'cpu'}),
    ]
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['absent.jpg', 'x'], "'absent.jpg' is no image, video or folder"),
        (['photo.png', '?!'], "phrase '?!' has no letter or digit; fill it or leave it out"),
        (['photo.png', 'x', '--checkpoint', 'a.pth'], '--checkpoint needs --config, the config of its model'),
        (
            ['photo.png', 'x', '--device', 'gpu'],
            "--device is 'gpu', expected torch's name of one, such as 'cpu' or 'cuda:0'",
        ),
        (['photo.png', 'x', '--device', 'cuda:1'], "--device is 'cuda:1', but torch sees 0 CUDA devices"),
        (['photo.png', 'x', '--out', 'photo.png'], "--out is 'photo.png/photo.json', and its folder cannot be made"),
        (
            ['photos', 'x', '--out', 'photos'],
            "--out is the folder of the images, 'photos'; pictures would be taken for",
        ),
        (['photos', 'x', '--num-workers', '-1'], '--num-workers is -1, expected 0 or a number of processes'),
        (['photo.png', 'x', '--num-workers', '2'], '--num-workers is for phrases in a folder of images; leave it out'),
        (
            ['photos', '--say', 'What?', '--num-workers', '2'],
            '--num-workers is for phrases in a folder of images; leave',
        ),
        (['empty', 'x'], "folder 'empty' has no images (.bmp, "),
        (['broken.png', 'x'], "image 'broken.png' cannot be read"),
        (['absent.mp4', 'x'], "'absent.mp4' is no image, video or folder"),
        (['broken.mp4', 'x'], "video 'broken.mp4' is no file of MP4 or MOV"),
        (['broken.mp4', 'x', '--fps', '0'], '--fps is 0.0, expected a number of frames a second above 0'),
        (['broken.mp4', '--say', 'What?'], '--say asks about images; name the phrases to find in a video'),
        (['broken.mp4', 'x', '--tracker', 'absent/sam2/x'], "folder 'absent/sam2/x' does not exist"),
        (['photo.png', 'x', '--fps', '2'], "--fps is for videos, and 'photo.png' is none; leave it out"),
        (['photos', 'x', '--read-as', 'images'], "--read-as is for videos, and 'photos' is none; leave it out"),
    ],
)
def test_what_the_user_can_mend(asked, arguments, message, tmp_path, capsys):
    photo(tmp_path / 'photo.png')
    (tmp_path / 'broken.png').write_bytes(b'no image')
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'photos').mkdir()
    photo(tmp_path / 'photos' / 'a.png')
    weights = [] if '--checkpoint' in arguments else CONFIG
    assert main(['ground', *arguments, *weights]) == 2
    assert capsys.readouterr().err.startswith(f'flmm: error: {message}')
    assert not asked or arguments[0] == 'broken.png'  # no model was loaded for that


def test_the_demo_finds_drawn_shapes(monkeypatch, tmp_path):
    """Its real weights, from another working directory."""
    monkeypatch.chdir(tmp_path)
    sample = generate_sample(0, seed=6, split='val', config=DIFFICULTY['easy'])
    Image.fromarray(sample.image).save('scene.png')
    sentences = {reference.sentences[0].text: reference for reference in sample.references}
    weights = ['--config', f'{REPOSITORY}/configs/shapes/demo_no_target.py']
    weights += ['--checkpoint', f'{REPOSITORY}/assets/model.safetensors']
    assert main(['ground', 'scene.png', *sentences, *weights, '--device', 'cpu']) == 0
    document = json.loads((tmp_path / 'grounded' / 'scene.json').read_text())
    for row, reference in zip(document['phrases'], sentences.values(), strict=True):
        found = coco_mask.decode(row['segmentation']).astype(bool)
        truth = sample.masks[list(reference.shape_indices)].any(axis=0)
        assert (found & truth).sum() / (found | truth).sum() > 0.8, row['phrase']


def test_what_an_answer_speaks_of_is_found(tiny, asked, tmp_path, capsys, monkeypatch):
    """The tiny LMM says nothing that a person would; so the words are put into its mouth."""
    monkeypatch.setattr(ReadImage, 'chat', lambda read, question: read.given_answer(question, 'A cat and the red dog.'))
    photo(tmp_path / 'photo.png')
    assert main(['ground', 'photo.png', '--say', 'What is there?', *CONFIG]) == 0
    document = json.loads((tmp_path / 'grounded' / 'photo.json').read_text())
    assert document['question'] == 'What is there?'
    assert document['answer'] == 'A cat and the red dog.'
    assert document['spans'] == [[0, 5], [10, 21]]
    assert [row['phrase'] for row in document['phrases']] == ['A cat', 'the red dog']
    expected = tiny.read(tmp_path / 'photo.png').given_answer('What is there?', 'A cat and the red dog.').ground()
    masks = [coco_mask.decode(row['segmentation']) for row in document['phrases'] if row['segmentation']]
    assert [mask.sum() for mask in masks] == [mask.sum() for mask in expected.masks.numpy() if mask.any()]
    assert '  A cat and the red dog.\n' in capsys.readouterr().out


def test_an_answer_without_anything_to_find_is_said(asked, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ReadImage, 'chat', lambda read, question: read.given_answer(question, 'It is.'))
    (tmp_path / 'photos').mkdir()
    photo(tmp_path / 'photos' / 'a.png')
    assert main(['ground', 'photos/a.png', '--say', 'Is it?', *CONFIG]) == 2
    assert "flmm: error: the answer 'It is.' has nothing to ground" in capsys.readouterr().err
    assert main(['ground', 'photos', '--say', 'Is it?', *CONFIG]) == 1
    assert "the answer 'It is.' has nothing to ground" in capsys.readouterr().err


@pytest.mark.parametrize('words', [[], ['a cat', '--say', 'What?']])
def test_phrases_or_a_question(words, asked, tmp_path, capsys):
    photo(tmp_path / 'photo.png')
    assert main(['ground', 'photo.png', *words]) == 2
    assert 'flmm: error: name phrases to find, or ask a question by --say; one of the two' in capsys.readouterr().err
    assert not asked
