# SPDX-License-Identifier: ISC
"""outage.py - a backend that is away for more than a minute, in real time"""

import time

from backend import Answer
from claims import check, claim, equal
from fleet import arrive, give, numbers, relay_and_backend
from world import wait_for

BUSY = Answer(503, {'Retry-After': '1'})
PAD = 'no run of letters ' * 170


@claim(patient=True)
def after_a_minute_away_fresh_records_are_seen_before_the_backlog_is_done(w):
    r, b = relay_and_backend(w, BUSY, exporter__requests_max='1',
                             exporter__batch_bytes='16K')
    old = 240
    for n in range(0, old, 4):
        give(r, range(n, n + 4), pad=PAD)
    wait_for('a minute of outage', lambda: time.time_ns() -
             r.counters()['queue_oldest_ns'] > 62e9, 90, 0.1)
    equal('accepted meanwhile', len(b.accepted()), 0)
    b.usual = Answer(delay=0.15)
    wait_for('two flows', lambda: r.counters()['queue_backlog_records'] > 0, 10)
    s = r.verb('status')
    check(s.stdout, 'what is fresh goes beside it' in s.stdout)
    n = old
    while r.counters()['queue_backlog_records'] > 0:
        give(r, [n], pad=PAD)
        wait_for(f'fresh record {n}', lambda: n in numbers(b.accepted()), 10, 0.02)
        n += 1
    check(f'{n - old} came beside the backlog', n - old >= 8)
    arrive(b, range(n))
    got = numbers(b.accepted())
    for flow in ([x for x in got if x < old], [x for x in got if x >= old]):
        equal('the order of a flow', flow, sorted(flow))
    equal('times there were two', r.counters()['queue_returns'], 1)
    equal('exit', r.stop(), 0)
