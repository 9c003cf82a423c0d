"""tools/convert_data.py: what it writes is what JsonLinesDataset reads, and what it leaves out is said."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_refcoco import REFS, REPOSITORY, run_script, run_tool, write_refcoco

from flmm.datasets import JsonLinesDataset, LoadMasks, RefCocoDataset
from flmm.registry import DATASETS
from flmm.shapes import DIFFICULTY, KINDS, generate_split

COCO_MINI = Path(REPOSITORY).parent / 'shared' / 'coco_mini'


def read(path, **kwargs):
    return JsonLinesDataset(ann_file=str(path), text_mode='original', serialize_data=False, **kwargs)


def masks(dataset):
    found = []
    for item in dataset:
        height, width = item['annotated_size']
        found += [*LoadMasks().transform({**item, 'height': height, 'width': width})['gt_masks'].to_ndarray()]
    return found


def test_refcoco_with_all_its_splits(tmp_path, capsys):
    write_refcoco(tmp_path)
    files = (tmp_path / 'refcoco' / 'instances.json', tmp_path / 'refcoco' / 'refs(unc).p')
    out = tmp_path / 'data.jsonl'
    run_tool('convert_data', 'refcoco', *files, '--out', out)

    assert f'with {len(REFS)} phrases, 0 of them without target; 0 left out' in capsys.readouterr().out
    for split in ('train', 'val', 'testA', 'testB'):
        expected = RefCocoDataset(
            ann_file=str(files[0]), split_file=str(files[1]), split=split, text_mode='original', serialize_data=False
        )
        found = read(out, split=split)
        assert [item['text'] for item in found] == [item['text'] for item in expected]
        assert [item['phrase_infos'] for item in found] == [item['phrase_infos'] for item in expected]
        assert all(map(np.array_equal, masks(found), masks(expected)))
    with pytest.raises(ValueError, match=r"--out '.*data\.jsonl' exists; name another, or add --overwrite"):
        run_tool('convert_data', 'refcoco', *files, '--out', out)
    run_tool('convert_data', 'refcoco', *files, '--out', out, '--overwrite')


def test_sentences_without_a_word_are_left_out_where_asked_for(tmp_path):
    write_refcoco(tmp_path)
    path = tmp_path / 'refcoco' / 'refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    refs[0]['sentences'].append({'raw': '?'})
    path.write_bytes(pickle.dumps(refs))
    args = ('refcoco', tmp_path / 'refcoco' / 'instances.json', path, '--out', tmp_path / 'data.jsonl')
    with pytest.raises(ValueError, match=r"phrase '\?' has no letter or digit"):
        run_tool('convert_data', *args)
    run_tool('convert_data', *args, '--skip-wordless')

    assert sorted(text for item in read(tmp_path / 'data.jsonl') for text in item['text']) == sorted(
        sentence['raw'] for ref in refs for sentence in ref['sentences'] if sentence['raw'] != '?'
    )


def test_coco_says_what_it_leaves_out(tmp_path, capsys):
    write_refcoco(tmp_path)
    path = tmp_path / 'refcoco' / 'instances.json'
    content = json.loads(path.read_text())
    content['categories'] = [{'id': 1, 'name': 'thing'}]
    for annotation in content['annotations']:
        annotation['category_id'] = 1
    content['annotations'][0]['segmentation'] = []
    path.write_text(json.dumps(content))
    out = tmp_path / 'data.jsonl'
    with pytest.raises(ValueError, match=r'annotation 100 of ann_file .*: its segmentation is \[\]'):
        run_tool('convert_data', 'coco', path, '--out', out)
    run_tool('convert_data', 'coco', path, '--out', out, '--skip-broken', '--split', 'val')

    path.write_text(json.dumps(content | {'annotations': []}))
    with pytest.raises(ValueError, match='there is no phrase with a mask in the coco files; 6 left out'):
        run_tool('convert_data', 'coco', path, '--out', tmp_path / 'empty.jsonl')
    assert not (tmp_path / 'empty.jsonl').exists()

    printed = capsys.readouterr().out
    assert 'left out: annotation 100 of ann_file' in printed
    assert '6 lines with 6 phrases, 0 of them without target; 1 left out' in printed
    assert [item['text'] for item in read(out, split='val')] == [['thing']] * 6


def test_the_six_pictures_of_the_page(tmp_path, capsys):
    run_script(REPOSITORY / 'docs' / 'examples' / 'make_six_pictures.py', tmp_path / 'pictures')
    out = tmp_path / 'pictures' / 'data.jsonl'
    run_tool('convert_data', 'labelme', tmp_path / 'pictures', '--out', out)

    dataset = read(out)
    assert f'6 lines with {sum(len(item["text"]) for item in dataset)} phrases' in capsys.readouterr().out
    assert [Path(item['img_path']).name for item in dataset] == [f'picture_{number}.jpg' for number in range(1, 7)]
    config = replace(DIFFICULTY['easy'], kinds=tuple(kind for kind in KINDS if kind != 'ring'))
    samples = list(generate_split(seed=12, split='train', num_images=6, config=config))
    drawn = [sample.masks[reference.shape_indices[0]] for sample in samples for reference in sample.references]
    for found, expected in zip(masks(dataset), drawn, strict=True):
        assert (found & expected).sum() / (found | expected).sum() > 0.97


def test_pictures_stored_turned_and_phrases_said_twice_are_mentioned(tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (40, 60)).save(tmp_path / 'a.jpg', exif=exif)
    shape = {'label': 'it', 'points': [[1, 1], [50, 1], [50, 30]]}
    (tmp_path / 'a.json').write_text(json.dumps({'imagePath': 'a.jpg', 'shapes': [shape, shape]}))
    run_tool('convert_data', 'labelme', tmp_path, '--out', tmp_path / 'data.jsonl')

    printed = capsys.readouterr().out
    assert "read them with PILLoadImageFromFile(orientation='apply')" in printed
    assert '1 times an image has one phrase for several masks' in printed


@pytest.mark.skipif('PNGDataset' not in DATASETS or not COCO_MINI.is_dir(), reason='no PNGDataset, or no coco_mini')
def test_png_on_real_images(tmp_path):
    folder = COCO_MINI / 'annotations'
    files = (folder / 'png_coco_val2017.json', folder / 'panoptic_val2017.json')
    out = tmp_path / 'data.jsonl'
    run_tool('convert_data', 'png', *files, folder / 'panoptic_val2017', '--out', out)

    prefix = {'img_path': '', 'panoptic_path': str(folder / 'panoptic_val2017')}
    expected = DATASETS.build(
        {
            'type': 'PNGDataset', 'ann_file': str(files[0]), 'panoptic_file': str(files[1]), 'data_prefix': prefix,
            'serialize_data': False,
        }
    )  # fmt: skip
    found = read(out)
    for key in ('text', 'phrase_infos', 'caption'):
        assert [item[key] for item in found] == [item[key] for item in expected]
    assert all(map(np.array_equal, masks(found), masks(expected)))
