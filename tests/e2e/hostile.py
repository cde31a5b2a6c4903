#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""hostile.py - what the world may throw at a daemon, row by row

usage: hostile.py [TABLE [ID…]]      (tests/hostile.tsv; all of its rows)

Each row of the table is one test against real daemons on loopback: an agent,
a relay and an exporter that writes local files, started once.  A row is

    id  where  input  answer  counter           separated by tabs

where     agent       its HTTP port             relay  the Forward port
          relay-http  the relay's HTTP port     exporter  its Forward port
          lane, backend, config, disk: input is a scene, see scenes.py

input     an expression of Python in these words; its value is what is sent
  b'…' + … * n           bytes
  random(n, first=B)     n bytes, the same in each run
  m(x)                   x as msgpack; Raw(b'…') is msgpack already
  ext(kind, data)        an extension; time_now(s, ns) an EventTime
  entry(record, at=…)    a Forward entry; entries(n) n good ones; deep(n)
  packed(tag, body, {…}) a message; message(body, **option) the same with the
                         row's id as its chunk; ours(body, **emplog) the same
                         as an agent sends it
  gz(data)               gzip
  http(method, path, body, Header=…), post(body, Header=…), acked(body, …)
                         requests; acked wants its record on disk
  record(**fields)       a JSON object that names the row
  crowd(n, bytes)        so many connections at the same time
  half(bytes)            then shuts down its half; cut(bytes) then closes
  row                    the row's id, also in every record it sends

answer    clauses joined by " & "
  closed        the connection is closed and nothing was answered
  late          the same, but half a minute after; waited for at the end
  open          nothing is answered and the connection stays
  ack, ack N    the chunk is acknowledged, byte for byte; with N records
  ack * N       N acknowledgements
  says TEXT     the connection is closed, and what was answered holds TEXT
  NNN text      HTTP status; its body holds text; several for several requests
  gone          we closed: there is no answer
  out N         N records of this row are exported, and no more
  has TEXT      an exported line of this row holds TEXT
  never TEXT    no file under the state directories or in the ring holds TEXT
  anything else is what the scene returned

counter   role:name+N grew by N, role:name>N by more; role: is where's own
          when left out; "-" none

After each row the daemon must be alive, its sums must add up, and it must take
a good record; at the end each of those must have been exported exactly once
(good-records), and the daemons must be as small as ever (memory).
"""

import csv
import glob
import json
import os
import socket
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import scenes
import words
from world import EMPLOGD, World, free_port, wait_for

ROLE_OF = {'agent': 'agent', 'relay': 'relay', 'relay-http': 'relay',
           'exporter': 'exporter', 'lane': 'agent'}
FORWARD = ('relay', 'exporter')
PATIENCE = 5.0
LATE = 45.0
MEMORY_KIB = 16 * 1024


class Fault(Exception):
    """The row's claim does not hold."""


class Row:
    def __init__(self, fields):
        self.id, self.where, self.input, answer, self.counter = fields
        self.clauses = answer.split(' & ')
        self.late = 'late' in self.clauses
        self.chunk = self.id


class Stage:
    """The daemons of the rows about ports and lanes."""

    def __init__(self, world):
        self.w = world
        self.port = {k: free_port() for k in ('agent', 'relay', 'relay-http', 'exporter')}
        at = {k: f'127.0.0.1:{p}' for k, p in self.port.items()}
        self.role = {
            'exporter': world.role('exporter', exporter__listen=at['exporter']),
            'relay': world.role('relay', relay__listen=at['relay'],
                                relay__http_listen=at['relay-http'],
                                relay__next=at['exporter']),
            'agent': world.role('agent', agent__relay=at['relay'],
                                agent__http_listen=at['agent'])}
        for r in self.role.values():
            r.start()
        self.good = 0

    def counters(self):
        return {k: r.counters().read() for k, r in self.role.items()}

    def lines(self, text):
        """Records exported so far whose JSON holds text."""
        out = []
        for path in glob.glob(os.path.join(self.w.dir, 'exporter/exporter/export/*.jsonl')):
            with open(path, encoding='utf-8') as f:
                out += [x for x in f if x.endswith('\n') and text in x]
        return [r for line in out for r in records_of(line)
                if text in json.dumps(r, ensure_ascii=False)]

    def of(self, row):
        return self.lines(f'"{row.id}"')

    def still_good(self, where):
        """One good record by the same way."""
        self.good += 1
        text = f'good-{self.good:04d}'
        if where in FORWARD:
            data = words.packed('good', words.entries(text), {'chunk': text})
            with send(self.port[where], data) as p:
                got = p.acks(1)
            if got != [{'ack': text}]:
                raise Fault(f'a good record afterwards is answered {got}')
        else:
            data = json.dumps({'message': text}).encode()
            data = words.http('POST', '/', data, Emplog_Ack='agent')
            with send(self.port[where], data) as p:
                status, _ = p.answer()
            if status != 200:
                raise Fault(f'a good record afterwards is answered {status}')

    def check_alive(self):
        for name, r in self.role.items():
            if r.process.poll() is not None:
                raise Fault(f'{name} ended with {r.process.returncode}:\n{r.log()}')
            if r.counters()['conservation_broken'] > 0:
                raise Fault(f'the sums of {name} do not add up')

    def check_memory(self):
        """What was thrown at them has left no more than their fixed memory."""
        with open(EMPLOGD, 'rb') as f:
            most = MEMORY_KIB * (16 if b'__asan_init' in f.read() else 1)
        for name, r in self.role.items():
            with open(f'/proc/{r.process.pid}/status') as f:
                kib = next(int(x.split()[1]) for x in f if x.startswith('RssAnon:'))
            if kib > most:
                raise Fault(f'{name} has {kib} KiB of memory of its own')


def records_of(line):
    for rl in json.loads(line)['resourceLogs']:
        for sl in rl['scopeLogs']:
            yield from sl['logRecords']


# ---- connections ----

class Peer:
    """A connection, and what came over it and is not read yet."""

    def __init__(self, port):
        self.s = socket.create_connection(('127.0.0.1', port), timeout=PATIENCE)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.b = b''

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.s.close()

    def send(self, what):
        """The peer may close before it has all."""
        end = getattr(what, 'end', 'keep')
        self.s.settimeout(PATIENCE)
        try:
            self.s.sendall(getattr(what, 'data', what))
            if end == 'half':
                self.s.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass
        if end == 'cut':
            self.s.close()

    def more(self, seconds=PATIENCE):
        """True: bytes came; b'': the peer closed; None: nothing came."""
        self.s.settimeout(seconds)
        try:
            data = self.s.recv(65536)
        except ConnectionError:
            data = b''
        except socket.timeout:
            return None
        self.b += data
        return bool(data) or b''

    def acks(self, n):
        got = []
        while len(got) < n:
            try:
                value, at = words.unpack(self.b)
            except EOFError:
                end = self.more()
                if not end:
                    raise Fault(f'{"silence" if end is None else "closed"} '
                                f'after {len(got)} acks')
                continue
            got.append(value)
            self.b = self.b[at:]
        return got

    def answer(self):
        """Of HTTP: status and body."""
        while b'\r\n\r\n' not in self.b:
            end = self.more()
            if not end:
                raise Fault(f'{"silence" if end is None else "closed"} '
                            f'after {self.b[:100]!r}')
        head, _, self.b = self.b.partition(b'\r\n\r\n')
        lines = head.decode('latin-1').split('\r\n')
        length = next((int(x.split(':')[1]) for x in lines
                       if x.lower().startswith('content-length:')), 0)
        while len(self.b) < length and self.more():
            pass
        body, self.b = self.b[:length], self.b[length:]
        return int(lines[0].split()[1]), body


def send(port, what):
    p = Peer(port)
    p.send(what)
    return p


# ---- a row ----

class Crowd:
    """So many connections that send the same; only the last is watched."""

    def __init__(self, n, data):
        self.n, self.data = n, data


def vocabulary(row):
    def message(body, **option):
        row.chunk = option.get('chunk', row.id)
        return words.packed(row.id, body, {'chunk': row.id, **option})

    def ours(body, **emplog):
        return words.packed('emplog.test', body, {
            'chunk': row.id, 'fluent_signal': 0, 'emplog': {'v': 1, **emplog}})

    def record(**fields):
        return json.dumps({'message': row.id, 'row': row.id, **fields}).encode()

    def post(body=b'', **headers):
        return words.http('POST', '/' + row.id, body, **headers)

    def acked(body=b'', **headers):
        return post(body, Emplog_Ack='agent', **headers)

    names = {k: getattr(words, k) for k in (
        'Raw', 'm', 'ext', 'time_now', 'deep', 'entry', 'packed', 'random',
        'gz', 'HELLO', 'http')}
    names.update(
        row=row.id, message=message, ours=ours, record=record, post=post,
        acked=acked, entries=lambda n=1, start=0: words.entries(row.id, n, start),
        crowd=Crowd, half=lambda b: words.Send(b, 'half'), cut=lambda b: words.Send(b, 'cut'))
    return names


def value_of(row, more=()):
    return eval(row.input, {**vocabulary(row), **dict(more)})


def check_answer(row, p):
    """The clauses about the connection; returns the others."""
    rest = []
    for c in row.clauses:
        word, _, text = c.partition(' ')
        if word in ('closed', 'late', 'open'):
            check_end(p, word)
        elif word == 'ack':
            check_acks(row, p, text)
        elif word == 'says':
            check_says(p, text)
        elif word.isdigit():
            status, body = p.answer()
            if status != int(word) or text.encode() not in body:
                raise Fault(f'answered {status} {body[:300]!r}')
        elif word != 'gone':
            rest.append(c)
    return rest


def check_end(p, word):
    seconds = {'closed': PATIENCE, 'late': LATE, 'open': 0.2}[word]
    end = p.more(seconds)
    if p.b:
        raise Fault(f'answered {p.b[:200]!r}')
    if (end is None) != (word == 'open'):
        raise Fault('not closed' if end is None else 'closed')


def check_says(p, text):
    while p.more():
        pass
    if text.encode() not in p.b:
        raise Fault(f'answered {p.b[:200]!r}')


def check_acks(row, p, text):
    want = {'ack': row.chunk}
    n = 1
    if text.startswith('* '):
        n = int(text[2:])
    elif text:
        want['n'] = int(text)
    got = p.acks(n)
    if got != [want] * n:
        raise Fault(f'acknowledged {got}')


def check_files(stage, clauses, row):
    for c in clauses:
        word, _, text = c.partition(' ')
        if word == 'out':
            check_out(stage, row, int(text))
        elif word == 'has':
            try:
                wait_for(f'{text!r} exported', lambda: any(
                    text in json.dumps(r, ensure_ascii=False)
                    for r in stage.of(row)), PATIENCE, 0.02)
            except TimeoutError as e:
                raise Fault(f'{e}: {stage.of(row)}'[:1000])
        elif word == 'never':
            for path in files_with(text, (stage.w.dir, stage.w.ring)):
                raise Fault(f'{text!r} is in {path}')
        else:
            raise Fault(f'the table says {c!r}, which is no clause')


def check_out(stage, row, n):
    try:
        wait_for('', lambda: len(stage.of(row)) >= n, PATIENCE, 0.02)
    except TimeoutError:
        pass
    if n == 0:      # what comes behind is there: so would this be
        wait_for('a later record', lambda: stage.lines(f'good-{stage.good:04d}'))
    got = len(stage.of(row))
    if got != n:
        raise Fault(f'{got} records of it are exported')


def files_with(text, dirs):
    for top in dirs:
        for path, _, names in os.walk(top):
            for name in names:
                full = os.path.join(path, name)
                if os.path.isfile(full) and text.encode() in open(full, 'rb').read():
                    yield full


def parse_counter(text, where):
    if text == '-':
        return
    for part in text.split():
        role, _, rest = part.rpartition(':')
        sign = '+' if '+' in rest else '>'
        name, _, n = rest.partition(sign)
        yield role or ROLE_OF.get(where, where), name, sign, int(n)


def check_counters(row, before, now):
    for role, name, sign, n in parse_counter(row.counter, row.where):
        def grown():
            return now()[role].get(name, 0) - before[role].get(name, 0)
        if name not in now()[role]:
            raise Fault(f'there is no counter {name}')
        try:
            wait_for('', lambda: grown() >= n + (sign == '>'), PATIENCE, 0.01)
        except TimeoutError:
            pass
        got = grown()
        if got != n if sign == '+' else got <= n:
            raise Fault(f'{role}\'s {name} grew by {got}, not {sign}{n}')


class Run:
    def __init__(self, rows):
        self.rows = rows
        self.results = {True: 0, False: 0}
        self.late = []

    def port_row(self, stage, row):
        before = stage.counters()
        what, port = value_of(row), stage.port[row.where]
        crowd = [send(port, what) for _ in range(getattr(what, 'n', 1) - 1)]
        with send(port, what) as p:
            rest = check_answer(row, p)
            check_counters(row, before, stage.counters)
            stage.still_good(row.where)
        for other in crowd:
            other.s.close()
        check_files(stage, rest, row)

    def begin_late(self, stage):
        for row in self.rows:
            if row.late:
                before = stage.counters()
                self.late.append((row, before, send(stage.port[row.where], value_of(row))))

    def end_late(self, stage):
        for row, before, p in self.late:
            self.judge(row, lambda: (check_answer(row, p),
                                     check_counters(row, before, stage.counters),
                                     stage.still_good(row.where)))

    def scene_row(self, stage, row):
        scene = scenes.KINDS[row.where](stage, row)
        before = scene.counters()
        got = value_of(row, scene.words())
        if not scenes.agrees(got, row.clauses[0]):
            raise Fault(f'got: {got}')
        check_counters(row, before, scene.counters)
        if row.where == 'lane':
            stage.still_good('agent')
        check_files(stage, row.clauses[1:], row)

    def judge(self, row, claim):
        try:
            claim()
            print(f'ok {row.id}', flush=True)
            self.results[True] += 1
        except scenes.Impossible as e:
            print(f'skip {row.id}: {e}', flush=True)
        except Exception as e:
            if not isinstance(e, (Fault, TimeoutError, RuntimeError, scenes.Fault)):
                traceback.print_exc()
            print(f'not ok {row.id} {str(e) or type(e).__name__}', flush=True)
            self.results[False] += 1

    def all_good_exported(self, stage):
        def missing():
            return [i for i in range(1, stage.good + 1)
                    if f'good-{i:04d}' not in seen()]

        def seen():
            return ' '.join(r['body'].get('stringValue', '')
                            for r in stage.lines('good-') if 'body' in r)
        try:
            wait_for('', lambda: not missing(), 20, 0.1)
        except TimeoutError:
            raise Fault(f'not exported: {missing()}')
        twice = len(stage.lines('good-')) - stage.good
        if twice:
            raise Fault(f'{twice} of {stage.good} came more than once')

    def all(self, stage):
        self.begin_late(stage)
        for row in self.rows:
            if row.late:
                continue
            self.judge(row, lambda: (
                (self.port_row if row.where in stage.port else self.scene_row)(stage, row),
                stage.check_alive()))
        self.end_late(stage)
        for name, claim in (('good-records', lambda: self.all_good_exported(stage)),
                            ('memory', stage.check_memory)):
            self.judge(Row([name, '', '', '', '-']), claim)


def read_rows(path, only):
    with open(path, encoding='utf-8', newline='') as f:
        rows = [Row(x) for x in csv.reader(
            (line for line in f if line.strip() and not line.startswith('#')),
            delimiter='\t', quoting=csv.QUOTE_NONE)]
    ids = [r.id for r in rows]
    if len(set(ids)) != len(ids):
        raise SystemExit('two rows have the same id')
    return [r for r in rows if not only or r.id in only]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    table = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, '../hostile.tsv')
    run = Run(read_rows(table, sys.argv[2:]))
    start = time.monotonic()
    with World() as w:
        run.all(Stage(w))
        if run.results[False]:
            for r in w.roles:
                print(f'--- {r.roles}\n{r.log()}')
    print(f'{time.monotonic() - start:.1f} s')
    print(f'{run.results[True]} passed, {run.results[False]} failed')
    return 1 if run.results[False] else 0


if __name__ == '__main__':
    sys.exit(main())
