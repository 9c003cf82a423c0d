from concurrent.futures import ThreadPoolExecutor

import pytest

from flmm.web.session import Visit, Visits


def test_the_visit_that_was_used_longest_ago_makes_place():
    visits = Visits(most=2)
    first, second, third = (Visit(read=None) for _ in range(3))
    visits.keep('a', first)
    visits.keep('b', second)
    assert visits.of('a') is first
    visits.keep('c', third)
    assert visits.of('a') is first
    assert visits.of('c') is third
    with pytest.raises(ValueError, match='upload it again: the images of the last 2 visitors are kept'):
        visits.of('b')


def test_a_visitor_has_one_image_the_last():
    visits = Visits(most=2)
    visits.keep('a', Visit(read=None))
    last = Visit(read=None)
    visits.keep('a', last)
    assert visits.of('a') is last
    assert len(visits) == 1


def test_who_leaves_is_forgotten_and_may_leave_twice():
    visits = Visits(most=2)
    visits.keep('a', Visit(read=None))
    visits.drop('a')
    visits.drop('a')
    assert len(visits) == 0
    with pytest.raises(ValueError, match='there is no image of yours here'):
        visits.of('a')


def test_many_threads_never_keep_more():
    visits = Visits(most=5)

    def visit(number):
        visits.keep(str(number), Visit(read=None))
        return len(visits)

    with ThreadPoolExecutor(8) as threads:
        assert max(threads.map(visit, range(500))) <= 6  # one may be on its way out while another looks
    assert len(visits) == 5
