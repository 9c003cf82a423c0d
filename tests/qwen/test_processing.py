"""The adaptive processors: placeholders, settings from every place, saving and loading, videos, errors."""

import pytest
import torch
from tiny_adaptive import (
    IMAGE_SPAN,
    MODELS,
    PROCESSORS,
    VIDEO_SPAN,
    adaptive_lmm,
    adaptive_processor,
    half_smooth_image,
)
from tiny_models import FAMILIES, tiny_lmm, tiny_processor
from transformers import AutoImageProcessor, AutoProcessor, Qwen2VLImageProcessor

from flmm.qwen import AdaptiveQwen2VLImageProcessor

IMAGES = [half_smooth_image(size, seed=i) for i, size in enumerate([(140, 168), (84, 200), (60, 60)])]
TEXTS = [f'a{IMAGE_SPAN}b {IMAGE_SPAN}what is it', f'{IMAGE_SPAN}?']


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('settings', [{'patch_selection_method': 'none'}, {'patch_selection_method': 'budget'}])
def test_none_and_the_whole_budget_give_the_stock_inputs_and_logits(family, settings):
    arguments = {'images': IMAGES, 'text': TEXTS, 'padding': True, 'return_tensors': 'pt'}
    expected = tiny_processor(family)(**arguments)
    found = adaptive_processor(family)(**arguments, images_kwargs=settings)
    assert set(found) == {*expected, 'image_layout', 'image_num_tokens'}
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    with torch.no_grad():
        logits = adaptive_lmm(family)(**found).logits
        assert torch.equal(logits, tiny_lmm(family)(**expected).logits)


@pytest.mark.parametrize('family', FAMILIES)
def test_an_image_has_as_many_placeholders_as_tokens(family):
    processor = adaptive_processor(family)
    found = processor(images=IMAGES, text=TEXTS, padding=True, padding_side='left', return_tensors='pt')
    counts = found['image_num_tokens'].tolist()
    assert counts[0] < 30
    for ids, text, of_text in zip(found['input_ids'], TEXTS, (counts[:2], counts[2:]), strict=True):
        expected = text
        for count in of_text:
            expected = expected.replace(IMAGE_SPAN, IMAGE_SPAN.replace('<|image_pad|>', '#' * count), 1)
        expected = expected.replace('#', '<|image_pad|>')
        assert processor.tokenizer.decode(ids[ids != processor.tokenizer.pad_token_id]) == expected
    assert torch.equal(found['mm_token_type_ids'] == 1, found['input_ids'] == processor.image_token_id)
    assert adaptive_lmm(family).generate(**found, max_new_tokens=2).shape == (2, found['input_ids'].shape[1] + 2)


def test_settings_come_from_images_kwargs_flat_arguments_attributes_and_the_constructor():
    image = half_smooth_image((308, 420))
    processor = adaptive_processor(patch_selection_method='budget', alpha=0.6)

    def num_tokens(**settings):
        found = processor(images=image, text=IMAGE_SPAN, **settings)
        assert found['input_ids'][0].count(processor.image_token_id) == found['image_num_tokens']
        return int(found['image_num_tokens'])

    assert num_tokens() == 99
    assert num_tokens(images_kwargs={'patch_selection_method': 'budget', 'alpha': 0.4}) == 66
    assert num_tokens(alpha=0.5) == 81
    assert num_tokens(patch_selection_method='none') == 165
    processor.image_processor.alpha = 0.4
    assert num_tokens() == 66
    processor.image_processor.patch_selection_method = 'none'
    assert num_tokens() == 165


def test_the_chat_template_takes_settings():
    conversation = [
        {'role': 'user', 'content': [{'type': 'image', 'image': IMAGES[0]}, {'type': 'text', 'text': 'hm'}]}
    ]
    found = adaptive_processor().apply_chat_template(
        conversation,
        tokenize=True,
        return_dict=True,
        return_tensors='pt',
        processor_kwargs={'images_kwargs': {'patch_selection_method': 'budget', 'alpha': 0.5}},
    )
    assert found['image_num_tokens'].tolist() == [15]  # 5x6 units
    assert int((found['mm_token_type_ids'] == 1).sum()) == 15


@pytest.mark.parametrize('family', FAMILIES)
def test_a_stock_folder_is_read(family, tmp_path):
    stock = tiny_processor(family)
    stock.image_processor.size = {'shortest_edge': 56 * 56, 'longest_edge': 28 * 28 * 12}
    stock.save_pretrained(tmp_path)
    processor = PROCESSORS[family].from_pretrained(tmp_path)
    assert type(processor.image_processor) is AdaptiveQwen2VLImageProcessor
    assert processor.image_processor.patch_selection_method == 'v1'
    assert processor.chat_template == stock.chat_template
    found = processor(images=IMAGES[0], text=IMAGE_SPAN, patch_selection_method='none', return_tensors='pt')
    for name, value in stock(images=IMAGES[0], text=IMAGE_SPAN, return_tensors='pt').items():
        assert torch.equal(found[name], value)
    processor = PROCESSORS[family].from_pretrained(tmp_path, patch_selection_method='budget', alpha=0.3)
    assert (processor.image_processor.patch_selection_method, processor.image_processor.alpha) == ('budget', 0.3)
    assert type(AutoProcessor.from_pretrained(tmp_path)) is type(stock)
    assert type(AutoImageProcessor.from_pretrained(tmp_path)) is Qwen2VLImageProcessor


@pytest.mark.parametrize('family', FAMILIES)
def test_settings_are_saved(family, tmp_path):
    processor = adaptive_processor(family, patch_selection_method='budget', alpha=0.4)
    processor.image_processor.method = 'laplacian'
    processor.save_pretrained(tmp_path)
    for loader in (PROCESSORS[family], AutoProcessor):
        loaded = loader.from_pretrained(tmp_path)
        assert type(loaded) is PROCESSORS[family]
        assert type(loaded.image_processor) is AdaptiveQwen2VLImageProcessor
        expected = processor(images=IMAGES[0], text=IMAGE_SPAN, return_tensors='pt')
        for name, value in loaded(images=IMAGES[0], text=IMAGE_SPAN, return_tensors='pt').items():
            assert torch.equal(value, expected[name])
    assert PROCESSORS[family].from_pretrained(tmp_path, alpha=0.2).image_processor.alpha == 0.2


def test_settings_are_saved_with_the_image_processor_alone(tmp_path):
    adaptive_processor().save_pretrained(tmp_path / 'one')
    processor = PROCESSORS['qwen2_5_vl'].from_pretrained(tmp_path / 'one', patch_selection_method='budget', alpha=0.3)
    processor.save_pretrained(tmp_path / 'other')
    saved = {file.name: file.read_text() for file in (tmp_path / 'other').glob('*.json')}
    assert [name for name, text in saved.items() if 'patch_selection_method' in text] == ['processor_config.json']


@pytest.mark.parametrize('settings', [{}, {'alpha': 0.4}])
def test_a_given_image_processor_is_taken(tmp_path, settings):
    adaptive_processor().save_pretrained(tmp_path)
    load = PROCESSORS['qwen2_5_vl'].from_pretrained
    found = load(tmp_path, image_processor=Qwen2VLImageProcessor(max_pixels=99999)).image_processor
    assert type(found) is AdaptiveQwen2VLImageProcessor
    assert found.size['longest_edge'] == 99999
    given = AdaptiveQwen2VLImageProcessor(patch_selection_method='budget', alpha=0.2)
    found = load(tmp_path, image_processor=given, **settings).image_processor
    assert (found.patch_selection_method, found.alpha) == ('budget', settings.get('alpha', 0.2))


def test_the_choice_of_a_backend_is_left_to_the_stock_loader(tmp_path):
    adaptive_processor().save_pretrained(tmp_path)
    processor = PROCESSORS['qwen2_5_vl'].from_pretrained(tmp_path, backend='torchvision')
    assert type(processor.image_processor) is AdaptiveQwen2VLImageProcessor


def test_a_stock_image_processor_hands_over_its_settings():
    stock = tiny_processor()
    stock.image_processor.image_mean = (0.1, 0.2, 0.3)
    processor = PROCESSORS['qwen2_5_vl'](
        image_processor=stock.image_processor, tokenizer=stock.tokenizer, video_processor=stock.video_processor
    )
    assert type(processor.image_processor) is AdaptiveQwen2VLImageProcessor
    assert processor.image_processor.image_mean == (0.1, 0.2, 0.3)
    with pytest.raises(TypeError, match='Received a NoneType for argument image_processor'):
        PROCESSORS['qwen2_5_vl'](tokenizer=stock.tokenizer, video_processor=stock.video_processor)


@pytest.mark.parametrize('family', FAMILIES)
def test_text_and_videos_pass_through(family):
    stock, processor = tiny_processor(family), adaptive_processor(family)
    video = torch.randint(256, (4, 3, 56, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    settings = {'do_sample_frames': False, 'return_tensors': 'pt'}
    if family == 'qwen2_5_vl':
        settings['video_metadata'] = [{'fps': 2.0, 'total_num_frames': 4, 'frames_indices': [0, 1, 2, 3]}]
    for arguments in ({'text': 'plain text'}, {'text': f'{VIDEO_SPAN}when', 'videos': [video]}):
        expected, found = (each(**arguments, **settings) for each in (stock, processor))
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert torch.equal(torch.as_tensor(found[name]), torch.as_tensor(value)), name
    both = processor(text=f'{VIDEO_SPAN}{IMAGE_SPAN}', videos=[video], images=IMAGES[0], **settings)
    assert int((both['mm_token_type_ids'] == 2).sum()) == both['video_grid_thw'].prod() // 4
    assert int((both['mm_token_type_ids'] == 1).sum()) == both['image_num_tokens'] < 30


def test_the_number_of_placeholders_that_depends_on_the_pixels_is_refused():
    processor = adaptive_processor()
    with pytest.raises(ValueError, match="patch_selection_method is 'v1': the number of patches depends on the image"):
        processor._get_num_multimodal_tokens(image_sizes=[(140, 168)])
    processor.image_processor.patch_selection_method = 'none'
    assert processor._get_num_multimodal_tokens(image_sizes=[(140, 168)]).num_image_tokens == [30]
    settings = {'patch_selection_method': 'budget', 'alpha': 0.5}
    assert processor._get_num_multimodal_tokens(image_sizes=[(140, 168)], **settings).num_image_tokens == [15]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            {'images_kwargs': {'patch_selection_method': 'v3'}},
            "is 'v3', expected one of .*'none', 'v1', 'v2', 'budget'",
        ),
        ({'patch_selection_method': 'budget', 'alpha': 2.0}, r'alpha is 2.0, expected .* \(0, 1\]'),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        adaptive_processor()(images=IMAGES[0], text=IMAGE_SPAN, **settings)


def test_model_input_names_have_the_layout():
    processor = adaptive_processor()
    assert {'image_layout', 'image_num_tokens', *tiny_processor().model_input_names} == set(processor.model_input_names)


@pytest.mark.parametrize('family', FAMILIES)
def test_a_folder_of_a_whole_stock_model_is_read(family, tmp_path):
    tiny_lmm(family).save_pretrained(tmp_path)
    tiny_processor(family).save_pretrained(tmp_path)
    processor, model = (kind.from_pretrained(tmp_path) for kind in (PROCESSORS[family], MODELS[family]))
    found = processor(images=IMAGES[0], text=f'{IMAGE_SPAN}hm', return_tensors='pt')
    with torch.no_grad():
        assert torch.equal(model(**found).logits, adaptive_lmm(family)(**found).logits)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('saved', ['stock', 'adaptive'])
@pytest.mark.parametrize(
    'settings',
    [
        {'patch_selection_method': 'none', 'patch_size': 16},
        {'patch_size': 16, 'patch_selection_method': 'none'},
        {'patch_selection_method': 'none', 'merge_size': 3, 'max_pixels': 99999},
        {'patch_selection_method': 'budget', 'alpha': 0.3, 'merge_size': 1, 'min_pixels': 28 * 28},
        {'alpha': 0.3, 'method': 'laplacian', 'patch_selection_method': 'v2', 'laplacian_aggregate': 'max'},
        {'thresholds': [2.5, 1.5], 'do_normalize': False},
    ],
)
def test_settings_are_applied_together_when_loading(family, saved, settings, tmp_path):
    processor = tiny_processor(family) if saved == 'stock' else adaptive_processor(family)
    processor.save_pretrained(tmp_path)
    stock = tiny_processor(family).image_processor
    of_family = {name: getattr(stock, name) for name in ('patch_size', 'image_mean', 'image_std')}
    expected = AdaptiveQwen2VLImageProcessor(**of_family | settings).to_dict()
    loaded = PROCESSORS[family].from_pretrained(tmp_path, **settings)
    assert loaded.image_processor.to_dict() == expected
    assert AdaptiveQwen2VLImageProcessor.from_pretrained(tmp_path, **settings).to_dict() == expected
    given = PROCESSORS[family].from_pretrained(tmp_path, image_processor=stock, **settings)
    assert given.image_processor.to_dict() == expected
    if saved == 'adaptive':
        assert AutoProcessor.from_pretrained(tmp_path, **settings).image_processor.to_dict() == expected
    loaded.save_pretrained(tmp_path)
    assert PROCESSORS[family].from_pretrained(tmp_path).image_processor.to_dict() == expected


def test_settings_that_exclude_each_other_are_refused_when_loading(tmp_path):
    adaptive_processor().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='merge_size is 3, expected 1 or 2'):
        PROCESSORS['qwen2_5_vl'].from_pretrained(tmp_path, merge_size=3)
    with pytest.raises(ValueError, match='alpha is 3, expected a share'):
        PROCESSORS['qwen2_5_vl'].from_pretrained(tmp_path, patch_selection_method='budget', alpha=3)


def test_given_parts_are_taken_and_others_loaded(tmp_path):
    processor = adaptive_processor()
    processor.save_pretrained(tmp_path)
    tokenizer, videos = processor.tokenizer, processor.video_processor
    load = PROCESSORS['qwen2_5_vl'].from_pretrained
    loaded = load(tmp_path, tokenizer=tokenizer, video_processor=videos, chat_template='hm')
    assert (loaded.tokenizer, loaded.video_processor, loaded.chat_template) == (tokenizer, videos, 'hm')
    assert load(tmp_path, tmp_path / 'cache', False, True).to_dict() == processor.to_dict()  # the stock places
    with pytest.raises(TypeError, match='Received a NoneType for argument image_processor'):
        load(tmp_path, image_processor=None)


@pytest.mark.parametrize('family', FAMILIES)
def test_the_stock_processor_reads_an_adaptive_folder_as_dense(family, tmp_path):
    adaptive_processor(family, patch_selection_method='budget', alpha=0.3).save_pretrained(tmp_path)
    stock = tiny_processor(family)
    loaded = type(stock).from_pretrained(tmp_path)
    assert type(loaded.image_processor) is type(AutoImageProcessor.from_pretrained(tmp_path)) is Qwen2VLImageProcessor
    arguments = {'images': IMAGES, 'text': TEXTS, 'padding': True, 'return_tensors': 'pt'}
    expected, found = stock(**arguments), loaded(**arguments)
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    # What the stock class saves again, an adaptive one reads with the settings.
    loaded.save_pretrained(tmp_path)
    again = PROCESSORS[family].from_pretrained(tmp_path).image_processor
    assert (again.patch_selection_method, again.alpha) == ('budget', 0.3)


def test_a_stock_processor_around_an_adaptive_image_processor_is_named_as_the_cause():
    stock = tiny_processor()
    stock.image_processor = AdaptiveQwen2VLImageProcessor(patch_selection_method='budget', alpha=0.3)
    found = stock(images=IMAGES[0], text=IMAGE_SPAN, return_tensors='pt')
    with pytest.raises(ValueError, match='adaptive processor makes both, a stock one counts the tokens'):
        adaptive_lmm()(**found)
