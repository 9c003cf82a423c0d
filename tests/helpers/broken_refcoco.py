"""How RefCOCO's layout can be broken: beside its files, every key of its entries that is read."""

import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from broken_annotations import Fault, Layout, edit_bytes, edit_json, fault, file_faults, image_faults, json_faults
from tiny_refcoco import write_refcoco

from flmm.datasets import RefCocoDataset

INSTANCES, REFS = 'refcoco/instances.json', 'refcoco/refs(unc).p'
VAL_REF, VAL_IMAGE, VAL_MASK = 6, 4, 6
"""Index of the first ref of val, of its image and of its annotation; ids 6, 5 and 106, on 90x112 px."""
REFS_FILE = r"split_file '[^']*refs\(unc\)\.p'"
INSTANCES_FILE = r"ann_file '[^']*instances\.json'"
REF, IMAGE = r"ref 6 of (split_file )?'[^']*refs\(unc\)\.p'", f'image 5 of {INSTANCES_FILE}'
MASK = rf"annotation 106 of {INSTANCES_FILE} \(image 5, '5\.png'\): its segmentation"


def edit_refs(change: Callable[[list], Any]) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        refs = pickle.loads((root / REFS).read_bytes())
        changed = change(refs)
        (root / REFS).write_bytes(pickle.dumps(refs if changed is None else changed))

    return plant


def edit_ref(**values: Any) -> Callable[[Path], None]:
    return edit_refs(lambda refs: refs[VAL_REF].update(values))


def edit_sentence(value: Any) -> Callable[[Path], None]:
    return edit_refs(lambda refs: refs[VAL_REF]['sentences'].__setitem__(0, value))


def edit_entry(name: str, index: int, **values: Any) -> Callable[[Path], None]:
    return edit_json(INSTANCES, lambda instances: instances[name][index].update(values))


def edit_image(**values: Any) -> Callable[[Path], None]:
    return edit_entry('images', VAL_IMAGE, **values)


def edit_mask(segmentation: Any) -> Callable[[Path], None]:
    return edit_entry('annotations', VAL_MASK, segmentation=segmentation)


def rename(name: str, index: int, old: str, new: str) -> Callable[[Path], None]:
    return edit_json(INSTANCES, lambda instances: instances[name][index].update({new: instances[name][index].pop(old)}))


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.folder,)


def plant_payload(root: Path) -> None:
    refs = pickle.loads((root / REFS).read_bytes())
    (root / REFS).write_bytes(pickle.dumps([*refs, Payload(root / 'ran')]))


def build(root: Path, *, pipeline: list, **settings: Any) -> RefCocoDataset:
    return RefCocoDataset(
        data_root=str(root),
        data_prefix={'img_path': 'images/'},
        ann_file=INSTANCES,
        split_file=REFS,
        pipeline=pipeline,
        **{'split': 'val', 'text_mode': 'original', **settings},
    )


REFS_FAULTS = [
    *file_faults(REFS, setting='split_file'),
    fault(
        'pickle cut in the middle',
        edit_bytes(REFS, lambda content: content[: len(content) // 2]),
        f'{REFS_FILE} is not a pickle of plain containers',
    ),
    fault('pickle empty', edit_bytes(REFS, lambda _: b''), f'{REFS_FILE} is not a pickle of plain containers'),
    fault('pickle that runs code', plant_payload, rf'{REFS_FILE} is not a pickle of plain .* asks for posix\.mkdir'),
    fault(
        'pickle of protocol 5 with objects',
        lambda root: (root / REFS).write_bytes(pickle.dumps([OrderedDict(ref_id=1)], protocol=5)),
        rf'{REFS_FILE} is not a pickle of plain .* asks for collections\.OrderedDict',
    ),
    fault('pickle of protocol 5', edit_bytes(REFS, lambda content: pickle.dumps(pickle.loads(content), 5)), None),
    fault('pickle of protocol 0', edit_bytes(REFS, lambda content: pickle.dumps(pickle.loads(content), 0)), None),
    fault('line end behind the pickle', edit_bytes(REFS, lambda content: content + b'\r\n'), None),
    fault('garbage behind the pickle', edit_bytes(REFS, lambda content: content + b'x'), f'{REFS_FILE} goes on behind'),
    fault(
        'JSON instead of a pickle',
        edit_bytes(REFS, lambda content: json.dumps(pickle.loads(content)).encode()),
        f'{REFS_FILE} is not a pickle of plain containers but JSON',
    ),
    fault('dict for the list of refs', edit_refs(lambda refs: {'refs': refs}), f'{REFS_FILE} holds dict, expected'),
    fault('list of lists of refs', edit_refs(lambda refs: [refs]), f'{REFS_FILE} holds list, expected a list of dicts'),
    fault('no ref at all', edit_refs(lambda _: []), r"no sample in split 'val' of '[^']*refs\(unc\)\.p'"),
    fault('unknown split', lambda root: None, "no sample in split 'testZ' of", split='testZ'),
    fault(
        'split in capitals',
        edit_refs(lambda refs: [{**ref, 'split': ref['split'].upper()} for ref in refs]),
        r"no sample in split 'val' of .* it has \['TESTA', 'TESTB', 'TRAIN', 'VAL'\]",
    ),
    fault('split of null', edit_ref(split=None), f'entry 6 of {REFS_FILE} has split None, expected a string'),
    fault('ref_id twice', edit_ref(ref_id=0), rf'{REFS_FILE} has ref_id 0 twice: entry 0 .* and entry 6'),
    fault('ref_id twice as text', edit_ref(ref_id='0'), rf"{REFS_FILE} has ref_id 0 and '0' twice: entry 0 "),
    fault(
        'ref without an image_id', edit_refs(lambda refs: refs[6].pop('image_id') and None), "lacks \\['image_id'\\]"
    ),
    fault(
        'keys in capitals',
        edit_refs(lambda refs: [{key.upper(): value for key, value in ref.items()} for ref in refs]),
        rf"entry 0 of {REFS_FILE} lacks \['ann_id', .*\]; it has \['REF_ID', .*\], and capitals count",
    ),
    fault('ann_id that is text', edit_ref(ann_id='106'), f"{REF} has ann_id '106', which .* ids of the same type"),
    fault(
        'ann_id that is a float', edit_ref(ann_id=106.0), f'entry 6 of {REFS_FILE} has ann_id 106.0, expected an int'
    ),
    fault('ann_id that is a bool', edit_ref(ann_id=True), f'entry 6 of {REFS_FILE} has ann_id True, expected an int'),
    fault('ann_id that is a list', edit_ref(ann_id=[106]), 'has the list .* which is the form of gRefCOCO'),
    fault('ann_id that is huge', edit_ref(ann_id=2**80), f'{REFS_FILE} is not a pickle .* more than 64 bits'),
    fault('ann_id of no annotation', edit_ref(ann_id=7), f'{REF} has ann_id 7, which .* does not have'),
    fault('image_id of no image', edit_ref(image_id=7), f'{REF} has image_id 7, which .* does not have'),
    fault(
        'image_id of another image', edit_ref(image_id=6), f'{REF} is on image 6, but its annotation 106 in .* is on'
    ),
    fault('sentences of null', edit_ref(sentences=None), f'entry 6 of {REFS_FILE} has sentences None, expected a list'),
    fault('no sentence', edit_ref(sentences=[]), f'ref 6 of {REFS_FILE} has no sentence'),
    fault('sentence that is text', edit_sentence('cat'), f"sentence 0 of {REF} is 'cat', expected a dict"),
    fault('sentence without its text', edit_sentence({'sent': 'cat'}), rf"sentence 0 of {REF} lacks \['raw'\]"),
    fault('text of null', edit_sentence({'raw': None}), f"sentence 0 of {REF}, key 'raw': phrase None is of type None"),
    fault('text of half a letter', edit_sentence({'raw': 'a\ud800'}), f'sentence 0 of {REF}, .* lone surrogate'),
    fault('text without a word', edit_sentence({'raw': '?!'}), rf'sentence 0 of {REF}, .* no letter or digit; .*skip_'),
    Fault(
        name='text without a word, left out',
        plant=edit_refs(lambda refs: refs[VAL_REF]['sentences'].append({'raw': '?!'})),
        message=None,
        settings={'skip_wordless': True},
        left_out='left out 1 wordless sentences of',
    ),
    fault('text without end', edit_sentence({'raw': 'a' * 10_000}), r"'[^']*5\.png' has 10000 tokens|5\.png': phrase"),
]
INSTANCES_FAULTS = [
    *json_faults(INSTANCES, setting='ann_file'),
    fault(
        'keys of the file in capitals',
        edit_json(INSTANCES, lambda value: {key.upper(): entries for key, entries in value.items()}),
        rf"{INSTANCES_FILE} has no 'images' and 'annotations' but \['ANNOTATIONS', 'IMAGES'\]",
    ),
    fault(
        'text for the dict',
        edit_json(INSTANCES, json.dumps),
        rf"{INSTANCES_FILE} has no 'images' and 'annotations' but '.*\.\.\..*'; expected COCO's instances",
    ),
    fault('list for the dict', edit_json(INSTANCES, lambda value: [value]), f"{INSTANCES_FILE} has no 'images' and"),
    fault(
        'images of null',
        edit_json(INSTANCES, lambda value: {**value, 'images': None}),
        f"'images' of {INSTANCES_FILE} is None, expected a list of dicts",
    ),
    fault(
        'dict for the list of annotations',
        edit_json(INSTANCES, lambda value: {**value, 'annotations': {'106': value['annotations'][6]}}),
        f"'annotations' of {INSTANCES_FILE} is .*, expected a list of dicts",
    ),
    fault(
        'nested lists of images',
        edit_json(INSTANCES, lambda value: {**value, 'images': [value['images']]}),
        f"entry 0 of 'images' of {INSTANCES_FILE} is .*, expected a dict",
    ),
    fault(
        'image that refs name, absent',
        edit_json(INSTANCES, lambda value: value['images'].pop(VAL_IMAGE) and None),
        f'{REF} has image_id 5, which .* does not have',
    ),
    fault(
        'annotation that refs name, absent',
        edit_json(INSTANCES, lambda value: value['annotations'].pop(VAL_MASK) and None),
        f'{REF} has ann_id 106, which .* does not have',
    ),
    fault(
        'image id twice',
        edit_image(id=4),
        rf"'images' of {INSTANCES_FILE} has id 4 twice: entry 3 \(file_name '4\.png'\) and entry 4",
    ),
    fault(
        'annotation id twice',
        edit_entry('annotations', VAL_MASK, id=105),
        rf"'annotations' of {INSTANCES_FILE} has id 105 twice: entry 5 \(image_id 4\) and entry 6 \(image_id 5\)",
    ),
    fault('image id that is text', edit_image(id='5'), f'{REF} has image_id 5, which .* ids of the same type'),
    fault(
        'image id that is a float', edit_image(id=5.0), f"entry 4 of 'images' of {INSTANCES_FILE} has id 5.0, expect"
    ),
    fault('image id that is a bool', edit_image(id=True), f"entry 4 of 'images' of {INSTANCES_FILE} has id True"),
    fault('image id of null', edit_image(id=None), f"entry 4 of 'images' of {INSTANCES_FILE} has id None, expected an"),
    fault('image_id that is text', edit_entry('annotations', VAL_MASK, image_id='5'), f"{REF} .* is on image '5'"),
    fault(
        'key of an image in capitals',
        rename('images', VAL_IMAGE, 'file_name', 'File_Name'),
        rf"{IMAGE} lacks \['file_name'\]; it has \['File_Name'\], and capitals count",
    ),
    fault('file_name of null', edit_image(file_name=None), f'{IMAGE} has file_name None, expected the name'),
    fault(
        'file_name that goes up', edit_image(file_name='../images/5.png'), rf"{IMAGE}, key 'file_name': path '\.\./im"
    ),
    fault('file_name that is absolute', edit_image(file_name='/etc/passwd'), f"{IMAGE}, key 'file_name': path '/etc/"),
    fault('file_name with a NUL', edit_image(file_name='5.png\0'), f"{IMAGE}, key 'file_name': path .* is no name"),
    fault('height that is negative', edit_image(height=-90), rf"{IMAGE} \('5\.png'\) has height -90, expected an int"),
    fault('height of zero', edit_image(height=0), rf"{IMAGE} \('5\.png'\) has height 0, expected an integer above 0"),
    fault(
        'height that is a float', edit_image(height=90.0), rf"{IMAGE} \('5\.png'\) has height 90\.0, expected an int"
    ),
    fault(
        'height that is text', edit_image(height='90'), rf"{IMAGE} \('5\.png'\) has height '90', expected an integer"
    ),
    fault(
        'height without a width', edit_image(width=None), rf"{IMAGE} \('5\.png'\) has width None, expected an integer"
    ),
    fault('height that is huge', edit_image(height=10**30), f'{MASK} belongs to an image of 10+x112 px, more than an'),
    fault(
        'height and width swapped',
        edit_image(height=112, width=90),
        r"image '[^']*5\.png' has 90x112 px \(height x width\), its annotation was made on 112x90, another shape",
    ),
    fault('segmentation of null', edit_mask(None), f'{MASK} is None, expected polygons or an RLE'),
    fault('segmentation that is empty', edit_mask([]), rf'{MASK} is \[\], expected polygons or an RLE'),
    fault('segmentation of an empty polygon', edit_mask([[]]), f'{MASK} has a polygon of fewer than three points'),
    fault('segmentation of numbers', edit_mask([1, 2, 3, 4, 5, 6]), rf'{MASK} is \[1, 2, 3, 4, 5, 6\], expected'),
    fault('segmentation of text', edit_mask('polygon'), f"{MASK} is 'polygon', expected polygons or an RLE"),
    fault(
        'coordinates that are text', edit_mask([['1', '2', '30', '2', '30', '30']]), f"{MASK} .* coordinate '1', exp"
    ),
    fault(
        'coordinates that are huge', edit_mask([[0, 0, 10**400, 0, 9, 9]]), f'{MASK} .* coordinate that is not finite'
    ),
    fault('coordinates of 0 to 1', edit_mask([[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]), rf'{MASK} .* coordinates of 0 to 1'),
    fault('polygon outside the image', edit_mask([[500, 0, 600, 0, 600, 50]]), rf'{MASK} has a polygon outside the im'),
    fault('polygon of pairs', edit_mask([[[0, 0], [50, 0], [50, 50]]]), f'{MASK} is .*, expected polygons or an RLE'),
    fault(
        'polygon on a line', edit_mask([[0, 0, 10, 10, 20, 20]]), f'{MASK} has a polygon whose points lie on one line'
    ),
    fault(
        'RLE that is too long',
        edit_mask({'size': [90, 112], 'counts': [0, 90 * 112, 1]}),
        rf'{MASK} is an RLE of 10081 px \(shortest run 0\), expected 10080',
    ),
    fault('RLE that is too short', edit_mask({'size': [90, 112], 'counts': [0, 9]}), f'{MASK} is an RLE of 9 px'),
    fault(
        'RLE of negative runs', edit_mask({'size': [90, 112], 'counts': [-1, 10081]}), f'{MASK} is an RLE of 10080 px'
    ),
    fault(
        'RLE of background', edit_mask({'size': [90, 112], 'counts': [10080]}), f'{MASK} is an RLE of background alone'
    ),
    fault('RLE of another size', edit_mask({'size': [112, 90], 'counts': [0, 10080]}), rf'{MASK} has size \[112, 90\]'),
    fault('RLE without a size', edit_mask({'counts': [0, 10080]}), f'{MASK} is an RLE without size or counts'),
    fault('RLE cut off', edit_mask({'size': [90, 112], 'counts': 'o'}), f"{MASK} is an RLE whose .* 'o' are cut off"),
    Fault(
        name='polygon of two points beside a good one, left out',
        plant=edit_json(
            INSTANCES, lambda value: value['annotations'][VAL_MASK]['segmentation'].append([1, 1, 2, 2]) and None
        ),
        message=None,
        left_out='left out 1 polygons that draw nothing of',
    ),
]
REFCOCO = Layout(
    name='refcoco',
    write=write_refcoco,
    build=build,
    faults=[*REFS_FAULTS, *INSTANCES_FAULTS, *image_faults('images/5.png')],
)
