#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""lanes.py - what happens to lanes on a host, with real processes

usage: lanes.py [WORD...]      claims whose name has one of the words

Agent, relay and local export are one emplogd (apart where one of them must be
away); producers are fleet.c's and issuer.c's.  Each claim has a ring and state
of its own; two run at a time.  Prints "ok NAME" or "not ok NAME why".
"""

import concurrent.futures
import ctypes
import errno
import fcntl
import glob
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import BUILD, EMPLOGD, IO, Producer, Received, Role, World, free_port, wait_for

FLEET = os.path.join(BUILD, 'tests/e2e/fleet')
DATA_AT = 65536
HEAD_AT, TAIL_AT, MARKS_AT = 4096, 8192, 12288
SEVERITIES = ('trace', 'debug', 'info', 'warn', 'error', 'fatal')


class Skipped(Exception):
    pass


def check(what, condition, *seen):
    if not condition:
        raise AssertionError(f'{what}: {seen}' if seen else what)


def equal(what, is_, should):
    check(what, is_ == should, is_, 'should be', should)


# ---- what arrives ----

class Arrived(Received):
    """Keeps the order of numbers per producer, and the records of the agent."""

    def __init__(self, export_dir):
        super().__init__(export_dir)
        self.order, self.events = {}, []

    def record(self, a, rec):
        if 'p' in a and 'n' in a:
            self.order.setdefault(int(a['p']), []).append(int(a['n']))
            if 'payload' not in a:
                p, n = int(a['p']), int(a['n'])
                seen = self.seen.setdefault(p, set())
                if n in seen:
                    self.twice.append((p, n))
                seen.add(n)
                return
        else:
            self.events.append((rec.get('eventName', ''), a))
        super().record(a, rec)

    def of(self, event):
        return [a for name, a in self.events if name == event]

    def flows(self, p):
        """Into how few rising sequences the numbers of p fall."""
        ends = []
        for n in self.order.get(p, []):
            below = [i for i, e in enumerate(ends) if e < n]
            if below:
                ends[max(below, key=lambda i: ends[i])] = n
            else:
                ends.append(n)
        return len(ends)


class Side:
    """What a producer of fleet.c has noted; see side.h."""

    def __init__(self, path, number):
        self.side, self.number = path, number

    sets = Producer.sets


# ---- a host ----

class Host(World):
    def __init__(self):
        super().__init__()
        self.env['EMPLOG_CONSOLE'] = 'off'
        self.children = []

    def all(self, **sets):
        """Agent, relay and local export in one process."""
        port = free_port()
        sets = {'relay__listen': f'127.0.0.1:{port}', 'relay__http_listen': '',
                'agent__relay': f'127.0.0.1:{port}', 'agent__http_listen': '', **sets}
        self.daemon = self.role('agent,relay,exporter', state='all', **sets).start()
        self.arrived = Arrived(os.path.join(self.dir, 'all/relay/export'))
        return self.daemon

    def apart(self, start_relay=True, **sets):
        port = free_port()
        self.relay = self.role('relay', relay__listen=f'127.0.0.1:{port}',
                               relay__http_listen='')
        self.agent = self.role('agent', agent__relay=f'127.0.0.1:{port}',
                               agent__http_listen='', **sets)
        if start_relay:
            self.relay.start()
        self.agent.start()
        self.arrived = Arrived(os.path.join(self.dir, 'relay/relay/export'))
        return self.agent

    def fleet(self, mode, *args, count=1, **popen):
        """Starts fleet.c; its side file is known from here on."""
        p = self.numbers
        self.numbers += count
        side = os.path.join(self.dir, f'side-{p}')
        words = [] if mode == 'say' else [side, str(p)]
        popen.setdefault('env', self.env)
        child = subprocess.Popen([FLEET, mode] + words + [str(a) for a in args],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 text=True, **popen)
        self.children.append(child)
        child.p = p
        child.side = Side(side, p)
        return child

    def lane_of(self, pid):
        """The path of the lane whose head names pid."""
        for path in glob.glob(os.path.join(self.ring, '*.lane')):
            try:
                with open(path, 'rb') as f:
                    f.seek(40)
                    if struct.unpack('<I', f.read(4))[0] == pid:
                        return path
            except (OSError, struct.error):
                pass
        return None

    def all_arrive(self, sides, seconds=20):
        """Accepted is a part of received, received of issued, none twice."""
        try:
            wait_for('everything accepted has arrived',
                     lambda: not self.arrived.read().missing(sides), seconds, 0.1)
        except TimeoutError:
            lost = self.arrived.missing(sides)
            raise AssertionError(f'{len(lost)} accepted records lost, first {lost[:4]}')
        got = self.arrived
        check('records nobody issued', not got.never_issued(sides),
              got.never_issued(sides)[:4])
        check('records twice', not got.twice, got.twice[:4])
        check('damaged payloads', not got.damaged, got.damaged[:4])

    def conserved(self, role, seconds=5):
        """The lanes are empty, and the agent's sums are right."""
        def balanced():
            c = role.counters('agent').read()
            return (c['lane_held_bytes'] == 0 and c['lane_taken_bytes'] ==
                    c['lane_acked_bytes'] + c['lane_spilled_bytes'] +
                    c['lane_aside_bytes'] + c['lane_lost_bytes']) and c
        try:
            c = wait_for('balance', balanced, seconds, 0.05)
        except TimeoutError:
            c = role.counters('agent').read()
            raise AssertionError('bytes of lanes do not add up: ' + str(
                {k: v for k, v in c.items() if k.startswith('lane_') and k.endswith('_bytes')}))
        equal('conservation_broken', c['conservation_broken'], 0)
        return c

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
            child.stdin.close()
            child.stdout.close()
        super().close()


def says(child, word):
    line = child.stdout.readline().strip()
    equal('fleet says', line, word)


def leave(child):
    """Its standard input ends; it closes its lanes and is gone."""
    child.stdin.close()
    equal('exit status', child.wait(timeout=20), 0)


def words_at(path, at, form):
    with open(path, 'rb') as f:
        f.seek(at)
        return struct.unpack(form, f.read(struct.calcsize(form)))


def alive(role):
    check(f'{role.roles} lives', role.process.poll() is None, role.log())


# ---- the claims ----

def a_lane_outlives_its_process_until_an_agent_comes(h):
    lane = 1 << 20
    child = h.fleet('fill', 90, lane)
    equal('exit status', child.wait(timeout=10), 0)
    path = h.lane_of(child.pid)
    check('its lane is there', path is not None)
    head, = words_at(path, HEAD_AT, '<Q')
    check('it is 90 % full', lane * 0.88 < head <= lane, head)
    time.sleep(10)          # the claim: nobody is there for so long
    h.all()
    h.all_arrive([child.side])
    equal('worker_died', h.daemon.counters('agent')['worker_died'], 1)
    h.conserved(h.daemon)


def a_forked_child_lives_on_when_its_parent_dies(h):
    h.all()
    parent = h.fleet('fork', count=2)
    child = int(parent.stdout.readline())
    side = Side(parent.side.side + '-child', parent.p + 1)
    try:
        wait_for('the child logs', lambda: len(side.sets()[1]) > 20, 5)
        lane = wait_for("the child's own lane", lambda: h.lane_of(child), 5)
        check('two lanes', lane != h.lane_of(parent.pid))
        parent.kill()
        died = time.monotonic()
        wait_for('worker_died', lambda: h.daemon.counters('agent')['worker_died'] == 1, 1)
        check('seen within 1 s', time.monotonic() - died <= 1)
        before = len(side.sets()[1])
        wait_for('the child goes on', lambda: len(side.sets()[1]) > before + 20, 5)
        equal('lanes dead', h.daemon.counters('agent')['lane_dead'], 1)
        check('the child lives', os.path.exists(f'/proc/{child}'))
    finally:
        os.kill(child, signal.SIGKILL)
    h.all_arrive([parent.side, side])
    wait_for('both deaths are told', lambda: len(h.arrived.read().of('worker_died')) == 2)
    equal('whose', {int(a['pid']) for a in h.arrived.of('worker_died')},
          {parent.pid, child})
    h.conserved(h.daemon)


def forty_threads_leave_48_of_64_mib_and_lose_nothing(h):
    """40 threads in 12 processes, 6,000 records, at a rate their lanes can take."""
    mib = 1 << 20
    f = os.statvfs('/dev/shm')
    if f.f_blocks * f.f_frsize != 64 * mib:
        raise RuntimeError('not in a mount namespace of its own')
    h.all()
    least = [64 * mib]
    stop = threading.Event()

    def sample():
        while not stop.is_set():
            f = os.statvfs('/dev/shm')
            least[0] = min(least[0], f.f_bavail * f.f_frsize)
            time.sleep(0.002)
    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        children = [h.fleet('threads', 4 if i < 4 else 3, 150, 20) for i in range(12)]
        for child in children:
            says(child, 'written')
        refused = [c.side.sets()[2] for c in children]
        equal('refused', refused, [0] * 12)
        equal('accepted', [c.side.sets()[1] for c in children],
              [set(range(150 * (4 if i < 4 else 3))) for i in range(12)])
        for child in children:
            leave(child)
        h.all_arrive([c.side for c in children])
        equal('received', sum(map(len, h.arrived.seen.values())), 40 * 150)
    finally:
        stop.set()
        sampler.join()
    check('48 MiB stay free', least[0] >= 48 * mib, least[0] / mib)
    h.conserved(h.daemon)


def as_user(uid, what, *path, gid=None):
    """The errno of what(*path) as uid, 0 when it works."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            os.setgroups([])
            os.setresgid(gid or uid, gid or uid, gid or uid)
            os.setresuid(uid, uid, uid)
            what(*path)
            code = 0
        except OSError as e:
            code = e.errno
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def reads(path):
    os.close(os.open(path, os.O_RDONLY))


def writes(path):
    os.close(os.open(path, os.O_WRONLY))


class UserRole(Role):
    """A role of another user; copies of the binary are where all may reach."""

    def __init__(self, world, roles, sets, state, uid, gid, groups):
        super().__init__(world, roles, sets, state)
        open(self.log_path, 'w').close()
        self.popen = {'user': uid, 'group': gid, 'extra_groups': groups}

    def start(self):
        args = [os.path.join(self.world.dir, 'emplogd'), f'--role={self.roles}', f'--io={IO}']
        args += [f'--set={k}={v}' for k, v in self.sets.items()]
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(args, stderr=log, stdin=subprocess.DEVNULL, cwd='/', env=self.world.env, **self.popen)

        def is_ready():
            if self.process.poll() is not None:
                raise RuntimeError(f'ended with {self.process.returncode}:\n{self.log()}')
            return 'emplogd: ready' in self.log()
        wait_for('ready', is_ready)
        return self


def open_to_users(h, *uids):
    """Users may enter the world's directory; each has a place in it."""
    if os.geteuid() != 0:
        raise Skipped('needs root to become other users')
    os.chmod(h.dir, 0o755)
    os.chmod(h.ring_parent, 0o755)
    shutil.copy(EMPLOGD, os.path.join(h.dir, 'emplogd'))
    shutil.copy(FLEET, os.path.join(h.dir, 'fleet'))
    for uid in uids:
        os.mkdir(os.path.join(h.dir, str(uid)), 0o700)
        os.chown(os.path.join(h.dir, str(uid)), uid, uid)


def user_fleet(h, uid, *args, env=None, count=1):
    p = h.numbers
    h.numbers += count
    side = os.path.join(h.dir, str(uid), f'side-{p}')
    child = subprocess.Popen(
        [os.path.join(h.dir, 'fleet'), args[0], side, str(p)] + [str(a) for a in args[1:]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd='/',
        env=env or h.env, user=uid, group=uid, extra_groups=[])
    h.children.append(child)
    child.p, child.side = p, Side(side, p)
    return child


def three_users_share_a_ring_and_nothing_else(h):
    a, b, c, emplog = 21001, 21002, 21003, 21099
    open_to_users(h, a, b, c)
    os.mkdir(h.ring)
    os.chown(h.ring, b, emplog)
    os.chmod(h.ring, 0o3777)
    port = free_port()
    sets = {'common.state_dir': os.path.join(h.dir, str(b)), 'common.ring_dir': h.ring,
            'relay.listen': f'127.0.0.1:{port}', 'relay.http_listen': '',
            'agent.relay': f'127.0.0.1:{port}', 'agent.http_listen': ''}
    agent = UserRole(h, 'agent,relay,exporter', sets, 'b', b, b, [emplog])
    h.roles.append(agent)
    unasked = user_fleet(h, a, 'threads', 1, 1, 0)
    says(unasked, 'written')
    equal("an ordinary user's ring is not trusted unasked", unasked.side.sets()[1:], (set(), 1))
    leave(unasked)
    h.env['EMPLOG_RING_OWNER'] = str(b)
    first = user_fleet(h, a, 'threads', 1, 30, 1)
    says(first, 'written')
    path = h.lane_of(first.pid)
    st = os.stat(path)
    equal("A's lane", (st.st_uid, st.st_gid, st.st_mode & 0o7777), (a, emplog, 0o660))
    agent.start()
    h.arrived = Arrived(os.path.join(h.dir, str(b), 'relay/export'))
    h.all_arrive([first.side])
    equal('C reads', as_user(c, reads, path), errno.EACCES)
    equal('C writes', as_user(c, writes, path), errno.EACCES)
    equal('C truncates', as_user(c, os.truncate, path, 0), errno.EACCES)
    equal('C unlinks', as_user(c, os.unlink, path), errno.EPERM)
    equal('C renames', as_user(c, os.rename, path, path + 'x'), errno.EPERM)
    equal("C unlinks the agent's lock",
          as_user(c, os.unlink, os.path.join(h.ring, 'agent.lock')), errno.EPERM)
    equal('A reads its own', as_user(a, reads, path), 0)
    second = user_fleet(h, c, 'threads', 2, 30, 1)
    says(second, 'written')
    leave(first)
    leave(second)
    h.all_arrive([first.side, second.side])
    equal('refused', second.side.sets()[2], 0)

    class Place:
        roles = 'agent'

        @staticmethod
        def counters(role):
            from world import Counters
            return Counters(os.path.join(h.dir, str(b), role, 'counters'))
    h.conserved(Place)


# How a lane is spoiled: (name, what is done to its file, is its process told).

def cut_to_nothing(f, size):
    f.truncate(0)


def cut_in_the_data(f, size):
    f.truncate(DATA_AT + 8192)


def punched(f, size):
    libc = ctypes.CDLL(None, use_errno=True)
    r = libc.fallocate(f.fileno(), 3, ctypes.c_long(DATA_AT), ctypes.c_long(size - DATA_AT))
    check('fallocate', r == 0, ctypes.get_errno())


def written(at, data):
    def spoil(f, size):
        f.seek(at)
        f.write(data(size) if callable(data) else data)
        f.flush()
    return spoil


SPOILS = {
    'cut to nothing': cut_to_nothing,
    'cut in the data': cut_in_the_data,
    'hole punched': punched,
    'data overwritten': written(DATA_AT, lambda size: os.urandom(size - DATA_AT)),
    'head word': written(HEAD_AT, b'\xff' * 8),
    'head word zero': written(HEAD_AT, b'\0' * 8),
    'marks': written(MARKS_AT, os.urandom(1024)),
    'tail word': written(TAIL_AT, b'\xff' * 8),
    'control area': written(0, os.urandom(DATA_AT)),
    'unlinked': None,
}


def spoil_one(h, how, victim):
    """Spoils the lane of a producer that is stopped; ends the producer."""
    path = h.lane_of(victim.process.pid)
    check('the lane to be spoiled', path is not None, how)
    victim.process.send_signal(signal.SIGSTOP)
    if SPOILS[how] is None:
        os.unlink(path)
        victim.process.send_signal(signal.SIGCONT)
        return
    with open(path, 'r+b') as f:
        SPOILS[how](f, os.path.getsize(path))
    time.sleep(0.05)
    victim.kill()


def spoiled_lanes_harm_nobody_else(h):
    """While the agent drains them, one after the other."""
    h.all()
    c = h.daemon.counters('agent')
    good = [h.producer(burst=3, pause_ms=3) for _ in range(2)]
    wait_for('they are attached', lambda: c['lane_seen'] >= 3)
    for how in SPOILS:
        before = c['lane_seen']
        victim = h.producer(burst=8, pause_ms=2)
        wait_for('it logs', lambda: victim.sets()[0] > 100 and c['lane_seen'] > before)
        spoil_one(h, how, victim)
        alive(h.daemon)
        if SPOILS[how] is None:
            # Its process makes a new one; what lay in the old one arrives.
            wait_for('a new lane', lambda: h.lane_of(victim.process.pid), 5)
            before = len(victim.sets()[1])
            wait_for('goes on', lambda: len(victim.sets()[1]) > before + 50)
            victim.kill()
            good.append(victim)
    for p in good:
        p.end()
    wait_for('lanes are gone', lambda: len(glob.glob(os.path.join(h.ring, '*.lane'))) <= 1)
    wait_for('everything accepted has arrived',
             lambda: not h.arrived.read().missing(good), 20, 0.1)
    mine = {p.number for p in good}
    twice = [t for t in h.arrived.twice if t[0] in mine]
    check('records twice', not twice, twice[:4])
    c = h.conserved(h.daemon)
    check('spoiled lanes are counted', c['lane_spoiled'] >= 4, c['lane_spoiled'])
    alive(h.daemon)


def bytes_of_a_cut_lane_are_accounted(h):
    """The relay holds still, so that bytes wait in lanes when they are cut."""
    h.env['EMPLOGD_COMMON_RING_MAX'] = '256M'
    h.apart(common__ring_max='256M')
    good = h.producer(burst=5, pause_ms=5)
    wait_for('it logs', lambda: good.sets()[0] > 20)
    h.relay.process.send_signal(signal.SIGSTOP)
    # More than the sockets take; less than what makes the agent spill.
    victims = [h.fleet('fill', 45, 4 << 20) for _ in range(12)]
    for v in victims:
        equal('exit status', v.wait(timeout=10), 0)
    agent = h.agent.counters('agent')
    wait_for('the agent has them', lambda: agent['lane_dead'] >= len(victims), 5)
    for how, v in zip(('cut to nothing', 'cut in the data', 'hole punched',
                       'data overwritten') * 3, victims):
        path = h.lane_of(v.pid)
        with open(path, 'r+b') as f:
            SPOILS[how](f, os.path.getsize(path))
    h.relay.process.send_signal(signal.SIGCONT)
    good.kill()
    wait_for('everything accepted has arrived',
             lambda: not h.arrived.read().missing([good]), 20, 0.1)
    c = h.conserved(h.agent, 15)
    check('lanes that were cut are counted', c['lane_spoiled'] >= 2, c['lane_spoiled'])
    gone = c['lane_lost_bytes'] + h.relay.counters('relay')['recv_quarantined_bytes']
    check('their bytes are accounted', gone > 1 << 18, gone)
    left = lambda: [n for n in os.listdir(h.ring) if n.endswith('.lane')]
    wait_for("all but the agent's lane are gone", lambda: len(left()) <= 1, 10)


def a_hundred_open_while_the_agent_scans(h):
    h.all()
    child = h.fleet('crowd', 100, 8, count=100)
    sides = [Side(f'{child.side.side}-{i}', child.p + i) for i in range(100)]
    says(child, 'written')
    c = h.daemon.counters('agent')
    wait_for('all are attached', lambda: c['lane_open'] >= 100, 10)
    equal('none is judged dead', (c['lane_dead'], c['worker_died'], c['lane_bad']), (0, 0, 0))
    equal('all is accepted', sum(len(s.sets()[1]) for s in sides), 800)
    h.all_arrive(sides)
    equal('none is judged dead', (c['lane_dead'], c['worker_died']), (0, 0))
    leave(child)
    wait_for('all are closed', lambda: c['lane_open'] <= 1, 10)
    equal('none died', c['worker_died'], 0)
    h.conserved(h.daemon)


def open_fds(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def anon_kib(pid):
    with open(f'/proc/{pid}/status') as f:
        return int(re.search(r'RssAnon:\s+(\d+)', f.read()).group(1))


def ten_thousand_processes_leave_nothing(h):
    # The relay remembers their streams for an hour; the agent shall not.
    h.apart()
    pid = h.agent.process.pid
    c = h.agent.counters('agent')
    before = h.fleet('brief', 1000, 8)
    equal('exit status', before.wait(timeout=60), 0)
    wait_for('they are buried', lambda: c['lane_open'] <= 1, 10)
    fds, kib = open_fds(pid), anon_kib(pid)
    child = h.fleet('brief', 9000, 8)
    equal('exit status', child.wait(timeout=90), 0)
    h.all_arrive([before.side, child.side], 30)
    wait_for('all are buried', lambda: c['lane_open'] <= 1, 10)
    check('descriptors', open_fds(pid) <= fds + 2, fds, open_fds(pid))
    check('memory', anon_kib(pid) <= kib + 2048, kib, anon_kib(pid))
    names = os.listdir(h.ring)
    odd = [n for n in names if not n.endswith('.dead') and
           n not in ('knock', 'ring.ctl', 'agent.lock')]
    check("nothing but the agent's lane", len(odd) <= 1, odd[:5])
    dead = sum(os.path.getsize(os.path.join(h.ring, n)) for n in names
               if n.endswith('.dead'))
    check('dead lanes are within half the budget', dead <= 32 << 20, dead)
    equal('none died', c['worker_died'], 0)
    h.conserved(h.agent)


def gap_of(h, pid=None):
    """The sums of gap records."""
    got = h.arrived.read().of('emplog_gap')
    total = {s: sum(int(a.get(f'refused_{s}', 0)) for a in got) for s in SEVERITIES}
    return len(got), {s: n for s, n in total.items() if n}


def filled(h):
    """A producer whose lane is full, for nobody takes anything from it."""
    child = h.fleet('full', 256 << 10)
    says(child, 'full')
    return child


def refusals_are_told_exactly(h):
    """By the producer, and by the agent for one that is stopped or dead."""
    wrote, stopped, died = [Host() for _ in range(3)]
    try:
        hosts = (wrote, stopped, died)
        for one in hosts:
            one.apart()
            one.agent.process.send_signal(signal.SIGSTOP)
        children = [filled(one) for one in hosts]
        should = {'info': 11, 'warn': 7, 'error': 5}
        children[1].send_signal(signal.SIGSTOP)
        children[2].kill()
        for one in hosts:
            one.agent.process.send_signal(signal.SIGCONT)
        for one, child in zip(hosts, children):
            one.all_arrive([child.side])
        children[0].stdin.write('one more\n')
        children[0].stdin.flush()
        says(children[0], '0')
        for one, child, by_agent in zip(hosts, children, (False, True, True)):
            wait_for('the gap is told', lambda: gap_of(one)[0] > 0, 10, 0.05)
            c = one.agent.counters('agent')
            wait_for('refusals are counted', lambda: c['lane_refused'] == 23, 5)
            equal('the gap', gap_of(one)[1], should)
            equal('told by the agent', c['lane_gap_records'], int(by_agent))
            one.conserved(one.agent)
        children[1].send_signal(signal.SIGCONT)
        children[1].stdin.write('one more\n')
        children[1].stdin.flush()
        says(children[1], '0')
        stopped.all_arrive([children[1].side])
        equal('told once', gap_of(stopped), (1, should))
    finally:
        for one in (wrote, stopped, died):
            one.close()


def a_full_lane_and_a_full_queue_refuse_and_tell(h):
    """No relay: the spill fills up, then the lane; then the relay comes."""
    h.apart(start_relay=False, agent__queue_max='4M')
    agent = h.agent.counters('agent')
    crowd = h.producer(burst=20, pause_ms=5)
    wait_for('the spill is full', lambda: agent['queue_full'] > 0, 20)
    child = filled(h)
    crowd.kill()
    refused = child.side.sets()[2] + crowd.sets()[2]
    h.relay.start()
    h.all_arrive([child.side, crowd], 30)
    child.stdin.write('one more\n')
    child.stdin.flush()
    says(child, '0')
    h.all_arrive([child.side, crowd], 30)

    def told():
        return sum(gap_of(h)[1].values()) == refused
    wait_for(f'{refused} refusals are told', told, 10, 0.05)
    wait_for('refusals are counted', lambda: agent['lane_refused'] == refused, 5)
    h.conserved(h.agent, 15)


def killed_agents_count_no_byte_twice(h):
    h.apart()
    good = [h.producer(burst=10, pause_ms=10) for _ in range(2)]
    rng = random.Random(7)
    c = h.agent.counters('agent')
    for i in range(12):
        wait_for('they log', lambda: good[0].sets()[0] > 30 * (i + 1))
        stopped = i % 2 == 0
        if stopped:
            h.relay.process.send_signal(signal.SIGSTOP)
            wait_for('bytes are held', lambda: h.unacknowledged() > 65536, 5)
        time.sleep(rng.random() * 0.02)
        h.agent.kill()
        h.agent.start()
        equal('conservation_broken', c['conservation_broken'], 0)
        if stopped:
            h.relay.process.send_signal(signal.SIGCONT)
    for p in good:
        p.kill()
    h.all_arrive(good, 30)
    time.sleep(1.1)         # the agent checks itself once a second
    c = h.conserved(h.agent, 15)
    # The agent's own records are bytes of lanes too; nothing else is.
    made = sum(len(p.sets()[0:2][1]) for p in good)
    check('taken is what was written', c['lane_taken_bytes'] < made * 6200,
          c['lane_taken_bytes'], made)


def a_long_outage_ends_in_order(h):
    h.apart(agent__queue_max='8M')
    good = [h.producer(burst=6, pause_ms=10) for _ in range(3)]
    wait_for('they log', lambda: good[0].sets()[0] > 60)
    # Not killed: its exporter could write what was under way once more.
    equal('exit status', h.relay.stop(), 0)
    agent = h.agent.counters('agent')
    wait_for('the spill is at its bound', lambda: agent['queue_full'] > 0 or
             agent['queue_bytes'] >= 7 << 20, 20, 0.05)
    wait_for('connectors refuse', lambda: all(p.sets()[2] > 0 for p in good), 20, 0.05)
    spill = os.path.join(h.dir, 'agent/agent/spill')
    size = sum(os.stat(os.path.join(d, f)).st_blocks * 512
               for d, _, fs in os.walk(spill) for f in fs)
    check('bounded', size <= 9 << 20, size)
    status = subprocess.run(
        [EMPLOGD, f'--set=common.state_dir={h.dir}/agent',
         f'--set=common.ring_dir={h.ring}', '--set=common.role=agent', 'status'],
        capture_output=True, text=True, env=h.env, timeout=10).stdout
    kept = re.search(r'^kept: (\d+) records on disk', status, re.M)
    check('status says how many are kept', kept and int(kept.group(1)) > 100, status)
    h.relay.start()
    wait_for('the backlog goes', lambda: agent['queue_held_records'] == 0, 30, 0.05)
    for p in good:
        p.kill()
    h.all_arrive(good, 30)
    for p in good:
        check('two flows at most, each in order', h.arrived.flows(p.number) <= 2,
              p.number, h.arrived.flows(p.number))
    h.conserved(h.agent, 15)


def a_user_needs_neither_root_nor_configuration(h):
    uid = 21011
    open_to_users(h, uid)
    run = os.path.join(h.dir, str(uid), 'run')
    os.mkdir(run, 0o700)
    os.chown(run, uid, uid)
    env = {'PATH': os.environ['PATH'], 'XDG_RUNTIME_DIR': run,
           'HOME': os.path.join(h.dir, str(uid)), 'EMPLOG_CONSOLE': 'off'}
    h.env = env
    early = user_fleet(h, uid, 'threads', 1, 10, 0, env=env)
    says(early, 'written')
    h.ring = os.path.join(run, 'emplog')
    check('its ring is its own', h.lane_of(early.pid) is not None, os.listdir(run))
    port = free_port()
    sets = {'relay.listen': f'127.0.0.1:{port}', 'relay.http_listen': '',
            'agent.relay': f'127.0.0.1:{port}', 'agent.http_listen': ''}
    agent = UserRole(h, 'agent,relay,exporter', sets, 'user', uid, uid, [])
    h.roles.append(agent)
    agent.start()
    late = user_fleet(h, uid, 'threads', 1, 10, 0, env=env)
    says(late, 'written')
    state = os.path.join(h.dir, str(uid), '.local/state/emplogd')
    h.arrived = Arrived(os.path.join(state, 'relay/export'))
    h.all_arrive([early.side, late.side])
    check('nobody is told to configure', 'EMPLOG_RING_DIR' not in agent.log(), agent.log())
    for child in (early, late):
        leave(child)


def without_a_ring_lines_go_to_the_console(h):
    def say(**env):
        env = {'EMPLOG_CONSOLE': 'fallback', **env}
        r = subprocess.run([FLEET, 'say'], capture_output=True, text=True, timeout=10,
                           env={**h.env, **env})
        equal('exit status', r.returncode, 0)
        return r.stdout.strip(), r.stderr.splitlines()
    open(h.ring, 'w').close()           # no directory
    said, lines = say()
    equal('results', said.split(' ')[:2], [str(-errno.ENOSYS)] * 2)
    check('the state says why', said.split(' ', 2)[2].startswith('console: ' + h.ring), said)
    equal('lines', len(lines), 2)
    check('an info', re.fullmatch(r'\d{4}-\d\d-\d\dT[\d:.]+Z INFO an info k=v .*', lines[0]), lines)
    check('a warning', re.fullmatch(r'\S+ WARN a warning k=v .*', lines[1]), lines)
    equal('none where the console is off', say(EMPLOG_CONSOLE='off')[1], [])
    said, lines = say(EMPLOG_DISABLED='1')
    equal('disabled', (said, lines), ('0 0 disabled: EMPLOG_DISABLED is set', []))
    os.unlink(h.ring)
    said, lines = say(EMPLOG_DISABLED='1')
    equal('disabled', (said, lines), ('0 0 disabled: EMPLOG_DISABLED is set', []))
    said, lines = say(EMPLOG_CONSOLE='on')
    equal('results', said.split(' ')[:3], ['0', '0', 'lane'])
    equal('both', len(lines), 2)
    equal('no lines beside a lane', say()[1], [])


CLAIMS = [
    ten_thousand_processes_leave_nothing,
    refusals_are_told_exactly,
    spoiled_lanes_harm_nobody_else,
    a_long_outage_ends_in_order,
    killed_agents_count_no_byte_twice,
    a_full_lane_and_a_full_queue_refuse_and_tell,
    bytes_of_a_cut_lane_are_accounted,
    a_hundred_open_while_the_agent_scans,
    forty_threads_leave_48_of_64_mib_and_lose_nothing,
    a_lane_outlives_its_process_until_an_agent_comes,
    a_forked_child_lives_on_when_its_parent_dies,
    three_users_share_a_ring_and_nothing_else,
    a_user_needs_neither_root_nor_configuration,
    without_a_ring_lines_go_to_the_console,
]
# Has a /dev/shm of 64 MiB, as Docker gives it, in a mount namespace of its own.
MOUNTED = {forty_threads_leave_48_of_64_mib_and_lose_nothing}


def mounted(claim):
    script = 'mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm && exec "$@"'
    probe = subprocess.run(['unshare', '-m', 'sh', '-c', script, 'sh', 'true'],
                           capture_output=True, text=True)
    if probe.returncode != 0:
        raise Skipped('no mount namespace: ' + probe.stderr.strip())
    r = subprocess.run(['unshare', '-m', 'sh', '-c', script, 'sh', sys.executable,
                        os.path.abspath(__file__), '--here', claim.__name__],
                       capture_output=True, text=True, timeout=90)
    if r.returncode != 0:
        raise AssertionError(r.stdout.strip() + r.stderr[-3000:])


def run(claim, here):
    start = time.monotonic()
    name = claim.__name__
    try:
        if claim in MOUNTED and not here:
            mounted(claim)
        else:
            with Host() as h:
                claim(h)
    except Skipped as e:
        print(f'skipped {name}: {e}', flush=True)
        return None
    except Exception as e:
        why = ' '.join(str(e).split())
        print(f'not ok {name} {why[:600]}', flush=True)
        traceback.print_exc()
        return False
    print(f'ok {name} ({time.monotonic() - start:.1f} s)', flush=True)
    return True


def main():
    words = sys.argv[1:]
    here = words[:1] == ['--here']
    if here:
        words = words[1:]
    claims = [c for c in CLAIMS if not words or any(w in c.__name__ for w in words)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda c: run(c, here), claims))
    print(f'{results.count(True)} passed, {results.count(False)} failed')
    return 1 if False in results or True not in results else 0


if __name__ == '__main__':
    sys.exit(main())
