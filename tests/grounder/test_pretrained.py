"""Grounders are saved, shared and loaded again to the same numbers."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from fake_hub import COMMIT, FakeHub
from mmengine.model import ExponentialMovingAverage
from safetensors.torch import load_file, save_file
from saved_grounders import PHRASES, assert_equal, build, photo, places, saved_config, write_frozen
from tiny_families import TINY
from tiny_hf_sams import tiny_hf_sam
from tiny_refcoco import REPOSITORY

from flmm import Grounder
from flmm.grounder import demo_folder

pytestmark = pytest.mark.usefixtures('on_one_thread')

CONFIG = 'config.json'


def logits(grounder):
    found = grounder(photo(), PHRASES)
    return found.coarse.small, found.refined.small


@pytest.mark.parametrize('model_type', TINY)
def test_a_model_of_each_family_comes_back_to_the_last_bit(model_type, tmp_path):
    write_frozen(tmp_path, model_type)
    grounder = build(saved_config(tmp_path, model_type))
    grounder.save_pretrained(tmp_path / 'named')
    assert sorted(os.listdir(tmp_path / 'named')) == ['README.md', CONFIG, 'model.safetensors']
    found = assert_equal(grounder, Grounder.from_pretrained(tmp_path / 'named', **places(tmp_path)))
    assert found.refined.small.std() > 0

    grounder.save_pretrained(tmp_path / 'whole', include_frozen=True)
    shutil.rmtree(tmp_path / 'lmm')
    (tmp_path / 'sam.safetensors').unlink()
    assert_equal(grounder, Grounder.from_pretrained(tmp_path / 'whole'))


SETTINGS = {
    'heads': {'heads': [(1, 2), (0, 3)], 'merge': 'max'},
    'layers': {'layers': [1], 'padding_cut': 'whole_cells', 'coarse_attention': 'copy', 'decode_budget': 1000},
    'one sequence': {'to_sample': {'independent': False, 'lowercase': False, 'max_phrase_tokens': 20}},
    'budget': {
        'image_processor': {
            'patch_selection_method': 'budget', 'alpha': 0.4, 'method': 'laplacian', 'blur': 5, 'max_token_size': 2,
            'min_pixels': 56 * 56, 'max_pixels': 112 * 112,
        }
    },
    'thresholds': {'image_processor': {'patch_selection_method': 'v1', 'thresholds': (8.5, 8.5)}, 'layers': None},
    'template': {'image_processor': {'prompt_template': '<|im_start|><image>\n{prompt} answer:'}},
    'refiner': {'sam': {'use_text': False, 'multimask_output': True, 'box_of': 'largest_component'}},
    'mask head': {
        'mask_head': {
            'type': 'flmm.UNetHead', 'base_channels': 2, 'num_stages': 2, 'enc_num_convs': (1, 2),
            'dec_num_convs': (1,), 'upsample_input': None, 'normalize_input': False,
        }
    },
    'training': {'compiled': None, 'data_preprocessor': {'type': 'flmm.GroundingDataPreprocessor'}, 'existence': None},
}  # fmt: skip


@pytest.mark.parametrize('settings', SETTINGS.values(), ids=SETTINGS)
def test_settings_come_back(settings, frozen, tmp_path):
    grounder = build(saved_config(frozen, **settings))
    grounder.save_pretrained(tmp_path / 'saved')
    loaded = Grounder.from_pretrained(tmp_path / 'saved', **places(frozen))
    assert_equal(grounder, loaded)
    loaded.save_pretrained(tmp_path / 'again')
    assert (tmp_path / 'again' / CONFIG).read_text() == (tmp_path / 'saved' / CONFIG).read_text()
    if settings is not SETTINGS['training']:  # the settings do something
        default = build(saved_config(frozen))
        assert not all(map(torch.equal, logits(default), logits(loaded)))


def test_the_threshold_of_existence_comes_back(frozen, tmp_path):
    config = saved_config(frozen, existence={'type': 'ExistenceHead', 'width': 8, 'num_mixtures': 2})
    grounder = build(config)
    existence = grounder(photo(), PHRASES).existence
    threshold = existence.sort().values[1]  # one of three is absent
    grounder.model.existence_head.threshold.copy_(threshold)
    grounder.save_pretrained(tmp_path / 'saved')
    loaded = Grounder.from_pretrained(tmp_path / 'saved', **places(frozen))
    assert torch.equal(loaded.model.existence_head.threshold, threshold)
    assert assert_equal(grounder, loaded).exists.sum() == 2


def test_masks_that_were_trained_before_need_no_file_of_them(frozen, tmp_path):
    first = build(saved_config(frozen))
    torch.save({'state_dict': first.model.state_dict()}, tmp_path / 'masks.pth')
    config = saved_config(frozen, existence={'type': 'ExistenceHead'}, trained_masks=str(tmp_path / 'masks.pth'))
    grounder = build(config, seed=8)
    grounder.save_pretrained(tmp_path / 'saved')
    (tmp_path / 'masks.pth').unlink()
    assert_equal(grounder, Grounder.from_pretrained(tmp_path / 'saved', **places(frozen)))


def test_a_model_without_training_has_no_trained_part(frozen, tmp_path):
    config = saved_config(
        frozen,
        mask_head={'type': 'AttentionThreshold', 'threshold': 1.5},
        sam={'use_text': False, 'use_mask': False},
        heads=[(0, 1), (1, 3)],
    )
    grounder = build(config)
    grounder.save_pretrained(tmp_path / 'saved', include_frozen=True)
    assert not (tmp_path / 'saved' / 'model.safetensors').exists()
    assert '| trained | nothing |' in (tmp_path / 'saved' / 'README.md').read_text()
    assert_equal(grounder, Grounder.from_pretrained(tmp_path / 'saved'))
    save_file({'a': torch.zeros(1)}, tmp_path / 'saved' / 'model.safetensors')
    with pytest.raises(ValueError, match=r"model\.safetensors' is there, but config\.json .* a model without training"):
        Grounder.from_pretrained(tmp_path / 'saved')


def test_averaged_weights_are_those_that_are_saved(tmp_path):
    """EMAHook's checkpoints have the averages for weights, and the raw ones beside them."""
    demo = Grounder.from_pretrained(demo_folder())
    average = ExponentialMovingAverage(demo.model, momentum=0.25)
    before = {key: value.clone() for key, value in demo.model.state_dict().items()}
    with torch.no_grad():
        for parameter in demo.model.mask_head.parameters():
            parameter.mul_(1.125)
    average.update_parameters(demo.model)  # the first update copies
    with torch.no_grad():
        for parameter in demo.model.mask_head.parameters():
            parameter.div_(1.125)
    average.update_parameters(demo.model)
    weights = average.module.state_dict()
    key = 'mask_head.conv_seg.weight'
    torch.testing.assert_close(weights[key], (0.75 * 1.125 + 0.25) * before[key])
    raw = {f'module.{name}': value for name, value in demo.model.state_dict().items()}
    torch.save({'state_dict': weights, 'ema_state_dict': raw, 'meta': {}}, tmp_path / 'ema.pth')
    grounder = Grounder.from_config(REPOSITORY / 'configs/shapes/demo_no_target.py', checkpoint=tmp_path / 'ema.pth')
    grounder.save_pretrained(tmp_path / 'saved')
    stored = load_file(tmp_path / 'saved' / 'model.safetensors')
    assert stored.keys() == weights.keys()
    assert all(torch.equal(stored[name].to(value.dtype), value) for name, value in weights.items())
    assert stored[key].dtype == torch.float32


def test_the_demo_is_that_of_its_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    of_config = Grounder.from_config(
        REPOSITORY / 'configs/shapes/demo_no_target.py', checkpoint=REPOSITORY / 'assets/model.safetensors'
    )
    assert_equal(of_config, Grounder.from_pretrained(demo_folder()), ['the red circle', 'the star'])
    of_config.save_pretrained(tmp_path / 'saved', include_frozen=True)
    saved, demo = ((folder / CONFIG).read_text() for folder in (tmp_path / 'saved', demo_folder()))
    renamed = demo.replace('demo_lmm', 'lmm').replace('demo_sam/model.safetensors', 'sam.safetensors')
    assert json.loads(saved) == json.loads(renamed)
    # as small as it is in the repository
    for name, limit in (('lmm/model', 3_400_000), ('sam', 870_000), ('model', 1_400_000)):
        path = tmp_path / 'saved' / f'{name}.safetensors'
        assert path.stat().st_size < limit
        assert {value.dtype for value in load_file(path).values()} == {torch.float16}
    assert_equal(of_config, Grounder.from_pretrained(tmp_path / 'saved'), ['the red circle', 'the star'])


def test_a_config_in_one_working_directory_is_saved_in_another(frozen, tmp_path, monkeypatch):
    """'frozen/lmm' looks like a name on the hub from where it does not exist."""
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'frozen').symlink_to(frozen)
    monkeypatch.chdir(tmp_path)
    grounder = build(saved_config(Path('frozen')))
    monkeypatch.chdir(tmp_path / 'elsewhere')
    grounder.save_pretrained('saved')
    document = json.loads(Path('saved', CONFIG).read_text())
    assert document['model']['lmm']['name_or_path'] == {'elsewhere': 'lmm'}
    assert document['model']['sam']['sam']['checkpoint'] == {'elsewhere': 'sam.safetensors'}
    assert str(tmp_path) not in Path('saved', CONFIG).read_text() + Path('saved', 'README.md').read_text()


def test_a_sam_of_transformers_is_named(frozen, tmp_path):
    tiny_hf_sam('sam2').save_pretrained(tmp_path / 'sam2')
    config = saved_config(frozen)
    config['model']['sam']['sam'] = {'type': 'build_hf_sam', 'name_or_path': str(tmp_path / 'sam2')}
    grounder = build(config)
    grounder.save_pretrained(tmp_path / 'saved')
    found = {'lmm': str(frozen / 'lmm'), 'sam_checkpoint': str(tmp_path / 'sam2')}
    assert_equal(grounder, Grounder.from_pretrained(tmp_path / 'saved', **found))
    with pytest.raises(ValueError, match='SAM is a HfSam2, which is not included; leave include_frozen out'):
        grounder.save_pretrained(tmp_path / 'whole', include_frozen=True)
    assert not (tmp_path / 'whole').exists()


def test_what_cannot_be_saved_says_why(frozen, tmp_path):
    grounder = build(saved_config(frozen))
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'notes.txt').touch()
    with pytest.raises(ValueError, match="full' exists and is no empty folder; choose another, or empty it"):
        grounder.save_pretrained(tmp_path / 'full')
    with pytest.raises(
        ValueError, match=r"folder is '.*notes\.txt/new/config\.json', and its folder cannot be made \("
    ):
        grounder.save_pretrained(tmp_path / 'full' / 'notes.txt' / 'new')
    bare = Grounder(model=grounder.model, to_sample=grounder.to_sample)
    with pytest.raises(ValueError, match=r'was not made from a config, so it cannot be saved; use Grounder\.from_conf'):
        bare.save_pretrained(tmp_path / 'bare')
    for part, value, message in (
        ('mask_head', {'type': 'MyHead'}, r"model\.mask_head\.type is 'MyHead', expected one of AttentionThr"),
        ('sam', grounder.model.sam, r'model\.sam is SAMWrapper[^,]*, expected an object with a type'),
        ('lmm', {'type': 'random_lmm', 'name_or_path': 'a/b'}, r"model\.lmm\.type is 'random_lmm', expected"),
        ('lmm', {'type': 'pretrained_lmm', 'name_or_path': 3}, r'name_or_path is 3, expected a name or path; or set'),
    ):
        grounder.config = {**grounder.config, 'model': {**saved_config(frozen)['model'], part: value}}
        with pytest.raises(ValueError, match=f'the grounder cannot be saved: .*{message}'):
            grounder.save_pretrained(tmp_path / 'other')
        assert not (tmp_path / 'other').exists()


def test_an_untrained_control_is_saved_whole(frozen, tmp_path):
    config = saved_config(frozen)
    config['model']['lmm'] = {'type': 'random_lmm', 'name_or_path': str(frozen / 'lmm'), 'seed': 5}
    grounder = build(config)
    grounder.save_pretrained(tmp_path / 'saved', include_frozen=True)
    assert_equal(grounder, Grounder.from_pretrained(tmp_path / 'saved'))
    with pytest.raises(ValueError, match=r'over another LMM \(.*\) than was found \(.*\); name its own by lmm='):
        Grounder.from_pretrained(tmp_path / 'saved', lmm=str(frozen / 'lmm'))


def test_a_loaded_model_does_not_train():
    loaded = Grounder.from_pretrained(demo_folder())
    with pytest.raises(ValueError, match='has no losses; train with a config'):
        loaded.model.loss_mask(torch.zeros(1), torch.zeros(1))


def test_a_push_is_one_commit_of_the_folder(frozen, tmp_path):
    grounder = build(saved_config(frozen))
    grounder.save_pretrained(tmp_path / 'saved')
    with FakeHub() as hub:
        url = grounder.push_to_hub('me/tiny', private=True, token='hf_none')
    assert url == f'https://huggingface.co/me/tiny/commit/{COMMIT}'
    files = hub.uploaded['me/tiny']
    assert sorted(files) == ['README.md', CONFIG, 'model.safetensors']
    assert sum('/commit/' in path for path in hub.asked) == 1
    for name in (CONFIG, 'model.safetensors'):
        assert files[name] == (tmp_path / 'saved' / name).read_bytes()
    assert b"Grounder.from_pretrained('me/tiny', lmm='lmm'" in files['README.md']

    with FakeHub() as hub:
        grounder.push_to_hub('me/whole', include_frozen=True, token='hf_none')
    assert {'sam.safetensors', 'lmm/model.safetensors', 'lmm/tokenizer.json'} < set(hub.uploaded['me/whole'])


def test_nothing_is_made_on_the_hub_of_what_cannot_be_saved(frozen):
    grounder = build(saved_config(frozen))
    with FakeHub() as hub:
        with pytest.raises(ValueError, match=r"metrics 'absent\.json' does not exist"):
            grounder.push_to_hub('me/tiny', metrics='absent.json', token='hf_none')
        grounder.config = None
        with pytest.raises(ValueError, match='was not made from a config'):
            grounder.push_to_hub('me/tiny', token='hf_none')
    assert hub.asked == []


def test_a_name_on_the_hub_is_fetched_as_plain_data(frozen, tmp_path, monkeypatch):
    grounder, repository = build(saved_config(frozen)), tmp_path / 'repository'
    grounder.save_pretrained(repository, include_frozen=True)
    for name in ('modeling.py', 'pytorch_model.bin', 'lmm/processing.py'):
        (repository / name).write_text('raise SystemExit')
    monkeypatch.chdir(tmp_path)
    with FakeHub({'me/tiny': repository}) as hub:
        loaded = Grounder.from_pretrained('me/tiny', cache_dir=tmp_path / 'cache', revision='v1')
    assert 'GET /api/models/me/tiny/revision/v1' in hub.asked
    fetched = {path.partition(f'/{COMMIT}/')[2] for path in hub.asked if path.startswith('GET /me/tiny/resolve')}
    assert {CONFIG, 'model.safetensors', 'sam.safetensors', 'lmm/model.safetensors'} < fetched
    assert not {name for name in fetched if name.endswith(('.py', '.bin'))}
    assert_equal(grounder, loaded)


def test_an_lmm_of_the_hub_is_named_with_its_commit(frozen, tmp_path, monkeypatch):
    """Also where a folder of that name lies in the working directory of whoever loads it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'cache'))
    config = saved_config(frozen)
    config['model']['lmm']['name_or_path'] = 'owner/lmm'
    config['to_sample']['image_processor']['pretrained_model_name_or_path'] = 'owner/lmm'
    with FakeHub({'owner/lmm': frozen / 'lmm'}):
        grounder = build(config)
    with FakeHub({'owner/lmm': frozen / 'lmm'}) as hub:
        grounder.save_pretrained('saved')
        assert hub.asked == []
        document = json.loads(Path('saved', CONFIG).read_text())
        named = {'hub': 'owner/lmm', 'revision': COMMIT}
        assert document['model']['lmm']['name_or_path'] == named
        assert document['to_sample']['image_processor']['pretrained_model_name_or_path'] == named
        card = Path('saved', 'README.md').read_text()
        assert 'base_model: owner/lmm\n' in card
        assert f'[owner/lmm](https://huggingface.co/owner/lmm) at {COMMIT}' in card
        Path('owner/lmm').mkdir(parents=True)
        sam = str(frozen / 'sam.safetensors')
        loaded = Grounder.from_pretrained('saved', sam_checkpoint=sam, cache_dir=tmp_path / 'other')
    assert f'HEAD /owner/lmm/resolve/{COMMIT}/config.json' in hub.asked
    assert not [path for path in hub.asked if 'main' in path]
    assert_equal(grounder, loaded)
    loaded.save_pretrained('again')
    assert json.loads(Path('again', CONFIG).read_text()) == document


def test_a_hub_that_does_not_answer_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with FakeHub(), pytest.raises(ValueError, match=r"'me/absent' is no folder here, and the hub could not give it \("):
        Grounder.from_pretrained('me/absent', cache_dir=tmp_path)
