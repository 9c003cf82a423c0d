import json

import numpy as np
import pytest
import torch
from published_f_lmm import FREQUENCIES, tiny_published
from tiny_models import tiny_sam
from tiny_refcoco import run_tool

from flmm.inference import PhraseGrounder


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
    ground = PhraseGrounder.from_config(config, checkpoint=out)
    state = ground.model.state_dict()
    assert state.keys() == published.keys() - {FREQUENCIES}
    for key, value in state.items():
        torch.testing.assert_close(value, published[key].float(), rtol=0, atol=0, msg=key)
    sample = ground(np.zeros((40, 60, 3), dtype=np.uint8), ['the cat'])
    assert sample.sam_pred_masks.shape == (1, 40, 60)


def test_it_is_tested_like_any_other(config, tmp_path, frequencies):
    torch.save(tiny_published(frequencies=frequencies), tmp_path / 'published.pth')
    run_tool('convert_checkpoint', config, tmp_path / 'published.pth', tmp_path / 'converted.pth')
    options = ['--cfg-options', 'test_dataloader.dataset.splits=(val,)', '+test_dataloader.dataset.indices=1']
    run_tool('test', config, tmp_path / 'converted.pth', '--work-dir', tmp_path / 'tested', *options)
    assert json.loads((tmp_path / 'tested' / 'metrics.json').read_text())


def test_constants_of_another_sam_are_found_when_it_is_loaded(config, tmp_path, frequencies):
    torch.save(tiny_published(frequencies=frequencies + 1), tmp_path / 'published.pth')
    run_tool('convert_checkpoint', config, tmp_path / 'published.pth', tmp_path / 'converted.pth')
    with pytest.raises(ValueError, match=f'1 unexpected: {FREQUENCIES}'):
        PhraseGrounder.from_config(config, checkpoint=tmp_path / 'converted.pth')


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
