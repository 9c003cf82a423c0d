"""The command ``flmm``: subcommands, and errors of the user as one line."""

import argparse
import sys
from collections.abc import Sequence

from flmm import __version__
from flmm.cli.ground import add_ground


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all subcommands. Each sets ``run``, which takes the arguments and returns an exit code."""
    parser = argparse.ArgumentParser(prog='flmm', description='Masks for the words a frozen multimodal model reads.')
    parser.add_argument('--version', action='version', version=f'flmm {__version__}')
    add_ground(parser.add_subparsers(title='commands', metavar='COMMAND', required=True))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: what is typed behind ``flmm``; None takes that of the process.

    Returns:
        0 where all went well. 1 where some of several images failed, each with a line on stderr. 2 for wrong use and
        for what the user can mend, with a line on stderr. 130 where the user has stopped it by Ctrl-C. Anything else is
        a bug, and shows its traceback.
    """
    parser = build_parser()
    args, others = parser.parse_known_args(arguments)
    # Phrases may be none, so argparse takes it that there are none where an option stands between image and phrases.
    if others and (not hasattr(args, 'phrases') or any(word.startswith('-') for word in others)):
        parser.error(f'unrecognized arguments: {" ".join(others)}')
    if others:
        args.phrases += others
    try:
        return args.run(args)
    except (OSError, ValueError) as error:
        print(f'flmm: error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('flmm: stopped', file=sys.stderr)
        return 130
