import gc
import os
import select
import signal as posix_signal
import subprocess
import sys
import threading
import warnings

import pytest

from speeddata.errors import Interrupted
from speeddata.interrupts import Stop, watch

DEADLINE_S = 20

BEGIN = """
import select, signal, sys, threading, time
from speeddata.errors import Interrupted
from speeddata.interrupts import watch

def say(word):
    print(word, flush=True)
"""


class Child:
    """A process that has signals sent to it, and says words."""

    def __init__(self, script, **options):
        command = [sys.executable, "-c", BEGIN + script]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
        self.timer = threading.Timer(DEADLINE_S, self.process.kill)
        self.timer.start()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.timer.cancel()
        self.process.kill()
        self.process.communicate()

    def says(self, word):
        assert self.process.stdout.readline().strip() == word

    def gets(self, number):
        self.process.send_signal(number)

    def ends(self):
        return self.process.wait()


def readable(fd):
    return bool(select.select([fd], [], [], 0)[0])


def test_a_stop_is_readable_for_ever_once_asked():
    stop = Stop()
    assert not readable(stop.fd)
    assert not stop.wait(0)
    stop.ask()
    for _ in range(3):
        assert readable(stop.fd)
        assert stop.wait(0)
    assert (stop.asked, stop.status) == (True, 0)


def test_the_first_to_ask_gives_the_status():
    stop = Stop()
    stop.ask(143)
    stop.ask(130)
    assert stop.status == 143


def test_waiting_ends_when_another_thread_asks():
    stop = Stop()
    threading.Thread(target=stop.ask).start()
    assert stop.wait(DEADLINE_S)


def test_waiting_without_the_wish_ends_at_the_timeout():
    assert not Stop().wait(0.01)


def test_the_number_of_a_signal_at_the_wakeup_descriptor_asks_before_any_handler_runs():
    stop = Stop()
    os.write(stop.wakeup_fd, bytes([posix_signal.SIGWINCH, posix_signal.SIGTERM]))
    assert stop.wait(0)
    assert stop.status == 143
    assert readable(stop.fd)


def test_a_mark_that_is_drained_is_put_back():
    stop = Stop()
    stop.ask()
    stop._drain()  # as a thread does that was waiting when another one asked
    assert readable(stop.fd)


def test_a_signal_of_somebody_else_asks_for_nothing_and_leaves_nothing_behind():
    stop = Stop()
    os.write(stop.wakeup_fd, bytes([posix_signal.SIGWINCH]))
    assert not stop.wait(0)
    assert not readable(stop.fd)


def test_a_forgotten_stop_closes_its_descriptors_in_silence():
    stop = Stop()
    fd = stop.fd
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del stop
        gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


@pytest.mark.parametrize(
    ("number", "status"),
    [(posix_signal.SIGINT, 130), (posix_signal.SIGTERM, 143), (posix_signal.SIGHUP, 143)],
)
def test_a_signal_ends_the_wait_and_tells_the_status(number, status):
    script = "with watch() as stop:\n say('ready'); stop.wait(None); sys.exit(stop.status)"
    with Child(script) as child:
        child.says("ready")
        child.gets(number)
        assert child.ends() == status


def test_a_signal_ends_a_poll_on_the_descriptor():
    script = """
with watch() as stop:
    poll = select.poll(); poll.register(stop.fd, select.POLLIN)
    say('ready'); poll.poll(); say('awake'); sys.exit(stop.status)
"""
    with Child(script) as child:
        child.says("ready")
        child.gets(posix_signal.SIGTERM)
        child.says("awake")
        assert child.ends() == 143


def test_a_signal_wakes_another_thread_while_the_main_one_joins_it():
    script = """
with watch() as stop:
    worker = threading.Thread(target=stop.wait, args=(None,))
    worker.start(); say('ready'); worker.join(); sys.exit(stop.status)
"""
    with Child(script) as child:
        child.says("ready")
        child.gets(posix_signal.SIGINT)
        assert child.ends() == 130


HANGING = """
try:
    with watch(%s) as stop:
        say('ready'); stop.wait(None); say('asked')
        while True: time.sleep(60)
except Interrupted as exc:
    say(f'interrupted {exc.status}')
"""


def test_a_second_signal_interrupts_work_that_hangs():
    with Child(HANGING % 60) as child:
        child.says("ready")
        child.gets(posix_signal.SIGTERM)
        child.says("asked")
        child.gets(posix_signal.SIGINT)
        child.says("interrupted 130")


def test_work_that_does_not_end_within_the_grace_is_interrupted():
    with Child(HANGING % 0.05) as child:
        child.says("ready")
        child.gets(posix_signal.SIGTERM)
        child.says("asked")
        child.says("interrupted 143")


def test_an_interruption_lost_in_a_destructor_comes_again():
    script = """
class Stubborn:
    def __del__(self):
        while True: time.sleep(60)

try:
    with watch(0.05) as stop:
        say('ready'); stop.wait(None); thing = Stubborn(); del thing
        while True: time.sleep(60)
except Interrupted:
    say('interrupted')
"""
    with Child(script, stderr=subprocess.DEVNULL) as child:
        child.says("ready")
        child.gets(posix_signal.SIGTERM)
        child.says("interrupted")


def test_the_same_signal_told_twice_in_a_moment_is_one_wish():
    # timeout(1) signals its child and then the group that the child is in.
    script = """
with watch() as stop:
    signal.raise_signal(signal.SIGTERM); signal.raise_signal(signal.SIGTERM)
    say('one wish')
    time.sleep(0.3)
    try:
        signal.raise_signal(signal.SIGTERM)
    except Interrupted:
        say('insisted')
"""
    with Child(script) as child:
        child.says("one wish")
        child.says("insisted")


def test_a_hangup_stays_ignored_where_nohup_ignores_it():
    script = """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with watch() as stop:
    signal.raise_signal(signal.SIGHUP); say(f'asked {stop.wait(0)}')
"""
    with Child(script) as child:
        child.says("asked False")


def test_leaving_the_context_puts_everything_back():
    numbers = [posix_signal.SIGINT, posix_signal.SIGTERM, posix_signal.SIGHUP, posix_signal.SIGALRM]
    before = [posix_signal.getsignal(number) for number in numbers]
    with watch() as stop:
        posix_signal.raise_signal(posix_signal.SIGTERM)
        assert (stop.asked, stop.status) == (True, 143)
        assert [posix_signal.getsignal(number) for number in numbers] != before
    assert [posix_signal.getsignal(number) for number in numbers] == before
    assert posix_signal.getitimer(posix_signal.ITIMER_REAL) == (0.0, 0.0)
    assert posix_signal.set_wakeup_fd(-1) == -1


def test_an_interruption_puts_everything_back_too():
    before = posix_signal.getsignal(posix_signal.SIGTERM)
    with pytest.raises(Interrupted), watch():  # noqa: PT012
        posix_signal.raise_signal(posix_signal.SIGTERM)
        posix_signal.raise_signal(posix_signal.SIGINT)
    assert posix_signal.getsignal(posix_signal.SIGTERM) is before
    assert posix_signal.getitimer(posix_signal.ITIMER_REAL) == (0.0, 0.0)


def test_outside_the_main_thread_signals_are_left_alone():
    before = posix_signal.getsignal(posix_signal.SIGTERM)
    seen = []

    def work():
        with watch() as stop:
            seen.append(posix_signal.getsignal(posix_signal.SIGTERM))
            stop.ask()
            seen.append(stop.wait(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(DEADLINE_S)
    assert seen == [before, True]
