# SPDX-License-Identifier: ISC
"""lines.py - what a line may do to a message and to its answer"""

from chain import Chain
from claims import claim, equal
from wire import Plan
from world import wait_for


class EveryByte(Plan):
    """Each message comes in two pieces, and so does each answer: cut behind
    the first byte, then behind the second, and so on."""

    def __init__(self):
        self.cuts = {'up': set(), 'down': set()}
        self.sizes = {'up': 0, 'down': 0}

    def two(self, way, raw, send, taken):
        at = len(self.cuts[way]) + 1
        if at >= len(raw):
            send(raw)
            return
        self.sizes[way] = max(self.sizes[way], len(raw))
        send(raw[:at])
        taken()
        send(raw[at:])
        self.cuts[way].add(at)

    def message(self, line, m):
        self.two('up', m.raw, line.up, line.up_taken)

    def answer(self, line, a):
        self.two('down', a.raw, line.down, line.down_taken)

    def is_done(self):
        return all(self.sizes[way] > 0 and self.cuts[way] >= set(range(1, self.sizes[way]))
                   for way in ('up', 'down'))


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
