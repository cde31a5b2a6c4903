# SPDX-License-Identifier: ISC
"""claims.py - tests named by what they claim, run a few at a time

A claim is a function of a World of its own.  alone: it measures, so nothing
else runs meanwhile, but for what is patient: that mostly waits, and is begun
before all others.  epoll: it is run with that loop as well.  part: it takes
long, and is run when that word is given, or one of its name.
"""

import os
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from world import World

AT_ONCE = int(os.environ.get('AT_ONCE', '4'))
CLAIMS = []


def claim(alone=False, epoll=False, part='', patient=False):
    def add(f):
        CLAIMS.append((f, alone, epoll, part, patient))
        return f
    return add


def equal(what, found, expected):
    if found != expected:
        raise AssertionError(f'{what}: {found!r}, not {expected!r}')


def check(what, condition):
    if not condition:
        raise AssertionError(what)


class Skipped(Exception):
    """Cannot be tried here, and why; neither passed nor failed."""


class Runner:
    def __init__(self):
        self.lock = threading.Lock()
        self.passed = self.failed = 0
        self.worlds = set()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.end)

    def end(self, number, frame):
        """Told to stop: no process and no directory stays behind."""
        for w in list(self.worlds):
            w.close()
        os._exit(1)

    def run_one(self, f, io):
        name = f.__name__ + ('' if io is None else f'_with_{io}')
        start, why, logs = time.monotonic(), None, ''
        try:
            with World(io=io, quiet=True) as w:
                self.worlds.add(w)
                try:
                    f(w)
                    equal('what no role ever says', w.outcry(), [])
                except Exception:
                    logs = w.logs()
                    raise
                finally:
                    self.worlds.discard(w)
        except Skipped as e:
            with self.lock:
                print(f'skipped: {name}: {e}', flush=True)
            return
        except Exception as e:
            why = f'{type(e).__name__}: {e}'.replace('\n', ' | ')
            logs += traceback.format_exc()
        with self.lock:
            took = f'{time.monotonic() - start:.1f} s'
            if why is None:
                self.passed += 1
                print(f'ok {name} ({took})', flush=True)
            else:
                self.failed += 1
                print(f'not ok {name} ({took}) {why}\n{logs}', flush=True)

    def run(self, patterns):
        def wanted(f, part):
            if not patterns:
                return part == ''
            return any(p == part or p in f.__name__ for p in patterns)
        claims = [c for c in CLAIMS if wanted(c[0], c[3])]
        rounds = [(f, alone, None) for f, alone, _, _, patient in claims if not patient]
        if os.environ.get('TEST_IO', 'auto') != 'epoll':
            rounds += [(f, alone, 'epoll') for f, alone, epoll, _, _ in claims if epoll]
        waiting = [threading.Thread(target=self.run_one, args=(f, None))
                   for f, _, _, _, patient in claims if patient]
        for t in waiting:
            t.start()
        for f, alone, io in rounds:
            if alone:
                self.run_one(f, io)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for f, alone, io in rounds:
                if not alone:
                    pool.submit(self.run_one, f, io)
        for t in waiting:
            t.join()
        print(f'{self.passed} passed, {self.failed} failed', flush=True)
        return 1 if self.failed or not self.passed else 0


def main():
    return Runner().run(sys.argv[1:])
