#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""bench.py - every speed claim, measured beside what it is compared to

usage: bench.py [row ...]          (make bench; tests/bench/README has the method)
       bench.py about              (the first line alone)

The first line says of what and where: the commit and what was changed since,
the machine, the disk of the build.  Then one line of JSON a row: {"row", "what", "unit", "target", "median", "min",
"max", "runs", "met", "beside": {...}}.  A row that cannot be measured here
says "skipped" with the reason.  BUILD_DIR names the build, TEST_IO the
backend of the loop.
"""

import glob
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'e2e'))
from world import BUILD, EMPLOGD, World, free_port, wait_for

BIN = os.path.join(BUILD, 'tests/bench')
MIB = 1 << 20
KNOCKS_AT = 4304        # in a lane: shm/lane.h


# ---- measuring ----

def cpu_ns(pid):
    """CPU of a process, all its threads and those that have ended."""
    return time.clock_gettime_ns((~pid << 3) | 2)   # clock_getcpuclockid(3)


def rss(pid):
    """RssAnon and RssShmem in bytes."""
    out = {}
    with open(f'/proc/{pid}/status') as f:
        for line in f:
            if line.startswith('Rss'):
                name, value = line.split(':')
                out[name] = int(value.split()[0]) * 1024
    return out


class Most:
    """The most a process held while the with block ran, looked at each ms."""

    def __init__(self, pid):
        self.pid, self.most, self.over = pid, {}, False

    def look(self):
        while not self.over:
            for k, v in rss(self.pid).items():
                self.most[k] = max(v, self.most.get(k, 0))
            time.sleep(0.001)

    def __enter__(self):
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self.most

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


def emit(row, what, unit, values, target=None, most=True, **beside):
    """One line; most: the target is an upper bound for the median."""
    values = [round(v, 3) for v in values]
    line = {'row': row, 'what': what, 'unit': unit, 'target': target,
            'median': round(statistics.median(values), 3),
            'min': min(values), 'max': max(values), 'runs': len(values)}
    if target is not None:
        line['met'] = line['median'] <= target if most else line['median'] >= target
    line['beside'] = {k: (round(v, 3) if isinstance(v, float) else v)
                      for k, v in beside.items()}
    print(json.dumps(line), flush=True)


def skip(row, why):
    print(json.dumps({'row': row, 'skipped': why}), flush=True)


def med(lines, key):
    return statistics.median(line[key] for line in lines)


# ---- the programs ----

def run(name, *args, env=None):
    out = subprocess.run([os.path.join(BIN, name), *map(str, args)], env=env, check=True,
                         stdout=subprocess.PIPE, timeout=120).stdout
    return json.loads(out)


class Peer:
    """bench_peer as a server; its counts when it has ended."""

    def __init__(self, what):
        self.process = subprocess.Popen([os.path.join(BIN, 'bench_peer'), what],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        self.counts = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        out, _ = self.process.communicate(timeout=10)
        self.counts = json.loads(out)


class Talk:
    """A program that is told on stdin to go on."""

    def __init__(self, name, *args):
        self.process = subprocess.Popen([os.path.join(BIN, name), *map(str, args)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def line(self):
        line = self.process.stdout.readline().decode().strip()
        if not line:
            raise RuntimeError('a bench program ended early')
        return line

    def go(self):
        self.process.stdin.write(b'\n')
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


class Place(World):
    """A world on the disk of the build: /tmp may be memory."""

    def __init__(self):
        super().__init__()
        shutil.rmtree(self.dir)
        self.dir = tempfile.mkdtemp(prefix='bench.', dir=BUILD)


def agent_of(w, port, **sets):
    sets.setdefault('agent__http_listen', '')
    return w.role('agent', agent__relay=f'127.0.0.1:{port}', **sets).start()


def relay_of(w, port, **sets):
    sets.setdefault('relay__http_listen', '')
    sets.setdefault('relay__next', f'127.0.0.1:{free_port()}')    # nobody there
    return w.role('relay', relay__listen=f'127.0.0.1:{port}', **sets)


def all_of(w):
    port = free_port()
    return w.role('agent,relay,exporter', agent__relay=f'127.0.0.1:{port}',
                  relay__listen=f'127.0.0.1:{port}', relay__http_listen='',
                  agent__http_listen='').start()


def knocks_of(path):
    with open(path, 'rb') as f:
        f.seek(KNOCKS_AT)
        return struct.unpack('<Q', f.read(8))[0]


def lane_knocks(ring):
    """Writes to the FIFO, the only system call on a record's way."""
    while True:
        lanes = [p for p in glob.glob(os.path.join(ring, '*')) if p.endswith(('.lane', '.dead'))]
        try:
            return sum(map(knocks_of, lanes))
        except FileNotFoundError:
            pass            # a .lane has become a .dead meanwhile


# ---- rows ----

def row_call():
    lines = []
    for _ in range(5):
        with Peer('ack') as ack, Place() as w:
            daemon = agent_of(w, ack.port)
            cpu = cpu_ns(daemon.process.pid)
            lines.append(run('bench_call', 200000, 100000, env=w.env))
            lines[-1]['daemon'] = cpu_ns(daemon.process.pid) - cpu
            lines[-1]['knocks'] = lane_knocks(w.ring)
    emit('call_p50', 'emplog_log, 8 fields, 100,000 calls/s, live agent', 'ns',
         [x['paced_net_p50'] for x in lines], 60,
         mean_between_5_and_95_percent=statistics.median(
             x['paced_middle'] - x['timing_middle'] for x in lines),
         timing_itself=med(lines, 'timing_p50'), one_clock_gettime=med(lines, 'clock_ns'),
         calls_per_s=med(lines, 'paced_per_s'), flat_p50=med(lines, 'flat_net_p50'),
         flat_loop_mean=med(lines, 'flat_untimed_mean_ns'))
    emit('call_p999', 'the same, 99.9 %', 'ns', [x['paced_net_p999'] for x in lines], 2000,
         p99=med(lines, 'paced_p99'), max=med(lines, 'paced_max'),
         flat_p999=med(lines, 'flat_net_p999'),
         minor_faults=med(lines, 'paced_minor_faults'))
    emit('call_refused', 'the same, records refused of 200,000', 'records',
         [x['paced_refused'] for x in lines], 0,
         flat_refused=[x['flat_refused'] for x in lines],
         agent_cpu_s=med(lines, 'daemon') / 1e9, load=os.getloadavg()[0])
    whole = []
    for _ in range(3):
        with Place() as w:
            daemon = all_of(w)
            cpu = cpu_ns(daemon.process.pid)
            whole.append(run('bench_call', 200000, 100000, 'noflat', env=w.env))
            whole[-1]['daemon'] = cpu_ns(daemon.process.pid) - cpu
    emit('call_refused_whole', 'agent, relay and export to local files in one process: refused '
         'of 200,000', 'records', [x['paced_refused'] for x in whole], None,
         p50=med(whole, 'paced_net_p50'), p999=med(whole, 'paced_net_p999'),
         daemon_cpu_s=med(whole, 'daemon') / 1e9, load=os.getloadavg()[0])
    emit('call_knocks', 'writes to the FIFO, paced and flat run together', 'calls',
         [x['knocks'] for x in lines], None, of_calls=280000)
    row_syscalls()
    row_lttng()


def row_syscalls():
    """Not the timed run: the same program, under strace."""
    if shutil.which('strace') is None:
        return skip('call_syscalls', 'strace is not installed')
    with Place() as w:
        all_of(w)
        log = os.path.join(w.dir, 'strace')
        subprocess.run(['strace', '-f', '-o', log, os.path.join(BIN, 'bench_call'),
                        '100000', '100000', 'noflat'], env=w.env, check=True,
                       stdout=subprocess.DEVNULL)
        with open(log) as f:
            calls = [line.split(None, 1)[1].split('(')[0] for line in f if '(' in line]
    first, second = [i for i, c in enumerate(calls) if c == 'getppid']
    inside = calls[first + 1:second]
    emit('call_syscalls', 'system calls in 100,000 paced calls, under strace', 'calls',
         [len(inside)], None, kinds={c: inside.count(c) for c in set(inside)},
         per_call=len(inside) / 100000)


def row_lttng():
    bench = os.path.join(BIN, 'bench_lttng')
    if shutil.which('lttng') is None or not os.path.exists(bench):
        return skip('call_lttng', 'lttng-tools or liblttng-ust-dev is not installed')
    home = tempfile.mkdtemp(prefix='bench-lttng.')
    env = dict(os.environ, LTTNG_HOME=home, HOME=home)
    sessiond = subprocess.Popen(['lttng-sessiond', '--no-kernel'], env=env,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def lttng(*args):
        return subprocess.run(['lttng', '--no-sessiond', *args], env=env, timeout=20,
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0
    try:
        wait_for('lttng-sessiond', lambda: lttng('list'), 10, 0.1)
        ok = lttng('create', 'bench', '--output', os.path.join(home, 'trace')) and \
            lttng('enable-channel', '-u', 'c', '--subbuf-size=1M', '--num-subbuf=4') and \
            lttng('enable-event', '-u', '-c', 'c', 'emplog_bench:record') and \
            lttng('start')
        if not ok:
            return skip('call_lttng', 'lttng made no session here')
        lines = [run('bench_lttng', 200000, 100000, env=env) for _ in range(3)]
        if not all(x['enabled'] for x in lines):
            return skip('call_lttng', 'the session did not enable the event')
        emit('call_lttng', 'LTTng-UST, the same fields, 100,000 calls/s', 'ns',
             [x['paced_net_p50'] for x in lines], None,
             p999=med(lines, 'paced_net_p999'), flat_p50=med(lines, 'flat_net_p50'),
             flat_p999=med(lines, 'flat_net_p999'))
    except TimeoutError as e:
        skip('call_lttng', str(e))
    finally:
        lttng('destroy', 'bench')
        sessiond.terminate()
        sessiond.wait(timeout=20)
        shutil.rmtree(home, ignore_errors=True)


def drained(ack):
    """The agent's CPU for 16 lanes of 4 MiB, 256 MiB in all."""
    with Place() as w:
        a = agent_of(w, ack.port, common__ring_max='1G')
        pid = a.process.pid
        t = Talk('bench_lanes', w.ring, 16, 4 * MIB, 256 * MIB)
        t.line()
        wait_for('lanes attached', lambda: a.counters()['lane_open'] >= 16)
        idle = rss(pid)
        cpu = cpu_ns(pid)
        with Most(pid) as most:
            t.go()
            r = json.loads(t.line())
        r['cpu'] = cpu_ns(pid) - cpu
        r['chunks'] = a.counters()['hop_acked_chunks']
        r['spilled'] = a.counters()['lane_spilled_bytes']
        r['idle'], r['most'] = idle, most
        t.end()
        return r


def bare():
    """RSS of the binary doing nothing."""
    out = subprocess.run([os.path.join(BIN, 'bench_peer'), 'rss', EMPLOGD, '--version'],
                         stdout=subprocess.PIPE, check=True).stdout
    return json.loads(out.splitlines()[-1])['max_rss']


def row_agent():
    lines = []
    for _ in range(3):
        with Peer('ack') as ack, Peer('read') as reader:
            r = drained(ack)
            size = r['bytes'] // max(r['chunks'], 1)
            r['bare'] = run('bench_peer', 'send', reader.port, size, r['bytes'])
            lines.append(r)
    per = [x['cpu'] / x['records'] for x in lines]
    send = [x['bare']['cpu_ns'] * x['bytes'] / x['bare']['bytes'] / x['records']
            for x in lines]
    common = {'record_bytes': lines[0]['bytes'] / lines[0]['records'],
              'chunk_bytes': med([{'n': x['bytes'] // x['chunks']} for x in lines], 'n'),
              'spilled_bytes': med(lines, 'spilled')}
    emit('agent_rate', 'lanes to a relay that only acknowledges, loopback', 'records/s',
         [x['records'] / x['wall_s'] for x in lines], 2e6, most=False,
         by_cpu_alone=1e9 / statistics.median(per),
         bare_send=statistics.median(x['records'] * 1e9 / x['bare']['wall_ns']
                                     for x in lines), **common)
    emit('agent_cpu', 'CPU of the agent by that of a bare send loop', 'times',
         [p / s for p, s in zip(per, send)], 2,
         cpu_ns_per_record=statistics.median(per), send_ns_per_record=statistics.median(send))
    plain = bare()
    for kind, target in (('RssAnon', 4), ('RssShmem', 8)):
        for when in ('idle', 'most'):
            emit(f'agent_{kind}_{"load" if when == "most" else when}',
                 f'{kind} of the agent, 16 lanes', 'MiB',
                 [x[when][kind] / MIB for x in lines], target,
                 bare_binary_rss=plain / MIB)


def row_relay():
    lines = []
    records = 1500000
    for i in range(3):
        with Place() as w:
            port = free_port()
            r = relay_of(w, port).start()
            pid = r.process.pid
            cpu, syncs = cpu_ns(pid), r.counters()['queue_syncs']
            with Most(pid) as most:
                x = run('bench_load', port, 4, 262144, records)
            x['cpu'] = cpu_ns(pid) - cpu
            x['syncs'] = r.counters()['queue_syncs'] - syncs
            x['most'] = most
            x['plain'] = plain_writes(w.dir, x['bytes'], x['syncs'])
            lines.append(x)
    emit('relay_rate', 'a relay, durable before each acknowledgement, 4 connections',
         'records/s', [x['records'] / x['wall_s'] for x in lines], 1.5e6, most=False,
         mb_per_s=statistics.median(x['bytes'] / x['wall_s'] / 1e6 for x in lines),
         cpu_ns_per_record=statistics.median(x['cpu'] / x['records'] for x in lines),
         record_bytes=lines[0]['bytes'] / lines[0]['records'], fdatasync=med(lines, 'syncs'),
         plain_write_and_fdatasync=statistics.median(
             x['records'] / x['plain'] for x in lines))
    emit('relay_RssAnon_load', 'RssAnon of the relay meanwhile', 'MiB',
         [x['most']['RssAnon'] / MIB for x in lines], 64)
    row_relay_many()


def plain_writes(directory, total, syncs):
    """Seconds for the same bytes with as many fdatasync calls, by hand."""
    size = max(4096, total // max(syncs, 1) // 4096 * 4096)
    block = os.urandom(MIB)
    path = os.path.join(directory, 'plain')
    start = time.monotonic()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        done = unsynced = 0
        while done < total:
            n = os.write(fd, block[:min(MIB, size - unsynced)])
            done += n
            unsynced += n
            if unsynced >= size:
                os.fdatasync(fd)
                unsynced = 0
        os.fdatasync(fd)
    finally:
        os.close(fd)
        os.unlink(path)
    return time.monotonic() - start


def row_relay_many():
    with Place() as w:
        port = free_port()
        r = relay_of(w, port).start()
        with Most(r.process.pid) as most:
            run('bench_load', port, 100, 262144, 600000)
        emit('relay_RssAnon_100', 'RssAnon of the relay, 100 connections at full load', 'MiB',
             [most['RssAnon'] / MIB], 64)


def row_otlp():
    lines = [run('bench_otlp', 200000) for _ in range(3)]
    emit('otlp', 'msgpack to OTLP protobuf, in a loop', 'ns CPU/record',
         [x['lane_identity_ns'] for x in lines], 700,
         identity_in_each_record=med(lines, 'record_identity_ns'),
         in_bytes=lines[0]['in_bytes'], out_bytes=lines[0]['out_bytes'])
    emit('otlp_gzip', 'the same with gzip, level 4 as the exporter', 'ns CPU/record',
         [x['gzip4_ns'] for x in lines], 2000, level_1=med(lines, 'gzip1_ns'),
         level_6=med(lines, 'gzip6_ns'))
    for how, target in (('none', 700), ('gzip', 2000)):
        got = [exporting(how) for _ in range(3)]
        emit(f'exporter_{how}', f'a real relay and exporter emptying its queue to a sink that '
             f'answers 200, compression {how}', 'ns CPU/record',
             [x['cpu'] / x['records'] for x in got], target,
             records_per_s=statistics.median(x['records'] / x['wall'] for x in got),
             requests=med(got, 'requests'))


def exporting(compression):
    with Place() as w, Peer('http') as sink:
        port = free_port()
        fill = relay_of(w, port).start()
        x = run('bench_load', port, 4, 262144, 200000)
        fill.stop()
        held = fill.counters()['queue_held_records']
        r = relay_of(w, port, relay__next='export', exporter__compression=compression,
                     exporter__endpoint=f'http://127.0.0.1:{sink.port}')
        start = time.monotonic()
        r.start()
        c = r.counters()
        wait_for('all exported', lambda: c['export_done_records'] >= held, 60)
        return {'cpu': cpu_ns(r.process.pid), 'records': x['records'],
                'wall': time.monotonic() - start, 'requests': c['export_requests']}


HTTP_CASES = ((1, 10000, 1), (1, 20000, 16), (100, 1000, 1))


def posts_to(pid, port, per_post, posts, connections):
    cpu = cpu_ns(pid)
    x = run('bench_http', 'at', port, per_post, posts, connections)
    return (cpu_ns(pid) - cpu) / x['records'] / 1000


def row_http():
    got, bare_got, large = ({c: [] for c in HTTP_CASES}, {c: [] for c in HTTP_CASES}, [])
    for _ in range(3):
        with Peer('ack') as ack, Peer('http') as plain, Place() as w:
            port = free_port()
            a = agent_of(w, ack.port, agent__http_listen=f'127.0.0.1:{port}')
            pid = a.process.pid
            for case in HTTP_CASES:
                got[case].append(posts_to(pid, port, *case))
                bare_got[case].append(posts_to(plain.process.pid, plain.port, *case))
            before = rss(pid)['RssAnon']
            with Most(pid) as most:
                run('bench_http', 'at', port, 1, 0)
            time.sleep(0.5)
            large.append({'more': most['RssAnon'] - before,
                          'after': rss(pid)['RssAnon'] - before})
            taken = a.counters()['ingest_records']
            if taken < 130000:
                raise RuntimeError(f'the agent took only {taken} records')
    for case, target in zip(HTTP_CASES, (15, 15, 2.5)):
        per_post, _, connections = case
        emit(f'http_{per_post}_by_{connections}', f'POST of {per_post} on {connections} '
             f'connection(s) to a real agent that passes on', 'us CPU/record', got[case],
             target, sink_that_only_answers=statistics.median(bare_got[case]))
    emit('http_16M', 'RssAnon of the agent while one body of 16 MiB comes in: more by', 'MiB',
         [x['more'] / MIB for x in large], 24,
         more_after=statistics.median(x['after'] / MIB for x in large))


def row_latency():
    with Place() as w:
        r = all_of(w)
        run('bench_call', 10, 1000, 'noflat', env=w.env)
        export = os.path.join(w.dir, r.state, 'relay/export')
        wait_for('an export directory', lambda: os.path.isdir(export))
        x = run('bench_latency', export, 120, env=w.env)
    emit('latency_p50', 'call to exported line, single records at random times', 'ms',
         [x['p50_us'] / 1000], 20, records=x['records'], max=x['max_us'] / 1000)
    emit('latency_p99', 'the same, 99 %', 'ms', [x['p99_us'] / 1000], 100)


def row_idle(seconds=10):
    with Place() as w:
        port = free_port()
        relay = relay_of(w, port, relay__next='export').start()
        a = agent_of(w, port, common__ring_max='1G')
        t = Talk('bench_lanes', w.ring, 64, MIB // 4, 0)
        t.line()
        wait_for('lanes attached', lambda: a.counters()['lane_open'] >= 64)
        time.sleep(4)           # past the dozing of the last traffic
        before = [cpu_ns(r.process.pid) for r in (a, relay)]
        syncs = relay.counters()['queue_syncs'] + a.counters()['queue_syncs']
        time.sleep(seconds)
        after = [cpu_ns(r.process.pid) for r in (a, relay)]
        idle_syncs = relay.counters()['queue_syncs'] + a.counters()['queue_syncs'] - syncs
        for name, b, e in zip(('agent with 64 lanes', 'relay'), before, after):
            emit(f'idle_{name.split()[0]}', f'idle {name}', '% of a core',
                 [(e - b) / seconds / 1e7], 0.1, over_s=seconds)
        emit('idle_fsync', 'fdatasync of both', 'calls/s', [idle_syncs / seconds], 0)
        syncs = relay.counters()['queue_syncs'] + a.counters()['queue_syncs']
        start, cpu = time.monotonic(), [cpu_ns(r.process.pid) for r in (a, relay)]
        run('bench_call', 17 * 5, 17, 'noflat', env=w.env)
        took = time.monotonic() - start
        syncs = relay.counters()['queue_syncs'] + a.counters()['queue_syncs'] - syncs
        cpu = [cpu_ns(r.process.pid) - b for r, b in zip((a, relay), cpu)]
        emit('fsync_17', 'fdatasync at 17 records/s, agent and relay', 'calls/s',
             [syncs / took], 20, agent_percent=cpu[0] / took / 1e7,
             relay_percent=cpu[1] / took / 1e7)
        t.end()


NODE_PACKAGES = ('winston@3.19.0', 'pino@10.4.0')


def node_modules():
    """Where winston and pino are, brought once into the build; None: npm has none."""
    cache = os.path.join(BUILD, 'tests/node-modules')
    if not os.path.exists(os.path.join(cache, 'node_modules/pino')):
        os.makedirs(cache, exist_ok=True)
        r = subprocess.run(['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund',
                            '--save-exact', '--prefix', cache, *NODE_PACKAGES],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if r.returncode != 0:
            return None
    return os.path.abspath(cache)


def node_package():
    """The package as make dist-node makes it, with its addon."""
    top = os.path.join(BUILD, 'tests/node-package')
    shutil.rmtree(top, ignore_errors=True)
    os.makedirs(top)
    subprocess.run(['make', '-s', '-C', BUILD, 'dist-node'], check=True,
                   stdout=subprocess.DEVNULL, env={**os.environ, 'MAKEFLAGS': ''})
    tgz, = glob.glob(os.path.join(BUILD, 'emplog-*.tgz'))
    subprocess.run(['tar', '-xzf', tgz, '-C', top], check=True)
    package = os.path.abspath(os.path.join(top, 'package'))
    subprocess.run(['node', 'install.js'], cwd=package, check=True, stdout=subprocess.DEVNULL)
    if not os.path.exists(os.path.join(package, 'build/Release/emplog.node')):
        raise RuntimeError('the addon was not made')
    return package


def row_node():
    if shutil.which('node') is None or shutil.which('npm') is None:
        return skip('node', 'no node, no npm')
    bench = os.path.join(HERE, '../../contrib/node/bench/bench.js')
    with Peer('ack') as ack, Place() as w:
        agent_of(w, ack.port)
        modules = node_modules()
        env = dict(w.env, EMPLOG_PACKAGE=node_package(), BENCH_FD='2', BENCH_DIR=w.dir)
        if modules:
            env['EMPLOG_MODULES'] = modules
        r = subprocess.run(['node', '--expose-gc', bench], env=env, check=True, timeout=600,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    x = json.loads([line for line in r.stderr.splitlines() if line.startswith(b'{')][-1])

    def us(case):
        return [v / 1000 for v in x[case]]
    stringify = statistics.median(us('stringify'))
    emit('node_call', 'withJobContext().jobCompleted(), 1,000,000 calls, console off, main '
         'thread', 'us', us('emplog'), 1.2, refused=x['refused'], json_stringify=stringify,
         load=os.getloadavg()[0])
    emit('node_by_stringify', 'the same by JSON.stringify of the same record', 'times',
         [a / b for a, b in zip(x['emplog'], x['stringify'])], 1)
    emit('node_console', 'the same, printed too, to /dev/null', 'us', us('emplog_console'), None)
    for case, what in (('winston_console', 'winston to /dev/null'),
                       ('winston_http', 'winston, a POST for each line, CPU of all threads'),
                       ('pino_file', 'pino to a file')):
        if case in x:
            emit(f'node_{case}', f'beside it: {what}', 'us', us(case), None)
    emit('node_stringify', 'beside it: JSON.stringify', 'us', us('stringify'), None)


# ---- of what, and where ----

def first_line(path, begins):
    """The value of the first line of a file that begins so, or None."""
    try:
        with open(path) as f:
            return next((line.split(':', 1)[1].strip() for line in f
                         if line.startswith(begins)), None)
    except OSError:
        return None


def git(*what):
    """What git says of the source, or None: a tarball has no commits."""
    try:
        s = subprocess.run(['git', '-C', HERE, *what], capture_output=True, text=True)
    except OSError:
        return None
    return s.stdout.strip() if s.returncode == 0 else None


def disk_of(directory):
    """The file system a directory is on."""
    s = subprocess.run(['stat', '-f', '-c', '%T', directory], capture_output=True, text=True)
    return s.stdout.strip() or None


def about():
    changed = git('status', '--porcelain', '--untracked-files=no')
    version = subprocess.run([EMPLOGD, '--version'], capture_output=True, text=True)
    memory = (first_line('/proc/meminfo', 'MemTotal') or '0').split()[0]
    print(json.dumps({
        'row': 'about', 'commit': git('rev-parse', '--short=12', 'HEAD'),
        'changed': None if changed is None else len(changed.splitlines()),
        'version': version.stdout.strip(),
        'date': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        'machine': {'cpu': first_line('/proc/cpuinfo', 'model name') or os.uname().machine,
                    'cores': os.cpu_count(), 'memory_GiB': round(int(memory) / (1 << 20), 1),
                    'kernel': os.uname().release, 'disk': disk_of(BUILD)},
        'load': os.getloadavg()[0]}), flush=True)


ROWS = {'node': row_node, 'call': row_call, 'agent': row_agent, 'relay': row_relay, 'otlp': row_otlp,
        'http': row_http, 'latency': row_latency, 'idle': row_idle}


def main():
    about()
    if sys.argv[1:] == ['about']:
        return
    names = sys.argv[1:] or list(ROWS)
    unknown = [n for n in names if n not in ROWS]
    if unknown:
        sys.exit(f'no such row: {unknown[0]}; there are {" ".join(ROWS)}')
    failed = False
    start = time.monotonic()
    for name in names:
        try:
            ROWS[name]()
        except (OSError, RuntimeError, TimeoutError, ValueError,
                subprocess.SubprocessError) as e:
            failed = True
            print(json.dumps({'row': name, 'failed': repr(e)}), flush=True)
    print(json.dumps({'row': 'all', 'seconds': round(time.monotonic() - start, 1),
                      'cores': os.cpu_count(), 'load': os.getloadavg()[0]}), flush=True)
    sys.exit(failed)


if __name__ == '__main__':
    main()
