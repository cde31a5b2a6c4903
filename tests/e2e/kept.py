# SPDX-License-Identifier: ISC
"""kept.py - ports that outlive the one who works: --keep and LISTEN_FDS"""

import os
import signal
import socket
import subprocess
import threading

from claims import check, claim, equal
from fleet import agent, arrive_locally, local_numbers, record, relay
from legacy import post, raw
from world import free_port, wait_for

KILLS = 6
CLOSE = b'Connection: close\r\n'


def child(role):
    """The one who works below a keeper; 0: none does."""
    pid = role.process.pid
    with open(f'/proc/{pid}/task/{pid}/children') as f:
        return int((f.read().split() or [0])[0])


def alive(pid):
    """Also when but one of its threads is: the table of descriptors is theirs."""
    try:
        with open(f'/proc/{pid}/stat') as f:
            ended = f.read().rpartition(')')[2].split()[0] == 'Z'
        return not ended or len(os.listdir(f'/proc/{pid}/task')) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def kept_agent(w, relay_port, start=True, **sets):
    a = agent(w, relay_port, start=False, **sets)
    a.options = ['--keep']
    return a.start() if start else a


def kill_child(role):
    """And waits for the next one."""
    pid, readies = child(role), role.log_count('emplogd: ready')
    os.kill(pid, signal.SIGKILL)
    wait_for('the next one', lambda: role.log_count('emplogd: ready') > readies)


@claim(epoll=True)
def no_client_is_refused_or_cut_off_while_an_agent_is_killed(w):
    r = relay(w)
    a = kept_agent(w, r.port)
    faults, sent, stop = [], [0, 0, 0, 0], threading.Event()

    def client(i):
        while not stop.is_set():
            try:
                got = raw(a.http, post(i * 100000 + sent[i], more=CLOSE))
            except OSError as e:
                got = str(e).encode()
            if b' 201 ' not in got:
                faults.append(got)
            sent[i] += 1
    clients = [threading.Thread(target=client, args=(i,)) for i in range(4)]
    for c in clients:
        c.start()
    for _ in range(KILLS):
        before = sum(sent)
        wait_for('posts go on', lambda: sum(sent) >= before + 100)
        kill_child(a)
    stop.set()
    for c in clients:
        c.join()
    equal('faults', faults[:3], [])
    equal('restarts', a.counters()['process_restarts'], KILLS)
    expected = {i * 100000 + n for i in range(4) for n in range(sent[i])}
    wait_for('all records', lambda: set(local_numbers(w, r)) >= expected, 20, 0.05)
    got = local_numbers(w, r)
    check(f'{len(got) - len(expected)} of {len(got)} came twice',
          len(got) - len(expected) <= 4 * KILLS)


@claim(epoll=True)
def a_request_half_heard_is_answered_by_the_next_agent(w):
    r = relay(w)
    a = kept_agent(w, r.port)
    requests = [post(n, more=CLOSE) for n in range(20)]
    large = post(20, more=CLOSE + b'X: ' + b'y' * 6000 + b'\r\n')
    requests.append(large)
    halves = [socket.create_connection(('127.0.0.1', a.http), 5) for _ in requests]
    for s, request in zip(halves, requests):
        s.sendall(request[:len(request) // 2])
    # They are all accepted: the backlog is empty once a later one is answered.
    check('a later one', b' 201 ' in raw(a.http, post(21, more=CLOSE)))
    kill_child(a)
    wait_for('they are taken over',
             lambda: a.counters()['recv_inherited'] >= len(requests))
    for s, request in zip(halves, requests):
        s.sendall(request[len(request) // 2:])
    for s in halves:
        check('answered', b' 201 ' in s.recv(4096))
        s.close()
    # The last one's agent may have been killed between answer and taking out.
    wait_for('all records', lambda: set(local_numbers(w, r)) >= set(range(22)), 20, 0.02)
    got = local_numbers(w, r)
    equal('twice', [n for n in set(got) if got.count(n) > 1 and n != 21], [])


@claim()
def one_whose_records_wait_for_the_disk_is_heard_again_too(w):
    a = kept_agent(w, free_port())
    os.kill(child(a), signal.SIGSTOP)
    s = socket.create_connection(('127.0.0.1', a.http), 5)
    s.sendall(post(0, more=CLOSE + b'Emplog-Ack: agent\r\n'))
    kill_child(a)
    s.settimeout(10)
    check('on disk', b' 200 ' in s.recv(4096))
    s.close()


@claim()
def what_was_partly_taken_is_closed_at_once(w):
    """A client that can send again need not wait for its own patience."""
    a = kept_agent(w, free_port())
    s = socket.create_connection(('127.0.0.1', a.http), 5)
    request = post(0, more=b'Expect: 100-continue\r\n')
    s.sendall(request[:request.index(b'\r\n\r\n') + 4])
    check('it is heard', b' 100 ' in s.recv(4096))
    kill_child(a)
    s.settimeout(5)
    try:
        got = s.recv(4096)
    except ConnectionResetError:
        got = b''
    equal('more of an answer', got, b'')
    s.close()


@claim(epoll=True)
def a_keeper_ends_with_its_process(w):
    a = kept_agent(w, free_port())
    pid = child(a)
    a.tell(signal.SIGHUP)
    wait_for('passed on', lambda: a.counters()['config_reloads'] == 1)
    equal('SIGTERM', a.stop(), 0)
    check('nobody is left', not alive(pid))
    a.start()
    equal('SIGINT', a.stop(signal.SIGINT), 0)
    a.start()
    pid = child(a)
    a.kill()
    wait_for('its process goes with it', lambda: not alive(pid))
    a.start()
    os.kill(child(a), signal.SIGTERM)
    equal('told beside it', a.process.wait(5), 0)
    bad = kept_agent(w, free_port(), start=False, agent__queue_max='lots', state='bad')
    equal('a bad configuration', bad.run()[0], 78)
    second = kept_agent(w, free_port(), start=False, state='second')
    a.start()
    equal('one that cannot start', second.run()[0], 1)


@claim()
def a_signal_to_the_whole_tree_is_one_signal(w):
    """As PM2, a terminal and systemd send it; a second one ends at once."""
    a = kept_agent(w, free_port())
    c = w.caller()
    for n in range(2000):
        c.log(f'record {n}')
    pid = child(a)
    os.kill(pid, signal.SIGINT)
    a.tell(signal.SIGINT)
    os.kill(pid, signal.SIGINT)
    equal('exit', a.process.wait(5), 0)
    check('drained', '0 B in lanes' in a.verb('status').stdout)


@claim()
def one_that_dies_at_each_start_is_started_ever_less_often(w):
    a = kept_agent(w, free_port())
    for _ in range(5):
        kill_child(a)
    check('kept', a.log_count('it is started anew') == 5)
    equal('exit', a.stop(), 0)


class Manager:
    """Opens a listening socket and gives it to whom it starts, as systemd."""

    def __init__(self, w, at=None):
        self.socket = socket.create_server(('127.0.0.1', at or 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        os.set_inheritable(self.socket.fileno(), True)
        fd = self.socket.fileno()
        self.under = ['bash', '-c', f'exec 3<&{fd} {fd}<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"',
                      'bash'] if fd != 3 else \
            ['bash', '-c', 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', 'bash']
        w.closers.append(self.socket.close)

    def start(self, role):
        """As Role.start(), with the socket."""
        spawn, fd = subprocess.Popen, self.socket.fileno()
        at = len(role.log()) if os.path.exists(role.log_path) else 0
        readies = role.log_count('emplogd: ready') if at else 0
        with open(role.log_path, 'ab') as log:
            role.process = spawn(role.arguments(), stderr=log, stdin=subprocess.DEVNULL,
                                 env={**w_env(role)}, pass_fds=[fd])
        wait_for('ready', lambda: role.log_count('emplogd: ready') > readies)


def w_env(role):
    return {**role.world.env, **role.env}


@claim(epoll=True)
def a_socket_of_a_service_manager_is_taken_over(w):
    r = relay(w)
    m = Manager(w)
    a = agent(w, r.port, start=False, under=m.under)
    a.sets['agent.http_listen'] = f'127.0.0.1:{m.port}'
    m.start(a)
    check('answered', b' 201 ' in raw(m.port, post(0, more=CLOSE)))
    a.kill()
    # Nobody is there, and nobody is refused.
    s = socket.create_connection(('127.0.0.1', m.port), 5)
    s.sendall(post(1, more=CLOSE))
    m.start(a)
    s.settimeout(10)
    check('answered by the next', b' 201 ' in s.recv(4096))
    s.close()
    arrive_locally(w, r, range(2))
    a.options = ['--keep']
    equal('stop', a.stop(), 0)
    m.start(a)
    kill_child(a)
    check('kept too', b' 201 ' in raw(m.port, post(2, more=CLOSE)))
    equal('stop', a.stop(), 0)
    check('it is the manager\'s still', socket.create_connection(('127.0.0.1', m.port), 5))


@claim()
def a_socket_that_no_role_asks_for_is_told_and_closed(w):
    m = Manager(w)
    a = agent(w, free_port(), start=False, under=m.under)
    m.start(a)
    check(a.log(), f"inherited that no role asks for: '127.0.0.1:{m.port}'" in a.log())
    check('its own port works', b' 201 ' in raw(a.http, post(0, more=CLOSE)))
    check('a record is one', record(0))
