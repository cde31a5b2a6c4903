# SPDX-License-Identifier: ISC
"""queues.py - emplogd queue: ls, check, cat, export and repair of real queues"""

import glob
import json
import os
import socket

from claims import check, claim, equal
from fleet import arrive, arrive_locally, backend, give, numbers, relay
from world import wait_for


def queue_of(w, role):
    return os.path.join(w.dir, role.state, 'relay', '0')


def held(w, count=6):
    """A relay that cannot deliver, and has so many chunks of one record."""
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url)
    for n in range(count):
        give(r, [n])
    return r, queue_of(w, r)


def newest(queue):
    return max(glob.glob(os.path.join(queue, '*.seg')))


def oldest(queue):
    return min(glob.glob(os.path.join(queue, '*.seg')))


def spoil(path, text):
    """One bit of the first place where the text stands."""
    with open(path, 'r+b') as f:
        at = f.read().index(text)
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))
    return at


def in_file(path):
    """Numbers of the records in a file of OTLP/JSON lines."""
    got = []
    with open(path) as f:
        for line in f:
            for resource in json.loads(line)['resourceLogs']:
                for scope in resource['scopeLogs']:
                    for rec in scope['logRecords']:
                        got += [int(a['value']['intValue']) for a in rec['attributes']
                                if a['key'] == 'n']
    return got


@claim()
def a_queue_is_looked_at_beside_the_relay_that_has_it_open(w):
    r, queue = held(w)
    who = f'(emplogd, pid {r.process.pid})'
    s = r.verb('queue', 'ls', queue)
    check(s.stdout + s.stderr, s.returncode == 0 and who in s.stdout)
    check(s.stdout, '0..5' in s.stdout and '6 not delivered, being written' in s.stdout)
    s = r.verb('queue', 'check', queue)
    check(s.stdout + s.stderr, s.returncode == 0 and who in s.stdout)
    check(s.stdout, s.stdout.startswith('clean: 1 segments, 6 frames, 6 records intact, 6 of'))
    s = r.verb('queue', 'cat', queue)
    check(s.stdout + s.stderr, s.returncode == 0 and s.stdout.count('\n') == 6)
    check(s.stdout, 'numbered' in s.stdout and 'record 5' in s.stdout)
    s = r.verb('queue', 'cat', '--json', queue)
    equal('numbers', [json.loads(line)['n'] for line in s.stdout.splitlines()], list(range(6)))
    s = r.verb('queue', 'repair', queue)
    equal('exit of repair', s.returncode, 2)
    check(s.stderr, f'is open in another process {who}: stop it first' in s.stderr)
    equal('it works on', (give(r, [6]), r.stop()), (None, 0))


@claim()
def what_is_not_delivered_is_carried_away_in_a_file(w):
    r, queue = held(w)
    r.stop()
    lines, messages = os.path.join(w.dir, 'lines'), os.path.join(w.dir, 'messages')
    s = r.verb('queue', 'export', queue, lines)
    check(s.stdout + s.stderr, s.returncode == 0 and '6 records in 6 chunks' in s.stdout)
    equal('mode', os.stat(lines).st_mode & 0o777, 0o600)
    equal('numbers', in_file(lines), list(range(6)))
    s = r.verb('queue', 'export', queue, lines)
    check(s.stderr, s.returncode == 2 and 'cannot be made: File exists' in s.stderr)
    equal('exit', r.verb('queue', 'export', '--format=forward', queue, messages).returncode, 0)

    other = relay(w, state='other')
    with open(messages, 'rb') as f:
        body = f.read()
    for twice in (False, True):             # the second time it knows them all
        with socket.create_connection(('127.0.0.1', other.port)) as c:
            c.sendall(body)
            acks, ended = 0, b''
            while acks < 6:
                ended += c.recv(65536)
                acks = ended.count(b'\xa3ack')
    arrive_locally(w, other, range(6))
    wait_for('duplicates', lambda: other.counters()['recv_dup_records'] >= 6)


@claim()
def a_damaged_record_is_found_quarantined_and_the_others_delivered(w):
    r, queue = held(w)
    r.stop()
    path = newest(queue)
    at = spoil(path, b'record 3')
    s = r.verb('queue', 'check', queue)
    equal('exit of check', s.returncode, 1)
    check(s.stdout, os.path.basename(path) + ': bytes ' in s.stdout)
    check(s.stdout, 'a frame whose checksum is another; 3 records in 3 frames intact before, '
          '2 in 2 behind; sequence 3 to 3 missing' in s.stdout)
    first, last = (int(x) for x in s.stdout.split(': bytes ')[1].split(':')[0].split(' to '))
    check(f'{at} in {first} to {last}', first <= at < last)
    s = r.verb('queue', 'cat', queue)
    check(s.stderr, s.returncode == 1 and '1 places are damaged' in s.stderr)
    equal('lines', s.stdout.count('\n'), 5)
    with open(path, 'rb') as f:
        f.seek(first)
        piece = f.read(last - first)

    s = r.verb('queue', 'repair', queue)
    check(s.stdout + s.stderr, s.returncode == 0)
    check(s.stdout, '1 damaged pieces' in s.stdout and
          '5 records are intact and not delivered' in s.stdout)
    kept = glob.glob(os.path.join(queue, 'quarantine', '*.bin'))
    equal('pieces', len(kept), 1)
    with open(kept[0], 'rb') as f:
        check('the piece is what was there', f.read() == piece)
    check('the reason stands beside it', os.path.exists(kept[0][:-4] + '.why'))
    s = r.verb('queue', 'check', queue)
    check(s.stdout, s.returncode == 0 and s.stdout.startswith('clean: '))
    equal('again', r.verb('queue', 'repair', queue).returncode, 0)
    b = backend(w, name='second')
    r.sets['exporter.endpoint'] = b.url
    r.start()
    arrive(b, [0, 1, 2, 4, 5])
    equal('delivered once', sorted(numbers(b.accepted())), [0, 1, 2, 4, 5])


@claim()
def of_what_is_no_queue_nothing_is_said_and_none_is_made(w):
    r = relay(w, start=False)
    none = os.path.join(w.dir, 'none')
    os.mkdir(none)
    for verb in ('ls', 'check', 'cat', 'repair'):
        s = r.verb('queue', verb, none)
        check(s.stderr, s.returncode == 2 and 'no queue is in' in s.stderr)
        s = r.verb('queue', verb, none + '/nowhere')
        check(s.stderr, s.returncode == 2 and 'No such file or directory' in s.stderr)
    equal('what was made', os.listdir(none), [])
    equal('exit', r.verb('queue').returncode, 78)
    equal('exit', r.verb('queue', 'ls').returncode, 78)
    equal('exit', r.verb('queue', 'ls', '--all', none).returncode, 78)
    equal('exit', r.verb('queue', 'export', '--format=x', none, none).returncode, 78)


@claim()
def what_is_no_queue_is_refused_and_what_is_none_of_it_let_alone(w):
    r, queue = held(w)
    r.stop()
    for path, why in ((os.path.join(w.dir, 'nothing'), 'No such file or directory'),
                      (newest(queue), 'Not a directory')):
        for verb in ('ls', 'check', 'cat', 'repair'):
            s = r.verb('queue', verb, path)
            equal(f'exit of {verb}', s.returncode, 2)
            check(s.stderr, f"'{path}' cannot be read: {why}; a queue is a directory" in s.stderr)
        check('nothing is made', not os.path.exists(os.path.join(w.dir, 'nothing')))
    foreign = os.path.join(queue, '00000000000000ff.seg')
    os.mkdir(foreign)
    for verb in ('ls', 'check', 'cat', 'repair'):
        s = r.verb('queue', verb, queue)
        check(s.stdout + s.stderr, s.returncode == 1)
    check(s.stderr, 'some of it could not be read, and was let alone' in s.stderr)
    check('it is still there', os.path.isdir(foreign))
    os.rmdir(foreign)
    equal('clean', r.verb('queue', 'check', queue).returncode, 0)
    spoil(oldest(queue), b'record 2')
    equal('exit of ls', r.verb('queue', 'ls', queue).returncode, 1)
