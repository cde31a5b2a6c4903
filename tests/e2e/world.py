# SPDX-License-Identifier: ISC
"""world.py - real emplogd processes on loopback, for the end to end tests

A World has a ring, state directories and free ports of its own; it starts
roles and producers, waits for readiness lines and counters (never sleeps for
luck), and reads what was exported.
"""

import collections
import glob
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib

BUILD = os.path.abspath(os.environ.get('BUILD_DIR', 'build'))
EMPLOGD = os.path.join(BUILD, 'emplogd')
ISSUER = os.path.join(BUILD, 'tests/e2e/issuer')
CALLER = os.path.join(BUILD, 'tests/e2e/caller')
IO = os.environ.get('TEST_IO', 'auto')


# Held until so many others were given; then their servers have long begun.
PORTS = collections.deque(maxlen=100)


def free_port():
    """A loopback port nobody listens on, below those connect() takes.

    An ephemeral one would not do: while its server is killed, a client's
    connect() to it may be given that very port and meet itself.  Tests that
    run beside this one, in any process, do not get it as well: an abstract
    socket of its number, which ends with us, says that it is given.
    """
    while True:
        port = random.randrange(10000, 32000)
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind(f'\0emplogd-test-port-{port}')
            with socket.socket() as s:
                s.bind(('127.0.0.1', port))
        except OSError:
            held.close()
            continue
        PORTS.append(held)
        return port


def wait_for(what, condition, seconds=20.0, every=0.002):
    """Waits until condition() is true; what names it when it never is."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f'not within {seconds:g} s: {what}')
        time.sleep(every)


def payload(p, n, most=6000):
    crc = zlib.crc32(struct.pack('<QQ', p, n))
    length = min(2000 + crc % 4000, most)
    return (f'{crc:08x} ' * (length // 9 + 1))[:length]


class Counters:
    """A role's counters file, by name; see src/counters/counters.h."""

    def __init__(self, path):
        self.path = path

    def read(self):
        try:
            with open(self.path, 'rb') as f:
                b = f.read()
        except FileNotFoundError:
            return {}
        if len(b) < 256 or b[:8] != b'EMPLCTR\0':
            return {}
        _, header, count, _, names_bytes = struct.unpack_from('<IIIIQ', b, 8)
        names_at = header + 8 * count
        names = b[names_at:names_at + names_bytes].split(b'\0')
        words = struct.unpack_from(f'<{count}Q', b, header)
        return {n.decode(): w for n, w in zip(names, words)}

    def __getitem__(self, name):
        return self.read().get(name, 0)


class Role:
    """One emplogd process."""

    def __init__(self, world, roles, sets, state, env=None, under=()):
        self.world, self.roles, self.state = world, roles, state
        self.sets, self.env, self.under = sets, env or {}, list(under)
        self.options, self.binary = [], EMPLOGD
        self.process = None
        self.log_path = os.path.join(world.dir, f'{state}.log')
        self.starts = 0

    def arguments(self, *more):
        args = [self.binary, f'--role={self.roles}', f'--io={self.world.io}']
        for key, value in self.sets.items():
            args.append(f'--set={key}={value}')
        return self.under + args + self.options + list(more)

    def spawn(self):
        """Starts it and returns where its log begins."""
        self.starts += 1
        with open(self.log_path, 'ab') as log:
            at = log.tell()
            self.process = subprocess.Popen(
                self.arguments(), stderr=log, stdin=subprocess.DEVNULL,
                env={**self.world.env, **self.env})
        return at

    def start(self):
        at = self.spawn()

        def is_ready():
            if self.process.poll() is not None:
                raise RuntimeError(f'{self.roles} ended with '
                                   f'{self.process.returncode}:\n{self.log()}')
            return 'emplogd: ready' in self.log(at)
        wait_for(f'{self.roles} ready', is_ready)
        return self

    def run(self, *more, timeout=10):
        """Runs it to its end: (exit status, what it said)."""
        r = subprocess.run(self.arguments(*more), capture_output=True, text=True,
                           timeout=timeout, env={**self.world.env, **self.env})
        return r.returncode, r.stdout + r.stderr

    def verb(self, *words, timeout=10):
        """A verb with the configuration of this role: a CompletedProcess."""
        return subprocess.run(self.verb_arguments(*words), capture_output=True, text=True,
                              timeout=timeout, env={**self.world.env, **self.env})

    def verb_arguments(self, *words):
        args = [EMPLOGD, f'--set=common.role={self.roles}']
        args += [f'--set={key}={value}' for key, value in self.sets.items()]
        return args + list(words)

    def log(self, at=None):
        with open(self.log_path, 'rb') as f:
            if at is not None:
                f.seek(at)
            text = f.read().decode(errors='replace')
        return text if at is not None else text[-4000:]

    def log_count(self, words):
        """How often it said them, since its first start."""
        with open(self.log_path, 'rb') as f:
            return f.read().decode(errors='replace').count(words)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def tell(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM, timeout=10):
        self.process.send_signal(number)
        return self.process.wait(timeout=timeout)

    def place(self, *path):
        """A path in its state directory."""
        return os.path.join(self.world.dir, self.state, *path)

    def counters(self, role=None):
        return Counters(self.place(role or self.roles.split(',')[0], 'counters'))


class World:
    def __init__(self, io=None, quiet=False):
        self.io, self.quiet = io or IO, quiet
        self.dir = tempfile.mkdtemp(prefix='emplogd-e2e.')
        self.ring_parent = tempfile.mkdtemp(prefix='emplogd-e2e.', dir='/dev/shm')
        self.ring = os.path.join(self.ring_parent, 'ring')
        keep = ('PATH', 'HOME', 'LANG', 'ASAN_OPTIONS', 'UBSAN_OPTIONS',
                'LD_LIBRARY_PATH', 'TMPDIR')
        self.env = {k: os.environ[k] for k in keep if k in os.environ}
        self.env['EMPLOG_RING_DIR'] = self.ring
        self.roles, self.producers, self.closers = [], [], []
        self.under = []         # runs producers
        self.numbers = 0

    def role(self, roles, state=None, env=None, under=(), **sets):
        """sets: common__ring_dir='…' for common.ring_dir."""
        state = state or roles.replace(',', '-')
        all_sets = {'common.state_dir': os.path.join(self.dir, state),
                    'common.ring_dir': self.ring}
        all_sets.update({k.replace('__', '.'): v for k, v in sets.items()})
        r = Role(self, roles, all_sets, state, env, under)
        self.roles.append(r)
        return r

    def producer(self, burst, pause_ms, count=1000000, length=6000):
        p = Producer(self, self.numbers, burst, pause_ms, count, length)
        self.numbers += 1
        self.producers.append(p)
        return p

    def caller(self, **identity):
        c = Caller(self, identity)
        self.producers.append(c)
        return c

    def logs(self):
        return ''.join(f'--- {r.state} log\n{r.log()}\n' for r in self.roles
                       if os.path.exists(r.log_path))

    def outcry(self):
        """What means a bug, whatever the test is about."""
        words = ('emplogd: bug:', 'Sanitizer', 'runtime error:')
        lines = [line for r in self.roles if os.path.exists(r.log_path)
                 for line in r.log(0).splitlines() if any(x in line for x in words)]
        return lines + [f'{path}: the sums do not add up' for path in
                        glob.glob(os.path.join(self.dir, '*/*/counters'))
                        if Counters(path)['conservation_broken'] > 0]

    def lanes(self, suffix='.lane'):
        return sorted(glob.glob(os.path.join(self.ring, '*' + suffix)))

    def unacknowledged(self):
        """Bytes in lanes between tail and head."""
        total = 0
        for path in self.lanes():
            try:
                with open(path, 'rb') as f:
                    f.seek(4096)
                    head, = struct.unpack('<Q', f.read(8))
                    f.seek(8192)
                    tail, = struct.unpack('<Q', f.read(8))
            except (OSError, struct.error):
                continue
            total += max(0, head - tail)
        return total

    def close(self):
        for p in self.producers:
            p.end()
        for r in self.roles:
            if r.process and r.process.poll() is None:
                r.process.kill()
                r.process.wait()
        for close in self.closers:
            close()
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.ring_parent, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and not self.quiet:
            sys.stderr.write(self.logs())
        self.close()


class Producer:
    def __init__(self, world, number, burst, pause_ms, count, length):
        self.number = number
        self.side = os.path.join(world.dir, f'side-{number}')
        self.process = subprocess.Popen(
            world.under + [ISSUER, self.side, str(number), str(burst), str(pause_ms), str(count), str(length)],
            env=world.env)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.kill()

    def sets(self):
        """(issued below, accepted numbers, refused)."""
        try:
            with open(self.side, 'rb') as f:
                b = f.read()
        except FileNotFoundError:
            return 0, set(), 0
        if len(b) < 16:
            return 0, set(), 0
        issued, refused = struct.unpack_from('<QQ', b)
        return issued, {i for i in range(issued) if b[16 + i]}, refused


class Caller:
    """A producer that obeys: see caller.c."""

    def __init__(self, world, identity):
        self.process = subprocess.Popen(
            [CALLER], env={**world.env, **identity}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)

    def say(self, line):
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()

    def tell(self, line):
        """Does it; (result, wall ns right after)."""
        self.say(line)
        result, ns = self.process.stdout.readline().split()
        return int(result), int(ns)

    def log(self, text, level=2, event='called', job='job-0'):
        r, ns = self.tell(f'log {level} {event} {job} {text}')
        if r != 0:
            raise RuntimeError(f'emplog_log: {r}')
        return ns

    def leave(self, word):
        self.say(word)
        self.process.wait(timeout=10)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Reply:
    def __init__(self, status, headers, body, took):
        self.status, self.headers, self.body, self.took = status, headers, body, took

    def json(self):
        return json.loads(self.body)


def http(port, path='/', body=None, headers=None, method=None, timeout=15):
    """One request over one connection, as the old clients make it."""
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    request = urllib.request.Request(
        f'http://127.0.0.1:{port}{path}', data=body, method=method,
        headers={'Content-Type': 'application/json', **(headers or {})})
    start = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=timeout) as r:
            return Reply(r.status, r.headers, r.read(), time.monotonic() - start)
    except urllib.error.HTTPError as e:
        with e:
            return Reply(e.code, e.headers, e.read(), time.monotonic() - start)


def attributes(kvs):
    out = {}
    for kv in kvs:
        v = kv.get('value', {})
        out[kv['key']] = next(iter(v.values()), None)
    return out


def exported(export_dir, start=0):
    """Each record of the local export: (resource, log record, attributes)."""
    for path in sorted(glob.glob(os.path.join(export_dir, 'logs*.jsonl'))):
        with open(path, 'rb') as f:
            for line in f:
                if not line.endswith(b'\n'):
                    break
                for rl in json.loads(line)['resourceLogs']:
                    resource = attributes(rl.get('resource', {}).get('attributes', []))
                    for sl in rl['scopeLogs']:
                        for rec in sl['logRecords']:
                            yield resource, rec, attributes(rec.get('attributes', []))


class Received:
    """What came out, as sets per producer; follows growing files."""

    def __init__(self, export_dir, length=6000):
        self.dir, self.length = export_dir, length
        self.at = {}
        self.seen = {}
        self.twice = []
        self.damaged = []
        self.others = {}

    def read(self):
        for path in sorted(glob.glob(os.path.join(self.dir, 'logs*.jsonl'))):
            try:
                with open(path, 'rb') as f:
                    ino = os.fstat(f.fileno()).st_ino
                    f.seek(self.at.get(ino, 0))
                    for line in f:
                        if not line.endswith(b'\n'):
                            break
                        self.at[ino] = self.at.get(ino, 0) + len(line)
                        self.line(line)
            except FileNotFoundError:
                continue
        return self

    def line(self, line):
        for rl in json.loads(line)['resourceLogs']:
            for sl in rl['scopeLogs']:
                for rec in sl['logRecords']:
                    self.record(attributes(rec.get('attributes', [])), rec)

    def record(self, a, rec):
        if 'payload' not in a or 'p' not in a:
            name = rec.get('eventName', '')
            self.others[name] = self.others.get(name, 0) + 1
            return
        p, n = int(a['p']), int(a['n'])
        if a['payload'] != payload(p, n, self.length):
            self.damaged.append((p, n))
        seen = self.seen.setdefault(p, set())
        if n in seen:
            self.twice.append((p, n))
        seen.add(n)

    def missing(self, producers):
        out = []
        for p in producers:
            _, accepted, _ = p.sets()
            lost = accepted - self.seen.get(p.number, set())
            out += [(p.number, n) for n in sorted(lost)]
        return out

    def never_issued(self, producers):
        out = []
        for p in producers:
            issued, _, _ = p.sets()
            out += [(p.number, n) for n in self.seen.get(p.number, set()) if n >= issued]
        return out
