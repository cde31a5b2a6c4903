# SPDX-License-Identifier: ISC
"""fleet.py - the few ways the end to end tests put roles together"""

import os

from backend import Backend
from claims import check, equal
from world import free_port, http, wait_for


def backend(w, usual=None, name='backend'):
    b = Backend(os.path.join(w.dir, name), free_port(), usual)
    w.closers.append(b.close)
    return b


def relay(w, start=True, env=None, under=(), state='relay', **sets):
    """A relay that exports; relay.port and relay.http are its ports."""
    port, http_port = free_port(), free_port()
    r = w.role('relay', state=state, env=env, under=under,
               relay__listen=f'127.0.0.1:{port}',
               relay__http_listen=f'127.0.0.1:{http_port}', **sets)
    r.port, r.http = port, http_port
    return r.start() if start else r


def relay_and_backend(w, usual=None, **sets):
    b = backend(w, usual)
    return relay(w, exporter__endpoint=b.url, **sets), b


def agent(w, relay_port, start=True, env=None, under=(), state='agent', **sets):
    http_port = free_port()
    a = w.role('agent', state=state, env=env, under=under,
               agent__relay=f'127.0.0.1:{relay_port}',
               agent__http_listen=f'127.0.0.1:{http_port}', **sets)
    a.http = http_port
    return a.start() if start else a


def three(w, under=(), **exporter_sets):
    """agent -> relay -> exporter -> backend, each a process."""
    b = backend(w)
    port = free_port()
    e = w.role('exporter', under=under, exporter__listen=f'127.0.0.1:{port}',
               exporter__endpoint=b.url, **exporter_sets).start()
    e.port = port
    r = relay(w, under=under, relay__next=f'127.0.0.1:{port}')
    return agent(w, r.port, under=under), r, e, b


# ---- records that are numbered ----

def record(n, **more):
    return {'level': 'info', 'message': f'record {n}', 'event_type': 'numbered', 'n': n, **more}


def give(role, numbers, ack='relay', **more):
    """Posts the records in one request and sees that they are on its disk."""
    r = http(role.http, '/numbered', [record(n, **more) for n in numbers],
             {'Emplog-Ack': ack})
    equal('status of the post', r.status, 200)


def numbers(records):
    return [r.attributes['n'] for r in records if 'n' in r.attributes]


def arrive(b, expected, seconds=20):
    """Everything expected is accepted by the backend, once each."""
    expected = set(expected)
    try:
        wait_for('all records', lambda: set(numbers(b.accepted())) >= expected, seconds, 0.01)
    except TimeoutError:
        lost = sorted(expected - set(numbers(b.accepted())))
        raise AssertionError(f'{len(lost)} of {len(expected)} never came: {lost[:5]}') from None
    got = numbers(b.accepted())
    equal('records that came more than once', sorted(n for n in set(got) if got.count(n) > 1), [])
    equal('records that came', set(got), expected)


def local_numbers(w, role):
    """Numbers in the local export of a role without an endpoint."""
    from world import exported
    where = os.path.join(w.dir, role.state, role.roles.split(',')[0], 'export')
    return [int(a['n']) for _, _, a in exported(where) if 'n' in a]


def arrive_locally(w, role, expected, seconds=20):
    expected = set(expected)
    try:
        wait_for('all records', lambda: set(local_numbers(w, role)) >= expected, seconds, 0.02)
    except TimeoutError:
        lost = sorted(expected - set(local_numbers(w, role)))
        raise AssertionError(f'{len(lost)} of {len(expected)} never came: {lost[:5]}') from None
    got = local_numbers(w, role)
    equal('how many came', len(got), len(expected))
    check('nothing else came', set(got) == expected)


# ---- what audit says ----

def states(*roles):
    return [r.sets['common.state_dir'] for r in roles]


def audit(first, *others):
    """(exit status, what it said) of an audit over the state directories."""
    s = first.verb('audit', *states(*others), timeout=60)
    return s.returncode, s.stdout + s.stderr


def conserved(first, *others):
    status, said = audit(first, *others)
    check(said, status == 0 and said.endswith('audit: conserved\n'))
    return said
