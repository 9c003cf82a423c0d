"""PILLoadImageFromFile and RefCOCO2PNG, each against a reference written here or upstream."""

import io
import os
import re
import sys

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine import fileio
from PIL import Image, features
from tiny_models import FAMILIES, PATCH_SIZES, SPECIAL_TOKENS, tiny_processor

from flmm.alike import begin_alike
from flmm.datasets import PILLoadImageFromFile, QwenImageProcessorWrapper, RefCOCO2PNG, unlabelled_item
from flmm.registry import TRANSFORMS
from flmm.structures import GroundingSample, PhraseInfo

# --- PILLoadImageFromFile

needs_avif = pytest.mark.skipif(not features.check('avif'), reason='this Pillow reads no AVIF')


def random_image(height, width, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def load(path):
    return PILLoadImageFromFile().transform({'img_path': str(path)})


def saved_pixels(image, path, **kwargs):
    """Save ``image``, load it through the transform, return its pixels [height, width, 3]."""
    image.save(path, **kwargs)
    loaded = load(path)['image']
    assert loaded.mode == 'RGB'
    return np.asarray(loaded)


def test_rgb_is_read_as_it_is(tmp_path):
    image = random_image(12, 20)
    image.save(tmp_path / 'rgb.png')

    results = PILLoadImageFromFile().transform({'img_path': str(tmp_path / 'rgb.png'), 'text': ['kept']})

    assert np.array_equal(np.asarray(results.pop('image')), np.asarray(image))
    assert results == {
        'img_path': str(tmp_path / 'rgb.png'),
        'text': ['kept'],
        'height': 12,
        'width': 20,
        'img_shape': (12, 20),
        'ori_shape': (12, 20),
    }


@pytest.mark.parametrize(('mode', 'bands'), [('L', 1), ('LA', 2), ('RGBA', 4)])
def test_grey_is_repeated_and_transparent_pixels_show_white(tmp_path, mode, bands):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, bands), dtype=np.uint8)
    if bands != 1:
        pixels[0, 0, -1], pixels[0, 1, -1] = 0, 255  # from invisible to opaque
    image = Image.fromarray(pixels[..., 0] if bands == 1 else pixels)
    assert image.mode == mode

    loaded = saved_pixels(image, tmp_path / 'image.png')

    colours = (pixels[..., :3] if bands == 4 else np.repeat(pixels[..., :1], 3, axis=2)).astype(np.float64)
    opacity = np.ones((7, 5, 1)) if bands == 1 else pixels[..., -1:] / 255
    assert np.abs(loaded - (colours * opacity + 255 * (1 - opacity))).max() <= 1  # Pillow rounds
    if bands != 1:
        assert loaded[0, 0].tolist() == [255, 255, 255]
        assert loaded[0, 1].tolist() == colours[0, 1].tolist()


@pytest.mark.parametrize('kind', ['png', 'tif'])
def test_16_bits_are_scaled_not_clipped(tmp_path, kind):
    values = np.array([[0, 128, 129, 257, 1000, 32768, 65406, 65407, 65535]], dtype=np.uint16)

    loaded = saved_pixels(Image.fromarray(values), tmp_path / f'depth.{kind}')

    # value / 257, to the nearest: 0.498, 0.502, 1, 3.89, 127.502, 254.498, 254.502
    expected = np.array([[0, 0, 1, 1, 4, 128, 254, 255, 255]])
    assert np.array_equal(loaded, np.repeat(expected[..., None], 3, axis=2))


def test_16_bits_of_the_other_byte_order(tmp_path):
    values = np.array([[0, 257, 256 * 257 - 257]], dtype='>u2')

    loaded = saved_pixels(Image.frombytes('I;16B', (3, 1), values.tobytes()), tmp_path / 'big_endian.tif')

    assert loaded[0, :, 0].tolist() == [0, 1, 255]


def test_palette(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8)).convert('P')
    image.putpalette([10, 20, 30, 200, 100, 0, 7, 8, 9])
    assert image.mode == 'P'

    loaded = saved_pixels(image, tmp_path / 'palette.png')

    assert loaded.tolist() == [[[10, 20, 30], [200, 100, 0]], [[7, 8, 9], [200, 100, 0]]]


def test_one_bit(tmp_path):
    image = Image.fromarray(np.array([[True, False, True]]))
    assert image.mode == '1'

    assert saved_pixels(image, tmp_path / 'bits.png').tolist() == [[[255] * 3, [0] * 3, [255] * 3]]


@pytest.mark.parametrize(('kind', 'tolerance'), [('tif', 0), ('jpg', 3)])
@pytest.mark.parametrize(
    ('ink', 'colour'), [((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 255), (0, 0, 0)), ((0, 0, 0, 0), (255, 255, 255))]
)
def test_cmyk(tmp_path, kind, tolerance, ink, colour):
    loaded = saved_pixels(Image.new('CMYK', (16, 16), ink), tmp_path / f'cmyk.{kind}')

    assert np.abs(loaded.astype(int) - np.array(colour)).max() <= tolerance


def test_a_picture_stored_turned_is_refused_unless_it_is_said_what_masks_are_drawn_on(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to display
    random_image(12, 20).save(tmp_path / 'turned.jpg', exif=exif)

    with pytest.raises(ValueError, match=r"image '.*turned\.jpg' is stored turned or mirrored \(EXIF orientation 6\)"):
        load(tmp_path / 'turned.jpg')
    for orientation, shape in (('apply', (20, 12)), ('ignore', (12, 20))):
        results = PILLoadImageFromFile(orientation=orientation).transform({'img_path': str(tmp_path / 'turned.jpg')})
        assert results['ori_shape'] == results['img_shape'] == shape
        assert (results['height'], results['width']) == shape == results['image'].size[::-1]


def test_the_pixel_limit_is_a_setting(tmp_path):
    random_image(12, 20).save(tmp_path / 'large.png')
    results = {'img_path': str(tmp_path / 'large.png')}
    assert PILLoadImageFromFile(max_pixels=240).transform(results)['ori_shape'] == (12, 20)
    with pytest.raises(ValueError, match=r"image '.*large\.png' has 20 x 12 px, more than max_pixels=239; make it"):
        PILLoadImageFromFile(max_pixels=239).transform(results)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'orientation': 'upright'}, r"orientation is 'upright', expected one of \('refuse', 'apply', 'ignore'\)"),
        ({'max_pixels': 0}, 'max_pixels is 0, expected a positive number of pixels'),
        ({'max_pixels': None}, 'max_pixels is None, expected a positive number of pixels'),
    ],
)
def test_image_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        PILLoadImageFromFile(**settings)


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / 'fifo.jpg')
    for path, kind in ((tmp_path / 'fifo.jpg', 'FIFO'), ('/dev/zero', 'device')):
        with pytest.raises(
            ValueError, match=rf"image '{path}' cannot be read \(.* is no regular file: a {kind}\); check"
        ):
            load(path)


def test_other_backends_are_read_as_mmengine_does(tmp_path, monkeypatch):
    image, buffer = random_image(12, 20), io.BytesIO()
    image.save(buffer, 'PNG')
    monkeypatch.setattr(fileio.HTTPBackend, 'get', lambda self, path: buffer.getvalue())
    loaded = load('http://images.cocodataset.org/train2014/one.png')['image']
    assert np.array_equal(np.asarray(loaded), np.asarray(image))


def test_missing_image_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"image '.*nowhere\.jpg' does not exist; check data_root and data_prefix"):
        load(tmp_path / 'nowhere.jpg')


@pytest.mark.parametrize('path', ['s3://bucket/a.jpg', 'unheard-of://bucket/a.jpg'])
def test_remote_images_whose_backend_is_not_there_are_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'petrel_client', None)
    with pytest.raises(ValueError, match=rf"image '{path}' has no file backend \(.*; install what it asks for"):
        PILLoadImageFromFile().transform({'img_path': path})


@pytest.mark.parametrize('kept', [0.0, 0.02, 0.5, 0.9])
@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'TIFF', pytest.param('AVIF', marks=needs_avif)])
def test_truncated_image_is_named(tmp_path, kind, kept):
    buffer = io.BytesIO()
    random_image(60, 80).save(buffer, kind)
    path = tmp_path / 'cut.img'
    path.write_bytes(buffer.getvalue()[: int(kept * buffer.tell())])

    with pytest.raises(ValueError, match=r"image '.*cut\.img' cannot be read \(.+\); download it again or convert it"):
        load(path)


@pytest.mark.parametrize('content', [b'<html>404</html>', b'{}', b'\xff\xd8\xff\xe0', b'\x89PNG\r\n\x1a\n' + bytes(40)])
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / 'page.jpg').write_bytes(content)

    with pytest.raises(ValueError, match=r"image '.*page\.jpg' cannot be read \(.+\)"):
        load(tmp_path / 'page.jpg')


def test_folder_is_named(tmp_path):
    (tmp_path / 'folder').mkdir()

    with pytest.raises(ValueError, match=r"image '.*folder' cannot be read \(.*Is a directory"):
        load(tmp_path / 'folder')


@pytest.mark.parametrize(
    ('pixels', 'mode'),
    [
        (np.array([[0.0, 0.5]], dtype=np.float32), 'F'),
        (np.array([[0, 65536]], dtype=np.int32), 'I'),
        (np.array([[-1, 255]], dtype=np.int32), 'I'),
    ],
)
def test_pixels_of_unknown_range_are_refused(tmp_path, pixels, mode):
    Image.fromarray(pixels).save(tmp_path / 'depth.tif')

    with pytest.raises(
        ValueError,
        match=rf"image '.*depth\.tif' cannot be read \(pixels of mode '{mode}' have no known range; convert to",
    ):
        load(tmp_path / 'depth.tif')


def test_decompression_bomb_is_named(tmp_path, monkeypatch):
    random_image(30, 30).save(tmp_path / 'bomb.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 400)

    with pytest.raises(
        ValueError, match=r"image '.*bomb\.png' cannot be read \(Image size \(900 pixels\) exceeds limit"
    ):
        load(tmp_path / 'bomb.png')


# --- RefCOCO2PNG


def item(phrases, *, height=100, width=160, seed=0, **extra):
    """What the loading transforms give: random blobs for masks."""
    rng = np.random.default_rng(seed)
    masks = (rng.random((len(phrases), height, width)) < 0.3).astype(np.uint8)
    return {
        'img_path': 'train/cats.jpg',
        'image': random_image(height, width, seed),
        'text': list(phrases),
        'gt_masks': BitmapMasks(masks, height, width),
        **extra,
    }


def prompt_oracle(tokenizer, prompt, num_image_tokens):
    """The chat of ``tiny_models`` written out, every special token by its id."""
    start, end, vision_start, vision_end, image = (
        tokenizer.convert_tokens_to_ids(f'<|{name}|>')
        for name in ('im_start', 'im_end', 'vision_start', 'vision_end', 'image_pad')
    )
    user, prompt_ids, newline, assistant = (
        plain_oracle(tokenizer, text) for text in ('user\n', prompt, '\n', 'assistant\n')
    )
    vision = [vision_start, *[image] * num_image_tokens, vision_end]
    return [start, *user, *vision, *prompt_ids, end, *newline, start, *assistant]


def plain_oracle(tokenizer, text):
    """Ids of single characters: a token's name can't be read out of them (the tiny tokenizer has no merges)."""
    return [token for character in text for token in tokenizer(character, add_special_tokens=False)['input_ids']]


def processed_oracle(masks, height, width):
    """The source pixel under the centre of each target pixel, in whole numbers."""
    source_height, source_width = masks.shape[-2:]
    rows = [(2 * row + 1) * source_height // (2 * height) for row in range(height)]
    columns = [(2 * column + 1) * source_width // (2 * width) for column in range(width)]
    return masks[:, rows][:, :, columns]


@pytest.mark.parametrize('independent', [True, False])
@pytest.mark.parametrize('family', FAMILIES)
def test_joint_layout_token_by_token(family, independent):
    wrapper = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor(family))
    phrases = ['left cat', 'é', 'a dog. or not']
    results = item(
        phrases,
        phrase_infos=[PhraseInfo(kind='name'), PhraseInfo(thing=True), PhraseInfo(plural=True)],
        dataset_name='refcoco_val',
        sample_idx=17,
    )

    sample = RefCOCO2PNG(image_processor=wrapper, prompt='<image>Where?', independent=independent).transform(results)

    # 100 x 160 becomes 112 x 168 or, in units of 32 px, 96 x 160.
    tokenizer, (h, w) = wrapper.tokenizer, {14: (4, 6), 16: (3, 5)}[PATCH_SIZES[family]]
    input_ids = prompt_oracle(tokenizer, 'Where?', h * w)
    mask_ids, prompt_length = [-1] * len(input_ids), len(input_ids)
    first, second, third = (plain_oracle(tokenizer, phrase) for phrase in phrases)
    dot = [] if independent else plain_oracle(tokenizer, '.')  # each by itself needs nothing between
    input_ids += [*first, *dot, *second, *dot, *third]
    between = [-1] * len(dot)
    mask_ids += [*[0] * 8, *between, *[1] * 2, *between, *[2] * 13]
    assert isinstance(sample, GroundingSample)
    assert (sample.prompt_length, sample.independent) == (prompt_length, independent)
    texts = [sample.input_ids[text].tolist() for text in sample.texts]
    assert texts == ([first, second, third] if independent else [input_ids[prompt_length:]])
    assert sample.input_ids.tolist() == input_ids
    assert sample.mask_ids.tolist() == mask_ids
    assert sample.input_ids.dtype == sample.mask_ids.dtype == torch.long
    assert sample.phrases == phrases
    assert sample.phrase_infos == results['phrase_infos']
    assert (sample.dataset_name, sample.sample_idx, sample.image_path) == ('refcoco_val', 17, 'train/cats.jpg')
    assert sample.image is results['image']
    assert sample.grid_size == (h, w)


@pytest.mark.parametrize('size', [(100, 160), (333, 77), (28, 28), (600, 250)])
def test_masks_in_both_frames(wrapper, size):
    results = item(['a', 'b'], height=size[0], width=size[1])
    truth = results['gt_masks'].to_ndarray().astype(bool)

    sample = RefCOCO2PNG(image_processor=wrapper, prompt='Where?').transform(results)

    processed = wrapper.preprocess(results['image'], prompt='Where?')
    frame = processed.views[0].meta_data['padded_shape']
    assert sample.meta_data == processed.views[0].meta_data
    assert torch.equal(sample.lmm_inputs['pixel_values'], processed.lmm_inputs['pixel_values'])
    assert torch.equal(sample.lmm_inputs['image_grid_thw'], processed.lmm_inputs['image_grid_thw'])
    assert sample.gt_masks.dtype == sample.masks.dtype == torch.bool
    assert np.array_equal(sample.gt_masks.numpy(), truth)
    assert np.array_equal(sample.masks.numpy(), processed_oracle(truth, frame['height'], frame['width']))


def test_split_layout_gives_each_phrase_its_own_sample(wrapper):
    phrases = ['left cat', 'dog', 'left cat']
    results = item(
        phrases,
        phrase_infos=[PhraseInfo(kind='name'), PhraseInfo(thing=True), PhraseInfo(plural=True)],
        dataset_name='refcoco_val',
        sample_idx=3,
    )
    truth = results['gt_masks'].to_ndarray().astype(bool)

    samples = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', concat=False).transform(results)

    context = prompt_oracle(wrapper.tokenizer, 'Where?', 4 * 6)
    assert len(samples) == 3
    for index, sample in enumerate(samples):
        phrase_ids = plain_oracle(wrapper.tokenizer, phrases[index])
        assert sample.input_ids.tolist() == context + phrase_ids
        assert sample.mask_ids.tolist() == [-1] * len(context) + [0] * len(phrase_ids)
        assert sample.phrases == [phrases[index]]
        assert sample.phrase_infos == [results['phrase_infos'][index]]
        assert np.array_equal(sample.gt_masks.numpy(), truth[index : index + 1])
        assert np.array_equal(sample.masks.numpy(), processed_oracle(truth[index : index + 1], 112, 168))
        assert (sample.dataset_name, sample.sample_idx) == ('refcoco_val', 3)


@pytest.mark.parametrize('concat', [True, False])
def test_an_item_without_truth_makes_samples_without_truth(wrapper, concat):
    transform = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', concat=concat)
    unlabelled = unlabelled_item(random_image(100, 160), ['cat', 'dog'])
    found, expected = transform.transform(unlabelled), transform.transform(item(['cat', 'dog']))
    for sample, labelled in [(found, expected)] if concat else zip(found, expected, strict=True):
        assert sample.masks is sample.gt_masks is None
        assert torch.equal(sample.input_ids, labelled.input_ids)
        assert torch.equal(sample.mask_ids, labelled.mask_ids)


def test_one_phrase_is_laid_out_the_same_either_way(wrapper):
    joint = RefCOCO2PNG(image_processor=wrapper, prompt='Where?').transform(item(['cat']))
    (apart,) = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', concat=False).transform(item(['cat']))

    assert torch.equal(joint.input_ids, apart.input_ids)
    assert torch.equal(joint.mask_ids, apart.mask_ids)
    assert joint.phrase_infos == apart.phrase_infos == [PhraseInfo()]
    assert (joint.dataset_name, joint.sample_idx) == ('dataset', 0)


@pytest.mark.parametrize('name', [*SPECIAL_TOKENS, '<|endoftext|>', '<image>'])
@pytest.mark.parametrize('concat', [True, False])
def test_special_tokens_in_phrases_stay_text(wrapper, name, concat):
    transform = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', concat=concat)

    samples = transform.transform(item([f'the {name}', name]))

    for mask_id, phrase in enumerate([f'the {name}', name]):
        sample = samples if concat else samples[mask_id]
        ids = sample.input_ids[sample.mask_ids == (mask_id if concat else 0)].tolist()
        assert ids == plain_oracle(wrapper.tokenizer, phrase)
        assert (sample.input_ids == wrapper.image_token_id).sum() == 4 * 6


@pytest.mark.parametrize('text', ['The Red  Star ', ' the\tred\nSTAR', 'the\xa0red\u3000star\ufeff', 'THE RED STAR'])
def test_tokens_are_those_of_the_prepared_phrase_and_phrases_stay_as_given(wrapper, text):
    for concat in (True, False):
        transform = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', concat=concat)
        written, plain = transform.transform(item([text, 'b'])), transform.transform(item(['the red star', 'b']))
        if not concat:
            written, plain = written[0], plain[0]
        assert torch.equal(written.input_ids, plain.input_ids)
        assert torch.equal(written.mask_ids, plain.mask_ids)
        assert written.phrases[0] == text


def test_composed_and_decomposed_letters_have_the_same_tokens(wrapper):
    transform = RefCOCO2PNG(image_processor=wrapper, prompt='Where?')

    composed, decomposed = (transform.transform(item([text])) for text in ('caf\xe9', 'cafe\u0301'))

    assert torch.equal(composed.input_ids, decomposed.input_ids)


def test_case_is_kept_where_the_setting_says_so(wrapper):
    transform = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', lowercase=False)

    sample = transform.transform(item([' The  Star']))

    assert sample.input_ids[sample.mask_ids == 0].tolist() == plain_oracle(wrapper.tokenizer, 'The Star')


def test_limits_of_tokens(wrapper):
    prompt_length = len(prompt_oracle(wrapper.tokenizer, 'Where?', 0))

    def transform(phrases, **limits):
        return RefCOCO2PNG(image_processor=wrapper, prompt='Where?', **limits).transform(item(phrases))

    transform(['a' * 256])
    with pytest.raises(
        ValueError,
        match=r"image 'train/cats\.jpg': phrase 'aaa.*\.\.\.a*' has 257 tokens, max_phrase_tokens is 256; short",
    ):
        transform(['b', 'a' * 257])
    together = {'independent': False}
    transform(['ab', 'c'], max_phrase_tokens=2, max_text_tokens=prompt_length + 4, **together)
    with pytest.raises(
        ValueError,
        match=r"image 'train/cats\.jpg': prompt and 2 phrases \(the longest is 'ab'\) have "
        rf'{prompt_length + 4} tokens, max_text_tokens is {prompt_length + 3}; give fewer phrases at a time',
    ):
        transform(['ab', 'c'], max_text_tokens=prompt_length + 3, **together)
    # Apart, each is read by itself, in a sequence of its own or not.
    limit = {'max_text_tokens': prompt_length + 2}
    assert len(transform(['ab', 'c'] * 50, **limit).phrases) == 100
    for settings in ({}, together):
        assert len(transform(['ab', 'c'], concat=False, **limit, **settings)) == 2
    for settings in ({}, {'concat': False}, {'concat': False, **together}):
        with pytest.raises(
            ValueError,
            match=r"image 'train/cats\.jpg': prompt and phrase 'abc' have "
            rf'{prompt_length + 3} tokens, max_text_tokens is {prompt_length + 2}; shorten them, or raise the setting',
        ):
            transform(['ab', 'abc', 'c'], **limit, **settings)


@pytest.mark.parametrize('settings', [{}, {'independent': False}, {'concat': False}], ids=str)
def test_an_image_that_is_processed_already_is_laid_out_the_same(wrapper, settings):
    transform = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', **settings)
    results = item(['cat', 'dog'])
    processed = wrapper.preprocess(results['image'], prompt='Where?')
    found, expected = transform.lay_out(results, processed), transform.transform(results)
    pairs = [(found, expected)] if transform.concat else list(zip(found, expected, strict=True))
    for sample, other in pairs:
        assert torch.equal(sample.input_ids, other.input_ids)
        assert torch.equal(sample.mask_ids, other.mask_ids)
        assert torch.equal(sample.gt_masks, other.gt_masks)
        assert begin_alike(sample, other)
        # Nothing of the image is copied, whatever is asked of it.
        assert sample.image is results['image']
        assert sample.lmm_inputs['pixel_values'] is processed.lmm_inputs['pixel_values']
    assert len(processed.input_ids) == pairs[0][0].prompt_length


@pytest.mark.parametrize('name', ['max_phrase_tokens', 'max_text_tokens'])
@pytest.mark.parametrize('value', [0, -1, True, 1.5, None])
def test_limits_are_checked(wrapper, name, value):
    with pytest.raises(ValueError, match=f'{name} is {value}, expected an integer above 0'):
        RefCOCO2PNG(image_processor=wrapper, prompt='Where?', **{name: value})


@pytest.mark.parametrize('name', ['concat', 'independent', 'lowercase'])
@pytest.mark.parametrize('value', [None, 0, 'False'])
def test_what_is_neither_true_nor_false_is_refused(wrapper, name, value):
    with pytest.raises(ValueError, match=f'{name} is {value!r}, expected True or False'):
        RefCOCO2PNG(image_processor=wrapper, prompt='Where?', **{name: value})


@pytest.mark.parametrize('prompt', [None, 7, ['Where?']])
def test_a_prompt_that_is_no_text_is_refused(wrapper, prompt):
    with pytest.raises(ValueError, match=re.escape(f'prompt {prompt!r} is of type {type(prompt).__name__}, expected')):
        RefCOCO2PNG(image_processor=wrapper, prompt=prompt)


def test_transform_leaves_the_item_as_it_is(wrapper):
    results, copy = item(['cat', 'dog']), item(['cat', 'dog'])

    RefCOCO2PNG(image_processor=wrapper, prompt='Where?').transform(results)

    assert results.keys() == copy.keys()
    assert results['text'] == copy['text']
    assert np.array_equal(results['gt_masks'].to_ndarray(), copy['gt_masks'].to_ndarray())


@pytest.mark.parametrize('concat', [True, False])
@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'text': ['cat', '']}, "image 'train/cats.jpg': phrase '' has no letter or digit; fill it or leave it out"),
        ({'text': ['cat', ' . ']}, "image 'train/cats.jpg': phrase ' . ' has no letter or digit"),
        ({'text': ['cat', 7]}, "image 'train/cats.jpg': phrase 7 is of type int, expected a string"),
        ({'text': ['cat', 'a\ud800']}, "image 'train/cats.jpg': phrase 'a\\ud800' holds the lone surrogate '\\ud800'"),
        ({'text': ['cat']}, "image 'train/cats.jpg' has 1 phrases and 2 masks; give one mask each"),
        ({'text': ['a', 'b', 'c']}, "image 'train/cats.jpg' has 3 phrases and 2 masks; give one mask each"),
        ({'text': []}, "image 'train/cats.jpg' has no phrase; leave it out of the dataset"),
        ({'text': None}, "image 'train/cats.jpg' has a NoneType for phrases; give a list of strings"),
        ({'text': {'cat', 'dog'}}, "image 'train/cats.jpg' has a set for phrases; give a list of strings"),
        ({'text': {'cat': 1, 'dog': 2}}, "image 'train/cats.jpg' has a dict for phrases; give a list of strings"),
        (
            {'text': np.array(['cat', 'dog'])},
            "image 'train/cats.jpg' has a ndarray for phrases; give a list of strings",
        ),
        ({'text': 'it'}, "image 'train/cats.jpg' has the string 'it' for phrases; give a list of strings"),
        (
            {'image': random_image(160, 100)},
            "masks of image 'train/cats.jpg' have size (100, 160), the image has (160, 100); check that",
        ),
    ],
)
def test_items_that_do_not_fit_are_refused(wrapper, concat, changes, message):
    transform = RefCOCO2PNG(image_processor=wrapper, prompt='Where?', concat=concat)

    with pytest.raises(ValueError, match=re.escape(message)):
        transform.transform({**item(['cat', 'dog']), **changes})


def test_image_that_the_processor_refuses_is_named(wrapper):
    transform = RefCOCO2PNG(image_processor=wrapper, prompt='Where?')

    with pytest.raises(ValueError, match=r"image 'train/cats\.jpg': absolute aspect ratio must be smaller than 200"):
        transform.transform(item(['cat'], height=402, width=2))


def test_configs_build_it_with_the_processor_of_a_folder(tmp_path):
    tiny_processor().save_pretrained(tmp_path)
    processor = {
        'type': 'QwenImageProcessorWrapper',
        'pretrained_model_name_or_path': str(tmp_path),
        'max_pixels': 56 * 56,
    }

    transform = TRANSFORMS.build({'type': 'RefCOCO2PNG', 'image_processor': processor, 'prompt': 'Where?'})

    assert type(transform) is RefCOCO2PNG
    assert transform.transform(item(['cat'], height=100, width=100)).grid_size == (2, 2)
