"""How gRefCOCO's layout can be broken beside RefCOCO's: the JSON of its refs, several targets, and none."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from broken_annotations import Fault, Layout, edit_at, edit_bytes, edit_json, fault, image_faults, json_faults
from broken_refcoco import INSTANCES, REFS
from tiny_refcoco import write_refcoco

from flmm.datasets import GRefCocoDataset

GREFS = 'refcoco/grefs.json'
SEVERAL, NONE = 6, 7
"""Index, and id, of the refs of val: of two annotations, and of none."""
FILE = r"split_file '[^']*grefs\.json'"
REF, ENTRY = r"ref 6 of (split_file )?'[^']*grefs\.json'", f'entry 6 of {FILE}'
MASK = r"annotation 107 of ann_file '[^']*instances\.json' \(image 5, '5\.png'\): its segmentation"


def write(root: Path) -> None:
    write_refcoco(root)
    refs = pickle.loads((root / REFS).read_bytes())
    for ref in refs:
        ref.update(ann_id=[ref['ann_id']], no_target=False)
    refs[SEVERAL]['ann_id'].append(107)
    refs[NONE].update(ann_id=[-1], no_target=True)
    (root / GREFS).write_text(json.dumps(refs))


def build(root: Path, *, pipeline: list, **settings: Any) -> GRefCocoDataset:
    files = {'ann_file': INSTANCES, 'split_file': GREFS, 'data_prefix': {'img_path': 'images/'}}
    settings = {'split': 'val', 'text_mode': 'original', **settings}
    return GRefCocoDataset(data_root=str(root), pipeline=pipeline, **files, **settings)


def ref(**values: Any) -> Callable[[Path], None]:
    return edit_at(GREFS, SEVERAL, **values)


def absent(**values: Any) -> Callable[[Path], None]:
    return edit_at(GREFS, NONE, **values)


def sentence(**values: Any) -> Callable[[Path], None]:
    return edit_at(GREFS, SEVERAL, 'sentences', 0, **values)


def as_pickle(protocol: int) -> Callable[[Path], None]:
    return edit_bytes(GREFS, lambda content: pickle.dumps(json.loads(content), protocol))


GREFCOCO = Layout(
    name='grefcoco',
    write=write,
    build=build,
    faults=[
        *json_faults(GREFS, setting='split_file'),
        fault('pickle of protocol 0', as_pickle(0), None),
        fault('pickle of protocol 1', as_pickle(1), None),
        fault('pickle of protocol 5', as_pickle(5), None),
        fault(
            'pickle cut in the middle',
            edit_bytes(GREFS, lambda content: pickle.dumps(json.loads(content))[:100]),
            f'{FILE} is not a pickle of plain containers',
        ),
        fault(
            'dict for the list', edit_json(GREFS, lambda refs: {'refs': refs}), f'{FILE} holds dict, expected a list'
        ),
        fault('list of lists', edit_json(GREFS, lambda refs: [refs]), f'{FILE} holds list, expected a list of dicts'),
        fault('no ref at all', edit_json(GREFS, lambda _: []), r"no sample in split 'val' of '[^']*grefs\.json'"),
        fault('unknown split', lambda root: None, "no sample in split 'testZ' of", split='testZ'),
        fault('one split in capitals', absent(split='Val'), f"{FILE} has the split 'Val' beside 'val', which is asked"),
        fault('split with a blank', absent(split='val '), f"{FILE} has the split 'val ' beside 'val', which is asked"),
        fault('ref_id twice', ref(ref_id=0), f'{FILE} has ref_id 0 twice: entry 0 .* and entry 6'),
        fault('ref_id twice, once as text', ref(ref_id='0'), f"{FILE} has ref_id 0 and '0' twice: entry 0"),
        fault('ann_id absent', ref(ann_id=...), rf"{ENTRY} lacks \['ann_id'\]"),
        fault('ann_id of null', ref(ann_id=None), f'{ENTRY} has ann_id None, expected a list of integers or strings'),
        fault(
            'ann_id of nothing', ref(ann_id=[]), rf'{ENTRY} has ann_id \[\], expected a list .* \[-1\] for no target'
        ),
        fault('ann_id of floats', ref(ann_id=[106.0, 107.0]), rf'{ENTRY} has ann_id \[106.0, 107.0\], expected a list'),
        fault('ann_id of bools', ref(ann_id=[True, 107]), rf'{ENTRY} has ann_id \[True, 107\], expected a list'),
        fault('ann_id of lists', ref(ann_id=[[106, 107]]), rf'{ENTRY} has ann_id \[\[106, 107\]\], expected a list'),
        fault('ann_id of a dict', ref(ann_id={'106': 1}), f'{ENTRY} has ann_id .*, expected a list of integers'),
        fault('ann_id of no annotation', ref(ann_id=[106, 7]), f'{REF} has ann_id 7, which .* does not have'),
        fault('ann_id as text', ref(ann_id=['106', '107']), f"{REF} has ann_id '106', which .* ids of the same type"),
        fault('ann_id of another image', ref(ann_id=[106, 100]), f'{REF} is on image 5, but its annotation 100 in'),
        fault('ann_id without end', ref(ann_id=[10**4000]), f'{ENTRY} has ann_id .*, expected a list of integers'),
        fault('-1 beside ids', ref(ann_id=[106, -1]), rf'{ENTRY} has ann_id \[106, -1\], of which -1 says that there'),
        fault('-1 as text beside ids', ref(ann_id=['-1', 106]), f'{ENTRY} has ann_id .*, of which -1 says that there'),
        fault('no_target beside ids', ref(no_target=True), rf'{ENTRY} has no_target True, but ann_id \[106, 107\]'),
        fault(
            'target said of -1', absent(no_target=False), rf'entry 7 of {FILE} has no_target False, but ann_id \[-1\]'
        ),
        fault(
            'no_target of a number', absent(no_target=1), f'entry 7 of {FILE} has no_target 1, expected true or false'
        ),
        fault('no_target of null', absent(no_target=None), f'entry 7 of {FILE} has no_target None, expected true or f'),
        fault('no_target absent', absent(no_target=...), None),
        fault('-1 alone', absent(ann_id=-1), None),
        fault('-1 as text', absent(ann_id=['-1']), None),
        fault('-1 twice', absent(ann_id=[-1, -1]), None),
        Fault(
            name='ann_id twice, left out',
            plant=ref(ann_id=[106, 107, 106]),
            message=None,
            left_out='left out 1 ids that a ref has twice of',
        ),
        fault('sentences of text', ref(sentences='both'), f"{ENTRY} has sentences 'both', expected a list of dicts"),
        fault('no sentence', absent(sentences=[]), f'ref 7 of {FILE} has no sentence'),
        fault('text of null', sentence(raw=None), f"sentence 0 of {REF}, key 'raw': phrase None is of type NoneType"),
        fault('text that is a number', sentence(raw=5), f"sentence 0 of {REF}, key 'raw': phrase 5 is of type int"),
        fault(
            'text that is empty', sentence(raw=''), f"sentence 0 of {REF}, key 'raw': phrase '' has no letter or dig"
        ),
        fault('kind that is a number', sentence(kind=5), f'sentence 0 of {REF} has kind 5, expected a string'),
        fault(
            'mask of one of several, empty',
            edit_at(INSTANCES, 'annotations', 7, segmentation=[[1, 1, 2, 2]]),
            f'{MASK} has a polygon of fewer than three points',
        ),
        fault(
            'mask of one of several, of another size',
            edit_at(INSTANCES, 'annotations', 7, segmentation={'size': [9, 9], 'counts': [0, 81]}),
            rf'{MASK} has size \[9, 9\], the image has \[90, 112\]',
        ),
        *image_faults('images/5.png'),
    ],
)
