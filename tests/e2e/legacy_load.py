#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""legacy_load.py - npm's winston in the old shape, while things go wrong

usage: legacy_load.py SECONDS CONNECTOR_JS

Five connectors log 1,000 records a second together, each line posted once
more for each job its process has had.  In turn the relay is down, the state
disk of the agent is full, and the agent is stopped for 3 s.  Then: each
connector ends with 0 and has seen no error event, half of the log calls took
1 ms or less by the clock and 99 of 100 by the processor's time (by the clock
is printed: it is the machine's load as well), nothing is lost, and each
amplified copy was recognised and counted but for FEW_TWICE, which may have come
over 2 s apart.

Not here yet: an agent that is killed and started again.  A refused connection
is an error event to this client; its socket would have to outlive the agent.
"""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from scenes import Confined, fill
from world import Counters, World, exported, free_port, wait_for

CONNECTORS = 5
RATE = 200                      # records a second of each
CALL_US = 1000
STOPPED_S = 3
FEW_TWICE = 20                  # of some 60,000 copies: over 2 s apart
FEW = 500                       # posts that show a phase is under way


class Connector:
    def __init__(self, w, js, port, number):
        self.number = number
        self.side = os.path.join(w.dir, f'old-{number}')
        self.process = subprocess.Popen(
            ['node', js, str(port), str(number), str(RATE), self.side],
            env=w.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        w.producers.append(self)

    def finish(self):
        """Its exit status and what it saw."""
        if self.process.poll() is None:
            self.process.stdin.write(b'end\n')
            self.process.stdin.flush()
        status = self.process.wait(timeout=60)
        with open(self.side) as f:
            return status, json.load(f)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Load:
    def __init__(self, w, seconds, js):
        self.w, self.phase_s = w, seconds / 5
        relay_port, http = free_port(), free_port()
        self.relay = w.role('relay', relay__listen=f'127.0.0.1:{relay_port}',
                            relay__http_listen='', exporter__files_keep='1000')
        mount = os.path.join(w.dir, 'small')
        os.mkdir(mount)
        sets = {'common.state_dir': f'{mount}/agent', 'common.ring_dir': w.ring,
                'agent.relay': f'127.0.0.1:{relay_port}',
                'agent.http_listen': f'127.0.0.1:{http}'}
        self.agent = Confined(w, mount, '256M', 'agent', sets, 'agent')
        w.roles.append(self.agent)
        self.relay.start()
        self.agent.start()
        self.connectors = [Connector(w, js, http, i) for i in range(CONNECTORS)]

    def counters(self):
        return Counters(self.agent.inside('agent', 'agent', 'counters')).read()

    def counter(self, name):
        return self.counters().get(name, 0)

    def phase(self, name):
        """Says what begins, and lets it be for a while."""
        print(f'{name}: {self.counter("ingest_requests")} requests so far', flush=True)
        self.at = self.counter('ingest_requests')
        time.sleep(self.phase_s)

    def served(self):
        wait_for('requests go on', lambda: self.counter('ingest_requests') >= self.at + FEW, 30)

    def run(self):
        self.phase('all is well')
        self.served()
        self.phase_relay()
        self.phase_disk()
        self.phase_stopped()
        self.phase('all is well again')
        self.served()

    def phase_relay(self):
        self.relay.stop()
        self.phase('the relay is down')
        self.served()
        self.relay.start()

    def phase_disk(self):
        hog = self.agent.inside('hog')
        fill(hog)
        self.phase('the state disk is full')
        self.served()
        os.unlink(hog)

    def phase_stopped(self):
        self.agent.tell(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        self.agent.tell(signal.SIGCONT)
        self.phase('the agent was stopped')
        self.served()

    def records(self):
        """How often each record was exported."""
        seen = {}
        for _, _, a in exported(os.path.join(self.w.dir, 'relay/relay/export')):
            if 'p' in a and 'n' in a:
                key = int(a['p']), int(a['n'])
                seen[key] = seen.get(key, 0) + 1
        return seen

    def verdict(self):
        faults, lines, posts = [], set(), 0
        for c in self.connectors:
            status, s = c.finish()
            print(f'connector {c.number}: status {status}, {s}', flush=True)
            if status != 0 or s['events'] or s['answers'] != s['posts']:
                faults.append(f'connector {c.number}: status {status}, {s}')
            if s['p50_us'] > CALL_US or s['cpu_p99_us'] > CALL_US:
                faults.append(f'connector {c.number}: log calls are slow')
            lines |= {(c.number, n) for n in range(s['lines'])}
            posts += s['posts']
        try:
            wait_for('all records', lambda: lines <= self.records().keys(), 40, 0.5)
        except TimeoutError:
            lost = sorted(lines - self.records().keys())
            faults.append(f'{len(lost)} of {len(lines)} records lost, first {lost[:5]}')
        twice = sum(n - 1 for n in self.records().values())
        known = self.counter('ingest_duplicates')
        print(f'{len(lines)} records, {posts} posts, {known} known as copies, {twice} twice')
        if known + twice != posts - len(lines) or twice > FEW_TWICE:
            faults.append(f'{posts - len(lines)} copies, {known} known, {twice} twice')
        return faults + self.w.outcry()


def main():
    with World() as w:
        load = Load(w, float(sys.argv[1]), sys.argv[2])
        load.run()
        faults = load.verdict()
        for f in faults:
            print(f'not ok legacy: {f}')
        if faults:
            print(w.logs(), {k: v for k, v in load.counters().items() if v})
    print(f'{0 if faults else 1} passed, {1 if faults else 0} failed')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
