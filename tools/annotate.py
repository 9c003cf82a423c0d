"""Ground the phrases of an archive of images: JSON lines, parquet, or WebDataset's tar shards.

    python tools/annotate.py data/archive --out annotated --model FOLDER_OR_HUB
    python tools/annotate.py data/archive --out annotated --model FOLDER_OR_HUB --processes 2
    torchrun --nproc_per_node=8 tools/annotate.py data/archive --out annotated --model M --launcher pytorch

Each shard of the input becomes a parquet file in --out, as a whole or not at all. Started again, it does what is
missing. docs/archives.md has formats, columns and launchers. The exit code is 0; 1 where shards could not be read or
written; 2 for wrong use, such as output of another model in --out; 143 after SIGTERM; 130 after Ctrl-C.
"""

import argparse
import functools
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flmm.archive import Annotator, ArchiveFolder
    from flmm.archive.processes import Place

LAUNCHERS = ('none', 'pytorch', 'slurm', 'ray')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('inputs', nargs='+', metavar='input', help='files, or folders of them: .jsonl, .parquet, .tar')
    parser.add_argument('--out', required=True, help='folder of the output; that of another model or input is refused')
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument('--model', help='a model that save_pretrained or push_to_hub has written')
    weights.add_argument('--config', help='config of a model')
    parser.add_argument('--checkpoint', help='the trained part of the model of --config')
    parser.add_argument('--image-root', help='folder of images that rows name (default: that of the input file)')
    parser.add_argument('--rows-per-shard', type=int, default=1000, help='of JSON lines and parquet')
    parser.add_argument('--batch-size', type=int, default=8, help='images that go through the model together, at most')
    parser.add_argument('--max-tokens', type=int, default=4096, help='tokens of these with their prompts, at most')
    parser.add_argument('--num-workers', type=int, default=2, help='processes that decode images, for each model')
    parser.add_argument('--processes', type=int, default=1, help='models on this machine (--launcher none, ray)')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='who has started this process')
    parser.add_argument('--device', help="torch's name of a device (default: a GPU for each process, else cpu)")
    args = parser.parse_args()
    if args.processes < 1 or (args.processes > 1 and args.launcher in ('pytorch', 'slurm')):
        parser.error(f'--processes is {args.processes}, expected 1 or more, and 1 under torchrun and Slurm')
    if args.checkpoint is not None and args.config is None:
        parser.error('--checkpoint needs --config, the config of its model')
    return args


def prepare(args: argparse.Namespace, place: 'Place') -> 'tuple[Annotator, ArchiveFolder]':
    """Load the model, and open the output for it."""
    from flmm.archive import Annotator, ArchiveFolder, list_files
    from flmm.archive.made_by import made_by
    from flmm.archive.output import check_apart
    from flmm.archive.processes import device_of
    from flmm.grounder import Grounder

    check_apart(args.out, args.inputs)
    files = list_files(args.inputs)  # before the model is loaded
    device = device_of(place, args.device)
    if args.config is not None:
        grounder = Grounder.from_config(args.config, checkpoint=args.checkpoint, device=device)
    else:
        grounder = Grounder.from_pretrained(args.model, device=device)
    annotator = Annotator(
        grounder=grounder,
        batch_size=args.batch_size,
        max_tokens=args.max_tokens,
        num_workers=args.num_workers,
        image_root=args.image_root,
    )
    folder = ArchiveFolder(
        args.out,
        files=files,
        made_by=made_by(grounder),
        rows_per_shard=args.rows_per_shard,
        rank=place.rank,
        world_size=place.world_size,
    )
    return annotator, folder


def annotate(args: argparse.Namespace, place: 'Place') -> int:
    """Ground what is missing, in this process; return the exit code."""
    from flmm.archive.processes import end_on_sigterm, wait_for_others

    end_on_sigterm()
    logging.basicConfig(level=logging.WARNING, format=f'%(asctime)s process {place.rank}: %(message)s')
    logging.getLogger('flmm.archive').setLevel(logging.INFO)
    try:
        annotator, folder = prepare(args, place)
    except (ImportError, ValueError) as error:
        print(f'annotate: error: {error}', file=sys.stderr)
        return 2
    failed = False
    try:
        report = annotator.annotate(folder)
    except OSError as error:
        print(f'annotate: error: {error}', file=sys.stderr)
        failed = True
    else:
        missing = len(folder.missing())
        print(f'process {place.rank} of {place.world_size}: {report}; {missing} of {len(folder.shards)} missing')
        failed = bool(report.failed)
        if missing and place.has_gaps and not folder.claims.has_locks:
            print(
                f'annotate: error: {missing} shards are missing. Numbers of the Slurm array have gaps, and the file '
                'system of the output has no locks, by which others would do the share of those that are left out; '
                'use --array=0-N',
                file=sys.stderr,
            )
            failed = True
    if failed and args.launcher in ('pytorch', 'slurm'):
        wait_for_others(folder)
    return int(failed)


def with_absolute_paths(args: argparse.Namespace) -> argparse.Namespace:
    """Return the arguments for processes that stand in other folders; names on the hub stay as they are."""

    def absolute(path: str) -> str:
        return os.path.abspath(path) if os.path.exists(path) else path

    paths = {name: getattr(args, name) for name in ('model', 'config', 'checkpoint', 'image_root')}
    paths = {name: absolute(path) for name, path in paths.items() if path is not None}
    inputs = [absolute(path) for path in args.inputs]
    return argparse.Namespace(**{**vars(args), **paths, 'inputs': inputs, 'out': os.path.abspath(args.out)})


def by_ray(args: argparse.Namespace) -> int:
    from flmm.archive.processes import Place
    from flmm.archive.ray_data import annotate_by_ray

    args = with_absolute_paths(args)
    # Refuses here what actors would refuse one by one; the GPUs are theirs.
    _, folder = prepare(argparse.Namespace(**{**vars(args), 'device': 'cpu'}), Place())
    gpus = 0 if args.device == 'cpu' else None
    report = annotate_by_ray(
        functools.partial(prepare, args, Place()), folder.missing(), actors=args.processes, gpus=gpus
    )
    missing = len(folder.missing())
    print(f'{args.processes} actors: {report}; {missing} of {len(folder.shards)} missing')
    return 1 if missing else 0


def main() -> int:
    args = parse_args()
    from flmm.archive.processes import Place, end_on_sigterm, run_processes

    try:
        if args.launcher == 'ray':
            return by_ray(args)
        if args.processes > 1:
            end_on_sigterm()
            codes = run_processes(args.processes, functools.partial(annotate, args))
            failed = {rank: code for rank, code in enumerate(codes) if code}
            if failed:
                print(f'annotate: error: of {len(codes)} processes failed (exit codes) {failed}', file=sys.stderr)
            return 2 if set(codes) == {2} else int(bool(failed))
        return annotate(args, Place() if args.launcher == 'none' else Place.from_environment(args.launcher))
    except (ImportError, ValueError) as error:
        print(f'annotate: error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('annotate: stopped', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
