"""Published LMMs at full size: the command at reduced depth with a small SAM, and each of its checks."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from full_sizes import lmms, measure
from full_sizes.checks import CheckError, check_gradients, check_maps, one_minus_text, watched_maps
from full_sizes.lmms import published_lmm, random_lmm
from full_sizes.memory import estimated_gb, peak_gb
from full_sizes.processors import IMAGE_TOKEN, published_processor
from tiny_families import build_grounder, build_wrapper, make_sample

from flmm.families import FAMILIES
from flmm.memory import Load, estimated_bytes
from flmm.models.published_lmms import published_config
from flmm.pretrained import lmm_from_config

TWO_VIEWS = 'llava_next'


class InThisProcess:
    """Stands for the pool of one new process: what is patched here would not be patched there."""

    def __init__(self, **kwargs):
        assert kwargs['max_workers'] == 1
        assert kwargs['mp_context'].get_start_method() == 'spawn'

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def submit(self, call, *args):
        self.value = call(*args)
        return self

    def result(self):
        return self.value


def test_the_command_at_reduced_depth(monkeypatch, tmp_path, capsys):
    import full_size

    monkeypatch.setattr(full_size, 'ProcessPoolExecutor', InThisProcess)
    monkeypatch.setattr(measure, 'MODEL', measure.BASE / 'models' / 'frozen_lmm_small_sam.py')
    monkeypatch.setattr(measure, 'SIZE', (168, 168))
    monkeypatch.setattr(
        lmms, 'published_config', lambda name, **kwargs: published_config(name, vocab_size=300, **kwargs)
    )
    command = ['full_size.py', 'qwen2_vl_2b', '--layers', '1', '--work-dir', str(tmp_path)]
    monkeypatch.setattr(sys, 'argv', command)
    full_size.main()

    result = json.loads((tmp_path / 'qwen2_vl_2b.json').read_text())
    assert (result['model'], result['checkpoint']) == ('qwen2_vl_2b', 'Qwen/Qwen2-VL-2B-Instruct')
    assert (result['layers'], result['image_tokens'], result['channels']) == (1, 36, 12)
    assert result['pruned']['image_tokens'] == 9  # tokens of 2x2 units all over; 0.3 of 36 buys no split
    assert result['gradients']['trained_tensors'] > 100
    for sums in (result['attention'], result['pruned']['attention']):
        assert 0 < sums['least_share'] <= sums['largest_share'] < 1
        assert sums['apart_from_1_minus_text'] < 1e-2
    assert min(result[key] for key in ('build_s', 'step_s', 'prediction_s')) > 0
    assert result['estimated_gb'] == pytest.approx(sum(result['estimated_parts_gb'].values()))
    assert result['environment']['torch'] == torch.__version__
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'qwen2_vl_2b: done, all checks hold'
    assert [cell.strip() for cell in lines[1].split('|')[1:3]] == ['model', 'LMM, 1e9']
    assert lines[3].startswith(f'| qwen2_vl_2b | {result["lmm_parameters_1e9"]:.2f} | 36 | 12 | ')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['my_lmm'], "invalid choice: 'my_lmm' (choose from"),
        (['qwen2_vl_2b', '--layers', '0'], '--layers must be at least 1'),
    ],
)
def test_arguments_that_make_no_sense(arguments, message, monkeypatch, capsys):
    import full_size

    monkeypatch.setattr(sys, 'argv', ['full_size.py', *arguments])
    with pytest.raises(SystemExit):
        full_size.main()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('lmm', 'tokens'),
    [
        ('qwen2_vl_2b', 17 * 23),
        ('qwen2_5_vl_7b', 17 * 23),
        ('qwen3_vl_4b', 15 * 20),
        ('qwen3_5_4b', 15 * 20),
        ('llava_1_5_7b', 24 * 24),
        ('llava_1_6_mistral_7b', 24 * 24 + 36 * 48),
        ('deepseek_vl_1_3b', 24 * 24),
        ('deepseek_vl_7b', 24 * 24),
    ],
)
def test_the_image_has_the_tokens_that_the_published_processor_gives_it(lmm, tokens):
    published = published_lmm(lmm)
    sample = measure.make_sample(published.image_processor)
    assert measure.num_image_tokens(sample) == tokens
    assert sample.num_masks == 3
    tokenizer = published.image_processor['pretrained_model_name_or_path'].tokenizer
    assert published.config.image_token_id == tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    is_image = sample.input_ids == published.config.image_token_id
    assert is_image.sum() == tokens + 36 * ('llava_1_6' in lmm)  # which ends each row with one that is in no view
    assert published.prunes == ('qwen' in lmm)


def test_a_model_type_without_image_settings_is_refused():
    with pytest.raises(ValueError, match="no image settings of model type 'bert'; known are qwen2_vl, "):
        published_processor('bert')


@pytest.mark.parametrize('name', ['Qwen/Qwen2-VL-2B-Instruct', 'deepseek-community/deepseek-vl-1.3b-chat'])
def test_random_weights_are_all_set_and_the_rest_is_as_transformers_builds_it(name):
    config = published_config(name, vocab_size=300, image_token_id=258, depth=1)
    lmm, stock = random_lmm(config), lmm_from_config(config, dtype=torch.bfloat16)
    for own, other in zip(lmm.named_buffers(), stock.named_buffers(), strict=True):
        assert own[0] == other[0]
        assert torch.equal(own[1], other[1])
    tied = lmm.lm_head.weight is lmm.get_input_embeddings().weight
    assert tied == config.tie_word_embeddings
    for key, parameter in lmm.named_parameters():
        assert parameter.dtype == torch.bfloat16
        if parameter.dim() > 1:
            assert parameter.float().std().item() == pytest.approx(0.02, rel=0.1), key
        else:
            assert parameter.unique().tolist() == [0 if key.endswith('bias') else 1], key


@pytest.fixture
def trained_once():
    model = build_grounder(TWO_VIEWS)
    sample = make_sample(build_wrapper(TWO_VIEWS), ['a', 'some blue circle'])
    sum(model([sample], mode='loss').values()).backward()
    return model


def test_gradients(trained_once):
    found = check_gradients(trained_once)
    parameters = list(trained_once.parameters())
    assert found['trained_tensors'] == sum(parameter.grad is not None for parameter in parameters) > 0
    assert found['frozen_tensors'] == sum(not parameter.requires_grad for parameter in parameters)
    assert sum(found.values()) == len(parameters)


@pytest.mark.parametrize(
    ('name', 'gradient', 'message'),
    [
        ('text_proj.weight', None, '1 parameters have no gradient: text_proj.weight'),
        ('text_layer_weights', float('nan'), 'have a gradient that is not finite: text_layer_weights'),
        ('lmm.lm_head.weight', 1.0, '1 parameters are frozen and have a gradient: lmm.lm_head.weight'),
    ],
)
def test_a_wrong_gradient_is_named(name, gradient, message, trained_once):
    parameter = trained_once.get_parameter(name)
    parameter.grad = None if gradient is None else torch.full_like(parameter, gradient)
    with pytest.raises(CheckError, match=message):
        check_gradients(trained_once)


@pytest.fixture
def seen():
    model = build_grounder(TWO_VIEWS).eval()
    sample = make_sample(build_wrapper(TWO_VIEWS), ['a', 'some blue circle'])
    with watched_maps(model) as found:
        model([sample], mode='predict')
    return model, sample, found


@pytest.mark.parametrize('independent', [True, False])
@pytest.mark.parametrize('model_type', FAMILIES)
def test_maps_of_every_family(model_type, independent):
    model = build_grounder(model_type).eval()
    sample = make_sample(build_wrapper(model_type), ['a', 'some blue circle'], independent=independent)
    with watched_maps(model) as found:
        model([sample], mode='predict')
    sums = check_maps(model, sample, found)
    assert sums['lost_on_grid'] < 1e-6
    assert sums['apart_from_1_minus_text'] < 1e-5  # float32 here
    # What was watched is as before.
    with watched_maps(model) as again:
        model([sample], mode='predict')
    assert len(again.maps) == 1


def test_maps_that_are_no_shares(seen):
    model, sample, found = seen
    found.maps[0] = found.maps[0] * 3
    with pytest.raises(CheckError, match=r'attention to the image sums to .*, expected \(0, 1\]'):
        check_maps(model, sample, found)
    found.maps[0] = found.maps[0] * float('nan')
    with pytest.raises(CheckError, match='sums to nan to nan'):
        check_maps(model, sample, found)


def test_maps_that_are_not_those_of_the_queries_and_keys(seen):
    model, sample, found = seen
    found.maps[0] = found.maps[0] * 0.9
    with pytest.raises(CheckError, match='attention to the image and to the text of layer 0 sum to 1'):
        check_maps(model, sample, found)


def test_what_a_phrase_may_see_follows_from_the_sample(seen):
    model, sample, found = seen
    heads = model.heads[0]
    alone, behind = (one_minus_text(each, found, heads) for each in (sample, replace(sample, independent=False)))
    shares = found.maps[0][:, : len(heads)].sum(dim=-1).double()
    torch.testing.assert_close(shares, alone, rtol=0, atol=1e-6)
    assert torch.equal(behind[0], alone[0])  # nothing is before the first phrase
    assert (behind[1] < alone[1] - 1e-5).all()  # the second would have seen it


def test_a_layout_that_loses_attention(seen, monkeypatch):
    model, sample, found = seen
    whole = type(sample.layout).to_dense
    monkeypatch.setattr(type(sample.layout), 'to_dense', lambda layout, values: whole(layout, values)[..., 1:])
    with pytest.raises(CheckError, match=r'attention laid onto a grid sums to .* more or less than before'):
        check_maps(model, sample, found)


def test_the_estimate_adds_what_the_libraries_take():
    model = build_grounder('qwen2_vl')
    sample = make_sample(build_wrapper('qwen2_vl'), ['a'])
    parts = estimated_gb(model, sample, libraries=0.5)
    expected = estimated_bytes(model, Load(tokens=sample.prompt_length, phrases=1))
    assert parts.pop('all') == pytest.approx(0.5 + sum(expected.values()) / 1e9)
    assert parts == {'libraries': 0.5, **{name: value / 1e9 for name, value in expected.items()}}


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='needs Linux to count by itself')
def test_the_peak_is_what_the_system_counts_for_this_process():
    status = Path('/proc/self/status').read_text()
    kib = int(re.search(r'VmHWM:\s+(\d+) kB', status)[1])
    assert peak_gb() == pytest.approx(kib * 1024 / 1e9, rel=0.05)
