"""Code beside a checkpoint is neither run nor asked for, whatever the files of the folder say."""

import json

import pytest
from tiny_adaptive import MODELS, PROCESSORS, adaptive_lmm, adaptive_processor
from tiny_models import FAMILIES, tiny_lmm, tiny_processor

from flmm.qwen import AdaptiveQwen2VLImageProcessor

CLASSES = ('Config', 'Processor', 'ImageProcessor', 'VideoProcessor', 'ModelForImageTextToText')
AUTO_MAP = {f'Auto{name}': f'code.Own{name}' for name in CLASSES} | {'AutoTokenizer': ['code.OwnTokenizer', None]}


@pytest.fixture
def folder(tmp_path, monkeypatch, request):
    """A whole model with code that would leave a file behind, named in every file that can name it."""
    family, saved = request.param
    model, processor = (
        (adaptive_lmm(family), adaptive_processor(family, patch_selection_method='budget'))
        if saved == 'adaptive'
        else (tiny_lmm(family), tiny_processor(family))
    )
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    for name in ('config.json', 'processor_config.json', 'tokenizer_config.json'):
        content = json.loads((tmp_path / name).read_text()) | {'auto_map': AUTO_MAP}
        for part in ('image_processor', 'video_processor'):
            if part in content:
                content[part]['auto_map'] = AUTO_MAP
        (tmp_path / name).write_text(json.dumps(content))
    code = f"open({str(tmp_path / 'marker')!r}, 'w').close()"
    (tmp_path / 'code.py').write_text(code)
    (tmp_path / 'custom_generate').mkdir()
    (tmp_path / 'custom_generate' / 'generate.py').write_text(f'{code}\n\n\ndef generate(model):\n    pass\n')

    def refuse(question=''):
        raise AssertionError(f'asked on stdin: {question}')

    monkeypatch.setattr('builtins.input', refuse)
    yield family, tmp_path
    assert not (tmp_path / 'marker').exists()


FOLDERS = [(family, saved) for family in FAMILIES for saved in ('stock', 'adaptive')]


@pytest.mark.parametrize('folder', FOLDERS, indirect=True, ids='-'.join)
@pytest.mark.parametrize('trust', [{}, {'trust_remote_code': None}, {'trust_remote_code': False}])
def test_code_beside_a_checkpoint_is_left_alone(folder, trust):
    family, path = folder
    for loader in (MODELS[family], PROCESSORS[family], AdaptiveQwen2VLImageProcessor):
        assert type(loader.from_pretrained(path, **trust)) is loader


@pytest.mark.parametrize('folder', FOLDERS[:1], indirect=True, ids='-'.join)
def test_trust_is_refused(folder):
    family, path = folder
    inner = type(MODELS[family](tiny_lmm(family).config).model)
    for loader in (MODELS[family], inner, PROCESSORS[family], AdaptiveQwen2VLImageProcessor):
        with pytest.raises(ValueError, match=r'trust_remote_code is True: .* leave the argument out'):
            loader.from_pretrained(path, trust_remote_code=True)


@pytest.mark.parametrize('folder', FOLDERS[:1], indirect=True, ids='-'.join)
def test_a_tokenizer_that_only_code_can_make_is_refused_without_a_question(folder):
    family, path = folder
    name = path / 'tokenizer_config.json'
    name.write_text(json.dumps(json.loads(name.read_text()) | {'tokenizer_class': 'OwnTokenizer'}))
    (path / 'config.json').unlink()
    with pytest.raises(ValueError, match='contains custom code which must be executed'):
        PROCESSORS[family].from_pretrained(path)
