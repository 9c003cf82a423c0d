"""How the layouts of expressions about videos can be broken: their files of expressions, palettes and RLEs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from broken_annotations import Fault, Layout, edit_at, edit_bytes, edit_json, fault, file_faults, json_faults
from PIL import Image
from tiny_ref_videos import write_mevis, write_ref_youtube_vos

from flmm.datasets import LoadVideoMasks, RefVideoDataset

META, TRACKS = 'meta_expressions.json', 'mask_dict.json'
FILE = r"ann_file '[^']*meta_expressions\.json'"
VIDEO = f"video 'cars' of {FILE}"
ENTRY = f"expression '1' of {VIDEO}"
TRACK_FILE = r"mask_file '[^']*mask_dict\.json'"
PALETTE = 'Annotations/cars/00001.png'


def as_sample(item: dict) -> SimpleNamespace:
    """What the table of faults looks at, of an item that LoadVideoMasks has read."""
    return SimpleNamespace(phrases=item['text'], gt_masks=item['gt_masks'][range(len(item['gt_masks']))])


def build(root: Path, *, files: dict[str, Any], pipeline: list, **settings: Any) -> RefVideoDataset:
    """Build the dataset; the pipeline of images is not used."""
    settings = {'name': 'videos', 'ann_file': META, 'fps': 6.0, **files, **settings}
    return RefVideoDataset(data_root=str(root), pipeline=[LoadVideoMasks(), as_sample], **settings)


def video(**values: Any) -> Callable[[Path], None]:
    return edit_at(META, 'videos', 'cars', **values)


def expression(**values: Any) -> Callable[[Path], None]:
    return edit_at(META, 'videos', 'cars', 'expressions', '1', **values)


def edit_palette(change: Callable[[np.ndarray], np.ndarray], *, mode: str = 'L') -> Callable[[Path], None]:
    """Plant a fault in the pixels of a palette, whose colours are lost."""

    def plant(root: Path) -> None:
        with Image.open(root / PALETTE) as picture:
            changed = change(np.asarray(picture))
        Image.fromarray(changed).convert(mode).save(root / PALETTE)

    return plant


def without_object(root: Path) -> None:
    """Take object 3 of 'cars' out of all of its palettes."""
    for path in (root / 'Annotations' / 'cars').iterdir():
        with Image.open(path) as picture:
            pixels = np.array(picture)
        pixels[pixels == 3] = 0
        Image.fromarray(pixels).save(path)


def expression_faults(key: str) -> list[Fault]:
    """Faults of the file of expressions, which names what is meant by ``key``."""
    return [
        *json_faults(META, setting='ann_file'),
        fault('list of videos', edit_json(META, lambda _: []), rf'{FILE} is \[\], expected an object whose "videos" a'),
        fault('no videos', edit_json(META, lambda _: {'video': {}}), f'{FILE} is .*, expected an object whose "videos'),
        fault('videos in a list', edit_json(META, lambda _: {'videos': [1]}), f'{FILE} is .*, expected an object whos'),
        fault('no video at all', edit_json(META, lambda _: {'videos': {}}), f'{FILE} has no video; get the original'),
        fault('video of a list', edit_at(META, 'videos', cars=[1]), rf'{VIDEO} is \[1\], expected a dict'),
        fault('frames absent', video(frames=...), rf"{VIDEO} lacks \['frames'\]"),
        fault('expressions absent', video(expressions=...), rf"{VIDEO} lacks \['expressions'\]"),
        fault('no frame', video(frames=[]), rf'{VIDEO} has frames \[\], expected a list of names without \.jpg'),
        fault('frames of numbers', video(frames=[0, 1]), rf'{VIDEO} has frames \[0, 1\], expected a list of names'),
        fault('frames in an object', video(frames={'0': '00000'}), f'{VIDEO} has frames .*, expected a list of names'),
        fault('frame twice', video(frames=['00001', '00001']), f"{VIDEO} has the frame '00001' twice; leave one out"),
        fault('frame outside', video(frames=['../00000', '1']), f"{VIDEO} has the frame '../00000', expected a name w"),
        fault('frame with NUL', video(frames=['0\0', '1']), rf"{VIDEO} has the frame '0\\x00', expected a name withou"),
        fault('frame above', video(frames=['..']), f"{VIDEO} has the frame '..', expected a name without slashes"),
        fault('id of a path', edit_at(META, 'videos', 'cars', 'expressions', **{'../1': {}}), f"{VIDEO} has the expre"),
        fault('video in a folder', edit_at(META, 'videos', **{'a/cars': {}}), f"{FILE} has the video 'a/cars', expect"),
        fault('fps as text', video(fps='6'), f"{VIDEO} has fps '6', expected a number above 0"),
        fault('fps of 0', video(fps=0), f'{VIDEO} has fps 0, expected a number above 0'),
        fault('fps of true', video(fps=True), f'{VIDEO} has fps True, expected a number above 0'),
        fault('fps nowhere', lambda root: None, rf"video 'bird' of {FILE} does not say how many .* set fps", fps=None),
        fault('expressions in a list', video(expressions=['a']), rf"{VIDEO} has expressions \['a'\], expected an obje"),
        fault('expression of text', edit_at(META, 'videos', 'cars', 'expressions', **{'1': 'both'}), f'{ENTRY} is .bo'),
        fault('text absent', expression(exp=...), rf"{ENTRY} lacks \['exp'\]"),
        fault('text of null', expression(exp=None), f"{ENTRY}, key 'exp': phrase None is of type NoneType"),
        fault('text that is empty', expression(exp=' '), f"{ENTRY}, key 'exp': phrase ' ' has no letter or digit"),
        fault('kind of a number', expression(kind=1), f'{ENTRY} has kind 1, expected a string'),
        fault('ids absent', expression(**{key: ...}), f'{ENTRY} has no {key}, so its truth is not known; take mask_fi'),
        fault('ids of null', expression(**{key: None}), f'{ENTRY} has {key} None, expected an integer or a string'),
        fault('ids of floats', expression(**{key: [1.0]}), rf'{ENTRY} has {key} \[1\.0\], expected an integer or'),
        fault('ids of bools', expression(**{key: [True]}), rf'{ENTRY} has {key} \[True\], expected an integer or'),
        fault('ids in lists', expression(**{key: [[1]]}), rf'{ENTRY} has {key} \[\[1\]\], expected an integer or'),
        fault(
            'first frame absent',
            lambda root: (root / 'JPEGImages/cars/00000.jpg').unlink(),
            r"image '[^']*cars/00000\.jpg' .*(No such file|does not exist|cannot be read)",
        ),
    ]  # fmt: skip


REF_YOUTUBE_VOS = Layout(
    name='ref_youtube_vos',
    write=write_ref_youtube_vos,
    build=partial(build, files={'data_prefix': {'img_path': 'JPEGImages', 'mask_path': 'Annotations'}}),
    faults=[
        *expression_faults('obj_id'),
        fault('ids as numbers', expression(obj_id=[1, 2]), None),
        fault('ids twice', expression(obj_id=['1', '2', '1']), None),
        fault('background as object', expression(obj_id='0'), f"{ENTRY} has obj_id '0', expected an index of the pal"),
        fault(
            'name as object', expression(obj_id='car'), f"{ENTRY} has obj_id 'car', expected an index of the palette"
        ),
        fault('object 256', expression(obj_id=256), f'{ENTRY} has obj_id 256, expected an index of the palette'),
        fault(
            'object of no pixel', expression(obj_id='9'), r"object 9 of video '[^']*cars' has no pixel in any of 2 fr"
        ),
        fault('object painted over', without_object, r"object 3 of video '[^']*cars' has no pixel in any of 2 frames"),
        fault(
            'palette absent',
            lambda root: (root / PALETTE).unlink(),
            r"the mask of object 1 of video '[^']*cars' is the file '[^']*00001\.png', which does not exist",
        ),
        fault(
            'palette cut in the middle',
            edit_bytes(PALETTE, lambda content: content[: len(content) // 2]),
            r"the mask of object 1 of .* is the file '[^']*00001\.png', which cannot be read as a PNG",
        ),
        fault(
            'palette in colours',
            edit_palette(lambda pixels: pixels, mode='RGB'),
            r"is the file '[^']*00001\.png' of mode RGB, expected one channel",
        ),
        fault(
            'palette of another size',
            edit_palette(lambda pixels: pixels[:-1]),
            r"object 1 of .* has a mask of 19x28 px \(height x width\) for frame '[^']*00001\.jpg', whose video has 20",
        ),
        fault('palette without colours', edit_palette(lambda pixels: pixels), None),
    ],
)
MEVIS = Layout(
    name='mevis',
    write=write_mevis,
    build=partial(build, files={'data_prefix': {'img_path': 'JPEGImages'}, 'mask_file': TRACKS}),
    faults=[
        *expression_faults('anno_id'),
        *file_faults(TRACKS, setting='mask_file'),
        fault('ids as text', expression(anno_id=['2', '3']), None),
        fault('masks in a list', edit_json(TRACKS, lambda _: [1]), rf'{TRACK_FILE} is \[1\], expected an object with'),
        fault('key absent', edit_json(TRACKS, lambda tracks: tracks.pop('3') and None), f"{TRACK_FILE} lacks the key"),
        fault('track of null', edit_at(TRACKS, **{'3': None}), f"'3' of {TRACK_FILE} has None, but expression '1' of"),
        fault('frame missing', edit_at(TRACKS, **{'3': [None]}), f"'3' of {TRACK_FILE} has 1 masks, but expression '1"),
        fault('empty track', edit_at(TRACKS, **{'3': [None, None]}), f"'3' of {TRACK_FILE} is null in all frames, tho"),
        fault('mask of text', edit_at(TRACKS, **{'3': ['a', None]}), f"mask 0 of '3' of {TRACK_FILE} is 'a', expected"),
        fault('mask without counts', edit_at(TRACKS, '3', 0, counts=...), f"mask 0 of '3' of {TRACK_FILE} is an RLE w"),
        fault('mask cut off', edit_at(TRACKS, '3', 0, counts='0'), f"mask 0 of '3' of {TRACK_FILE} is an RLE of 0 px"),
        fault(
            'masks of two sizes',
            edit_at(TRACKS, '2', 1, size=[9, 9], counts=[0, 81]),
            rf"mask 1 of '2' of {TRACK_FILE} has size \[9, 9\], the image has \[20, 28\]",
        ),
        fault(
            'mask of another size than the frame',
            edit_at(TRACKS, '3', 0, size=[9, 9], counts=[0, 81]),
            r"object 3 of video '[^']*cars' has a mask of 9x9 px \(height x width\) for frame '[^']*00000\.jpg'",
        ),
    ],
)  # fmt: skip
