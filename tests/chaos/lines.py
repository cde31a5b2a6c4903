# SPDX-License-Identifier: ISC
"""lines.py - what a line may do to a message and to its answer"""

import random
import threading
import time

from chain import Chain, says
from claims import check, claim, equal
from wire import Plan
from world import wait_for


class EveryByte(Plan):
    """Each message comes in two pieces, and so does each answer: cut behind
    the first byte, then behind the second, and so on.  Those of several records
    are longer than the others: the shortest are done when every byte was."""

    def __init__(self):
        self.cuts = {'up': set(), 'down': set()}
        self.sizes = {'up': 1 << 20, 'down': 1 << 20}

    def two(self, way, raw, send, taken):
        at = len(self.cuts[way]) + 1
        self.sizes[way] = min(self.sizes[way], len(raw))
        if at >= len(raw):
            send(raw)
            return
        send(raw[:at])
        taken()
        send(raw[at:])
        self.cuts[way].add(at)

    def message(self, line, m):
        if m.chunk is None:
            line.up(m.raw)
        else:
            self.two('up', m.raw, line.up, line.up_taken)

    def answer(self, line, a):
        self.two('down', a.raw, line.down, line.down_taken)

    def is_done(self):
        return all(self.cuts[way] >= set(range(1, self.sizes[way])) for way in ('up', 'down'))


@claim(epoll=True)
def a_message_and_its_answer_may_come_in_two_at_every_byte(w):
    plan = EveryByte()
    c = Chain(w, plan, length=40)
    c.load(6, burst=1, pause_ms=40)
    wait_for('every byte', plan.is_done, 40)
    up, down = plan.sizes['up'], plan.sizes['down']
    n = c.verdict()
    equal('connections', len(c.wire.lines), 1)
    equal('bad answers', c.agent.counters()['hop_bad_acks'], 0)
    equal('bad messages', c.relay.counters()['recv_bad'], 0)
    print(f'in two at each byte: messages of {up} bytes and answers of {down}, {n} records',
          flush=True)


class Cuts(Plan):
    """A connection ends at each of these places of a message, then of an
    answer, the third of each connection.  None: behind it."""
    UP = (1, 2, 20, 'body', 'body+1', 'middle', 'option', 'option+1', 'chunk', 'stream', -1, None)
    DOWN = (0, 1, 5, 6, 20, -1)

    def __init__(self):
        self.lock = threading.Lock()
        self.left = [('up', at, how) for at in self.UP for how in ('RST', 'FIN')]
        self.left += [('down', at, how) for at in self.DOWN for how in ('RST', 'FIN')]
        self.passed, self.last = {}, -1         # the last line that was cut

    def place(self, raw, at, m):
        if m is None or not isinstance(at, str):
            return at
        return {'body': m.body_at, 'body+1': m.body_at + 1, 'option': m.option_at,
                'middle': (m.body_at + m.option_at) // 2, 'option+1': m.option_at + 1,
                'chunk': m.at(m.chunk.encode()), 'stream': m.at(m.option['emplog']['s'])}[at]

    def third(self, line, way):
        n = self.passed[line, way] = self.passed.get((line, way), 0) + 1
        return n >= 3 and self.left and self.left[0][0] == way and line.n == self.last + 1

    def carry(self, line, way, raw, send, taken, m=None):
        with self.lock:
            cut = self.left.pop(0) if self.third(line, way) else None
            self.last = line.n if cut else self.last
        if cut is None:
            send(raw)
            return
        _, at, how = cut
        send(raw[:self.place(raw, at, m)])
        taken()
        line.cut(how)

    def message(self, line, m):
        if m.chunk is None:
            line.up(m.raw)
        else:
            self.carry(line, 'up', m.raw, line.up, line.up_taken, m)

    def answer(self, line, a):
        self.carry(line, 'down', a.raw, line.down, line.down_taken)


@claim(epoll=True)
def a_connection_may_end_inside_of_a_message_and_of_an_answer(w):
    plan = Cuts()
    total = len(plan.left)
    c = Chain(w, plan, length=1000)
    c.load(2, burst=5, pause_ms=5)
    wait_for('all cuts', lambda: not plan.left, 60)
    n = c.verdict(refused=None)     # a disk may be slower than they log
    wait_for('the last connection', lambda: len(c.wire.lines) == total + 1 and
             c.agent.counters()['hop_connects'] == total + 1)
    v = c.agent.counters().read()
    equal('lost connections', v['hop_failures'], total)
    equal('lines about them', c.agent.log_count('lost the relay'), 1)
    equal('sent, and acknowledged + sent again', v['hop_sent_chunks'],
          v['hop_acked_chunks'] + v['hop_resent_chunks'])
    known = c.relay.counters()['recv_dup_records']
    check(f'{known} records known by their ranges', known > 0)
    print(f'cut: {total} connections, {v["hop_resent_chunks"]} chunks sent again, '
          f'{known} of {n} records known by their ranges', flush=True)


class Dropped(Plan):
    """Every hundredth answer never comes."""

    def __init__(self):
        self.seen = self.dropped = 0

    def answer(self, line, a):
        self.seen += 1
        if self.seen % 100 == 0 and self.dropped < 20:
            self.dropped += 1
        else:
            line.down(a.raw)


@claim(patient=True)
def answers_that_never_come_cost_a_repetition_and_no_record(w):
    plan = Dropped()
    c = Chain(w, plan, length=200)
    c.load(3, burst=2, pause_ms=10)
    wait_for('it is left for an answer that does not come',
             lambda: c.agent.counters()['hop_failures'] > 0, 20)
    plan.dropped = 20
    n = c.verdict()
    known = c.relay.counters()['recv_dup_records']
    check(f'{known} records known by their ranges', known > 0)
    says(c.agent, r'lost the relay .*: Connection timed out; records are kept here')
    print(f'dropped: answers of {plan.seen}, {known} of {n} records came again', flush=True)


class Late(Plan):
    """Answers are held back by up to half a second, and overtake each other."""

    def __init__(self):
        self.rng = random.Random(1)
        self.held = 0

    def answer(self, line, a):
        self.held += 1
        t = threading.Timer(self.rng.random() / 2, self.say, (line, a))
        t.daemon = True
        t.start()

    def say(self, line, a):
        try:
            line.down(a.raw)
        except OSError:
            pass


@claim()
def answers_that_come_late_and_out_of_order_are_taken(w):
    c = Chain(w, Late(), length=200)
    c.load(8, burst=2, pause_ms=10)
    wait_for('a hundred', lambda: c.wire.plan.held >= 100)
    c.verdict()
    equal('connections', len(c.wire.lines), 1)
    equal('bad answers', c.agent.counters()['hop_bad_acks'], 0)
    equal('sent again', c.agent.counters()['hop_resent_chunks'], 0)


class Doubled(Plan):
    """Each answer comes twice; some once more much later, on the connection
    after theirs; and some that nobody gave."""

    def __init__(self):
        self.extra, self.old = 0, []

    def begun(self, line):
        self.older = self.old[-20:]

    def answer(self, line, a):
        while self.older:
            line.down(self.older.pop())
            self.extra += 1
        line.down(a.raw * 2)
        self.extra += 1
        self.old.append(a.raw)
        if len(self.old) % 50 == 0:
            line.down(a.raw.replace(a.chunk[:20].encode(), b'never-was-one-such-0'))
            self.extra += 1
        if len(self.old) in (60, 120):
            line.cut()


@claim(epoll=True)
def answers_that_come_twice_or_after_their_connection_free_nothing(w):
    plan = Doubled()
    c = Chain(w, plan, length=200)
    c.load(3, burst=2, pause_ms=10)
    wait_for('two hundred', lambda: len(plan.old) >= 200)
    c.verdict()
    v = c.agent.counters().read()
    equal('connections', len(c.wire.lines), 3)
    equal('sent, and acknowledged + sent again', v['hop_sent_chunks'],
          v['hop_acked_chunks'] + v['hop_resent_chunks'])
    check(f'bad answers {v["hop_bad_acks"]} of {plan.extra}',
          plan.extra - 60 <= v['hop_bad_acks'] <= plan.extra)


class Stalls(Plan):
    """In the middle of some messages and of some answers nothing passes."""

    def __init__(self):
        self.seen = {'up': 0, 'down': 0}

    def stall(self, way, raw, send):
        self.seen[way] += 1
        if self.seen[way] in (20, 60):
            send(raw[:len(raw) // 2])
            time.sleep(1.2)
            send(raw[len(raw) // 2:])
        else:
            send(raw)

    def message(self, line, m):
        self.stall('up', m.raw, line.up)

    def answer(self, line, a):
        self.stall('down', a.raw, line.down)


@claim()
def a_line_that_stalls_inside_of_a_message_or_an_answer_is_borne(w):
    plan = Stalls()
    c = Chain(w, plan, length=1000)
    c.load(2, burst=5, pause_ms=10)
    wait_for('all stalls', lambda: min(plan.seen.values()) > 60, 40)
    c.verdict()
    equal('connections', len(c.wire.lines), 1)
    equal('sent again', c.agent.counters()['hop_resent_chunks'], 0)
