# SPDX-License-Identifier: ISC
"""flips.py - bits that change on the way, unseen by TCP's checksum

Over TLS a flip ends the connection and nothing else.  Without it a record's
own bytes may change, as nothing sums them up; what a message says of itself
must not be believed when it cannot be, for that would cost other records.
"""

import re
import threading

from chain import Chain, unharmed
from claims import check, claim, equal
from fleet import conserved
from internet import Over
from wire import Plan
from words import unpack
from world import wait_for


def numbers(m):
    """(p, n) of each record in a message."""
    out = []
    for found in re.finditer(rb'\xa1p', m.body):
        try:
            p, at = unpack(m.body, found.end())
        except (EOFError, ValueError):      # two bytes of a time that look so
            continue
        if m.body[at:at + 2] == b'\xa1n':
            out.append((p, unpack(m.body, at + 2)[0]))
    return out


class Flips(Plan):
    """Each of them in a message of its own, with some whole ones between."""

    def __init__(self, flips):
        """flips: (what, where(m), bit)."""
        self.lock = threading.Lock()
        self.left, self.seen, self.hit = list(flips), 0, {}

    def message(self, line, m):
        with self.lock:
            mine = m.chunk is not None and m.option['emplog'].get('f', 0) > 40000
            self.seen += mine
            flip = self.left.pop(0) if mine and self.left and self.seen % 8 == 0 else None
        if flip is None:
            line.up(m.raw)
            return
        what, where, bit = flip
        self.hit[what] = numbers(m)
        line.up(m.flipped(where(m), bit))

    def records(self):
        return {k for hit in self.hit.values() for k in hit}


def said(key, byte=1):
    """Of the value its option has under that key."""
    def where(m):
        return m.at(bytes([0xa0 | len(key)]) + key) + len(key) + byte
    return where


def low_bits_of_from(m):
    at = said(b'f')(m)
    return unpack(m.raw, at)[1] - 2


HEAD = [
    ('tag length', lambda m: m.tag_at - 1, 0), ('tag', lambda m: m.tag_at, 1), ('body kind', lambda m: len(m.tag_head()), 0),
    ('body length', lambda m: m.body_at - 1, 0), ('body length, more', lambda m: m.body_at - 1, 4),
    ('key chunk', said(b'chunk', 0), 0), ('key signal', said(b'fluent_signal', 0), 0),
    ('id', said(b'chunk', 2), 0), ('id, later', said(b'chunk', 20), 3),
    ('version', said(b'v'), 1), ('stream', said(b's', 4), 0), ('stream length', said(b's', 2), 0),
    ('from', low_bits_of_from, 6), ('from, again', low_bits_of_from, 5),
    ('from, less', low_bits_of_from, 4), ('from, more', low_bits_of_from, 7),
]
# After these it is a foreign sender's, of whom no stream is known.
NAME = [('array', lambda m: 0, 0), ('option', lambda m: m.option_at, 0), ('key emplog', said(b'emplog', 0), 0),
        ('its map', said(b'emplog'), 0)]


def through(w, flips):
    c = Chain(w, Flips(flips), length=300)
    c.load(4, burst=10, pause_ms=10)
    wait_for('all flips', lambda: not c.wire.plan.left, 40)
    at = c.issued()
    wait_for('much behind them', lambda: c.issued() > at + 2000)
    return c


@claim(epoll=True)
def flips_in_what_a_message_says_of_itself_lose_and_double_nothing(w):
    c = through(w, HEAD)
    n = c.verdict()
    v = c.relay.counters().read()
    check(f'refused: {v["recv_bad"]}', v['recv_bad'] >= 10)
    print(f'flips: {len(HEAD)} in heads of {n} records, {v["recv_bad"]} messages refused',
          flush=True)


@claim()
def flips_that_make_a_message_a_strangers_lose_nothing(w):
    c = through(w, NAME)
    c.verdict(doubles=len(c.wire.plan.records()), audited=False)
    check('only those twice', set(c.received.twice) <= c.wire.plan.records())


BODY = [
    ('entry', lambda m: m.body_at, 0), ('time', lambda m: m.body_at + 1, 4),
    ('map', lambda m: m.body_at + 11, 6), ('text', lambda m: m.raw.index(b'payload') + 60, 0),
    ('length of text', lambda m: m.raw.index(b'payload') + 9, 0),
    ('key', lambda m: m.raw.index(b'payload'), 1), ('a number', lambda m: m.option_at - 320, 7),
    ('last', lambda m: m.option_at - 1, 7),
]


@claim()
def flips_in_records_harm_these_and_no_others(w):
    """Changed, or in quarantine and counted: there is no sum over records."""
    c = through(w, BODY)
    c.end_load()
    plan, r = c.wire.plan, c.received
    harmed = plan.records()

    def rest():
        return {k for k in r.read().missing(w.producers)} <= harmed
    wait_for('everything else', rest, 30, 0.05)
    wait_for('no lane holds any', lambda: w.unacknowledged() == 0, 10)
    equal('twice', [k for k in r.twice if k not in harmed], [])
    equal('damaged', [k for k in r.damaged if k not in harmed], [])
    v = c.relay.counters().read()
    lost = len(r.missing(w.producers))
    check(f'{v["recv_quarantined_chunks"]} chunks in quarantine, {lost} records missing',
          2 <= v['recv_quarantined_chunks'] <= len(BODY) and lost > 0)
    equal('refused', v['recv_bad'], 0)
    conserved(c.agent, c.relay)
    for role in (c.agent, c.relay):
        unharmed(role)
    print(f'flips: {len(BODY)} in records, {v["recv_quarantined_chunks"]} chunks with '
          f'{lost} records in quarantine, {len(r.damaged)} changed', flush=True)


class Answers(Plan):
    """The n-th answer has another bit flipped, if it is one of these."""
    AT = {20: 0, 40: 1, 60: 2, 80: 4, 100: 5, 120: 9, 140: 28, 160: 30, 180: -1}

    def __init__(self):
        self.seen = 0

    def answer(self, line, a):
        self.seen += 1
        raw = bytearray(a.raw)
        if self.seen in self.AT:
            raw[self.AT[self.seen]] ^= 1
        line.down(bytes(raw))


@claim(patient=True)
def flips_in_answers_cost_a_repetition_and_no_record(w):
    plan = Answers()
    c = Chain(w, plan, length=200)
    c.load(4, burst=2, pause_ms=10)
    wait_for('all flips', lambda: plan.seen > 200, 40)
    c.verdict()
    v = c.agent.counters().read()
    check(f'bad answers: {v["hop_bad_acks"]}', v['hop_bad_acks'] >= 4)
    equal('sent, and acknowledged + sent again', v['hop_sent_chunks'],
          v['hop_acked_chunks'] + v['hop_resent_chunks'])


class Anywhere(Plan):
    """A bit of each connection, once so much has passed."""

    def __init__(self, every):
        self.every, self.flips, self.hit = every, 0, set()
        self.may = True

    def data(self, line, way, data):
        if self.may and line.passed > self.every and line not in self.hit:
            self.hit.add(line)
            self.flips += 1
            data = bytearray(data)
            data[self.flips * 7919 % len(data)] ^= 1 << self.flips % 8
        line.send(way, bytes(data))


@claim(epoll=True)
def over_tls_a_flip_costs_the_connection_and_nothing_else(w):
    over = Over(w, True)
    plan = Anywhere(300000)
    c = Chain(w, plan, length=1000, raw=True, scheme=over.scheme, agent_sets=over.sets,
              **over.sets)
    c.load(2, burst=10, pause_ms=10)
    wait_for('fifteen flips', lambda: plan.flips >= 15, 30)
    plan.may = False
    n = c.verdict(refused=None)         # while it is connected anew lanes may be full
    v = c.agent.counters().read()
    check(f'connections lost: {v["hop_failures"]}', v['hop_failures'] >= plan.flips - 1)
    equal('lines about them', c.agent.log_count('lost the relay'), 1)
    print(f'flips: {plan.flips} over TLS, {v["hop_failures"]} connections lost, {n} records',
          flush=True)
