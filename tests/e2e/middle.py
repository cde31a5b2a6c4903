# SPDX-License-Identifier: ISC
"""middle.py - what is under way when something ends, fills up or is asked"""

import gzip
import json
import os
import signal
import socket
import threading
import time

from backend import Answer, varint
from claims import check, claim, equal
from fleet import agent, arrive, backend, give, record, relay, relay_and_backend
from life import GRACE, SLACK, stop_timed
from world import Received, free_port, http, wait_for


def connect(w, port, data=b''):
    s = socket.create_connection(('127.0.0.1', port), 5)
    w.closers.append(s.close)
    s.sendall(data)
    return s


HALF_POST = (b'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
             b'Content-Length: 1000\r\n\r\n{"message":"half')
WHOLE_POST = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{"message":"a"}'


@claim(epoll=True)
def clients_in_the_middle_of_something_do_not_delay_the_end(w):
    r, b = relay_and_backend(w)
    a = agent(w, r.port)
    for port in (a.http, r.http, r.port):
        connect(w, port)                                    # says nothing
        connect(w, port, b'POST / HT')                      # half a line
        connect(w, port, HALF_POST)                         # half a body
        kept = connect(w, port, WHOLE_POST)                 # kept alive
        check('201', kept.recv(200).startswith(b'HTTP/1.1 201'))
    connect(w, r.port, b'\x93\xa4emp.\xc6\x00\x00\x10\x00abc')  # half a message
    for role in (a, r):
        status, took = stop_timed(role)
        check(f'{role.roles}: {status}, {took:.2f} s', status == 0 and took <= GRACE + SLACK)
    r.start()
    a.start()
    # One body, taken at two roles on three ports, seen twice at the relay.
    wait_for('what was whole', lambda: len(b.accepted()) >= 2)
    check('what was half is nothing', all(x.body == 'a' for x in b.accepted()))


@claim()
def a_test_under_way_is_answered_at_the_end(w):
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url)
    replies = []
    t = threading.Thread(target=lambda: replies.append(http(r.http, '/test', method='POST')))
    t.start()
    wait_for('it is tried', lambda: r.counters()['export_requests'] > 0)
    status, took = stop_timed(r)
    t.join(5)
    check(f'{status}, {took:.2f} s', status == 0 and took <= GRACE + SLACK)
    answer = replies[0].json()
    equal('stored, exported', (answer['stored'], answer['exported']), (True, False))


@claim(epoll=True)
def a_test_behind_another_does_not_delay_the_end(w):
    """Two on one connection: the second is read when the first is answered."""
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url)
    ask = b'POST /test HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n'
    s = connect(w, r.http, ask + ask)
    wait_for('it is tried', lambda: r.counters()['export_requests'] > 0)
    status, took = stop_timed(r)
    check(f'{status}, {took:.2f} s', status == 0 and took <= GRACE + SLACK)
    answers = s.makefile('rb').read()
    equal('the first', answers.count(b'HTTP/1.1 200'), 1)
    check('the second', answers.count(b'HTTP/1.1') == 1 or b'the relay is ending' in answers)
    equal('one is kept', r.counters()['queue_held_records'], 1)


@claim(epoll=True)
def a_relay_without_room_pushes_back_and_loses_nothing(w):
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url, relay__queue_max='4M')
    a = agent(w, r.port)
    producers = [w.producer(burst=25, pause_ms=10, count=40) for _ in range(3)]
    wait_for('the relay is full', lambda: r.counters()['queue_full'] > 0, 20)

    def refused():      # before, there is what is left of a segment
        reply = http(r.http, '/', record(-1), {'Emplog-Ack': 'relay'})
        return reply if reply.status != 200 else None
    reply = wait_for('HTTP is told', refused)
    equal('HTTP is told', (reply.status, reply.headers['Retry-After']), (503, '1'))
    equal('/health', http(r.http, '/health').status, 503)
    for p in producers:
        p.process.wait(20)
    check('the agent has the rest', w.unacknowledged() + a.counters()['queue_held_bytes'] > 0)
    b.open()
    expected = {(p.number, n) for p in producers for n in p.sets()[1]}

    def came():
        return [(x.attributes['p'], x.attributes['n']) for x in b.accepted()
                if 'payload' in x.attributes]
    wait_for('everything', lambda: len(came()) >= len(expected), 30, 0.2)
    equal('records', len(came()), len(expected))
    check('the same', set(came()) == expected)


def chunked(body):
    half = len(body) // 2
    return b''.join(b'%x\r\n%s\r\n' % (len(part), part)
                    for part in (body[:half], body[half:], b''))


@claim()
def bodies_come_chunked_and_gzipped_and_as_forms(w):
    r, b = relay_and_backend(w)
    a = agent(w, r.port)
    s = connect(w, a.http, b'POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n'
                b'Content-Type: application/json\r\n\r\n' +
                chunked(json.dumps(record(1)).encode()))
    check('chunked', s.recv(200).startswith(b'HTTP/1.1 201'))
    packed = gzip.compress(json.dumps([record(n) for n in range(2, 50)]).encode())
    equal('gzip', http(a.http, '/', packed, {'Content-Encoding': 'gzip'}).status, 201)
    form = 'json=' + json.dumps(record(50)).replace('"', '%22').replace(' ', '+')
    equal('form', http(a.http, '/', form, {
        'Content-Type': 'application/x-www-form-urlencoded'}).status, 201)
    s = connect(w, a.http, b'POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n'
                b'Content-Length: %d\r\n\r\n' % len(json.dumps(record(51))))
    check('100 Continue', s.recv(200).startswith(b'HTTP/1.1 100'))
    s.sendall(json.dumps(record(51)).encode())
    check('and then', s.recv(200).startswith(b'HTTP/1.1 201'))
    arrive(b, range(1, 52))


@claim()
def a_request_has_the_headers_it_should(w):
    b = backend(w)
    r = relay(w, env={'EMPLOGD_EXPORTER_TOKEN': 'auth_test'}, exporter__endpoint=b.url + '/',
              exporter__dataset='production', exporter__headers='x-one=1, x-two=b c')
    give(r, range(100))
    q = wait_for('a request', b.seen)[0]
    equal('path', q.path, '/v1/logs')
    for name, value in {'Content-Type': 'application/x-protobuf', 'Content-Encoding': 'gzip',
                        'Authorization': 'Bearer auth_test', 'Dash0-Dataset': 'production',
                        'x-one': '1', 'x-two': 'b c'}.items():
        equal(name, q.headers.get(name), value)
    check(q.headers['User-Agent'], q.headers['User-Agent'].startswith('emplogd/'))
    r.stop()
    r.sets['exporter.compression'] = 'none'
    r.start()
    give(r, range(100, 110))
    q = wait_for('another', lambda: b.seen()[1:])[0]
    equal('Content-Encoding', q.headers.get('Content-Encoding'), None)
    check('the token is nowhere', 'auth_test' not in r.log())


@claim()
def partial_success_in_json_counts_too(w):
    body = json.dumps({'partialSuccess': {'rejectedLogRecords': '2', 'errorMessage': 'no'}})
    r, b = relay_and_backend(w)
    b.queue(Answer(200, {'Content-Type': 'application/json; charset=utf-8'}, body.encode()))
    give(r, range(10))
    wait_for('counted', lambda: r.counters()['export_rejected_records'] == 2)
    b.queue(Answer(200, {'Content-Type': 'application/json'}, b'{}'))
    give(r, range(10, 20))
    b.queue(Answer(200, body=b'\x12' + varint(3) + b'new'))     # a field of a later version
    wait_for('18', lambda: r.counters()['export_done_records'] == 18)
    give(r, range(20, 30))
    wait_for('28', lambda: r.counters()['export_done_records'] == 28)
    equal('sent again', r.counters()['export_retries'], 0)
    arrive(b, range(30))


def a_crowd_keeps_nobody_out(w, limits, each):
    b = backend(w)
    r = relay(w, exporter__endpoint=b.url, under=('prlimit', f'--nofile={limits}'))
    for i in range(300):
        connect(w, (r.port, r.http)[i % 2], each)
    give(r, range(3))
    arrive(b, range(3))
    equal('/health', http(r.http, '/health').status, 200)


@claim(epoll=True)
def a_crowd_in_the_middle_of_messages_leaves_descriptors_for_others(w):
    a_crowd_keeps_nobody_out(w, '128:2048', b'\x93')


@claim(epoll=True)
def a_silent_crowd_makes_room_when_descriptors_run_out(w):
    a_crowd_keeps_nobody_out(w, '128:128', b'')


@claim()
def systemd_is_told_of_readiness_and_the_end(w):
    path = os.path.join(w.dir, 'notify')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(5)
        r = relay(w, env={'NOTIFY_SOCKET': path})
        check('ready', b'READY=1' in s.recv(200))
        r.tell(signal.SIGTERM)
        check('stopping', b'STOPPING=1' in s.recv(200))
        equal('exit', r.process.wait(5), 0)


@claim()
def the_exit_status_can_say_that_records_are_kept(w):
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url, common__exit_kept='75')
    equal('with none', r.stop(), 0)
    r.start()
    give(r, range(3))
    equal('with three', r.stop(), 75)
    b.open()
    r.start()
    arrive(b, range(3))
    time.sleep(0.3)
    equal('with none again', r.stop(), 0)


@claim()
def local_files_are_rotated_and_keep_every_record(w):
    r = relay(w, exporter__file_max='64K', exporter__files_keep='100',
              exporter__batch_bytes='16K')
    agent(w, r.port)
    p = w.producer(burst=20, pause_ms=2, count=20)
    equal('exit', p.process.wait(20), 0)
    where = os.path.join(w.dir, 'relay/relay/export')
    received = Received(where)
    wait_for('all', lambda: not received.read().missing([p]), 20, 0.05)
    check(f'{len(os.listdir(where))} files', len(os.listdir(where)) >= 4)
    equal('twice', received.twice, [])
    equal('damaged', received.damaged, [])


# ---- the agent's own lane, other relays, other rings ----

def deaths(b):
    return [x for x in b.accepted() if x.event == 'worker_died']


@claim(epoll=True)
def what_was_answered_201_survives_the_death_of_the_agent(w):
    port = free_port()
    a = agent(w, port)
    for n in range(6):
        equal('status', http(a.http, '/', record(n)).status, 201)
        a.kill()
        a.start()
    r, b = relay_and_backend(w)
    a.kill()
    a.sets['agent.relay'] = f'127.0.0.1:{r.port}'
    a.start()
    arrive(b, range(6))
    equal('an agent is no worker that died', [x.attributes for x in deaths(b)], [])


@claim(epoll=True)
def a_large_201_survives_the_death_of_the_agent(w):
    """Beyond a quarter of the agent's lane: its disk has it."""
    port = free_port()
    a = agent(w, port)
    texts = {f'text{i}': f'{i} blah ' * 900 for i in range(25)}
    for n in range(0, 12, 4):
        large = [record(i, **texts) for i in range(n, n + 4)]
        check('large', len(str(large)) > 600000)
        status = http(a.http, '/', large).status
        a.kill()
        equal('status', status, 201)
        a.start()
    r, b = relay_and_backend(w)
    a.kill()
    a.sets['agent.relay'] = f'127.0.0.1:{r.port}'
    a.start()
    arrive(b, range(12))


@claim(epoll=True)
def what_a_relay_answered_201_survives_its_death(w):
    b = backend(w)
    r = relay(w, exporter__endpoint=f'http://127.0.0.1:{free_port()}')
    for n in range(12):
        status = http(r.http, '/', record(n)).status
        r.kill()
        equal('status', status, 201)
        r.start()
    r.kill()
    r.sets['exporter.endpoint'] = b.url
    r.start()
    arrive(b, range(12))


@claim()
def who_closes_its_log_has_not_died(w):
    r, b = relay_and_backend(w)
    a = agent(w, r.port)
    for i in range(3):
        c = w.caller()
        c.log(f'bye {i}')
        c.leave('close')
    equal('exit', a.stop(), 0)
    a.start()
    wait_for('all', lambda: len(b.accepted()) >= 3)
    c = w.caller()
    c.log('gone')
    c.leave('gone')
    wait_for('one death', lambda: deaths(b))
    equal('deaths', len(deaths(b)), 1)


@claim()
def a_second_relay_takes_over_when_the_first_dies(w):
    b = backend(w)
    one = relay(w, exporter__endpoint=b.url, state='one')
    two = relay(w, exporter__endpoint=b.url, state='two', start=False)
    a = agent(w, one.port)
    equal('exit', a.stop(), 0)
    a.sets['agent.relay'] = f'localhost:{one.port}, localhost:{two.port}'
    a.start()
    give(a, range(20), ack='agent')
    arrive(b, range(20))
    one.kill()
    give(a, range(20, 40), ack='agent')
    two.start()
    arrive(b, range(40))
    give(a, range(40, 60), ack='agent')
    arrive(b, range(60))


@claim()
def lanes_beyond_the_ring_are_files_and_arrive(w):
    r, b = relay_and_backend(w)
    a = agent(w, r.port, start=False)
    small = {'EMPLOGD_COMMON_RING_MAX': '1M', 'EMPLOGD_COMMON_STATE_DIR':
             a.sets['common.state_dir']}
    os.makedirs(a.sets['common.state_dir'], exist_ok=True)
    # Three of 320 KiB have room in 1 MiB, two go to the disk.
    callers = [w.caller(**small) for _ in range(5)]
    for i, c in enumerate(callers):
        c.log(f'from {i}')
    ring = os.path.join(a.sets['common.state_dir'], 'ring')
    equal('lanes in the ring', len(w.lanes()), 3)
    equal('lanes that are files', len([f for f in os.listdir(ring) if f.endswith('.lane')]), 2)
    shown = a.verb('tail').stdout
    check(f'tail shows all: {shown}', all(f'from {i}' in shown for i in range(5)))
    a.start()
    wait_for('all', lambda: {x.body for x in b.accepted()} >= {f'from {i}' for i in range(5)})
    for i, c in enumerate(callers):
        c.log(f'again {i}')
    wait_for('more', lambda: {x.body for x in b.accepted()} >= {f'again {i}' for i in range(5)})
    equal('records', len(b.accepted()), 10)


@claim()
def a_body_too_large_is_told_and_harms_nobody(w):
    r, b = relay_and_backend(w)
    a = agent(w, r.port)
    half = http(a.http, '/', [record(n, text=f'{n} words ' * 80) for n in range(8000)])
    equal('7 MB', half.status, 201)
    for role in (a, r):
        huge = http(role.http, '/', b'[' + b'{"message":"x"},' * 1400000 + b'{}]')
        check(f'21 MB: {huge.status}', huge.status in (201, 413))
    equal('it goes on', http(a.http, '/', record(8000)).status, 201)
    wait_for('8001', lambda: sum('n' in x.attributes for x in b.accepted()) >= 8001, 30, 0.2)
