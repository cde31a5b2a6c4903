# SPDX-License-Identifier: ISC
"""internet.py - one hop over the open internet: lines that fail, peers that vanish

Claims: through a proxy that splits, delays and cuts, nothing is lost and at
one relay nothing comes twice.  A peer that vanishes without a word is left
within 15 s, at least by an acknowledgement that does not come; what arrives
twice then is at most what was under way, which the agent counts.  Seeds are
printed; INTERNET_SEED repeats one.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

from claims import check, claim, equal
from fleet import relay
from netns import Host
from proxy import Proxy
from world import EMPLOGD, Received, free_port, wait_for

LENGTH = 160            # of payloads: records as they usually are
LEFT_WITHIN = 15.0
SECONDS = float(os.environ.get('INTERNET_SECONDS', '5'))
ROTATIONS = int(os.environ.get('ROTATIONS', '150'))


class Over:
    """What the hops of a world go over: TCP, or TLS with an own authority."""

    def __init__(self, w, tls):
        self.name, self.scheme, self.sets = ('TLS', 'tls://', {}) if tls else ('TCP', '', {})
        if tls:
            self.dir = os.path.join(w.dir, 'ca')
            self.ca('init', self.dir)
            self.issue('host')
            self.sets = {
                'common__tls_cert': os.path.join(self.dir, 'host.pem'),
                'common__tls_key': os.path.join(self.dir, 'host.key'),
                'common__tls_ca': os.path.join(self.dir, 'ca.pem'),
                'common__tls_name': 'relay.test', 'common__tls_listen': 'yes'}

    def ca(self, *words):
        subprocess.run([EMPLOGD, 'ca', *words], check=True, capture_output=True)

    def issue(self, name):
        """A new certificate and key, over those there were."""
        self.ca('issue', '--force', f'--out={self.dir}/{name}', self.dir, 'relay.test')


def hop_claim(tls=False, **how):
    """f(w, over) over TCP, and when it is worth it over TLS as well."""
    def add(f):
        def of(over_tls):
            def g(w):
                f(w, Over(w, over_tls))
            g.__name__ = f.__name__ + ('_over_tls' if over_tls else '')
            claim(part='internet', **how)(g)
        of(False)
        if tls:
            of(True)
        return f
    return add


# ---- what goes in and comes out ----

def seeded(w, what):
    seed = int(os.environ.get('INTERNET_SEED') or random.SystemRandom().randrange(1 << 32))
    print(f'{what}: seed {seed}', flush=True)
    return random.Random(seed)


class Side:
    """An agent with its relays, and all that went in and came out."""

    def __init__(self, w, over, relays, peers=None):
        """peers: their addresses as the agent knows them."""
        self.w, self.over, self.relays = w, over, relays
        peers = peers or [f'127.0.0.1:{r.port}' for r in relays]
        self.agent = w.role('agent', agent__relay=','.join(over.scheme + p for p in peers),
                            agent__http_listen='', **over.sets).start()
        self.received = [Received(os.path.join(w.dir, r.state, r.roles, 'export'), LENGTH)
                         for r in relays]
        self.begun = time.monotonic()

    def load(self, burst, pause_ms, producers=1):
        self.begun = time.monotonic()
        for _ in range(producers):
            self.w.producer(burst, pause_ms, length=LENGTH)

    def missing(self):
        """Accepted, and at none of the relays."""
        for r in self.received:
            r.read()
        lost = []
        for p in self.w.producers:
            there = set().union(*(r.seen.get(p.number, set()) for r in self.received))
            lost += [(p.number, n) for n in sorted(p.sets()[1] - there)]
        return lost

    def end_load(self):
        """Ends the producers; records a second they were accepted with."""
        took = time.monotonic() - self.begun
        for p in self.w.producers:
            p.end()
        return sum(len(p.sets()[1]) for p in self.w.producers) / took

    def all_there(self, seconds=30):
        try:
            wait_for('everything accepted', lambda: not self.missing(), seconds, 0.2)
        except TimeoutError:
            lost = self.missing()
            raise AssertionError(f'{len(lost)} records lost, first {lost[:5]}') from None
        for r in self.received:
            equal('damaged', r.damaged, [])
            equal('never issued', r.never_issued(self.w.producers), [])
        equal('refused', sum(p.sets()[2] for p in self.w.producers), 0)

    def copies(self):
        """Those that came more than once, to one relay or to two."""
        out = [k for r in self.received for k in r.read().twice]
        for p in self.w.producers:
            sets = [r.seen.get(p.number, set()) for r in self.received]
            out += [(p.number, n) for i, s in enumerate(sets) for t in sets[:i] for n in s & t]
        return out

    def settled(self, sender=None):
        """What went as a whole was acknowledged or counted as resent."""
        c = (sender or self.agent).counters()
        wait_for('nothing under way', lambda: c['hop_inflight_bytes'] == 0)
        v = c.read()
        for unit in ('chunks', 'bytes'):
            equal(f'{unit}: sent, and acknowledged + sent again', v[f'hop_sent_{unit}'],
                  v[f'hop_acked_{unit}'] + v[f'hop_resent_{unit}'])
        return v

    def copies_were_under_way(self, what, sender=None):
        v = self.settled(sender)
        copies = self.copies()
        print(f'{what} over {self.over.name}: {len(copies)} copies, resent {v["hop_resent_chunks"]} chunks, '
              f'{v["hop_resent_bytes"]} bytes', flush=True)
        check(f'{len(copies)} copies of at least {LENGTH} bytes, {v["hop_resent_bytes"]} resent',
              len(copies) * LENGTH <= v['hop_resent_bytes'])
        return copies


def two_relays(w, over):
    return relay(w, state='one', **over.sets), relay(w, state='two', **over.sets)


def grows(role, counter, seconds=LEFT_WITHIN):
    """Seconds until a counter of the role is more than it is now."""
    c = role.counters()
    now, begun = c[counter], time.monotonic()
    wait_for(f'{role.state}: {counter}', lambda: c[counter] > now, seconds + 5)
    return time.monotonic() - begun


def within(what, took):
    print(f'{what}: {took:.2f} s', flush=True)
    check(f'{what}: {took:.2f} s, not {LEFT_WITHIN:g}', took <= LEFT_WITHIN)


def drained(role):
    """It has read all its connections to their end, and exported it."""
    c = role.counters()
    wait_for(f'{role.state} is done', lambda: c['recv_open'] == 0 and
             c['queue_held_records'] == 0)


# ---- the relay's side ----

@claim(part='internet', patient=True)
def agents_that_vanished_are_forgotten_by_the_relay(w):
    """It owes an answer that nobody takes: a minute, not a quarter hour."""
    host = Host(w)
    port = free_port()
    r = w.role('relay', state='one', relay__listen=f'{host.here}:{port}', relay__http_listen='',
               common__insecure_listen='yes').start()
    w.role('agent', under=host.under, agent__relay=f'{host.here}:{port}',
           agent__http_listen='').start()
    c = w.caller()
    c.log('before')
    wait_for('it is there', lambda: r.counters()['recv_acks'] > 0)
    r.tell(signal.SIGSTOP)
    c.log('its answer is lost')

    def waits():
        got = subprocess.run(['ss', '-tnH', f'src {host.here}:{port}'], capture_output=True,
                             text=True).stdout.split()
        return len(got) > 1 and int(got[1]) > 0
    wait_for('the relay has it to read', waits)
    host.pull()
    r.tell(signal.SIGCONT)
    begun = time.monotonic()
    wait_for('no connection open', lambda: r.counters()['recv_open'] == 0, 60, 0.05)
    print(f'vanished agent: forgotten after {time.monotonic() - begun:.1f} s', flush=True)


# ---- lines ----

def through_a_bad_line(w, over, what, **how):
    what = f'{what} over {over.name}'
    rng = seeded(w, what)
    r = relay(w, state='one', **over.sets)
    proxy = Proxy(w, ('127.0.0.1', r.port), rng, **how)
    s = Side(w, over, [r], [proxy.address])
    s.load(40, 10, producers=2)
    time.sleep(SECONDS)
    rate = s.end_load()
    proxy.may_cut = False
    s.all_there()
    equal('copies', s.copies(), [])
    v = s.settled()
    print(f'{what}: {rate:.0f} records/s accepted, {proxy.all_cuts()} cuts {proxy.cuts}, '
          f'{v["hop_resent_chunks"]} chunks sent again, '
          f'{r.counters()["recv_dup_records"]} records known by their ranges', flush=True)
    check(f'{rate:.0f} records/s', rate >= 5000)
    return proxy, v


@hop_claim(tls=True, alone=True)
def a_proxy_that_splits_and_cuts_loses_and_doubles_nothing(w, over):
    proxy, v = through_a_bad_line(w, over, 'cutting proxy', cut_bytes=1500000)
    check(f'cuts: {proxy.cuts}', proxy.all_cuts() >= 3 and v['hop_failures'] >= 3)


@hop_claim(alone=True)
def a_proxy_that_splits_and_delays_is_no_reason_to_leave(w, over):
    _, v = through_a_bad_line(w, over, 'delaying proxy', delay_ms=100)
    equal('connections lost', v['hop_failures'], 0)


# ---- certificates that are renewed ----

class Renewal:
    """The certificate of a host, under one name, renewed in three ways."""

    def __init__(self, over, spares=8):
        self.over, self.dir = over, over.dir
        self.at = 0
        for i in range(spares):
            over.issue(f'spare{i}')
        self.spares = [{end: open(f'{self.dir}/spare{i}.{end}', 'rb').read()
                        for end in ('pem', 'key')} for i in range(spares)]

    def next(self):
        self.at += 1
        return self.spares[self.at % len(self.spares)].items()

    def write(self, directory, suffix=''):
        for end, content in self.next():
            with open(f'{directory}/host.{end}{suffix}', 'wb') as f:
                f.write(content)

    def in_place(self):
        self.write(self.dir)

    def by_rename(self):
        self.write(self.dir, '.new')
        for end in ('pem', 'key'):
            os.rename(f'{self.dir}/host.{end}.new', f'{self.dir}/host.{end}')

    def by_symlink(self):
        """As Kubernetes does: host.pem -> ..data/host.pem, ..data -> ..NUMBER."""
        new = f'..{self.at}'
        os.mkdir(f'{self.dir}/{new}')
        self.write(f'{self.dir}/{new}')
        os.symlink(new, f'{self.dir}/..data_tmp')
        old = os.readlink(f'{self.dir}/..data') if os.path.islink(f'{self.dir}/..data') else None
        os.rename(f'{self.dir}/..data_tmp', f'{self.dir}/..data')
        for end in ('pem', 'key'):
            if not os.path.islink(f'{self.dir}/host.{end}'):
                os.symlink(f'..data/host.{end}', f'{self.dir}/link')
                os.rename(f'{self.dir}/link', f'{self.dir}/host.{end}')
        if old:
            shutil.rmtree(f'{self.dir}/{old}')


@claim(alone=True, part='internet')
def certificates_are_renewed_under_load_and_no_handshake_fails(w):
    over = Over(w, True)
    rng = seeded(w, 'renewal')
    renewal = Renewal(over)
    one = relay(w, state='one', common__tls_clients='yes', **over.sets)
    proxy = Proxy(w, ('127.0.0.1', one.port), rng, splits=False, lives=(0.1, 0.3))
    s = Side(w, over, [one], [proxy.address])
    s.load(40, 10, producers=2)
    grows(one, 'recv_acks')
    begun = time.monotonic()
    for i in range(ROTATIONS):
        (renewal.in_place, renewal.by_rename, renewal.by_symlink)[i * 3 // ROTATIONS]()
        # spread over the time it is given, so that handshakes come between
        time.sleep(max(0, begun + (i + 1) * 0.04 - time.monotonic()))
    rate = s.end_load()
    proxy.may_cut = False
    s.all_there()
    equal('copies', s.copies(), [])
    s.settled()
    counters = [role.counters().read() for role in (s.agent, one)]
    for role, v in zip((s.agent, one), counters):
        equal(f'{role.state}: failed handshakes', v['tls_failed'], 0)
        check(f'{role.state}: reloads {v["tls_reloads"]}', v['tls_reloads'] >= ROTATIONS // 50)
    print(f'renewal: {ROTATIONS} rotations, {rate:.0f} records/s, '
          f'{proxy.all_cuts()} cuts, ' + ', '.join(
              f'{name} {v["tls_handshakes"]} handshakes {v["tls_reloads"]} reloads '
              f'{v["tls_reload_failed"]} not usable'
              for name, v in zip(('agent', 'relay'), counters)), flush=True)
    check(f'{rate:.0f} records/s', rate >= 5000)
    check(f'cuts: {proxy.all_cuts()}', proxy.all_cuts() >= ROTATIONS // 20)


# ---- all at once; early, as it takes long ----

class Chaos:
    def __init__(self, w, over):
        self.rng = seeded(w, f'chaos over {over.name}')
        self.relays = two_relays(w, over)
        self.proxies = [Proxy(w, ('127.0.0.1', r.port), self.rng, delay_ms=20, cut_bytes=2000000)
                        for r in self.relays]
        self.side = Side(w, over, self.relays, [p.address for p in self.proxies])
        self.undo = []          # (when, what)
        self.did = {}

    def stall(self, i):
        self.proxies[i].stalled.set()
        return self.proxies[i].stalled.clear

    def pause(self, i):
        self.relays[i].tell(signal.SIGSTOP)
        return lambda: self.relays[i].tell(signal.SIGCONT)

    def kill(self, i):
        self.relays[i].kill()
        return self.relays[i].start

    def hush(self, i):
        """The agent itself is stopped."""
        self.side.agent.tell(signal.SIGSTOP)
        return lambda: self.side.agent.tell(signal.SIGCONT)

    def run(self, seconds):
        """One thing at a time at each relay, and at the agent."""
        busy = {}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            what = self.rng.choice((self.stall, self.pause, self.kill, self.hush))
            where = 'agent' if what == self.hush else self.rng.randrange(2)
            lasts = self.rng.random() * (1.5 if what == self.hush else 7)
            pause = self.rng.random()
            if where not in busy:
                busy[where] = (time.monotonic() + lasts, what(where))
                self.did[what.__name__] = self.did.get(what.__name__, 0) + 1
            time.sleep(pause)
            for key, (when, undo) in list(busy.items()):
                if time.monotonic() > when:
                    undo()
                    del busy[key]
        for _, undo in busy.values():
            undo()
        for p in self.proxies:
            p.may_cut = False


@hop_claim(tls=True)
def all_of_it_at_once_loses_nothing(w, over):
    c = Chaos(w, over)
    s = c.side
    s.load(10, 10)
    c.run(float(os.environ.get('CHAOS_SECONDS', '20')))
    s.end_load()
    s.all_there(60)
    for r in s.relays:
        drained_or_idle(r)
    print(f'chaos over {over.name}: {c.did}, cuts {[p.all_cuts() for p in c.proxies]}, '
          f'{s.agent.counters()["hop_connects"]} connections', flush=True)
    s.copies_were_under_way('chaos')


def drained_or_idle(role):
    c = role.counters()
    wait_for(f'{role.state} has exported', lambda: c['queue_held_records'] == 0)


# ---- peers that vanish ----

def left_for_the_second(w, what, s, vanish, back=lambda: None, burst=5):
    """Under load, vanish() takes the first relay away; back() may return it."""
    one, two = s.relays
    s.load(burst, 10)
    grows(one, 'recv_acks')
    vanish()
    within(f'{what} over {s.over.name}', grows(two, 'recv_acks'))
    back()
    s.end_load()
    s.all_there()


@hop_claim(tls=True)
def a_relay_that_is_stopped_is_left_and_tried_again_later(w, over):
    one, two = two_relays(w, over)
    s = Side(w, over, [one, two])

    def back():
        one.tell(signal.SIGCONT)
    # at 5,000 records/s: meanwhile the lane goes to the disk, nothing is refused
    left_for_the_second(w, 'stopped relay', s, lambda: one.tell(signal.SIGSTOP), back, burst=60)
    drained(one)
    s.copies_were_under_way('stopped relay')
    # and when the second is lost the first is good enough again
    s.load(5, 10)
    grows(two, 'recv_acks')
    two.kill()
    within('back to the first', grows(one, 'recv_acks'))
    s.end_load()
    two.start()
    s.all_there()
    s.copies_were_under_way('stopped relay, then the second killed')


def relay_there(w, over, host, state='one'):
    """A relay on another host."""
    port = free_port()
    r = w.role('relay', state=state, under=host.under, relay__listen=f'{host.there}:{port}',
               relay__http_listen='', common__insecure_listen='yes', **over.sets)
    r.port = port
    return r.start()


@hop_claim(tls=True)
def a_relay_whose_cable_is_pulled_is_left(w, over):
    host = Host(w)
    one, two = relay_there(w, over, host), relay(w, state='two', **over.sets)
    s = Side(w, over, [one, two], [f'{host.there}:{one.port}', f'127.0.0.1:{two.port}'])
    left_for_the_second(w, 'pulled cable', s, host.pull)
    s.copies_were_under_way('pulled cable')


@hop_claim()
def a_relay_whose_packets_are_dropped_is_left(w, over):
    host = Host(w)
    one, two = relay_there(w, over, host), relay(w, state='two', **over.sets)
    s = Side(w, over, [one, two], [f'{host.there}:{one.port}', f'127.0.0.1:{two.port}'])
    left_for_the_second(w, 'dropped packets', s, host.drop)
    s.copies_were_under_way('dropped packets')


@hop_claim(tls=True)
def a_proxy_that_stalls_is_left(w, over):
    one, two = two_relays(w, over)
    proxy = Proxy(w, ('127.0.0.1', one.port), seeded(w, 'stalling proxy'))
    s = Side(w, over, [one, two], [proxy.address, f'127.0.0.1:{two.port}'])
    left_for_the_second(w, 'stalling proxy', s, proxy.stalled.set, proxy.stalled.clear)
    drained(one)
    s.copies_were_under_way('stalling proxy')


def left_when_idle(w, what, s, vanish):
    one, two = s.relays
    c = w.caller()
    c.log('before')
    wait_for('it is there', lambda: one.counters()['recv_acks'] > 0)
    vanish()
    c.log('after')
    within(f'{what} over {s.over.name}', grows(two, 'recv_acks'))
    equal('chunks resent', s.agent.counters()['hop_resent_chunks'], 1)


@hop_claim(tls=True)
def a_relay_that_vanished_while_nothing_was_sent_is_left(w, over):
    one, two = two_relays(w, over)
    left_when_idle(w, 'stopped while idle', Side(w, over, [one, two]),
                   lambda: one.tell(signal.SIGSTOP))


@hop_claim()
def a_relay_whose_cable_was_pulled_while_nothing_was_sent_is_left(w, over):
    host = Host(w)
    one, two = relay_there(w, over, host), relay(w, state='two', **over.sets)
    left_when_idle(w, 'pulled while idle', Side(
        w, over, [one, two], [f'{host.there}:{one.port}', f'127.0.0.1:{two.port}']), host.pull)


@hop_claim(tls=True)
def an_exporter_that_is_stopped_is_left_by_its_relay(w, over):
    ports = free_port(), free_port()
    one, two = (w.role('exporter', state=name, exporter__listen=f'127.0.0.1:{port}',
                       **over.sets).start() for name, port in zip(('one', 'two'), ports))
    r = relay(w, relay__next=', '.join(f'{over.scheme}127.0.0.1:{p}' for p in ports), **over.sets)
    s = Side(w, over, [one, two], [f'127.0.0.1:{r.port}'])
    left_for_the_second(w, 'stopped exporter', s, lambda: one.tell(signal.SIGSTOP),
                        lambda: one.tell(signal.SIGCONT))
    drained(one)
    s.copies_were_under_way('stopped exporter', r)


@hop_claim()
def a_relay_that_comes_and_goes_causes_no_storm(w, over):
    one, two = two_relays(w, over)
    proxy = Proxy(w, ('127.0.0.1', one.port), seeded(w, 'flapping'), splits=False, answers_max=1)
    s = Side(w, over, [one, two], [proxy.address, f'127.0.0.1:{two.port}'])
    s.load(20, 10)
    for _ in range(20):
        grows(two, 'recv_acks')
    s.end_load()
    s.all_there()
    equal('dialled', proxy.accepted, 1)
    s.copies_were_under_way('flapping')


# ---- dialling ----

def with_hosts(w, name, addresses):
    path = os.path.join(w.dir, f'hosts-{name}')
    with open(path, 'w') as f:
        for a in addresses:
            f.write(f'{a} {name}\n')
    return ('unshare', '-m', 'sh', '-c', f'mount --bind {path} /etc/hosts && exec "$@"', 'sh')


@claim(part='internet')
def of_two_addresses_the_first_may_be_a_black_hole(w):
    host = Host(w)
    port = free_port()
    r = w.role('relay', state='one', under=host.under, relay__listen=f'{host.also}:{port}',
               relay__http_listen='', common__insecure_listen='yes').start()
    host.drop()
    under = with_hosts(w, 'relay.test', [host.there, host.also])
    asked = subprocess.run(
        [*under, 'getent', 'ahostsv4', 'relay.test'], capture_output=True, text=True).stdout
    check(f'the black hole comes first: {asked}', asked.startswith(host.there))
    c = w.caller()
    c.log('through')
    begun = time.monotonic()
    w.role('agent', under=under, agent__relay=f'relay.test:{port}', agent__http_listen='').start()
    wait_for('it is there', lambda: r.counters()['recv_acks'] > 0, LEFT_WITHIN + 5)
    took = time.monotonic() - begun
    check(f'it took {took:.1f} s: it was no black hole', took > 4.5)
    within('black hole first', took)


@hop_claim(tls=True)
def who_accepts_and_never_answers_is_left(w, over):
    dumb = socket.create_server(('127.0.0.1', free_port()))
    w.closers.append(dumb.close)
    heard = []

    def listen():
        try:
            s, _ = dumb.accept()
            while True:
                heard.append(s.recv(65536))
        except OSError:
            pass
    threading.Thread(target=listen, daemon=True).start()
    r = relay(w, state='two', **over.sets)
    s = Side(w, over, [r], [f'127.0.0.1:{dumb.getsockname()[1]}', f'127.0.0.1:{r.port}'])
    s.load(5, 10)
    within('never answers', grows(r, 'recv_acks'))
    check('it heard', sum(map(len, heard)) > 0)
    s.end_load()
    s.all_there()
    equal('copies', s.copies(), [])
