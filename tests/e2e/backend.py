# SPDX-License-Identifier: ISC
"""backend.py - an OTLP/HTTP backend that answers as it is told

Answers are given in the order they were queued, then the usual one; each can
have a status, headers, a body, a delay, or break off.  What came is kept: the
bodies on disk as they are without gzip, and decoded, request by request.
"""

import gzip
import os
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROTOBUF = 'application/x-protobuf'


def varint(n):
    out = b''
    while n >= 0x80:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def length_field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def partial_success(rejected, message):
    part = b'\x08' + varint(rejected) + length_field(2, message.encode())
    return length_field(1, part)


class Answer:
    """cut: 'none' closes without an answer, 'half' in the middle of one."""

    def __init__(self, status=200, headers=None, body=b'', delay=0, cut=None):
        self.status, self.headers, self.body = status, headers or {}, body
        self.delay, self.cut = delay, cut


HTML = Answer(200, {'Content-Type': 'text/html'}, b'<html><body>Welcome</body></html>')


# ---- protobuf, as far as ExportLogsServiceRequest goes ----

def fields(b):
    at = 0

    def take_varint():
        nonlocal at
        n = shift = 0
        while True:
            c = b[at]
            at += 1
            n |= (c & 0x7f) << shift
            shift += 7
            if c < 0x80:
                return n
    while at < len(b):
        tag = take_varint()
        wire = tag & 7
        if wire == 0:
            value = take_varint()
        elif wire == 1:
            value = struct.unpack_from('<Q', b, at)[0]
            at += 8
        elif wire == 2:
            n = take_varint()
            value = b[at:at + n]
            at += n
        elif wire == 5:
            value = struct.unpack_from('<I', b, at)[0]
            at += 4
        else:
            raise ValueError(f'wire type {wire}')
        if at > len(b):
            raise ValueError('cut off')
        yield tag >> 3, value


def any_value(b):
    for number, v in fields(b):
        if number == 1:
            return v.decode()
        if number == 2:
            return bool(v)
        if number == 3:
            return v - (1 << 64) if v >> 63 else v
        if number == 4:
            return struct.unpack('<d', struct.pack('<Q', v))[0]
        if number == 5:
            return [any_value(x) for n, x in fields(v) if n == 1]
        if number == 6:
            return attributes(x for n, x in fields(v) if n == 1)
        if number == 7:
            return v
    return None


def attributes(pairs):
    out = {}
    for pair in pairs:
        key = value = None
        for number, v in fields(pair):
            if number == 1:
                key = v.decode()
            elif number == 2:
                value = any_value(v)
        out[key] = value
    return out


class Record:
    def __init__(self, resource, scope, scope_attributes, b):
        self.resource = resource
        self.scope, self.scope_attributes = scope, scope_attributes
        self.time = self.severity = 0
        self.severity_text = self.event = ''
        self.body = None
        pairs = []
        for number, v in fields(b):
            if number == 1:
                self.time = v
            elif number == 2:
                self.severity = v
            elif number == 3:
                self.severity_text = v.decode()
            elif number == 5:
                self.body = any_value(v)
            elif number == 6:
                pairs.append(v)
            elif number == 12:
                self.event = v.decode()
        self.attributes = attributes(pairs)


def decode(body):
    out = []
    for n, rl in fields(body):
        parts = list(fields(rl))
        resource = {}
        for number, v in parts:
            if number == 1:
                resource = attributes(x for k, x in fields(v) if k == 1)
        for number, v in parts:
            if number == 2:
                out += decode_scope(resource, v)
    return out


def decode_scope(resource, b):
    parts = list(fields(b))
    name, attrs = '', {}
    for number, v in parts:
        if number == 1:
            inner = list(fields(v))
            name = next((x.decode() for k, x in inner if k == 1), '')
            attrs = attributes(x for k, x in inner if k == 3)
    return [Record(resource, name, attrs, v) for n, v in parts if n == 2]


# ---- the server ----

class Request:
    """What came: when (monotonic and wall), where, what, what was answered."""

    def __init__(self, path, headers, raw):
        self.at, self.wall = time.monotonic(), time.time()
        self.path, self.headers = path, headers
        self.body = gzip.decompress(raw) if headers.get('Content-Encoding') == 'gzip' else raw
        self.records = decode(self.body)
        self.status = None          # None: not answered yet; 0: with nothing of use
        self.answered_at = None


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    timeout = 60

    def log_message(self, *args):
        pass

    def do_POST(self):
        raw = self.rfile.read(int(self.headers['Content-Length']))
        backend = self.server.backend
        request = Request(self.path, self.headers, raw)
        answer = backend.take(request)
        if answer.delay:
            time.sleep(answer.delay)
        # First, so that whoever hears of the answer finds it counted.
        request.status = answer.status if answer.cut is None and answer is not HTML else 0
        try:
            self.give(answer)
        except OSError:
            pass
        request.answered_at = time.monotonic()
        backend.done(request)

    def give(self, answer):
        if answer.cut:
            self.close_connection = True
            if answer.cut == 'half':
                self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n'
                                 b'Content-Length: 100\r\n\r\n\x0a\x05')
                self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        headers = answer.headers() if callable(answer.headers) else answer.headers
        self.send_response(answer.status)
        if 'Content-Type' not in headers:
            self.send_header('Content-Type', PROTOBUF)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


class Backend:
    """usual: an Answer, or a function from a Request to an Answer."""

    def __init__(self, directory, port, usual=None):
        self.dir, self.port = directory, port
        os.makedirs(directory, exist_ok=True)
        self.lock = threading.Lock()
        self.queued, self.requests = [], []
        self.usual = usual or Answer()
        self.open_now = self.open_most = 0
        self.server = None
        self.open()

    @property
    def url(self):
        return f'http://127.0.0.1:{self.port}'

    def open(self):
        self.server = Server(('127.0.0.1', self.port), Handler)
        self.server.backend = self
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def queue(self, *answers):
        with self.lock:
            self.queued += answers

    def take(self, request):
        with self.lock:
            self.open_now += 1
            self.open_most = max(self.open_most, self.open_now)
            path = os.path.join(self.dir, f'{len(self.requests):05d}.bin')
            self.requests.append(request)
            answer = self.queued.pop(0) if self.queued else self.usual
        with open(path, 'wb') as f:
            f.write(request.body)
        return answer(request) if callable(answer) else answer

    def done(self, request):
        with self.lock:
            self.open_now -= 1

    def seen(self):
        with self.lock:
            return list(self.requests)

    def accepted(self):
        """The records of the requests that were answered with 2xx."""
        return [rec for r in self.seen() if r.status and 200 <= r.status < 300
                for rec in r.records]
