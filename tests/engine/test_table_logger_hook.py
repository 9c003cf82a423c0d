import io
import logging
import sys
from types import SimpleNamespace

from flmm.engine import TableLoggerHook

METRICS = {'狗/refined/mIoU': 1.0, '狗/refined/mIoU_low': 0.5, '狗/refined/mIoU_high': 2.0}


def logged(metrics, *, encoding, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, 'stdout', terminal)
    logger = logging.Logger('test', level=logging.INFO)
    logger.addHandler(logging.StreamHandler(terminal))
    TableLoggerHook().after_test_epoch(SimpleNamespace(logger=logger), metrics)
    terminal.flush()
    return terminal.buffer.getvalue().decode(encoding).splitlines()


def test_a_test_is_logged_as_a_table(monkeypatch):
    assert logged(METRICS, encoding='utf-8', monkeypatch=monkeypatch) == [
        'results in percent',
        '                    狗',
        'refined mIoU  1.0 ±0.8',
    ]


def test_a_terminal_without_the_letters_of_a_name_gets_the_table(monkeypatch):
    _, head, row = logged(METRICS, encoding='ascii', monkeypatch=monkeypatch)
    assert head.split() == [r'\u72d7']
    assert row.split() == ['refined', 'mIoU', '1.0', r'\xb10.8']
