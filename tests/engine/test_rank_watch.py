"""Which process hangs, by what is known of all of them."""

import re

import pytest

from flmm.engine.rank_watch import Standing, hanging_message


def message(now, timeout=10.0, **heard):
    return hanging_message({int(rank[1:]): told for rank, told in heard.items()}, now=now, timeout=timeout)


def stands(*, still, steps=5, waits=False, place='a.py:1 (f)'):
    return Standing(still=still, steps=steps, waits=waits, place=place, tick=1)


@pytest.mark.parametrize(
    'heard',
    [
        {'r0': (stands(still=99, waits=True), 100.0), 'r1': (stands(still=9.9), 100.0)},
        {'r0': (stands(still=0.0), 100.0), 'r1': (stands(still=99), 100.0)},
        {'r0': (stands(still=0.0), 100.0), 'r1': (Standing(), 0.0)},
        {'r0': (Standing(done=True), 0.0), 'r1': (stands(still=0.0), 100.0)},
        {'r0': (Standing(done=True), 0.0), 'r1': (Standing(done=True), 0.0)},
    ],
    ids=['one just arrived', 'one moves, one hangs', 'one moves, one is silent', 'one goes on alone', 'all are done'],
)
def test_as_long_as_one_moves_nothing_is_said(heard):
    assert message(100.0, **heard) is None


@pytest.mark.parametrize(
    ('heard', 'expected'),
    [
        (
            {'r0': (stands(still=50, waits=True), 100.0), 'r1': (stands(still=60, place='b.py:2 (g)'), 100.0)},
            r'moves for 10 s: rank 1 hangs \(the others wait for it\).* rank 0: stands at a\.py:1 \(f\), step 5; '
            r'rank 1: stands at b\.py:2 \(g\), step 5$',
        ),
        (  # no operation tells that it waits, as on a GPU, but it has come further
            {'r0': (stands(still=50, steps=6), 100.0), 'r1': (stands(still=60), 100.0)},
            r'rank 1 hangs \(the others wait',
        ),
        (
            {'r0': (stands(still=50, waits=True), 100.0), 'r1': (stands(still=0), 80.0)},
            r'rank 1 hangs \(nothing was heard of it: its process is stopped or gone\).*rank 1: last heard of at a\.py',
        ),
        (
            {'r0': (stands(still=50, waits=True), 100.0), 'r1': (stands(still=50, waits=True), 100.0)},
            r'rank 0, rank 1 hangs',
        ),
        ({'r0': (Standing(done=True), 0.0), 'r1': (stands(still=50), 100.0)}, r'rank 1 hangs'),
        (
            {'r0': (stands(still=50, waits=True), 100.0), 'r1': (Standing(), 0.0)},
            r'rank 1 hangs .* last heard of at before its first step, step 0$',
        ),
    ],
    ids=['in a computation', 'a step behind', 'stopped', 'both wait', 'behind one that is done', 'never heard of'],
)
def test_the_process_that_the_others_wait_for_is_named(heard, expected):
    found = message(100.0, **heard)
    assert re.search(expected, found), found
