"""Every kind of bad input gives its defined error, or is left out and counted; through dataset and data loader."""

import re

import bad_input
import pytest
import torch
from bad_input import KINDS
from mmengine.runner import Runner
from tiny_models import tiny_processor

from flmm.datasets import JsonLinesDataset, LoadMasks, PILLoadImageFromFile, QwenImageProcessorWrapper, RefCOCO2PNG


@pytest.fixture(scope='module')
def pipeline():
    wrapper = QwenImageProcessorWrapper(pretrained_model_name_or_path=tiny_processor())
    return [PILLoadImageFromFile(), LoadMasks(), RefCOCO2PNG(image_processor=wrapper, prompt='Where?')]


def batches(root, pipeline, *, max_skipped, workers=0):
    dataset = JsonLinesDataset(
        data_root=str(root),
        ann_file=bad_input.LINES,
        data_prefix={'img_path': 'images/'},
        text_mode='original',
        pipeline=pipeline,
        max_skipped=max_skipped,
        serialize_data=False,  # for which mmengine collects garbage
    )
    loader = {
        'dataset': dataset,
        'batch_size': 2,
        'num_workers': workers,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'collate_fn': {'type': 'flmm.collate_grounding'},
        'worker_init_fn': {'type': 'flmm.keep_torch_seed'},
    }
    return list(Runner.build_dataloader(loader, seed=0))


def samples(found):
    return [sample for batch in found for sample in batch['data_samples']]


def test_there_are_many_kinds():
    names = [kind.name for kind in KINDS]
    assert len(names) == len(set(names)) >= 60


@pytest.mark.parametrize('max_skipped', [0, 0.5], ids=['stop', 'skip'])
@pytest.mark.parametrize('kind', KINDS, ids=[kind.name.replace(' ', '_') for kind in KINDS])
def test_kind(tmp_path, pipeline, kind, max_skipped):
    root = tmp_path / 'data'
    bad_input.write(root)
    kind.plant(root)
    if kind.name == 'without permission' and open_to_all(root / 'images' / 'b.jpg'):
        pytest.skip('root may read everything')

    if kind.found == 'annotations' or (kind.found == 'sample' and not max_skipped):
        with pytest.raises(ValueError) as raised:
            batches(root, pipeline, max_skipped=max_skipped)
        message = str(raised.value)
        assert re.search(kind.message, message), message
        assert '\n' not in message
        assert len(message) < 1000
        return
    found = batches(root, pipeline, max_skipped=max_skipped)
    assert len(found) == 2  # batches, whatever is left out
    read = ['a.jpg', 'c.jpg'] if kind.found == 'sample' else ['a.jpg', 'b.jpg', 'c.jpg']
    assert [sample.image_path.rpartition('/')[2] for sample in samples(found)] == read
    reasons = [batch.get('skipped_items') for batch in found]
    if kind.found == 'sample':
        assert reasons[1] is None
        (reason,) = reasons[0]
        assert re.search(kind.message, reason), reason
    else:
        assert reasons == [None, None]
    assert all(torch.equal(sample.gt_masks, samples(found)[0].gt_masks) for sample in samples(found))


def open_to_all(path):
    try:
        path.open('rb').close()
    except PermissionError:
        return False
    return True


def test_workers_leave_out_the_same(tmp_path, pipeline):
    root = tmp_path / 'data'
    bad_input.write(root)
    KINDS[0].plant(root)
    alone, by_workers = (batches(root, pipeline, max_skipped=0.5, workers=workers) for workers in (0, 2))
    assert [batch.get('skipped_items') for batch in by_workers] == [batch.get('skipped_items') for batch in alone]
    for one, other in zip(samples(alone), samples(by_workers), strict=True):
        assert torch.equal(one.input_ids, other.input_ids)
        assert torch.equal(one.gt_masks, other.gt_masks)
