# SPDX-License-Identifier: ISC
"""netns.py - a host of its own, behind a cable that can be pulled

A network namespace and a pair of veth, made by the test and gone with it.
"""

import os
import subprocess
import threading

from claims import Skipped

LOCK = threading.Lock()
NETS = 198 << 24 | 18 << 16         # for tests of equipment, RFC 2544
MADE = [0]


def ip(*words):
    r = subprocess.run(['ip', *words], capture_output=True, text=True)
    if r.returncode != 0:
        raise OSError(f'ip {" ".join(words)}: {r.stderr.strip()}')


class Host:
    """self.here and self.there are the addresses of both ends."""

    def __init__(self, w):
        with LOCK:
            MADE[0] += 1
            n = (os.getpid() * 8 + MADE[0]) % 65000
        if os.geteuid() != 0:
            raise Skipped('network namespaces are root\'s')
        self.name = f'emplogd-{os.getpid()}-{MADE[0]}'
        self.dev, inner = f'em{n}a', f'em{n}b'
        self.net = f'198.{18 + n // 32768}.{n // 256 % 128}'
        base = n % 64 * 4
        self.here, self.there, self.also = (f'{self.net}.{base + i}' for i in (0, 1, 2))
        try:
            ip('netns', 'add', self.name)
        except (OSError, FileNotFoundError) as e:
            raise Skipped(f'no network namespaces here: {e}') from None
        w.closers.append(self.close)
        ip('link', 'add', self.dev, 'type', 'veth', 'peer', 'name', inner, 'netns', self.name)
        ip('addr', 'add', f'{self.here}/32', 'dev', self.dev)
        ip('link', 'set', self.dev, 'up')
        self.inner = inner
        self.inside('addr', 'add', f'{self.there}/32', 'dev', inner)
        self.inside('addr', 'add', f'{self.also}/32', 'dev', inner)
        self.inside('link', 'set', 'lo', 'up')
        self.inside('link', 'set', inner, 'up')
        for there in (self.there, self.also):
            ip('route', 'add', f'{there}/32', 'dev', self.dev, 'src', self.here)
        self.inside('route', 'add', f'{self.here}/32', 'dev', inner)
        self.under = ('ip', 'netns', 'exec', self.name)

    def inside(self, *words):
        ip('-n', self.name, *words)

    def pull(self):
        """The cable: what is sent is lost, and nobody is told."""
        self.inside('link', 'set', self.inner, 'down')

    def drop(self, address=None):
        """Packets that way go to nobody's station."""
        ip('neigh', 'replace', address or self.there, 'lladdr', '02:00:00:00:00:01',
           'dev', self.dev, 'nud', 'permanent')

    def close(self):
        for words in (('link', 'del', self.dev), ('netns', 'del', self.name)):
            subprocess.run(['ip', *words], capture_output=True)
