"""The refused list: what others send that would run code, read other files or fill the memory; none of it happens."""

import json
import os
import pickle
import zlib

import pytest
import torch
from bad_input import LINES, instead, line, linked_folder
from bad_input import write as write_lines
from bad_uploads import picture, png_header, written
from given_dataset import Given, item, target
from peak_memory import peak_bytes
from PIL import Image, ImageFile
from tiny_grounder import tiny_grounder
from tiny_models import tiny_lmm, tiny_sam
from tiny_refcoco import run_tool, write_refcoco, write_workspace

from flmm.datasets import JsonLinesDataset, LoadMasks, PILLoadImageFromFile, RefCocoDataset
from flmm.images import read_image_size, read_rgb
from flmm.models.checkpoints import load_trained
from flmm.models.sam.build import load_weights
from flmm.pretrained import load_lmm


class Payload:
    """Makes a folder, should anybody unpickle it."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.fixture
def marker(tmp_path):
    path = tmp_path / 'ran'
    yield path
    assert not path.exists()


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('workspace'))


def test_the_payload_would_run(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / 'ran')))
    assert (tmp_path / 'ran').is_dir()


def test_a_pickle_with_code_as_refs(tmp_path, marker):
    write_refcoco(tmp_path / 'data')
    (tmp_path / 'data' / 'refcoco' / 'refs(unc).p').write_bytes(pickle.dumps([Payload(marker)]))
    with pytest.raises(ValueError, match=r'is not a pickle of plain containers .*asks for posix\.mkdir'):
        RefCocoDataset(
            data_root=str(tmp_path / 'data'), data_prefix={'img_path': 'images/'}, ann_file='refcoco/instances.json',
            split_file='refcoco/refs(unc).p', split='val', text_mode='original', pipeline=[],
        )  # fmt: skip


@pytest.fixture(params=['pth', 'legacy pth', 'safetensors'])
def evil(request, tmp_path, marker):
    """A checkpoint with code, in the two forms of torch.save and under the name of another format."""
    path = tmp_path / f'evil.{request.param.rpartition(" ")[2]}'
    content = {'state_dict': {}, 'meta': Payload(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=request.param == 'pth')
    return path


@pytest.mark.parametrize('how', ['train --resume', 'train load_from', 'test'])
def test_a_pickle_with_code_as_checkpoint_of_a_tool(config, evil, tmp_path, how):
    tool, *arguments = {
        'train --resume': ('train', config, '--resume', evil),
        'train load_from': ('train', config, '--cfg-options', f'load_from={evil}'),
        'test': ('test', config, evil),
    }[how]
    with pytest.raises(ValueError, match=rf"checkpoint '{evil}' cannot be read as plain data"):
        run_tool(tool, *arguments, '--work-dir', tmp_path / 'run')


def test_a_pickle_with_code_as_checkpoint_in_python(evil):
    with pytest.raises(ValueError, match=rf"checkpoint '{evil}' cannot be read as plain data"):
        load_trained(tiny_grounder(), evil)


def test_a_pickle_with_code_as_weights_of_sam(evil):
    with pytest.raises(ValueError, match=rf"checkpoint '{evil}' cannot be read as plain data"):
        load_weights(tiny_sam(), evil)


def test_a_pickle_with_code_as_weights_of_the_lmm(tmp_path, marker):
    tiny_lmm().save_pretrained(tmp_path / 'lmm')
    (tmp_path / 'lmm' / 'model.safetensors').unlink()
    torch.save({'weight': Payload(marker)}, tmp_path / 'lmm' / 'pytorch_model.bin')
    with pytest.raises(ValueError, match=r"folder '.*lmm' cannot be loaded \(it asks for posix\.mkdir\)$"):
        load_lmm(tmp_path / 'lmm', dtype=torch.float32)


@pytest.fixture
def nothing_is_opened(monkeypatch):
    def refuse(*arguments, **_):
        raise AssertionError(f'opened: {arguments}')

    for module in ('images', 'datasets.transforms', 'datasets.mask_files'):
        monkeypatch.setattr(f'flmm.{module}.open_regular', refuse)


@pytest.mark.parametrize(
    ('plant', 'message'),
    [
        (line(image='/etc/passwd'), "path '/etc/passwd' is absolute"),
        (line(image='../elsewhere.jpg'), r'goes up by "\.\."'),
        (line(image='a/../../elsewhere.jpg'), r'goes up by "\.\."'),
        (line(image='..\\elsewhere.jpg'), r'goes up by "\.\."'),
        (line(image='\\\\server\\share\\b.jpg'), 'is absolute'),
        (line(image='http://127.0.0.1:1/b.jpg'), 'is an address'),
        (line(image='s3://bucket/b.jpg'), 'is an address'),
        (line(phrases=[{'phrase': 'a', 'png': '/etc/passwd'}]), "path '/etc/passwd' is absolute"),
        (instead(lambda path: path.symlink_to(path.parents[2] / 'elsewhere.jpg')), 'through a link'),
        (linked_folder, 'through a link'),
    ],
    ids=['absolute', 'up', 'up below', 'up as Windows', 'share', 'http', 's3', 'mask', 'file link', 'folder link'],
)
@pytest.mark.parametrize('prefix', ['images/', ''])
def test_a_name_that_leads_out_of_the_folder(tmp_path, monkeypatch, nothing_is_opened, plant, message, prefix):
    """With prefix '' names lie below the working directory, where an address would be fetched."""
    root = tmp_path / 'data'
    write_lines(root)
    plant(root)
    monkeypatch.chdir(root / 'images')
    where = {'data_root': str(root), 'ann_file': LINES} if prefix else {'data_root': '', 'ann_file': f'../{LINES}'}
    with pytest.raises(ValueError, match=message):
        JsonLinesDataset(**where, data_prefix={'img_path': prefix}, pipeline=[PILLoadImageFromFile()])


def bomb(side):
    """A PNG of one bit a pixel, all of them 0: 200 KB that become 1.6 GB."""
    packer = zlib.compressobj(9)
    rows = [packer.compress(bytes(1 + side // 8)) for _ in range(side)]
    return png_header(side, side, depth=1, kind=0, packed=b''.join(rows) + packer.flush())


@pytest.fixture
def never_decoded(monkeypatch):
    def refuse(self):
        raise AssertionError('decoded')

    monkeypatch.setattr(ImageFile.ImageFile, 'load', refuse)
    monkeypatch.setattr(Image.Image, 'load', refuse)


def test_a_png_of_40000_by_40000_is_not_decoded(tmp_path, never_decoded):
    path = tmp_path / 'bomb.png'
    path.write_bytes(bomb(40_000))
    assert path.stat().st_size < 300_000
    for read in (read_rgb, read_image_size):
        with pytest.raises(
            ValueError, match=r"image 'bomb' (has 40000 x 40000 px, more than|cannot be read \(Image size)"
        ):
            read(path, name='bomb', orientation='refuse')
    picture = PILLoadImageFromFile()
    with pytest.raises(ValueError, match=r"bomb\.png' (has 40000|cannot be read)"):
        picture.transform({'img_path': str(path)})
    mask = item('a.png', target({'png': str(path)}, 'a'))
    results = Given(items=[mask], name='given', text_mode='original', pipeline=[]).get_data_info(0)
    with pytest.raises(ValueError, match=r"is the file '.*bomb\.png'"):
        LoadMasks().transform({**results, 'height': 60, 'width': 80})


def test_a_png_of_40000_by_40000_takes_no_memory(tmp_path):
    """The second picture shows that the measure sees pictures: 81 MB as Pillow decodes it, 324 MB in RGB."""
    (tmp_path / 'bomb.png').write_bytes(bomb(40_000))
    (tmp_path / 'sound.png').write_bytes(bomb(9_000))
    setup = 'import pytest; from flmm.images import read_rgb'
    refused = f"""with pytest.raises(ValueError, match='bomb'):
    read_rgb({str(tmp_path / 'bomb.png')!r}, name='bomb', orientation='refuse')"""
    assert peak_bytes(refused, setup=setup) < 8e6
    assert peak_bytes(f"read_rgb({str(tmp_path / 'sound.png')!r}, name='a', orientation='refuse')", setup=setup) > 324e6


def test_the_limit_on_pixels_is_the_callers(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(written(picture(100, 90), 'PNG'))
    assert PILLoadImageFromFile(max_pixels=9000).transform({'img_path': str(path)})['width'] == 100
    with pytest.raises(ValueError, match=r'has 100 x 90 px, more than max_pixels=8,999'):
        PILLoadImageFromFile(max_pixels=8999).transform({'img_path': str(path)})


def test_weights_that_are_not_finite(tmp_path):
    model = tiny_grounder()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    state['text_proj.weight'][0, 0] = float('nan')
    torch.save({'state_dict': state}, tmp_path / 'nan.pth')
    with pytest.raises(
        ValueError, match=r"nan\.pth': 'text_proj\.weight' has numbers that are not finite; take an ear"
    ):
        load_trained(model, tmp_path / 'nan.pth')


def test_an_annotation_is_data_whatever_its_text_says(tmp_path, marker):
    """JSON that names a class, as loaders of YAML and of pickles in JSON read it."""
    write_lines(tmp_path / 'data')
    evil = {'py/reduce': [{'py/type': 'os.mkdir'}, str(marker)]}
    (tmp_path / 'data' / LINES).write_text(json.dumps({'image': 'a.jpg', 'phrases': [evil]}))
    with pytest.raises(ValueError, match="has the unknown key 'py/reduce'"):
        JsonLinesDataset(data_root=str(tmp_path / 'data'), ann_file=LINES, data_prefix={'img_path': 'images/'})
