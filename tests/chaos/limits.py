# SPDX-License-Identifier: ISC
"""limits.py - too little room, too few files, directories that are not ours

The same for each: while it lasts the role runs, says so, and takes no more
than it can keep; when it is over everything accepted comes out, once.
"""

import contextlib
import errno
import glob
import os
import re
import resource
import shutil
import signal
import socket
import time

from chain import Chain, says, unharmed
from claims import Skipped, check, claim, equal
from scenes import fill
from small import Small, SmallRole
from world import EMPLOGD, Received, exported, free_port, wait_for


def small_relay(w, small, **sets):
    port = free_port()
    r = SmallRole(w, small, 'relay', relay__listen=f'127.0.0.1:{port}', relay__http_listen='',
                  **sets)
    r.port = port
    return r.start()


def came(c):
    return sum(len(s) for s in c.received.read().seen.values())


def goes_on(c, records=200):
    """So many more arrive."""
    before = came(c)
    wait_for('records arrive', lambda: came(c) >= before + records, 20, 0.02)


def suffers(c, role, begin, end, error, again=None):
    """The relay or the agent may not write between begin() and end().

    again() where what the role frees itself would end it."""
    v = role.counters()
    goes_on(c)
    begin()
    wait_for('its disk says no', lambda: v['queue_disk_error'] == error, 20)
    before = v['queue_put_records']
    issued = c.issued()
    wait_for('producers go on', lambda: (again and again(), c.issued() >= issued + 1500)[1])
    taken = v['queue_put_records'] - before
    check(f'it takes no more than its segment had room for: {taken}', again or taken <= 500)
    end()
    wait_for('it writes again', lambda: v['queue_disk_error'] == 0, 20)
    goes_on(c)
    words = os.strerror(error)
    says(role, f'cannot write the queue under .*: {words}; ',
         'the queue under .* is written again', most=2)


def fill_inodes(path):
    """Empty files until there can be no more of them: their names."""
    made = []
    try:
        while True:
            made.append(f'{path}-{len(made)}')
            os.close(os.open(made[-1], os.O_CREAT | os.O_WRONLY))
    except OSError as e:
        equal('errno', e.errno, errno.ENOSPC)
    return made[:-1]


@claim(epoll=True)
def a_relay_without_room_takes_no_more_until_it_has_some(w):
    small = Small(w, 'disk', 'size=48m')
    c = Chain(w, relay_role=small_relay(w, small, relay__queue_max='16m'))
    c.load(2, burst=20, pause_ms=20)
    filler = small.seen('filler')
    suffers(c, c.relay, lambda: fill(filler), lambda: os.unlink(filler), errno.ENOSPC)
    c.verdict(refused=None)


@claim()
def a_relay_without_inodes_takes_no_more_until_it_has_some(w):
    small = Small(w, 'disk', 'size=96m,nr_inodes=64')
    c = Chain(w, relay_role=small_relay(w, small, relay__queue_max='4m'))
    c.load(2, burst=20, pause_ms=20)
    made = []

    def take():
        made.extend(fill_inodes(small.seen(f'filler-{len(made)}')))

    def free():
        for path in made:
            os.unlink(path)
    suffers(c, c.relay, take, free, errno.ENOSPC, again=take)
    c.verdict(refused=None)


@claim(epoll=True)
def a_local_export_without_room_is_told_and_goes_on_when_there_is_some(w):
    small = Small(w, 'relay/relay/export', 'size=32m')
    c = Chain(w, under=small.under, relay__queue_max='16m')
    c.received = Received(small.seen(), c.length)
    c.load(2, burst=20, pause_ms=20)
    v = c.relay.counters()
    goes_on(c)
    filler = small.seen('filler')
    fill(filler)
    wait_for('its disk says no', lambda: v['export_file_error'] == errno.ENOSPC, 20)
    words = os.strerror(errno.ENOSPC)
    said = c.relay.verb('status')
    check(said.stdout, said.returncode == 1 and
          f"the local export's disk takes nothing: {words}; make room" in said.stdout)
    before = v['queue_put_records']
    wait_for('it takes what comes', lambda: v['queue_put_records'] >= before + 500, 20)
    os.unlink(filler)
    wait_for('it writes again', lambda: v['export_file_error'] == 0, 20)
    c.verdict(refused=None)
    says(c.relay, f"cannot write under '.*export': {words}; records are kept in the queue; ",
         "'.*export' is written again")


def limit(role, what, most):
    """Returns what takes it back."""
    pid = role.process.pid
    soft, hard = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (most, hard))
    return lambda: resource.prlimit(pid, what, (soft, hard))


@claim(epoll=True)
def a_relay_whose_files_may_not_grow_runs_on_and_keeps_all(w):
    c = Chain(w, relay__queue_max='4m')
    c.load(2, burst=20, pause_ms=20)
    back = []
    suffers(c, c.relay, lambda: back.append(limit(c.relay, resource.RLIMIT_FSIZE, 65536)),
            lambda: back[0](), errno.EFBIG)
    c.verdict(refused=None)


def spills_in_vain(c, begin, end, error):
    """The relay stands still; the agent may not write between begin() and end()."""
    v = c.agent.counters()
    goes_on(c)
    c.relay.tell(signal.SIGSTOP)
    try:
        wait_for('it spills', lambda: v['queue_held_records'] > 0, 20)
        begin()
        wait_for('its disk says no', lambda: v['queue_disk_error'] == error, 20)
        wait_for('connectors refuse', lambda: all(p.sets()[2] > 50 for p in c.w.producers), 20)
        said = c.agent.verb('status')
        check(said.stdout, said.returncode == 1 and
              f"the queue's disk takes nothing: {os.strerror(error)}; " in said.stdout)
        end()
        wait_for('it writes again', lambda: v['queue_disk_error'] == 0, 20)
    finally:
        c.relay.tell(signal.SIGCONT)
    says(c.agent, f'cannot write the queue under .*: {os.strerror(error)}; ',
         'the queue under .* is written again')
    wait_for('the backlog goes', lambda: v['queue_held_records'] == 0, 20)
    c.verdict(refused=None)


@claim(epoll=True)
def an_agent_without_room_leaves_records_in_lanes(w):
    small = Small(w, 'disk', 'size=16m')       # less than agent.queue_max
    c = Chain(w, make_agent=lambda roles, **sets: SmallRole(w, small, roles, **sets))
    c.load(2, burst=20, pause_ms=10)
    filler = small.seen('filler')
    spills_in_vain(c, lambda: fill(filler), lambda: os.unlink(filler), errno.ENOSPC)


@claim()
def an_agent_whose_files_may_not_grow_leaves_records_in_lanes(w):
    c = Chain(w)
    c.load(2, burst=20, pause_ms=10)
    back = []
    spills_in_vain(c, lambda: back.append(limit(c.agent, resource.RLIMIT_FSIZE, 65536)),
                   lambda: back[0](), errno.EFBIG)


def descriptors(role):
    return {int(n) for n in os.listdir(f'/proc/{role.process.pid}/fd')}


def no_descriptor(role):
    """It has no number left for another one.  Returns what takes it back."""
    used = descriptors(role)
    return limit(role, resource.RLIMIT_NOFILE, min(set(range(len(used) + 1)) - used))


def cpu(role):
    """Seconds of processor time so far."""
    with open(f'/proc/{role.process.pid}/stat') as f:
        words = f.read().rsplit(')', 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK')


def calm(role, used, start):
    """It does not spin: of a processor it has used less than half since."""
    share = (cpu(role) - used) / (time.monotonic() - start)
    check(f'{role.state} uses {share:.2f} of a processor', share < 0.5)


@claim(epoll=True)
def an_agent_without_descriptors_drains_what_it_has_and_then_the_rest(w):
    c = Chain(w, length=1000)
    early = c.load(2, burst=5, pause_ms=10)
    goes_on(c)
    back = no_descriptor(c.agent)
    used, start = cpu(c.agent), time.monotonic()
    late = c.load(3, burst=5, pause_ms=10)
    wait_for('late ones log', lambda: all(p.sets()[0] > 50 for p in late))
    wait_for('it says so', lambda: 'can be opened: Too many open files' in c.agent.log(0))
    goes_on(c)
    calm(c.agent, used, start)
    equal('of whom something came', sorted(c.received.seen), sorted(p.number for p in early))
    back()
    c.verdict()
    says(c.agent, 'no new lane under .*: Too many open files; .*LimitNOFILE=',
         'new lanes under .* are opened again')


def crowd(port, first=b''):
    """They say no more than that, and stay."""
    made = [socket.create_connection(('127.0.0.1', port), 5) for _ in range(60)]
    for s in made if first else ():
        with contextlib.suppress(OSError):      # it may be refused by then
            s.sendall(first)
    return made


def late_agent(w, c):
    return w.role('agent', state='late', agent__relay=c.peer, agent__http_listen='',
                  common__ring_dir=w.ring + '-late').start()


@claim(epoll=True)
def connections_beyond_the_limit_on_files_take_none_that_the_relay_needs(w):
    c = Chain(w, length=1000, under=['prlimit', '--nofile=120:120'], relay__queue_max='4m')
    c.load(2, burst=20, pause_ms=10)
    goes_on(c)
    used, start = cpu(c.relay), time.monotonic()
    many = crowd(c.relay.port) + crowd(c.relay.port, b'\x93') + crowd(c.relay.http) + \
        crowd(c.relay.http, b'GET / HTTP/1.1\r\n')
    goes_on(c, 4000)
    calm(c.relay, used, start)
    left = 120 - len(descriptors(c.relay))
    check(f'{left} descriptors are left', 10 <= left < 80)
    check('many were refused', c.relay.counters()['recv_refused'] > 60)
    for s in many:
        s.close()
    late = late_agent(w, c)
    wait_for('the late one is connected', lambda: late.counters()['hop_up'] == 1)
    c.verdict()
    unharmed(late)
    equal('of files the relay said', re.findall('.*open files.*', c.relay.log(0)), [])


@claim(epoll=True)
def a_relay_that_gets_no_descriptor_does_not_spin_and_then_serves_all(w):
    c = Chain(w, length=1000, relay__queue_max='4m')
    c.load(2, burst=20, pause_ms=10)
    goes_on(c)
    back = no_descriptor(c.relay)       # its queue may lack one too
    used, start = cpu(c.relay), time.monotonic()
    many = crowd(c.relay.port)
    late = late_agent(w, c)
    issued = c.issued()
    wait_for('producers go on', lambda: c.issued() >= issued + 4000)
    calm(c.relay, used, start)
    for s in many:
        s.close()
    back()
    wait_for('the late one is connected', lambda: late.counters()['hop_up'] == 1)
    goes_on(c)
    c.verdict(refused=None)
    unharmed(late)


NOBODY = 65534


def of_nobody(w, roles, **sets):
    """A role that is not root's, for whom modes of directories count."""
    if os.geteuid() != 0:
        raise Skipped('needs root to become another user')
    r = w.role(roles, under=['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}',
                             '--clear-groups'], **sets)
    r.binary = shutil.copy(EMPLOGD, w.dir)
    os.chmod(w.dir, 0o755)
    os.mkdir(r.place())
    os.chown(r.place(), NOBODY, NOBODY)
    return r


def modes(top, mode):
    for here, _, _ in os.walk(top):
        os.chmod(here, mode)


@claim(epoll=True)
def a_relay_whose_directories_become_read_only_runs_on_and_keeps_all(w):
    port = free_port()
    r = of_nobody(w, 'relay', relay__listen=f'127.0.0.1:{port}', relay__http_listen='',
                  relay__queue_max='4m')
    r.port = port
    c = Chain(w, relay_role=r.start())
    c.load(2, burst=20, pause_ms=20)
    suffers(c, r, lambda: modes(r.place(), 0o555), lambda: modes(r.place(), 0o755), errno.EACCES)
    c.verdict(refused=None)
    wait_for('what is delivered is removed, and counted so', lambda: (
        len(glob.glob(r.place('relay/0/*.seg'))) == r.counters()['queue_segments'] <= 2))


@claim()
def a_ring_without_room_sends_new_producers_to_the_disk_and_harms_none(w):
    small = Small(w, 'shm', 'size=2m')
    w.under, inside = small.under, os.path.join(small.mount, 'ring')
    w.env.update(EMPLOG_RING_DIR=inside, EMPLOG_CONSOLE='off')
    w.ring = small.seen('ring')
    c = Chain(w, length=1000, agent_sets={'common__ring_dir': inside, 'under': small.under})
    c.load(1, burst=5, pause_ms=10)
    goes_on(c)
    late, = c.load(1, burst=5, pause_ms=10)
    wait_for('there is room for one', lambda: late.sets()[2] > 50)
    w.env['EMPLOGD_COMMON_STATE_DIR'] = c.agent.place()
    fill(small.seen('filler'))
    on_disk = c.load(8, burst=5, pause_ms=10)
    wait_for('they all log', lambda: all(len(p.sets()[1]) > 50 for p in on_disk))
    equal('lanes on disk', len(glob.glob(c.agent.place('ring/*.lane'))), len(on_disk))
    for p in w.producers:
        equal('a producer ended with', p.process.poll(), None)
    os.unlink(small.seen('filler'))
    late.end()
    refused = late.sets()[2]
    c.verdict(refused=refused)

    def told():
        return sum(int(a['refused']) for _, rec, a in exported(c.export_dir())
                   if rec.get('eventName') == 'emplog_gap')
    wait_for('what had no lane is told', lambda: told() == refused, 20, 0.1)


def starts_and_says(role, *words):
    status, said = role.run()
    check(f'{status}: {said}', status == 1 and all(x in said for x in words))


@claim()
def a_role_on_a_read_only_disk_ends_and_says_what_to_do(w):
    small = Small(w, 'disk', 'size=64m')
    r = small_relay(w, small)
    a = SmallRole(w, small, 'agent', agent__relay=f'127.0.0.1:{r.port}', agent__http_listen='')
    a.start()
    for role in (a, r):
        equal('exit', role.stop(), 0)
    small.remount('ro')
    for role in (a, r):
        starts_and_says(role, role.sets['common.state_dir'], os.strerror(errno.EROFS),
                        'mount it writable')
    small.remount('rw')
    for role in (a, r):
        role.start()


@claim()
def the_second_of_two_on_one_directory_ends_and_names_the_first(w):
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}').start()
    c = Chain(w, length=200, exporter=e, relay__next=f'127.0.0.1:{port}')
    c.load()
    goes_on(c)
    for role in c.roles():
        for key in ('relay.listen', 'relay.http_listen', 'exporter.listen'):
            if key in role.sets:
                role.sets[key] = f'127.0.0.1:{free_port()}'
        starts_and_says(role, f"cannot use '{role.sets['common.state_dir']}/{role.roles}'",
                        f'another emplogd uses it, pid {role.process.pid}; give one of them '
                        'another common.state_dir')
    goes_on(c)
    c.verdict()


@claim()
def a_relay_that_starts_without_room_or_inodes_delivers_what_it_has(w):
    small = Small(w, 'disk', 'size=64m,nr_inodes=64')
    c = Chain(w, relay_role=small_relay(w, small, relay__queue_max='8m'))
    c.load(2, burst=20, pause_ms=20)
    goes_on(c)
    for take in (lambda: fill_inodes(small.seen('filler')),
                 lambda: [fill(small.seen('filler'))] and [small.seen('filler')]):
        equal('exit', c.relay.stop(), 0)
        made = take()
        c.relay.start()
        issued = c.issued()
        wait_for('producers go on', lambda: c.issued() >= issued + 200)
        for path in made:
            os.unlink(path)
        goes_on(c)
    c.verdict(refused=None)
