import os
import signal
import threading
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from flmm.engine import StopHook, stop_signals
from flmm.engine.stop_signals import STOPS, StopSignals


@pytest.mark.parametrize('number', STOPS)
def test_a_signal_is_noted_and_a_second_one_acts(number):
    before = signal.getsignal(number)
    earlier = Mock()
    signal.signal(number, earlier)
    try:
        with StopSignals() as stop:
            assert stop.received == 0
            os.kill(os.getpid(), number)
            assert stop.received == number
            earlier.assert_not_called()
            os.kill(os.getpid(), number)
            assert earlier.call_count == (number == signal.SIGINT)  # Slurm and torchrun may both send a SIGTERM
        assert signal.getsignal(number) is earlier
    finally:
        signal.signal(number, before)


def test_outside_of_the_main_thread_it_is_said(monkeypatch):
    logger = Mock()
    monkeypatch.setattr(stop_signals.MMLogger, 'get_current_instance', lambda: logger)
    handlers = [signal.getsignal(number) for number in STOPS]
    found = []

    def enter():
        with StopSignals() as stop:
            found.append(stop.received)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [0]
    assert 'SIGTERM and SIGINT end it without a checkpoint' in logger.warning.call_args.args[0]
    assert [signal.getsignal(number) for number in STOPS] == handlers


def run_that_got(number, *, should_update=True):
    return SimpleNamespace(
        stop_signals=SimpleNamespace(received=number), iter=6, logger=Mock(), call_hook=Mock(), hooks=[],
        optim_wrapper=SimpleNamespace(should_update=lambda: should_update),
        val_loop=SimpleNamespace(dataloader=[1, 2]),
    )  # fmt: skip


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_code_is_that_of_shells(number, code):
    runner, hook = run_that_got(number), StopHook()
    with pytest.raises(SystemExit) as raised:
        hook.after_train_iter(runner, batch_idx=0)
    assert raised.value.code == code
    runner.call_hook.assert_called_once_with('before_stop', num_iters=7)
    hook.before_val(runner)
    with pytest.raises(SystemExit):
        hook.after_val_iter(runner, batch_idx=1)
    runner.call_hook.assert_called_with('before_stop', num_iters=6)


def test_without_a_signal_training_goes_on():
    runner = run_that_got(0)
    assert StopHook().after_train_iter(runner, batch_idx=0) is None
    runner.call_hook.assert_not_called()


def test_gathered_gradients_are_used_first():
    runner = run_that_got(signal.SIGTERM, should_update=False)
    assert StopHook().after_train_iter(runner, batch_idx=0) is None
    runner.call_hook.assert_not_called()
