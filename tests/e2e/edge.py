# SPDX-License-Identifier: ISC
"""edge.py - an agent whose relay is behind an edge that passes only HTTPS

Edge is a reverse proxy as hosting platforms have them: TLS in front, whole
requests buffered, bodies framed anew in chunks, headers added, connections cut
and 502 answered now and then.  What is not well-formed HTTP/1.1 it counts.
"""

import http.client
import os
import random
import re
import socket
import ssl
import subprocess
import threading
import time

from claims import check, claim, equal
from fleet import relay
from life import GRACE, SLACK, stop_timed
from world import EMPLOGD, Received, free_port, wait_for

HEADER = re.compile(rb'[A-Za-z0-9!#$%&\'*+.^_`|~-]+: ?[\x20-\x7e]*$')
PAGE = b'<html><body><h1>502 Bad Gateway</h1></body></html>'


class Malformed(Exception):
    pass


def certificates(w, *names):
    """A directory with ca.pem, and NAME.pem and .key of each."""
    d = os.path.join(w.dir, 'ca')
    for words in (['init', d], *(['issue', d, n] for n in names)):
        subprocess.run([EMPLOGD, 'ca', *words], check=True, env=w.env,
                       stdout=subprocess.DEVNULL)
    return d


class Edge:
    def __init__(self, w, to, certs=None, name='localhost', seed=1, faults=0.0,
                 limit=1 << 30):
        self.to, self.rng, self.faults = to, random.Random(seed), faults
        self.limit = limit
        self.port, self.hang = free_port(), False
        self.lock = threading.Lock()
        self.malformed, self.requests, self.done = [], 0, {}
        self.under_way = self.most = self.connections = 0
        self.context = None
        if certs:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(f'{certs}/{name}.pem', f'{certs}/{name}.key')
        self.listener = socket.create_server(('127.0.0.1', self.port), backlog=64)
        w.closers.append(self.listener.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, name='localhost'):
        return f'{"https" if self.context else "http"}://{name}:{self.port}'

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        upstream = http.client.HTTPConnection('127.0.0.1', self.to, timeout=30)
        try:
            s.settimeout(60)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                s = self.context.wrap_socket(s, server_side=True)
            self.connections += 1
            with s, s.makefile('rb') as f:
                while self.one(s, f, upstream):
                    pass
        except Malformed as e:
            self.malformed.append(str(e))
        except (OSError, ValueError):
            pass                    # it went away
        finally:
            upstream.close()

    def one(self, s, f, upstream):
        head, body = self.read(f)
        if head is None:
            return False
        with self.lock:
            self.requests += 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            fault = self.rng.random() < self.faults
            kind = self.rng.choice(('unseen', 'unheard', '502', '502 late')) if fault else ''
            self.done[kind] = self.done.get(kind, 0) + 1
        try:
            return self.pass_on(s, upstream, kind, head, body)
        finally:
            with self.lock:
                self.under_way -= 1

    def read(self, f):
        """(headers, body) of a well-formed request; (None, None) at the end."""
        line = f.readline(8192)
        if not line:
            return None, None
        if not re.match(rb'POST /[!-~]* HTTP/1\.1\r\n$', line):
            raise Malformed(f'request line {line!r}')
        head = {b':path': line.split()[1]}
        while (line := f.readline(8192)) != b'\r\n':
            if not line.endswith(b'\r\n') or not HEADER.match(line[:-2]):
                raise Malformed(f'header {line!r}')
            name, value = line[:-2].split(b':', 1)
            if name.lower() in head:
                raise Malformed(f'twice {name!r}')
            head[name.lower()] = value.strip()
        if b'host' not in head or not head.get(b'content-length', b'').isdigit():
            raise Malformed(f'no host or length in {head!r}')
        length = int(head[b'content-length'])
        body = f.read(length)
        if len(body) < length:
            raise OSError('cut off')
        return head, body

    def pieces(self, body):
        at = 0
        while at < len(body):
            n = self.rng.choice((1, 1000, 16384, 65536, len(body)))
            yield body[at:at + n]
            at += n

    def pass_on(self, s, upstream, kind, head, body):
        if self.hang:
            time.sleep(60)
        if kind == 'unseen':
            return False
        if kind == '502':
            return self.answer(s, 502, {'content-type': 'text/html'}, PAGE)
        if len(body) > self.limit:
            return self.answer(s, 413, {'content-type': 'text/html'}, PAGE)
        headers = {'Transfer-Encoding': 'chunked', 'Via': '1.1 edge', 'X-Forwarded-Proto': 'https',
                   'X-Forwarded-For': '203.0.113.9', 'X-Request-Id': f'{self.requests}'}
        for name in (b'host', b'content-type', b'content-encoding', b'authorization'):
            if name in head:
                headers[name.decode()] = head[name].decode()
        try:
            upstream.request('POST', head[b':path'].decode(), self.pieces(body), headers,
                             encode_chunked=True)
            r = upstream.getresponse()
            answer = r.read()
        except (OSError, http.client.HTTPException):
            upstream.close()
            return self.answer(s, 502, {'content-type': 'text/html'}, PAGE)
        if kind == 'unheard':
            return False
        if kind == '502 late':
            return self.answer(s, 502, {'content-type': 'text/html'}, PAGE)
        keep = {k.lower(): v for k, v in r.getheaders() if k.lower() in (
            'content-type', 'retry-after', 'www-authenticate')}
        keep['content-type'] = keep.get('content-type', 'text/plain') + '; charset=utf-8'
        return self.answer(s, r.status, keep, answer)

    def answer(self, s, status, headers, body):
        lines = [f'HTTP/1.1 {status} x', 'Server: edge', 'Via: 1.1 edge',
                 'Set-Cookie: sticky=1; Path=/', 'Transfer-Encoding: chunked']
        lines += [f'{k}: {v}' for k, v in headers.items()]
        out = '\r\n'.join(lines).encode() + b'\r\n\r\n'
        for piece in self.pieces(body):
            out += b'%x\r\n%s\r\n' % (len(piece), piece)
        s.sendall(out + b'0\r\n\r\n')
        return True


def agent(w, peers, state='agent', **sets):
    return w.role('agent', state=state, agent__relay=peers, agent__http_listen='', **sets)


def cpu_s(role):
    with open(f'/proc/{role.process.pid}/stat') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def chain(w):
    """A relay that hands on to an exporter with local files."""
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}',
               exporter__files_keep='1000').start()
    return relay(w, relay__next=f'127.0.0.1:{port}'), e


def expect_all(w, producers, received, seconds=60):
    for p in producers:
        p.process.wait(60)
    wait_for('all is acknowledged', lambda: w.unacknowledged() == 0, seconds, 0.05)

    def came():
        received.read()
        return all(received.seen.get(p.number, set()) >= p.sets()[1] for p in producers)
    wait_for('all came', came, seconds, 0.1)
    for p in producers:
        check('nothing else came', received.seen[p.number] <= set(range(p.sets()[0])))
    equal('twice', received.twice, [])
    equal('damaged', received.damaged, [])
    return sum(len(p.sets()[1]) for p in producers)


@claim(alone=True, epoll=True)
def an_edge_that_passes_only_https_loses_and_doubles_nothing(w):
    """5,000 records/s for 6 s, faults all the while, the relay killed twice."""
    certs = certificates(w, 'localhost')
    r, e = chain(w)
    edge = Edge(w, r.http, certs, faults=0.03)
    a = agent(w, edge.url(), common__tls_ca=f'{certs}/ca.pem').start()
    received = Received(os.path.join(w.dir, 'exporter/exporter/export'))
    begun = time.monotonic()
    producers = [w.producer(burst=13, pause_ms=10, count=600) for _ in range(4)]
    for records in (8000, 16000):
        wait_for('it flows', lambda n=records: e.counters()['recv_records'] >= n, 40)
        r.kill()
        wait_for('the edge says so', lambda: a.counters()['hop_up'] == 0, 20)
        r.start()
    for p in producers:
        p.process.wait(60)
    took = time.monotonic() - begun
    n = expect_all(w, producers, received)
    c = a.counters().read()
    equal('malformed', edge.malformed, [])
    check(f'every kind of fault: {edge.done}', len(edge.done) == 5)
    # Those that were given up may still be on their way behind the edge.
    check(f'{edge.most} requests at once', 2 <= edge.most <= 8)
    check('sent again', c['hop_resent_chunks'] > 0 and c['hop_posts_failed'] > 0)
    check('and cut', r.counters()['recv_posts'] > 0)
    equal('no bad answers', c['hop_bad_acks'], 0)
    equal('all of it', c['lane_acked_bytes'] + c['lane_spilled_bytes'], c['lane_taken_bytes'])
    print(f'edge: {n} records in {took:.1f} s ({n / took:.0f}/s), {edge.requests} requests, '
          f'{edge.done}, {c["hop_failures"]} failures, {edge.connections} connections')
    for role in (a, r, e):
        equal(role.roles, role.stop(), 0)


@claim(alone=True)
def what_an_edge_costs_beside_tcp(w):
    certs = certificates(w, 'localhost')
    r, e = chain(w)
    edge = Edge(w, r.http, certs)
    received = Received(os.path.join(w.dir, 'exporter/exporter/export'))
    cost = {}
    for way, peers in (('tcp', f'127.0.0.1:{r.port}'), ('http', f'http://127.0.0.1:{r.http}'),
                       ('https', edge.url())):
        a = agent(w, peers, way, common__tls_ca=f'{certs}/ca.pem').start()
        wait_for('up', lambda: a.counters()['hop_up'] == 1)
        before, before_r = cpu_s(a), cpu_s(r)
        producers = [w.producer(burst=13, pause_ms=10, count=300) for _ in range(4)]
        n = expect_all(w, producers, received)
        cost[way] = [(cpu_s(a) - before) / n * 1e6, (cpu_s(r) - before_r) / n * 1e6]
        posts, chunks = a.counters()['hop_posts'], a.counters()['hop_sent_chunks']
        print(f'{way}: {n} records, agent {cost[way][0]:.1f} us, relay {cost[way][1]:.1f} us of CPU '
              f'a record, {chunks} chunks, {posts} requests')
        equal('agent', a.stop(), 0)
        w.roles.remove(a)
    check(f'{cost}', cost['https'][0] < 100)


@claim()
def an_edge_with_another_name_or_authority_is_refused(w):
    certs = certificates(w, 'localhost', 'other.test')
    r = relay(w)
    for cert, sets, words in (
            ('other.test', {'common__tls_ca': f'{certs}/ca.pem'}, 'certificate refused: '),
            ('localhost', {}, 'certificate refused: '),
            ('localhost', {'common__tls_ca': f'{certs}/ca.pem'}, ''),
            ('other.test', {'common__tls_ca': f'{certs}/ca.pem',
                            'common__tls_name': 'other.test'}, '')):
        edge = Edge(w, r.http, certs, name=cert)
        a = agent(w, edge.url(), **sets).start()
        if words:
            wait_for(words, lambda: words in a.log(), 20)
            equal('up', (a.counters()['hop_up'], edge.requests), (0, 0))
        else:
            wait_for('up', lambda: a.counters()['hop_up'] == 1, 20)
        equal('agent', a.stop(), 0)
        os.unlink(a.log_path)
        w.roles.remove(a)


@claim(epoll=True)
def a_relays_own_port_takes_https_from_whom_it_knows(w):
    """HTTP inside TLS, with the agent's certificate and the key."""
    certs = certificates(w, 'localhost', 'agent-1')
    guard = {'common__tls_ca': f'{certs}/ca.pem', 'env': {'EMPLOGD_COMMON_SHARED_KEY': 'sesame'}}

    def own(name):
        return {'common__tls_cert': f'{certs}/{name}.pem', 'common__tls_key': f'{certs}/{name}.key'}
    r = relay(w, common__tls_listen='yes', common__tls_clients='yes', **guard,
              **own('localhost'))
    stranger = agent(w, f'https://localhost:{r.http}', 'stranger', **guard).start()
    wait_for('it is refused', lambda: r.counters()['tls_failed'] > 0)
    equal('up', stranger.counters()['hop_up'], 0)
    stranger.stop()
    a = agent(w, f'https://localhost:{r.http}', **guard, **own('agent-1')).start()
    p = w.producer(burst=20, pause_ms=10, count=100)
    n = expect_all(w, [p], Received(os.path.join(w.dir, 'relay/relay/export')))
    check('by requests', n > 0 and r.counters()['recv_posts'] > 0)
    equal('failed', a.counters()['hop_posts_failed'], 0)
    for role in (a, r):
        equal(role.roles, role.stop(), 0)


@claim()
def without_the_key_a_relay_takes_nothing_by_http(w):
    r = relay(w, env={'EMPLOGD_COMMON_SHARED_KEY': 'sesame'})
    c = r.counters()

    def ask(method, path, **headers):
        h = http.client.HTTPConnection('127.0.0.1', r.http, timeout=10)
        h.request(method, path, b'{"message":"m"}' if method == 'POST' else None, headers)
        return h.getresponse().status
    for path in ('/', '/test', '/v1/forward', '/x'):
        equal(path, ask('POST', path), 401)
        equal(path, ask('POST', path, Authorization='Bearer wrong'), 401)
    equal('refused', c['recv_key_refused'], 8)
    equal('taken', c['ingest_records'], 0)
    for path in ('/health', '/metrics'):
        equal(path, ask('GET', path), 200)
    equal('with the key', ask('POST', '/', Authorization='Bearer sesame'), 201)
    wait_for('it is taken', lambda: c['ingest_records'] == 1)


@claim()
def an_edge_that_falls_silent_is_left_within_15_s(w):
    r, e = chain(w)
    edge = Edge(w, r.http)
    a = agent(w, f'{edge.url()},127.0.0.1:{r.port}').start()
    wait_for('up', lambda: a.counters()['hop_up'] == 1)
    wait_for('quiet', lambda: edge.under_way == 0 and edge.requests >= 2)
    edge.hang = True
    p = w.producer(burst=10, pause_ms=10, count=100)
    wait_for('it hangs', lambda: edge.under_way > 0)
    begun = time.monotonic()
    wait_for('the other one is up', lambda: a.counters()['hop_connects'] >= 2, 20)
    check('soon', time.monotonic() - begun <= 15.5)
    check('it is told', 'no byte for' in a.log())
    expect_all(w, [p], Received(os.path.join(w.dir, 'exporter/exporter/export')))


@claim(epoll=True)
def of_two_edges_the_silent_one_is_left_and_nothing_comes_twice(w):
    """Two relays behind an https:// edge each, before one exporter."""
    certs = certificates(w, 'localhost')
    one, e = chain(w)
    two = relay(w, state='two', relay__next=one.sets['relay.next'])
    edges = [Edge(w, r.http, certs) for r in (one, two)]
    a = agent(w, ','.join(x.url() for x in edges), common__tls_ca=f'{certs}/ca.pem').start()
    p = w.producer(burst=10, pause_ms=10, count=2500)
    wait_for('the first has some', lambda: one.counters()['recv_records'] > 500)
    edges[0].hang = True
    begun = time.monotonic()
    wait_for('the second has some', lambda: two.counters()['recv_records'] > 500, 30)
    check('soon', time.monotonic() - begun <= 16.5)
    expect_all(w, [p], Received(os.path.join(w.dir, 'exporter/exporter/export')))
    equal('nothing refused', p.sets()[2], 0)
    equal('malformed', [x.malformed for x in edges], [[], []])
    equal('exit', a.stop(), 0)


@claim()
def an_edge_with_a_limit_of_its_own_is_met(w):
    r, e = chain(w)
    edge = Edge(w, r.http, limit=128 << 10)
    producers = [w.producer(burst=200, pause_ms=1, count=10) for _ in range(3)]
    wait_for('lanes are full', lambda: w.unacknowledged() > 1 << 20)
    a = agent(w, edge.url()).start()
    expect_all(w, producers, Received(os.path.join(w.dir, 'exporter/exporter/export')))
    check('it was told', 'smaller and packed from now on' in a.log())
    check('and seldom', a.counters()['hop_failures'] <= 8)


@claim()
def the_shared_key_is_shown_to_the_edge_and_not_to_the_log(w):
    r = relay(w, env={'EMPLOGD_COMMON_SHARED_KEY': 'open-sesame'})
    certs = certificates(w, 'localhost')
    edge = Edge(w, r.http, certs)
    for key, words in (('wrong-key', 'answered 401'), ('open-sesame', '')):
        a = w.role('agent', agent__relay=edge.url(), agent__http_listen='',
                   common__tls_ca=f'{certs}/ca.pem', env={'EMPLOGD_COMMON_SHARED_KEY': key})
        a.start()
        if words:
            wait_for(words, lambda: words in a.log(), 20)
            check('counted', r.counters()['recv_key_refused'] > 0)
        else:
            wait_for('up', lambda: a.counters()['hop_up'] == 1, 20)
        a.stop()
        for log in (a.log(0), r.log(0)):
            check('not in a log', 'wrong-key' not in log and 'sesame' not in log)
        os.unlink(a.log_path)
        w.roles.remove(a)


@claim(epoll=True)
def a_silent_edge_does_not_delay_the_end(w):
    r = relay(w)
    edge = Edge(w, r.http)
    a = agent(w, edge.url()).start()
    wait_for('up', lambda: a.counters()['hop_up'] == 1)
    wait_for('quiet', lambda: edge.under_way == 0 and edge.requests >= 2)
    edge.hang = True
    p = w.producer(burst=10, pause_ms=1, count=10)
    wait_for('it hangs', lambda: edge.under_way > 0)
    p.process.wait(20)
    status, took = stop_timed(a)
    check(f'{status}, {took:.2f} s', status == 0 and took <= GRACE + SLACK)
    edge.hang = False
    a.start()
    expect_all(w, [p], Received(os.path.join(w.dir, 'relay/relay/export')))


@claim()
def a_relay_hands_on_through_an_edge(w):
    last = relay(w, state='last')
    edge = Edge(w, last.http, faults=0.05)
    first = relay(w, state='first', relay__next=edge.url())
    a = agent(w, f'127.0.0.1:{first.port}').start()
    producers = [w.producer(burst=20, pause_ms=10, count=100) for _ in range(2)]
    expect_all(w, producers, Received(os.path.join(w.dir, 'last/relay/export')))
    check('by requests', first.counters()['hop_posts'] > 0)
    for role in (a, first, last):
        equal(role.state, role.stop(), 0)
