# SPDX-License-Identifier: ISC
"""moving.py - beside, before and after an old Fluent Bit or Fluentd"""

import collections
import http.client as http_client
import itertools
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from claims import check, claim, equal
from fleet import agent, arrive, backend, give, numbers, record, relay_and_backend
from world import EMPLOGD, free_port, http, wait_for

QUICK = 1.0         # s; the old client gives up after 5


class OldFluentBit:
    """Keeps what it is POSTed; answers when it may, with a status."""
    def __init__(self, w, status=201, hold=False):
        self.bodies, self.may = [], threading.Event()
        if not hold:
            self.may.set()
        old = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def log_message(self, *args):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers['Content-Length'] or 0))
                old.bodies.append((self.path, self.headers['Content-Type'], body))
                old.may.wait(30)
                self.send_response(status)
                self.send_header('Content-Length', '0')
                self.end_headers()

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request, client_address):
                pass

        self.server = Server(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        w.closers.append(self.close)

    def close(self):
        self.may.set()
        self.server.shutdown()
        self.server.server_close()


def post(a, n):
    r = http(a.http, '/worker.logs', record(n))
    check(f'{r.status}, {r.took:.2f} s', r.status == 201 and r.took < QUICK)


def tee_counts(a):
    c = a.counters().read()
    return tuple(c['tee_' + x] for x in ('requests', 'taken', 'failed', 'dropped'))


@claim(epoll=True)
def the_old_fluent_bit_gets_the_same_bytes(w):
    old = OldFluentBit(w)
    r, b = relay_and_backend(w)
    a = agent(w, r.port, agent__tee=old.url)
    bodies = [json.dumps(record(n)).encode() for n in range(20)] + [b'no \x00 JSON \xff']
    for body in bodies:
        equal('status', http(a.http, '/worker.logs', body).status, 201)
    wait_for('all are there', lambda: tee_counts(a) == (21, 21, 0, 0))
    equal('bytes', sorted(x[2] for x in old.bodies), sorted(bodies))
    equal('path, type', {x[:2] for x in old.bodies}, {('/worker.logs', 'application/json')})
    arrive(b, range(20))
    s = a.verb('status').stdout
    check(s, 'tee        21 of 21 HTTP bodies' in s)


@claim()
def a_url_with_a_path_is_taken_as_it_is(w):
    old = OldFluentBit(w)
    a = agent(w, free_port(), agent__tee=old.url + '/old.tag')
    post(a, 1)
    wait_for('it', lambda: tee_counts(a) == (1, 1, 0, 0))
    equal('path', old.bodies[0][0], '/old.tag')


@claim()
def an_old_fluent_bit_that_fails_is_only_counted(w):
    r, b = relay_and_backend(w)
    for first, url in ((0, OldFluentBit(w, status=500).url),
                       (10, f'http://127.0.0.1:{free_port()}')):
        a = agent(w, r.port, state=f'agent{first}', agent__tee=url)
        for n in range(first, first + 10):
            post(a, n)
        wait_for('all have failed', lambda: tee_counts(a) == (10, 0, 10, 0))
        arrive(b, range(first + 10))
        equal('exit', a.stop(), 0)


@claim(epoll=True)
def a_slow_old_fluent_bit_holds_up_nobody_and_not_the_end(w):
    old = OldFluentBit(w, hold=True)
    r, b = relay_and_backend(w)
    a = agent(w, r.port, agent__tee=old.url)
    # Three such bodies are more than may wait.
    for n in range(4):
        q = http(a.http, '/', record(n, pad=' ' * 1500000))
        check(f'{q.status}, {q.took:.2f} s', q.status == 201 and q.took < QUICK)
    for n in range(4, 20):
        post(a, n)
    requests, taken, failed, dropped = tee_counts(a)
    equal('requests, taken', (requests, taken), (20, 0))
    check(f'{dropped} dropped, {failed} failed', dropped == 2 and failed == 0)
    arrive(b, range(20))
    equal('exit', a.stop(), 0)
    equal('what was under way counts', tee_counts(a), (20, 0, 0, 20))


@claim()
def an_agent_that_is_its_own_old_one_does_not_turn_in_circles(w):
    port = free_port()
    a = w.role('agent', agent__relay=f'127.0.0.1:{free_port()}',
               agent__http_listen=f'127.0.0.1:{port}', agent__tee=f'http://127.0.0.1:{port}')
    a.http = port
    a.start()
    post(a, 1)
    wait_for('it', lambda: tee_counts(a) == (1, 1, 0, 0))
    equal('requests', a.counters()['ingest_requests'], 2)


LOAD_SECONDS = float(os.environ.get('TEE_SECONDS', '6'))


class FailingFluentBit:
    """Takes every other body; of the rest it refuses one, hangs up on one."""
    def __init__(self, w):
        self.lock = threading.Lock()
        self.came, self.good = collections.Counter(), 0
        self.kinds = itertools.cycle(('take', 'refuse', 'take', 'hang up'))
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        self.url = 'http://127.0.0.1:%d' % self.listener.getsockname()[1]
        w.closers.append(self.listener.close)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(s,), daemon=True).start()

    def talk(self, s):
        with s, s.makefile('rb') as f:
            while f.readline():
                n = 0
                while (line := f.readline()) not in (b'\r\n', b''):
                    name, _, value = line.partition(b':')
                    if name.lower() == b'content-length':
                        n = int(value)
                    elif name.lower() == b'expect':
                        s.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
                body = f.read(n)
                with self.lock:
                    kind = next(self.kinds)
                    self.came[body] += 1
                    self.good += kind == 'take'
                if kind == 'hang up':
                    return
                s.sendall(b'HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n' %
                          (b'201 Created' if kind == 'take' else b'500 No'))


@claim(alone=True)
def an_old_one_that_fails_half_of_the_time_is_counted_to_the_body(w):
    old = FailingFluentBit(w)
    r, b = relay_and_backend(w)
    a = agent(w, r.port, agent__tee=old.url)
    end, given = time.monotonic() + LOAD_SECONDS, itertools.count()
    slow, done = [], []

    def load():
        c = http_client.HTTPConnection('127.0.0.1', a.http, timeout=10)
        while time.monotonic() < end:
            n, start = next(given), time.monotonic()
            c.request('POST', '/worker.logs', json.dumps(record(n)),
                      {'Content-Type': 'application/json'})
            status = c.getresponse()
            status.read()
            took = time.monotonic() - start
            if status.status != 201 or took > QUICK:
                slow.append((n, status.status, took))
            done.append(n)
            time.sleep(0.015)
        c.close()
    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal('slow or refused', slow, [])
    total = len(done)
    check(f'only {total}', total > 20 * LOAD_SECONDS)
    wait_for('none is under way', lambda: sum(tee_counts(a)[1:]) == total)
    requests, taken, failed, dropped = tee_counts(a)
    print(f'  {total} in {LOAD_SECONDS:g} s: {taken} taken, {failed} failed, {dropped} dropped')
    equal('requests, dropped', (requests, dropped), (total, 0))
    equal('bodies that came more than once', [x for x, n in old.came.items() if n > 1], [])
    equal('taken, failed', (taken, failed), (old.good, len(old.came) - old.good))
    check(f'half of {total}: {taken}', abs(2 * taken - total) <= 2)
    arrive(b, done)
    equal('here', a.counters()['ingest_records'] + a.counters()['ingest_duplicates'], total)


OLD_BIT = '''[SERVICE]
    Flush 5
[INPUT]
    Name http
    Port 9880
    Buffer_Max_Size 64k
[FILTER]
    Name record_modifier
    Record worker_id ${WORKER_ID}
    Record deployment_env ${DEPLOYMENT_ENV:-development}
[FILTER]
    Name modify
    Condition Key_value_equals a b
    Condition Key_value_equals a c
[OUTPUT]
    Name http
    Host ${FLUENTD_HOST:-127.0.0.1}
    Port 8888
    HTTP_Passwd hush-one
    Retry_Limit 3
    tls.verify off
'''
OLD_FLUENTD = '''<source>
  @type http
  port 8888
</source>
<match **>
  @type http
  endpoint http://127.0.0.1:4318/logs/json
  headers {"Authorization":"Bearer hush-two","Dash0-Dataset":"production"}
  <buffer>
    @type memory
    retry_max_times 3
  </buffer>
</match>
<match critical.**>
  @type null
</match>
'''
TOLD = ('larger bodies were refused', 'the last one wins', "is the shell's", 'AND-ed',
        'lost after so many tries', 'stand in for the receiver', 'a restart lost the buffer',
        'dropped after so many tries', 'never reached', 'the token is not printed')


def migrate(w, **files):
    names = []
    for name, text in files.items():
        names.append(os.path.join(w.dir, name + '.conf'))
        with open(names[-1], 'wb') as f:
            f.write(text if isinstance(text, bytes) else text.encode())
    return subprocess.run([EMPLOGD, 'migrate', *names], capture_output=True, text=True,
                          timeout=10)


@claim()
def migrate_makes_a_conf_that_is_without_fault_and_says_what_was_wrong(w):
    s = migrate(w, bit=OLD_BIT, fluentd=OLD_FLUENTD)
    equal('exit', (s.returncode, s.stderr), (0, ''))
    for words in TOLD:
        check(f'{words}: {s.stdout}', words in s.stdout)
    check('secrets', 'hush' not in s.stdout)
    for line in ('relay = ${FLUENTD_HOST:-127.0.0.1}:8888', 'dataset = production',
                 'deployment = ${DEPLOYMENT_ENV:-development}', 'http_listen = 0.0.0.0:8888',
                 'endpoint = http://127.0.0.1:4318'):
        check(f'{line}: {s.stdout}', line + '\n' in s.stdout)
    passes_check(w, s.stdout)


# What the old files of the corpus ask for.
OLD_ENV = {'DASH0_AUTH_TOKEN': 'auth_x', 'FLUENTD_HOST': '127.0.0.1', 'FLUENTD_PORT': '1',
           'MACHINE_ID': 'm', 'WORKER_ID': 'w', 'BIND': '127.0.0.1', 'DEPLOYMENT_ENV': 'test',
           'DASH0_ENDPOINT': 'http://127.0.0.1:1', 'DASH0_DATASET': 'd'}


def passes_check(w, text, name='made'):
    """emplogd --check on it, on ports and directories of the test's own."""
    path = os.path.join(w.dir, name + '.conf')
    with open(path, 'w') as f:
        f.write(text)
    here = [f'--set=common.{key}_dir={w.dir}/{name}-{key}' for key in ('ring', 'state')]
    here += [f'--set={key}=127.0.0.1:0' for key in
             ('agent.http_listen', 'relay.listen', 'relay.http_listen')]
    ca = os.path.join(w.dir, 'ca')
    if not os.path.exists(ca):
        subprocess.run([EMPLOGD, 'ca', 'init', ca], check=True, capture_output=True)
        subprocess.run([EMPLOGD, 'ca', 'issue', ca, 'h'], check=True, capture_output=True)
    here += [f'--set=common.tls_{key}={ca}/{file}' for key, file in
             (('ca', 'ca.pem'), ('cert', 'h.pem'), ('key', 'h.key'))]
    s = subprocess.run([EMPLOGD, '--check', f'--config={path}', *here], capture_output=True,
                       text=True, timeout=20, env={**w.env, **OLD_ENV})
    equal(f'--check of {name}: {s.stderr}', s.returncode, 0)
    return path


@claim()
def what_migrate_prints_of_each_old_file_passes_the_check(w):
    corpus = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../fuzz/corpus/fuzz_migrate')
    shutil.copytree(corpus, os.path.join(w.dir, 'old'))
    open(os.path.join(w.dir, 'old', 'again.conf'), 'w').close()
    made = 0
    for name in sorted(os.listdir(corpus)):
        s = subprocess.run([EMPLOGD, 'migrate', os.path.join(w.dir, 'old', name)],
                           capture_output=True, text=True, timeout=10)
        check(f'{name}: a secret in {s.stdout}', 'hush' not in s.stdout + s.stderr)
        if s.returncode != 0:
            equal(name, (s.returncode, s.stdout, s.stderr.count('\n')), (78, '', 1))
            continue
        passes_check(w, s.stdout, name)
        made += 1
    check(f'{made} of {len(os.listdir(corpus))} files', made >= 50)


@claim()
def migrate_follows_sections_inside_of_others_and_where_they_listen(w):
    source = '<source>\n @type http\n <parse>\n  @type json\n </parse>\n bind %s\n port 8889\n</source>'
    s = migrate(w, inner=source % '127.0.0.1')
    check(s.stdout, 'http_listen = 127.0.0.1:8889\n' in s.stdout)
    check(s.stdout, 'insecure_listen' not in s.stdout)
    s = migrate(w, inner=source % '::')
    check(s.stdout, 'http_listen = [::]:8889\n' in s.stdout)
    check(s.stdout, 'insecure_listen = yes\n' in s.stdout)


@claim()
def migrate_refuses_what_is_no_such_file(w):
    for text, words in ((b'[INPUT]\n  Name \x00\n', 'NUL'), (b'[INPUT\n', ':1: '),
                        (b'[INPUT]\n' + b'x' * 5000, ':2: a line'), (b'a' * (1 << 21), '1 MiB'),
                        (b'@INCLUDE bad.conf\n', 'deeper than 4'), (b'', 'no section'),
                        (b'[INPUT]\n  Name \xff\n', 'UTF-8')):
        s = migrate(w, bad=text)
        equal(f'{words}: {s.stderr}', (s.returncode, s.stdout), (78, ''))
        check(f'{words}: {s.stderr}', words in s.stderr)


class OldFluentd:
    """Speaks Forward as Fluentd does: no hello, an ack per chunk option."""
    def __init__(self, w, port=0):
        self.got, self.acks, self.open = b'', 0, []
        self.listener = socket.create_server(('127.0.0.1', port))
        self.port = self.listener.getsockname()[1]
        w.closers.append(self.close)
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        """Gone, with what it had connected."""
        for s in [self.listener, *self.open]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()

    def serve(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(s)
            threading.Thread(target=self.talk, args=(s,), daemon=True).start()

    def talk(self, s):
        data, at = b'', 0
        with s:
            while part := s.recv(65536):
                data += part
                self.got += part
                # fixstr or str8 behind the key; nothing else of it is read
                while (found := data.find(b'\xa5chunk', at)) >= 0:
                    head = found + 6
                    if len(data) < head + 2:
                        break
                    wide = data[head] == 0xd9
                    n = data[head + 1] if wide else data[head] & 0x1f
                    end = head + 1 + wide + n
                    if len(data) < end:
                        break
                    self.acks += 1
                    s.sendall(b'\x81\xa3ack' + data[head:end])
                    at = end


@claim()
def the_agent_may_move_first_to_a_fluentd(w):
    old = OldFluentd(w)
    a = agent(w, old.port)
    for n in range(10):
        post(a, n)
    wait_for('all', lambda: all(b'record %d' % n in old.got for n in range(10)))
    wait_for('acknowledged', lambda: a.counters()['lane_held_bytes'] == 0 and
             a.counters()['lane_acked_bytes'] > 0)
    check('acks', old.acks >= 1)
    equal('lost connections', a.counters()['hop_failures'], 0)


@claim()
def the_relay_may_move_first_under_a_fluent_bit(w):
    r, b = relay_and_backend(w)
    entry = b'\x92\xce\x65\x00\x00\x00\x82\xa7message\xa3old\xa1n\x07'
    with socket.create_connection(('127.0.0.1', r.port), 5) as s:
        # [tag, bin8 entries, {"chunk": "c1", "size": 1, "fluent_signal": 0}]
        s.sendall(b'\x93\xabworker.logs\xc4' + bytes([len(entry)]) + entry +
                  b'\x83\xa5chunk\xa2c1\xa4size\x01\xadfluent_signal\x00')
        s.settimeout(5)
        equal('ack', s.recv(64), b'\x81\xa3ack\xa2c1')
    arrive(b, [7])


# The two halves of a small old pipeline, on ports of the test's own.
SMALL_BIT = '''[INPUT]
    Name http
    Port {agent}
[OUTPUT]
    Name forward
    Match *
    Host 127.0.0.1
    Port {relay}
    Require_ack_response true
'''
SMALL_FLUENTD = '''<source>
  @type forward
  bind 127.0.0.1
  port {relay}
</source>
<source>
  @type http
  bind 127.0.0.1
  port {http}
</source>
<match **>
  @type http
  endpoint {backend}/logs/json
</match>
'''


def migrated(w, role, made, state):
    """A role that runs with what migrate printed, in a place of its own."""
    path = os.path.join(w.dir, state + '.conf')
    with open(path, 'w') as f:
        f.write(made)
    r = w.role(role, state=state)
    r.options = [f'--config={path}']
    return r.start()


def small(w, backend_url):
    ports = {'agent': free_port(), 'relay': free_port(), 'http': free_port()}
    s = migrate(w, bit=SMALL_BIT.format(**ports),
                fluentd=SMALL_FLUENTD.format(backend=backend_url, **ports))
    equal(f'exit: {s.stderr}', s.returncode, 0)
    return s.stdout, ports


@claim(epoll=True)
def the_conf_migrate_printed_runs_with_the_relay_first(w):
    b = backend(w)
    made, ports = small(w, b.url)
    migrated(w, 'relay', made, 'relay')
    # What the old Fluent Bit sends by HTTP: one array a flush.
    equal('old HTTP', http(ports['http'], '/worker-logs', [record(1), record(2)]).status, 201)
    arrive(b, [1, 2])
    a = migrated(w, 'agent', made, 'agent')
    a.http = ports['agent']
    post(a, 3)
    arrive(b, [1, 2, 3])


@claim(epoll=True)
def the_conf_migrate_printed_runs_with_the_agent_first(w):
    b = backend(w)
    made, ports = small(w, b.url)
    old = OldFluentd(w, ports['relay'])
    a = migrated(w, 'agent', made, 'agent')
    a.http = ports['agent']
    for n in range(5):
        post(a, n)
    wait_for('all', lambda: all(b'record %d' % n in old.got for n in range(5)))
    wait_for('acknowledged', lambda: a.counters()['lane_held_bytes'] == 0)
    # Then the old one goes, and the relay takes its place and port.
    old.close()
    for n in range(5, 10):
        post(a, n)
    migrated(w, 'relay', made, 'relay')
    wait_for('the rest', lambda: set(numbers(b.accepted())) >= set(range(5, 10)))
