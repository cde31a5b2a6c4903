# SPDX-License-Identifier: ISC
"""stops.py - processes that stand still, as under SIGSTOP or a busy host"""

import signal

from chain import Chain, says
from claims import check, claim, equal
from fleet import relay
from world import free_port, wait_for


def chain_of_three(w, **agent_sets):
    port = free_port()
    e = w.role('exporter', exporter__listen=f'127.0.0.1:{port}').start()
    r = relay(w, relay__next=f'127.0.0.1:{port}')
    return Chain(w, relay_role=r, exporter=e, length=200, agent_sets=agent_sets)


def hold(c, held, records):
    """They stand still while so many are issued; then all of those come."""
    for x in held:
        x.send_signal(signal.SIGSTOP)
    try:
        before = c.issued()
        wait_for('producers go on', lambda: c.issued() >= before + records, 10)
    finally:
        for x in held:
            x.send_signal(signal.SIGCONT)
    issued = c.issued()
    wait_for('what was issued meanwhile came',
             lambda: sum(len(s) for s in c.received.read().seen.values()) >= issued, 20, 0.02)


@claim(epoll=True)
def each_process_may_stand_still_alone_and_with_others(w):
    c = chain_of_three(w)
    one, _ = c.load(2, burst=2, pause_ms=10)
    a, r, e = (role.process for role in c.roles())
    for held in ([a], [r], [e], [one.process], [a, r], [r, e], [a, e], [a, r, e]):
        hold(c, held, 150)
    c.verdict()
    for role in c.roles()[:2]:
        v = role.counters().read()
        equal(f'{role.state}: connections lost', v['hop_failures'], 0)
        equal(f'{role.state}: sent, and acknowledged + sent again', v['hop_sent_chunks'],
              v['hop_acked_chunks'] + v['hop_resent_chunks'])


@claim(patient=True)
def a_relay_that_stands_still_for_too_long_is_left_and_found_again(w):
    c = chain_of_three(w)
    c.load(2, burst=20, pause_ms=20)
    relay_role = c.relay.process
    v = c.agent.counters()
    wait_for('connected', lambda: v['hop_acked_chunks'] > 0)
    relay_role.send_signal(signal.SIGSTOP)
    try:
        wait_for('it is left', lambda: v['hop_failures'] > 0, 30)
        wait_for('its records are kept', lambda: v['queue_held_records'] > 500, 10)
    finally:
        relay_role.send_signal(signal.SIGCONT)
    wait_for('it is found again', lambda: v['hop_up'] == 1 and v['queue_held_records'] == 0)
    c.verdict(refused=None)
    says(c.agent, r'lost the relay .*; records are kept here')
    known = c.relay.counters()['recv_dup_records']
    print(f'left after it stood still: {known} records known by their ranges', flush=True)
    check('seen', v['hop_failures'] < 10)
