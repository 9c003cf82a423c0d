"""Broken annotations give one clear error that names file and entry, or are read where that is right; no code runs."""

import re

import pytest
import torch
from broken_annotations import json_faults
from broken_grefcoco import GREFCOCO
from broken_grounding_suite import GROUNDING_SUITE
from broken_json_lines import JSON_LINES
from broken_png import PNG
from broken_reason_seg import REASON_SEG
from broken_ref_video import MEVIS, REF_YOUTUBE_VOS
from broken_refcoco import REFCOCO

from flmm.data_check.problems import logged_warnings
from flmm.datasets import LoadMasks, PILLoadImageFromFile, RefCOCO2PNG

LAYOUTS = [REFCOCO, GREFCOCO, PNG, JSON_LINES, REASON_SEG, GROUNDING_SUITE, REF_YOUTUBE_VOS, MEVIS]
CASES = [(layout, fault) for layout in LAYOUTS for fault in layout.faults]


@pytest.fixture(scope='module')
def pipeline(wrapper):
    return [PILLoadImageFromFile(), LoadMasks(), RefCOCO2PNG(image_processor=wrapper, prompt='Where?')]


def read(layout, root, pipeline, settings):
    """Read everything, as a run does."""
    dataset = layout.build(root, pipeline=pipeline, serialize_data=False, **settings)
    return [dataset[index] for index in range(len(dataset))]


def test_there_are_many_kinds_of_faults():
    for layout in LAYOUTS:
        names = [fault.name for fault in layout.faults]
        assert len(names) >= 30
        repeated = {name for name in names if names.count(name) > 1}
        assert repeated <= {fault.name for fault in json_faults('any', setting='file')}


@pytest.mark.parametrize(
    ('layout', 'fault'), CASES, ids=[f'{layout.name}: {fault.name}'.replace(' ', '_') for layout, fault in CASES]
)
def test_fault(tmp_path, pipeline, layout, fault):
    root = tmp_path / 'data'
    layout.write(root)
    sound = read(layout, root, pipeline, {})
    fault.plant(root)
    before = sorted(path for path in tmp_path.rglob('*'))

    if fault.message is None:
        with logged_warnings() as warnings:
            found = read(layout, root, pipeline, fault.settings)
        assert [sample.phrases for sample in found] == [sample.phrases for sample in sound]
        for one, other in zip(found, sound, strict=True):
            assert torch.equal(one.gt_masks, other.gt_masks)
        assert len(warnings) == (fault.left_out is not None)
        assert (fault.left_out or '') in ''.join(warnings)
    else:
        with pytest.raises(ValueError) as raised:
            read(layout, root, pipeline, fault.settings)
        message = str(raised.value)
        assert re.search(fault.message, message), message
        assert str(root) in message  # which file
        assert '\n' not in message
        assert len(message) < 1000
    assert sorted(path for path in tmp_path.rglob('*')) == before  # a payload would have made a folder
