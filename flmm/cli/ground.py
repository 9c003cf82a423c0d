"""``flmm ground``: masks for phrases of an image, of each image in a folder, or of a video."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flmm.cli.ground_video import add_video_options, check_video_options, find_in_video, is_video, video_rows
from flmm.cli.output_files import OutputFiles, output_files
from flmm.images import images_in
from flmm.plain_text import for_terminal, printable
from flmm.scoring import align_rows
from flmm.text import prepare_phrase

if TYPE_CHECKING:
    from flmm.grounder import Answer, Grounder, Grounding, VideoGrounding

DESCRIPTION = """Find phrases in an image, in each image of a folder, or in a video.

    flmm ground photo.jpg "the red circle" "the star"
    flmm ground photo.jpg --say "What is on the table?"
    flmm ground clip.mp4 "the red circle that moves left"

prints a line for each phrase: SAM's score of its mask, the mask's share of the image,
and the box around it as [x, y, width, height] in px. It writes

    grounded/photo.json           scores, boxes, and masks as COCO's RLE
    grounded/photo_masks/         each mask as a black and white PNG
    grounded/photo_overlay.png    the masks over the image

Of a video it has a folder of masks for each phrase, and a moving picture (GIF).

--say asks the LMM, prints its answer, and finds what the answer speaks of: the words that
the LMM has marked itself, or else the noun phrases. Both stand in the JSON file, too.

Without --model or --config the demo's weights are used, which know drawn shapes only."""


def add_ground(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to those of ``flmm``."""
    parser = commands.add_parser(
        'ground',
        help='find phrases in an image, in each image of a folder, or in a video',
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('image', type=Path, help='an image, a folder of images (not of folders), or a video')
    parser.add_argument('phrases', nargs='*', metavar='phrase', help='what to find')
    parser.add_argument('--say', metavar='QUESTION', help='find what the answer to this question speaks of')
    parser.add_argument('--out', type=Path, default=Path('grounded'), help='folder to write to (default: %(default)s)')
    parser.add_argument('--overwrite', action='store_true', help='replace results that are there')
    parser.add_argument('--no-overlay', action='store_true', help='write no picture')
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        '--model', metavar='FOLDER_OR_HUB', help='a model that save_pretrained or push_to_hub has written'
    )
    weights.add_argument('--config', help='config of a model')
    parser.add_argument('--checkpoint', help='the trained part of the model of --config')
    parser.add_argument('--device', help="torch's name of a device (default: cuda where there is one, else cpu)")
    parser.add_argument('--num-workers', type=int, default=0, help='processes that read the images of a folder')
    add_video_options(parser)
    parser.set_defaults(run=ground)


def ground(args: argparse.Namespace) -> int:
    """Run the command, and return its exit code."""
    if args.checkpoint is not None and args.config is None:
        raise ValueError('--checkpoint needs --config, the config of its model')
    if bool(args.phrases) == (args.say is not None):
        raise ValueError('name phrases to find, or ask a question by --say; one of the two')
    check_video_options(args)
    if args.num_workers < 0:
        raise ValueError(f'--num-workers is {args.num_workers}, expected 0 or a number of processes')
    if args.num_workers and (args.say is not None or not args.image.is_dir()):
        raise ValueError('--num-workers is for phrases in a folder of images; leave it out')
    for phrase in args.phrases:
        prepare_phrase(phrase, lowercase=False)  # that it says something, before the model is loaded
    images = _images(args.image, out=args.out)
    of_video = is_video(args.image)
    targets = output_files(images, args.out, overwrite=args.overwrite, of_video=of_video)
    if of_video:
        found = find_in_video(partial(_grounder, args), args, device=_device(args.device))
        _write(found, targets[0], args)
        return 0
    grounder = _grounder(args)
    if not args.image.is_dir():
        read = grounder.read(args.image)
        _write(read.ground(args.phrases) if args.say is None else read.chat(args.say), targets[0], args)
        return 0
    from tqdm import tqdm

    if args.say is None:
        results = grounder.ground_many(
            images, args.phrases, num_workers=args.num_workers, progress=True, on_error='yield'
        )
    else:
        answer = partial(_or_error, lambda path: grounder.read(path).chat(args.say))
        results = zip(images, map(answer, tqdm(images, unit='image')), strict=True)
    failed = 0
    for (_, found), files in zip(results, targets, strict=True):
        error = found if isinstance(found, ValueError) else _or_error(_write, found, files, args)
        if error is not None:
            failed += 1
            tqdm.write(f'flmm: error: {error}', file=sys.stderr)
    if failed:
        print(f'flmm: error: {failed} of {len(images)} images failed', file=sys.stderr)
    return 1 if failed else 0


def _or_error(call: Callable, *arguments: Any) -> Any:
    """Return what a call returns, or else the ValueError that it raises."""
    try:
        return call(*arguments)
    except ValueError as error:
        return error


def _images(path: Path, *, out: Path) -> list[Path]:
    if path.is_dir():
        if path.resolve() == out.resolve():
            raise ValueError(f'--out is the folder of the images, {str(path)!r}; pictures would be taken for images')
        return images_in(path)
    if not path.exists():
        raise ValueError(f'{str(path)!r} is no image, video or folder')
    return [path]


def _grounder(args: argparse.Namespace) -> 'Grounder':
    from flmm.grounder import Grounder

    device = _device(args.device)
    if args.config is not None:
        return Grounder.from_config(args.config, checkpoint=args.checkpoint, device=device)
    if args.model is not None:
        return Grounder.from_pretrained(args.model, device=device)
    from flmm.grounder.demo import demo_folder

    print(
        "flmm: these are the demo's weights, which know drawn shapes only; name others by --model, or by --config and "
        '--checkpoint',
        file=sys.stderr,
    )
    return Grounder.from_pretrained(demo_folder(), device=device)


def _device(name: str | None) -> str:
    import torch

    from flmm.device import check_device

    if name is None:
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    return check_device(name, setting='--device')


def _write(found: 'Grounding | VideoGrounding | Answer', files: OutputFiles, args: argparse.Namespace) -> None:
    """Write the files, and print an answer, a line for each phrase, and where the files are."""
    from tqdm import tqdm

    said = {}
    if args.say is not None:
        said = {'question': found.question, 'answer': found.text, 'spans': [[*astuple(span)] for span in found.spans]}
        found = found.ground()
    document = files.write(found, with_overlay=not args.no_overlay, said=said)
    rows = video_rows(document) if files.of_video else _rows(document)
    size = f'{document["width"]}x{document["height"]} px'
    title = f'{found.name} ({size}, {len(document["frames"])} frames)' if files.of_video else f'{found.name} ({size})'
    places = [files.json, files.masks, *([] if args.no_overlay else [files.overlay])]
    answer = [printable(f'  {said["answer"]}')] if said else []
    table = align_rows(rows, num_left=len(rows[0]))
    lines = [printable(title), *answer, table, printable(f'  {", ".join(map(str, places))}')]
    tqdm.write(for_terminal('\n'.join(lines)))  # above the bar, where there is one


def _rows(document: dict[str, Any]) -> list[list[str]]:
    """Return the cells of a line for each phrase of an image: its score, its share of the image, and its box."""
    rows = []
    for number, row in enumerate(document['phrases'], 1):
        cells = ['not there', '', '']
        if row['segmentation'] is not None:
            share = row['area'] / (document['width'] * document['height'])
            cells = [f'score {row["score"]:.2f}', f'{share:.1%}', str(row['bbox'] or 'no pixel')]
        rows.append([f'  {number}', printable(row['phrase']), *cells])
    return rows
