"""tools/visualize_patches.py: what it finds, what it reads, what it writes."""

import csv
import json
import sys

import numpy as np
import pytest
import visualize_patches
from PIL import Image

from flmm.apt.layout import TokenLayout
from flmm.apt.patch_selection import PatchSelection
from flmm.qwen import resize_image
from flmm.visualization import rebuild_image


@pytest.fixture
def run(monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['visualize_patches.py', *map(str, arguments)])
        visualize_patches.main()

    return run


def half_flat(height, width, seed=0):
    """Noise on the left, one grey on the right."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[:, width // 2 :] = 90
    return Image.fromarray(pixels)


@pytest.mark.parametrize('size', [(300, 451), (40, 200), (10, 12)])
@pytest.mark.parametrize('bounds', [(None, None), (30000, 60000)])
@pytest.mark.parametrize('merge_size', [1, 2])
def test_pixels_are_those_of_the_stock_processor(size, bounds, merge_size):
    image = half_flat(*size)
    processor = visualize_patches.build_image_processor(
        merge_size=merge_size, min_pixels=bounds[0], max_pixels=bounds[1]
    )
    pixels = resize_image(image, processor=processor, size=processor.size, name='photo.jpg')

    stock = processor(images=image, do_rescale=False, do_normalize=False, return_tensors='pt')
    _, rows, columns = stock['image_grid_thw'][0].tolist()
    assert pixels.shape == (1, 3, 14 * rows, 14 * columns)
    patches = stock['pixel_values'].reshape(-1, 3, 2, 14, 14)[:, :, 0]
    expected = rebuild_image(patches, TokenLayout.dense((rows // merge_size, columns // merge_size)))
    np.testing.assert_array_equal(pixels[0].permute(1, 2, 0), expected)


def test_folder(run, tmp_path, capsys):
    folder, out_dir = tmp_path / 'photos', tmp_path / 'made' / 'deep'
    (folder / 'more.png').mkdir(parents=True)
    half_flat(112, 140).save(folder / 'b.PNG')
    half_flat(112, 112, seed=1).save(folder / 'a.png')
    half_flat(84, 112, seed=2).save(folder / 'a.bmp')
    (folder / 'notes.txt').write_text('no image')

    run(folder, '--out-dir', out_dir, '--patch-selection-method', 'budget', '--alpha', '0.5', '--method', 'laplacian')

    assert sorted(file.name for file in out_dir.iterdir()) == [
        'a.bmp.png', 'a.png.png', 'b.PNG.png', 'statistics.csv', 'statistics.json',
    ]  # fmt: skip
    assert Image.open(out_dir / 'a.bmp.png').width > 2 * 112
    document = json.loads((out_dir / 'statistics.json').read_text())
    thresholds = list(PatchSelection(method='laplacian').v1_thresholds)
    assert document['settings'] == {
        'patch_selection_method': 'budget', 'alpha': 0.5, 'thresholds': thresholds, 'method': 'laplacian',
        'laplacian_aggregate': 'mean', 'blur': 1, 'max_token_size': 4, 'patch_size': 14,
        'merge_size': 2, 'min_pixels': 3136, 'max_pixels': 1003520,
    }  # fmt: skip
    assert [of_image['file'] for of_image in document['images']] == ['a.bmp', 'a.png', 'b.PNG']
    assert document['images'][2] == {
        'file': 'b.PNG',
        'size': [140, 112],
        'processed_size': [140, 112],
        'patch_selection_method': 'budget',
        'alpha': 0.5,
        # 4x5 units, 10 to keep: one token of size 4 and the column right of it would be 5, one split more is 8
        'tokens_per_scale': {'14': 4, '28': 4, '56': 0},
        'tokens': 8,
        'dense_tokens': 20,
        'kept_fraction': 0.4,
        'budget_info': {
            'fewest_patches': 20,
            'dense_patches': 80,
            'budget': 40,
            'num_splits': 1,
            'num_patches': 32,
        },
    }
    with (out_dir / 'statistics.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert rows[2] == {
        'file': 'b.PNG', 'size.width': '140', 'size.height': '112',
        'processed_size.width': '140', 'processed_size.height': '112',
        'patch_selection_method': 'budget', 'alpha': '0.5',
        'tokens_per_scale.14': '4', 'tokens_per_scale.28': '4', 'tokens_per_scale.56': '0',
        'tokens': '8', 'dense_tokens': '20', 'kept_fraction': '0.4',
        'budget_info.fewest_patches': '20', 'budget_info.dense_patches': '80',
        'budget_info.budget': '40', 'budget_info.num_splits': '1', 'budget_info.num_patches': '32',
    }  # fmt: skip
    tokens = sum(int(row['tokens']) for row in rows)
    output = capsys.readouterr()
    assert output.out == f'{out_dir}: 3 images, {tokens} of 48 tokens kept ({tokens / 48:.1%}).\n'
    assert '3/3' in output.err  # the progress bar


def test_without_pictures(run, tmp_path):
    half_flat(112, 224).save(tmp_path / 'photo.png')
    for out_dir, arguments in (('drawn', ()), ('counted', ('--no-pictures',))):
        run(tmp_path / 'photo.png', '--out-dir', tmp_path / out_dir, *arguments)
    assert {file.name for file in (tmp_path / 'counted').iterdir()} == {'statistics.csv', 'statistics.json'}
    drawn, counted = ((tmp_path / out_dir / 'statistics.csv').read_text() for out_dir in ('drawn', 'counted'))
    assert counted == drawn


def test_one_image_with_thresholds(run, tmp_path, capsys):
    half_flat(112, 224).save(tmp_path / 'photo.png')
    run(tmp_path / 'photo.png', '--out-dir', tmp_path, '--thresholds', '0.5', '0.25')
    (of_image,) = json.loads((tmp_path / 'statistics.json').read_text())['images']
    assert of_image['tokens_per_scale'] == {'14': 16, '28': 0, '56': 1}  # the flat half is one token
    assert 'budget_info' not in of_image
    assert (tmp_path / 'photo.png.png').exists()
    assert capsys.readouterr().err == ''


def test_patches_of_16_px(run, tmp_path):
    half_flat(128, 256).save(tmp_path / 'photo.png')
    run(tmp_path / 'photo.png', '--out-dir', tmp_path, '--thresholds', '0.5', '0.25', '--patch-size', '16')
    document = json.loads((tmp_path / 'statistics.json').read_text())
    assert document['settings']['patch_size'] == 16
    assert document['images'][0]['processed_size'] == [256, 128]
    assert document['images'][0]['tokens_per_scale'] == {'16': 16, '32': 0, '64': 1}
    assert (tmp_path / 'photo.png.png').exists()


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        ({'patch_selection_method': 'none'}, 'none'),
        ({'thresholds': (3.0, 2.0)}, 'v1, entropy'),
        ({'patch_selection_method': 'v2', 'alpha': 0.5, 'method': 'upsample_mse'}, 'v2, alpha 0.5, upsample_mse'),
        (
            {'patch_selection_method': 'budget', 'alpha': 0.3, 'method': 'laplacian', 'blur': 5},
            'budget, alpha 0.3, laplacian mean, blur 5',
        ),
    ],
)
def test_words_for_the_settings(settings, words):
    assert visualize_patches.describe(PatchSelection(**settings)) == words


def test_folder_without_images(run, tmp_path):
    (tmp_path / 'notes.txt').write_text('no image')
    with pytest.raises(ValueError, match=rf"folder '{tmp_path}' has no images \(.bmp, .gif, "):
        run(tmp_path, '--out-dir', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_path_that_is_not_there(run, tmp_path):
    with pytest.raises(ValueError, match=r"absent\.jpg' is neither an image nor a folder"):
        run(tmp_path / 'absent.jpg', '--out-dir', tmp_path)


def test_pictures_may_not_go_where_the_images_are(run, tmp_path):
    half_flat(56, 56).save(tmp_path / 'photo.png')
    with pytest.raises(ValueError, match=rf"--out-dir is the folder of the images, '{tmp_path}'"):
        run(tmp_path, '--out-dir', tmp_path)


def test_unreadable_image(run, tmp_path):
    (tmp_path / 'broken.jpg').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r"image '.*broken.jpg' cannot be read"):
        run(tmp_path / 'broken.jpg', '--out-dir', tmp_path / 'out')


def test_image_that_is_too_narrow(run, tmp_path):
    Image.new('RGB', (1000, 2)).save(tmp_path / 'line.png')
    with pytest.raises(ValueError, match=r"image '.*line.png': absolute aspect ratio must be smaller than 200"):
        run(tmp_path / 'line.png', '--out-dir', tmp_path / 'out')


def test_bounds_out_of_order():
    with pytest.raises(ValueError, match='images of 9000 to 4000 px are asked for; expected 0 < min_pixels <= max_pix'):
        visualize_patches.build_image_processor(merge_size=2, min_pixels=9000, max_pixels=4000)


def test_unknown_setting(run, tmp_path):
    half_flat(56, 56).save(tmp_path / 'photo.png')
    with pytest.raises(ValueError, match="patch_selection_method is 'v3', expected one of"):
        run(tmp_path / 'photo.png', '--out-dir', tmp_path / 'out', '--patch-selection-method', 'v3')
