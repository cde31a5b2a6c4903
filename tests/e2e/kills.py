#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""kills.py - SIGKILL at seeded instants under load, and nothing is lost

usage: kills.py producer|agent|relay|exporter KILLS [SEED]

agent, relay (next: an exporter) and exporter (local files) are real processes
over loopback.  The named role is killed KILLS times; a kill counts only when
at least 64 KiB were unacknowledged at that moment, and the killed one had done
some of its work since it was started.  At the end everything is let through
and the sets are compared:

    accepted is a part of received, received is a part of issued,
    payloads are what their numbers say, and nothing came twice - except, when
    the exporter is killed, what was under way to its files.
"""

import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import World, Received, free_port, wait_for

UNACKNOWLEDGED = 64 * 1024
PRODUCERS = 2
WORK = {'agent': 'lane_acked_bytes', 'relay': 'recv_messages', 'exporter': 'recv_messages'}


class Kills:
    def __init__(self, world, victim, rng):
        self.w, self.victim, self.rng = world, victim, rng
        relay_port, exporter_port = free_port(), free_port()
        # No file goes before it was read, and none takes another's inode.
        self.exporter = world.role('exporter', exporter__listen=f'127.0.0.1:{exporter_port}',
                                   exporter__files_keep='1000')
        self.relay = world.role('relay', relay__listen=f'127.0.0.1:{relay_port}',
                                relay__http_listen='',
                                relay__next=f'127.0.0.1:{exporter_port}')
        self.agent = world.role('agent', agent__relay=f'127.0.0.1:{relay_port}',
                                agent__http_listen='')
        for r in (self.exporter, self.relay, self.agent):
            r.start()
        self.received = Received(os.path.join(world.dir, 'exporter/exporter/export'))
        self.alive = [self.producer() for _ in range(PRODUCERS)]
        self.counted = 0
        self.tries = 0
        self.worked = {}

    def producer(self):
        return self.w.producer(burst=self.rng.randint(20, 60),
                               pause_ms=self.rng.randint(20, 60))

    def unacknowledged(self):
        if self.victim == 'exporter':
            return self.relay.counters()['queue_held_bytes']
        return self.w.unacknowledged()

    def work(self, victim):
        """How much it has done; over all its lives, if it is a role."""
        if self.victim == 'producer':
            return victim.sets()[0]
        return victim.counters()[WORK[self.victim]]

    def kill_one(self):
        """One kill; True when it counts."""
        i = self.rng.randrange(PRODUCERS)
        victim = self.alive[i] if self.victim == 'producer' else getattr(self, self.victim)
        worked = self.worked.get(victim, 0)
        patience = self.rng.choice((0.001, 0.003, 0.03))
        try:
            wait_for('work, and 64 KiB unacknowledged',
                     lambda: self.unacknowledged() >= UNACKNOWLEDGED and
                     self.work(victim) > worked, 5, 0.0005)
        except TimeoutError:
            return False
        time.sleep(self.rng.random() * patience)
        victim.kill()
        counts = self.unacknowledged() >= UNACKNOWLEDGED
        if self.victim == 'producer':
            self.alive[i] = self.producer()
        else:
            self.worked[victim] = self.work(victim)
            victim.start()
        return counts

    def run(self, kills):
        while self.counted < kills:
            self.tries += 1
            if self.tries > kills * 20:
                raise RuntimeError(f'only {self.counted} of {self.tries} kills counted')
            self.counted += self.kill_one()
        for p in self.alive:
            p.kill()
        try:
            wait_for('everything accepted is received',
                     lambda: not self.received.read().missing(self.w.producers), 60, 0.2)
        except TimeoutError:
            pass

    def verdict(self):
        r, producers = self.received, self.w.producers
        faults = []
        lost = r.missing(producers)
        if lost:
            faults.append(f'{len(lost)} accepted records lost, first {lost[:5]}')
        invented = r.never_issued(producers)
        if invented:
            faults.append(f'{len(invented)} records nobody issued, first {invented[:5]}')
        if r.damaged:
            faults.append(f'{len(r.damaged)} payloads damaged, first {r.damaged[:5]}')
        if r.twice and self.victim != 'exporter':
            faults.append(f'{len(r.twice)} records twice, first {r.twice[:5]}')
        total = sum(len(s) for s in r.seen.values())
        print(f'{self.victim}: {self.counted} kills of {self.tries} count, {total} records received, '
              f'{len(r.twice)} twice', flush=True)
        return faults


def main():
    victim, kills = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f'seed {seed}: replay with kills.py {victim} {kills} {seed}', flush=True)
    with World() as w:
        k = Kills(w, victim, random.Random(seed))
        k.run(kills)
        faults = k.verdict()
        for f in faults:
            print(f'not ok {victim}: {f} (seed {seed})')
        if faults:
            for r in w.roles:
                print(r.log())
    print(f'{0 if faults else 1} passed, {1 if faults else 0} failed')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
