"""Look for everything that is wrong with the data of a config, before a run meets the first of it.

    python tools/check_data.py configs/shapes/demo.py

Reads every image once, with all annotations of the config's loaders, through the config's own pipeline, and every frame
of a video; of the LMM the processor is loaded alone. Prints counts and problems, and writes ``report.json`` and
``report.png``. Exit code: 0 where data are sound (there may be warnings), 1 where a run would stop, 2 for mistaken
arguments.
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

from flmm.atomic_write import write_json
from flmm.config import read_config
from flmm.data_check import (
    Problems,
    Source,
    VideoSource,
    check_images,
    check_videos,
    draw_report,
    find_sources,
    format_report,
)
from flmm.visualization import save_figure

LOADERS = ('train', 'val', 'test')


def parse_args() -> tuple[argparse.Namespace, Config]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config whose data are checked')
    parser.add_argument('--loaders', nargs='+', choices=LOADERS, help='which; defaults to all that the config has')
    parser.add_argument('--out', type=Path, help='folder of the report; defaults to work_dirs/<config name>/data_check')
    parser.add_argument(
        '--fast', action='store_true', help='read the headers of pictures, not their pixels: damage may be overlooked'
    )
    parser.add_argument('--workers', type=int, default=2, help='processes that read pictures; 0 for none beside this')
    parser.add_argument(
        '--max-problems', type=int, default=10_000, help='most problems of a kind in report.json; more are counted'
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    args = parser.parse_args()
    if args.workers < 0 or args.max_problems < 0:
        parser.error('--workers and --max-problems must not be negative')
    try:
        config = read_config(args.config, args.cfg_options)
    except ValueError as error:
        parser.error(str(error))
    has = [loader for loader in LOADERS if config.get(f'{loader}_dataloader') is not None]
    lacking = [loader for loader in args.loaders or () if loader not in has]
    if lacking or not has:
        parser.error(f'{args.config} has no loader for {", ".join(lacking or LOADERS)}')
    args.loaders = args.loaders or has
    args.out = args.out or Path('work_dirs', Path(args.config).stem, 'data_check')
    return args, config


def main() -> int:
    args, config = parse_args()
    init_default_scope(config.get('default_scope', 'flmm'))
    found_sources, found = find_sources(config, args.loaders)
    sources = [source for source in found_sources if isinstance(source, Source)]
    videos = [source for source in found_sources if isinstance(source, VideoSource)]
    problems = Problems(limit=args.max_problems)
    for problem in found:
        problems.add(problem)
    of_images = check_images(sources, problems, headers_only=args.fast, num_workers=args.workers)
    summaries = [*of_images, *check_videos(videos, problems, headers_only=args.fast)]
    args.out.mkdir(parents=True, exist_ok=True)
    document = {
        'config': args.config,
        'loaders': args.loaders,
        'fast': args.fast,
        'errors': problems.num_errors,
        'warnings': problems.num_warnings,
        'counts': dict(problems.counts),
        'datasets': {summary.label: summary.to_json() for summary in summaries},
        'problems': [vars(problem) for problem in problems.kept],
    }
    write_json(args.out / 'report.json', document)
    text = format_report(summaries, problems)
    encoding = sys.stdout.encoding or 'utf-8'  # a terminal may lack letters of a phrase
    print(text.encode(encoding, 'backslashreplace').decode(encoding))
    if sources:
        save_figure(draw_report(sources, of_images), args.out / 'report.png')
    print(f'report.json and pictures: {args.out}')
    return 1 if problems.num_errors else 0


if __name__ == '__main__':
    sys.exit(main())
