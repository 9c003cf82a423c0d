"""No call in the package or its tools that runs what a file of others says, and none that switches a check off."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ('flmm', 'tools', 'configs', 'docs') for path in (ROOT / folder).rglob('*.py'))

READS_PICKLES = {'flmm/datasets/plain_pickle.py'}
"""Where an unpickler stands that makes numbers, texts, lists and dicts alone."""
OPENS_VIDEOS = {'flmm/video/torchcodec_file.py'}
"""Where torchcodec, which takes no format, is given files that are known to be of one."""
STARTS_PROGRAMS = {
    'flmm/engine/launchers.py',  # Slurm's own, which names the nodes of a job
    'tools/demo.py',
    'tools/research/measurements/running.py',
    'tools/research/reading_videos/training.py',
    'tools/torture_annotate.py',
    'tools/torture_resume.py',
}
"""Where another program is started: a tool of this repository but for the first, without a shell."""
FORBIDDEN_NAMES = {'eval', 'exec', 'compile', '__import__'}
FORBIDDEN_CALLS = {
    'pickle.load', 'pickle.loads', 'marshal.loads', 'marshal.load',
    'shelve.open', 'dill.load', 'dill.loads', 'joblib.load', 'os.system', 'os.popen', 'pandas.read_pickle',
    'mmengine.load', 'fileio.load', 'torch.hub.load', 'CheckpointLoader.load_checkpoint', 'load_state_dict_from_url',
    'yaml.load', 'yaml.unsafe_load', 'yaml.full_load', 'importlib.import_module', 'runpy.run_path',
}  # fmt: skip


def dotted(node):
    """The name of what is called, such as 'torch.load'; '?' for what has none."""
    if isinstance(node, ast.Attribute):
        return f'{dotted(node.value)}.{node.attr}'
    return node.id if isinstance(node, ast.Name) else '?'


def problems(source, name):
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ('Unpickler', '_Unpickler') and name not in READS_PICKLES:
            found.append(f'{name}:{node.lineno} an unpickler')
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            if 'subprocess' in modules and name not in STARTS_PROGRAMS:
                found.append(f'{name}:{node.lineno} subprocess')
            if isinstance(node, ast.ImportFrom) and node.module in ('pickle', 'marshal', 'yaml', 'subprocess', 'torch'):
                unsafe = {'load', 'loads', 'Unpickler', 'unsafe_load'} & {alias.name for alias in node.names}
                found += [f'{name}:{node.lineno} imports {each} by its bare name' for each in unsafe]
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func)
        settings = {keyword.arg: keyword.value for keyword in node.keywords}
        values = {key: getattr(value, 'value', ...) for key, value in settings.items()}
        if called in FORBIDDEN_NAMES or called in FORBIDDEN_CALLS:
            found.append(f'{name}:{node.lineno} {called}')
        if called == 'torch.load' and values.get('weights_only') is not True:
            found.append(f'{name}:{node.lineno} torch.load without weights_only=True')
        if called in ('np.load', 'numpy.load'):
            found.append(f'{name}:{node.lineno} numpy.load')
        if called.endswith('Image.open') and 'formats' not in settings:
            found.append(f'{name}:{node.lineno} Image.open of any format')
        written = 'w' in (values.get('mode'), *(getattr(argument, 'value', None) for argument in node.args[1:2]))
        if called == 'av.open' and not written and not {'format', 'options'} <= settings.keys():
            found.append(f'{name}:{node.lineno} av.open of any format or with protocols')
        if called.endswith('VideoDecoder') and name not in OPENS_VIDEOS:
            found.append(f'{name}:{node.lineno} VideoDecoder of any format')
        for key, allowed in (('trust_remote_code', False), ('weights_only', True), ('shell', False)):
            if key in settings and values[key] is not allowed and called != 'torch.load':
                found.append(f'{name}:{node.lineno} {key} is not {allowed}')
    return found


@pytest.mark.parametrize('path', SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_no_source_runs_what_a_file_says(path):
    assert problems(path.read_text(), str(path.relative_to(ROOT))) == []


@pytest.mark.parametrize(
    'source',
    [
        'eval(text)', 'exec(text)', 'pickle.load(file)', 'pickle.loads(data)', 'import pickle\npickle.Unpickler(file)',
        'from pickle import loads', 'from torch import load', 'yaml.load(text, Loader=yaml.Loader)', 'np.load(path)',
        'torch.load(path)', 'torch.load(path, weights_only=False)', 'torch.load(path, weights_only=setting)',
        'AutoModel.from_pretrained(name, trust_remote_code=True)', 'loader(name, trust_remote_code=setting)',
        'Image.open(path)', 'PIL.Image.open(path)', 'import subprocess', 'run(command, shell=True)', 'os.system(text)',
        'importlib.import_module(name)', 'av.open(path)', "av.open(file, format='mov')", 'VideoDecoder(path)',
    ],
)  # fmt: skip
def test_the_check_sees(source):
    assert len(problems(source, 'flmm/new.py')) == 1
