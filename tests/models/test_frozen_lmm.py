"""What was read of an image can be kept and used later, and nothing of the LMM changes, however many threads run it."""

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
import torch
from tiny_families import build_grounder, build_wrapper, make_sample
from tiny_grounder import LOSSES, tiny_grounder
from tiny_models import tiny_lmm, tiny_processor, tiny_sam
from tiny_reading import photo
from tiny_samples import tiny_sample

from flmm.datasets import QwenImageProcessorWrapper, RefCOCO2PNG
from flmm.grounder import Grounder
from flmm.models import FrozenQwenSAM, SAMWrapper, two_passes

pytestmark = pytest.mark.usefixtures('on_one_thread')

some_families = pytest.mark.parametrize('model_type', ['qwen2_5_vl', 'qwen3_vl', 'qwen3_5', 'llava_next'])


def assert_same(found, expected, *, hidden_to=1e-4):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.attentions, other.attentions, atol=1e-5, rtol=0)
        torch.testing.assert_close(one.hidden_states, other.hidden_states, atol=hidden_to, rtol=1e-5)
        torch.testing.assert_close(one.image_embedding['image'], other.image_embedding['image'], atol=1e-5, rtol=0)


@some_families
@pytest.mark.parametrize('independent', [True, False])
def test_what_was_read_can_be_used_later(model_type, independent, monkeypatch):
    monkeypatch.setattr(two_passes, 'MAX_FORWARD_TOKENS', 100_000)  # all prompts go together
    model, wrapper = build_grounder(model_type), build_wrapper(model_type)
    settings = {'size': (120, 90), 'independent': independent}
    image = make_sample(wrapper, ['x'], **settings).image
    first, second = (
        make_sample(wrapper, phrases, image=image, **settings) for phrases in (['a', 'the cat'], ['on the left', 'b'])
    )
    other = make_sample(wrapper, ['dog'], size=(60, 100), seed=7)
    expected = model.encode([first]) + model.encode([second]) + model.encode([other])
    reading = model.read_image(first)
    ran = []
    for name, module in (('prompt', model.lmm.model), ('SAM', model.sam.model.image_encoder)):
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    read = [sample.with_outputs(reading=reading) for sample in (first, second)]
    again = [model.encode([sample]) for _ in range(2) for sample in read]
    assert ran == []
    assert_same([features for (features,) in again], expected[:2] * 2)
    for one, other_time in zip(again[:2], again[2:], strict=True):  # what is kept is not changed by its use
        assert torch.equal(one[0].attentions, other_time[0].attentions)
        assert torch.equal(one[0].hidden_states, other_time[0].hidden_states)
    # Together, and beside what was not read.
    assert_same(model.encode([read[0], other, read[1], first]), [*[expected[i] for i in (0, 2, 1, 0)]])
    assert sorted(ran) == ['SAM', *['prompt'] * (2 if model_type == 'qwen3_5' else 1)]
    for (found,), (own,) in (
        (model([sample], mode='predict') for sample in pair) for pair in zip(read, (first, second), strict=True)
    ):
        torch.testing.assert_close(found.sam_pred_masks, own.sam_pred_masks, atol=1e-4, rtol=0)


def test_a_reading_of_another_prompt_or_image_is_refused():
    model, wrapper = build_grounder('qwen2_5_vl'), build_wrapper('qwen2_5_vl')
    sample = make_sample(wrapper, ['a'])
    reading = model.read_image(sample)
    other_prompt = make_sample(wrapper, ['a'], image=sample.image, prompt='What is that?')
    length = sample.prompt_length
    message = rf"image 'random_0\.jpg' begins otherwise than the {length} tokens that were read; read the image again"
    with pytest.raises(ValueError, match=message):
        model.encode([other_prompt.with_outputs(reading=reading)])
    same_size = make_sample(wrapper, ['a'], seed=3)
    assert torch.equal(same_size.input_ids, sample.input_ids)  # the tokens alone would not tell
    with pytest.raises(
        ValueError, match=r"image 'random_3\.jpg' is not the image that was read, or it is read by other"
    ):
        model.encode([sample, same_size.with_outputs(reading=reading)])


@pytest.mark.parametrize(('read', 'asked'), [('What', 'What is it'), ('What is it', 'What')])
def test_a_reading_of_a_longer_or_shorter_prompt_is_refused(read, asked):
    """Behind a template that ends with the prompt, one may begin as the other does."""
    model, wrapper = build_grounder('llava'), build_wrapper('llava', prompt_template='<image>{prompt}')
    first = make_sample(wrapper, ['a'], prompt=read)
    second = make_sample(wrapper, ['is it there'], image=first.image, prompt=asked)
    shorter = min(first.prompt_length, second.prompt_length)
    assert torch.equal(first.input_ids[:shorter], second.input_ids[:shorter])
    message = (
        rf"the prompt of image 'random_0\.jpg' has {second.prompt_length} tokens, {first.prompt_length} were read; "
        'read the image again with its own prompt'
    )
    with pytest.raises(ValueError, match=message):
        model.encode([second.with_outputs(reading=model.read_image(first))])


@pytest.mark.parametrize('other', ['LMM', 'image encoder of SAM'])
def test_a_reading_of_another_model_is_refused(other):
    model, sample = tiny_grounder(), tiny_sample(['a'])
    of_another = FrozenQwenSAM(
        lmm=tiny_lmm(seed=5 if other == 'LMM' else 0),
        sam=SAMWrapper(sam=tiny_sam(seed=0 if other == 'LMM' else 5)),
        mask_head={'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 16},
        **LOSSES,
    )
    reading = of_another.read_image(sample)
    message = rf"the reading of image 'random_0\.jpg' was made by another {other} \(.*\) than the model has \("
    for run in (model.encode, model.run_lmm):
        with pytest.raises(ValueError, match=message):
            run([sample.with_outputs(reading=reading)])
    (features,) = tiny_grounder(layers=[0]).encode([sample.with_outputs(reading=model.read_image(sample))])
    assert torch.equal(features.attentions, tiny_grounder(layers=[0]).encode([sample])[0].attentions)


class Noticed(torch.Tensor):
    """A tensor that writes down where it is moved."""

    places: ClassVar[list] = []

    def to(self, device):
        self.places.append(device)
        return self.as_subclass(torch.Tensor)


def test_pixels_that_stayed_behind_come_along_where_the_image_is_read_again():
    """Samples of a reading move without their pixels; a conversation needs the layers that were left out."""
    model, sample = tiny_grounder(layers=[0]), tiny_sample(['a'])
    expected = model.image_prefix(sample)
    read = sample.with_outputs(
        reading=model.read_image(sample),
        lmm_inputs={name: value.as_subclass(Noticed) for name, value in sample.lmm_inputs.items()},
    )
    prefix = model.image_prefix(read)
    assert Noticed.places == [sample.input_ids.device] * len(sample.lmm_inputs)
    for part, own in zip((*prefix.keys, *prefix.values), (*expected.keys, *expected.values), strict=True):
        assert torch.equal(part, own)
    Noticed.places.clear()
    input_ids = torch.cat([expected.input_ids, expected.input_ids[1:], sample.input_ids[-1:]])
    further = model.further_image_prefix(prefix, [read, sample], input_ids)
    assert Noticed.places == [sample.input_ids.device] * len(sample.lmm_inputs)
    own = model.further_image_prefix(prefix, [sample, sample], input_ids)
    assert torch.equal(further.keys[1], own.keys[1])


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_the_memory_of_a_prefix_is_as_the_formula_says(dtype):
    model, sample = tiny_grounder(), tiny_sample(['a', 'the cat'])
    model.lmm.to(dtype)
    config = model.lmm.config.get_text_config()
    prefix = model.read_image(sample).prefix
    head_dim = config.hidden_size // config.num_attention_heads
    numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * head_dim * sample.prompt_length
    assert prefix.num_bytes == numbers * dtype.itemsize
    assert torch.equal(prefix.input_ids, sample.input_ids[: sample.prompt_length])
    shallow = tiny_grounder(layers=[0]).read_image(sample).prefix
    assert shallow.num_bytes == 2 * config.num_key_value_heads * head_dim * sample.prompt_length * 4


def parts_of(lmm):
    """What a forward could leave behind: modules by name, their hooks and their plain attributes."""
    return {
        name: (id(module), {**vars(module)}, [*module._modules.values()], {**module._forward_hooks})
        for name, module in lmm.named_modules()
    }


@pytest.mark.parametrize('model_type', ['qwen2_5_vl', 'qwen3_vl', 'qwen3_5', 'llava', 'deepseek_vl'])
@pytest.mark.parametrize('chosen', [{}, {'heads': [(1, 2)]}], ids=str)
def test_a_forward_changes_nothing_of_the_lmm(model_type, chosen):
    model, sample = build_grounder(model_type, **chosen), make_sample(build_wrapper(model_type), ['a', 'the cat'])
    decoder = model.lmm.model.language_model
    if hasattr(model.lmm.model, 'rope_deltas'):
        model.lmm.model.rope_deltas = mark = torch.tensor([[7]])
    model([sample], mode='predict')  # transformers marks a vision tower whose layers' outputs it has once collected
    layers, before = decoder.layers, parts_of(model.lmm)
    model([sample], mode='predict')
    model([sample.with_outputs(reading=model.read_image(sample))], mode='predict')
    assert decoder.layers is layers
    assert len(layers) == model.num_layers
    after = parts_of(model.lmm)
    assert after.keys() == before.keys()
    for name, (number, attributes, children, hooks) in after.items():
        assert number == before[name][0], name
        assert attributes.keys() == before[name][1].keys(), name
        assert all(value is before[name][1][key] for key, value in attributes.items()), name
        assert len(children) == len(before[name][2]), name
        assert all(one is other for one, other in zip(children, before[name][2], strict=True)), name
        assert hooks == before[name][3], name
    if hasattr(model.lmm.model, 'rope_deltas'):
        assert model.lmm.model.rope_deltas is mark


def test_a_forward_that_fails_changes_nothing_either():
    model, sample = tiny_grounder(layers=[0]), tiny_sample(['a'])
    layers = model.lmm.model.language_model.layers
    handle = layers[0].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.encode([sample])
    handle.remove()
    assert model.lmm.model.language_model.layers is layers
    expected = tiny_grounder(layers=[0]).encode([sample])
    assert torch.equal(model.encode([sample])[0].attentions, expected[0].attentions)


THREADS, CALLS = 4, 40
"""So many threads, and calls of each."""


@pytest.fixture
def two_grounders():
    """Two grounders over one LMM and one tokenizer; the second reads chosen heads of fewer layers."""
    model = tiny_grounder()
    torch.manual_seed(1)
    chosen = FrozenQwenSAM(
        lmm=model.lmm,
        mask_head={'type': 'flmm.UNetHead', 'base_channels': 4, 'upsample_input': 16},
        sam=SAMWrapper(sam=tiny_sam()),
        heads=[(0, 2), (0, 3)],
        **LOSSES,
    )
    processor = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())
    to_sample = RefCOCO2PNG(image_processor=processor, prompt='Look.')
    return [Grounder(model=each, to_sample=to_sample) for each in (model, chosen)]


def test_threads_that_share_an_lmm_get_what_one_alone_gets(two_grounders):
    """Reading, grounding and attention, with images and phrases of their own."""

    def ask(number):
        grounder = two_grounders[number % 2]
        read = grounder.read(photo((60 + number % 5 * 14, 50 + number % 3 * 28), seed=number % 7))
        found = read.ground([f'thing {number % 11}', 'a cat', 'x' * (1 + number % 13)])
        attention = read.attention(f'word {number % 4}')
        return [found.coarse.small, found.refined.small, found.scores, attention.maps]

    numbers = [number % 24 for number in range(THREADS * CALLS)]
    expected = [ask(number) for number in range(24)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(ask, numbers))
    for number, one in zip(numbers, found, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, expected[number], strict=True)), number


def test_threads_that_ask_about_one_image_get_what_one_alone_gets(two_grounders):
    reads = [grounder.read(photo()) for grounder in two_grounders]

    def ask(number):
        return reads[number % 2].ground([f'thing {number % 9}', 'a cat']).refined.small

    numbers = [number % 18 for number in range(THREADS * CALLS)]
    expected = [ask(number) for number in range(18)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(ask, numbers))
    assert all(torch.equal(one, expected[number]) for number, one in zip(numbers, found, strict=True))


@some_families
def test_phrases_of_one_sample_are_predicted_as_those_of_samples_of_their_own(model_type):
    model, wrapper = build_grounder(model_type), build_wrapper(model_type)
    phrases, settings = ['a', 'the cat', 'on the left', 'b'], {'size': (120, 90)}
    together = make_sample(wrapper, phrases, **settings)
    other = make_sample(wrapper, ['dog', 'the other one'], size=(60, 100), seed=7)
    apart = make_sample(wrapper, phrases, image=together.image, concat=False, **settings)

    found = model([together, other], mode='predict')[0]
    expected = [model([sample], mode='predict')[0] for sample in apart]

    assert len(expected) == 4
    for source in ('coarse', 'refined'):
        own = torch.cat([getattr(sample, source).small for sample in expected])
        torch.testing.assert_close(getattr(found, source).small, own, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.sam_scores, torch.cat([sample.sam_scores for sample in expected]))
