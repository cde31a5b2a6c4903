# SPDX-License-Identifier: ISC
"""chain.py - producers, roles, what went in and what came out

The same verdict ends every scene: what was accepted came out whole and once,
the sums of every role are right (emplogd audit), each role runs still, and
none has filled its log.
"""

import os
import random
import re

from claims import check, equal
from fleet import conserved, relay
from wire import Wire
from world import Received, wait_for

LINES = 40      # of a role's log, at most, whatever happened to it


def seeded(what):
    seed = int(os.environ.get('CHAOS_SEED') or random.SystemRandom().randrange(1 << 32))
    print(f'{what}: seed {seed} (CHAOS_SEED)', flush=True)
    return random.Random(seed)


class Chain:
    """agent -> [wire ->] relay with its local export, unless told otherwise."""

    def __init__(self, w, plan=None, length=6000, relay_role=None, make_agent=None,
                 agent_sets=None, raw=False, scheme='', exporter=None, **relay_sets):
        self.w, self.length, self.has_others = w, length, False
        self.relay = relay_role or relay(w, **relay_sets)
        self.exporter = exporter        # beyond it, when it is not in the relay
        self.wire = None
        self.peer = f'127.0.0.1:{self.relay.port}'
        if plan is not None:
            self.wire = Wire(w, seeded(type(plan).__name__), self.relay.port, plan, raw)
            self.peer = self.wire.address
        sets = {'agent__relay': scheme + self.peer, 'agent__http_listen': '', **(agent_sets or {})}
        self.agent = (make_agent or w.role)('agent', **sets).start()
        self.received = Received(self.export_dir(), length)

    def export_dir(self):
        role = self.exporter or self.relay
        return role.place(role.roles, 'export')

    def roles(self):
        return [r for r in (self.agent, self.relay, self.exporter) if r is not None]

    def load(self, producers=2, burst=20, pause_ms=10, count=1000000):
        return [self.w.producer(burst, pause_ms, count, self.length) for _ in range(producers)]

    def others(self, producers):
        """They go mad: what comes of theirs is not looked at."""
        self.has_others = True
        for p in producers:
            self.w.producers.remove(p)
            self.w.closers.append(p.end)

    def issued(self):
        return sum(p.sets()[0] for p in self.w.producers)

    def end_load(self):
        for p in self.w.producers:
            p.end()

    def all_there(self, seconds=30, refused=0, doubles=0):
        """Accepted is a part of received, received of issued; none twice."""
        producers = self.w.producers
        try:
            wait_for('everything accepted', lambda: not self.received.read().missing(producers),
                     seconds, 0.05)
        except TimeoutError:
            lost = self.received.missing(producers)
            raise AssertionError(f'{len(lost)} of {self.issued()} records lost, first '
                                 f'{lost[:5]}') from None
        r, ours = self.received, {p.number for p in producers}
        damaged, twice = ([x for x in xs if x[0] in ours] for xs in (r.damaged, r.twice))
        equal('damaged', damaged[:5], [])
        equal('never issued', r.never_issued(producers)[:5], [])
        check(f'{len(twice)} came twice, first {twice[:5]}', len(twice) <= doubles)
        if refused is not None:
            equal('refused by lanes', sum(p.sets()[2] for p in producers), refused)
        return sum(len(r.seen.get(number, ())) for number in ours)

    def refusals_are_counted(self):
        refused = sum(p.sets()[2] for p in self.w.producers)
        v = self.agent.counters()
        wait_for('each refusal is counted', lambda: v['lane_refused'] == refused or (
            self.has_others and v['lane_refused'] > refused), 10)

    def verdict(self, seconds=30, refused=0, doubles=0, lines=LINES, audited=True):
        """refused: by lanes, so many; None: however many, if they are counted."""
        self.end_load()
        n = self.all_there(seconds, refused, doubles)
        if refused is None:
            self.refusals_are_counted()
        check('records', n > 0)
        wait_for('no lane holds any', lambda: self.w.unacknowledged() == 0, 10)
        if audited:
            conserved(*sorted(self.roles(), key=lambda r: not r.under))
        for role in self.roles():
            unharmed(role, lines)
        if self.wire is not None:
            equal('of the proxy itself', self.wire.faults, [])
        return n


def unharmed(role, lines=LINES):
    """It runs still, without having ended, and did not fill its log."""
    equal(f'{role.state} ended with', role.process.poll(), None)
    equal(f'{role.state}: conservation_broken', role.counters()['conservation_broken'], 0)
    said = role.log(0).splitlines()
    check(f'{role.state} said {len(said)} lines:\n' + '\n'.join(said[-50:]), len(said) <= lines)


def says(role, *patterns, most=1):
    """Its log has each of them, once or at most so often."""
    said = role.log(0)
    for p in patterns:
        found = re.findall(p, said)
        check(f'{role.state} says {len(found)} times {p!r}:\n{said}', 1 <= len(found) <= most)
