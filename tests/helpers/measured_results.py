"""Results of every measurement as its commands write them, with numbers that follow from their keys."""

import csv
import json
import zlib
from pathlib import Path
from typing import Any

from closer_look.conditions import conditions
from closer_look.report import write_report
from reading_videos.answers import UNSAID
from reading_videos.report import CONDITIONS as READINGS
from reading_videos.report import write_report as write_readings
from reinforcement.conditions import CONDITIONS as TRAININGS
from reinforcement.heads import HEADS
from reinforcement.report import write_report as write_reinforcement

from flmm.shapes.motion_expressions import MOTION_KINDS

SETS = [f'shapes_{split}_{way}_sentence' for split in ('val', 'testA', 'testB') for way in ('first', 'every')]
CONTROL = ['untrained_lmm_val_first_sentence', 'untrained_lmm_val_every_sentence', 'training_free_3_val_first_sentence']
JUDGED = [name.replace('shapes', 'existence') for name in SETS]
COLUMNS = [f'{mask}/{metric}' for mask in ('coarse', 'refined') for metric in ('cIoU', 'mIoU')]
KINDS = ['colour', 'kind', 'size', 'position', 'comparison']
PHOTOS = {'astronaut': (504, 504), 'chelsea': (448, 308), 'coffee': (588, 392), 'rocket': (644, 420)}
SELECTIONS = [
    'dense', 'v1, entropy', 'v2, entropy', 'budget 0.3, entropy', 'budget 0.1, laplacian, blur 5',
    'budget 0.3, laplacian, blur 5', 'budget 0.5, laplacian, blur 5, up to 2x2',
    'budget 0.3, laplacian, blur 5, up to 2x2',
]  # fmt: skip
STEPS = [
    'stock forward', 'reference', 'flmm', 'flmm, batch of 4', 'flmm, budget 0.5', 'flmm, budget 0.3',
    'flmm, stored features', 'flmm, stored features, batch of 4',
]  # fmt: skip
FROZEN = ['stock forward', 'reference', 'flmm', 'flmm, half of the layers', 'flmm, batch of 4']
STAGES = ['vision tower', 'LLM', 'capture', 'SAM encoder', 'mask head', 'SAM decoder', 'losses', 'backward']
LMMS = [
    'deepseek_vl_1_3b', 'qwen2_5_vl_3b', 'qwen3_vl_4b', 'qwen3_5_4b', 'llava_1_5_7b', 'llava_1_6_mistral_7b',
    'deepseek_vl_7b',
]  # fmt: skip
MIB = 2**20


def figure(*key: object) -> float:
    """A number from 0.1 to 100 with one decimal that belongs to this key."""
    return (zlib.crc32(repr(key).encode()) % 1000 + 1) / 10


def write_json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def write_results(root: Path) -> None:
    """Write all of them below ``root``, except what commands print."""
    work = root / 'work_dirs'
    metrics = {f'{name}/{column}': figure(name, column) for name in SETS + CONTROL + JUDGED for column in COLUMNS}
    kinds = {f'{key}/{kind}': figure(key, kind) for key in metrics if key.endswith('mIoU') for kind in KINDS}
    write_json(work / 'demo/metrics.json', metrics | kinds)
    for level in ('easy', 'hard'):
        write_json(work / f'demo_{level}/metrics.json', {key: figure(level, key) for key in metrics})
    for variant in VARIANTS:
        for seed in (0, 1, 2):
            path = work / f'f_lmm_variants/{variant}_{seed}/metrics.json'
            write_json(path, {key: figure(variant, seed, key) for key in metrics})
    no_target = [name.replace('shapes', 'shapes_no_target') for name in SETS]
    existence = ('N_acc', 'N_acc/absent', 'N_acc/absent_pair', 'T_acc', 'gIoU')
    for seed in (0, 1, 2):
        path = work / f'demo_existence_{seed}/metrics.json'
        keys = [f'{name}/refined/{column}' for name in no_target for column in existence]
        write_json(path, {key: figure(seed, key) for key in keys})
    for way in ('localization', 'iou'):
        for name in ('1', '3', '10', 'box', 'threshold'):
            path = work / f'training_free_{way}/{name}/metrics.json'
            write_json(path, {f'{key}/{column}': figure(way, name, key, column) for key in SETS for column in COLUMNS})
    six = {f'six_pictures/{column}': figure('six_pictures', column) for column in COLUMNS}
    write_json(work / 'demo_six_pictures/metrics.json', six)
    write_statistics(work)
    for name in CONDITIONS:
        write_json(work / f'sweep_alpha/noisy/{name}.json', {
            'kept_fraction': figure(name, 'kept') / 100,
            'metrics': {column: figure(name, column) for column in COLUMNS},
        })  # fmt: skip
    write_benchmarks(work)
    for lmm in LMMS:
        pruned = {'image_tokens': 90, 'prediction_s': figure(lmm, 'pruned')} if lmm.startswith('qwen') else None
        sizes = {'lmm_parameters_1e9': figure(lmm, 'lmm') / 10, 'image_tokens': 576, 'channels': 384}
        keys = ('build_s', 'step_s', 'prediction_s', 'peak_gb', 'estimated_gb')
        result = {'model': lmm, **sizes, 'pruned': pruned, **{key: figure(lmm, key) for key in keys}}
        write_json(work / f'full_size/{lmm}.json', result)
    for name in ('demo', *(f'demo_heads_{top}' for top in (1, 2, 4, 8, 16))):
        write_logs(work / 'heads' / name, name)
    ways = ('trained', 'untrained', 'chance')
    pointing = {way: {kind: figure(way, kind) for kind in ('all', *KINDS)} for way in ways}
    write_json(work / 'demo_weights/pointing.json', pointing)
    prompts = ('true box', 'jittered box', 'coarse mask', 'coarse mask and its box', 'coarse')
    sam = {level: {prompt: figure(level, prompt) for prompt in prompts} for level in ('easy', 'medium', 'hard')}
    write_json(work / 'demo_weights/sam.json', sam)
    write_closer_looks(work / 'visual_chain_of_thought')
    write_answers(work / 'reinforce_demo')
    write_video_scores(work / 'reading_videos')
    write_json(root / 'data/shapes_video/shapes.json', {})


def write_closer_looks(folder: Path) -> None:
    """Answers as tools/research/visual_chain_of_thought.py notes them, and its tables of them."""
    file = folder / 'finetuning_0' / 'answers_0.json'
    questions = []
    for number in range(20):
        said = {
            name: {
                'said': 'star' if figure(number, name) > 40 else None,
                'tokens': 64,
                'seconds': figure(name, number) / 1000,
                'covered': 1.0 if name.endswith('_true') else figure(name, number, 'covered') / 100,
            }
            for name in conditions()
        }
        questions.append({'topic': ('kind', 'colour')[number % 2], 'about': 'it', 'answer': 'star', 'said': said})
    write_json(file, questions)
    asked = [{'topic': topic, 'answer': 'star', 'said': 'star'} for topic in ('kind', 'colour')]
    write_json(file.parent / 'skills.json', {'ordinary': asked, 'named': asked})
    write_report([file], folder)


def write_answers(folder: Path) -> None:
    """Answers and logs as tools/research/reinforce_demo.py notes them, and its tables of them."""
    for seed in (0, 1, 2):
        for name in TRAININGS:
            rewards = {key: figure(seed, name, key) / 100 for key in ('point_in_mask', 'mask_iou')}
            rows = [{'said': 'the star<x1><y2>', 'format': 1.0, **rewards}] * 2
            at = folder / f'seed_{seed}' / name
            write_json(at / 'answers.json', {'seconds': figure(seed, name), 'greedy': rows, 'sampled': rows})
            keys = ('reward', 'kl', 'entropy', 'completions/mean_length')
            log = [{key: figure(seed, name, key, step) / 100 for key in keys} for step in range(4)]
            write_json(at / 'trainer_state.json', {'log_history': log})
    write_json(folder / 'heads.json', {label: figure(label) / 100 for label in HEADS.values()})
    write_reinforcement(folder, [0, 1, 2])


def write_video_scores(folder: Path) -> None:
    """Scores as tools/research/reading_videos.py notes them, and its tables of them."""
    files: dict[int, list[Path]] = {}
    for seed in (0, 1, 2):
        file = folder / f'seed_{seed}' / 'video.json'
        scores = [
            {
                'condition': condition,
                'kind': kind,
                'source': source,
                **{name: figure(seed, condition, kind, source, name) / 100 for name in 'JF'},
            }
            for condition in READINGS
            for kind in (*KINDS, *MOTION_KINDS)
            for source in ('refined', 'coarse')
        ]
        write_json(file, scores)
        files[seed] = [file]
    answers = {name: folder / f'answers_{name}.json' for name in ('tuned', 'untuned')}
    for name, file in answers.items():
        groups = [group for group in ('still', 'motion', UNSAID) for _ in range(2)]
        write_json(file, [{'group': group, 'right': figure(name, group) / 100} for group in groups])
    write_readings(files, answers, folder)


def write_statistics(work: Path) -> None:
    """A statistics.csv as tools/visualize_patches.py has it, for each photograph under each setting."""
    for folder in STATISTICS:
        (work / folder).mkdir(parents=True, exist_ok=True)
        with (work / folder / 'statistics.csv').open('w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(['file', 'processed_size.width', 'processed_size.height', 'tokens', 'dense_tokens'])
            for name, (width, height) in PHOTOS.items():
                dense = width * height // 28**2
                writer.writerow([f'{name}.png', width, height, round(dense * figure(folder, name) / 100), dense])


def write_benchmarks(work: Path) -> None:
    """What tools/research/benchmark.py writes for each of the commands."""
    for folder, sizes in {
        'frozen_644x476': {'644x476': 391},
        'frozen_1176x812': {'1176x812': 1218},
        'frozen_large': {'1568x1176': 2352, '1960x1568': 3920},
    }.items():
        results = {
            size: {
                'image_tokens': tokens,
                'ways': {
                    way: {
                        'seconds': [figure(way, size), figure(way, size) * 3],
                        'median_s': figure(way, size) * 2,
                        'peak_bytes': MIB * figure(way, size, 'peak'),
                    }
                    for way in FROZEN
                },
            }
            for size, tokens in sizes.items()
        }
        write_json(work / folder / 'frozen.json', {'results': results})
    for size, counts in {'644x476': (1, 3, 8), '1176x812': (3,)}.items():
        results = {f'{size}, {count} phrases': {way: step(size, count, way) for way in STEPS} for count in counts}
        write_json(work / f'training_{size}' / 'training.json', {'results': results})
    results = {
        size: {
            name: {
                'tokens': 1200,
                'speed_up': figure(size, name, 'faster'),
                **{f'{stage}_median_s': figure(size, name, stage) for stage in ('processing', 'frozen', 'total')},
            }
            for name in SELECTIONS
        }
        for size in ('644x476', '1176x812')
    }
    write_json(work / 'benchmark' / 'pruning.json', {'results': results})
    write_json(work / 'questions' / 'questions.json', {'results': questions()})


def questions() -> dict[str, Any]:
    """Three rounds of each time, of which the second is the median."""

    def rounds(*key: object) -> list[float]:
        return [figure(*key) * factor for factor in (0.5, 1, 30)]

    counts = ('1', '2', '4', '8', '32', '100')
    ways = ('read_once_s', 'one_by_one_s', 'times_faster')
    footprints = {
        'photograph': ('4000x3000', 100, ('read', 'ground', 'to_rle', 'masks')),
        'batch': ('640x480', 120, ('predict',)),
    }
    return {
        'sizes': {
            '644x476': {
                'phrases': {count: {way: rounds(count, way) for way in ways} for count in counts},
                **{way: rounds(way) for way in ('reading_s', 'one_more_s', 'one_more_share')},
                'prefix': {'tokens': 421, 'measured_bytes': 5 * MIB, 'formula_bytes': 4 * MIB},
            }
        },
        **{
            name: {
                'image': image,
                'phrases': count,
                'stages': {step: {'seconds': figure(step), 'peak_bytes': MIB * figure(step, 'peak')} for step in steps},
            }
            for name, (image, count, steps) in footprints.items()
        },
    }


def step(size: str, count: int, way: str) -> dict[str, Any]:
    """One way of a training step: what it does not do is absent from its stages."""
    first = {'reading': 0.5} if 'stored' in way else {'image processing': 0.25}
    known = {'stock forward': STAGES[:2], 'reference': [stage for stage in STAGES if stage != 'capture']}
    stages = STAGES[4:] if 'stored' in way else known.get(way, STAGES)
    if 'stored' in way:
        stages = [stage for stage in stages if stage != 'SAM encoder']
    return {
        'median_s': figure(size, count, way),
        'stages': first | {stage: figure(way, stage) for stage in stages},
        'peak_bytes': MIB * figure(way, 'peak'),
    }


def write_logs(folder: Path, name: str) -> None:
    """The logs of two trainings, of which the second counts."""
    for start, change in (('20260101_000000', 100), ('20260102_000000', 0)):
        lines = [{'loss': 1.0, 'time': time} for time in (0.5 + change, 0.7 + change, 9.0 + change)]
        key = 'shapes_val_first_sentence/{}/mIoU'
        lines += [{key.format(mask): figure(name, mask) + change for mask in ('coarse', 'refined')}]
        path = folder / start / 'vis_data/scalars.json'
        path.parent.mkdir(parents=True)
        path.write_text('\n'.join(map(json.dumps, lines)))


VARIANTS = [
    'default', 'detached', 'scale_factor', 'near_zero', 'coarse_nearest', 'refined_resized', 'box_one_past', 'padding',
    'one_text', 'bfloat16',
]  # fmt: skip
MEASURES = [
    f'{measure}{blur}'
    for measure in ('entropy', 'laplacian_mean', 'laplacian_max', 'laplacian_std', 'upsample_mse')
    for blur in ('', '_blur5')
]
CONDITIONS = [
    'even', 'capped-laplacian_mean_blur5-0.5', 'capped-laplacian_mean_blur5-0.3',
    *(f'{control}-{alpha}' for control in ('drop', 'downsample', 'oracle_area', 'oracle_edge', 'oracle_touch')
      for alpha in (0.5, 0.3, 0.2, 0.1)),
    *(f'budget-{measure}-{alpha}' for measure in MEASURES for alpha in (0.5, 0.3, 0.2, 0.1)),
    *(f'{way}' for measure in MEASURES for way in (f'v1-{measure}', f'v2-{measure}-1.0', f'v2-{measure}-0.5')),
]  # fmt: skip
STATISTICS = [
    *(f'patches/{name}' for name in (
        'v1', 'v2_0.5', 'v2_0.75', 'v2_1.0', 'v2_1.25', 'budget_0.5', 'budget_0.3', 'budget_0.2', 'budget_0.1')),
    *(f'measures/{name}_{way}' for way in ('v1', 'v2') for name in (
        'entropy', 'laplacian', 'laplacian_laplacian-aggregate max', 'laplacian_laplacian-aggregate std',
        'laplacian_blur 5', 'upsample_mse', 'upsample_mse_blur 5')),
]  # fmt: skip
PRINTED = {
    'floor': '(17, 23) 67 [0, 39, 8, 0, 20]\n(29, 42) 126 [0, 42, 14, 0, 70]\n(8, 8) 4 [0, 0, 0, 0, 4]\n',
    'padding': ''.join(f'{size} BatchSampler {size}.2%\n{size} TokenBatchSampler {size}.6%\n' for size in (4, 8, 16)),
}
"""Name of a measurement -> what its only command prints."""
