"""Text of unknown origin, such as phrases, names and paths, made fit for a line of output or a file name."""

import hashlib
import re
import sys
import unicodedata

LONGEST_FILE_NAME = 150
"""In bytes of UTF-8; file systems allow 255, and something is put behind a part."""


def printable(text: str) -> str:
    r"""Escape what no terminal, font or file can take: control characters, line ends and lone surrogates.

    >>> printable('a\tb\ud83d')
    'a\\tb\\ud83d'
    """
    return ''.join(
        character.encode('unicode_escape').decode('ascii')
        if unicodedata.category(character) in ('Cc', 'Cs', 'Zl', 'Zp')
        else character
        for character in text
    )


def for_terminal(text: str) -> str:
    """Escape the letters that the terminal, whatever ``sys.stdout`` writes to, does not have."""
    encoding = sys.stdout.encoding or 'utf-8'
    return text.encode(encoding, 'backslashreplace').decode(encoding)


def display_width(text: str) -> int:
    """Count the columns that ``text`` takes in a terminal: two for a wide (CJK, emoji) character, none for an accent.

    >>> display_width('狗 dog')
    6
    """
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ('Mn', 'Me', 'Cf'):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ('W', 'F') else 1


def file_name(text: str) -> str:
    """Turn any text into the name of one file or folder; different texts have different names.

    Characters that separate folders, or that some system refuses, are written as in a URL (%2F), and so is a dot at the
    beginning: neither ``..`` nor an absolute path leaves the folder. What is too long ends in a hash of the whole.

    >>> file_name('../val')
    '%2E.%2Fval'
    """
    name = re.sub(r'[%/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]|^\.|^$', _percent_encoded, text)
    if len(name.encode('utf-8')) > LONGEST_FILE_NAME:
        digest = hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]
        name = f'{name.encode("utf-8")[: LONGEST_FILE_NAME - 17].decode("utf-8", "ignore")}%{digest}'
    return name


def _percent_encoded(match: re.Match) -> str:
    return ''.join(f'%{byte:02X}' for byte in match[0].encode('utf-8', 'surrogatepass')) or '%'
