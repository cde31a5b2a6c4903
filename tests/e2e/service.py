# SPDX-License-Identifier: ISC
"""service.py - what a service manager hears of the real binary"""

import os
import signal
import socket

from claims import check, claim, equal
from fleet import relay


class Manager:
    """A NOTIFY_SOCKET of our own."""

    def __init__(self, w, abstract=False):
        path = os.path.join(w.dir, 'notify')
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind('\0' + path if abstract else path)
        self.socket.settimeout(10)
        self.env = {'NOTIFY_SOCKET': '@' + path if abstract else path}
        w.closers.append(self.socket.close)

    def hear(self):
        return self.socket.recv(4096).decode()


@claim(epoll=True)
def a_manager_hears_ready_then_the_watchdog_then_stopping(w):
    for abstract in (False, True):
        m = Manager(w, abstract)
        r = relay(w, start=False)
        r.env = {**m.env, 'WATCHDOG_USEC': '200000'}
        r.start()
        equal('first', m.hear(), 'READY=1')
        for _ in range(3):
            equal('then', m.hear(), 'WATCHDOG=1')
        equal('status', r.stop(), 0)
        heard = [m.hear()]
        while heard[-1] == 'WATCHDOG=1':
            heard.append(m.hear())
        equal('at the end', heard[-1], 'STOPPING=1')


@claim()
def a_process_that_hangs_feeds_no_watchdog(w):
    m = Manager(w)
    r = relay(w, start=False)
    r.env = {**m.env, 'WATCHDOG_USEC': '100000'}
    r.start()
    r.tell(signal.SIGSTOP)
    m.socket.settimeout(0.5)
    try:
        while True:
            m.hear()
    except TimeoutError:
        pass
    finally:
        r.tell(signal.SIGCONT)
    m.socket.settimeout(10)
    equal('once it goes on', m.hear(), 'WATCHDOG=1')


@claim()
def a_socket_nobody_has_is_a_warning(w):
    r = relay(w, start=False)
    r.env = {'NOTIFY_SOCKET': os.path.join(w.dir, 'nobody')}
    r.start()
    check('it is said', "cannot tell NOTIFY_SOCKET 'READY=1'" in r.log())
    equal('status', r.stop(), 0)
