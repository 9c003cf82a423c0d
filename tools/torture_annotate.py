"""Kill tools/annotate.py at random moments, start it again, and compare with a run that nobody killed.

    python tools/torture_annotate.py --kills 10 --processes 2

An archive of drawn shapes is grounded with the demo's weights by several processes. Again and again one of them, or
all, get SIGKILL; then the run is started again. At the end no shard may be unreadable or differ from the uninterrupted
run's in a single row. The exit code is 1 where something is wrong.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from flmm.shapes import DIFFICULTY, generate_sample

PHRASES = ('the red circle', 'the star', 'the pink square', 'the triangle on the left')
TOOL = Path(__file__).with_name('annotate.py')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=10)
    parser.add_argument('--processes', type=int, default=2)
    parser.add_argument('--images', type=int, default=160)
    parser.add_argument('--rows-per-shard', type=int, default=4)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--model', help="default: the demo's")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    from flmm.archive.folder import read_archive
    from flmm.grounder import demo_folder

    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = draw_archive(folder / 'in', args.images)
        command = [
            sys.executable, str(TOOL), str(archive), '--model', args.model or str(demo_folder()), '--num-workers', '1',
            '--processes', str(args.processes), '--rows-per-shard', str(args.rows_per_shard),
        ]  # fmt: skip
        subprocess.run([*command, '--out', str(folder / 'whole')], check=True, stderr=subprocess.DEVNULL)
        whole = read_archive(folder / 'whole')
        count, kills = len(list((folder / 'whole').glob('*.parquet'))), 0
        while kills < args.kills:
            before = written(folder / 'out')
            if before == count:  # begin anew
                check(folder / 'out', whole)
                for file in (folder / 'out').glob('*.parquet'):
                    file.unlink()
                before = 0
            what = kill_once([*command, '--out', str(folder / 'out')], folder / 'out', chance, goal=before)
            after = written(folder / 'out')
            left = sorted(file.name for file in (folder / 'out').glob('*.unfinished'))
            print(f'{kills + 1}: {what}; {after} of {count} shards written, unfinished files: {left}', flush=True)
            kills += what.startswith('killed')
        subprocess.run([*command, '--out', str(folder / 'out')], check=True, stderr=subprocess.DEVNULL)
        check(folder / 'out', whole)
    print(f'{args.kills} kills, {args.processes} processes: all {whole.num_rows} rows are equal')
    return 0


def draw_archive(folder: Path, count: int) -> Path:
    folder.mkdir()
    lines = []
    for number in range(count):
        scene = generate_sample(number, seed=0, split='val', config=DIFFICULTY['easy']).image
        Image.fromarray(scene).save(folder / f'{number}.png')
        lines.append(json.dumps({'image': f'{number}.png', 'phrases': PHRASES}) + '\n')
    (folder / 'shapes.jsonl').write_text(''.join(lines))
    return folder


def written(folder: Path) -> int:
    return len(list(folder.glob('*.parquet')))


def kill_once(command: list[str], out: Path, chance: random.Random, *, goal: int) -> str:
    """Start the tool, wait until it has written a shard more than ``goal``, or for less long, then kill."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while_it_starts = chance.random() < 0.1
    while not while_it_starts and written(out) <= goal and process.poll() is None:
        time.sleep(0.05)
    time.sleep(chance.uniform(0, 1.5))
    workers = children(process.pid)
    if chance.random() < 0.5 and workers:
        victim = chance.choice(workers)  # the others go on, and end with an error
        os.kill(victim, signal.SIGKILL)
        code = process.wait(timeout=600)
        return f'killed one process, exit code {code}'
    if process.poll() is not None:
        return 'it had ended'
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 30
    while alive := processes_of(process.pid):
        if time.monotonic() > until:
            raise RuntimeError(f'processes {alive} outlived the one that was killed')
        time.sleep(0.1)
    return 'killed all'


def children(pid: int) -> list[int]:
    """The models' processes, not the decoders'."""
    try:
        listed = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    except FileNotFoundError:
        return []
    return [int(child) for child in listed if b'spawn_main' in Path(f'/proc/{child}/cmdline').read_bytes()]


def processes_of(session: int) -> list[int]:
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            status = (folder / 'stat').read_text().rpartition(')')[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(status[3]) == session and status[0] != 'Z':
            found.append(int(folder.name))
    return found


def check(out: Path, whole: Any) -> None:
    """Compare row by row; a file that cannot be read is an error of pyarrow's."""
    from flmm.archive.folder import read_archive

    found = read_archive(out)
    if not found.equals(whole):
        raise RuntimeError(f'{found.num_rows} rows differ from the {whole.num_rows} of the uninterrupted run')


if __name__ == '__main__':
    sys.exit(main())
