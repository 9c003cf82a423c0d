"""Convert annotations to the JSON lines of docs/custom_data.md, which JsonLinesDataset reads.

python tools/convert_data.py labelme my_pictures --out my_pictures/data.jsonl
python tools/convert_data.py coco annotations/instances_val2017.json --out instances_val2017.jsonl
python tools/convert_data.py refcoco refcoco/instances.json 'refcoco/refs(unc).p' --out refcoco.jsonl
python tools/convert_data.py png annotations/png_coco_val2017.json annotations/panoptic_val2017.json \
    annotations/panoptic_val2017 --out png_val2017.jsonl

What is written is read back before the tool ends. Pictures are not copied: lines name them below the image folder.
"""

import argparse
import collections
import json
import os
from pathlib import Path
from typing import Any

from flmm.atomic_write import open_atomic
from flmm.datasets import JsonLinesDataset, PNGDataset, RefCocoDataset
from flmm.datasets.importers import coco_items, items_to_lines, labelme_items, to_json_lines
from flmm.datasets.refcoco import RefCocoFiles
from flmm.images import read_image_size
from flmm.text import prepare_phrase

Line = dict[str, Any]


def convert_coco(args: argparse.Namespace) -> tuple[list[Line], list[str]]:
    items, left_out = coco_items(args.instances, skip_broken=args.skip_broken)
    return list(items_to_lines((args.split, item.img_path, item) for item in items)), left_out


def convert_refcoco(args: argparse.Namespace) -> tuple[list[Line], list[str]]:
    files, refs = RefCocoFiles(), os.path.abspath(args.refs)
    settings = {
        'ann_file': os.path.abspath(args.instances),
        'split_file': refs,
        'skip_wordless': args.skip_wordless,
        'files': files,
        'lazy_init': True,
    }
    splits = sorted({ref['split'] for ref in files.refs(refs)})
    return to_json_lines([(split, RefCocoDataset(split=split, **settings)) for split in splits]), []


def convert_png(args: argparse.Namespace) -> tuple[list[Line], list[str]]:
    dataset = PNGDataset(
        ann_file=os.path.abspath(args.narratives),
        panoptic_file=os.path.abspath(args.panoptic),
        data_prefix={'img_path': '', 'panoptic_path': os.path.abspath(args.panoptic_pictures)},
        skip_wordless=args.skip_wordless,
        lazy_init=True,
    )
    return to_json_lines([(args.split, dataset)]), []


def convert_labelme(args: argparse.Namespace) -> tuple[list[Line], list[str]]:
    images = args.images or args.folder
    items, left_out = labelme_items(args.folder, images=images, skip_broken=args.skip_broken)
    if any(is_turned(os.path.join(images, item.img_path)) for item in items):
        print("some pictures are stored turned (EXIF): read them with PILLoadImageFromFile(orientation='apply')")
    return list(items_to_lines((args.split, item.img_path, item) for item in items)), left_out


def is_turned(path: str) -> bool:
    """Return whether EXIF says that a picture, which can be read, is to be turned for display."""
    try:
        read_image_size(path, name=path, orientation='refuse')
    except ValueError:
        return True
    return False


def print_summary(lines: list[Line], left_out: list[str]) -> None:
    """Say what was written, what was not, and what may be a mistake."""
    for message in left_out[:20]:
        print('left out:', message)
    if len(left_out) > 20:
        print(f'left out: {len(left_out) - 20} more')
    phrases = [phrase for line in lines for phrase in line['phrases']]
    without = sum('no_target' in phrase for phrase in phrases)
    print(f'{len(lines)} lines with {len(phrases)} phrases, {without} of them without target; {len(left_out)} left out')
    texts = [
        collections.Counter(
            prepare_phrase(phrase['phrase'], lowercase=True)
            for phrase in line['phrases']
            if isinstance(phrase['phrase'], str)
        )
        for line in lines
    ]
    repeated = sum(count > 1 for counter in texts for count in counter.values())
    if repeated:
        print(f'{repeated} times an image has one phrase for several masks; unite them, or tell them apart by words')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    layouts = parser.add_subparsers(dest='layout', required=True)
    coco = layouts.add_parser('coco', help='COCO instances: the name of a category means all its instances in an image')
    coco.add_argument('instances', help='instances_*.json')
    coco.set_defaults(convert=convert_coco)
    refcoco = layouts.add_parser('refcoco', help='RefCOCO, RefCOCO+ and RefCOCOg, all splits')
    refcoco.add_argument('instances', help='instances.json')
    refcoco.add_argument('refs', help='refs(*).p')
    refcoco.set_defaults(convert=convert_refcoco)
    png = layouts.add_parser('png', help='PNG (Panoptic Narrative Grounding): narratives with their phrases')
    png.add_argument('narratives', help='png_coco_*.json')
    png.add_argument('panoptic', help='panoptic_*.json')
    png.add_argument('panoptic_pictures', help="the folder of that file's PNG pictures")
    png.set_defaults(convert=convert_png)
    labelme = layouts.add_parser('labelme', help="a folder of LabelMe's JSON files: labels are phrases")
    labelme.add_argument('folder', help='where the JSON files lie, in any depth')
    labelme.add_argument('--images', help='the image folder, in which all pictures lie (default: the folder)')
    labelme.set_defaults(convert=convert_labelme)
    for layout in (coco, png, labelme):
        layout.add_argument('--split', help='written into every line')
    for layout in (coco, labelme):
        layout.add_argument('--skip-broken', action='store_true', help='leave out, and name, what cannot be converted')
    for layout, effect in ((refcoco, 'leave out sentences'), (png, 'read phrases as context')):
        layout.add_argument(
            '--skip-wordless', action='store_true', help=f'{effect} without letter or digit, and count them'
        )
    for layout in (coco, refcoco, png, labelme):
        layout.add_argument('--out', required=True, help='the .jsonl file to write')
        layout.add_argument('--overwrite', action='store_true', help='replace the file if it exists')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    out = Path(args.out)
    if out.exists() and not args.overwrite:
        raise ValueError(f'--out {args.out!r} exists; name another, or add --overwrite')
    lines, left_out = args.convert(args)
    if not lines:
        raise ValueError(f'there is no phrase with a mask in the {args.layout} files; {len(left_out)} left out')
    out.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(out) as file:
        file.writelines(json.dumps(line, ensure_ascii=False).encode() + b'\n' for line in lines)
    print_summary(lines, left_out)
    JsonLinesDataset(ann_file=os.path.abspath(out), lazy_init=True).load_items()
    print(f'{out}: read back without an error')


if __name__ == '__main__':
    main()
