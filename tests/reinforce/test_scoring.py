"""Rewards as TRL calls them, and what is written of samples."""

import json
from types import SimpleNamespace

import pytest
from PIL import Image

from flmm.reinforce import ANSWER_FORMATS, AnswerFrame, SampleLog, TrlReward

FRAME = AnswerFrame(image_size=(840, 840), size=(840, 840))
COMPLETIONS = [
    '<think>a</think><answer>[{"bbox_2d": [0, 0, 100, 100]}]</answer>',
    '<think>a</think><answer>[]</answer>',
    'left',
]


@pytest.fixture
def call(true):
    def call(reward, *, step=0):
        number = len(COMPLETIONS)
        prompt = [{'role': 'user', 'content': [{'type': 'image'}, {'type': 'text', 'text': 'Where is it?'}]}]
        return reward(
            prompts=[prompt] * number,
            completions=[[{'role': 'assistant', 'content': text}] for text in COMPLETIONS],
            completion_ids=[[1]] * number,
            truth=[true(boxes=[(0, 0, 100, 100)])] * number,
            frame=[FRAME] * number,
            images=[[Image.new('RGB', (840, 840))]] * number,
            source=['train.jsonl:7'] * number,
            trainer_state=SimpleNamespace(global_step=step),
            log_extra=None,
        )

    return call


def test_answers_that_cannot_be_read_have_nothing(call):
    found = {
        name: call(TrlReward(name, answer_format=ANSWER_FORMATS['json_in_tags']))
        for name in ('format', 'box_iou', 'count')
    }
    assert found == {'format': [1, 1, 0], 'box_iou': [1, 0, 0], 'count': [1, 0, 0]}
    assert call(TrlReward('format', answer_format=ANSWER_FORMATS['location_tokens'])) == [0, 0, 1]


def test_a_grounder_scores_what_needs_one(call):
    def mask_iou(answers, truths, images, sources):
        assert [answer and len(answer) for answer in answers] == [1, (), None]
        assert [
            (truth.count, image.size, source) for truth, image, source in zip(truths, images, sources, strict=True)
        ] == [(1, (840, 840), 'train.jsonl:7')] * 3
        return [0.25, 0.0, 0.0]

    reward = TrlReward('mask_iou', answer_format=ANSWER_FORMATS['json_in_tags'], mask_iou=mask_iou)
    assert (reward.__name__, call(reward)) == ('mask_iou', [0.25, 0, 0])


def test_samples_are_written_with_each_reward_and_the_sum(call, tmp_path):
    log = SampleLog(tmp_path, weights={'format': 0.5, 'box_iou': 2.0}, every=10)
    rewards = [TrlReward(name, answer_format=ANSWER_FORMATS['json_in_tags'], log=log) for name in log.weights]
    for step in (0, 5, 10):
        for reward in rewards:
            call(reward, step=step)
    assert sorted(path.name for path in (tmp_path / 'samples').iterdir()) == ['step_000000.jsonl', 'step_000010.jsonl']
    lines = [json.loads(line) for line in (tmp_path / 'samples' / 'step_000010.jsonl').read_text().splitlines()]
    assert lines[0] == {
        'source': 'train.jsonl:7',
        'prompt': 'Where is it?',
        'completion': COMPLETIONS[0],
        'rewards': {'format': 1.0, 'box_iou': 1.0},
        'reward': 2.5,
    }
    assert [line['reward'] for line in lines] == [2.5, 0.5, 0]
