"""Who a process is, by what its launcher says; devices; reading ahead."""

import itertools
import threading
import time

import pytest
import torch

from flmm.archive.processes import Place, device_of
from flmm.archive.read_ahead import read_ahead

ARRAY = {'SLURM_ARRAY_TASK_ID': '7', 'SLURM_ARRAY_TASK_COUNT': '4', 'SLURM_ARRAY_TASK_MIN': '5'}


@pytest.mark.parametrize(
    ('launcher', 'environment', 'expected'),
    [
        ('pytorch', {'RANK': '9', 'WORLD_SIZE': '16', 'LOCAL_RANK': '1'}, (9, 16, 1)),
        ('slurm', ARRAY, (2, 4, 0)),
        ('slurm', {'SLURM_PROCID': '3', 'SLURM_NTASKS': '8', 'SLURM_LOCALID': '3'}, (3, 8, 3)),
        ('slurm', {**ARRAY, 'SLURM_PROCID': '1', 'SLURM_NTASKS': '2', 'SLURM_LOCALID': '1'}, (5, 8, 1)),
    ],
)
def test_a_launcher_says_who_a_process_is(launcher, environment, expected):
    place = Place.from_environment(launcher, environment)
    assert (place.rank, place.world_size, place.local_rank) == expected


def test_ranks_of_an_array_of_tasks_are_all_different():
    places = [
        Place.from_environment(
            'slurm',
            {**ARRAY, 'SLURM_ARRAY_TASK_ID': str(5 + array), 'SLURM_PROCID': str(task), 'SLURM_NTASKS': '2'},
        )
        for array, task in itertools.product(range(4), range(2))
    ]
    assert sorted(place.rank for place in places) == list(range(8))


@pytest.mark.parametrize(
    ('numbers', 'step', 'expected', 'has_gaps'),
    [
        ((0, 2, 4, 6), 2, [(0, 4), (1, 4), (2, 4), (3, 4)], False),  # --array=0-6:2
        ((3, 6, 9), 3, [(0, 3), (1, 3), (2, 3)], False),
        ((3, 6, 11), 1, [(0, 9), (3, 9), (8, 9)], True),
    ],
)
def test_ranks_of_an_array_whose_numbers_are_not_one_by_one(numbers, step, expected, has_gaps):
    environment = {
        'SLURM_ARRAY_TASK_COUNT': len(numbers), 'SLURM_ARRAY_TASK_STEP': step,
        'SLURM_ARRAY_TASK_MIN': min(numbers), 'SLURM_ARRAY_TASK_MAX': max(numbers),
    }  # fmt: skip
    environment = {name: str(value) for name, value in environment.items()}
    places = [Place.from_environment('slurm', {**environment, 'SLURM_ARRAY_TASK_ID': str(id_)}) for id_ in numbers]
    assert [(place.rank, place.world_size) for place in places] == expected
    assert {place.has_gaps for place in places} == {has_gaps}


@pytest.mark.parametrize(('launcher', 'name'), [('pytorch', 'RANK is None'), ('slurm', 'SLURM_NTASKS is None')])
def test_a_launcher_that_has_not_started_the_process(launcher, name):
    with pytest.raises(ValueError, match=f"launcher is '{launcher}', but {name} in the environment"):
        Place.from_environment(launcher, {})


@pytest.mark.parametrize(
    ('gpus', 'local_rank', 'device', 'expected'),
    [(0, 3, None, 'cpu'), (8, 3, None, 'cuda:3'), (1, 3, None, 'cuda:0'), (8, 3, 'cuda:1', 'cuda:1')],
)
def test_each_process_takes_a_gpu(monkeypatch, gpus, local_rank, device, expected):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)
    assert device_of(Place(local_rank=local_rank), device) == expected


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    with pytest.raises(ValueError, match='process 2 of this machine has no GPU, there are 2; name a --device'):
        device_of(Place(local_rank=2), None)


def test_items_are_taken_ahead_and_in_order():
    taken = []
    items = read_ahead((taken.append(number) or number for number in range(100)), size=5)
    assert next(items) == 0
    until = time.monotonic() + 10
    while len(taken) < 7 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(taken) == 7  # given out, kept, and waiting for a place
    assert list(items) == list(range(1, 100))


def test_errors_of_items_are_raised_where_they_are_used():
    def items():
        yield 1
        raise KeyError('a bug')

    found = read_ahead(items(), size=5)
    assert next(found) == 1
    with pytest.raises(KeyError, match='a bug'):
        next(found)


def test_nobody_is_left_where_items_are_left():
    before = threading.active_count()
    found = read_ahead(itertools.count(), size=2)
    next(found)
    found.close()
    assert threading.active_count() == before
