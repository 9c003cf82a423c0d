"""A shard that is cut off at any byte, or of other content, is named with the remedy, and the rest stays usable."""

import json

import pytest
from safetensors.torch import load_file, save_file
from tiny_refcoco import run_tool

from flmm.registry import DATASETS


def read_all(settings):
    dataset = DATASETS.build(settings)
    return [dataset[index] for index in range(len(dataset))]


def cut(path, length):
    with path.open('r+b') as file:
        file.truncate(length)


@pytest.mark.parametrize('ending', ['.safetensors', '.json', '.pictures.json'])
def test_a_shard_that_is_cut_off_is_named(moved, ending):
    root, settings = moved
    path = root / 'features' / 'val' / f'shard_00000{ending}'
    sound = path.read_bytes()
    for part in (0, 1, 7, 8, 9, len(sound) // 3, len(sound) // 2, len(sound) - 2):
        path.write_bytes(sound[:part])
        with pytest.raises(ValueError, match=rf"features in '.*shard_00000\{ending}' are damaged \(.*\); delete this"):
            read_all(settings)
    path.write_bytes(sound)
    assert len(read_all(settings)) == 1


def test_the_remedy_mends_it(moved, cached_config, tmp_path):
    root, settings = moved
    before = read_all(settings)[0].features
    for ending in ('.safetensors', '.json'):
        path = root / 'features' / 'val' / f'shard_00000{ending}'
        cut(path, 100)
        path.unlink()
    (root / 'cached.py').write_text(cached_config.read_text().replace(str(cached_config.parent), str(root)))
    text = (root / 'tiny.py').read_text().replace(str(cached_config.parent), str(root))
    (root / 'tiny.py').write_text(text)
    run_tool('cache_features', root / 'cached.py', '--num-workers', '0')
    after = read_all(settings)[0].features
    assert after.attentions.equal(before.attentions)


def test_features_that_were_made_otherwise_are_refused(moved):
    root, settings = moved
    path = root / 'features' / 'val' / 'store.json'
    store = json.loads(path.read_text())
    store['made_with']['dtype'] = 'float16'
    path.write_text(json.dumps(store))
    message = r"features in '.*val' were made with another dtype \('float16', not 'float32'\); make them again"
    with pytest.raises(ValueError, match=message):
        read_all(settings)


def test_tensors_of_another_shard_are_refused(moved):
    root, settings = moved
    path = root / 'features' / 'val' / 'shard_00000.safetensors'
    tensors = load_file(path)
    save_file({name: tensor for name, tensor in tensors.items() if not name.endswith('attentions')}, path)
    with pytest.raises(ValueError, match=r"shard_00000\.safetensors' are damaged \(.*attentions"):
        read_all(settings)
