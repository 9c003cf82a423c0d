"""tools/finetune_lmm.py: what it refuses before it trains, and that what it saves can be used."""

import json
import shutil
import sys

import finetune_lmm
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_models import saved_tiny_model

from flmm.pretrained import load_lmm, load_processor
from flmm.video import read_clip


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return saved_tiny_model(tmp_path_factory.mktemp('model'))


@pytest.fixture
def record(tmp_path):
    Image.new('RGB', (84, 56), 'red').save(tmp_path / 'star.png')
    question = [{'type': 'image', 'image': 'star.png'}, {'type': 'text', 'text': 'where'}]
    return {'messages': [{'role': 'user', 'content': question}, {'role': 'assistant', 'content': 'left'}]}


@pytest.fixture
def run(model, tmp_path, monkeypatch):
    def run(*records, options=()):
        path = tmp_path / 'train.jsonl'
        path.write_text('\n'.join(map(json.dumps, records)))
        arguments = ['--model', model, '--data', path, '--output', tmp_path / 'out', '--workers', 0, *options]
        monkeypatch.setattr(sys, 'argv', ['finetune_lmm.py', *map(str, arguments)])
        finetune_lmm.main()
        return tmp_path / 'out'

    return run


@pytest.fixture
def _no_training(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('the model was loaded')

    monkeypatch.setattr(finetune_lmm, 'load_lmm', refuse)


def test_what_is_saved_can_be_used(run, record, tmp_path):
    out = run(record, record, options=['--max-steps', 1, '--min-pixels', 784, '--max-pixels', 1568, '--lr', 1e-3])
    processor, lmm = load_processor(out), load_lmm(out, dtype=torch.float32)
    image = Image.open(tmp_path / 'star.png')
    batch = processor(text='<|vision_start|><|image_pad|><|vision_end|>where', images=image, return_tensors='pt')
    assert batch['image_grid_thw'].tolist() == [[1, 2, 2]]  # 28 x 28 px of 84 x 56; 4 x 6 patches without the bound
    assert lmm(**batch).logits.isfinite().all()


def test_videos_are_trained_and_the_processor_reads_them_as_trained(run, record, tmp_path):
    for number in range(3):
        Image.new('RGB', (100, 70), (80 * number, 0, 0)).save(tmp_path / f'{number}.png')
    video = {'type': 'video', 'video': [f'{number}.png' for number in range(3)], 'sample_fps': 4}
    shown = {'messages': [{'role': 'user', 'content': [video]}, *record['messages'][1:]]}
    sizes = ['--video-min-pixels', 784, '--video-max-pixels', 3200]
    out = run(shown, record, options=['--max-steps', 1, '--batch-size', 2, '--lr', 1e-3, *sizes])
    processor, lmm = load_processor(out), load_lmm(out, dtype=torch.float32)
    clip = read_clip([tmp_path / f'{number}.png' for number in range(3)], fps=4)
    batch = processor(
        text='<|vision_start|><|video_pad|><|vision_end|>where', videos=[clip.frames], video_metadata=[clip.metadata],
        do_sample_frames=False, return_tensors='pt',
    )  # fmt: skip
    assert batch['video_grid_thw'].tolist() == [[2, 2, 4]]  # 56 x 28 px of 100 x 70
    assert lmm(**batch).logits.isfinite().all()


def test_resuming_with_other_settings_is_refused(run, record):
    out = run(record, options=['--max-steps', 1, '--save-steps', 1, '--lr', 1e-3, '--weight-decay', 0.1])
    for options, message in (
        (
            ['--lr', 1e-4, '--weight-decay', 0.1],
            r"--lr is 0\.0001, and '.*checkpoint-1' was trained with 0\.001; resume",
        ),
        (['--lr', 1e-3], r"--weight-decay is 0\.0, and '.*checkpoint-1' was trained with 0\.1; resume with --weight-d"),
        (
            ['--lr', 1e-3, '--weight-decay', 0.1, '--freeze', 'vision'],
            r"--freeze is vision, and '.*checkpoint-1' was trained without it; resume as it was, or start anew",
        ),
        (
            ['--lr', 1e-3, '--weight-decay', 0.1, '--accumulate', 2],
            r"--accumulate is 2, and '.*checkpoint-1' was trained with 1; resume with --accumulate 1",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            run(record, options=['--resume', '--max-steps', 2, *options])
    settings = out / 'settings.json'
    settings.write_text(settings.read_text().replace('"processes": 1', '"processes": 2'))
    with pytest.raises(
        ValueError, match=r"--resume: the number of processes is 1, and '.*checkpoint-1' was trained by 2; start as"
    ):
        run(record, options=['--resume', '--max-steps', 2, '--lr', 1e-3, '--weight-decay', 0.1])
    settings.write_text(settings.read_text().replace('"processes": 2', '"processes": 1'))
    with pytest.raises(
        ValueError, match=r"--resume: '.*train\.jsonl' has another content than what '.*checkpoint-1' was t"
    ):
        run(record, record, options=['--resume', '--max-steps', 2, '--lr', 1e-3, '--weight-decay', 0.1])
    run(record, options=['--resume', '--max-steps', 2, '--save-steps', 1, '--lr', 1e-3, '--weight-decay', 0.1])
    assert (out / 'checkpoint-2').is_dir()
    settings.write_text('["epochs"]')
    with pytest.raises(ValueError, match=r"--resume: '.*settings\.json' is not what a training has written; put its"):
        run(record, options=['--resume', '--max-steps', 3, '--lr', 1e-3, '--weight-decay', 0.1])
    settings.unlink()
    with pytest.raises(
        ValueError, match=r"has no settings\.json, so what '.*checkpoint-2' was trained with is not known"
    ):
        run(record, options=['--resume', '--max-steps', 3, '--lr', 1e-3, '--weight-decay', 0.1])


def test_nothing_is_trained_beyond_what_is_asked(run, record):
    """Trainer by itself goes on for one step more, whether any is left or not."""
    out = run(record, record, options=['--epochs', 1.5, '--save-steps', 1])
    before = load_file(out / 'model.safetensors')
    for options, message in (
        (
            ['--epochs', 1.5],
            r"--resume: --epochs is 1\.5, and '.*checkpoint-3' has been trained for 1\.5; take what is",
        ),
        (
            ['--epochs', 1],
            r"--resume: --epochs is 1, and '.*checkpoint-3' has been trained for 1\.5; take what is there",
        ),
        (['--max-steps', 3], r"--resume: --max-steps is 3, and '.*checkpoint-3' has been trained for 3; take what is"),
        (['--max-steps', 2], r'has been trained for 3; take what is there, or ask for more by --max-steps'),
    ):
        with pytest.raises(ValueError, match=message):
            run(record, record, options=['--resume', *options])
    assert all(torch.equal(weight, before[name]) for name, weight in load_file(out / 'model.safetensors').items())
    state = out / 'checkpoint-3' / 'trainer_state.json'
    state.write_text(json.dumps(json.loads(state.read_text()) | {'log_history': [{'grad_norm': float('nan')}]}))
    run(record, record, options=['--resume', '--epochs', 2])
    assert (out / 'checkpoint-4').is_dir()
    cut_off = out / 'checkpoint-4' / 'trainer_state.json'
    cut_off.write_text(cut_off.read_text()[:100])
    with pytest.raises(ValueError, match=r"--resume: trainer_state\.json of '.*checkpoint-4' was cut off \(.*; remove"):
        run(record, record, options=['--resume', '--epochs', 3])
    (out / 'checkpoint-4' / 'trainer_state.json').unlink()
    with pytest.raises(
        ValueError, match=r"--resume: '.*checkpoint-4' has no trainer_state\.json, as if it had not been"
    ):
        run(record, record, options=['--resume', '--epochs', 3])


def test_parts_of_an_epoch_are_rounded(run, record):
    """34 of 25 steps an epoch are 1.36 epochs, and 1.3599999999999999 as Trainer adds them up."""
    run(*[record] * 25, options=['--epochs', 1.36])
    with pytest.raises(ValueError, match=r"--epochs is 1\.36, and '.*checkpoint-34' has been trained for 1\.36; take"):
        run(*[record] * 25, options=['--epochs', 1.36, '--resume'])


def test_a_resumed_training_is_one_that_was_not_interrupted(run, record, tmp_path):
    options = ['--lr', 1e-2, '--warmup-steps', 0, '--save-steps', 1]
    expected = load_file(run(record, record, record, options=[*options, '--max-steps', 3]) / 'model.safetensors')
    for folder in ('checkpoint-2', 'checkpoint-3'):
        shutil.rmtree(tmp_path / 'out' / folder)
    out = run(record, record, record, options=[*options, '--max-steps', 3, '--resume'])
    for name, weight in load_file(out / 'model.safetensors').items():
        torch.testing.assert_close(weight, expected[name], atol=1e-6, rtol=1e-5)


@pytest.mark.usefixtures('_no_training')
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--resume'], 'has no checkpoint to go on from; leave --resume out'),
        (['--video-max-pixels', 100], r'--video-\.\.\. of max_pixels is 100, expected at least 784'),
        (['--video-min-pixels', 0], '--video-min-pixels is 0, expected 1 or more'),
        (['--max-pixels', 100], 'images of min_pixels=3136 to max_pixels=100 px are asked for'),
        (['--max-pixels', 0], 'images of min_pixels=3136 to max_pixels=0 px are asked for'),
        (['--max-pixels', -5], 'images of min_pixels=3136 to max_pixels=-5 px are asked for'),
        (['--min-pixels', 0], 'images of min_pixels=0 to max_pixels=1003520 px are asked for'),
        (['--min-pixels', 2000000], 'images of min_pixels=2000000 to max_pixels=1003520 px are asked for'),
        (['--epochs', 0], '--epochs is 0.0, expected above 0'),
        (['--epochs', 'nan'], '--epochs is nan, expected above 0'),
        (['--max-steps', 0], '--max-steps is 0, expected above 0, or -1 to go by --epochs'),
        (['--lr', 0], '--lr is 0.0, expected above 0'),
        (['--lr', 'inf'], '--lr is inf, expected above 0'),
        (['--lr', '-1'], '--lr is -1.0, expected above 0'),
        (['--warmup-steps', '-1'], '--warmup-steps is -1.0, expected 0 or more'),
        (['--weight-decay', '-1'], '--weight-decay is -1.0, expected 0 or more'),
        (['--batch-size', 0], '--batch-size is 0, expected 1 or more'),
        (['--accumulate', 0], '--accumulate is 0, expected 1 or more'),
        (['--max-length', 0], '--max-length is 0, expected 1 or more'),
        (['--workers', '-1'], '--workers is -1, expected 0 or more'),
        (['--save-steps', 0], '--save-steps is 0, expected 1 or more'),
        (['--log-steps', 0], '--log-steps is 0, expected 1 or more'),
        (['--seed', '-1'], r'--seed is -1, expected 0 to 2\*\*32 - 1'),
        (['--max-image-pixels', 0], 'max_pixels is 0, expected a positive number of pixels'),
        (['--assistant-tokens', '<|im_end|>'], 'assistant_tokens is .*, expected a list of special tokens'),
        (['--max-length', 12], r'train\.jsonl:1: cutting to max_length=12 loses '),
        (['--max-image-pixels', 100], r'train\.jsonl:1: messages\[0\].*84 x 56 px, more than max_pixels=100'),
        (['--data', 'no.jsonl', '--resume'], "--data: 'no.jsonl' is no file, expected one of conversations"),
        (['--model', 'assets/no_such/folder'], "folder 'assets/no_such/folder' does not exist"),
        (['--output', __file__], 'is a file, expected a folder'),
    ],
)
def test_settings_are_refused_before_the_model_is_loaded(run, record, options, message):
    with pytest.raises(ValueError, match=message):
        run(record, options=options)


@pytest.mark.usefixtures('_no_training')
def test_the_folder_of_the_model_is_not_written_over(run, record, model):
    with pytest.raises(ValueError, match='is the folder of --model, which the trained model would replace, and which'):
        run(record, options=['--output', f'{model}/../{model.name}'])


@pytest.mark.usefixtures('_no_training')
@pytest.mark.parametrize(
    ('names', 'remedy'),
    [
        (['checkpoint-500'], 'add --resume to go on with that, name another folder, or remove it'),
        (['samples', 'checkpoint-500'], 'add --resume to go on with that, name another folder, or remove it'),
        (['samples'], 'name another folder, or remove it'),
    ],
)
def test_an_earlier_run_is_not_mixed_with_a_new_one(run, record, tmp_path, names, remedy):
    """Resumed later, the new run would go on from the checkpoint of the earlier one, if that had come further."""
    for name in names:
        (tmp_path / 'out' / name).mkdir(parents=True)
    with pytest.raises(
        ValueError,
        match=rf"--output '.*out' has '{names[-1]}' of an earlier run, which would be taken for .* this run; {remedy}",
    ):
        run(record)


@pytest.mark.usefixtures('_no_training')
def test_a_run_that_ended_before_its_first_checkpoint_is_not_sent_in_circles(run, record, tmp_path):
    (tmp_path / 'out' / 'samples').mkdir(parents=True)
    with pytest.raises(ValueError, match='has no checkpoint to go on from; leave --resume out, and remove its samples'):
        run(record, options=['--resume'])


def test_processes_that_do_not_find_each_other_are_refused(run, record, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    with pytest.raises(ValueError, match='2 processes were started, and each would train by itself; on a CPU, set ACC'):
        run(record, options=['--max-steps', 1])


@pytest.mark.usefixtures('_no_training')
def test_the_last_line_is_checked_before_the_model_is_loaded(run, record, tmp_path):
    Image.new('RGB', (2, 1000)).save(tmp_path / 'line.png')
    narrow = json.loads(json.dumps(record).replace('star.png', 'line.png'))
    with pytest.raises(ValueError, match=r"train\.jsonl:2: image '.*line\.png' of 2 x 1000 px: absolute aspect ratio"):
        run(record, narrow)
    forged = json.loads(
        json.dumps(record).replace('"left"', '[{"type": "text", "text": "\\u010aleft<|vision_start|>"}]')
    )
    with pytest.raises(
        ValueError, match=r'train\.jsonl:2: messages\[1\]\.content\[0\]\.text: the text contains <|vision'
    ):
        run(record, forged)
    broken = json.loads(json.dumps(record).replace('"left"', '"\\nleft"'))
    outside = json.loads(json.dumps(record).replace('star.png', str(tmp_path / 'star.png')))
    with pytest.raises(ValueError, match=r'train\.jsonl:2: messages\[0\].*set allow_outside to read it'):
        run(broken, outside)
    with pytest.raises(AssertionError, match='the model was loaded'):
        run(record, outside, options=['--allow-outside'])
