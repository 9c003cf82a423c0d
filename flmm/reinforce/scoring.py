"""Rewards as TRL's GRPOTrainer calls them, and the samples that they scored, written down."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import distributed

from flmm.atomic_write import write_text
from flmm.reinforce.answer import Answer, AnswerFormat
from flmm.reinforce.mask_iou import MaskIoU
from flmm.reinforce.rewards import REWARDS
from flmm.reinforce.truth import Truth


class SampleLog:
    """Writes what was sampled and how it was scored: ``samples/step_000010.jsonl``, a line for each completion.

    Every process has one; the first writes what all of them have sampled.

    A line has ``source`` ('file:line'), ``prompt`` (the user's last words), ``completion``, ``rewards`` by name, before
    they are weighted, and ``reward``, their weighted sum.

    Args:
        folder: where ``samples`` is made.
        weights: of each reward by name, in the order in which they are called.
        every: so many steps lie between two files.
    """

    def __init__(self, folder: str | Path, *, weights: dict[str, float], every: int) -> None:
        self.folder, self.weights, self.every = Path(folder, 'samples'), weights, every
        self._scores: dict[str, list[float]] = {}

    def note(self, name: str, scores: list[float], *, step: int, rows: Sequence[dict[str, str]]) -> None:
        """Take the scores of one reward; behind those of the last, the file is written.

        Args:
            name: of the reward.
            scores: one for each completion.
            step: of the training.
            rows: what else a line has, for each completion.
        """
        self._scores[name] = scores
        if self._scores.keys() != self.weights.keys():
            return
        scored, self._scores = self._scores, {}
        if step % self.every:
            return
        lines = []
        for i, row in enumerate(rows):
            rewards = {each: scored[each][i] for each in self.weights}
            total = sum(weight * rewards[each] for each, weight in self.weights.items())
            lines.append(json.dumps({**row, 'rewards': rewards, 'reward': total}, ensure_ascii=False))
        lines = _of_all_processes(lines)
        if lines is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / f'step_{step:06}.jsonl', '\n'.join(lines) + '\n')


class TrlReward:
    """One reward, in the form in which TRL calls reward functions, which logs it under its name.

    Args:
        name: of :data:`~flmm.reinforce.rewards.REWARDS`.
        answer_format: in which completions are read.
        log: takes the scores; None keeps none.
        mask_iou: scores in the place of a reward that needs a grounder.
    """

    def __init__(
        self, name: str, *, answer_format: AnswerFormat, log: SampleLog | None = None, mask_iou: MaskIoU | None = None
    ) -> None:
        self.__name__ = name
        self.answer_format, self.log, self.mask_iou = answer_format, log, mask_iou

    def __call__(self, *, prompts: list, completions: list, trainer_state: Any = None, **columns: Any) -> list[float]:
        """Score completions.

        Args:
            prompts: the messages of each.
            completions: of each, a list of the one message that was sampled.
            trainer_state: of transformers' Trainer.
            **columns: ``truth``, ``frame``, ``images`` and ``source`` of each, as :class:`PromptDataset` gives them.
        """
        texts = [completion[-1]['content'] for completion in completions]
        answers = [self.answer_format.parse(text, frame) for text, frame in zip(texts, columns['frame'], strict=True)]
        scores = self.scores(answers, columns)
        if self.log is not None:
            rows = [
                {'source': source, 'prompt': _last_words(prompt), 'completion': text}
                for source, prompt, text in zip(columns['source'], prompts, texts, strict=True)
            ]
            self.log.note(self.__name__, scores, step=trainer_state.global_step, rows=rows)
        return scores

    def scores(self, answers: Sequence[Answer | None], columns: dict[str, Any]) -> list[float]:
        """Score answers, of which None could not be read."""
        truths: Sequence[Truth] = columns['truth']
        score = REWARDS[self.__name__].score
        if score is None:
            assert self.mask_iou is not None, f'reward {self.__name__} was made without a grounder'
            images = [images[0] for images in columns['images']]
            return self.mask_iou(answers, truths, images, columns['source'])
        return [0.0 if answer is None else score(answer, truth) for answer, truth in zip(answers, truths, strict=True)]


def _last_words(prompt: list[dict[str, Any]]) -> str:
    content = prompt[-1]['content']
    return content if isinstance(content, str) else ''.join(part.get('text', '') for part in content)


def _of_all_processes(lines: list[str]) -> list[str] | None:
    """Bring the lines of all processes together, in the order of their ranks; None on all but the first."""
    if not distributed.is_available() or not distributed.is_initialized():
        return lines
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, lines)
    return [line for each in gathered for line in each] if distributed.get_rank() == 0 else None
