# SPDX-License-Identifier: ISC
"""letters.py - emplogd dlq: dead letters looked at, given back and dropped"""

import json
import os
import shutil
import subprocess

from backend import Answer
from claims import check, claim, equal
from fleet import arrive, backend, give, numbers, relay, relay_and_backend, three
from world import http, wait_for

GOLDEN = os.path.join(os.path.dirname(__file__), '../golden/dead-letters-form1.seg')
NOBODY = 65533
WORDS = b'no such thing: \x1b[31mred\x07'


class Picky:
    """A backend that refuses what has poison, until it thinks better of it."""

    def __init__(self):
        self.mild = False
        self.delay = 0

    def __call__(self, q):
        if any(r.attributes.get('poison') for r in q.records):
            if not self.mild:
                return Answer(400, {'Content-Type': 'text/plain'}, WORDS)
            return Answer(delay=self.delay)
        return Answer()


def buried(w, n, **sets):
    """A relay with n letters, numbered from 1; record 0 was accepted."""
    picky = Picky()
    r, b = relay_and_backend(w, picky, **sets)
    give(r, [0])
    arrive(b, [0])
    for i in range(1, n + 1):
        give(r, [i], poison='yes')
        wait_for('a dead letter', lambda i=i: r.counters()['export_dead_records'] == i)
    return r, b, picky


def ls(r, *words):
    s = r.verb('dlq', 'ls', '--json', *words)
    equal('ls', (s.returncode, s.stderr), (0, ''))
    return [json.loads(line) for line in s.stdout.splitlines()]


def kept(r):
    return sum(run['records'] for run in ls(r))


@claim(epoll=True)
def dlq_ls_and_show_tell_why_and_what_while_it_runs_and_after(w):
    r, b, _ = buried(w, 3, exporter__dataset='tests')
    s = r.verb('dlq', 'ls')
    check(s.stdout, 'relay/0-2  3 records' in s.stdout and 'refused, HTTP 400: ' in s.stdout)
    check(s.stdout, '\x1b' not in s.stdout and '\x07' not in s.stdout)
    check(s.stdout, f'; {b.url}, dataset tests\n' in s.stdout)
    check(s.stdout, s.stdout.endswith(' B\n') and 'kept: 3 dead letters, ' in s.stdout)
    run, = ls(r)
    equal('status and why', (run['status'], run['why'], run['records']), (400, 'refused', 3))
    check(run['words'], run['words'].startswith('no such thing: '))
    check(run['from'], run['from'][:4] >= '2020' and run['from'] <= run['to'])
    s = r.verb('dlq', 'show', '--json')
    shown = [json.loads(line) for line in s.stdout.splitlines()]
    equal('shown', [(x['n'], x['emplog.dead_letter']) for x in shown],
          [(1, 'relay/0'), (2, 'relay/1'), (3, 'relay/2')])
    s = r.verb('dlq', 'show', '1')
    check(s.stdout, s.stdout.startswith('relay/1 ') and 'record 2' in s.stdout)
    s = r.verb('dlq', 'show', 'relay/7')
    equal('exit', (s.returncode, s.stdout), (1, ''))
    s = r.verb('status')
    check(s.stdout, 'dead       3 letters kept' in s.stdout and 'emplogd dlq ls' in s.stdout)
    equal('exit', r.stop(), 0)
    equal('kept when stopped', kept(r), 3)


@claim(epoll=True)
def dlq_replay_exports_the_record_it_was(w):
    r, b, picky = buried(w, 3)
    refused = {rec.attributes['n']: rec for q in b.seen() if q.status == 400 for rec in q.records}
    picky.mild = True
    s = r.verb('dlq', 'replay', 'relay/1')
    equal('replay', (s.returncode, s.stdout, s.stderr),
          (0, 'relay: replay 1 dead letter: done, 2 are kept now\n', ''))
    arrive(b, [0, 2])
    equal('kept', kept(r), 2)
    s = r.verb('dlq', 'replay')
    equal('replay', s.stdout, 'relay: replay 2 dead letters: done, 0 are kept now\n')
    arrive(b, range(4))
    for rec in b.accepted():
        n = rec.attributes['n']
        if n > 0:
            was = refused[n]
            equal('id', rec.attributes['log.record.uid'], was.attributes['log.record.uid'])
            equal('time', rec.time, was.time)
            equal('attributes', rec.attributes, was.attributes)
            equal('resource', rec.resource, was.resource)
    c = r.counters()
    equal('counted', (c['export_dead_records'], c['export_dead_replayed'], c['export_dead_held'],
                      c['export_done_records']), (3, 3, 0, 4))
    equal('nothing is left', r.verb('dlq', 'replay').stdout, 'there are no dead letters\n')


@claim()
def dlq_replay_asked_of_a_stopped_relay_is_done_when_it_starts(w):
    r, b, picky = buried(w, 2)
    equal('exit', r.stop(), 0)
    picky.mild = True
    s = r.verb('dlq', 'replay')
    equal('said', s.stdout, 'relay: replay 2 dead letters: when an exporter starts '
          'that has them, none does now\n')
    equal('kept', kept(r), 2)
    r.start()
    arrive(b, range(3))
    wait_for('none is kept', lambda: kept(r) == 0)


@claim()
def a_letter_refused_again_is_kept_with_the_new_reason(w):
    r, b, _ = buried(w, 1)
    first, = ls(r)
    s = r.verb('dlq', 'replay')
    check(s.stdout, s.returncode == 0)
    wait_for('buried again', lambda: r.counters()['export_dead_records'] == 2)
    wait_for('and the old one is gone', lambda: [x['first'] for x in ls(r)] == [1])
    second, = ls(r)
    check(f'{first} {second}', second['from'] >= first['from'] and second['status'] == 400)
    equal('accepted', numbers(b.accepted()), [0])


@claim()
def dlq_drop_wants_yes_or_a_number_and_counts(w):
    r, b, picky = buried(w, 4)
    s = r.verb('dlq', 'drop')
    equal('exit', (s.returncode, s.stdout), (78, ''))
    equal('kept', kept(r), 4)
    s = r.verb('dlq', 'drop', '1-2')
    equal('said', s.stdout, 'relay: drop 2 dead letters: done, 2 are kept now\n')
    s = r.verb('dlq', 'drop', '1')
    equal('exit of a second time', s.returncode, 1)
    equal('dropped', r.counters()['export_dead_dropped'], 2)
    s = r.verb('dlq', 'drop', '--yes')
    equal('said', s.stdout, 'relay: drop 2 dead letters: done, 0 are kept now\n')
    equal('dropped', r.counters()['export_dead_dropped'], 4)
    picky.mild = True
    give(r, [5])
    arrive(b, [0, 5])


@claim(epoll=True)
def a_relay_killed_while_letters_go_back_loses_none(w):
    r, b, picky = buried(w, 3)
    picky.mild, picky.delay = True, 30
    check('asked', r.verb('dlq', 'replay').stdout.endswith('what is left\n'))
    wait_for('they are on their way', lambda: len(b.seen()) > 4)
    r.kill()
    equal('kept', kept(r), 3)
    picky.delay = 0
    r.start()
    wait_for('all came', lambda: set(numbers(b.accepted())) == {0, 1, 2, 3})
    wait_for('none is kept', lambda: kept(r) == 0)


@claim()
def letters_of_the_form_before_are_given_back(w):
    b = backend(w)
    r = relay(w, start=False, exporter__endpoint=b.url)
    dead = os.path.join(w.dir, 'relay/relay/dead')
    os.makedirs(dead)
    shutil.copy(GOLDEN, os.path.join(dead, '0000000000000001.seg'))
    equal('kept', kept(r), 3)
    r.start()
    s = r.verb('dlq', 'replay')
    equal('said', s.stdout, 'relay: replay 3 dead letters: done, 0 are kept now\n')
    arrive(b, [1, 2, 3])
    check('no word of the note went with them',
          not any('emplog.dead' in key for rec in b.accepted()
                  for key in [*rec.attributes, *rec.resource]))


@claim()
def what_root_asks_is_done_by_whoever_runs_it(w):
    if os.getuid() != 0:
        return
    for path in (w.dir, w.ring_parent):
        os.chown(path, NOBODY, NOBODY)
    r, b, picky = buried(w, 2, under=('setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}',
                                      '--clear-groups'))
    picky.mild = True
    s = r.verb('dlq', 'replay', '0')
    equal('said', s.stdout, 'relay: replay 1 dead letter: done, 1 are kept now\n')
    s = subprocess.run(r.verb_arguments('dlq', 'ls'), capture_output=True, text=True,
                       env=w.env, user=NOBODY + 1, timeout=10)
    check(s.stderr, s.returncode == 1 and 'cannot be read: Permission denied' in s.stderr)
    arrive(b, [0, 1])


@claim()
def letters_of_an_exporter_of_its_own_are_found_too(w):
    a, r, e, b = three(w)
    b.usual = picky = Picky()
    http(r.http, '/', [{'n': 0, 'message': 'good'}], {'Emplog-Ack': 'relay'})
    arrive(b, [0])
    http(r.http, '/', [{'n': 1, 'message': 'bad', 'poison': 'yes'}], {'Emplog-Ack': 'relay'})
    wait_for('a dead letter', lambda: e.counters()['export_dead_records'] == 1)
    run, = ls(e)
    equal('role', (run['role'], run['first'], run['last']), ('exporter', 0, 0))
    picky.mild = True
    s = e.verb('dlq', 'replay', 'exporter/0')
    equal('said', s.stdout, 'exporter: replay 1 dead letter: done, 0 are kept now\n')
    arrive(b, [0, 1])


@claim()
def a_request_nobody_understands_is_told_and_removed(w):
    r, _, _ = buried(w, 1)
    asked = os.path.join(w.dir, 'relay/relay/dead/asked')
    with open(os.path.join(asked, '.x'), 'w', encoding='ascii') as f:
        f.write('drop everything\n')
    os.rename(os.path.join(asked, '.x'), os.path.join(asked, '0.ask'))
    wait_for('removed', lambda: os.listdir(asked) == [])
    check(r.log(), 'is no request for dead letters' in r.log())
    equal('kept', kept(r), 1)
