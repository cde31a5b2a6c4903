#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""pm2.py - contrib/pm2 under npm's real pm2: restarts, kills, reloads, stops

usage: pm2.py PM2_PROGRAM ECOSYSTEM.config.js

The relay is a process of the test's own; agent and four workers (issuers, a
thousand records a second in all) are PM2's.  At the end the sets are
compared as kills.py does: nothing accepted is missing, nothing came twice.
"""

import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import EMPLOGD, ISSUER, Producer, Received, World, free_port, wait_for

RESTARTS, KILLS, RELOADS, WORKERS = 10, 5, 5, 4
STOP = 1.5              # s
RSS = 64 << 20          # bytes

OURS = '''
const c = require(%s);
const agent = c.apps[0];
agent.script = %s;
Object.assign(agent.env, %s);
agent.error_file = agent.out_file = %s;
agent.merge_logs = true;
for (const w of %s)
  c.apps.push({ name: "worker" + w[1], script: %s, args: w.slice(0, 5),
    interpreter: "none", exec_mode: "fork", env: %s,
    exp_backoff_restart_delay: 10, kill_timeout: 1600 });
module.exports = c;
'''


class Worker(Producer):
    """An issuer that PM2 starts; only its side file is looked at here."""

    def __init__(self, w, number):
        self.number = number
        self.side = os.path.join(w.dir, f'side-{number}')


class Pm2:
    def __init__(self, w, program, ecosystem):
        self.w, self.program = w, program
        self.env = {**w.env, 'PM2_HOME': os.path.join(w.dir, 'pm2'), 'HOME': w.dir}
        self.relay = w.role('relay', relay__listen=f'127.0.0.1:{free_port()}',
                            relay__http_listen='').start()
        self.workers = [Worker(w, n) for n in range(WORKERS)]
        self.log = os.path.join(w.dir, 'agent.log')
        self.state = os.path.join(w.dir, 'agent')
        self.rss = 0
        self.stops = []
        self.file = os.path.join(w.dir, 'all.config.js')
        agent_env = {
            'EMPLOGD_AGENT_RELAY': self.relay.sets['relay.listen'],
            'EMPLOGD_COMMON_STATE_DIR': self.state, 'EMPLOGD_AGENT_HTTP_LISTEN': '',
            'EMPLOGD_COMMON_RING_DIR': w.ring, 'EMPLOGD_COMMON_IO': w.io}
        args = [[x.side, str(x.number), '5', '20', '1000000'] for x in self.workers]
        with open(self.file, 'w') as f:
            f.write(OURS % tuple(map(json.dumps, (
                os.path.abspath(ecosystem), os.path.abspath(EMPLOGD), agent_env,
                self.log, args, os.path.abspath(ISSUER), {'EMPLOG_RING_DIR': w.ring}))))

    def __call__(self, *words):
        r = subprocess.run([self.program, *words], env=self.env, capture_output=True,
                           text=True, timeout=60, cwd=self.w.dir)
        if r.returncode != 0:
            raise RuntimeError(f'pm2 {words}: {r.stdout[-2000:]}{r.stderr[-2000:]}')
        return r.stdout

    def head(self):
        """(pid, state) of the agent's counters file."""
        try:
            with open(os.path.join(self.state, 'agent/counters'), 'rb') as f:
                b = f.read(96)
        except FileNotFoundError:
            return 0, ''
        return int.from_bytes(b[20:24], 'little'), b[80:96].split(b'\0')[0].decode()

    def runs(self, but=0):
        def there():
            pid, state = self.head()
            return pid if pid != but and state == 'run' and alive(pid) else 0
        return wait_for('the agent runs', there, 20)

    def watch(self):
        """In a thread: how long stops take, and how large the agent is."""
        while not self.over:
            pid, state = self.head()
            if state == 'drain' and alive(pid):
                start = time.monotonic()
                while alive(pid) and time.monotonic() - start < 5:
                    time.sleep(0.001)
                self.stops.append(time.monotonic() - start)
            self.rss = max(self.rss, rss_of(pid))
            time.sleep(0.001)

    def __enter__(self):
        self.over = False
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()
        subprocess.run([self.program, 'kill'], env=self.env, capture_output=True,
                       timeout=60, check=False)


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as f:
            return pid > 0 and f.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


def parent(pid):
    """Its keeper: the one PM2 knows."""
    with open(f'/proc/{pid}/stat') as f:
        return int(f.read().rsplit(')', 1)[1].split()[1])


def rss_of(pid):
    try:
        with open(f'/proc/{pid}/status') as f:
            for line in f:
                if line.startswith('VmRSS:'):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def more(p, n=100):
    """Waits until so many more records were accepted in all."""
    def issued():
        return sum(x.sets()[0] for x in p.workers)
    at = issued()
    wait_for(f'{n} more records', lambda: issued() >= at + n, 20, 0.02)


def torment(p):
    was = p.runs()
    more(p)
    for n in range(RESTARTS):
        p('restart', 'all' if n % 5 == 4 else 'emplogd')
        was = p.runs(but=was)
        more(p)
    for n in range(KILLS):
        os.kill(was if n % 2 else parent(was), 9)
        was = p.runs(but=was)
        more(p)
    for _ in range(RELOADS):
        p('reload', 'emplogd')
        was = p.runs(but=was)
        more(p)
    p('stop', 'all')
    wait_for('all have stopped', lambda: not alive(was), 5)


def compare(p):
    """Nothing is left behind: what the stop spilled comes with a start."""
    p('start', 'emplogd')
    p.runs()
    received = Received(os.path.join(p.w.dir, 'relay/relay/export'))
    wait_for('everything', lambda: not received.read().missing(p.workers), 30, 0.1)
    p('stop', 'all')
    received.read()
    bad = []
    if received.twice:
        bad.append(f'{len(received.twice)} came twice')
    if received.damaged:
        bad.append(f'{len(received.damaged)} are damaged')
    if received.never_issued(p.workers):
        bad.append('some were never issued')
    return bad


def main():
    with World() as w, Pm2(w, *sys.argv[1:3]) as p:
        start = time.monotonic()
        p('start', p.file)
        torment(p)
        bad = compare(p)
        issued = sum(x.sets()[0] for x in p.workers)
        accepted = sum(len(x.sets()[1]) for x in p.workers)
        ended = open(p.log).read().count('emplogd: ended;')
        graceful = RESTARTS + RELOADS + 2
        if ended != graceful:
            bad.append(f'{ended} of {graceful} stops came to their end')
        if not p.stops or max(p.stops) > STOP:
            bad.append(f'stops took {p.stops}')
        if p.rss >= RSS:
            bad.append(f'the agent had {p.rss >> 20} MiB')
        bad += w.outcry()
        print(f'{accepted} of {issued} records accepted in {time.monotonic() - start:.0f} s; '
              f'{RESTARTS} restarts, {KILLS} kills, {RELOADS} reloads; '
              f'the longest stop {max(p.stops, default=0):.2f} s, '
              f'agent {p.rss / (1 << 20):.1f} MiB')
        for line in bad:
            print(f'not ok {line}')
        return bad


if __name__ == '__main__':
    sys.exit(1 if main() else 0)
