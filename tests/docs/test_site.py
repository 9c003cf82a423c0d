"""The pages: each of docs/ stands once in the navigation of the site, and their links lead somewhere."""

import pytest
import yaml
from markdown_links import anchors, dead_links, links
from tiny_refcoco import REPOSITORY

DOCS = REPOSITORY / 'docs'
PAGES = [*REPOSITORY.glob('*.md'), *DOCS.rglob('*.md'), REPOSITORY / 'assets' / 'README.md']


def named_in(nav):
    values = [value for entry in nav for value in (entry.values() if isinstance(entry, dict) else [entry])]
    return [name for value in values for name in (named_in(value) if isinstance(value, list) else [value])]


def test_every_page_of_docs_stands_once_in_the_navigation():
    named = named_in(yaml.safe_load((REPOSITORY / 'mkdocs.yml').read_text())['nav'])
    elsewhere = [name for name in named if not (DOCS / name).is_file()]
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob('*.md')]
    assert sorted(set(named) - set(elsewhere)) == sorted(pages)
    assert [name for name in elsewhere if not (REPOSITORY / name).is_file()] == []
    assert len(set(named)) == len(named)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(page):
    assert dead_links(page) == []


PAGE = """# A page: `code`, *and* more

[file](there.md), [heading](there.md#what-it-is), [over
two lines](#a-page-code-and-more), ![picture](no.png), `[code](no.md)`, [web](https://example.org/no)

    [code](no.md)

- [gone](gone.md), [no heading](there.md#what)

| [table](no%20table.md) | [second](#twice-1) |
| --- | --- |
| [third](#twice-2) | |

## Twice

## Twice
"""


def test_dead_links_are_found(tmp_path):
    (tmp_path / 'page.md').write_text(PAGE)
    (tmp_path / 'there.md').write_text('Title\n=====\n\n## 什么 is_it - 1\n\n```\n## Code\n```\n## What it is?\n')
    assert len(links(tmp_path / 'page.md')) == 10
    assert anchors(tmp_path / 'there.md') == ['title', '什么-is_it---1', 'what-it-is']
    assert dead_links(tmp_path / 'page.md') == ['no.png', 'gone.md', 'there.md#what', 'no table.md', '#twice-2']
