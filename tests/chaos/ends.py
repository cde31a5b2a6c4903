# SPDX-License-Identifier: ISC
"""ends.py - producers that go mad, roles that end full of work, and formats"""

import glob
import hashlib
import mmap
import os
import re
import struct

from chain import Chain, seeded
from claims import check, claim, equal
from fleet import audit
from life import GRACE, SLACK, stop_timed
from world import free_port, wait_for


def lane_of(pid):
    """The file of a lane that the process has mapped, and a map of it; or None."""
    with open(f'/proc/{pid}/maps') as f:
        paths = {line.split(maxsplit=5)[5].rstrip() for line in f if '.lane' in line}
    for path in paths:
        try:
            with open(path, 'r+b') as f:
                return path, mmap.mmap(f.fileno(), 0)
        except (OSError, ValueError):       # it was removed just now
            continue
    return None


CONTROL, TAIL = 65536, 8192
PLACES = {'all': (0, None), 'control area': (0, CONTROL), 'head': (4096, 4104),
          'tail': (TAIL, TAIL + 8), 'marks': (12288, 16384), 'jobs': (16384, CONTROL),
          'data': (CONTROL, None)}


def drained_lane(victim):
    """One the agent knows: from here on what is written over it is to be noticed."""
    def look():
        found = lane_of(victim.process.pid)
        return found and struct.unpack_from('<Q', found[1], TAIL)[0] > 0 and found
    return wait_for('the victim has a lane that is drained', look, 30)


def scribble(rng, victim, place):
    """Over that part of its lane, as its process may, while it logs: which lane."""
    path, m = drained_lane(victim)
    stream = os.path.basename(path)[:32]
    first, end = PLACES[place]
    end = end or len(m)
    until = victim.sets()[0] + 2000
    while victim.sets()[0] < until:
        for _ in range(rng.choice((1, 10, 100))):
            n = min(rng.choice((1, 4, 8, 64, 4096)), end - first)
            at = rng.randrange(first, end - n + 1)
            if os.path.exists(path):        # not what is left to an audit
                m[at:at + n] = rng.randbytes(n)
    m.close()
    return stream


@claim(epoll=True)
def a_producer_that_scribbles_over_its_lane_harms_nobody_else(w):
    rng = seeded('scribble')
    c = Chain(w, length=1000)
    w.numbers = rng.getrandbits(31)         # whom no scribbling can be taken for
    c.load(2, burst=5, pause_ms=5)
    w.numbers = 0
    victims = [w.producer(20, 1, length=1000) for _ in range(2)]
    c.others(victims)
    mad = {scribble(rng, rng.choice(victims), place) for place in list(PLACES) * 2}
    for v in victims:
        equal('a victim ended with', v.process.poll(), None)
        v.end()
    c.end_load()
    wait_for('lanes are buried', lambda: len(w.lanes()) <= 1)
    n = c.verdict(refused=None, lines=200, audited=False)
    _, said = audit(c.agent, c.relay)
    for line in said.splitlines():      # but by what is written over none can go
        check(said, not line.startswith('MISSING') or any(f'stream {x} ' in line for x in mad))
    spoilt, bad = (role.counters()[k] for role, k in (
        (c.agent, 'lane_spoiled'), (c.relay, 'recv_quarantined_bytes')))
    check(f'{spoilt} lanes were spoilt, {bad} bytes are in quarantine', spoilt > 0)
    print(f'scribbled: {spoilt} lanes spoilt, {bad} bytes in quarantine, {n} records of others',
          flush=True)


def ends_in_time(role):
    status, took = stop_timed(role)
    check(f'{role.state}: exit {status} after {took:.2f} s',
          status == 0 and took <= GRACE + SLACK)


@claim(epoll=True)
def sigterm_with_every_peer_dead_and_full_of_work_keeps_everything(w):
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}').start()
    c = Chain(w, length=1000, exporter=e, relay__next=f'127.0.0.1:{port}')
    c.load(4, burst=20, pause_ms=5)
    wait_for('it delivers', lambda: c.received.read().seen)
    ends_in_time(e)
    held = c.relay.counters()
    wait_for('the relay is full of work', lambda: held['queue_held_records'] >= 8000, 30)
    ends_in_time(c.relay)
    held = c.agent.counters()
    wait_for('the agent is full of work', lambda: held['queue_held_records'] >= 8000 and
             held['lane_held_bytes'] > 0, 30)
    ends_in_time(c.agent)
    wait_for('lanes are full', lambda: all(p.sets()[2] > 0 for p in w.producers), 30)
    for role in c.roles():
        role.start()
    n = c.verdict(refused=None)
    print(f'ended full of work: {n} records', flush=True)


# ---- formats ----

MAGIC = b'EMQF'         # in a frame, before its version; src/queue/frame.h


def set_versions(path, version):
    """In all frames of a segment, or in the head of another file."""
    with open(path, 'r+b') as f:
        data = f.read()
        places = [8] if not path.endswith('.seg') else [
            m.end() for m in re.finditer(MAGIC, data) if m.start() % 8 == 0]
        for at in places:
            f.seek(at)
            f.write(bytes([version]))


def sums(paths):
    return {p: hashlib.sha256(open(p, 'rb').read()).hexdigest() for p in paths}


@claim(epoll=True)
def lanes_and_queues_of_the_next_version_wait_for_it(w):
    """Full ones, as a downgrade finds them; then the upgrade comes."""
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}').start()
    c = Chain(w, length=1000, exporter=e, relay__next=f'127.0.0.1:{port}',
              relay__queue_max='16m', agent_sets={'agent__queue_max': '16m'})
    before = c.load(3, burst=20, pause_ms=5)
    wait_for('it delivers', lambda: c.received.read().seen)
    equal('exit', e.stop(), 0)
    wait_for('the relay is full', lambda: c.relay.counters()['queue_full'] > 0, 30)
    equal('exit', c.relay.stop(), 0)
    wait_for('the agent is full', lambda: c.agent.counters()['queue_full'] > 0, 30)
    equal('exit', c.agent.stop(), 0)
    wait_for('lanes are full', lambda: all(p.sets()[2] > 0 for p in before), 30)
    c.end_load()

    old = w.lanes() + glob.glob(c.agent.place('agent/spill/*.seg')) + \
        glob.glob(c.relay.place('relay/0/*.seg'))
    books = [role.place(role.roles, name) for role in c.roles() for name in ('counters', 'fates')]
    for path in old + books + [os.path.join(w.ring, 'ring.ctl')]:
        set_versions(path, 2)
    then = sums(old)
    for role in c.roles():
        role.start()
    w.producers = []
    new = {p.number for p in c.load(2, burst=5, pause_ms=5)}
    wait_for('records arrive', lambda: new <= c.received.read().seen.keys())
    c.end_load()
    c.all_there(refused=None)
    for role, queue in ((c.agent, 'agent/spill'), (c.relay, 'relay/0')):
        n = sum(path.startswith(role.place(queue)) for path in old)
        check(role.log(0), f"{n} segments under '{role.place(queue)}' are of another version than "
              "this emplogd reads (1), and left alone" in role.log(0))
        said = role.verb('queue', 'ls', role.place(queue))
        check(said.stdout, said.returncode == 1 and said.stdout.count(
            'cannot be read: it is of version 2, this emplogd reads version 1') == n)
    equal('lanes that are told', c.agent.log_count('is of another version than this'), 3)
    for role in c.roles():
        equal('exit', role.stop(), 0)
    equal('what the other version left', sums(old), then)

    for path in old:
        set_versions(path, 1)
    for role in c.roles():
        role.start()
    w.producers += before
    n = c.verdict(refused=None)
    print(f'across a version: {n} records', flush=True)
