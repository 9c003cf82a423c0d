"""Items of videos: what the pipeline gets, in the layouts of Ref-YouTube-VOS and of MeViS, and the masks it draws."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_ref_videos import EXPRESSIONS, FPS, FRAMES, SIZE, truth, write_mevis, write_ref_youtube_vos

from flmm.clip_sample import VOID
from flmm.datasets import JointDataset, LoadVideoMasks, RefVideoDataset
from flmm.phrase_info import PhraseInfo
from flmm.registry import DATASETS
from flmm.shapes import build_video_dataset, generate_video, video_config

PALETTES = {'data_prefix': {'img_path': 'JPEGImages', 'mask_path': 'Annotations'}}
RLES = {'data_prefix': {'img_path': 'JPEGImages'}, 'mask_file': 'mask_dict.json'}
NO_TRUTH = {'data_prefix': {'img_path': 'JPEGImages'}}


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    made = {}
    for name, write in (('palettes', write_ref_youtube_vos), ('rles', write_mevis)):
        made[name] = tmp_path_factory.mktemp(name)
        write(made[name])
    return made


def build(root, files, **settings):
    # Serialized items take a while, as mmengine collects garbage for them; one test has them.
    fixed = {'ann_file': 'meta_expressions.json', 'fps': 6.0, 'test_mode': True, 'serialize_data': False}
    settings = {'name': 'videos', **fixed, **settings}
    return RefVideoDataset(data_root=str(root), pipeline=[LoadVideoMasks(), all_frames], **files, **settings)


def all_frames(item):
    """The item, with the masks of all its frames drawn."""
    masks = item['gt_masks']
    return {**item, 'gt_masks': None if masks is None else masks[range(len(masks))]}


@pytest.mark.parametrize(('name', 'files'), [('palettes', PALETTES), ('rles', RLES)])
def test_an_item_of_each_expression(roots, name, files):
    dataset = build(roots[name], files)
    expected = [
        (video, number, *expression) for video in FRAMES for number, expression in enumerate(EXPRESSIONS[video])
    ]
    assert len(dataset) == len(expected) == 5
    for index, (video, number, expression_id, text, _) in enumerate(expected):
        item = dataset[index]
        folder = f'{roots[name]}/JPEGImages/{video}'
        masks = item.pop('masks')
        assert len(masks) == 1
        assert torch.equal(item.pop('gt_masks'), torch.from_numpy(truth(video)[:, [number]]))
        assert item == {
            'video_path': folder,
            'frame_names': FRAMES[video],
            'frame_paths': [f'{folder}/{frame}.jpg' for frame in FRAMES[video]],
            'fps': FPS[video],
            'text': [text],
            'phrase_infos': [PhraseInfo(kind=None if number else 'motion:first', expression_id=expression_id)],
            'dataset_name': 'videos',
            'sample_idx': index,
        }


@pytest.mark.parametrize(('name', 'files'), [('palettes', PALETTES), ('rles', RLES)])
def test_an_item_of_each_video(roots, name, files):
    dataset = build(roots[name], files, group_by_video=True)
    assert [dataset[index]['text'] for index in range(len(dataset))] == [
        [text for _, text, _ in EXPRESSIONS[video]] for video in FRAMES
    ]
    for index, video in enumerate(FRAMES):
        item = dataset[index]
        assert [info.expression_id for info in item['phrase_infos']] == [each[0] for each in EXPRESSIONS[video]]
        assert item['gt_masks'].shape == (len(FRAMES[video]), len(EXPRESSIONS[video]), *SIZE)
        assert np.array_equal(item['gt_masks'].numpy(), truth(video))


def test_items_of_a_few_expressions(roots):
    dataset = build(roots['palettes'], PALETTES, group_by_video=True, max_expressions=2)
    found = [(dataset[index]['video_path'][-4:], dataset[index]['text']) for index in range(len(dataset))]
    assert found == [
        ('bird', ['the bird that lands', 'the fence']),
        ('cars', ['the red car', 'Both cars']),
        ('cars', ['the lamp']),
    ]
    assert np.array_equal(dataset[2]['gt_masks'].numpy(), truth('cars')[:, 2:])


@pytest.mark.parametrize(('name', 'files'), [('palettes', PALETTES), ('rles', RLES)])
def test_masks_are_drawn_for_the_frames_that_are_taken(roots, name, files):
    """An object that is in none of them is no error then: it may be in others."""
    dataset = build(roots[name], files, group_by_video=True)
    item = LoadVideoMasks().transform(dataset.get_data_info(0))
    masks = item['gt_masks']
    assert len(masks) == 3
    assert np.array_equal(masks[[2, 0]].numpy(), truth('bird')[[2, 0]])
    assert not masks[[0]][:, 0].any()
    item['masks'][1][0] = {'whose': 'the absent fence', 'rles': [None] * 3}
    assert not masks[[0, 1]][:, 1].any()
    with pytest.raises(ValueError, match='the absent fence has no pixel in any of 3 frames'):
        masks[[2, 1, 0]]


def test_palettes_come_along_where_they_have_void_pixels(roots, tmp_path):
    """Indices as they are, of objects that no expression means, too; void is in no mask."""
    write_ref_youtube_vos(tmp_path)
    edited = {}
    for video, names in FRAMES.items():
        for name in names:
            path = tmp_path / 'Annotations' / video / f'{name}.png'
            with Image.open(path) as picture:
                pixels = np.array(picture)
            pixels[:2], pixels[-1, -1] = VOID, 9
            Image.fromarray(pixels).save(path)
            edited[video, name] = pixels
    dataset = build(tmp_path, PALETTES, has_void=True, group_by_video=True)
    for number, video in enumerate(FRAMES):
        item = dataset[number]
        assert item['palettes'] == [f'{tmp_path}/Annotations/{video}/{name}.png' for name in FRAMES[video]]
        found = item['gt_objects'][[1, 0]]
        assert found.dtype == torch.uint8
        assert np.array_equal(found.numpy(), np.stack([edited[video, FRAMES[video][frame]] for frame in (1, 0)]))
        assert np.array_equal(item['gt_masks'][:, :, 2:-1].numpy(), truth(video)[:, :, 2:-1])
        assert not item['gt_masks'][:, :, :2].any()
    assert not {'palettes', 'gt_objects'} & build(tmp_path, PALETTES)[0].keys()
    Image.fromarray(np.zeros((3, 4), dtype=np.uint8)).save(tmp_path / 'Annotations' / 'cars' / '00001.png')
    with pytest.raises(
        ValueError, match=r"palette '.*00001.png' has 3x4 px \(height x width\), but its video has 20x28"
    ):
        LoadVideoMasks().transform(dataset.get_data_info(1))['gt_objects'][[0, 1]]
    (tmp_path / 'Annotations' / 'cars' / '00001.png').unlink()
    with pytest.raises(ValueError, match=r"the palette of frame '.*cars/00001.jpg' .*00001.png"):
        LoadVideoMasks().transform(dataset.get_data_info(1))['gt_objects'][[0, 1]]


def test_an_object_cannot_be_void(roots, tmp_path):
    write_ref_youtube_vos(tmp_path)
    path = tmp_path / 'meta_expressions.json'
    meta = json.loads(path.read_text())
    meta['videos']['cars']['expressions']['7']['obj_id'] = '255'
    path.write_text(json.dumps(meta))
    assert len(build(tmp_path, PALETTES)) == 5
    message = 'from 1 to 254, as 0 is the background and 255 what has_void leaves out'
    with pytest.raises(ValueError, match=rf"expression '7' of .* has obj_id '255', expected an index .* {message}"):
        build(tmp_path, PALETTES, has_void=True)


def test_truth_may_be_unknown(roots, tmp_path):
    write_ref_youtube_vos(tmp_path)
    path = tmp_path / 'meta_expressions.json'
    meta = json.loads(path.read_text())
    for video in meta['videos'].values():
        for expression in video['expressions'].values():
            del expression['obj_id']
    path.write_text(json.dumps(meta))
    for root in (roots['palettes'], tmp_path):
        item = build(root, NO_TRUTH, group_by_video=True)[1]
        assert item['masks'] is None
        assert item['gt_masks'] is None
        assert item['text'] == ['the red car', 'Both cars', 'the lamp']


@pytest.mark.parametrize(('files', 'key'), [(PALETTES, 'obj_id'), (RLES, 'anno_id')])
def test_an_expression_may_have_no_target(tmp_path, files, key):
    (write_mevis if key == 'anno_id' else write_ref_youtube_vos)(tmp_path)
    path = tmp_path / 'meta_expressions.json'
    meta = json.loads(path.read_text())
    meta['videos']['cars']['expressions']['1'][key] = []
    path.write_text(json.dumps(meta))
    found = build(tmp_path, files, group_by_video=True)[1]['gt_masks']
    assert not found[:, 1].any()
    assert np.array_equal(found[:, [0, 2]].numpy(), truth('cars')[:, [0, 2]])


def test_videos_without_expressions_are_left_out(roots, tmp_path):
    write_ref_youtube_vos(tmp_path)
    path = tmp_path / 'meta_expressions.json'
    meta = json.loads(path.read_text())
    meta['videos']['bird']['expressions'] = {}
    path.write_text(json.dumps(meta))
    assert [build(tmp_path, PALETTES)[index]['video_path'][-4:] for index in range(3)] == ['cars'] * 3
    meta['videos']['cars']['expressions'] = {}
    path.write_text(json.dumps(meta))
    with pytest.raises(ValueError, match=r'ann_file .* has no expression for any video; get the original file again'):
        build(tmp_path, PALETTES)


def test_videos_of_shapes_are_read_as_they_were_drawn(tmp_path):
    build_video_dataset(tmp_path, num_videos={'val': 2}, seed=9)
    dataset = DATASETS.build(
        {
            'type': 'RefVideoDataset',
            'name': 'shapes_video_val',
            'data_root': str(tmp_path),
            'ann_file': 'meta_expressions/val/meta_expressions.json',
            'data_prefix': {'img_path': 'val/JPEGImages', 'mask_path': 'val/Annotations'},
            'group_by_video': True,
            'pipeline': [{'type': 'flmm.LoadVideoMasks'}, all_frames],
        }
    )
    for index in range(2):
        sample, item = generate_video(index, seed=9, split='val', config=video_config('medium')), dataset[index]
        assert item['text'] == [sentence.text for sentence in sample.sentences]
        assert [info.kind for info in item['phrase_infos']] == [sentence.kind for sentence in sample.sentences]
        assert item['fps'] == 2.0
        drawn = sample.masks[:, [sentence.shape_index for sentence in sample.sentences]]
        assert np.array_equal(item['gt_masks'].numpy(), drawn)


def test_items_are_stored_serialized_and_sets_can_be_joined(roots):
    dataset = build(roots['palettes'], PALETTES, serialize_data=True)
    assert dataset.data_list == []
    assert dataset.names == ['videos']
    joint = JointDataset(datasets=[dataset, build(roots['rles'], RLES, name='others')])
    assert joint.names == ['videos', 'others']
    assert torch.equal(joint[6]['gt_masks'], dataset[1]['gt_masks'])


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'max_refetch': 5}, r"dataset 'videos' has \['max_refetch'\], which would have no effect"),
        ({'max_skipped': 0.1}, r"dataset 'videos' has \['max_skipped'\], which would have no effect"),
        (
            {'data_prefix': {'mask_path': 'Annotations'}},
            r"data_prefix .* lacks \['img_path'\]; name the folder of each",
        ),
        (
            {'data_prefix': 'JPEGImages'},
            r"data_prefix of dataset 'videos' is 'JPEGImages', expected a dict of .*img_path=F",
        ),
        (
            {'data_prefix': {'img_path': 'JPEGImages', 'mask_path': None}},  # to leave out a base's
            r"data_prefix of dataset 'videos' has None for 'mask_path', expected the path .*; where there is none,",
        ),
        (
            {'mask_file': 'mask_dict.json'},
            r"has mask_file 'mask_dict.json' and data_prefix\['mask_path'\] 'Annotations'",
        ),
        (
            {'data_prefix': {'img_path': 'JPEGImages'}, 'has_void': True},
            "dataset 'videos' has has_void=True, and data_prefix lacks 'mask_path'; name the folder of palettes",
        ),
        ({'fps': 0}, 'fps is 0, expected how many frames there are in a second'),
        ({'max_expressions': 2}, 'max_expressions is 2 with group_by_video=False; give a number of at least 1'),
        ({'max_expressions': 0, 'group_by_video': True}, 'max_expressions is 0 with group_by_video=True'),
    ],
)
def test_settings_that_are_refused(roots, settings, message):
    with pytest.raises(ValueError, match=message):
        build(
            roots['palettes'],
            {'data_prefix': settings.get('data_prefix', PALETTES['data_prefix'])},
            **{key: value for key, value in settings.items() if key != 'data_prefix'},
        )


def test_a_link_out_of_the_folder_is_followed_where_that_is_asked_for(tmp_path):
    root = tmp_path / 'data'
    root.mkdir()
    write_ref_youtube_vos(root)
    (root / 'JPEGImages' / 'cars').rename(tmp_path / 'cars')
    (root / 'JPEGImages' / 'cars').symlink_to(tmp_path / 'cars')
    with pytest.raises(ValueError, match=r"video 'cars' of ann_file .* leads out of .* through a link"):
        build(root, PALETTES)
    found = build(root, PALETTES, allow_outside=True, group_by_video=True)[1]
    assert np.array_equal(found['gt_masks'].numpy(), truth('cars'))


def test_a_transform_that_drops_an_item_is_refused(roots):
    dataset = RefVideoDataset(
        name='videos', data_root=str(roots['palettes']), ann_file='meta_expressions.json', fps=6.0, **PALETTES,
        pipeline=[lambda item: None],
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"item 2 of 'videos' \(video '.*/JPEGImages/cars'\) became None"):
        dataset[2]
