# SPDX-License-Identifier: ISC
"""vanish.py - a record vanishes at each hop in turn, and emplogd audit names
the hop and the range of its lane, whatever else is dropped and counted

The claims of the part need a build with --enable-planted: see
src/base/planted.h.
"""

import os
import time

from audit import Log, audit, conserved, missing, named, refusing, trace, traced
from backend import Answer, partial_success
from claims import Skipped, check, claim, equal
from fleet import agent, backend, relay
from world import EMPLOGD, exported, free_port, wait_for


def planted():
    with open(EMPLOGD, 'rb') as f:
        return b'EMPLOG_PLANTED' in f.read()


def needs_planted():
    if not planted():
        raise Skipped('not built with --enable-planted')


# ---- a record is dropped at each hop in turn ----

def drop(hop, k):
    needs_planted()
    return {'EMPLOG_PLANTED': f'drop_{hop}:{k}'}


@claim(part='planted')
def a_record_freed_without_being_sent_is_named(w):
    r = relay(w)
    a = agent(w, r.port, env=drop('live', 4))
    log = Log(w)
    log.log(7)
    missing('lane -> relay', log, 3, a, r)
    for role in (a, r):
        role.stop()
    missing('lane -> relay', log, 3, a, r)


@claim(part='planted')
def a_record_freed_without_being_spilled_is_named(w):
    r = relay(w, start=False)
    a = agent(w, r.port, env=drop('spill', 3))
    log = Log(w)
    log.log(5)
    r.start()
    wait_for('all came', lambda: r.counters()['recv_records'] >= 4 and
             a.counters()['queue_held_records'] == 0)
    missing('lane -> spill', log, 2, a, r)


@claim(part='planted')
def a_spilled_record_that_is_not_sent_is_named(w):
    r = relay(w, start=False)
    a = agent(w, r.port, env=drop('backlog', 2))
    log = Log(w)
    log.log(5)
    r.start()
    wait_for('all came', lambda: r.counters()['recv_records'] >= 4 and
             a.counters()['queue_held_records'] == 0)
    missing('spill -> relay', log, 1, a, r)


@claim(part='planted')
def a_record_a_relay_acknowledges_and_does_not_store_is_named(w):
    r = relay(w, env=drop('intake', 5))
    a = agent(w, r.port)
    log = Log(w)
    log.log(8)
    missing('lane -> relay', log, 4, a, r)


@claim(part='planted')
def a_record_a_relay_does_not_send_on_is_named(w):
    b = backend(w)
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}', exporter__endpoint=b.url).start()
    r = relay(w, relay__next=f'127.0.0.1:{port}', env=drop('onward', 3))
    a = agent(w, r.port)
    log = Log(w)
    log.log(6)
    wait_for('all came', lambda: e.counters()['export_done_records'] >= 5 and
             r.counters()['queue_held_records'] == 0)
    missing('relay -> exporter', log, 2, a, r, e)


@claim(part='planted')
def a_record_an_exporter_acknowledges_and_does_not_store_is_named(w):
    b = backend(w)
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}', exporter__endpoint=b.url,
               env=drop('intake', 2)).start()
    r = relay(w, relay__next=f'127.0.0.1:{port}')
    a = agent(w, r.port)
    log = Log(w)
    log.log(6)
    wait_for('all came', lambda: e.counters()['export_done_records'] >= 5 and
             r.counters()['queue_held_records'] == 0)
    missing('relay -> exporter', log, 1, a, r, e)


@claim(part='planted')
def a_frame_that_is_done_and_in_no_request_is_named(w):
    r = relay(w, env=drop('fill', 4))
    a = agent(w, r.port)
    log = Log(w)
    log.log(6)
    wait_for('done', lambda: r.counters()['queue_done_records'] >= 6)
    missing('export', log, 3, a, r)
    for role in (a, r):
        role.stop()
    missing('export', log, 3, a, r)


@claim(part='planted')
def a_record_left_out_of_its_request_is_named_by_the_export(w):
    r = relay(w, env=drop('encode', 5))
    a = agent(w, r.port)
    log = Log(w)
    log.log(8)
    wait_for('done', lambda: r.counters()['queue_done_records'] >= 8)
    missing('export', log, 4, a, r)


@claim(part='planted')
def a_record_left_out_of_its_request_is_named_by_the_exporter(w):
    b = backend(w)
    r = relay(w, exporter__endpoint=b.url, env=drop('encode', 1))
    a = agent(w, r.port)
    log = Log(w)
    log.log(1)
    wait_for('done', lambda: r.counters()['queue_done_records'] >= 1)
    log.log(3)
    wait_for('done', lambda: r.counters()['queue_done_records'] >= 4)
    missing('export', log, 0, a, r)
    for role in (a, r):
        role.stop()
    missing('export', log, 0, a, r)


@claim(part='planted')
def a_dead_letter_that_is_counted_and_not_kept_is_named(w):
    b = backend(w, usual=refusing('job-1'))
    r = relay(w, exporter__endpoint=b.url, env=drop('dead', 1))
    a = agent(w, r.port)
    log = Log(w)
    log.log(3)
    wait_for('a dead letter', lambda: r.counters()['export_dead_records'] == 1)
    missing('dead letters', log, 1, a, r)
    for role in (a, r):
        role.stop()
    missing('dead letters', log, 1, a, r)


@claim(part='planted')
def nothing_is_named_where_the_switch_is_not_reached(w):
    r = relay(w, env=drop('intake', 1000))
    a = agent(w, r.port, env=drop('live', 1000))
    log = Log(w)
    log.log(5)
    wait_for('done', lambda: r.counters()['queue_done_records'] >= 5)
    conserved(a, r)


@claim()
def a_build_for_users_has_no_switch(w):
    if planted():
        raise Skipped('built with --enable-planted')
    r = relay(w, env={'EMPLOG_PLANTED': 'drop_intake:1'})
    a = agent(w, r.port, env={'EMPLOG_PLANTED': 'drop_live:1'})
    log = Log(w)
    log.log(3)
    wait_for('done', lambda: len(list(exported(
        os.path.join(w.dir, 'relay/relay/export')))) >= 3)
    conserved(a, r)


@claim(part='planted')
def a_frame_a_backend_never_saw_is_named(w):
    b = backend(w)
    r = relay(w, exporter__endpoint=b.url, env=drop('fill', 4))
    a = agent(w, r.port)
    log = Log(w)
    log.log(6)
    wait_for('done', lambda: r.counters()['queue_done_records'] >= 6)
    missing('export', log, 3, a, r)
    traced(log.uid(3), ['relay ', 'done, but in no request that was answered'], a, r)
    traced(log.uid(2), ['relay ', 'done: answered by the backend'], a, r)


@claim(part='planted')
def a_record_left_out_of_the_middle_of_a_request_is_named_alone(w):
    b = backend(w)
    r = relay(w, exporter__endpoint=b.url, env=drop('encode', 5))
    a = agent(w, r.port, start=False)
    log = Log(w)
    log.log(9, wait=False)
    a.start()
    wait_for('done', lambda: r.counters()['queue_done_records'] >= 9)
    equal('requests', len([q for q in b.seen() if q.records]), 1)
    missing('export', log, 4, a, r)


# ---- the same, while others are dropped and counted ----

def rejecting(request):
    """It takes each request, and one of its records not."""
    return Answer(200, body=partial_success(1, 'one was too old'))


def beside_rejected(w, hop, k, named_hop):
    """Record k - 1 vanishes at the hop; of each request one is rejected."""
    b = backend(w, usual=rejecting)
    at_agent = hop in ('live', 'spill', 'backlog')
    chained, spilled = hop == 'onward', hop in ('spill', 'backlog')
    stations = []
    if chained:
        port = free_port()
        stations.append(w.role('exporter', exporter__listen=f'127.0.0.1:{port}',
                               exporter__endpoint=b.url).start())
        to = {'relay__next': f'127.0.0.1:{port}'}
    else:
        to = {'exporter__endpoint': b.url}
    r = relay(w, start=False, env=None if at_agent else drop(hop, k), **to)
    stations.insert(0, r)
    if not spilled:
        r.start()
    a = agent(w, r.port, env=drop(hop, k) if at_agent else None)
    log = Log(w)
    log.log(7)
    if spilled:
        r.start()
    last = stations[-1]
    wait_for('all others are done', lambda: last.counters()['queue_done_records'] >= 6)
    check('some are rejected', last.counters()['export_rejected_records'] > 0)
    missing(named_hop, log, k - 1, a, *stations)


@claim(part='planted')
def rejected_records_do_not_hide_one_freed_without_being_sent(w):
    beside_rejected(w, 'live', 4, 'lane -> relay')


@claim(part='planted')
def rejected_records_do_not_hide_one_freed_without_being_spilled(w):
    beside_rejected(w, 'spill', 3, 'lane -> spill')


@claim(part='planted')
def rejected_records_do_not_hide_a_spilled_one_that_is_not_sent(w):
    beside_rejected(w, 'backlog', 3, 'spill -> relay')


@claim(part='planted')
def rejected_records_do_not_hide_one_acknowledged_and_not_stored(w):
    beside_rejected(w, 'intake', 5, 'lane -> relay')


@claim(part='planted')
def rejected_records_do_not_hide_one_not_sent_on(w):
    beside_rejected(w, 'onward', 3, 'relay -> exporter')


@claim(part='planted')
def rejected_records_do_not_hide_one_that_is_in_no_request(w):
    beside_rejected(w, 'fill', 4, 'export')


@claim(part='planted')
def rejected_records_do_not_hide_one_left_out_of_its_request(w):
    b = backend(w, usual=rejecting)
    r = relay(w, exporter__endpoint=b.url, env=drop('encode', 2))
    a = agent(w, r.port, start=False)
    log = Log(w)
    log.log(4, wait=False)          # one request: three are in it, one rejected
    a.start()
    wait_for('rejected', lambda: r.counters()['export_rejected_records'] >= 1)
    missing('export', log, 1, a, r)


@claim(part='planted')
def kept_letters_do_not_hide_one_that_is_not(w):
    b = backend(w, usual=refusing('job-1', 'job-2', 'job-4'))
    r = relay(w, exporter__endpoint=b.url, env=drop('dead', 2))
    a = agent(w, r.port)
    log = Log(w)
    log.log(6)
    wait_for('dead letters', lambda: r.counters()['export_dead_records'] == 3)
    missing('dead letters', log, 2, a, r)
    s = r.verb('dlq', 'ls')
    check(s.stdout + s.stderr, 'job-2' not in s.stdout)


@claim(part='planted')
def kept_letters_do_not_hide_a_record_left_out(w):
    b = backend(w, usual=refusing('job-1'))
    r = relay(w, exporter__endpoint=b.url, env=drop('fill', 4))
    a = agent(w, r.port)
    log = Log(w)
    log.log(6)
    wait_for('a dead letter', lambda: r.counters()['export_dead_records'] == 1)
    wait_for('done', lambda: r.counters()['queue_done_records'] >= 6)
    missing('export', log, 3, a, r)


def is_past_age(role):
    """The oldest in its queue is too old by now, or was and is gone."""
    c = role.counters()
    oldest = c['queue_oldest_ns']
    return c['queue_dropped_age_records'] > 0 or (
        oldest > 0 and time.time_ns() - oldest > 61 * 10**9)


def aged_and_then(w, first, rest, log, n):
    """
    n records get too old in the queue of first; then rest is there.  Those it
    had in hand already go on: the next to vanish is numbered with that in mind.
    """
    log.log(n)
    wait_for('they wait', lambda: first.counters()['queue_held_records'] >= n)
    wait_for('they are too old', lambda: is_past_age(first), 90, 0.2)
    rest()
    wait_for('they are dropped', lambda:
             first.counters()['queue_dropped_age_records'] > 0 and
             first.counters()['queue_held_records'] == 0, 75)    # a circuit waits for 60 s


@claim(part='planted', patient=True)
def aged_records_do_not_hide_a_spilled_one_that_is_not_sent(w):
    r = relay(w, start=False)
    a = agent(w, r.port, env=drop('backlog', 6), agent__queue_age='1m')
    log = Log(w)
    aged_and_then(w, a, r.start, log, 4)
    r.kill()
    log.log(8)
    wait_for('they wait', lambda: a.counters()['queue_held_records'] >= 8)
    r.start()
    wait_for('all is sent', lambda: a.counters()['queue_held_records'] == 0)
    one_of_the_last('spill -> relay', log, 4, a, r)
    check('a trace says so of one', any(
        'agent     ' in said and 'dropped as too old, and counted' in said
        for said in (trace(log.uid(k), a, r)[1] for k in range(4))))


@claim(part='planted', patient=True)
def aged_records_do_not_hide_one_not_sent_on(w):
    b = backend(w)
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}', exporter__endpoint=b.url)
    r = relay(w, relay__next=f'127.0.0.1:{port}', relay__queue_age='1m', env=drop('onward', 6))
    a = agent(w, r.port)
    log = Log(w)
    aged_and_then(w, r, e.start, log, 4)
    log.log(8)
    wait_for('all is sent', lambda: r.counters()['queue_held_records'] == 0)
    one_of_the_last('relay -> exporter', log, 4, a, r, e)


@claim(part='planted', patient=True)
def aged_records_do_not_hide_one_that_is_in_no_request(w):
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url, exporter__requests_max=1, relay__queue_age='1m',
              env=drop('fill', 3))
    a = agent(w, r.port)
    log = Log(w)
    aged_and_then(w, r, b.open, log, 6)
    log.log(4)
    wait_for('all is done', lambda: r.counters()['queue_held_records'] == 0)
    one_of_the_last('export', log, 6, a, r)


def one_of_the_last(named_hop, log, first, a, *stations):
    """Exactly one record is named, and it is none of those that were too old."""
    said = ''

    def is_missed():
        nonlocal said
        status, said = audit(a, *stations)
        return status == 1
    wait_for('what is dropped is missed', is_missed, every=0.1)
    k = [i for i, at in enumerate(log.places) if f' bytes {at[0]}-{at[1]}:' in said]
    check(said, len(k) == 1 and k[0] >= first)
    named(said, named_hop, log, k[0])
