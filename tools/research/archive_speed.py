"""Measure an archive's images per second beside a plain loop over Grounder, and whether memory stays flat.

    python tools/research/archive_speed.py --images 160 --repeats 3
    python tools/research/archive_speed.py --memory 2000

The plain loop is what one would write: ``grounder.read(path).ground(phrases).to_dict()``, image by image, with two
threads; and with one, since two lose most where other work is on the machine. flmm.archive runs in one process with two
threads, then in two processes with one. All see the same drawn JPEGs with eight phrases each and the demo's model, take
turns, and are timed when models are loaded. Writes <work dir>/speed.json, or memory.json, and prints a table. Ratios
within a run compare, runs do not.
"""

import argparse
import functools
import json
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

PHRASES = (
    'the red circle', 'the star', 'the pink square', 'the triangle on the left', 'the blue shape', 'the green circle',
    'the largest shape', 'the yellow star',
)  # fmt: skip
ROWS_PER_SHARD = 20
WAYS = {
    'plain loop': (1, 2, None),
    'plain loop, 1 thread': (1, 1, None),
    'annotate, 1 process': (1, 2, 0),
    'annotate, 2 processes': (2, 1, 0),
}
"""How many processes, threads of each, and workers that decode: None is the plain loop."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=160)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--memory', type=int, metavar='IMAGES', help='measure memory over so many small images instead')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/archive_speed'))
    return parser.parse_args()


def draw(folder: Path, count: int, *, size: tuple[int, int] | None = None, phrases: int = len(PHRASES)) -> Path:
    """Draw JPEGs and the JSON lines that name them."""
    from PIL import Image

    from flmm.shapes import DIFFICULTY, generate_sample

    lines = []
    for number in range(count):
        pixels = generate_sample(number % 200, seed=0, split='val', config=DIFFICULTY['easy']).image
        image = Image.fromarray(pixels)
        (image if size is None else image.resize(size)).save(folder / f'{number}.jpg')
        lines.append(json.dumps({'image': f'{number}.jpg', 'phrases': PHRASES[:phrases]}) + '\n')
    (folder / 'a.jsonl').write_text(''.join(lines))
    return folder / 'a.jsonl'


def load(threads: int):
    import torch

    from flmm import Grounder
    from flmm.grounder import demo_folder

    torch.set_num_threads(threads)
    return Grounder.from_pretrained(demo_folder())


def plain_loop(file: Path, out: Path, grounder, *unused: object) -> None:
    with (out / 'plain.jsonl').open('w') as written:
        for line in file.read_text().splitlines():
            row = json.loads(line)
            found = grounder.read(file.parent / row['image']).ground(row['phrases'])
            written.write(json.dumps(found.to_dict()) + '\n')


def archive(file: Path, out: Path, grounder, rank: int, world_size: int, num_workers: int):
    from flmm.archive import Annotator, ArchiveFolder
    from flmm.archive.made_by import made_by

    folder = ArchiveFolder(
        out, files=[file], made_by=made_by(grounder), rows_per_shard=ROWS_PER_SHARD, rank=rank, world_size=world_size
    )
    return Annotator(grounder=grounder, num_workers=num_workers).annotate(folder)


def process(file: Path, rank: int, world_size: int, threads: int, num_workers: int | None, jobs, done) -> None:
    """Load the model, then do a round for each folder that comes, until None does."""
    grounder = load(threads)
    grounder(file.parent / '0.jpg', PHRASES)  # warm
    done.put(None)
    while (out := jobs.get()) is not None:
        if num_workers is None:
            plain_loop(file, out, grounder)
            done.put(0.0)
        else:
            report = archive(file, out, grounder, rank, world_size, num_workers)
            done.put(report.busy / report.seconds)


def speed(args: argparse.Namespace, folder: Path) -> dict:
    file = draw(folder, args.images)
    context = multiprocessing.get_context('spawn')
    started, rounds, busy = {}, {way: [] for way in WAYS}, {way: [] for way in WAYS}
    for way, (count, threads, num_workers) in WAYS.items():
        done = context.Queue()
        jobs = [context.Queue() for _ in range(count)]
        processes = [
            context.Process(
                target=process, args=(file, rank, count, threads, num_workers, jobs[rank], done), daemon=True
            )
            for rank in range(count)
        ]
        for each in processes:
            each.start()
        for _ in processes:
            done.get()
        started[way] = jobs, done
    for number in range(args.repeats + 1):
        for way in list(WAYS)[:: -1 if number % 2 else 1]:
            out = folder / f'{way} {number}'
            out.mkdir()
            jobs, done = started[way]
            start = time.perf_counter()
            for queue in jobs:
                queue.put(out)
            shares = [done.get() for _ in jobs]
            if number:  # the first round warms up
                rounds[way].append(args.images / (time.perf_counter() - start))
                busy[way].append(statistics.mean(shares))
            print(f'round {number}: {way}: {args.images / (time.perf_counter() - start):.1f} images/s', file=sys.stderr)
    for jobs, _ in started.values():
        for queue in jobs:
            queue.put(None)
    return {'images_per_second': rounds, 'busy': busy}


def memory(folder: Path, file: Path) -> dict:
    """Memory of one process at each shard that it has written, in MiB."""
    from flmm.archive.folder import ArchiveFolder

    found = []
    write = ArchiveFolder.write

    @functools.wraps(write)
    def measured(self, number, rows):
        write(self, number, rows)
        found.append(int(re.search(r'VmRSS:\s+(\d+) kB', Path('/proc/self/status').read_text())[1]) / 1024)

    ArchiveFolder.write = measured
    report = archive(file, folder / 'out', load(os.cpu_count() or 1), 0, 1, 0)
    return {'rss_mib_by_shard': found, 'images_by_shard': ROWS_PER_SHARD, 'report': str(report)}


def table(results: dict) -> list[list[str]]:
    rows = [['way', 'images/s', 'of the plain loop', 'model busy']]
    plain = results['images_per_second']['plain loop']
    for way, rates in results['images_per_second'].items():
        ratio = statistics.median(rate / base for rate, base in zip(rates, plain, strict=True))
        busy = statistics.median(results['busy'][way])
        rows.append([way, f'{statistics.median(rates):.1f}', f'{ratio:.2f}', f'{busy:.0%}' if busy else ''])
    return rows


def main() -> int:
    args = parse_args()
    import torch
    from benchmarks.measure import environment

    from flmm.atomic_write import write_json
    from flmm.scoring import align_rows

    args.work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.memory is None:
            results = speed(args, folder)
            print(align_rows(table(results)))
        else:
            results = memory(folder, draw(folder, args.memory, size=(96, 96), phrases=2))
            found = results['rss_mib_by_shard']
            places = [round((len(found) - 1) * share) for share in (0.1, 0.25, 0.5, 0.75, 1)]
            cells = [[str((place + 1) * ROWS_PER_SHARD), f'{found[place]:.0f}'] for place in places]
            print(align_rows([['images', 'MiB'], *cells]))
    document = {'results': results, 'environment': environment(torch.device('cpu'))}
    write_json(args.work_dir / f'{"speed" if args.memory is None else "memory"}.json', document)
    return 0


if __name__ == '__main__':
    sys.exit(main())
