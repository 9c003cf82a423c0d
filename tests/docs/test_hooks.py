"""Links between files of the repository, in the site."""

from types import SimpleNamespace

import pytest
from mkdocs.config import load_config
from mkdocs.structure.files import get_files
from tiny_refcoco import REPOSITORY


class Site:
    """The site before its pages are rendered, by the events of mkdocs that docs/hooks.py answers."""

    def __init__(self, folder):
        config = load_config(str(REPOSITORY / 'mkdocs.yml'), site_dir=str(folder))
        self.config = config.plugins.on_config(config)
        self.files = config.plugins.on_files(get_files(config), config=config)

    def markdown(self, page, markdown):
        page = SimpleNamespace(file=self.files.get_file_from_path(page))
        return self.config.plugins.on_page_markdown(markdown, page=page, config=self.config, files=self.files)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.mark.parametrize(
    ('page', 'link', 'expected'),
    [
        ('demo.md', 'training.md#phrases', 'training.md#phrases'),
        ('demo.md', '../assets/README.md#what-they-do', 'assets/README.md#what-they-do'),
        ('demo.md', '../docs/images/demo.jpg', 'images/demo.jpg'),
        ('assets/README.md', '../docs/demo.md#figures', '../demo.md#figures'),
        ('CONTRIBUTING.md', 'docs/walkthrough.md', 'walkthrough.md'),
        ('demo.md', '../README.md', 'README.md'),
        ('demo.md', '../NOWHERE.md', '../NOWHERE.md'),  # not in the navigation: left to mkdocs, which warns
        ('demo.md', '../nowhere.py', '../nowhere.py'),
        ('demo.md', '#figures', '#figures'),
        ('demo.md', 'https://example.org/a.md', 'https://example.org/a.md'),
    ],
)
def test_links_lead_to_their_places_in_the_site(site, page, link, expected):
    before = list(site.files.src_uris)
    assert site.markdown(page, f'a [b]({link}).') == f'a [b]({expected}).'
    assert list(site.files.src_uris) == before


def test_a_file_that_a_page_links_to_comes_into_the_site(site, tmp_path):
    config = 'configs/shapes/demo.py'
    for _ in range(2):
        assert site.markdown('demo.md', f'[b](../{config})') == f'[b]({config})'
    assert list(site.files.src_uris).count(config) == 1
    site.files.get_file_from_path(config).copy_file()
    assert (tmp_path / config).read_bytes() == (REPOSITORY / config).read_bytes()


def test_anchors_are_those_of_the_repositorys_pages(site):
    slugify = site.config.mdx_configs['toc']['slugify']
    assert [slugify(text, '-') for text in ('What it is?', '什么 is_it - 1')] == ['what-it-is', '什么-is_it---1']
