# SPDX-License-Identifier: ISC
"""answers.py - what the exporter does with each answer of a backend"""

import email.utils
import glob
import os
import random
import signal
import threading
import time
from http.client import HTTPException

from backend import Answer, HTML, partial_success
from claims import check, claim, equal
from fleet import arrive, backend, give, numbers, relay, relay_and_backend
from world import http, wait_for

LATE = 0.5          # a retry may come so much later than asked, on a busy machine


def second_request(b, seconds=15):
    return wait_for('a second request', lambda: b.seen()[1:2], seconds, 0.005)[0]


def retried(w, answer, **sets):
    """One odd answer, then good ones: all arrives, once; the relay."""
    r, b = relay_and_backend(w, **sets)
    b.queue(answer)
    give(r, range(10))
    arrive(b, range(10))
    first, second = b.seen()[:2]
    equal('what the first and the second request hold', numbers(first.records),
          numbers(second.records))
    check('the second was a retry', r.counters()['export_retries'] >= 1)
    return r, b


@claim()
def a_429_is_tried_again_at_the_second_it_names(w):
    r, b = relay_and_backend(w)
    b.queue(Answer(429, {'Retry-After': '2'}))
    give(r, range(5))
    second = second_request(b)
    waited = second.at - b.seen()[0].answered_at
    check(f'waited {waited:.3f} s for 2 s', 1.98 <= waited <= 2 + LATE)
    arrive(b, range(5))


@claim()
def every_429_of_many_is_waited_out_as_it_says(w):
    r, b = relay_and_backend(w)
    b.queue(*[Answer(429, {'Retry-After': '1'}) for _ in range(7)])
    give(r, range(5))
    arrive(b, range(5))
    seen = b.seen()
    waits = [round(later.at - sooner.answered_at, 3) for sooner, later in zip(seen, seen[1:])]
    check(f'each wait is one second: {waits}', all(0.98 <= x <= 1 + LATE for x in waits))
    equal('requests', len(seen), 8)


@claim()
def a_503_is_tried_again_at_the_date_it_names(w):
    r, b = relay_and_backend(w)
    date = int(time.time()) + 3
    b.queue(Answer(503, {'Retry-After': email.utils.formatdate(date, usegmt=True)}))
    give(r, range(5))
    late = second_request(b).wall - date
    check(f'{late:.3f} s after the date', -0.02 <= late <= 1 + LATE)
    arrive(b, range(5))


@claim(epoll=True)
def after_503s_nothing_is_lost_and_nothing_comes_twice(w):
    r, b = relay_and_backend(w, exporter__batch_bytes='16K')
    b.queue(Answer(503), Answer(200), Answer(503), Answer(503))
    for i in range(20):
        give(r, range(i * 100, i * 100 + 100))
    arrive(b, range(2000), 30)


@claim()
def a_500_is_tried_again(w):
    retried(w, Answer(500))


@claim()
def a_redirect_is_not_followed_but_tried_again(w):
    retried(w, Answer(302, {'Location': 'http://127.0.0.1:9/elsewhere'}))


@claim()
def html_with_200_is_no_answer_of_a_backend(w):
    retried(w, HTML)


@claim()
def an_answer_broken_off_in_the_middle_is_none(w):
    retried(w, Answer(cut='half'))


@claim()
def a_connection_closed_without_an_answer_is_tried_again(w):
    retried(w, Answer(cut='none'))


@claim()
def an_answer_slower_than_the_timeout_is_none(w):
    retried(w, Answer(200, delay=3), exporter__timeout='500ms')


@claim()
def a_backend_that_was_away_gets_everything_once(w):
    r, b = relay_and_backend(w)
    b.close()
    for i in range(5):
        give(r, range(i * 20, i * 20 + 20))
    wait_for('it was tried', lambda: r.counters()['export_requests'] >= 2, 10)
    b.open()
    arrive(b, range(100), 30)


@claim()
def partial_success_is_counted_and_never_sent_again(w):
    r, b = relay_and_backend(w)
    b.queue(Answer(200, body=partial_success(3, 'three were too old')))
    give(r, range(10))
    wait_for('counted', lambda: r.counters()['export_rejected_records'] == 3)
    give(r, range(10, 20))
    arrive(b, range(20))
    wait_for('17 are done', lambda: r.counters()['export_done_records'] == 17)
    equal('sent again', r.counters()['export_retries'], 0)
    check('the reason is in the log', 'three were too old' in r.log())


@claim()
def a_partial_success_longer_than_we_read_is_not_sent_again(w):
    r, b = relay_and_backend(w)
    b.queue(Answer(200, body=partial_success(3, 'too old ' * 4000)))
    give(r, range(10))
    wait_for('counted', lambda: r.counters()['export_rejected_records'] == 3)
    give(r, range(10, 20))
    arrive(b, range(20))
    equal('sent again', r.counters()['export_retries'], 0)


@claim()
def a_token_the_backend_repeats_is_nowhere_told(w):
    b = backend(w, Answer(401, {'Content-Type': 'text/plain'}, b'no such token: auth_s3cr3t!'))
    r = relay(w, env={'EMPLOGD_EXPORTER_TOKEN': 'auth_s3cr3t'}, exporter__endpoint=b.url)
    give(r, range(10))
    wait_for('held', lambda: r.counters()['export_held_auth'] == 1)
    ready = http(r.http, '/ready').body
    status = r.verb('status')
    told = r.log() + str(ready) + status.stdout + status.stderr
    check('its words are told', 'no such token' in told)
    check('the token is not', 's3cr3t' not in told)


@claim()
def a_413_halves_until_it_fits(w):
    r, b = relay_and_backend(
        w, lambda q: Answer(413) if len(q.records) > 30 else Answer())
    give(r, range(200))
    arrive(b, range(200))
    check('no request over 30 was accepted',
          all(len(q.records) <= 30 for q in b.seen() if q.status == 200))
    equal('dead letters', r.counters()['export_dead_records'], 0)


def poisoned(q):
    bad = any(r.attributes.get('poison') for r in q.records)
    return Answer(400, {'Content-Type': 'text/plain'}, b'no such thing') if bad else Answer()


@claim()
def of_500_records_only_the_refused_one_becomes_a_dead_letter(w):
    r, b = relay_and_backend(w, poisoned)
    give(r, [0])
    arrive(b, [0])
    batch = [{'n': n, 'message': 'in a batch', 'event_type': 'numbered'} for n in range(1, 501)]
    batch[321]['poison'] = True
    equal('status', http(r.http, '/', batch, {'Emplog-Ack': 'relay'}).status, 200)
    wait_for('a dead letter', lambda: r.counters()['export_dead_records'] == 1, 40)
    arrive(b, set(range(501)) - {322}, 40)
    letters = b''.join(open(p, 'rb').read() for p in
                       glob.glob(os.path.join(w.dir, 'relay/relay/dead/*')) if os.path.isfile(p))
    check('the letter and its reason are on disk',
          b'poison' in letters and b'no such thing' in letters)
    refused = [q.at for q in b.seen() if q.status == 400]
    gaps = [later - sooner for sooner, later in zip(refused, refused[1:])]
    check(f'at most one bisection a second: {gaps}', all(g >= 0.9 for g in gaps[1:]))


@claim()
def a_400_to_everything_holds_the_queue(w):
    r, b = relay_and_backend(w, Answer(400, {'Content-Type': 'text/plain'}, b'bad dataset'))
    give(r, range(50))
    wait_for('held', lambda: r.counters()['export_held_auth'] == 1)
    give(r, range(50, 100))
    time.sleep(2)
    equal('requests', len(b.seen()), 1)
    equal('dead letters', r.counters()['export_dead_records'], 0)
    reason = http(r.http, '/ready').json()['reason']
    check(reason, '400' in reason and 'bad dataset' in reason)


def wants_good_token(q):
    if q.headers.get('Authorization') == 'Bearer good':
        return Answer()
    return Answer(401, {'Content-Type': 'text/plain'}, b'token expired')


@claim()
def a_401_holds_everything_until_a_restart_with_a_good_token(w):
    b = backend(w, wants_good_token)
    r = relay(w, env={'EMPLOGD_EXPORTER_TOKEN': 'bad'}, exporter__endpoint=b.url)
    for i in range(4):
        give(r, range(i * 10, i * 10 + 10))
    wait_for('held', lambda: r.counters()['export_held_auth'] == 1)
    ready = http(r.http, '/ready')
    equal('/ready', ready.status, 503)
    check(ready.body, '401' in ready.json()['reason'] and 'token expired' in ready.json()['reason'])
    time.sleep(1)
    check(f'{len(b.seen())} requests while held', len(b.seen()) <= 2)
    equal('exit', r.stop(), 0)
    r.env = {'EMPLOGD_EXPORTER_TOKEN': 'good'}
    r.start()
    arrive(b, range(40))
    equal('/ready', http(r.http, '/ready').status, 200)


@claim()
def a_good_token_and_sighup_end_the_hold(w):
    path = os.path.join(w.dir, 'token')
    with open(path, 'w') as f:
        f.write('bad\n')
    b = backend(w, wants_good_token)
    r = relay(w, exporter__endpoint=b.url, exporter__token_file=path)
    give(r, range(10))
    wait_for('held', lambda: r.counters()['export_held_auth'] == 1)
    with open(path, 'w') as f:
        f.write('good\n')
    r.tell(signal.SIGHUP)
    arrive(b, range(10), 5)
    check('no token in the log', 'good' not in r.log() and 'bad\n' not in r.log())


@claim(epoll=True)
def after_kills_only_what_was_under_way_comes_again(w):
    """Under way: not answered yet, or answered but a commit ago."""
    commit_s = 0.6
    requests_max = 4
    r, b = relay_and_backend(w, Answer(200, delay=0.05), exporter__requests_max=requests_max,
                             exporter__batch_bytes='16K', exporter__headers='x-life=0')
    rng = random.Random(7)
    sent, kills, stop = set(), [], threading.Event()

    def feed():
        n = 0
        while not stop.is_set():
            try:
                give(r, range(n, n + 40), text='x' * 300)
                sent.update(range(n, n + 40))
            except (OSError, HTTPException, AssertionError):
                time.sleep(0.01)
            n += 40     # never the same number twice, whatever became of it
    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        for _ in range(6):
            done = len(b.seen())
            wait_for('more requests', lambda: len(b.seen()) > done + 4, 10)
            time.sleep(rng.random() * 0.1)
            kills.append(time.monotonic())
            r.kill()
            r.sets['exporter.headers'] = f'x-life={len(kills)}'
            r.start()
    finally:
        stop.set()
        feeder.join()
    wait_for('everything', lambda: set(numbers(b.accepted())) >= sent, 30, 0.05)
    check(f'{b.open_most} requests at once', b.open_most <= 2 * requests_max)
    equal('repeats of what was not under way', repeats(b, kills, commit_s), [])


def repeats(b, kills, commit_s):
    """(number, its lives) where it came again and was not under way at the kill."""
    copies = {}
    for q in b.seen():
        for n in numbers(q.records):
            copies.setdefault(n, []).append((int(q.headers['x-life']), q.answered_at))
    bad = []
    for n, of in copies.items():
        of.sort(key=lambda c: c[0])
        for (life, answered), (later, _) in zip(of, of[1:]):
            if life == later or answered is not None and answered + commit_s < kills[life]:
                bad.append((n, of))
    return bad


@claim()
def a_record_the_backend_finds_too_large_becomes_a_dead_letter(w):
    r, b = relay_and_backend(w, lambda q: Answer(
        413 if any(x.attributes.get('n') == 5 for x in q.records) else 200))
    give(r, range(10))
    arrive(b, set(range(10)) - {5})
    wait_for('a dead letter', lambda: r.counters()['export_dead_records'] == 1)
    wait_for('all are answered', lambda: r.counters()['export_held_records'] == 0)
    c = r.counters().read()
    equal('taken is done and dead', c['export_taken_records'],
          c['export_done_records'] + c['export_dead_records'])
    equal('the sums add up', c['conservation_broken'], 0)


@claim()
def answers_about_the_address_hold_and_lose_nothing(w):
    """403, 404 and 407, each at a backend of its own, then a good one."""
    for status in (403, 404, 407):
        b = backend(w, Answer(status, {'Content-Type': 'text/plain'}, b'not here'), f'b{status}')
        r = relay(w, state=f'relay{status}', exporter__endpoint=b.url)
        give(r, range(10))
        wait_for('held', lambda: r.counters()['export_held_auth'] == 1)
        reason = http(r.http, '/ready').json()['reason']
        check(reason, str(status) in reason and 'not here' in reason)
        s = r.verb('status')
        check(s.stdout, s.returncode == 1 and f'HTTP {status}' in s.stdout)
        r.stop()
        b.usual = Answer()
        r.start()
        arrive(b, range(10))
