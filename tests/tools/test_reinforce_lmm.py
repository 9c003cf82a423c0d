"""tools/reinforce_lmm.py: what it refuses before it trains, what it logs, and that what it saves can be used."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import reinforce_lmm
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_models import saved_tiny_model

from flmm.pretrained import load_lmm, load_processor
from flmm.reinforce import REWARDS, Reward

ROOT = Path(__file__).parents[2]

pytest.importorskip('trl')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return saved_tiny_model(tmp_path_factory.mktemp('model'))


@pytest.fixture
def record(tmp_path):
    Image.new('RGB', (84, 56), 'red').save(tmp_path / 'star.png')
    question = [{'type': 'image', 'image': 'star.png'}, {'type': 'text', 'text': 'where'}]
    return {'messages': [{'role': 'user', 'content': question}], 'truth': {'boxes': [[10, 20, 30, 40]]}}


@pytest.fixture
def run(model, record, tmp_path, monkeypatch):
    # It differs between random bytes, which are what an untrained model says.
    letters = Reward(score=lambda answer, truth: ord(answer[-1].phrase[-1]) % 7)
    monkeypatch.setitem(REWARDS, 'letters', letters)

    def run(options=(), *, records=(record, record), out='out', rewards=('letters', 'format=0.5')):
        path = tmp_path / 'train.jsonl'
        path.write_text('\n'.join(map(json.dumps, records)))
        arguments = [
            '--model', model, '--data', path, '--output', tmp_path / out, '--workers', 0, '--rewards', *rewards,
            '--answer-format', 'location_tokens', '--batch-size', 4, '--num-generations', 2,
            '--max-completion-length', 5, '--lr', 1e-2, '--warmup-steps', 0, '--log-steps', 1, *options,
        ]  # fmt: skip
        monkeypatch.setattr(sys, 'argv', ['reinforce_lmm.py', *map(str, arguments)])
        reinforce_lmm.main()
        return tmp_path / out

    return run


def weights_of(folder):
    return load_file(folder / 'model.safetensors')


def samples(folder, step):
    """What was sampled at a step, without the name of the file that prompts come from."""
    lines = (folder / 'samples' / f'step_{step:06}.jsonl').read_text().split('\n')[:-1]
    return [{**json.loads(line), 'source': line.partition('jsonl:')[2].partition('"')[0]} for line in lines]


def test_a_policy_is_trained_logged_resumed_and_saved(run, model, record, tmp_path):
    image, _ = record['messages'][0]['content']
    asked = [[{'role': 'user', 'content': [image, {'type': 'text', 'text': f'where {i}'}]}] for i in range(4)]
    records = [{**record, 'messages': messages} for messages in asked]  # an epoch is two steps of two prompts
    whole = run(['--max-steps', 4, '--beta', 0.1], out='whole', records=records)
    part = run(['--max-steps', 3, '--beta', 0.1], records=records)
    log = json.loads((part / 'trainer_state.json').read_text())['log_history'][0]
    assert log['reward'] == pytest.approx(log['rewards/letters/mean'] + 0.5 * log['rewards/format/mean'], abs=1e-6)
    assert log['kl'] == pytest.approx(0, abs=1e-4)
    assert 1 <= log['completions/mean_length'] <= 5
    lines = samples(part, 0)
    assert [line['prompt'] for line in lines[::2]] == [line['prompt'] for line in lines[1::2]]
    assert {line['prompt'] for line in lines + samples(part, 1)} == {f'where {i}' for i in range(4)}
    assert len(lines) == 4
    assert sum(line['reward'] for line in lines) / 4 == pytest.approx(log['reward'], abs=1e-6)

    resumed = run(['--max-steps', 4, '--beta', 0.1, '--resume'], records=records)  # in the second epoch
    assert {line['prompt'] for line in samples(resumed, 2) + samples(resumed, 3)} == {f'where {i}' for i in range(4)}
    assert samples(resumed, 3) == samples(whole, 3)
    expected, start = weights_of(whole), weights_of(model)
    for name, weight in weights_of(resumed).items():
        torch.testing.assert_close(weight, expected[name], atol=1e-5, rtol=1e-4)
    assert any(not torch.equal(weight, start[name]) for name, weight in expected.items())
    log = json.loads((resumed / 'trainer_state.json').read_text())['log_history']
    assert [entry['step'] for entry in log if 'kl' in entry] == [1, 2, 3, 4]
    assert log[3]['kl'] > 1e-4

    processor, lmm = load_processor(resumed), load_lmm(resumed, dtype=torch.float32)
    image = Image.open(tmp_path / 'star.png')
    batch = processor(text='<|vision_start|><|image_pad|><|vision_end|>where', images=image, return_tensors='pt')
    assert lmm(**batch).logits.isfinite().all()


def test_adapters_are_merged_into_what_is_saved(run, model, tmp_path):
    out = run(['--max-steps', 1, '--lora', '--lora-rank', 2, '--beta', 0.1])
    assert (out / 'checkpoint-1' / 'adapter_model.safetensors').exists()
    assert not (out / 'adapter_config.json').exists()
    before, after = weights_of(model), weights_of(out)
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert before.keys() == after.keys()
    assert changed
    assert all('visual' not in name and '_proj' in name for name in changed), changed
    load_lmm(out, dtype=torch.float32)
    options = ['--lora', '--lora-rank', 2, '--beta', 0.1, '--max-steps', 2]
    whole, resumed = run(options, out='whole'), run([*options, '--resume'])
    assert samples(resumed, 1) == samples(whole, 1)
    torch.testing.assert_close(weights_of(resumed), weights_of(whole), atol=1e-5, rtol=1e-4)
    for options, message in (
        (['--beta', 0.1], r"--lora is not given, and '.*checkpoint-2' was trained with it; resume as it was"),
        (
            ['--beta', 0.1, '--lora', '--lora-rank', 3],
            r"--lora-rank is 3, and '.*checkpoint-2' was trained with 2; resume with",
        ),
        (
            ['--beta', 0.1, '--lora', '--lora-rank', 2, '--model', shutil.copytree(model, tmp_path / 'other')],
            r"--model is '.*other', and the adapters in '.*' were trained over '.*'; resume with that, which may be",
        ),
        (
            ['--beta', 0.1, '--lora', '--lora-rank', 2, '--lr', 1],
            r"--lr is 1\.0, and '.*' was trained with 0\.01; resume with --lr 0",
        ),
        (
            ['--lora', '--lora-rank', 2],
            r"--beta is 0\.0, and '.*' was trained with 0\.1; resume with --beta 0\.1, or st",
        ),
        (
            ['--beta', 0.1, '--lora', '--lora-rank', 2, '--rewards', 'format'],
            r"--rewards is format, and '.*' was trained with letters format=0\.5; resume with --rewards letters form",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            run(['--max-steps', 3, '--resume', *options])


def test_frozen_parts_stay(run, model):
    out = run(['--max-steps', 1, '--freeze', 'vision', 'merger'])
    before = weights_of(model)
    changed = {name for name, weight in weights_of(out).items() if not torch.equal(weight, before[name])}
    assert changed
    assert not any('visual' in name for name in changed)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--resume'], 'has no checkpoint to go on from; leave --resume out'),
        (['--num-generations', 1], '--num-generations is 1, expected 2 or more, which are compared'),
        (['--num-generations', 3], '--num-generations is 3, which does not divide the 4 completions of a step'),
        (['--batch-size', 6], r'train\.jsonl: 2 prompts, fewer than the 3 of a step .*; nothing would be trained'),
        (['--max-completion-length', 0], '--max-completion-length is 0, expected 1 or more'),
        (['--temperature', 0], '--temperature is 0.0, expected above 0'),
        (['--temperature', 'nan'], '--temperature is nan, expected above 0'),
        (['--beta', '-1'], '--beta is -1.0, expected 0 or more'),
        (['--lora', '--lora-rank', 0], '--lora-rank is 0, expected 1 or more'),
        (['--lora', '--lora-dropout', 1], '--lora-dropout is 1.0, expected 0 or more, below 1'),
        (
            ['--coordinates', 'image'],
            '--coordinates is image, and location_tokens count resized px alone; leave it out',
        ),
        (['--lora-alpha', 4], '--lora-alpha is given without --lora; add that, or leave it out'),
        (['--grounder', 'assets'], 'a grounder is named, and no reward asks it; add mask_iou to --rewards, or leave'),
        (['--lr', 0], '--lr is 0.0, expected above 0'),
        (
            ['--lora', '--freeze', 'vision'],
            '--freeze is given with --lora, which trains adapters',
        ),
        (['--grounder-config', 'a.py'], '--grounder-config and --grounder-checkpoint need each other'),
        (['--rewards', 'iou'], "unknown reward 'iou', expected some of format, box_iou"),
        (
            ['--rewards', 'box_iou'],
            "reward 'box_iou' reads the box of an object, which the answer format",
        ),
        (['--rewards', 'mask_iou'], 'reward mask_iou needs --grounder, or --grounder-config and --grounder-checkpoint'),
        (
            ['--rewards', 'mask_iou', '--grounder', 'assets'],
            r'train\.jsonl:1: truth has no "masks", which a reward needs',
        ),
        (['--vllm'], 'vLLM is not installed: pip install vllm, or leave --vllm out'),
        (['--vllm', '--max-pixels', 100000], '--min-pixels or --max-pixels is given with --vllm, which reads images'),
        (['--max-pixels', 0], 'images of min_pixels=3136 to max_pixels=0 px are asked for'),
        (['--output', __file__], 'is a file, expected a folder'),
    ],
)
def test_settings_are_refused_before_the_model_is_loaded(run, monkeypatch, options, message):
    def refuse(*args, **kwargs):
        raise AssertionError('the model was loaded')

    monkeypatch.setattr(reinforce_lmm, 'load_lmm', refuse)
    with pytest.raises(ValueError, match=message):
        run(options)


def test_the_folder_of_the_model_is_not_written_over(run, model):
    with pytest.raises(ValueError, match='is the folder of --model, which the trained model would replace'):
        run(['--output', f'{model}/../{model.name}'])


@pytest.mark.slow
def test_two_processes_share_a_step_and_its_samples(model, record, tmp_path):
    (tmp_path / 'train.jsonl').write_text('\n'.join([json.dumps(record)] * 2))
    arguments = [
        '--model', model, '--data', tmp_path / 'train.jsonl', '--output', tmp_path / 'out', '--workers', 0,
        '--rewards', 'count', 'format=0.5', '--answer-format', 'location_tokens', '--batch-size', 2,
        '--num-generations', 2, '--max-completion-length', 5, '--max-steps', 1, '--log-steps', 1,
    ]  # fmt: skip
    # As users start it: a process that has trained before cannot be forked into one that trains.
    command = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', ROOT / 'tools/reinforce_lmm.py']
    environment = {**os.environ, 'ACCELERATE_USE_CPU': 'true', 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, [*command, *arguments])],
        env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = samples(tmp_path / 'out', 0)
    assert [line['source'] for line in lines] in (['1', '1', '2', '2'], ['2', '2', '1', '1'])
    assert len({line['completion'] for line in lines}) == 4
    log = json.loads((tmp_path / 'out' / 'trainer_state.json').read_text())['log_history'][0]
    assert sum(line['reward'] for line in lines) / 4 == pytest.approx(log['reward'], abs=1e-6)


def test_processes_that_do_not_find_each_other_are_refused(run, record, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    with pytest.raises(ValueError, match='2 processes were started, and each would train by itself; on a CPU, set ACC'):
        run(['--max-steps', 1, '--batch-size', 1], records=[record] * 4)


def test_a_reward_that_needs_a_grounder_says_so(run, record):
    masked = {**record, 'truth': {'masks': [{'size': [56, 84], 'counts': [0, 56 * 84]}]}}
    with pytest.raises(ValueError, match='reward mask_iou needs --grounder, or --grounder-config and --grounder-check'):
        run(records=[masked] * 2, rewards=['mask_iou'])


@pytest.mark.parametrize('absent', ['trl', 'peft'])
def test_what_is_not_installed_is_named(run, monkeypatch, absent):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name == absent else find(name))
    with pytest.raises(ValueError, match=rf"{absent} is not installed, .*: pip install 'flmm\[rl\]'"):
        run()
