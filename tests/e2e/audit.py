# SPDX-License-Identifier: ISC
"""audit.py - emplogd audit and trace: what is not lost is found, or counted

That what is lost is named has vanish.py.
"""

import glob
import os
import re
import socket
import struct

from backend import Answer
from claims import check, claim, equal
from fleet import agent, audit, backend, conserved, give, relay, states
from world import free_port, wait_for


def lane_of(w):
    """(id, head, tail) of the caller's lane."""
    for path in w.lanes() + w.lanes('.dead'):
        with open(path, 'rb') as f:
            b = f.read(16384)
        if not struct.unpack_from('<I', b, 56)[0] & 2:      # not the agent's own
            return (os.path.basename(path)[:32], struct.unpack_from('<Q', b, 4096)[0],
                    struct.unpack_from('<Q', b, 8192)[0])
    raise AssertionError('there is no lane')


class Log:
    """A caller whose records' places in its lane are known."""

    def __init__(self, w):
        self.w, self.caller, self.places = w, w.caller(WORKER_ID='audited'), []

    def log(self, n, text='text', wait=True):
        """One record after the other, each a chunk of its own where wait."""
        for _ in range(n):
            start = lane_of(self.w)[1] if self.w.lanes() and self.places else 0
            self.caller.log(f'{text}-{len(self.places)}', job=f'job-{len(self.places)}')
            self.places.append((start, lane_of(self.w)[1]))
            if wait:
                wait_for('the record has left', lambda: lane_of(self.w)[2] == lane_of(self.w)[1])

    def uid(self, k):
        return f'{lane_of(self.w)[0]}:{self.places[k][0]}'


def named(said, hop, log, k):
    """It names the hop and exactly the range of record k."""
    stream, at = lane_of(log.w)[0], log.places[k]
    found = re.findall(r'^MISSING   (.*?)(?: of \'[^\']*\')?: stream ([0-9a-f]{32}) '
                       r'bytes (\d+)-(\d+):', said, re.M)
    if found != [(hop, stream, str(at[0]), str(at[1]))]:
        raise AssertionError(f'not {hop} {stream} {at}:\n{said}')
    check(said, said.count('MISSING') == 1 and said.endswith('audit: records are missing\n'))


def missing(hop, log, k, first, *others):
    """What a queue calls done counts when that is on its disk: 200 ms later."""
    said = ''

    def is_missed():
        nonlocal said
        status, said = audit(first, *others)
        return status == 1
    wait_for('what is dropped is missed', is_missed, every=0.1)
    named(said, hop, log, k)


def refusing(*jobs):
    """A record of these jobs goes to the dead letters."""
    return lambda request: Answer(413 if any(
        r.attributes.get('job_id') in jobs for r in request.records) else 200)


# ---- nothing is lost ----

@claim(epoll=True)
def audit_of_a_running_chain_and_a_stopped_one_finds_it_conserved(w):
    b = backend(w)
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}', exporter__endpoint=b.url).start()
    r = relay(w, relay__next=f'127.0.0.1:{port}')
    a = agent(w, r.port)
    p = w.producer(10, 20, count=400)
    for _ in range(3):
        conserved(a, r, e)          # while records are on their way
    wait_for('all is issued', lambda: p.process.poll() is not None)
    wait_for('all is delivered', lambda: w.unacknowledged() == 0 and
             r.counters()['queue_held_records'] == 0 and
             e.counters()['queue_held_records'] == 0 and
             e.counters()['export_done_records'] >= 400)
    said = conserved(a, r, e)
    check(said, 'records = ' in said and "exporter  '" in said)
    for role in (a, r, e):
        equal('exit', role.stop(), 0)
    check(said, 'not running' in conserved(a, r, e))
    check('from its other end', 'not running' in conserved(e, r, a))


@claim()
def audit_finds_what_waits_in_lane_spill_and_queue_conserved(w):
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url)
    a = agent(w, r.port)
    log = Log(w)
    log.log(5)
    r.stop()
    log.log(5, wait=False)
    wait_for('spilled', lambda: a.counters()['queue_held_records'] > 0)
    conserved(a, r)
    a.kill()
    log.log(5, wait=False)
    said = conserved(a, r)
    check(said, re.search(r'^lanes .* written, [1-9]', said, re.M) is not None)


@claim()
def audit_of_a_local_export_looks_for_each_record(w):
    r = relay(w)
    a = agent(w, r.port)
    log = Log(w)
    log.log(20)
    give(r, range(30))
    wait_for('exported', lambda: r.counters()['export_done_records'] >= 50)
    wait_for('done', lambda: r.counters()['queue_held_records'] == 0)
    conserved(a, r)
    for role in (a, r):
        role.stop()
    # A line that somebody takes out of the export is missed.
    path = glob.glob(os.path.join(w.dir, 'relay/relay/export/logs.jsonl'))[0]
    with open(path) as f:
        lines = f.readlines()
    with open(path, 'w') as f:
        f.writelines(line for line in lines if '"text-7"' not in line)
    missing('export', log, 7, a, r)


@claim()
def audit_says_when_it_cannot_look(w):
    r = relay(w, start=False)
    status, said = audit(r)
    check(said, status == 2 and 'no role has run' in said)
    r.start()
    give(r, range(3))
    r.stop()
    status, said = audit(r)
    equal('exit of an audit of a relay alone', (status, said.count('MISSING')), (0, 0))
    counters = os.path.join(w.dir, 'relay/relay/counters')
    with open(counters, 'wb') as f:
        f.write(b'nothing of ours')
    status, said = audit(r)
    check(said, status == 2 and 'cannot be read' in said)
    status, said = audit(r, *[r] * 16)
    check(said, status == 78)


@claim()
def audit_sees_a_stream_a_relay_has_lost(w):
    """A relay's queue is put back as it was before: what came since is missing."""
    r = relay(w)
    a = agent(w, r.port)
    log = Log(w)
    log.log(3)
    wait_for('exported', lambda: r.counters()['export_done_records'] >= 3)
    r.stop()
    state = os.path.join(w.dir, 'relay/relay/0')
    old = {p: open(p, 'rb').read() for p in glob.glob(state + '/*.seg')}
    r.start()
    log.log(1)
    wait_for('exported', lambda: r.counters()['export_done_records'] >= 4)
    for role in (a, r):
        role.stop()
    for p in glob.glob(state + '/*.seg'):
        os.unlink(p)
    for p, b in old.items():
        with open(p, 'wb') as f:
            f.write(b)
    status, said = audit(a, r)
    stream, at = lane_of(w)[0], log.places[3]
    check(said, status == 1 and
          f'MISSING   lane -> relay: stream {stream} bytes {at[0]}-{at[1]}:' in said)


@claim()
def audit_with_one_of_two_relays_does_not_say_missing(w):
    """What the other one has cannot be seen from here."""
    one, other = relay(w, state='one'), relay(w, state='other')
    a = agent(w, one.port, start=False)
    a.sets['agent.relay'] += f',127.0.0.1:{other.port}'
    a.start()
    log = Log(w)
    log.log(3)
    (one if one.counters()['recv_records'] > 0 else other).kill()
    log.log(3)
    conserved(a, one, other)
    for relay_here in (one, other):
        status, said = audit(a, relay_here)
        check(f'{status}: {said}', status == 2 and 'a relay that is not here' in said)
        check(said, 'MISSING' not in said)


@claim()
def audit_knows_what_is_in_quarantine(w):
    """Bytes that are no records are kept by the relay, and are not missing."""
    r = relay(w)
    a = agent(w, r.port, start=False)
    log = Log(w)
    log.log(3, wait=False)
    path = w.lanes()[0]
    at = log.places[1][0]
    with open(path, 'r+b') as f:
        f.seek(65536 + at)
        f.write(b'\xc1' * 20)
    a.start()
    wait_for('quarantined', lambda: r.counters()['recv_quarantined_bytes'] > 0)
    wait_for('the lane is done', lambda: w.unacknowledged() == 0)
    for role in (a, r):
        conserved(a, r)
        role.stop()
    conserved(a, r)
    traced(f'{lane_of(w)[0]}:{at}', ['relay ', 'in quarantine: no record'], a, r)


@claim()
def audit_finds_letters_conserved_that_were_replayed_or_dropped(w):
    refused = ['job-1', 'job-2', 'job-3']
    b = backend(w, usual=lambda request: refusing(*refused)(request))
    r = relay(w, exporter__endpoint=b.url)
    a = agent(w, r.port)
    log = Log(w)
    log.log(5)
    wait_for('letters', lambda: r.counters()['export_dead_records'] == 3)
    conserved(a, r)
    refused.remove('job-1')
    for what, counter, n in ((['replay'], 'export_dead_replayed', 3),
                             (['drop', '--yes'], 'export_dead_dropped', 2)):
        s = r.verb('dlq', *what)
        equal(s.stdout + s.stderr, s.returncode, 0)
        equal(counter, r.counters()[counter], n)
        conserved(a, r)
    for role in (a, r):
        role.stop()
    conserved(a, r)


def forward_chunks(port, numbers):
    """A Forward sender: each chunk has an id of its own, and so a stream."""
    with socket.create_connection(('127.0.0.1', port), timeout=60) as s:
        for first in range(numbers.start, numbers.stop, 500):
            some = range(first, min(first + 500, numbers.stop))
            s.sendall(b''.join(
                b'\x93\xa1t\xc4\x10\x92\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x00\x81\xa1k\xa1v'
                b'\x81\xa5chunk\xa8' + b'%08d' % n for n in some))
            left = len(some) * len(b'\x81\xa3ack\xa800000000')
            while left > 0:
                got = len(s.recv(left))
                check('the relay closed', got > 0)
                left -= got


@claim()
def audit_of_more_streams_than_are_noted_finds_them_conserved(w):
    b = backend(w)
    r = relay(w, exporter__endpoint=b.url)
    a = agent(w, r.port)
    log = Log(w)
    log.log(2)                      # noted before all others, and again behind them
    forward_chunks(r.port, range(5000))
    wait_for('done', lambda: r.counters()['export_done_records'] >= 5002)
    log.log(2)
    wait_for('done', lambda: r.counters()['queue_done_records'] >= 5004)
    check('forgotten', 'too long ago to be remembered' in conserved(a, r))
    r.stop()
    conserved(a, r)


@claim()
def audit_of_a_relay_that_exported_before_it_sent_on_finds_it_conserved(w):
    b = backend(w)
    r = relay(w, exporter__endpoint=b.url)
    a = agent(w, r.port)
    log = Log(w)
    log.log(3)
    wait_for('exported', lambda: r.counters()['queue_done_records'] >= 3)
    r.stop()
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}', exporter__endpoint=b.url).start()
    r.sets['relay.next'] = f'127.0.0.1:{port}'
    r.start()
    log.log(3)
    wait_for('sent on', lambda: r.counters()['queue_done_records'] >= 6)
    conserved(a, r, e)
    # With the one behind it out of sight, what it had sent on is not missing.
    conserved(a, r)


@claim()
def audit_believes_what_was_done_before_anybody_noted_it(w):
    """As after an update from a version that had no such file."""
    b = backend(w)
    r = relay(w, exporter__endpoint=b.url)
    a = agent(w, r.port)
    log = Log(w)
    log.log(3)
    wait_for('done', lambda: r.counters()['queue_done_records'] >= 3)
    for role in (a, r):
        role.stop()
        os.unlink(os.path.join(w.dir, role.state, role.state, 'fates'))
    check('without', 'cannot be read' in conserved(a, r))
    for role in (r, a):
        role.start()
    log.log(3)
    wait_for('done', lambda: r.counters()['queue_done_records'] >= 6)
    conserved(a, r)


# ---- emplogd trace ----

def trace(what, first, *others):
    s = first.verb('trace', what, *states(*others), timeout=60)
    return s.returncode, s.stdout + s.stderr


def traced(what, words, first, *others):
    """Each of the words, in this order, once what is on its way has arrived."""
    said = ''

    def is_said():
        nonlocal said
        said = trace(what, first, *others)[1]
        at = 0
        for word in words:
            at = said.find(word, at)
            if at < 0:
                return False
        return True
    try:
        wait_for('what trace says', is_said, every=0.1)
    except TimeoutError:
        raise AssertionError(f'not {words}: {said}') from None
    equal('exit', trace(what, first, *others)[0], 0)


@claim()
def trace_says_where_a_record_is_on_each_step_of_its_way(w):
    b = backend(w)
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}', exporter__endpoint=b.url)
    r = relay(w, start=False, relay__next=f'127.0.0.1:{port}')
    a = agent(w, r.port, start=False)
    log = Log(w)
    log.log(1, wait=False)
    a.start()
    uid = log.uid(0)
    traced(uid, [uid, 'lane ', 'acknowledged by a relay, or spilled', 'agent ',
                 'spilled, waits for the relay'], a, r, e)
    r.start()
    traced(uid, ['agent ', 'was spilled, sent and acknowledged', 'relay ',
                 'waits in the queue'], a, r, e)
    e.start()
    traced(uid, ['relay ', 'sent on and acknowledged', 'exporter ',
                 'done: answered by the backend'], a, r, e)
    a.kill()
    log.log(1, wait=False)
    traced(log.uid(1), ['lane ', 'waits to be acknowledged'], a, r, e)
    status, said = trace('0' * 32 + ':7', a, r, e)
    check(said, status == 1 and 'unknown' in said)


@claim()
def trace_finds_all_records_of_a_job(w):
    r = relay(w)
    a = agent(w, r.port)
    log = Log(w)
    log.log(3)
    log.caller.tell('started job-1')
    log.caller.log('one more', job='job-1')
    traced('job-1', [log.uid(1), 'relay ', 'done: in the local export', 'in progress'], a, r)
    check('not of the others', log.uid(0) not in trace('job-1', a, r)[1])
    status, said = trace('job-99', a, r)
    check(said, status == 1 and 'no record of it is known here' in said)
    # When the lane is gone and the queue empty, the export still knows.
    log.caller.leave('close')
    for role in (a, r):
        role.stop()
    for path in w.lanes() + w.lanes('.dead'):
        os.unlink(path)
    traced('job-2', ['done: in the local export'], r)


@claim()
def trace_says_what_a_backend_said_of_a_dead_letter(w):
    b = backend(w, usual=lambda request: Answer(413 if any(
        r.attributes.get('job_id') == 'job-1' for r in request.records) else 200))
    r = relay(w, exporter__endpoint=b.url)
    a = agent(w, r.port)
    log = Log(w)
    log.log(3)
    wait_for('a dead letter', lambda: r.counters()['export_dead_records'] == 1)
    for what in (log.uid(1), 'job-1'):
        traced(what, ['relay ', 'done: a dead letter', 'refused   too large 413'], a, r)
    conserved(a, r)


# ---- no false alarm ----

@claim()
def audit_misses_nothing_while_each_role_is_killed_and_segments_go(w):
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}',
               exporter__queue_max='4M').start()
    r = relay(w, relay__next=f'127.0.0.1:{port}', relay__queue_max='4M')
    a = agent(w, r.port, agent__queue_max='4M')
    producers = [w.producer(20, 10, length=2500) for _ in range(2)]
    faults = []
    for k in range(12):
        victim = (a, r, e)[k % 3]
        before = e.counters()['export_done_records']
        victim.kill()
        status, said = audit(a, r, e)
        if status != 0:
            faults.append(f'without {victim.roles}: {said}')
        victim.start()
        wait_for('it goes on', lambda: e.counters()['export_done_records'] > before + 200, 30)
        status, said = audit(a, r, e)
        if status != 0:
            faults.append(f'with {victim.roles} again: {said}')
    for p in producers:
        p.kill()
    wait_for('all is delivered', lambda: w.unacknowledged() == 0 and all(
        x.counters()['queue_held_records'] == 0 for x in (a, r, e)), 30)
    status, said = audit(a, r, e)
    if status != 0:
        faults.append(f'at the end: {said}')
    check('\n'.join(faults), not faults)
    check('segments went', not os.path.exists(os.path.join(
        w.dir, 'relay/relay/0/0000000000000001.seg')))
