# SPDX-License-Identifier: ISC
"""endpoints.py - health, readiness, metrics and the test record of a relay"""

import os
import re
import socket
import struct
import threading
import time

from backend import Answer
from claims import check, claim, equal
from fleet import agent, arrive, backend, give, record, relay, relay_and_backend
from world import free_port, http, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))


@claim(epoll=True)
def health_and_ready_say_200_when_all_is_well(w):
    r, b = relay_and_backend(w)
    give(r, range(3))
    arrive(b, range(3))
    for path, key in (('/health', 'healthy'), ('/ready', 'ready')):
        reply = http(r.http, path)
        equal(path, (reply.status, reply.json()[key]), (200, True))
        equal('type', reply.headers['Content-Type'], 'application/json')


# ---- the little msgpack a hop needs ----

def mp_str(s):
    s = s.encode()
    return bytes([0xd9, len(s)]) + s


def mp_bin(b):
    return b'\xc6' + struct.pack('>I', len(b)) + b


def mp_uint(n):
    return b'\xcf' + struct.pack('>Q', n)


def taken_at(when):
    """A chunk that its sender took then, as one from an agent's spill."""
    ns = int(when * 10**9)
    event_time = b'\xd7\x00' + struct.pack('>II', ns // 10**9, ns % 10**9)
    entry = b'\x92' + event_time + b'\x82' + mp_str('message') + mp_str('old') + \
        mp_str('level') + mp_str('info')
    emplog = b'\x84' + mp_str('v') + b'\x01' + mp_str('s') + mp_bin(os.urandom(16)) + \
        mp_str('f') + b'\x00' + mp_str('t') + mp_uint(ns)
    option = b'\x82' + mp_str('chunk') + mp_str('A' * 24) + mp_str('emplog') + emplog
    return b'\x93' + mp_str('emplog.test') + mp_bin(entry) + option


def send_forward(port, message):
    with socket.create_connection(('127.0.0.1', port), 5) as s:
        s.sendall(message)
        s.settimeout(5)
        return s.recv(200)


@claim()
def ready_says_503_and_why_when_a_record_is_a_minute_old(w):
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url)
    taken = time.time() - 55
    check('acknowledged', b'ack' in send_forward(r.port, taken_at(taken)))
    wait_for('tried', lambda: r.counters()['export_requests'] > 0)
    equal('/ready at 55 s', http(r.http, '/ready').status, 200)
    reply = wait_for('/ready is 503', lambda: not_ready(r), 15, 0.05)
    age = time.time() - taken
    check(f'503 at {age:.2f} s', 60 <= age < 61)
    reason = reply.json()['reason']
    check(reason, re.search(r'oldest record has waited \d+ s', reason))
    equal('/health', http(r.http, '/health').status, 200)
    b.open()
    wait_for('/ready is 200', lambda: http(r.http, '/ready').status == 200, 20, 0.05)


@claim()
def ready_of_a_relay_whose_next_hop_is_away_says_so(w):
    r = relay(w, relay__next=f'127.0.0.1:{free_port()}')
    equal('/ready without records', http(r.http, '/ready').status, 200)
    check('acknowledged', b'ack' in send_forward(r.port, taken_at(time.time() - 61)))
    reply = wait_for('/ready is 503', lambda: not_ready(r))
    check(reply.body, "for the next hop's acknowledgement" in reply.json()['reason'])
    answer = http(r.http, '/test', method='POST').json()
    equal('a test', (answer['stored'], answer['exported']), (True, False))
    check(answer['note'], 'the next hop delivers it' in answer['note'])


def not_ready(r):
    reply = http(r.http, '/ready')
    return reply if reply.status == 503 else None


def parse_prometheus(text):
    """Families of text 0.0.4: name -> (type, samples); raises when it is not."""
    check('ends with a newline', text.endswith('\n'))
    families, current = {}, None
    for line in text.splitlines():
        m = re.fullmatch(r'# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)', line)
        if m:
            kind, name, rest = m.groups()
            if name != current:
                check(f'{name} stands once', name not in families)
                families[name] = {'samples': []}
                current = name
            check(f'one {kind} of {name}', kind not in families[name])
            check(f'{kind} of {name} stands before it', not families[name]['samples'])
            families[name][kind] = rest
            continue
        m = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)( \d+)?', line)
        check(f'is no sample: {line!r}', m)
        equal('family of a sample', m.group(1), current)
        families[current]['samples'].append(float(m.group(3)))
    for name, f in families.items():
        check(f'{name} is whole', f.get('HELP') and f.get('TYPE') in ('counter', 'gauge') and
              len(f['samples']) == 1)
        check(f'{name} is named as a counter', f['TYPE'] == 'gauge' or name.endswith('_total'))
    return families


def counters_def():
    with open(os.path.join(HERE, '../../src/counters/counters.def')) as f:
        return re.findall(r'^COUNTER\((\w+), (\w+), CTR_(\w+)', f.read(), re.M)


@claim()
def metrics_are_prometheus_text_and_have_every_counter(w):
    r, b = relay_and_backend(w)
    a = agent(w, r.port)
    give(r, range(7))
    arrive(b, range(7))
    for role in (r, a):
        reply = http(role.http, '/metrics')
        equal('status', reply.status, 200)
        check(reply.headers['Content-Type'],
              reply.headers['Content-Type'].startswith('text/plain; version=0.0.4'))
        families = parse_prometheus(reply.body.decode())
        for _, name, kind in counters_def():
            full = f'emplogd_{name}' + ('_total' if kind == 'COUNTER' else '')
            check(f'{full} is there', full in families)
            equal(f'type of {full}', families[full]['TYPE'], kind.lower())
    done = parse_prometheus(http(r.http, '/metrics').body.decode())
    equal('exported', done['emplogd_export_done_records_total']['samples'], [7.0])


@claim()
def a_test_record_is_stored_and_exported(w):
    r, b = relay_and_backend(w)
    reply = http(r.http, '/test', method='POST')
    equal('status', reply.status, 200)
    answer = reply.json()
    equal('stored, exported', (answer['stored'], answer['exported']), (True, True))
    equal('event', [x.event for x in b.accepted()], ['service_test'])
    reply = http(r.http, '/test', {'message': 'my own', 'event_type': 'mine'})
    equal('its own record', reply.json()['exported'], True)
    equal('body', b.accepted()[-1].body, 'my own')


@claim()
def a_test_that_cannot_be_is_refused_with_the_reason(w):
    r, _ = relay_and_backend(w)
    half = {f'k{i}': 'long words ' * 400 for i in range(40)}
    for what, body, status, why in (
            ('no JSON', 'no JSON', 400, 'not a JSON object'),
            ('no record', '[]', 400, 'not a JSON object'),
            ('one too large', {**half, **{f'l{i}': 'long words ' * 400 for i in range(40)}},
             413, 'more than a test may be'),
            ('two too large together', [half, half], 413, 'more than a test may be'),
            ('a huge body', 'x' * (2 << 20), 413, 'more than a test may be')):
        reply = http(r.http, '/test', body)
        equal(what, (reply.status, reply.json()['stored']), (status, False))
        check(f'{what}: {reply.body}', why in reply.json()['error'])
    equal('none is stored', r.counters()['queue_put_records'], 0)


@claim()
def a_test_record_without_room_is_told_so(w):
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url, relay__queue_max='4M')

    def full():
        n = r.counters()['queue_put_records']
        return http(r.http, '/', [record(n + i, text=f'{n + i} words ' * 600)
                                  for i in range(100)], {'Emplog-Ack': 'relay'}).status == 503
    wait_for('the relay is full', full, every=0)
    reply = http(r.http, '/test', method='POST')
    equal('answer', (reply.status, reply.json()),
          (503, {'stored': False, 'error': 'the queue is full'}))
    equal('/health', http(r.http, '/health').status, 503)


@claim()
def seventeen_tests_at_once_are_one_too_many(w):
    r, b = relay_and_backend(w, Answer(200, delay=5))
    replies = []
    several = [threading.Thread(target=lambda: replies.append(
        http(r.http, '/test', method='POST'))) for _ in range(17)]
    for t in several:
        t.start()
    wait_for('one is refused', lambda: len(replies) >= 1)
    equal('why', (replies[0].status, replies[0].json()['error']), (503, 'too many tests at once'))
    b.usual = Answer()
    for t in several:
        t.join()
    equal('the others', [x.json()['exported'] for x in replies[1:]], [True] * 16)


@claim()
def a_test_record_the_backend_cannot_take_now_is_kept_and_its_words_told(w):
    r, b = relay_and_backend(w, Answer(500, {'Content-Type': 'text/plain'}, b'on fire'))
    reply = http(r.http, '/test', method='POST')
    answer = reply.json()
    equal('status', reply.status, 200)
    equal('stored, exported', (answer['stored'], answer['exported']), (True, False))
    equal('what the backend said', (answer['status'], answer['backend']), (500, 'on fire'))
    check(f'{reply.took:.1f} s', 9.5 <= reply.took <= 10.5)
    b.usual = Answer()
    wait_for('it comes all the same', b.accepted, 30)


@claim()
def a_test_record_nobody_has_answered_yet_is_told_so(w):
    r, b = relay_and_backend(w, Answer(200, delay=15))
    answer = http(r.http, '/test', method='POST').json()
    equal('stored, exported', (answer['stored'], answer['exported']), (True, False))
    check(answer['note'], 'has not answered yet' in answer['note'])


@claim()
def a_backend_that_speaks_no_utf8_is_quoted_all_the_same(w):
    r, _ = relay_and_backend(w, Answer(200, {'Content-Type': 'text/h\xe9t\xe9'}, b'\xe9t\xe9'))
    reply = http(r.http, '/test', method='POST')
    equal('status', reply.status, 200)
    check(reply.body, "'text/h t '" in reply.json()['backend'])


@claim()
def a_test_record_with_the_backend_down_is_stored_within_10_s(w):
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url)
    reply = http(r.http, '/test', method='POST')
    answer = reply.json()
    equal('status', reply.status, 200)
    equal('stored, exported', (answer['stored'], answer['exported']), (True, False))
    check(f'{reply.took:.1f} s', reply.took <= 10.5)
    b.open()
    wait_for('it comes all the same', lambda: b.accepted(), 30)


@claim()
def a_test_record_the_backend_rejects_was_not_exported(w):
    r, _ = relay_and_backend(w, Answer(401, {'Content-Type': 'text/plain'}, b'who are you'))
    answer = http(r.http, '/test', method='POST').json()
    equal('stored, exported', (answer['stored'], answer['exported']), (True, False))
    equal('what the backend said', (answer['status'], answer['backend']), (401, 'who are you'))
