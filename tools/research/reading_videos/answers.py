"""Where the LMM itself says that shapes in motion are: whether it understands motion, whatever its attention shows."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from demo_assets.tokenizer import X_TOKENS, Y_TOKENS

from flmm.atomic_write import write_json, write_text
from flmm.finetune import ChatCollator, ChatDataset
from flmm.pretrained import load_lmm, load_processor
from flmm.shapes.build_once import PARAMETER_FILE
from flmm.shapes.generate_video import generate_video
from flmm.shapes.motion_expressions import MotionExpression
from flmm.shapes.sample_motion import video_config
from flmm.shapes.video_chat import video_conversation

UNSAID = 'motion left unsaid'
"""A condition: sentences of motion without their last words, 'that moves left', which then mean several shapes."""


def ask(lmm: str | Path, data: Path, file: Path) -> None:
    """Ask for the place of each sentence of the test videos, each by itself, and write whether it is right.

    Args:
        lmm: folder of the LMM.
        data: folder of tools/make_shapes.py --video.
        file: gets a list of dicts with ``group``, 'still', 'motion' or :data:`UNSAID`, and ``right``: whether the
            likeliest column and row of the first moment that shows the shape are the true ones.
    """
    groups, conversations = zip(*questions(data), strict=True)
    asked = file.with_suffix('.jsonl')
    write_text(asked, ''.join(f'{json.dumps(each)}\n' for each in conversations))
    processor = load_processor(lmm)
    dataset = ChatDataset(asked, image_root=data, assistant_tokens=[*X_TOKENS, *Y_TOKENS])
    collator, model = ChatCollator(processor), load_lmm(lmm, dtype=torch.float32).eval()
    columns, rows = (torch.tensor(processor.tokenizer.convert_tokens_to_ids(names)) for names in (X_TOKENS, Y_TOKENS))
    found = []
    for index, group in enumerate(groups):
        batch = collator([dataset[index]])
        labels = batch.pop('labels')[0]
        with torch.inference_mode():
            logits = model(**batch).logits[0]
        first = int(torch.isin(labels, columns).nonzero()[0])
        column, row = columns[logits[first - 1, columns].argmax()], rows[logits[first, rows].argmax()]
        right = [column, row] == labels[first : first + 2].tolist()
        found.append({'group': group, 'right': right})
    write_json(file, found)


def questions(data: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the group of each sentence of the test videos, and the conversation in which its shape is located.

    They are drawn once more as the data say of themselves.
    """
    drawn = json.loads((data / PARAMETER_FILE).read_text(encoding='utf-8'))
    config = video_config(
        drawn['difficulty'],
        num_frames=drawn['num_frames'],
        fps=drawn['fps'],
        side_range=tuple(drawn['side_range']),
    )
    for index in range(drawn['num_videos']['test']):
        sample = generate_video(index, seed=drawn['seed'], split='test', config=config)
        for sentence in sample.sentences:
            is_motion = isinstance(sentence.expression, MotionExpression)
            asked = [('motion' if is_motion else 'still', sentence)]
            if is_motion:
                asked.append((UNSAID, replace(sentence, text=sentence.text.partition(' that ')[0])))
            for group, each in asked:
                alone = replace(sample, sentences=[each])
                yield group, video_conversation(alone, frame_folder=f'test/JPEGImages/{sample.video_id}')
