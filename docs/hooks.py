"""Makes links between files of the repository lead to the same places in the site (mkdocs.yml).

Pages are written for the repository, where a link leads to any of its files by its path. The site has the pages of
docs/, those that the navigation takes from the top of the repository, and a copy of each other file that a page links
to. So no link needs an address in the web. A link that leads nowhere, or to a page that the navigation lacks, stays as
it is, and mkdocs warns of it.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).parents[1]
DOCS = ROOT / 'docs'
LINK = re.compile(r'(?<=\]\()[^)\s#]+')  # without its anchor


def on_config(config: MkDocsConfig) -> None:
    """Make anchors of headings as the repository's pages have them, in Chinese, too."""
    config.mdx_configs.setdefault('toc', {})['slugify'] = slugify(case='lower')


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Add the pages that the navigation has and docs/ has not."""
    for path in _named_in(config.nav):
        if (ROOT / path).is_file() and not (DOCS / path).is_file():
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between their places in the site."""
    repository_folder = Path(page.file.abs_src_path).parent
    site_folder = posixpath.dirname(page.file.src_uri) or '.'

    def in_site(link: re.Match) -> str:
        target = Path(os.path.normpath(repository_folder / link[0]))
        if not target.is_file() or not target.is_relative_to(ROOT):
            return link[0]
        path = target.relative_to(DOCS if target.is_relative_to(DOCS) else ROOT).as_posix()
        if not files.get_file_from_path(path):
            if target.suffix == '.md':
                return link[0]
            files.append(File.generated(config, path, abs_src_path=str(target)))
        return posixpath.relpath(path, site_folder)

    return LINK.sub(in_site, markdown)


def _named_in(nav: list) -> Iterator[str]:
    """Every file of a navigation, sections and all."""
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from _named_in(value) if isinstance(value, list) else [value]
