# SPDX-License-Identifier: ISC
"""wire.py - a proxy between two roles that reads what it carries

It knows where a message begins and ends, which way it goes, and which answer
is whose; so what e2e/proxy.py does by chance is done here on purpose.  A Plan
says what becomes of each message and of each answer:

    sender  -> message(line, m) -> receiver
    sender  <- answer(line, a)  <- receiver

The usual plan carries them.  line.up(bytes) and line.down(bytes) send, and
return when that is on its way; line.up_taken() and line.down_taken() return
when the other side's process has read all of it: what is sent next does not
come with it.
"""

import socket
import struct
import threading

from proxy import RST, listener
from words import unpack
from world import wait_for

PIECE = 262144


class Message:
    """One Forward message: [tag, body, option], as src/hop/wire.h has it."""

    def __init__(self, raw):
        self.raw = raw
        tag, at = unpack(raw, 1)
        self.tag_at = at - len(tag)
        self.body, at = unpack(raw, at)
        self.body_at, self.option_at = at - len(self.body), at
        self.option, _ = unpack(raw, at)
        self.chunk = self.option.get('chunk')       # None: no answer is due

    def tag_head(self):
        return self.raw[:self.tag_at + len(unpack(self.raw, 1)[0])]

    def at(self, text):
        """Where it says text in its option."""
        return self.raw.index(text, self.option_at)

    def flipped(self, at, bit=0):
        raw = bytearray(self.raw)
        raw[at] ^= 1 << bit
        return bytes(raw)


class Answer:
    def __init__(self, raw):
        self.raw = raw
        self.chunk = unpack(raw)[0]['ack']


def cut_off(buffer, kind):
    """The values at its front as kind, and what is left of it."""
    out, at = [], 0
    while at < len(buffer):
        try:
            if kind is Message:
                end = at + 1
                for _ in range(buffer[at] & 15):
                    end = unpack(buffer, end)[1]
            else:
                end = unpack(buffer, at)[1]
        except EOFError:
            break
        out.append(kind(bytes(buffer[at:end])))
        at = end
    return out, buffer[at:]


class Plan:
    def begun(self, line):
        """A connection, before anything passed."""

    def message(self, line, m):
        line.up(m.raw)

    def answer(self, line, a):
        line.down(a.raw)

    def data(self, line, way, data):
        """Of a raw wire, which does not look into what passes."""
        line.send(way, data)


def unread(s):
    """Bytes the process at the other end of s has not read."""
    def words(address):
        host, port = address
        return '%08X:%04X' % (struct.unpack('<I', socket.inet_aton(host))[0], port)
    ours, theirs = words(s.getsockname()), words(s.getpeername())
    with open('/proc/net/tcp') as f:
        for row in f:
            if theirs in row:
                field = row.split()
                if field[1] == theirs and field[2] == ours:
                    return int(field[4].split(':')[1], 16)
    return 0                    # gone, as its connection


class Line:
    """One connection; n counts them from 0."""

    def __init__(self, wire, client, n):
        self.wire, self.client, self.n = wire, client, n
        self.server = socket.create_connection(wire.target, 10)
        for s in (client, self.server):
            s.settimeout(None)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.over, self.passed = False, 0
        self.lock = threading.Lock()        # of what goes down: timers say it too
        self.threads = [threading.Thread(target=self.carry, args=a, daemon=True) for a in (
            (client, Message, 'message'), (self.server, Answer, 'answer'))]

    def up(self, data):
        self.server.sendall(data)

    def down(self, data):
        with self.lock:
            self.client.sendall(data)

    def send(self, way, data):
        (self.up if way == 'message' else self.down)(data)

    def up_taken(self):
        wait_for('the receiver has read it', lambda: self.over or unread(self.server) == 0, 10,
                 0.0002)

    def down_taken(self):
        wait_for('the sender has read it', lambda: self.over or unread(self.client) == 0, 10,
                 0.0002)

    def cut(self, how='RST'):
        self.over = True
        for s in (self.client, self.server):
            try:
                if how == 'RST':
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
                    s.shutdown(socket.SHUT_RD)
                else:
                    s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def carry(self, source, kind, what):
        buffer = b''
        try:
            while not self.over:
                data = source.recv(PIECE)
                if not data:
                    break
                if self.wire.raw:
                    self.passed += len(data)
                    self.wire.plan.data(self, what, data)
                    continue
                found, buffer = cut_off(buffer + data, kind)
                for x in found:
                    if not self.over:
                        getattr(self.wire.plan, what)(self, x)
        except OSError:
            pass
        except Exception as e:
            self.wire.faults.append(f'{type(e).__name__}: {e}')
        if not self.over:
            self.cut('FIN')


class Wire:
    def __init__(self, w, rng, port, plan, raw=False):
        """To whoever listens on port; wire.address is its own."""
        self.target, self.plan, self.raw = ('127.0.0.1', port), plan, raw
        self.lines, self.faults, self.refused = [], [], 0
        self.listener = listener(rng)
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
            try:
                line = Line(self, client, len(self.lines))
            except OSError:             # there is nobody now
                self.refused += 1
                client.close()
                continue
            self.lines.append(line)
            self.plan.begun(line)
            for t in line.threads:
                t.start()

    def close(self):
        self.listener.close()
        for line in self.lines:
            line.cut()
