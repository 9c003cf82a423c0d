"""What says who the package is: its version in every place, its citation, its checks."""

import datetime
import re

import yaml
from tiny_refcoco import REPOSITORY

import flmm


def text_of(name):
    return (REPOSITORY / name).read_text(encoding='utf-8')


def test_every_place_has_the_version_and_its_date():
    citation = yaml.safe_load(text_of('CITATION.cff'))
    version, date = re.search(r'^## (\S+) \((\S+)\)$', text_of('CHANGELOG.md'), re.MULTILINE).groups()
    assert re.search(r'^version = "(.*)"$', text_of('pyproject.toml'), re.MULTILINE)[1] == flmm.__version__ == version
    assert citation['version'] == version
    assert citation['date-released'] == datetime.date.fromisoformat(date)


def test_the_paper_is_what_is_cited():
    paper = yaml.safe_load(text_of('CITATION.cff'))['preferred-citation']
    assert paper['title'] == 'F-LMM: Grounding Frozen Large Multimodal Models'
    assert paper['authors'][0]['family-names'] == 'Wu'
    assert paper['identifiers'][0]['value'] == 'arXiv:2406.05821'


def test_the_workflow_runs_what_a_clone_runs_on_every_python_of_the_package():
    job = yaml.safe_load(text_of('.github/workflows/ci.yml'))['jobs']['ci']
    assert job['steps'][-1] == {'run': '.ci/run'}
    oldest, newest = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', text_of('pyproject.toml')).groups()
    assert job['strategy']['matrix']['python'] == [f'3.{minor}' for minor in range(int(oldest), int(newest))]


def test_pre_commit_checks_with_the_versions_that_make_lint_has():
    (repository,) = yaml.safe_load(text_of('.pre-commit-config.yaml'))['repos']
    commands = {hook['id']: hook['entry'].split(' --')[0] for hook in repository['hooks']}
    large = commands.pop('check-added-large-files')
    assert large == 'check-added-large-files'
    lint = re.search(r'^lint:.*\n((?:\t.*\n)+)', text_of('Makefile'), re.MULTILINE)[1]
    assert set(commands.values()) == {
        line.strip().replace('$(BIN)', '.venv/bin').split(' --')[0].removesuffix(' .') for line in lint.splitlines()
    }


def test_forms_of_issues_are_whole():
    for path in (REPOSITORY / '.github' / 'ISSUE_TEMPLATE').glob('*.yml'):
        form = yaml.safe_load(path.read_text())
        if path.name != 'config.yml':
            assert {'name', 'description', 'body'} <= form.keys()
            assert all(field['attributes']['label'] for field in form['body'])
