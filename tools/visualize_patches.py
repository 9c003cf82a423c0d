"""Draw which patches an adaptive selection keeps of an image, or of each image in a folder, and count them.

python tools/visualize_patches.py photos --out-dir work_dirs/patches --patch-selection-method budget --alpha 0.3

Images are brought to the size at which Qwen2-VL and Qwen2.5-VL read them, or, with --patch-size 16, Qwen3-VL and
Qwen3.5 under the same bounds. The picture of photo.jpg is photo.jpg.png;
statistics.json and statistics.csv count the tokens of all images. To compare settings, write each to a folder of its
own: everything has the same place on the page. --no-pictures counts only.
"""

import argparse
import csv
import inspect
import io
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from mmengine.utils import track_iter_progress
from transformers import Qwen2VLImageProcessor

from flmm.apt.layout import SIZES
from flmm.apt.patch_selection import SETTINGS, PatchSelection
from flmm.apt.patch_tokenizer import PatchTokenizer
from flmm.atomic_write import write_json, write_text
from flmm.images import images_in, read_rgb
from flmm.qwen import resize_image
from flmm.visualization import draw_selection, save_figure


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', help='an image, or a folder of images (not of folders)')
    parser.add_argument('--out-dir', required=True, help='folder for pictures and statistics')
    parser.add_argument('--no-pictures', action='store_true', help='write the statistics alone')
    selection = parser.add_argument_group('selection', inspect.getdoc(PatchSelection).partition('\n\nRaises:')[0])
    for name, default in SETTINGS.items():
        option = '--' + name.replace('_', '-')
        if name == 'thresholds':
            selection.add_argument(option, type=float, nargs=2, metavar=('T28', 'T56'), help="(default: the measure's)")
        else:
            selection.add_argument(option, type=type(default), default=default, help='(default: %(default)s)')
    parser.add_argument('--patch-size', type=int, default=14, help='side in px (default: 14, as in Qwen2.5-VL)')
    parser.add_argument('--merge-size', type=int, default=2, help='m x m patches make a token (default: 2, as in Qwen)')
    parser.add_argument('--min-pixels', type=int, help="smallest size to read at (default: Qwen2VLImageProcessor's)")
    parser.add_argument('--max-pixels', type=int, help="largest size to read at (default: Qwen2VLImageProcessor's)")
    return parser.parse_args()


def find_images(path: Path, *, out_dir: Path) -> list[Path]:
    """Take ``path`` itself, or the images in that folder, sorted by name.

    Raises:
        ValueError: nothing there, a folder without images, or one that the pictures would be written into.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f'{str(path)!r} is neither an image nor a folder')
    if path.resolve() == out_dir.resolve():
        raise ValueError(f'--out-dir is the folder of the images, {str(path)!r}; pictures would be taken for images')
    return images_in(path)


def build_image_processor(
    *, merge_size: int, min_pixels: int | None, max_pixels: int | None, patch_size: int = 14
) -> Qwen2VLImageProcessor:
    """Build the stock image processor, whose resizing is what the model gets.

    Raises:
        ValueError: bounds out of order.
    """
    processor = Qwen2VLImageProcessor(
        patch_size=patch_size, merge_size=merge_size, min_pixels=min_pixels, max_pixels=max_pixels
    )
    smallest, largest = processor.size['shortest_edge'], processor.size['longest_edge']
    if not 0 < smallest <= largest:
        raise ValueError(f'images of {smallest} to {largest} px are asked for; expected 0 < min_pixels <= max_pixels')
    return processor


def visualize(
    path: Path, *, tokenizer: PatchTokenizer, processor: Qwen2VLImageProcessor, draw: bool = True
) -> tuple[Figure | None, dict[str, Any]]:
    """Draw and count the tokens of one image.

    Returns:
        The figure, None unless ``draw``, and the statistics: sizes are [width, height] in px; ``tokens_per_scale``
        counts the tokens made from patches of each size in px; ``budget_info``, with the budget only, is in patches as
        ``PatchTokenizer`` has it.
    """
    selection = tokenizer.selection
    image = read_rgb(path, name=str(path), orientation='apply')
    pixels = resize_image(image, processor=processor, size=processor.size, name=str(path))
    importance_maps = tokenizer.compute_importance_maps(pixels)
    (patches,), (layout,) = tokenizer.take_patches(pixels, tokenizer.construct_masks(importance_maps))
    (height, width), (h, w) = pixels.shape[2:], layout.grid_size
    statistics = {
        'file': path.name,
        'size': [image.width, image.height],
        'processed_size': [width, height],
        'patch_selection_method': selection.patch_selection_method,
        'alpha': selection.alpha,
        'tokens_per_scale': {tokenizer.patch_size * s: int((layout.tokens[:, 2] == s).sum()) for s in SIZES},
        'tokens': len(layout),
        'dense_tokens': h * w,
        'kept_fraction': len(layout) / (h * w),
    }
    if tokenizer.last_budget_info is not None:
        statistics['budget_info'] = tokenizer.last_budget_info[0]
    figure = None
    if draw:
        figure = draw_selection(
            pixels[0].permute(1, 2, 0).numpy(),
            layout,
            patches=patches,
            importance_maps={size: maps[0] for size, maps in importance_maps.items()},
            method=selection.method,
            title=f'{path.name}, {image.width}x{image.height} px read at {width}x{height}',
            settings=describe(selection),
            thresholds=dict(zip(list(importance_maps)[1:], selection.v1_thresholds, strict=True))
            if selection.patch_selection_method == 'v1'
            else None,
        )
    return figure, statistics


def describe(selection: PatchSelection) -> str:
    """Name the settings that matter in a few words, such as 'budget, alpha 0.3, laplacian mean, blur 5'."""
    words = [selection.patch_selection_method]
    if words != ['none']:
        if words != ['v1']:
            words.append(f'alpha {selection.alpha:g}')
        words.append(
            f'laplacian {selection.laplacian_aggregate}' if selection.method == 'laplacian' else selection.method
        )
        if selection.blur > 1:
            words.append(f'blur {selection.blur}')
        if selection.max_token_size < max(SIZES):
            words.append(f'tokens up to {selection.max_token_size}x{selection.max_token_size}')
    return ', '.join(words)


def write_statistics(statistics: list[dict[str, Any]], settings: dict[str, Any], out_dir: Path) -> None:
    """Write statistics.json, and statistics.csv with a row for each image and columns such as tokens_per_scale.14."""
    document = {'settings': settings, 'images': statistics}
    write_json(out_dir / 'statistics.json', document, indent=2)
    rows = []
    for image in statistics:
        row = {}
        for key, value in image.items():
            if key.endswith('size'):
                value = dict(zip(('width', 'height'), value, strict=True))
            row |= (
                {f'{key}.{part}': number for part, number in value.items()} if isinstance(value, dict) else {key: value}
            )
        rows.append(row)
    table = io.StringIO(newline='')
    writer = csv.DictWriter(table, fieldnames=rows[0])
    writer.writeheader()
    writer.writerows(rows)
    write_text(out_dir / 'statistics.csv', table.getvalue())


def main() -> None:
    args = parse_args()
    out_dir = Path(args.out_dir)
    images = find_images(Path(args.images), out_dir=out_dir)
    selection = PatchSelection(**{name: getattr(args, name) for name in SETTINGS})
    processor = build_image_processor(
        patch_size=args.patch_size,
        merge_size=args.merge_size,
        min_pixels=args.min_pixels,
        max_pixels=args.max_pixels,
    )
    tokenizer = PatchTokenizer(selection=selection, patch_size=processor.patch_size, merge_size=args.merge_size)
    out_dir.mkdir(parents=True, exist_ok=True)
    statistics = []
    for path in track_iter_progress(images, file=sys.stderr) if len(images) > 1 else images:
        figure, counts = visualize(path, tokenizer=tokenizer, processor=processor, draw=not args.no_pictures)
        if figure is not None:
            save_figure(figure, out_dir / f'{path.name}.png')  # the whole name: photo.jpg and photo.png stay apart
        statistics.append(counts)
    settings = asdict(selection) | {'thresholds': selection.v1_thresholds}
    settings |= {'patch_size': args.patch_size, 'merge_size': args.merge_size}
    settings |= {'min_pixels': processor.size['shortest_edge'], 'max_pixels': processor.size['longest_edge']}
    write_statistics(statistics, settings, out_dir)
    tokens, dense = (sum(image[key] for image in statistics) for key in ('tokens', 'dense_tokens'))
    plural = 's' if len(images) > 1 else ''
    print(f'{out_dir}: {len(images)} image{plural}, {tokens:,} of {dense:,} tokens kept ({tokens / dense:.1%}).')


if __name__ == '__main__':
    main()
