"""Find phrases in images: ``flmm ground``, beside the other tools."""

import sys

from flmm.cli.main import main

if __name__ == '__main__':
    sys.exit(main(['ground', *sys.argv[1:]]))
