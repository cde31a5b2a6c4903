# SPDX-License-Identifier: ISC
"""verbs.py - emplogd status, tail, ring and --check as people use them"""

import json
import os
import signal
import struct
import subprocess
import threading
import time

from claims import check, claim, equal
from fleet import agent, arrive, backend, give, relay, relay_and_backend
from world import EMPLOGD, free_port, wait_for

TAIL_MS = 200
NOBODY = 65534


@claim(epoll=True)
def status_of_running_and_stopped_and_killed_roles(w):
    r, b = relay_and_backend(w)
    a = agent(w, r.port)
    give(r, range(5))
    arrive(b, range(5))
    wait_for('the agent is connected', lambda: a.counters()['hop_up'] == 1)
    s = r.verb('status')
    equal('running relay', (s.returncode, s.stderr), (0, ''))
    check(s.stdout, 'relay     running, pid ' in s.stdout and 'exported   5 of 5' in s.stdout)
    check(s.stdout, 'last: HTTP 200' in s.stdout and 'kept: 0 records' in s.stdout)
    s = a.verb('status')
    check(s.stdout, s.returncode == 0 and 'relay      connected' in s.stdout)
    s = json.loads(r.verb('status', '--json').stdout)
    equal('json', (s['healthy'], s['roles'][0]['life'],
                   s['roles'][0]['counters']['export_done_records']), (True, 'running', 5))

    equal('exit', r.stop(), 0)
    s = r.verb('status')
    equal('exit of status of a stopped relay', s.returncode, 1)
    check(s.stdout, 'relay     stopped' in s.stdout and 'TROUBLE    stopped' in s.stdout)
    wait_for('the agent has noticed', lambda: a.counters()['hop_up'] == 0)
    s = a.verb('status')
    check(s.stdout, s.returncode == 1 and 'TROUBLE    no relay is connected' in s.stdout)
    a.kill()
    s = a.verb('status')
    check(s.stdout, s.returncode == 1 and 'agent     died' in s.stdout)


@claim()
def status_says_what_is_kept_and_what_the_backend_said(w):
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url)
    give(r, range(12))
    wait_for('tried', lambda: r.counters()['export_requests'] > 0)
    s = r.verb('status')
    check(s.stdout, 'kept: 12 records on disk' in s.stdout and 'last: no answer' in s.stdout)
    r.stop()
    check(r.log(), '12 records kept on disk' in r.log())
    check('also when stopped', 'kept: 12 records on disk' in r.verb('status').stdout)


@claim()
def a_second_signal_ends_at_once_and_says_what_is_kept(w):
    b = backend(w)
    b.close()
    r = relay(w, exporter__endpoint=b.url, common__exit_kept='75')
    give(r, range(12))
    wait_for('tried', lambda: r.counters()['export_requests'] > 0)
    r.process.send_signal(signal.SIGTERM)
    r.process.send_signal(signal.SIGINT)
    equal('exit', r.process.wait(timeout=10), 75)
    check(r.log(), r.log().endswith('ended; 12 records kept on disk\n'))
    s = r.verb('status')
    check(s.stdout, 'relay     stopped' in s.stdout and 'kept: 12 records' in s.stdout)
    status, said = r.run('--check')
    check(f'{status}: {said}', status == 0)     # what is kept is no fault


@claim()
def status_of_nothing_says_so(w):
    r = relay(w, start=False)
    s = r.verb('status')
    check(s.stdout + s.stderr, s.returncode == 1 and 'no role has run' in s.stderr)


@claim()
def verbs_need_none_of_the_daemons_secrets(w):
    r = relay(w)
    give(r, range(3))
    # As an administrator's shell has it: the file, and no DASH0_AUTH_TOKEN.
    path = config(w, 'dash0.conf', '[common]\nrole = relay\nstate_dir = '
                  f'{r.sets["common.state_dir"]}\nring_dir = {w.ring}\n[exporter]\n'
                  'endpoint = https://x.dash0.com\ntoken = ${NO_SUCH_TOKEN}\n')
    for words in ([f'--config={path}', 'status'], ['status', f'--config={path}'],
                  ['status', '--config', path]):
        s = subprocess.run([EMPLOGD, *words], capture_output=True, text=True, env=w.env)
        check(f'{words}: {s.stderr}{s.stdout}', s.returncode == 0)
        check(s.stdout, 'relay     running, pid ' in s.stdout)
        check(s.stderr, "variable 'NO_SUCH_TOKEN' is not set" in s.stderr)
    for words in (['stats'], ['status', '--jso'], ['tail', '--level=loud'], ['--nonsense'], []):
        s = subprocess.run([EMPLOGD, *words], capture_output=True, text=True, env=w.env)
        equal(f'exit of {words}', (s.returncode, s.stdout), (78, ''))


# ---- tail ----

class Tail:
    def __init__(self, w, role, *words):
        self.process = subprocess.Popen(
            role.verb_arguments('tail', '-f', *words), stdout=subprocess.PIPE, text=True,
            env=w.env)
        w.closers.append(self.end)
        self.lines, self.at = [], []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.at.append(time.time_ns())
            self.lines.append(line)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self.thread.join(5)

    def when(self, text):
        wait_for(f'{text} in tail', lambda: any(text in x for x in self.lines), 5, 0.001)
        return next(t for t, x in zip(self.at, self.lines) if text in x)


def slowest_of_20(w, role):
    c = w.caller(WORKER_ID='worker-tail')
    c.log('before-tail')
    t = Tail(w, role)
    t.when('before-tail')
    slowest = 0
    for i in range(20):
        called = c.log(f'seen-{i:02d}-')
        slowest = max(slowest, (t.when(f'seen-{i:02d}-') - called) / 1e6)
        time.sleep(0.013 * (i % 7))
    check(f'slowest of 20: {slowest:.0f} ms', slowest <= TAIL_MS)
    equal('lines', len(t.lines), 21)


@claim(alone=True)
def tail_shows_a_record_within_200_ms_with_an_agent(w):
    r, _ = relay_and_backend(w)
    slowest_of_20(w, agent(w, r.port))


@claim(alone=True)
def tail_shows_a_record_within_200_ms_without_an_agent(w):
    slowest_of_20(w, agent(w, free_port(), start=False))


@claim()
def tail_ends_when_nobody_reads_it_any_more(w):
    c = w.caller()
    c.log('the only one')
    p = subprocess.Popen(agent(w, free_port(), start=False).verb_arguments('tail', '-f'),
                         stdout=subprocess.PIPE, text=True, env=w.env)
    w.closers.append(p.kill)
    check('a line', 'the only one' in p.stdout.readline())
    p.stdout.close()
    equal('exit, without another record', p.wait(timeout=5), 0)


def state_of_lanes(w):
    """Names, sizes, times and every word of the control areas."""
    out = []
    for name in sorted(os.listdir(w.ring)):
        path = os.path.join(w.ring, name)
        st = os.stat(path)
        with open(path, 'rb') as f:
            control = f.read(65536) if name.endswith(('.lane', '.dead')) else b''
        out.append((name, st.st_size, st.st_mtime_ns, st.st_mode, st.st_uid, control))
    return out


@claim()
def no_tail_ever_moves_a_lane(w):
    role = agent(w, free_port(), start=False)
    c = w.caller()
    for i in range(50):
        c.log(f'line {i}')
    before = state_of_lanes(w)
    tail, = struct.unpack_from('<Q', before[0][5], 8192)
    equal('tail of the lane', tail, 0)
    readers = [None] if os.getuid() else [None, NOBODY]
    if os.getuid() == 0:
        os.chmod(w.ring_parent, 0o755)
    for uid in readers:
        for words in ([], ['--json'], ['-n', '5']):
            s = subprocess.run(role.verb_arguments('tail', *words), capture_output=True,
                               text=True, env=w.env, user=uid, timeout=10)
            if uid is None:
                equal('lines', len(s.stdout.splitlines()), 5 if '-n' in words else 20)
            else:
                equal('what another user sees', s.stdout, '')
    t = Tail(w, role)
    t.when('line 49')
    t.end()
    check('nothing has changed', state_of_lanes(w) == before)
    # Whoever takes them now gets them all.
    b = backend(w)
    r = relay(w, exporter__endpoint=b.url)
    role.sets['agent.relay'] = f'127.0.0.1:{r.port}'
    role.start()
    arrive(b, range(50))


@claim()
def tail_filters_and_prints_json(w):
    role = agent(w, free_port(), start=False)
    one, two = w.caller(WORKER_ID='worker-1'), w.caller(WORKER_ID='worker-2')
    one.log('plain words', level=2, event='step', job='job-a')
    one.log('broken', level=4, event='step', job='job-b')
    two.log('chatter', level=1, event='noise', job='job-a')
    two.log('warning', level=3, event='noise', job='job-c')
    for words, expected in ((['--job=job-a'], {'plain words', 'chatter'}),
                            (['--worker=worker-2'], {'chatter', 'warning'}),
                            (['--level=warn'], {'broken', 'warning'}),
                            (['--event=step'], {'plain words', 'broken'}),
                            (['--event=step', '--job=job-a'], {'plain words'}),
                            (['--job=job-none'], set()),
                            (['-n', '1'], {'warning'})):
        s = role.verb('tail', '--json', *words)
        equal('exit', s.returncode, 0)
        records = [json.loads(line) for line in s.stdout.splitlines()]
        equal(f'messages of {words}', {r['message'] for r in records}, expected)
        equal('how many', len(records), len(expected))
    for r in map(json.loads, role.verb('tail', '--json').stdout.splitlines()):
        check(r, {'time', 'level', 'message', 'event_type', 'job_id', 'n', 'worker_id'} <= set(r))
    wrong = role.verb('tail', '--level=loud')
    check(wrong.stderr, wrong.returncode != 0 and 'loud' in wrong.stderr)


@claim()
def tail_and_ring_show_lanes_of_the_dead(w):
    role = agent(w, free_port(), start=False)
    c = w.caller(WORKER_ID='worker-dead', SERVICE_TYPE='comfyui')
    c.log('last words', level=4)
    c.tell('started job-open')
    pid = c.process.pid
    ring = role.verb('ring')
    line = next(x for x in ring.stdout.splitlines() if str(pid) in x)
    check(ring.stdout, ring.returncode == 0 and 'worker-dead' in line)
    check('the job in progress', 'job-open' in ring.stdout)
    c.leave('gone')
    s = role.verb('tail')
    check(s.stdout, 'last words' in s.stdout and 'worker-dead' in s.stdout)
    after = next(x for x in role.verb('ring').stdout.splitlines() if str(pid) in x)
    check(f'{line} | {after}', after != line)
    # Drained and kept, it is still there to look at.
    r, _ = relay_and_backend(w)
    role.sets['agent.relay'] = f'127.0.0.1:{r.port}'
    role.start()
    wait_for('the lane is put away', lambda: w.lanes('.dead'), 10, 0.05)
    s = role.verb('tail')
    check(s.stdout, 'last words' in s.stdout)


# ---- starting ----

@claim()
def a_relay_starts_by_its_environment_alone(w):
    env = {**w.env, 'EMPLOGD_COMMON_ROLE': 'relay', 'EMPLOGD_RELAY_LISTEN': '127.0.0.1:0',
           'EMPLOGD_COMMON_STATE_DIR': os.path.join(w.dir, 'env'), 'PORT': '0',
           'EMPLOGD_COMMON_INSECURE_LISTEN': 'yes'}
    p = subprocess.Popen([EMPLOGD], stderr=subprocess.PIPE, text=True, env=env)
    w.closers.append(p.kill)
    said = []
    for line in p.stderr:
        said.append(line)
        if 'ready: relay' in line:
            break
    check(said, 'listening on [::]:' in ''.join(said) and 'ready: relay' in said[-1])
    p.terminate()
    said = p.communicate(timeout=10)[1]
    check(said, p.returncode == 0 and said.endswith('ended; 0 records kept on disk\n'))


# ---- --check ----

def config(w, name, text):
    path = os.path.join(w.dir, name)
    with open(path, 'w') as f:
        f.write(text)
    return path


@claim()
def check_says_0_to_a_good_and_78_to_a_bad_configuration(w):
    r = relay(w, start=False)
    status, said = r.run('--check')
    check(said, status == 0 and 'the start succeeds' in said)
    good = config(w, 'good.conf', '[relay]\nqueue_max = 64M\n')
    equal('a good file', r.run('--check', f'--config={good}')[0], 0)
    for text, expected in (('[relay]\nqueue_max = 4x\n', "bad.conf:2: key 'relay.queue_max'"),
                           ('[agent]\nrely = a:1\n', "did you mean 'agent.relay'"),
                           ('[common]\ngrace_ms = 1\n', 'common.grace_ms'),
                           ('[exporter]\nendpoint = https://x.dash0.com\n', 'wants a token')):
        bad = config(w, 'bad.conf', text)
        status, said = r.run('--check', f'--config={bad}')
        check(f'{status}: {said}', status == 78 and expected in said)
    status, said = r.run('--check', '--set=exporter.token=hunter7')
    check(said, status == 78 and 'hunter7' not in said)


@claim()
def check_fails_where_a_start_would(w):
    r = relay(w)
    other = relay(w, start=False, state='other')
    other.sets['relay.listen'] = f'127.0.0.1:{r.port}'
    status, said = other.run('--check')
    check(said, status == 1 and 'cannot listen on' in said)
    equal('the running one is well', r.verb('status').returncode, 0)


@claim()
def a_check_beside_the_running_one_leaves_it_in_peace(w):
    r = relay(w)
    give(r, range(4))
    before = r.counters()['ingest_records']
    for _ in range(3):
        status, said = r.run('--check')
        check(said, status == 1 and 'another emplogd uses it' in said)
    s = r.verb('status')
    check(s.stdout, s.returncode == 0 and f'running, pid {r.process.pid},' in s.stdout)
    give(r, range(4, 6))
    equal('counted on', r.counters()['ingest_records'], before + 2)
