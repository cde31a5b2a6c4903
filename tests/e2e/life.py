# SPDX-License-Identifier: ISC
"""life.py - starting, stopping, reloading and dying, in every order"""

import os
import signal
import socket
import time

from backend import Answer
from claims import check, claim, equal
from fleet import agent, arrive, backend, give, numbers, record, relay, relay_and_backend, three
from world import BUILD, Received, free_port, http, wait_for

GRACE = 1.2         # s, common.grace_ms
PM2 = 1.5           # s; it kills after 1.6
SLACK = 0.25        # for the exit itself, on a busy machine
NO_URING = os.path.join(BUILD, 'tests/e2e/no_uring')


def stop_timed(role, number=signal.SIGTERM):
    start = time.monotonic()
    status = role.stop(number)
    return status, time.monotonic() - start


def stop_each_with_its_peer_dead(w, number, most):
    """Backend, exporter, relay and agent go one after the other."""
    a, r, e, b = three(w)
    b.close()
    c = w.caller()
    sent = 0
    for role, holds in ((e, 'queue_held_records'), (r, 'queue_held_records'), (a, None)):
        for _ in range(40):
            c.log(f'record {sent}')
            sent += 1
        for _ in range(10):
            http(a.http, '/', record(sent))
            sent += 1
        if holds:
            wait_for('it holds records', lambda: role.counters()[holds] >= 50)
        status, took = stop_timed(role, number)
        equal(f'exit of the {role.roles}', status, 0)
        check(f'the {role.roles} took {took:.2f} s to end', took <= most)
    b.open()
    for role in (a, r, e):
        role.start()
    # n of the caller and n of HTTP do not meet: HTTP's go on from there.
    wait_for('everything', lambda: len(b.accepted()) >= sent, 20, 0.05)
    got = sorted((x.body, x.event) for x in b.accepted())
    equal('records', len(got), sent)
    equal('different ones', len({body for body, _ in got}), sent)


@claim(epoll=True)
def sigterm_with_every_peer_dead_ends_in_time_and_keeps_everything(w):
    stop_each_with_its_peer_dead(w, signal.SIGTERM, GRACE + SLACK)


@claim()
def sigint_as_of_pm2_ends_in_time_and_keeps_everything(w):
    stop_each_with_its_peer_dead(w, signal.SIGINT, PM2)


@claim(epoll=True)
def sigterm_ends_in_time_when_peers_hang(w):
    b = backend(w, Answer(200, delay=5))
    r = relay(w, exporter__endpoint=b.url)
    a = agent(w, r.port)
    wait_for('connected', lambda: a.counters()['hop_up'] == 1)
    give(r, range(10))
    wait_for('a request is under way', b.seen)
    status, took = stop_timed(r)
    check(f'relay: {status}, {took:.2f} s', status == 0 and took <= GRACE + SLACK)
    r.start()
    wait_for('connected again', lambda: a.counters()['hop_up'] == 1)
    r.tell(signal.SIGSTOP)
    try:
        for n in range(10, 60):
            equal('status', http(a.http, '/', record(n)).status, 201)
        status, took = stop_timed(a)
        check(f'agent: {status}, {took:.2f} s', status == 0 and took <= GRACE + SLACK)
    finally:
        r.tell(signal.SIGCONT)
    a.start()
    b.usual = Answer()
    wait_for('everything', lambda: set(numbers(b.accepted())) >= set(range(60)), 20, 0.05)
    later = [n for n in numbers(b.accepted()) if n >= 10]
    equal('how many came of the agent', len(later), 50)


@claim(epoll=True)
def sigterm_waits_for_no_client_that_does_not_read(w):
    a = agent(w, free_port())
    c = w.caller()
    c.log('in the lane')
    ask = b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}' * 100
    with socket.create_connection(('127.0.0.1', a.http), 5) as deaf, \
            socket.create_connection(('127.0.0.1', a.http), 5) as slow:
        slow.sendall(b'POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{')
        deaf.settimeout(0.5)
        try:
            while True:         # until neither side's buffers have room
                deaf.sendall(ask)
        except TimeoutError:
            pass
        status, took = stop_timed(a)
    check(f'{status}, {took:.2f} s', status == 0 and took <= GRACE / 2)
    check('what was in lanes is on disk', '0 B in lanes' in a.verb('status').stdout)


@claim()
def a_second_sigterm_ends_at_once(w):
    r, b = relay_and_backend(w, Answer(200, delay=3), common__grace_ms='20s')
    give(r, range(10))
    wait_for('a request is under way', b.seen)
    r.tell(signal.SIGTERM)
    time.sleep(0.3)
    equal('it waits for the answer', r.process.poll(), None)
    status, took = stop_timed(r)
    check(f'{status}, {took:.2f} s', status == 0 and took <= SLACK)
    b.usual = Answer()
    r.start()
    wait_for('everything', lambda: set(numbers(b.accepted())) >= set(range(10)))


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


@claim(epoll=True)
def sighup_takes_a_good_configuration_and_refuses_a_bad_one(w):
    old, new = backend(w), backend(w, name='new')
    path = os.path.join(w.dir, 'emplogd.conf')
    write(path, f'[exporter]\nendpoint = {old.url}\n')
    r = relay(w, start=False)
    r.options = [f'--config={path}']
    r.start()
    give(r, range(10))
    arrive(old, range(10))

    write(path, '[exporter]\nendpoint = http://127.0.0.1:1\nbatch_bytes = lots\n')
    r.tell(signal.SIGHUP)
    wait_for('refused', lambda: r.counters()['config_refused'] == 1)
    check('the log says what is wrong', "emplogd.conf:3: key 'exporter.batch_bytes'" in r.log())
    give(r, range(10, 20))
    arrive(old, range(20))

    write(path, f'[exporter]\nendpoint = {new.url}\n')
    r.tell(signal.SIGHUP)
    wait_for('taken', lambda: r.counters()['config_reloads'] == 1)
    give(r, range(20, 30))
    arrive(new, range(20, 30))
    arrive(old, range(20))

    check('nothing needs a restart yet', 'needs a restart' not in r.log())
    write(path, f'[exporter]\nendpoint = {new.url}\n[relay]\nqueue_age = 1d\n')
    r.tell(signal.SIGHUP)
    wait_for('what is not taken over is named',
             lambda: "'relay.queue_age' has changed: that needs a restart" in r.log())


@claim()
def a_second_agent_on_a_ring_is_refused_and_told_why(w):
    a = agent(w, free_port())
    second = agent(w, free_port(), start=False, state='second')
    status, said = second.run()
    check(f'{status}: {said}', status == 1 and w.ring in said)
    check(said, f"another agent has '{w.ring}/agent.lock', pid {a.process.pid}" in said)
    equal('the first goes on', http(a.http, '/', record(1)).status, 201)


@claim()
def a_second_relay_on_a_state_dir_is_refused_and_told_why(w):
    r, b = relay_and_backend(w)
    second = relay(w, start=False)
    status, said = second.run()
    check(f'{status}: {said}', status == 1 and 'another emplogd uses it' in said)
    check(said, os.path.join(w.dir, 'relay') in said)
    give(r, range(5))
    arrive(b, range(5))


@claim(epoll=True)
def check_beside_a_running_agent_names_it_and_leaves_it_alone(w):
    """A second one on the same state_dir must not touch the first's counters."""
    a = agent(w, free_port())
    for n in range(5):
        equal('status', http(a.http, '/', record(n)).status, 201)
    wait_for('it holds some', lambda: a.counters()['lane_held_bytes'] > 0)
    status, said = agent(w, free_port(), start=False).run('--check')
    check(f'{status}: {said}', status == 1 and 'another emplogd uses it' in said)
    check(said, f'pid {a.process.pid}' in said)
    after = a.counters().read()
    equal('records', after['ingest_records'], 5)
    check('it holds them still', after['lane_held_bytes'] > 0)
    check('the first is seen to run', 'running' in a.verb('status').stdout)
    equal('and goes on', http(a.http, '/', record(9)).status, 201)
    equal('to its end', a.stop(), 0)


@claim()
def connectors_may_come_long_before_the_agent(w):
    early = [w.caller() for _ in range(3)]
    for i in range(100):
        early[i % 3].log(f'early {i}')
    early[0].leave('close')
    early[1].leave('gone')
    time.sleep(3)
    r, b = relay_and_backend(w)
    agent(w, r.port)
    for i in range(20):
        early[2].log(f'late {i}')
    expected = {f'early {i}' for i in range(100)} | {f'late {i}' for i in range(20)}
    wait_for('all of them', lambda: {x.body for x in b.accepted()} >= expected, 10, 0.05)
    got = [x.body for x in b.accepted() if x.event == 'called']
    equal('how many came', len(got), len(expected))


@claim()
def a_relay_that_cannot_be_reached_is_told_once(w):
    nobody = free_port()
    agent = w.role('agent', agent__relay=f'127.0.0.1:{nobody}', agent__http_listen='').start()
    wait_for('the agent says so', lambda: 'cannot reach the relay' in agent.log())
    failures = agent.counters()['hop_failures']
    wait_for('it goes on trying', lambda: agent.counters()['hop_failures'] > failures)
    equal('told', agent.log().count('cannot reach the relay'), 1)
    check(f'127.0.0.1:{nobody}: Connection refused' in agent.log(), agent.log())


@claim(epoll=True)
def roles_may_start_in_any_order(w):
    port, next_port = free_port(), free_port()
    a = agent(w, port)
    c = w.caller()
    c.log('before the relay')
    http(a.http, '/', record(0))
    r = w.role('relay', relay__listen=f'127.0.0.1:{port}', relay__http_listen='',
               relay__next=f'127.0.0.1:{next_port}').start()
    wait_for('the relay has them', lambda: r.counters()['queue_held_records'] == 2)
    c.log('before the exporter')
    b = backend(w)
    b.close()
    w.role('exporter', exporter__listen=f'127.0.0.1:{next_port}',
           exporter__endpoint=b.url).start()
    c.log('before the backend')
    b.open()
    wait_for('all', lambda: len(b.accepted()) >= 4, 20, 0.02)
    equal('records', sorted(x.body for x in b.accepted()),
          ['before the backend', 'before the exporter', 'before the relay', 'record 0'])


@claim(epoll=True)
def a_relay_may_restart_under_load(w):
    r = relay(w)
    agent(w, r.port)
    producers = [w.producer(burst=20, pause_ms=5, count=150) for _ in range(2)]
    for _ in range(3):
        time.sleep(0.2)
        equal('exit', r.stop(), 0)
        r.start()
    for p in producers:
        p.process.wait(20)
    received = Received(os.path.join(w.dir, 'relay/relay/export'))
    wait_for('everything accepted is received',
             lambda: not received.read().missing(producers), 20, 0.1)
    equal('twice', received.twice[:5], [])
    equal('damaged', received.damaged[:5], [])
    equal('never issued', received.never_issued(producers)[:5], [])


@claim(epoll=True)
def lanes_filled_to_90_percent_and_left_are_not_lost(w):
    a = agent(w, free_port(), start=False)
    taken = []
    for _ in range(3):
        c = w.caller()
        n, _ = c.tell('fill 88')
        taken.append(n)
        c.leave('gone')
    full = w.unacknowledged() / (3 * 262144)
    check(f'lanes are full to {full:.2f}', full >= 0.9)
    r, b = relay_and_backend(w)
    a.sets['agent.relay'] = f'127.0.0.1:{r.port}'
    a.start()

    def filled():
        return [x.attributes['n'] for x in b.accepted() if x.event == 'fill']
    wait_for('all', lambda: len(filled()) >= sum(taken), 20, 0.05)
    equal('records', sorted(filled()), sorted(n for k in taken for n in range(k)))
    wait_for('three deaths are told',
             lambda: [x.event for x in b.accepted()].count('worker_died') == 3, 10, 0.05)


@claim(epoll=True)
def the_death_of_a_worker_is_told_with_its_jobs(w):
    a, _, _, b = three(w)
    c = w.caller(WORKER_ID='worker-7', MACHINE_ID='gpu-1', SERVICE_TYPE='comfyui',
                 CONNECTOR_ID='comfyui-gpu0')
    for job in ('job-1', 'job-2', 'job-3'):
        equal('started', c.tell(f'started {job}')[0], 0)
    equal('failed', c.tell('failed job-2 out of memory')[0], 0)
    pid = c.process.pid
    died = time.time_ns()
    c.process.kill()
    c.process.wait()
    x = wait_for('worker_died', lambda: [x for x in b.accepted() if x.event == 'worker_died'],
                 10, 0.02)[0]
    equal('severity', x.severity, 17)
    equal('jobs', (x.attributes['jobs_in_progress'], sorted(x.attributes['jobs'])),
          (2, ['job-1', 'job-3']))
    equal('pid', x.attributes['pid'], pid)
    equal('who', (x.resource['worker_id'], x.resource['machine_id'], x.resource['service_type'],
                  x.resource['connector_id']), ('worker-7', 'gpu-1', 'comfyui', 'comfyui-gpu0'))
    check('told within 5 s', x.time - died < 5e9)
    failed = [y for y in b.accepted() if y.event == 'job_failed']
    equal('the failed one', [(y.attributes['job_id'], y.attributes['error_type'])
                             for y in failed], [('job-2', 'memory')])
    equal('deaths', [y.event for y in b.accepted()].count('worker_died'), 1)
    equal('counted', a.counters()['worker_died'], 1)


def without_uring(w, how, words):
    w.io = 'auto'
    a, r, e, b = three(w, under=[NO_URING, how])
    for role in (a, r, e):
        check(role.log(), 'ready:' in role.log() and f'(epoll: {words}' in role.log())
    c = w.caller()
    for i in range(50):
        c.log(f'lane {i}')
        http(a.http, '/', record(i))
    wait_for('all', lambda: len(b.accepted()) >= 100, 20, 0.05)
    equal('different ones', len({x.body for x in b.accepted()}), 100)
    for role in (a, r, e):
        equal('exit', role.stop(), 0)


@claim()
def all_roles_run_where_io_uring_is_refused_with_eperm(w):
    without_uring(w, 'eperm', 'io_uring is ')


@claim()
def all_roles_run_where_io_uring_is_refused_with_enosys(w):
    without_uring(w, 'enosys', 'io_uring is not there')


@claim()
def all_roles_run_where_io_uring_is_answered_by_killing(w):
    without_uring(w, 'kill', 'a seccomp filter kills')


@claim()
def uring_asked_for_and_refused_fails_and_says_why(w):
    w.io = 'uring'
    r = relay(w, start=False, under=[NO_URING, 'eperm'])
    status, said = r.run()
    check(f'{status}: {said}', status == 1 and 'seccomp' in said)


@claim()
def combined_roles_are_one_process(w):
    b = backend(w)
    port, http_port = free_port(), free_port()
    one = w.role('agent,relay,exporter', relay__listen=f'127.0.0.1:{port}',
                 relay__http_listen='', agent__relay=f'127.0.0.1:{port}',
                 agent__http_listen=f'127.0.0.1:{http_port}', exporter__endpoint=b.url).start()
    c = w.caller()
    for i in range(30):
        c.log(f'lane {i}')
        http(http_port, '/', record(i))
    wait_for('all', lambda: len(b.accepted()) >= 60, 20, 0.05)
    equal('status', one.verb('status').returncode, 0)
    for i in range(30, 60):
        c.log(f'lane {i}')
    status, took = stop_timed(one)
    check(f'{status}, {took:.2f} s', status == 0 and took <= GRACE + SLACK)
    one.start()
    wait_for('the rest', lambda: len(b.accepted()) >= 90, 20, 0.05)
    equal('different ones', len({x.body for x in b.accepted()}), 90)
    equal('records', len(b.accepted()), 90)
