# SPDX-License-Identifier: ISC
"""proxy.py - the open internet, as a TCP proxy that may do what proxies do

It listens on an address of 127/8 and a port of its own and carries each
connection to where it was told.  By a seeded random it splits what passes at
any border, down to single bytes, puts pieces together, delays them, and cuts
connections: by RST or FIN, in the middle of a frame, just before or just after
an answer passes.
"""

import random
import socket
import struct
import threading
import time

SHAKEN = 4000       # bytes: more than a client says in a handshake
RST = struct.pack('ii', 1, 0)       # SO_LINGER: on, 0 s


def listener(rng):
    """On loopback, but not where anybody else listens."""
    while True:
        s = socket.socket()
        try:
            s.bind((f'127.0.0.{rng.randrange(2, 255)}', rng.randrange(10000, 32000)))
            s.listen(64)
            return s
        except OSError:
            s.close()


class Line:
    """One connection through the proxy."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.server = socket.create_connection(proxy.target, 10)
        for s in (client, self.server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.settimeout(None)
        with proxy.lock:
            seed = proxy.rng.getrandbits(64)
        self.rng = random.Random(seed)
        self.plan()
        self.over = False
        self.threads = [threading.Thread(target=f, daemon=True) for f in
                        (lambda: self.carry(client, self.server, self.up),
                         lambda: self.carry(self.server, client, self.down))]

    def plan(self):
        """When and how it is to be cut."""
        p, rng = self.proxy, self.rng
        self.bytes_left = self.answers_left = self.lives = None
        self.went_up = 0
        self.how = rng.choice(('RST', 'FIN'))
        if p.lives is not None:
            self.when, self.lives = 'after a while', rng.uniform(*p.lives)
            return
        if p.answers_max is not None:
            self.when, self.answers_left = 'after an answer', p.answers_max
            return
        if p.cut_bytes is None:
            return
        self.when = rng.choice(('in a frame', 'before an answer', 'after an answer'))
        if self.when == 'in a frame':
            self.bytes_left = rng.randrange(p.cut_bytes)
        else:
            self.answers_left = rng.randrange(1, p.cut_answers)

    def cut_if_so(self):
        if self.proxy.may_cut:
            self.cut()

    def cut(self):
        with self.proxy.lock:
            if self.over:
                return
            self.over = True
            self.proxy.cuts[f'{self.how} {self.when}'] = \
                self.proxy.cuts.get(f'{self.how} {self.when}', 0) + 1
        self.close(self.how == 'RST')

    def close(self, reset=False):
        self.over = True
        for s in (self.client, self.server):
            try:
                if reset:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
                s.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def up(self, to, data):
        self.went_up += len(data)
        if self.bytes_left is not None and self.proxy.may_cut:
            data = data[:self.bytes_left]
            self.bytes_left -= len(data)
        self.pieces(to, data)
        if self.bytes_left == 0 and self.proxy.may_cut:
            self.cut()

    def down(self, to, data):
        if self.lives is not None and self.went_up >= SHAKEN:
            t = threading.Timer(self.lives, self.cut_if_so)
            t.daemon = True
            t.start()
            self.lives = None
        if self.answers_left is None or not self.proxy.may_cut:
            self.pieces(to, data)
            return
        self.answers_left -= 1
        if self.answers_left > 0 or self.when == 'after an answer':
            self.pieces(to, data)
        if self.answers_left <= 0:
            self.cut()

    def pieces(self, to, data):
        rng = self.rng
        if not self.proxy.splits:
            to.sendall(data)
            return
        if rng.random() < 0.5:
            time.sleep(rng.random() * self.proxy.delay_ms / 1000)
        at = 0
        tiny = rng.randrange(1, 40) if rng.random() < 0.3 else 0
        while at < len(data):
            n = 1 if tiny > 0 else rng.randrange(1, len(data) - at + 1)
            tiny -= 1
            to.sendall(data[at:at + n])
            at += n

    def carry(self, source, to, how):
        try:
            while not self.over:
                if self.proxy.stalled.is_set():
                    time.sleep(0.01)
                    continue
                source.settimeout(0.1)
                try:
                    data = source.recv(self.rng.choice((100, 4096, 65536, 262144)))
                except socket.timeout:
                    continue
                if not data:
                    break
                if self.proxy.stalled.is_set():
                    while self.proxy.stalled.is_set() and not self.over:
                        time.sleep(0.01)
                source.settimeout(None)
                how(to, data)
        except OSError:
            pass
        if not self.over:
            self.close()


class Proxy:
    def __init__(self, w, target, rng, splits=True, delay_ms=10, cut_bytes=None, cut_answers=40,
                 answers_max=None, lives=None):
        """target: (host, port).  cut_bytes: connections are cut, at random up
        to so many bytes or cut_answers answers; answers_max: always after so
        many; lives: after so many seconds (from, to), but never in the
        handshake of TLS."""
        self.target, self.splits, self.delay_ms = target, splits, delay_ms
        self.rng = random.Random(rng.getrandbits(64))
        self.cut_bytes, self.cut_answers, self.answers_max = cut_bytes, cut_answers, answers_max
        self.lives, self.may_cut = lives, True
        self.stalled = threading.Event()    # it neither reads nor answers
        self.lock = threading.Lock()
        self.cuts, self.lines, self.accepted = {}, [], 0
        self.listener = listener(self.rng)
        host, port = self.listener.getsockname()
        self.address = f'{host}:{port}'
        w.closers.append(self.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            while self.stalled.is_set():
                time.sleep(0.01)
            try:
                line = Line(self, client)
            except OSError:
                client.close()
                continue
            self.lines.append(line)
            for t in line.threads:
                t.start()

    def close(self):
        self.stalled.clear()
        self.listener.close()
        for line in self.lines:
            line.close()

    def all_cuts(self):
        return sum(self.cuts.values())
