import json

import numpy as np
import pytest
import tiny_deepseek_vl
import tiny_llava
import torch
from prediction_lines import read_lines
from published_f_lmm import CONFIGS, FREQUENCIES, PUBLISHED, tiny_published
from tiny_models import tiny_sam
from tiny_refcoco import REFS, REPOSITORY, run_tool, write_family_workspace

from flmm.config import read_config
from flmm.grounder import Grounder
from flmm.models.build import build_model
from flmm.models.checkpoints import load_trained

TINY_LMMS = {
    'frozen_llava_1_5_vicuna_7b': (tiny_llava, 'llava', {}),
    'frozen_llava_next_vicuna_7b': (tiny_llava, 'llava_next', {}),
    'frozen_llava_next_mistral_7b': (tiny_llava, 'llava_next', {'text': 'mistral'}),
    'frozen_deepseek_vl_1_3b_chat': (tiny_deepseek_vl, 'deepseek_vl', {}),
    'frozen_deepseek_vl_7b_chat': (tiny_deepseek_vl, 'deepseek_vl_hybrid', {}),
}
"""Published model -> the helper that makes its LMM tiny, the model type, what else the helper is told."""


@pytest.fixture(scope='module')
def frequencies():
    """As everybody has them who loads this SAM."""
    return tiny_sam().prompt_encoder.pe_layer.positional_encoding_gaussian_matrix


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_a_published_file_becomes_a_checkpoint(config, tmp_path, capsys, frequencies, dtype):
    published = tiny_published(frequencies=frequencies, dtype=dtype)
    frozen = {
        'llava.model.norm.weight': torch.ones(4096, dtype=dtype),
        'sam.model.image_encoder.pos_embed': torch.ones(1, 64, 64, 1024, dtype=dtype),
    }
    torch.save({'module': {**frozen, **published}, 'ds_version': '0.12.6'}, tmp_path / 'published.pth')
    out, report = tmp_path / 'new' / 'converted.pth', tmp_path / 'report.json'
    run_tool('convert_checkpoint', config, tmp_path / 'published.pth', out, '--report', report)

    printed = capsys.readouterr().out
    assert '193 mapped, 2 dropped, 0 missing, 0 refused' in printed
    assert 'dropped  llava.model.norm.weight' in printed
    document = json.loads(report.read_text())
    assert [row['key'] for row in document['keys']] == [*frozen, *published]
    assert [row['status'] for row in document['keys']] == ['dropped'] * 2 + ['mapped'] * 193
    assert document['keys'][1]['reason'].startswith("of SAM's frozen image encoder")

    assert torch.load(out, weights_only=True)['meta'] == {'converted_from': 'published.pth'}
    ground = Grounder.from_config(config, checkpoint=out)
    state = ground.model.state_dict()
    assert state.keys() == published.keys() - {FREQUENCIES}
    for key, value in state.items():
        torch.testing.assert_close(value, published[key].float(), rtol=0, atol=0, msg=key)
    found = ground(np.zeros((40, 60, 3), dtype=np.uint8), ['the cat'])
    assert found.masks.shape == (1, 40, 60)
    assert found.refined.in_image().isfinite().all()


def test_it_is_tested_like_any_other(config, tmp_path, frequencies):
    torch.save(tiny_published(frequencies=frequencies), tmp_path / 'published.pth')
    run_tool('convert_checkpoint', config, tmp_path / 'published.pth', tmp_path / 'converted.pth')
    options = ['--cfg-options', 'test_dataloader.dataset.splits=(val,)', '+test_dataloader.dataset.indices=1']
    run_tool('test', config, tmp_path / 'converted.pth', '--work-dir', tmp_path / 'tested', *options)
    assert json.loads((tmp_path / 'tested' / 'metrics.json').read_text())


@pytest.mark.parametrize('name', PUBLISHED)
def test_every_published_model_is_converted_loaded_and_tested(name, tmp_path_factory, capsys, frequencies):
    """From the file to the figures, by the repository's config for that model, over a tiny LMM of the same classes."""
    tmp_path = tmp_path_factory.mktemp('w')  # short: mmengine formats the config, which takes seconds with long paths
    helper, model_type, settings = TINY_LMMS[name]
    config = write_family_workspace(
        tmp_path,
        base=REPOSITORY / 'configs' / f'{CONFIGS[name]}.py',
        lmm=helper.tiny_lmm(model_type, **settings),
        processor=helper.tiny_processor(model_type),
    )
    published = tiny_published(frequencies=frequencies, views=PUBLISHED[name][-1])
    torch.save(published, tmp_path / 'published.pth')
    out = tmp_path / 'converted.pth'
    run_tool('convert_checkpoint', config, tmp_path / 'published.pth', out)
    assert '193 mapped, 0 dropped, 0 missing, 0 refused' in capsys.readouterr().out

    ground = Grounder.from_config(config, checkpoint=out)
    loaded = build_model(read_config(config), checkpoint=None)
    load_trained(loaded, out)
    for model in (ground.model, loaded):
        state = model.state_dict()
        assert state.keys() == published.keys() - {FREQUENCIES}
        for key, value in state.items():
            assert torch.equal(value, published[key]), key
    assert ground.model.mask_head.upsample_by == 'scale_factor'
    found = ground(np.zeros((40, 60, 3), dtype=np.uint8), ['the cat', 'a dog'])
    assert found.masks.shape == (2, 40, 60)
    assert found.refined.in_image().isfinite().all()

    work_dir = tmp_path / 'tested'
    run_tool('test', config, out, '--work-dir', work_dir, '--out', work_dir / 'predictions.jsonl')
    predictions = read_lines(work_dir / 'predictions.jsonl')
    firsts = [(f'refcoco_{split}_first_sentence', texts[0]) for split, _, texts in REFS if split != 'train']
    assert sorted((record['test_set'], record['phrase']) for record in predictions) == sorted(firsts)
    figures = json.loads((work_dir / 'metrics.json').read_text())
    assert {f'refcoco_{split}_first_sentence/refined/cIoU' for split in ('val', 'testA', 'testB')} <= figures.keys()


def test_constants_of_another_sam_are_found_when_it_is_loaded(config, tmp_path, frequencies):
    torch.save(tiny_published(frequencies=frequencies + 1), tmp_path / 'published.pth')
    run_tool('convert_checkpoint', config, tmp_path / 'published.pth', tmp_path / 'converted.pth')
    with pytest.raises(ValueError, match=f'1 unexpected: {FREQUENCIES}'):
        Grounder.from_config(config, checkpoint=tmp_path / 'converted.pth')


def test_what_does_not_fit_is_reported_and_not_written(config, tmp_path, capsys, frequencies):
    published = tiny_published(frequencies=frequencies)
    del published['text_layer_weights']
    published['text_proj.weight'] = torch.zeros(16, 48)
    torch.save(published, tmp_path / 'published.pth')
    arguments = (config, tmp_path / 'published.pth', tmp_path / 'out.pth', '--report', tmp_path / 'report.json')
    with pytest.raises(
        ValueError, match=r'2 keys do not fit the model: text_proj\.weight \(16, 48\): refused, the model'
    ):
        run_tool('convert_checkpoint', *arguments)
    printed = capsys.readouterr().out
    assert '191 mapped, 0 dropped, 1 missing, 1 refused' in printed
    assert 'missing  (text_layer_weights)' in printed
    assert json.loads((tmp_path / 'report.json').read_text())['keys'][-1]['status'] == 'missing'
    assert not (tmp_path / 'out.pth').exists()


def test_the_published_file_is_not_overwritten(config, tmp_path):
    (tmp_path / 'published.pth').write_bytes(b'kept')
    with pytest.raises(ValueError, match=r'is the published file itself; give another name'):
        run_tool('convert_checkpoint', config, tmp_path / 'published.pth', tmp_path / 'published.pth')
    assert (tmp_path / 'published.pth').read_bytes() == b'kept'


def test_nothing_is_written_over_what_is_read_nor_twice(config, tmp_path):
    published, out = tmp_path / 'published.pth', tmp_path / 'out.pth'
    published.write_bytes(b'kept')
    (tmp_path / 'linked.pth').hardlink_to(published)
    for arguments, message in (
        ((out, '--report', published), r'published\.pth. is the published file itself; .* for the report'),
        ((tmp_path / 'linked.pth',), r'linked\.pth. is the published file itself'),
        ((out, '--report', config), r'is the config itself; give another name for the report'),
        ((out, '--report', out), r'where the converted file goes'),
        ((tmp_path,), r'is a folder; give the name of a file for the converted one'),
    ):
        with pytest.raises(ValueError, match=message):
            run_tool('convert_checkpoint', config, published, *arguments)
    assert published.read_bytes() == b'kept'
    assert not out.exists()
