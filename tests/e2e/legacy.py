# SPDX-License-Identifier: ISC
"""legacy.py - HTTP clients of the old pipeline at the agent"""

import json
import os
import resource
import socket
import threading
import time

from claims import check, claim, equal
from fleet import agent, arrive, arrive_locally, backend, give, local_numbers, record, relay
from world import exported, free_port, http, wait_for

QUICK = 1.0         # s; the old client gives up after 5


def post_one_by_one(a, first, count):
    """One request and connection per line, as the old transport does it."""
    slowest = 0
    for n in range(first, first + count):
        r = http(a.http, ['/', '/emp', '/a/b?c=d', '/tag.name'][n % 4], record(n))
        check(f'status {r.status}', 200 <= r.status < 300)
        slowest = max(slowest, r.took)
    check(f'slowest answer {slowest:.2f} s', slowest < QUICK)


@claim(epoll=True)
def any_path_and_shape_is_taken_and_arrives_once(w):
    b = backend(w)
    r = relay(w, exporter__endpoint=b.url)
    a = agent(w, r.port)
    post_one_by_one(a, 0, 100)
    equal('array', http(a.http, '/x', [record(n) for n in range(100, 150)]).status, 201)
    lines = '\n'.join(json.dumps(record(n)) for n in range(150, 200))
    equal('lines', http(a.http, '/y', lines, {'Content-Type': 'application/x-ndjson'}).status, 201)
    equal('no type', http(a.http, '/z', record(200), {'Content-Type': ''}).status, 201)
    arrive(b, range(201))


@claim()
def answers_are_2xx_and_quick_while_the_relay_is_down(w):
    port = free_port()
    a = agent(w, port)
    workers = [threading.Thread(target=post_one_by_one, args=(a, i * 100, 100)) for i in range(3)]
    faults = []
    threading.excepthook, before = lambda args: faults.append(str(args.exc_value)), \
        threading.excepthook
    try:
        for t in workers:
            t.start()
        for t in workers:
            t.join()
    finally:
        threading.excepthook = before
    equal('faults', faults, [])
    r = w.role('relay', relay__listen=f'127.0.0.1:{port}', relay__http_listen='').start()
    arrive_locally(w, r, range(300))


@claim()
def what_is_no_record_is_2xx_too_and_counted(w):
    a = agent(w, free_port())
    for body in ('', 'no JSON at all', '{"a":', '[1, 2, 3]', '"text"', '\x00\xff'):
        r = http(a.http, '/', body.encode('latin-1'))
        check(f'{r.status} for {body!r}', 200 <= r.status < 300)
    c = a.counters().read()
    check('counted', c['ingest_bad_json'] >= 3 and c['ingest_not_object'] >= 3)
    r = http(a.http, '/', 'no JSON', {'Emplog-Ack': 'agent'})
    equal('with Emplog-Ack', r.status, 400)


@claim(epoll=True)
def an_acknowledged_record_survives_a_kill_right_after(w):
    port = free_port()
    a = agent(w, port)
    for n in range(8):
        r = http(a.http, '/', record(n), {'Emplog-Ack': 'agent'})
        a.kill()
        equal('status', r.status, 200)
        a.start()
    r = w.role('relay', relay__listen=f'127.0.0.1:{port}', relay__http_listen='').start()
    arrive_locally(w, r, range(8))


@claim()
def a_full_queue_is_503_with_retry_after_to_those_who_ask(w):
    port = free_port()
    a = agent(w, port, agent__queue_max='4M')
    taken, n = [], 0
    while n < 400:
        # Below 8 KiB a text is not shortened.
        texts = {f'text{i}': f'{n} blah ' * 800 for i in range(20)}
        r = http(a.http, '/', record(n, **texts), {'Emplog-Ack': 'agent'})
        if r.status != 200:
            break
        taken.append(n)
        n += 1
    equal('status of the full queue', r.status, 503)
    check(f"Retry-After: {r.headers['Retry-After']}", int(r.headers['Retry-After']) >= 1)
    check(f'{len(taken)} were taken', len(taken) > 5)
    check('counted', a.counters()['ingest_refused'] >= 1)
    r = http(a.http, '/', record(1000000))
    check('those who do not ask get 2xx quickly', 200 <= r.status < 300 and r.took < QUICK)
    relay_role = w.role('relay', relay__listen=f'127.0.0.1:{port}', relay__http_listen='').start()
    wait_for('what was acknowledged', lambda: set(local_numbers(w, relay_role)) >= set(taken), 20,
             0.05)
    got = local_numbers(w, relay_role)
    check('nothing came twice', len(got) == len(set(got)))
    check('only what was sent', set(got) <= set(taken) | {1000000})
    wait_for('there is room again', lambda: http(
        a.http, '/', record(2000000 + int(time.monotonic() * 1000)),
        {'Emplog-Ack': 'agent'}).status == 200, 10, 0.1)


def gaps(w, role):
    """What gap records in the local export say was refused."""
    where = os.path.join(w.dir, role.state, role.roles, 'export')
    return [int(a['refused']) for _, rec, a in exported(where)
            if rec.get('eventName') == 'emplog_gap']


@claim(epoll=True)
def a_relay_answers_clients_that_cannot_wait_2xx_as_well(w):
    r = relay(w)
    huge = b' ' * (16 << 20) + b'x'
    cases = (('too large', huge, {}, 413), ('unknown coding', b'{}', {'Content-Encoding': 'br'}, 415),
             ('damaged', b'no gzip', {'Content-Encoding': 'gzip'}, 400))
    for what, body, headers, status in cases:
        equal(what, http(r.http, '/', body, headers).status, 201)
        equal(what + ', asked', http(r.http, '/', body, {**headers, 'Emplog-Ack': 'relay'}).status,
              status)
        equal(what + ', a test', http(r.http, '/test', body, headers).status, status)
    equal('counted', r.counters()['ingest_dropped'], len(cases))
    wait_for('they are told', lambda: sum(gaps(w, r)) == len(cases), 10, 0.05)
    equal('and counted as told', r.counters()['ingest_dropped_told'], len(cases))


@claim()
def what_a_full_relay_drops_is_told_when_there_is_room(w):
    """Also after it was killed meanwhile."""
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url, relay__queue_max='4M')
    wait_for('the relay is full', lambda: http(
        r.http, '/', [record(n, text=f'{time.monotonic()} ' * 400) for n in range(100)],
        {'Emplog-Ack': 'relay'}).status == 503, every=0)
    for n in range(1000, 1010):
        reply = http(r.http, '/', [record(n, text=f'{n} words ' * 600) for _ in range(60)])
        check(f'{reply.status}, {reply.took:.2f} s', reply.status == 201 and reply.took < 3)
    dropped = r.counters()['ingest_dropped']
    check(f'{dropped} dropped', dropped > 0)
    r.kill()
    r.start()
    b.open()

    def told():
        return sum(int(x.attributes['refused']) for x in b.accepted() if x.event == 'emplog_gap')
    wait_for('they are told', lambda: told() >= dropped, 30, 0.05)
    equal('told', told(), r.counters()['ingest_dropped'])
    equal('counted as told', r.counters()['ingest_dropped_told'], told())


@claim()
def the_same_bytes_again_within_2_s_count_once(w):
    b = backend(w)
    r = relay(w, exporter__endpoint=b.url)
    a = agent(w, r.port)
    for _ in range(6):
        equal('status', http(a.http, '/', record(1)).status, 201)
    give(a, [2], ack='agent')
    arrive(b, [1, 2])
    equal('counted', a.counters()['ingest_duplicates'], 5)


def raw(port, data, close=False):
    """The answers to some requests."""
    with socket.create_connection(('127.0.0.1', port), 5) as s:
        s.sendall(data)
        if close:
            s.shutdown(socket.SHUT_WR)
        s.settimeout(2)
        out = b''
        try:
            while out.count(b'HTTP/1.1 ') < data.count(b'POST'):
                part = s.recv(4096)
                if not part:
                    break
                out += part
        except TimeoutError:
            pass
        return out


def post(n, version='1.1', more=b''):
    body = json.dumps(record(n)).encode()
    return b'POST /x HTTP/%s\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s' % (
        version.encode(), len(body), more, body)


@claim(epoll=True)
def old_and_hasty_clients_are_answered_too(w):
    b = backend(w)
    r = relay(w, exporter__endpoint=b.url)
    a = agent(w, r.port)
    for role, first in ((a, 0), (r, 10)):
        check('HTTP/1.0', b' 201' in raw(role.http, post(first, '1.0')))
        check('half closed', b' 201' in raw(role.http, post(first + 1), close=True))
        check('Connection: close', b' 201' in raw(
            role.http, post(first + 2, more=b'Connection: close\r\n')))
        two = raw(role.http, post(first + 3) + post(first + 4))
        equal('two at once', two.count(b' 201'), 2)
        # Sent and gone without waiting for the answer.
        with socket.create_connection(('127.0.0.1', role.http), 5) as s:
            s.sendall(post(first + 5))
    arrive(b, list(range(6)) + list(range(10, 16)))


@claim(epoll=True)
def a_thousand_workers_may_connect_before_one_speaks(w):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    a = agent(w, free_port())
    if soft < 1200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1200), hard))
    crowd = [socket.create_connection(('127.0.0.1', a.http), 5) for _ in range(1000)]
    try:
        for n, s in enumerate(crowd):
            s.sendall(post(n))
        answers = [s.recv(4096) for s in crowd]
        equal('201', sum(b' 201' in x for x in answers), 1000)
        # Each has a descriptor of the agent; the queue finds one all the same.
        equal('disk', http(a.http, '/', record(1000), {'Emplog-Ack': 'agent'}).status, 200)
    finally:
        for s in crowd:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@claim(epoll=True)
def a_crowd_that_says_nothing_keeps_nobody_out(w):
    a = agent(w, free_port())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1500), hard))
    crowd = [socket.create_connection(('127.0.0.1', a.http), 5) for _ in range(1200)]
    try:
        post_one_by_one(a, 0, 50)
    finally:
        for s in crowd:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    equal('nobody was sent away', a.counters()['recv_refused'], 0)
