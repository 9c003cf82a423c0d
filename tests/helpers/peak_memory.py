"""How much memory a statement takes at most."""

import subprocess
import sys

# VmHWM is the most that was resident since 5 was written to clear_refs.
MEASURE = """
from pathlib import Path

def status(field):
    (line,) = (line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024

{setup}
Path('/proc/self/clear_refs').write_text('5')
before = status('VmRSS')
{statement}
print(status('VmHWM') - before)
"""


def peak_bytes(statement: str, *, setup: str) -> int:
    """Run ``statement`` behind ``setup`` in an interpreter of its own; return by how much its memory grew at most.

    Not in this process, nor in a fork of it: what tests have freed here would be used again, and nothing would grow.
    """
    measure = MEASURE.format(setup=setup, statement=statement)
    done = subprocess.run([sys.executable, '-c', measure], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
