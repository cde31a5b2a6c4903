# SPDX-License-Identifier: ISC
"""scenes.py - what bytes on a port cannot do: lanes, backends, full disks

The vocabulary of tests/hostile.tsv for its rows about these; each kind is a
class whose words() are the functions a row may call.  What a row's input
returns is compared with its first clause: text as it is, a finished process
by "exit N words of its standard error".

lane      file(data), link(to), fifo(), folder(), lane(field=value…): a lane
          as a living producer has it, whose methods are the attacks
backend   always(…), unless(…), once(…): an HTTP server that answers so, a
          relay that exports to it, and records through both
config    run(args…, env=…, file=…): emplogd with these, until it ends
disk      full_disk(), full_ring(), and starts that must fail or must not
"""

import ctypes
import fcntl
import glob
import http.server
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request

import words
from world import EMPLOGD, ISSUER, IO, Counters, Role, exported, free_port, wait_for

PATIENCE = 8.0
NOBODY = 65534


class Fault(Exception):
    """The scene did not go as it must."""


class Impossible(Exception):
    """Not on this machine; says why."""


def need_root():
    if os.geteuid() != 0:
        raise Impossible('needs root')


def agrees(got, clause):
    return got.agrees(clause) if hasattr(got, 'agrees') else got == clause


class Scene:
    def __init__(self, stage, row):
        self.stage, self.w, self.row = stage, stage.w, row

    def entries(self, n=1, start=0):
        return words.entries(self.row.id, n, start)

    def counters(self):
        """By role, of what the row is about."""
        return self.stage.counters()


# ---- lanes ----

CONTROL, DATA = 65536, 65536
PRODUCER, AGENT, MARKS, JOBS = 4096, 8192, 12288, 16384
F_OFD_SETLK = 37
FALLOC_PUNCH_HOLE = 3           # and keep the size


class Lane:
    """A lane written here: shm/lane.h says what is where."""

    def __init__(self, ring, data_bytes=DATA, version=1, uid=None, identity=b'',
                 identity_len=None, magic=b'EMPLANE\0', name=None, at=None):
        lane_id = os.urandom(16)
        self.path = os.path.join(ring, (name or lane_id.hex()) + '.lane')
        tmp = os.path.join(ring, '.tmp-' + lane_id.hex())
        self.fd = os.open(tmp, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o660)
        os.ftruncate(self.fd, CONTROL + DATA)
        fcntl.fcntl(self.fd, F_OFD_SETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))
        self.put(0, struct.pack(
            '<8sIIQ16sIIQII', magic, version, CONTROL, data_bytes, lane_id, os.getpid(),
            os.getuid() if uid is None else uid, time.time_ns(), 0,
            len(identity) if identity_len is None else identity_len))
        self.put(512, identity)
        for where, what in (at or {}).items():
            self.put(where, what)
        self.head = self.written = 0
        os.rename(tmp, self.path)

    def put(self, at, data):
        os.pwrite(self.fd, data, at)

    def word(self, at):
        b = os.pread(self.fd, 8, at)
        return struct.unpack('<Q', b)[0] if len(b) == 8 else 0

    def publish(self, head):
        self.head = head
        self.put(PRODUCER, struct.pack('<Q', head))
        fd = os.open(os.path.join(os.path.dirname(self.path), 'knock'),
                     os.O_RDWR | os.O_NONBLOCK)
        os.write(fd, b'!')
        os.close(fd)
        return self

    def write(self, data):
        """Without publishing."""
        self.put(CONTROL + self.written, data)
        self.written += len(data)
        return self

    def says(self, data):
        return self.write(data).publishes(self.written)

    def publishes(self, head):
        self.publish(head)
        wait_for('the agent has taken it', lambda: self.word(AGENT) == self.head, PATIENCE)
        return self

    def hole(self):
        """All data written so far reads as zeros."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.fallocate(self.fd, FALLOC_PUNCH_HOLE, ctypes.c_long(CONTROL),
                          ctypes.c_long(DATA)) != 0:
            raise Impossible(f'no holes: {os.strerror(ctypes.get_errno())}')
        return self

    def cut(self, size):
        os.ftruncate(self.fd, size)
        return self

    def tail(self, position):
        self.put(AGENT, struct.pack('<Q', position))
        return self

    def unlink(self):
        os.unlink(self.path)
        return self

    def dies(self):
        os.close(self.fd)
        return 'dead'

    def taken(self):
        return self.gone('taken')

    def gone(self, text='gone'):
        os.close(self.fd)
        return text

    def retired(self):
        wait_for('retired', lambda: self.word(AGENT + 128) & 0xffffffff, PATIENCE)
        return self.gone('retired')


class Lanes(Scene):
    def words(self):
        return {k: getattr(self, k) for k in ('file', 'link', 'fifo', 'folder', 'lane')}

    def lane(self, **changes):
        """A lane the agent takes, unless the changes make it none."""
        self.ours = Lane(self.w.ring, **changes)
        return self.ours

    def name(self):
        return os.path.join(self.w.ring, os.urandom(16).hex() + '.lane')

    def left_alone(self, path):
        time.sleep(0.1)
        return 'left alone' if os.path.lexists(path) else 'removed'

    def file(self, data, name=None):
        path = os.path.join(self.w.ring, name) if name else self.name()
        tmp = os.path.join(self.w.ring, '.tmp-' + os.urandom(16).hex())
        with open(tmp, 'wb') as f:
            f.write(data)
        os.rename(tmp, path)
        return self.left_alone(path)

    def link(self, to):
        path = self.name()
        os.symlink(to, path)
        return self.left_alone(path)

    def fifo(self):
        path = self.name()
        os.mkfifo(path)
        return self.left_alone(path)

    def folder(self):
        path = self.name()
        os.mkdir(path)
        return self.left_alone(path)


# ---- backends ----

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        status, headers, answer = self.server.backend.answer(body)
        if status == 0:             # hangs up
            self.close_connection = True
            self.connection.sendall(answer)
            return
        self.send_response(status)
        headers.setdefault('Content-Type', 'application/x-protobuf')
        headers['Content-Length'] = str(len(answer))
        for k, v in headers.items():
            self.send_header(k, v)
        self.end_headers()
        try:
            self.wfile.write(answer)
        except ConnectionError:
            pass                    # it has read as much as it wants

    def log_message(self, form, *args):
        pass


class Backend:
    """Answers by a rule; keeps what it accepted, as one text."""

    def __init__(self, world):
        self.port, self.lock = free_port(), threading.Lock()
        self.set(lambda body: 200)
        server = http.server.ThreadingHTTPServer(('127.0.0.1', self.port), Handler)
        server.backend, server.daemon_threads = self, True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        forward, web = free_port(), free_port()
        self.forward, self.web = forward, f'http://127.0.0.1:{web}'
        self.relay = world.role(
            'relay', state='exporting-relay', relay__listen=f'127.0.0.1:{forward}',
            relay__http_listen=f'127.0.0.1:{web}', exporter__compression='none',
            exporter__endpoint=f'http://127.0.0.1:{self.port}')
        self.relay.start()

    def set(self, rule):
        with self.lock:
            self.rule, self.accepted, self.requests = rule, b'', []

    def answer(self, body):
        with self.lock:
            got = self.rule(body)
            status, headers, answer = got if isinstance(got, tuple) else (got, {}, b'')
            self.requests.append((time.monotonic(), status))
            if status == 200 and not answer:
                self.accepted += body
            return status, dict(headers), answer


class Backends(Scene):
    def __init__(self, stage, row):
        super().__init__(stage, row)
        if not hasattr(stage, 'backend'):
            stage.backend = Backend(stage.w)
        self.b = stage.backend

    def counters(self):
        return {'backend': self.b.relay.counters().read()}

    def words(self):
        return {k: getattr(self, k) for k in ('always', 'unless', 'once', 'HTML', 'PARTIAL')}

    HTML = (200, {'Content-Type': 'text/html'}, b'<html>sign in</html>')
    PARTIAL = (200, {}, b'\x0a\x02\x08\x01')     # one rejected

    def give(self, texts):
        data = words.packed(self.row.id, b''.join(
            words.entry({'message': t, 'row': self.row.id}) for t in texts),
            {'chunk': self.row.id})
        with socket.create_connection(('127.0.0.1', self.b.forward), PATIENCE) as s:
            s.sendall(data)
            got = words.unpack(s.recv(4096))[0]
        if got != {'ack': self.row.id}:
            raise Fault(f'answered {got}')

    def texts(self, n):
        return [f'{self.row.id}-record-{i}-of-{n}' for i in range(n)]

    def arrive(self, texts):
        wait_for('all is delivered', lambda: all(
            t.encode() in self.b.accepted for t in texts), 20, 0.01)
        twice = [t for t in texts if self.b.accepted.count(t.encode()) != 1]
        if twice:
            raise Fault(f'delivered more than once: {twice}')

    def status(self, path):
        try:
            with urllib.request.urlopen(self.b.web + path, timeout=PATIENCE) as r:
                return r.status
        except urllib.error.HTTPError as e:
            return e.code

    def always(self, status):
        """Every request is answered so, until the backend is mended."""
        texts = self.texts(3)
        self.b.set(lambda body: status)
        self.give(texts)
        c = self.b.relay.counters()
        wait_for('held', lambda: c['export_held_auth'] == 1, PATIENCE)
        wait_for('not ready', lambda: self.status('/ready') == 503, PATIENCE)
        if self.b.accepted or c['queue_held_records'] != 3:
            raise Fault(f'{c["queue_held_records"]} records are kept')
        asked = len(self.b.requests)
        time.sleep(0.2)
        if len(self.b.requests) != asked:
            raise Fault('it is asked again and again')
        self.b.set(lambda body: 200)
        self.b.relay.process.send_signal(signal.SIGHUP)
        self.arrive(texts)
        wait_for('ready', lambda: self.status('/ready') == 200, PATIENCE)
        return 'held, then delivered'

    def unless(self, status, good, n=4):
        """Refused unless good(body) says otherwise."""
        texts = self.texts(n)
        self.b.set(lambda body: 200 if good(body) else status)
        dead = self.b.relay.counters()['export_dead_records']
        self.give(texts)
        c = self.b.relay.counters()
        fine = [t for t in texts if good(t.encode())]
        self.arrive(fine)
        wait_for('dead letters', lambda: c['export_dead_records'] - dead == n - len(fine),
                 20, 0.01)
        if len(fine) < n and not files_hold(
                os.path.join(self.w.dir, 'exporting-relay/relay/dead'), texts):
            raise Fault('the dead letters do not hold it')
        return f'{len(fine)} delivered, {n - len(fine)} dead'

    def once(self, answer, reload=False, **headers):
        """The first request is answered so, the next are taken."""
        texts = self.texts(2)
        first = [tuple(answer) if isinstance(answer, tuple) else
                 (answer, {k.replace('_', '-'): v for k, v in headers.items()}, b'no')]
        self.b.set(lambda body: first.pop() if first else 200)
        self.give(texts)
        if answer == self.PARTIAL or reload:
            wait_for('asked', lambda: self.b.requests, PATIENCE)
        if answer == self.PARTIAL:
            return 'taken'
        if reload:
            time.sleep(0.3)
            if len(self.b.requests) > 1:
                raise Fault('it does not wait')
            self.b.relay.process.send_signal(signal.SIGHUP)
        self.arrive(texts)
        waited = self.b.requests[1][0] - self.b.requests[0][0]
        if not reload and waited < self.seconds(headers.get('Retry_After')):
            raise Fault(f'asked again after {waited:.2f} s')
        return 'delivered'

    def seconds(self, text):
        return int(text) if text and text.isdigit() else 0


def files_hold(top, texts):
    data = b''.join(open(p, 'rb').read() for p in glob.glob(top + '/**', recursive=True)
                    if os.path.isfile(p))
    return any(t.encode() in data for t in texts)


# ---- processes that end ----

class Ran:
    def __init__(self, status, words):
        self.status, self.words = status, words

    def agrees(self, clause):
        word, status, text = (clause + '  ').split(' ', 2)
        return word == 'exit' and int(status) == self.status and text.strip() in self.words

    def __str__(self):
        return f'exit {self.status} {self.words}'


def run(args, env, seconds=15):
    p = subprocess.run(args, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=seconds)
    return Ran(p.returncode, p.stdout.decode('utf-8', 'replace'))


class Config(Scene):
    def words(self):
        return {'run': self.run}

    def run(self, *args, env=None, file=None, hides=None):
        where = os.path.join(self.w.dir, 'config-' + self.row.id)
        os.mkdir(where)
        args = [EMPLOGD, f'--io={IO}', f'--set=common.state_dir={where}/state',
                f'--set=common.ring_dir={where}/ring', *args]
        if file is not None:
            with open(f'{where}/conf', 'wb') as f:
                f.write(file)
            args.insert(1, f'--config={where}/conf')
        got = run(args, {**self.w.env, **(env or {})})
        if hides and hides in got.words:
            raise Fault(f'{hides!r} is printed')
        if os.path.exists(f'{where}/state'):
            raise Fault('it made its state directory')
        return got


# ---- disks ----

def in_tmpfs(mount, size):
    """A command that runs another with a small tmpfs of its own at mount."""
    return ['unshare', '-m', '--propagation=private', 'sh', '-c',
            f'mount -t tmpfs -o size={size},mode=0755 tmpfs "$0" && exec "$@"', mount]


def fill(path):
    """A file that takes all the room there is."""
    with open(path, 'wb', buffering=0) as f:
        for size in (1 << 20, 4096):
            try:
                while True:
                    f.write(b'f' * size)
            except OSError:
                pass


class Confined(Role):
    """A role whose state directory is a small tmpfs nobody else sees."""

    def __init__(self, world, mount, size, *args):
        super().__init__(world, *args, under=in_tmpfs(mount, size))
        self.mount = mount

    def inside(self, *path):
        return os.path.join(f'/proc/{self.process.pid}/root{self.mount}', *path)

    def counters(self, role=None):
        return Counters(self.inside(role or self.roles, 'counters'))


class Disks(Scene):
    grew = None

    def __init__(self, stage, row):
        super().__init__(stage, row)
        self.top = os.path.join(self.w.dir, 'disk-' + row.id)
        os.mkdir(self.top)
        self.base = {}

    def words(self):
        return {k: getattr(self, k) for k in (
            'full_disk', 'full_ring', 'damaged', 'run_agent', 'run_relay')}

    def counters(self):
        if self.grew is None:
            return {'disk': {}, 'agent': {}}
        return {k: c.read() if isinstance(c, Counters) else c
                for k, c in self.grew.items()}

    def place(self, *path):
        return os.path.join(self.top, *path)

    # A relay whose disk fills up: no acknowledgement while it is full.

    def full_disk(self):
        need_root()
        port = free_port()
        relay = Confined(self.w, self.top, '80m', 'relay', {
            'common.state_dir': self.top, 'relay.listen': f'127.0.0.1:{port}',
            'relay.http_listen': '', 'relay.queue_max': '64m'}, 'disk-relay')
        self.w.roles.append(relay)
        relay.start()
        fill(relay.inside('filler'))
        with socket.create_connection(('127.0.0.1', port), PATIENCE) as s:
            sent = self.send_until_silent(s)
            c = relay.counters()
            wait_for('the disk is full', lambda: c['queue_disk_full'] > 0, PATIENCE)
            os.unlink(relay.inside('filler'))
            self.read_ack(s, sent, 20)
        self.see_all(relay, sent)
        self.grew = {'disk': c.read()}
        relay.stop()
        return 'held, then acknowledged'

    def send_until_silent(self, s):
        """Messages of a MiB until one is not acknowledged: its number."""
        text = 'not a run of base64 ' * 400
        for n in range(100):
            body = b''.join(words.entry({
                'row': self.row.id, 'message': f'{self.row.id}-{n}-{i}.', 'text': text})
                for i in range(128))
            s.sendall(words.packed(self.row.id, body, {'chunk': f'{self.row.id}-{n}'}))
            try:
                self.read_ack(s, n, 1.0)
            except socket.timeout:
                return n
        raise Fault('it takes more than the disk holds')

    def read_ack(self, s, n, seconds):
        s.settimeout(seconds)
        got = words.unpack(s.recv(4096))[0]
        if got != {'ack': f'{self.row.id}-{n}'}:
            raise Fault(f'answered {got}')

    def see_all(self, relay, last):
        want = {f'{self.row.id}-{n}-{i}.' for n in range(last + 1) for i in range(128)}

        def seen():
            return [r['body']['stringValue'] for _, r, _ in exported(
                relay.inside('relay/export'))]
        wait_for('all is delivered', lambda: set(seen()) == want, 20, 0.2)
        if len(seen()) != len(want):
            raise Fault(f'{len(seen())} records of {len(want)}')

    # A relay killed with records on its disk, and then that is damaged.

    def damaged(self, damage):
        """damage(data) is what each file of the queue is afterwards."""
        port = free_port()
        relay = self.w.role(
            'relay', state='disk-' + self.row.id + '/state', relay__http_listen='',
            relay__listen=f'127.0.0.1:{port}',
            exporter__endpoint=f'http://127.0.0.1:{free_port()}')
        relay.log_path = self.place('log')
        relay.start()
        for n in range(20):
            self.give(port, n)
        relay.kill()
        for path in glob.glob(self.place('state/relay/*/*')):
            if os.path.isfile(path):
                with open(path, 'r+b') as f:
                    data = damage(f.read())
                    f.seek(0)
                    f.truncate()
                    f.write(data)
        relay.start()
        self.give(port, 20)
        self.grew = {'disk': relay.counters().read()}
        relay.kill()
        return f'runs with {self.grew["disk"]["queue_held_records"]}'

    def give(self, port, n):
        data = words.packed(self.row.id, words.entries(self.row.id, 1, n),
                            {'chunk': f'{self.row.id}-{n}'})
        with socket.create_connection(('127.0.0.1', port), PATIENCE) as s:
            s.sendall(data)
            self.read_ack(s, n, PATIENCE)

    # A producer in a ring without room.

    def full_ring(self):
        need_root()
        side = os.path.join(self.w.dir, 'side-full')
        script = ('head -c 2m /dev/zero >"$1/filler" 2>/dev/null; shift; exec "$@"')
        got = run(in_tmpfs(self.top, '1m') + [
            'sh', '-c', script, 'sh', self.top, ISSUER, side, '7', '10', '1', '20'],
            {**self.w.env, 'EMPLOG_RING_DIR': self.place('ring')})
        with open(side, 'rb') as f:
            issued, refused = struct.unpack('<QQ', f.read(16))
        if got.status != 0:
            return got
        if issued != 200 or refused != 200:
            return f'{issued} issued, {refused} refused: {got.words}'
        return 'refused, and the worker lives'

    # Starts that must fail, and say what to do.

    def run_relay(self, uid=None, file=False, missing=False, twice=False, port_taken=False):
        state, port = self.place('state'), free_port()
        if file:
            open(state, 'w').close()
        elif not missing:
            os.mkdir(state)
        sets = {'common.state_dir': state, 'relay.listen': f'127.0.0.1:{port}',
                'relay.http_listen': ''}
        if twice:
            self.w.roles.append(Role(self.w, 'relay', sets, 'first-relay'))
            self.w.roles[-1].start()
            sets['relay.listen'] = f'127.0.0.1:{free_port()}'
        if port_taken:
            sets['relay.listen'] = f'127.0.0.1:{self.stage.port["relay"]}'
        return self.ends(sets, 'relay', uid)

    def run_agent(self, owner=None, link=False, file=False):
        ring = self.place('ring')
        if link:
            os.symlink('/dev/shm', ring)
        elif file:
            open(ring, 'w').close()
        else:
            need_root()
            os.mkdir(ring)
            os.chown(ring, owner, owner)
        got = self.ends({
            'common.state_dir': self.place('state'), 'common.ring_dir': ring,
            'agent.http_listen': '', 'agent.relay': f'127.0.0.1:{free_port()}'}, 'agent')
        self.grew = {'agent': Counters(self.place('state/agent/counters'))}
        return got

    def ends(self, sets, role, uid=None):
        binary, command = EMPLOGD, []
        if uid is not None:
            need_root()
            binary = shutil.copy(EMPLOGD, self.top)     # where anybody may run it
            os.chmod(self.w.dir, 0o755)
            command = ['setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups']
        return run(command + [binary, f'--role={role}', f'--io={IO}'] +
                   [f'--set={k}={v}' for k, v in sets.items()], self.w.env)


KINDS = {'lane': Lanes, 'backend': Backends, 'config': Config, 'disk': Disks}
