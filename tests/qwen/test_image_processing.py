"""AdaptiveQwen2VLImageProcessor: patches against the stock rows, settings, value ranges, errors."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_adaptive import half_smooth_image
from transformers import AutoImageProcessor, Qwen2VLImageProcessor

from flmm.apt.layout import TokenLayout
from flmm.apt.patch_selection import SETTINGS, PatchSelection
from flmm.apt.patch_tokenizer import PatchTokenizer
from flmm.qwen import AdaptiveQwen2VLImageProcessor
from flmm.qwen.image_processing import _warn_that_v1_keeps_photographs

SIZES = [(300, 400), (84, 200), (140, 140)]
PRUNING = [
    {'patch_selection_method': 'v1'},
    {'patch_selection_method': 'v2', 'alpha': 0.8},
    {'patch_selection_method': 'budget', 'alpha': 0.3},
    {'patch_selection_method': 'budget', 'alpha': 0.4, 'method': 'laplacian', 'blur': 5},
]


def normalized_image(image, *, patch_size):
    """[3, H, W]: what the stock processor cuts into patches of P px, put together from its patches."""
    stock = Qwen2VLImageProcessor(patch_size=patch_size)(image, return_tensors='pt')
    (_, rows, columns), values = stock['image_grid_thw'][0].tolist(), stock['pixel_values']
    values = values.reshape(rows // 2, columns // 2, 2, 2, 3, 2, patch_size, patch_size)[:, :, :, :, :, 0]
    return values.permute(4, 0, 2, 5, 1, 3, 6).reshape(3, rows * patch_size, columns * patch_size)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('settings', [{'patch_selection_method': 'none'}, {'patch_selection_method': 'budget'}])
def test_none_and_the_whole_budget_give_the_stock_output(settings, size):
    images = [half_smooth_image(size), half_smooth_image((56, 120), seed=1)]
    expected = Qwen2VLImageProcessor()(images, return_tensors='pt')
    found = AdaptiveQwen2VLImageProcessor(**settings)(images, return_tensors='pt')
    for name, value in expected.items():
        assert torch.equal(found[name], value)
    layouts = [TokenLayout.dense((rows // 2, columns // 2)) for _, rows, columns in expected['image_grid_thw'].tolist()]
    assert torch.equal(found['image_layout'], torch.cat([layout.tokens for layout in layouts]))
    assert found['image_num_tokens'].tolist() == [len(layout) for layout in layouts]


@pytest.mark.parametrize('settings', PRUNING)
@pytest.mark.parametrize(('size', 'patch_size'), [*((size, 14) for size in SIZES), *((size, 16) for size in SIZES[:2])])
def test_rows_are_area_means_of_what_the_stock_class_cuts(settings, size, patch_size):
    image = half_smooth_image(size)
    found = AdaptiveQwen2VLImageProcessor(**settings, patch_size=patch_size)(image, return_tensors='pt')
    of_call = AdaptiveQwen2VLImageProcessor(**settings)(image, patch_size=patch_size, return_tensors='pt')
    assert all(torch.equal(of_call[name], found[name]) for name in found)
    pixels = normalized_image(image, patch_size=patch_size)
    rows, unit = [], 2 * patch_size
    for top, left, token_size in found['image_layout'].tolist():
        side = patch_size * token_size
        for i in range(2):
            for j in range(2):
                y, x = unit * top + side * i, unit * left + side * j
                square = pixels[:, y : y + side, x : x + side].double()
                patch = square.reshape(3, patch_size, token_size, patch_size, token_size).mean(dim=(2, 4))
                rows.append(torch.stack([patch, patch], dim=1).flatten())
    torch.testing.assert_close(found['pixel_values'].double(), torch.stack(rows), atol=1e-6, rtol=0)
    assert len(set(found['image_layout'][:, 2].tolist())) > 1
    assert len(found['image_layout']) < found['image_grid_thw'].prod() // 4


@pytest.mark.parametrize('settings', PRUNING)
def test_rows_of_single_units_are_exactly_the_stock_ones(settings):
    image = half_smooth_image((300, 400))
    stock = Qwen2VLImageProcessor()(image, return_tensors='pt')['pixel_values']
    found = AdaptiveQwen2VLImageProcessor(**settings)(image, return_tensors='pt')
    top, left, size = found['image_layout'].unbind(1)
    columns = int(found['image_grid_thw'][0, 2]) // 2
    kept = found['pixel_values'].unflatten(0, (-1, 4))[size == 1]
    assert torch.equal(kept, stock.unflatten(0, (-1, 4))[(top * columns + left)[size == 1]])


@pytest.mark.parametrize('settings', PRUNING)
@pytest.mark.parametrize(('patch_size', 'expected_size'), [(14, (308, 420)), (16, (288, 416))])
def test_selection_is_made_on_the_resized_image_before_normalization(settings, patch_size, expected_size):
    image = half_smooth_image((301, 415))
    processor = AdaptiveQwen2VLImageProcessor(**settings, patch_size=patch_size)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    resized = processor.resize(pixels, size=processor.size, resample=processor.resample, factor=2 * patch_size)
    assert resized.shape[-2:] == expected_size
    assert resized.dtype == torch.uint8
    tokenizer = PatchTokenizer(selection=PatchSelection(**settings), patch_size=patch_size, merge_size=2)
    _, (layout,) = tokenizer(resized)
    assert torch.equal(processor(image, return_tensors='pt')['image_layout'], layout.tokens)


@pytest.mark.parametrize('disable_grouping', [True, False])
def test_a_batch_equals_its_images_one_by_one(disable_grouping):
    images = [half_smooth_image(size, seed=i) for i, size in enumerate([(84, 84), (140, 56), (84, 84), (80, 80)])]
    processor = AdaptiveQwen2VLImageProcessor()
    together = processor(images, return_tensors='pt', disable_grouping=disable_grouping)
    alone = [processor(image, return_tensors='pt') for image in images]
    for name, value in together.items():
        assert torch.equal(value, torch.cat([each[name] for each in alone])), name


def test_a_call_wins_over_an_attribute_over_the_constructor():
    image = half_smooth_image((308, 420))
    processor = AdaptiveQwen2VLImageProcessor(patch_selection_method='budget', alpha=0.6)

    def num_tokens(**settings):
        return int(processor(image, return_tensors='pt', **settings)['image_num_tokens'])

    # 11x15 units; the fewest tokens are 2x3 of size 4, 11 of size 2 and 25 of size 1, and each split adds three.
    assert num_tokens() == 99
    processor.alpha = 0.4
    assert num_tokens() == 66
    assert num_tokens(alpha=0.5) == 81
    assert num_tokens(alpha=1) == 165
    assert num_tokens(patch_selection_method='none') == 165
    assert num_tokens() == 66


def test_thresholds_are_those_of_v1():
    noise = torch.randint(256, (3, 308, 420), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    processor = AdaptiveQwen2VLImageProcessor(thresholds=(100.0, 100.0))
    assert processor(noise)['image_num_tokens'] == 42
    assert processor(noise, thresholds=[100, 0.1])['image_num_tokens'] == 35 + 25
    assert processor(noise, thresholds=None)['image_num_tokens'] == 165


def test_settings_are_the_fields_of_a_selection_with_their_defaults():
    processor = AdaptiveQwen2VLImageProcessor()
    assert {name: getattr(processor, name) for name in SETTINGS} == SETTINGS
    annotations = AdaptiveQwen2VLImageProcessor.valid_kwargs.__annotations__
    assert annotations.keys() == Qwen2VLImageProcessor.valid_kwargs.__annotations__.keys() | SETTINGS.keys()


def test_settings_are_saved(tmp_path):
    settings = {
        'patch_selection_method': 'v2', 'alpha': 0.7, 'thresholds': [2.5, 1.5], 'method': 'laplacian',
        'laplacian_aggregate': 'max', 'blur': 3, 'max_token_size': 2,
    }  # fmt: skip
    AdaptiveQwen2VLImageProcessor(**settings, size={'shortest_edge': 56 * 56, 'longest_edge': 10000}).save_pretrained(
        tmp_path
    )
    for loader in (AdaptiveQwen2VLImageProcessor, AutoImageProcessor):
        loaded = loader.from_pretrained(tmp_path)
        assert type(loaded) is AdaptiveQwen2VLImageProcessor
        assert {name: getattr(loaded, name) for name in settings} == settings
        assert loaded.size['longest_edge'] == 10000
    saved = json.loads((tmp_path / 'preprocessor_config.json').read_text())
    assert {name: saved[name] for name in settings} == settings


def test_a_stock_folder_gives_the_defaults_and_takes_overrides(tmp_path):
    Qwen2VLImageProcessor(image_mean=[0.1, 0.2, 0.3]).save_pretrained(tmp_path)
    loaded = AdaptiveQwen2VLImageProcessor.from_pretrained(tmp_path)
    assert (loaded.patch_selection_method, loaded.alpha, list(loaded.image_mean)) == ('v1', 1.0, [0.1, 0.2, 0.3])
    loaded = AdaptiveQwen2VLImageProcessor.from_pretrained(tmp_path, patch_selection_method='budget', alpha=0.3)
    assert (loaded.patch_selection_method, loaded.alpha) == ('budget', 0.3)
    assert type(AutoImageProcessor.from_pretrained(tmp_path)) is Qwen2VLImageProcessor


def test_float_images_are_read_on_the_scale_of_their_rescaling():
    pixels = np.array(half_smooth_image((140, 168))).transpose(2, 0, 1)
    processor = AdaptiveQwen2VLImageProcessor(do_resize=False)
    expected = processor(torch.from_numpy(pixels), return_tensors='pt')
    assert expected['image_num_tokens'] < 30
    for image, settings in [
        (pixels.astype(np.float32), {}),
        (pixels.astype(np.float64), {}),
        (pixels.astype(np.float32) / 255, {'do_rescale': False}),
        (pixels.astype(np.float32) / 127.5, {'rescale_factor': 0.5}),
    ]:
        found = processor(torch.from_numpy(image), return_tensors='pt', **settings)
        assert torch.equal(found['image_layout'], expected['image_layout'])
        torch.testing.assert_close(found['pixel_values'], expected['pixel_values'], atol=1e-4, rtol=0)


@pytest.mark.parametrize('dtype', [torch.int16, torch.int32, torch.int64])
def test_integers_are_read_as_bytes(dtype):
    processor = AdaptiveQwen2VLImageProcessor(patch_selection_method='budget', alpha=0.4)
    for settings in ({}, {'do_rescale': False}):
        image = torch.from_numpy(np.array(half_smooth_image((252, 336)))).permute(2, 0, 1)
        expected, found = processor(image, **settings), processor(image.to(dtype), **settings)
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    # Resized, integers overshoot in the stock class where bytes are cut off; what is selected is the same.
    image = torch.from_numpy(np.array(half_smooth_image((250, 340)))).permute(2, 0, 1)
    assert torch.equal(processor(image.to(dtype))['image_layout'], processor(image)['image_layout'])
    dense = AdaptiveQwen2VLImageProcessor(patch_selection_method='budget', alpha=1.0)(image.to(dtype))
    assert torch.equal(dense['pixel_values'], Qwen2VLImageProcessor()(image.to(dtype))['pixel_values'])
    with pytest.raises(ValueError, match=r'from 2 to 256, expected 0 \(black\) to 255 \(white\)'):
        processor(torch.arange(2, 257).repeat(3, 100, 1).to(dtype))


def test_interpolation_may_overshoot_the_range_of_float_images():
    pixels = torch.zeros(3, 100, 100)
    pixels[:, 30:60, 30:60] = 1.0
    processor = AdaptiveQwen2VLImageProcessor(do_rescale=False)
    (resized,) = processor.resize(pixels[None], size=processor.size, resample=processor.resample, factor=28)
    assert resized.min() < 0
    assert processor(pixels)['image_num_tokens'] <= 16


def test_without_normalization_and_as_numpy():
    image = half_smooth_image((84, 112))
    settings = {'do_normalize': False, 'do_rescale': False, 'return_tensors': 'np'}
    found = AdaptiveQwen2VLImageProcessor()(image, patch_selection_method='budget', **settings)
    assert all(isinstance(value, np.ndarray) for value in found.values())
    np.testing.assert_array_equal(found['pixel_values'], Qwen2VLImageProcessor()(image, **settings)['pixel_values'])


@pytest.mark.parametrize(
    ('image', 'settings', 'message'),
    [
        (torch.full((3, 56, 56), 2.0), {'do_rescale': False}, r'from 2 to 2, expected 0 \(black\) to 1 \(white\)'),
        (torch.full((3, 56, 56), -0.5), {}, r'from -0.5 to -0.5, expected 0 \(black\) to 255 \(white\)'),
        (torch.full((3, 56, 56), float('nan')), {}, 'from nan to nan, expected 0'),
        (torch.zeros(3, 64, 64), {'patch_size': 1}, 'patch_size is 1, expected a whole number of px, at least 2'),
        (torch.zeros(3, 84, 84), {'merge_size': 3}, 'merge_size is 3, expected 1 or 2'),
    ],
)
def test_images_without_importance_are_left_to_the_stock_class(image, settings, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveQwen2VLImageProcessor()(image, **settings)
    dense = AdaptiveQwen2VLImageProcessor(patch_selection_method='none')(image, **settings)
    assert torch.equal(dense['image_grid_thw'], Qwen2VLImageProcessor()(image, **settings)['image_grid_thw'])


def test_sides_that_are_no_multiples_of_a_unit_are_refused():
    message = r'image is \(56, 50\) px \(height, width\) and do_resize is off; both must be multiples of 28 px'
    with pytest.raises(ValueError, match=message):
        AdaptiveQwen2VLImageProcessor(do_resize=False)(torch.zeros(3, 56, 50))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            {'patch_selection_method': 'v3'},
            "patch_selection_method is 'v3', expected one of .*'none', 'v1', 'v2', 'budget'",
        ),
        ({'patch_selection_method': 'budget', 'alpha': 1.5}, r'alpha is 1.5, expected .* \(0, 1\]'),
        ({'patch_selection_method': 'budget', 'alpha': 0}, 'alpha is 0, expected'),
        ({'patch_selection_method': 'v2', 'alpha': -1.0}, 'alpha is -1.0, expected'),
        ({'patch_selection_method': 'budget', 'alpha': None}, r'alpha is None, expected .* \(0, 1\]'),
        ({'patch_selection_method': 'v2', 'alpha': '0.3'}, "alpha is '0.3', expected a finite factor"),
        ({'alpha': '1'}, "alpha is '1', expected a number"),
        ({'patch_selection_method': None}, 'patch_selection_method is None, expected one of'),
        ({'patch_selection_method': 'none', 'method': 'variance'}, "method is 'variance', expected one of"),
        ({'thresholds': 'ab'}, 'thresholds are ab, expected two positive numbers'),
        ({'max_token_size': 3}, r'max_token_size is 3, expected one of \(1, 2, 4\)'),
        ({'blur': '3'}, "blur is '3', expected an odd"),
        ({'thresholds': (1.0, -1.0)}, r'thresholds are \(1.0, -1.0\), expected two positive numbers'),
        ({'method': 'variance'}, "method is 'variance', expected one of"),
        ({'blur': 2}, 'blur is 2, expected an odd'),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveQwen2VLImageProcessor(**settings)
    with pytest.raises(ValueError, match=message):
        AdaptiveQwen2VLImageProcessor()(half_smooth_image((56, 56)), **settings)
    processor = AdaptiveQwen2VLImageProcessor()
    for name, value in settings.items():
        setattr(processor, name, value)
    with pytest.raises(ValueError, match=message):
        processor(half_smooth_image((56, 56)))


def test_alpha_may_be_a_number_of_numpy_and_is_saved_as_a_plain_one(tmp_path):
    image, plain = half_smooth_image((140, 168)), {'patch_selection_method': 'budget', 'alpha': 0.25}
    numpy = {**plain, 'alpha': np.float32(0.25)}
    expected = AdaptiveQwen2VLImageProcessor(**plain)(image)['image_layout']
    assert torch.equal(AdaptiveQwen2VLImageProcessor()(image, **numpy)['image_layout'], expected)
    AdaptiveQwen2VLImageProcessor(**numpy).save_pretrained(tmp_path)
    assert AdaptiveQwen2VLImageProcessor.from_pretrained(tmp_path).alpha == 0.25


def test_alpha_that_is_not_used_is_told():
    with pytest.warns(UserWarning, match="alpha is 0.3, but patch_selection_method 'v1' does not use it"):
        AdaptiveQwen2VLImageProcessor(alpha=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        processor = AdaptiveQwen2VLImageProcessor(patch_selection_method='budget', alpha=0.3)
        processor(half_smooth_image((56, 56)), patch_selection_method='none')


@pytest.mark.parametrize('size', [*SIZES, (30, 500), (28, 28), (112, 112)])
@pytest.mark.parametrize(
    'settings',
    [
        {'patch_selection_method': 'none'},
        *({'patch_selection_method': 'budget', 'alpha': alpha} for alpha in (1.0, 0.77, 0.5, 0.3, 0.01)),
        {'patch_selection_method': 'budget', 'alpha': 0.3, 'max_token_size': 2},
        {'patch_selection_method': 'budget', 'alpha': 0.3, 'max_token_size': 1},
        {'patch_selection_method': 'budget', 'alpha': 0.3, 'merge_size': 1},
        {'patch_selection_method': 'budget', 'alpha': 0.3, 'patch_size': 16},
        {'patch_selection_method': 'v2', 'alpha': 0.0},
        {'patch_selection_method': 'v1', 'max_token_size': 1},
    ],
)
def test_the_number_of_patches_follows_from_the_size_unless_from_the_pixels(settings, size):
    processor = AdaptiveQwen2VLImageProcessor(thresholds=(3.0, 2.0))
    image = half_smooth_image(size)
    expected = len(processor(image, **settings)['pixel_values'])
    assert processor.get_number_of_image_patches(*size, settings) == expected
    assert AdaptiveQwen2VLImageProcessor(**settings).get_number_of_image_patches(*size) == expected
    bounded = settings | {'min_pixels': 56 * 56, 'max_pixels': 28 * 28 * 20}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that a call says min_pixels
        expected = len(processor(image, **bounded)['pixel_values'])
    assert processor.get_number_of_image_patches(*size, bounded) == expected


@pytest.mark.parametrize('settings', [{}, {'patch_selection_method': 'v2'}, {'thresholds': (100.0, 100.0)}])
def test_the_number_of_patches_that_depends_on_the_pixels_is_refused(settings):
    processor = AdaptiveQwen2VLImageProcessor(**settings)
    method = settings.get('patch_selection_method', 'v1')
    message = f"patch_selection_method is '{method}': the number of patches depends on the image, .* 'budget' or 'none'"
    with pytest.raises(ValueError, match=message.replace("'budget'", "patch_selection_method='budget'")):
        processor.get_number_of_image_patches(300, 400)
    # One row of tokens: none of them can be coarse.
    expected = Qwen2VLImageProcessor().get_number_of_image_patches(30, 400)
    assert processor.get_number_of_image_patches(30, 400) == expected
    with pytest.raises(ValueError, match='alpha is 2, expected a share'):
        processor.get_number_of_image_patches(300, 400, {'patch_selection_method': 'budget', 'alpha': 2})


@pytest.mark.parametrize('method', ['none', 'budget'])
@pytest.mark.parametrize('given', ['call', 'processor'])
def test_the_number_of_patches_follows_the_size_that_is_asked_for(method, given):
    settings = {'patch_selection_method': method, 'size': {'shortest_edge': 3136, 'longest_edge': 20_000}}
    processor = AdaptiveQwen2VLImageProcessor(**(settings if given == 'processor' else {}))
    of_call = settings if given == 'call' else {}
    image = Image.new('RGB', (400, 300))
    found = processor.get_number_of_image_patches(300, 400, of_call)
    assert found == len(processor(images=image, return_tensors='pt', **of_call)['pixel_values'])
    assert found < AdaptiveQwen2VLImageProcessor(patch_selection_method='none').get_number_of_image_patches(300, 400)


def budget_warnings(caught):
    return [str(warning.message) for warning in caught if 'budget' in str(warning.message)]


def test_the_default_says_once_that_it_keeps_photographs():
    image = half_smooth_image((56, 84))
    _warn_that_v1_keeps_photographs.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        for processor in (AdaptiveQwen2VLImageProcessor(), AdaptiveQwen2VLImageProcessor()):
            for settings in (
                {'patch_selection_method': 'none'},
                {'patch_selection_method': 'budget', 'alpha': 0.3},
                {'patch_selection_method': 'v2'},
                {'method': 'laplacian'},
                {'thresholds': (3.0, 2.0)},
            ):
                processor(image, **settings)
            assert not budget_warnings(caught)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        for _ in range(3):
            AdaptiveQwen2VLImageProcessor()([image, image])
    (message,) = budget_warnings(caught)
    assert "'v1' with its default thresholds keeps 98 to 100 % of the tokens of a photograph" in message
    assert "patch_selection_method='budget', alpha=0.3" in message


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'patch_selection_method': ['none']}, r"patch_selection_method is \['none'\], expected one of"),
        ({'patch_selection_method': np.array(['v1', 'v2'])}, 'patch_selection_method is array.*, expected one of'),
        ({'patch_selection_method': True}, 'patch_selection_method is True, expected one of'),
        ({'patch_selection_method': 'budget', 'alpha': True}, 'alpha is True, expected a share'),
        ({'patch_selection_method': 'budget', 'alpha': [0.3]}, r'alpha is \[0.3\], expected a share'),
        (
            {'patch_selection_method': 'budget', 'alpha': torch.tensor(0.3)},
            r'alpha is tensor\(0.3000\), expected a share',
        ),
        ({'patch_selection_method': 'none', 'alpha': None}, 'alpha is None, expected a number'),
        ({'patch_selection_method': 'none', 'alpha': 'x'}, "alpha is 'x', expected a number"),
        ({'method': ['entropy']}, r"method is \['entropy'\], expected one of"),
        ({'laplacian_aggregate': np.array(['max', 'std'])}, 'laplacian_aggregate is array.*, expected one of'),
        ({'blur': True}, 'blur is True, expected an odd number'),
        ({'blur': 3.0}, 'blur is 3.0, expected an odd number'),
        ({'max_token_size': True}, r'max_token_size is True, expected one of \(1, 2, 4\)'),
        ({'max_token_size': 4.0}, r'max_token_size is 4.0, expected one of \(1, 2, 4\)'),
        ({'max_token_size': np.array([4, 2])}, r'max_token_size is array\(\[4, 2\]\), expected one of'),
        ({'thresholds': np.array([3.0, 2.0])}, 'thresholds are .*, expected two positive numbers'),
        ({'thresholds': {3.0, 2.0}}, 'thresholds are .*, expected two positive numbers'),
        ({'thresholds': (True, True)}, r'thresholds are \(True, True\), expected two positive numbers'),
    ],
)
def test_settings_of_a_wrong_type_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveQwen2VLImageProcessor(**settings)
    with pytest.raises(ValueError, match=message):
        AdaptiveQwen2VLImageProcessor()(half_smooth_image((56, 56)), **settings)
    with pytest.raises(ValueError, match=message):
        AdaptiveQwen2VLImageProcessor().get_number_of_image_patches(56, 56, settings)


def test_numbers_of_numpy_are_saved_as_plain_ones(tmp_path):
    settings = {'thresholds': (np.float32(2.5), np.int64(1)), 'max_token_size': np.int64(2)}
    AdaptiveQwen2VLImageProcessor(**settings).save_pretrained(tmp_path)
    loaded = AdaptiveQwen2VLImageProcessor.from_pretrained(tmp_path)
    assert (loaded.thresholds, loaded.max_token_size) == ([2.5, 1.0], 2)
    assert loaded.to_dict() == AdaptiveQwen2VLImageProcessor(**settings).to_dict()


def test_merge_size_one_makes_tokens_of_single_patches():
    image = half_smooth_image((140, 168))
    found = AdaptiveQwen2VLImageProcessor(merge_size=1)(image, return_tensors='pt')
    assert len(found['pixel_values']) == len(found['image_layout']) < 120
    TokenLayout(tokens=found['image_layout'], grid_size=(10, 12)).check()
