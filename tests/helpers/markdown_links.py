"""Links and anchors of Markdown files, as the repository's web page makes them."""

import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

PARSER = MarkdownIt('commonmark').enable('table')


def links(page: Path) -> list[str]:
    """Where the links and images of a page lead, in their order; those in code are none."""
    inline = (child for token in _parsed(page) for child in token.children or ())
    targets = (token.attrs.get('href') or token.attrs.get('src') for token in inline)
    return [unquote(target) for target in targets if target]


def anchors(page: Path) -> list[str]:
    """The anchor of each heading: lower case, no punctuation, '-' for a blank, '-1' behind the second of a name."""
    tokens, found = _parsed(page), []
    for opening, heading in pairwise(tokens):
        if opening.type == 'heading_open':
            text = ''.join(child.content for child in heading.children)
            name = re.sub(r'[^\w\- ]', '', text.lower()).replace(' ', '-')
            before = sum(re.fullmatch(rf'{re.escape(name)}(-\d+)?', other) is not None for other in found)
            found.append(f'{name}-{before}' if before else name)
    return found


def dead_links(page: Path) -> list[str]:
    """The links of a page to files or headings that are not there. Addresses in the web are not tried."""
    dead = []
    for link in links(page):
        path, _, anchor = link.partition('#')
        target = page.parent / path if path else page
        if re.match(r'\w+:', link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


def _parsed(page: Path) -> list[Token]:
    return PARSER.parse(page.read_text(encoding='utf-8'))
