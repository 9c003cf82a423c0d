"""Kill a training again and again, resume it each time, and compare its end with that of one that ran through.

    python tools/torture_resume.py CONFIG --kills 20 --cfg-options default_hooks.checkpoint.interval=1

Each kill is a SIGKILL of a main process, of one of several with --processes, at a random moment after training began;
every other one comes while a checkpoint is written. After it nothing of the job may run on, and every checkpoint must
be readable. The last weights and optimizer must equal those of the run that was never killed, to the last bit.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import torch

from flmm.atomic_write import UNFINISHED
from flmm.engine.newest_checkpoint import newest_checkpoint
from flmm.engine.work_dir_lock import LOCK
from flmm.models.checkpoints import read_checkpoint

TRAIN = Path(__file__).with_name('train.py')
START_TIMEOUT = 300
END_TIMEOUT = 60
"""In seconds: of a job whose process was killed."""


class Job:
    """A training, whose processes are known by a variable of their environment.

    Args:
        args: of the command line.
        work_dir: where it trains, or goes on.
    """

    def __init__(self, args: argparse.Namespace, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.num_processes = args.processes
        work_dir.mkdir(parents=True, exist_ok=True)
        self.left = self._unfinished()  # by the run before
        (work_dir / LOCK).unlink(missing_ok=True)  # written anew when training begins
        command = [sys.executable]
        if args.processes > 1:
            command += ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={args.processes}']
        command += [str(TRAIN), args.config, '--work-dir', str(work_dir), '--resume']
        if args.processes > 1:
            command += ['--launcher', 'pytorch']
        if args.cfg_options:
            command += ['--cfg-options', *args.cfg_options]
        self.mark = uuid.uuid4().hex
        self.log = (work_dir / 'output.txt').open('ab')
        environment = {**os.environ, 'FLMM_TORTURE': self.mark}
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)

    def _unfinished(self) -> set[Path]:
        return set(self.work_dir.glob(f'*.pth.*{UNFINISHED}'))

    def processes(self) -> dict[int, dict[str, str]]:
        """Return the processes of the job that are not dead: their environments, by process id."""
        found = {}
        for folder in Path('/proc').glob('[0-9]*'):
            try:
                words = (folder / 'environ').read_bytes().decode(errors='replace').split('\0')
            except OSError:  # it has just ended, or is another user's
                continue
            environment = dict(word.split('=', 1) for word in words if '=' in word)
            if environment.get('FLMM_TORTURE') == self.mark:
                found[int(folder.name)] = environment
        return found

    def victims(self) -> list[int]:
        """List the main processes: those that torchrun has started, by their ranks, or the only one."""
        if self.num_processes == 1:
            return [self.process.pid]
        ranks = {}
        for pid, environment in self.processes().items():
            if 'RANK' in environment and _parent(pid) == self.process.pid:
                ranks[int(environment['RANK'])] = pid
        return [ranks[rank] for rank in sorted(ranks)]

    def wait_for_training(self) -> bool:
        """Wait until training begins, and say whether it has, rather than come to its end."""
        return self._wait(lambda: (self.work_dir / LOCK).exists(), START_TIMEOUT)

    def wait_for_writing(self, *, count: int) -> bool:
        """Wait until the ``count``-th checkpoint from now on is being written, and say whether one is."""
        seen = set()

        def is_written() -> bool:
            seen.update(self._unfinished())
            return len(seen - self.left) >= count

        return self._wait(is_written, START_TIMEOUT)

    def _wait(self, holds, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not holds():
            if self.process.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.0005)
        return True

    def kill(self, pid: int) -> bool:
        """Kill a process, wait until the whole job has ended, and say True; False where the process is no more.

        Raises:
            RuntimeError: something is left, or the job's exit code says that all went well.
        """
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        start = time.monotonic()
        while left := list(self.processes()):
            self.process.poll()
            if time.monotonic() - start > END_TIMEOUT:
                raise RuntimeError(f'{END_TIMEOUT} s after process {pid} was killed, {left} still run')
            time.sleep(0.1)
        if self.process.wait() == 0:
            raise RuntimeError(f'process {pid} was killed, and the job has ended with exit code 0')
        return True

    def end(self) -> None:
        """Wait for a good end.

        Raises:
            RuntimeError: it ended with an error.
        """
        if self.process.wait() != 0:
            raise RuntimeError(f'training failed; see {self.log.name!r}')


def _parent(pid: int) -> int:
    return int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])


def kill_at_random(args: argparse.Namespace, work_dir: Path, draws: random.Random) -> Iterator[str]:
    """Resume and kill until training comes to its end; yield what was done, for each kill."""
    writing = draws.random() < 0.5
    while True:
        job = Job(args, work_dir)
        if not job.wait_for_training():
            raise RuntimeError(f'training did not begin; see {job.log.name!r}')
        delay, count = draws.uniform(0, args.max_delay), draws.randint(1, 3)
        if writing and not job.wait_for_writing(count=count):
            job.end()
            return
        if not writing:
            time.sleep(delay)
        victims = job.victims()
        rank = draws.randrange(args.processes)
        if len(victims) < args.processes or job.process.poll() is not None or not job.kill(victims[rank]):
            job.end()
            return
        there = check_checkpoints(work_dir)
        moment = f'while it wrote its checkpoint number {count}' if writing else f'{delay:.2f} s after its start'
        yield f'{moment}, rank {rank} was killed; {there}'
        writing = not writing


def check_checkpoints(work_dir: Path) -> str:
    """Read all checkpoints, and the one that a run would go on from; say how many there are.

    Raises:
        ValueError: one is damaged.
    """
    paths = sorted(work_dir.glob('*.pth'))
    for path in paths:
        read_checkpoint(path)
    newest, passed_over = newest_checkpoint(work_dir, work_dir)
    if passed_over:
        raise ValueError('; '.join(passed_over))
    return f'{len(paths)} checkpoints, newest {Path(newest).name if newest else None}'


def last_state(work_dir: Path) -> dict[str, torch.Tensor]:
    """Return weights and moments of the newest checkpoint, by name."""
    newest, _ = newest_checkpoint(work_dir, work_dir)
    if newest is None:
        raise ValueError(f'{str(work_dir)!r} has no checkpoint')
    checkpoint = read_checkpoint(newest)
    moments = {
        f'{parameter}.{name}': torch.as_tensor(value)
        for parameter, state in checkpoint['optimizer']['state'].items()
        for name, value in state.items()
    }
    return {**checkpoint['state_dict'], **moments, 'iter': torch.tensor(checkpoint['meta']['iter'])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a run of a few minutes at most')
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--processes', type=int, default=1, help='processes of each training, by torchrun')
    parser.add_argument('--max-delay', type=float, default=3.0, help='seconds that a run has before it is killed')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/torture_resume'), help='an empty folder')
    parser.add_argument('--cfg-options', nargs='+', help='as for tools/train.py')
    args = parser.parse_args()
    if args.work_dir.exists() and any(args.work_dir.iterdir()):
        raise ValueError(f'--work-dir is {str(args.work_dir)!r}, which is not empty; remove it or name another')
    through = Job(args, args.work_dir / 'through')
    through.end()
    expected = last_state(through.work_dir)
    draws, num_kills, round_number = random.Random(args.seed), 0, 0
    while num_kills < args.kills:
        work_dir = args.work_dir / f'killed_{round_number}'
        for done in kill_at_random(args, work_dir, draws):
            num_kills += 1
            print(f'kill {num_kills}: {done}', flush=True)
            if num_kills == args.kills:
                Job(args, work_dir).end()
                break
        found = last_state(work_dir)
        differing = [name for name, value in expected.items() if not torch.equal(found[name], value)]
        if found.keys() != expected.keys() or differing:
            raise ValueError(f'{str(work_dir)!r} has ended otherwise: {differing[:5]} and others differ')
        print(f'{work_dir}: weights and optimizer equal those of the run that was never killed', flush=True)
        round_number += 1


if __name__ == '__main__':
    main()
