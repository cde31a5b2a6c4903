#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""legacy_load.py - npm's winston in the old shape, while things go wrong

usage: legacy_load.py SECONDS CONNECTOR_JS

Five connectors log 1,000 records a second together.  A line is posted once
more for each job its process has had: two, three or four times, as the
connector has had one, two or three.  In turn the relay is down, the state disk
of the agent is full, the agent is stopped for 3 s, and the agent, which runs
under --keep, is killed KILLS times.  Then:

  each connector ends with 0, has seen no error event, and each of its posts
    was answered 2xx;
  half of the log calls took 1 ms or less by the clock, and 99 of 100 by the
    processor's time, and by the clock, less what the slowest of 100 controls
    took longer than the usual one (connector.js): the machine is not ours;
  nothing is lost, of lines as they log them: these fit the agent's lane;
  each amplified copy was recognised and counted, but for FEW_TWICE, which may
    have come over 2 s apart, and what came on both sides of a kill: what an
    agent has seen dies with it.

And the old shape does end badly where it must: at a server that answers 500
and at a closed port, or the test could not fail.
"""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from scenes import Confined, fill
from world import Counters, World, exported, free_port, wait_for

CONNECTORS = 5
RATE = 200                      # records a second of each
CALL_US = 1000
STOPPED_S = 3
KILLS = 5                       # at least; one each 5 s of a longer phase
FEW_TWICE = 20                  # of some 100,000 copies: over 2 s apart
FEW_TWICE_A_KILL = 10           # copies on both sides of it, or its answer missing
FEW = 500                       # posts that show a phase is under way


class Connector:
    def __init__(self, w, js, port, number):
        self.number = number
        self.jobs = 1 + number % 3
        self.side = os.path.join(w.dir, f'old-{number}')
        self.process = subprocess.Popen(
            ['node', js, str(port), str(number), str(RATE),
             str(self.jobs), self.side],
            env=w.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        w.producers.append(self)
        self.process.stdout.readline()      # ready

    def tell(self, word):
        self.process.stdin.write(word + b'\n')
        self.process.stdin.flush()

    def finish(self):
        """Its exit status and what it saw."""
        if self.process.poll() is None:
            self.tell(b'end')
        status = self.process.wait(timeout=60)
        with open(self.side) as f:
            return status, json.load(f)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Load:
    def __init__(self, w, seconds, js):
        self.w, self.phase_s = w, seconds / 6
        self.kills = max(KILLS, int(self.phase_s / 5))
        relay_port, http = free_port(), free_port()
        self.relay = w.role('relay', relay__listen=f'127.0.0.1:{relay_port}',
                            relay__http_listen='', exporter__files_keep='1000')
        mount = os.path.join(w.dir, 'small')
        os.mkdir(mount)
        sets = {'common.state_dir': f'{mount}/agent', 'common.ring_dir': w.ring,
                'agent.relay': f'127.0.0.1:{relay_port}',
                'agent.http_listen': f'127.0.0.1:{http}'}
        self.agent = Confined(w, mount, '256M', 'agent', sets, 'agent')
        self.agent.options = ['--keep']
        w.roles.append(self.agent)
        self.relay.start()
        self.agent.start()
        self.connectors = [Connector(w, js, http, i) for i in range(CONNECTORS)]
        for c in self.connectors:
            c.tell(b'begin')

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
        def go_on():
            ended = [c.number for c in self.connectors if c.process.poll() is not None]
            if ended:
                raise RuntimeError(f'connectors {ended} have ended')
            return self.counter('ingest_requests') >= self.at + FEW
        wait_for('requests go on', go_on, 30)

    def run(self):
        self.phase('all is well')
        self.served()
        self.phase_relay()
        self.phase_disk()
        self.phase_stopped()
        self.phase_killed()
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
        pid = self.worker()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        os.kill(pid, signal.SIGCONT)
        self.phase('the agent was stopped')
        self.served()

    def worker(self):
        """The pid of the agent itself: its keeper's only child; 0: none."""
        pid = self.agent.process.pid
        with open(f'/proc/{pid}/task/{pid}/children') as f:
            return int((f.read().split() or [0])[0])

    def phase_killed(self):
        print('the agent is killed again and again', flush=True)
        begun = time.monotonic()
        for n in range(self.kills):
            due = begun + n * self.phase_s / self.kills
            time.sleep(max(0, due - time.monotonic()))
            pid = self.worker()
            readies = self.agent.log_count('emplogd: ready')
            os.kill(pid, signal.SIGKILL)
            start = time.monotonic()
            wait_for('it is there again', lambda: self.worker() not in (0, pid) and
                     self.agent.log_count('emplogd: ready') > readies, 30)
            print(f'killed, ready again after {time.monotonic() - start:.2f} s', flush=True)
            self.at = self.counter('ingest_requests')
            self.served()
        print(f'killed {self.kills} times, {self.counter("recv_inherited")} connections '
              f'taken over, {self.counter("process_restarts")} restarts', flush=True)

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
            if s['posts_of_job'] != [n * (k + 1) for k, n in enumerate(s['lines_of_job'])] \
                    or len(s['lines_of_job']) != c.jobs + 1:
                faults.append(f'connector {c.number}: not k + 1 posts of a line')
            machine = s['control_p99_us'] - s['control_p50_us']
            if s['p50_us'] > CALL_US or s['cpu_p99_us'] > CALL_US or \
                    s['p99_us'] - machine > CALL_US:
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
        if known + twice != posts - len(lines) or \
                twice > FEW_TWICE + self.kills * FEW_TWICE_A_KILL:
            faults.append(f'{posts - len(lines)} copies, {known} known, {twice} twice')
        return faults + self.w.outcry()


class Refuses(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(500)
        self.end_headers()

    def log_message(self, *args):
        pass


def ends_badly(w, js, port, number):
    """What the old shape does where a line is not taken: faults, or none."""
    c = Connector(w, js, port, number)
    c.tell(b'begin')
    try:
        status = c.process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        return [f'control {number}: it goes on without being answered 2xx']
    status, s = c.finish()
    print(f'control {number}: status {status}, {s["events"]} events, {s["errors"][:1]}')
    return [] if status != 0 and s['events'] > 0 else \
        [f'control {number}: status {status}, {s}']


def controls(w, js):
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        return ends_badly(w, js, server.server_port, 500) + \
            ends_badly(w, js, free_port(), 501)
    finally:
        server.shutdown()
        server.server_close()


def main():
    with World() as w:
        faults = controls(w, sys.argv[2])
        load = Load(w, float(sys.argv[1]), sys.argv[2])
        try:
            load.run()
        except (TimeoutError, RuntimeError) as e:
            faults.append(str(e))
        faults += load.verdict()
        for f in faults:
            print(f'not ok legacy: {f}')
        if faults:
            print(w.logs(), {k: v for k, v in load.counters().items() if v})
    print(f'{0 if faults else 1} passed, {1 if faults else 0} failed')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
