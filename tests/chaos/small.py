# SPDX-License-Identifier: ISC
"""small.py - a file system of its own, and roles and producers that live in it

Mounted in a mount namespace that a process holds: gone with it, and nobody
else's.  What is in it is read here through /proc.
"""

import os
import subprocess

from claims import Skipped
from world import Role


class Small:
    def __init__(self, w, name, options):
        if os.geteuid() != 0:
            raise Skipped('mounts need root')
        self.mount = os.path.join(w.dir, name)
        os.makedirs(self.mount)
        self.holder = subprocess.Popen(
            ['unshare', '-m', '--propagation=private', 'sh', '-c',
             f'mount -t tmpfs -o mode=0755,{options} tmpfs "$0" && echo mounted && exec cat',
             self.mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        w.closers.append(self.close)
        if self.holder.stdout.readline() != 'mounted\n':
            raise Skipped('no mount namespace')
        self.under = ['nsenter', f'--mount=/proc/{self.holder.pid}/ns/mnt']

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()

    def seen(self, *path):
        """A path in it, as this process reaches it."""
        return os.path.join(f'/proc/{self.holder.pid}/root{self.mount}', *path)

    def remount(self, options):
        subprocess.run(self.under + ['mount', '-o', f'remount,{options}', self.mount], check=True)


class SmallRole(Role):
    """A role whose state directory is on it."""

    def __init__(self, w, small, roles, **sets):
        self.small = small
        all_sets = {'common.state_dir': os.path.join(small.mount, roles),
                    'common.ring_dir': w.ring}
        all_sets.update({k.replace('__', '.'): v for k, v in sets.items()})
        super().__init__(w, roles, all_sets, 'small-' + roles, under=small.under)
        w.roles.append(self)

    def verb_arguments(self, *words):
        return self.under + super().verb_arguments(*words)

    def place(self, *path):
        return self.small.seen(self.roles, *path)
