# SPDX-License-Identifier: ISC
"""decoded.py - OpenTelemetry's own decoder reads what arrives at a backend

The bodies of real requests, from lanes and from HTTP, through agent, relay
and exporter, are decoded, encoded again (the bytes must be the same) and
looked at field by field.  The decoder comes from npm; see t0410.
"""

import glob
import json
import os
import struct
import subprocess
import threading

from claims import Skipped, check, claim, equal
from fleet import record, three
from world import BUILD, attributes, http, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = '@opentelemetry/otlp-transformer'
VERSION = '0.214.0'
CONNECTORS = {'comfyui': ('comfyui', 'comfyui-gpu0'),
              'openai': ('openai-image', 'openai-image-0'),
              'a1111': ('a1111', 'a1111-gpu1'),
              'simulation': ('simulation', 'simulation-3'),
              'rest': ('rest', 'rest-webhook')}
install = threading.Lock()


def modules():
    """Where the decoder is; Skipped when npm has none."""
    cache = os.path.abspath(os.path.join(BUILD, 'tests/otlp-modules'))
    manifest = os.path.join(cache, 'node_modules', PACKAGE, 'package.json')
    with install:
        try:
            with open(manifest) as f:
                if json.load(f)['version'] == VERSION:
                    return cache
        except (OSError, ValueError, KeyError):
            pass
        os.makedirs(cache, exist_ok=True)
        try:
            r = subprocess.run(['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund',
                                '--save-exact', '--prefix', cache, f'{PACKAGE}@{VERSION}'],
                               capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as e:
            raise Skipped(f'the decoder cannot be installed: {e}') from e
        if r.returncode != 0:
            raise Skipped(f'npm has no {PACKAGE}@{VERSION}: {r.stderr[-200:]}')
    return cache


def decode(cache, directory):
    """(resource, scope, record, attributes) of all bodies, strictly."""
    files = sorted(glob.glob(os.path.join(directory, '*.bin')))
    r = subprocess.run(['node', os.path.join(HERE, '../otlp-decode.js'), *files],
                       capture_output=True, text=True, env={**os.environ, 'OTLP_MODULES': cache})
    if r.returncode != 0:
        raise AssertionError(f'the decoder: {r.stderr[-500:]}')
    lines = r.stdout.splitlines()
    equal('bodies decoded', len(lines), len(files))
    return [(attributes(rl['resource']['attributes']), sl['scope'], rec,
             attributes(rec['attributes']))
            for line in lines for rl in json.loads(line)['resourceLogs']
            for sl in rl['scopeLogs'] for rec in sl['logRecords']]


def number(a):
    """A connector's own number of a record; a health check has it among its details."""
    details = a.get('health_details', {})
    if 'values' in details:
        details = attributes(details['values'])
    return a.get('demo_seq', details.get('demo_seq'))


def side_numbers(path):
    with open(path, 'rb') as f:
        b = f.read()
    return {struct.unpack_from('<Q', b, at)[0] for at in range(0, len(b) // 16 * 16, 16)}


@claim(epoll=True)
def what_connectors_write_is_what_the_decoder_reads(w):
    cache = modules()
    _, _, _, b = three(w)
    sides = {name: os.path.join(w.dir, f'side-{name}') for name in CONNECTORS}
    running = [subprocess.Popen([os.path.join(BUILD, 'contrib/examples', name), side, '1'],
                                env=w.env) for name, side in sides.items()]
    issuer = w.producer(burst=20, pause_ms=1, count=5)
    for p in running:
        equal('exit of a connector', p.wait(20), 0)
    issuer.process.wait(20)
    wanted = {name: side_numbers(side) for name, side in sides.items()}
    total = sum(map(len, wanted.values())) + len(issuer.sets()[1])
    wait_for('all records', lambda: sum(number(x.attributes) is not None or 'payload' in x.attributes
                                        for x in b.accepted()) >= total, 20, 0.1)

    every = decode(cache, b.dir)
    records = [r for r in every if number(r[3]) is not None or 'payload' in r[3]]
    equal('records', len(records), total)
    equal('events without a number', [r[2]['eventName'] for r in every if r not in records], [])
    uids = {a['log.record.uid'] for _, _, _, a in records}
    equal('different log.record.uid', len(uids), total)
    for name, (service, connector) in CONNECTORS.items():
        look_at_connector([r for r in records if r[0].get('connector_id') == connector],
                          wanted[name], service, connector)
    look_at_issuer([r for r in records if 'payload' in r[3]], issuer)


def look_at_connector(records, wanted, service, connector):
    equal(f'demo_seq of {connector}', {int(number(a)) for _, _, _, a in records}, wanted)
    for resource, scope, rec, a in records:
        worker = resource['worker_id']
        check(f'worker {worker}', worker.startswith('demo-worker-'))
        for key, value in {'service.name': resource['service_type'],
                           'service.namespace': 'emp', 'machine_id': 'demo-machine',
                           'service.instance.id': f'machine-demo-machine.{worker}',
                           'host.name': os.uname().nodename}.items():
            equal(f'{key} of {connector}', resource.get(key), value)
        check(f"service_type {resource['service_type']} of {connector}",
              service.startswith(resource['service_type']) or
              resource['service_type'].startswith(service))
        equal('scope', scope['name'], 'example')
        equal('eventName', rec['eventName'], a['event_type'])
        look_at_record(rec, a)


SEVERITY = {'websocket_message': 5, 'job_failed': 17, 'service_retry': 13}


def look_at_record(rec, a):
    event = a['event_type']
    equal(f'severity of {event}', rec['severityNumber'], SEVERITY.get(event, 9))
    body = rec['body']['stringValue']
    if event == 'job_received':
        equal('body', (body, a['job_status']), ('Job received', 'received'))
    if event == 'job_completed':
        equal('body', (body, a['job_status']), ('Job completed successfully', 'completed'))
        check(f"duration {a['duration']}", 5 <= float(a['duration']) < 5000)
    if event == 'health_check':
        equal('health', (body, a['health_status']), ('Health check: healthy', 'healthy'))
    if event.startswith('job_'):
        check(a['job_id'], a['job_id'].startswith('job-'))
    if event == 'service_retry':
        sent = attributes(a['request_headers']['values'])
        check('the credential never left', 'demo-not-a-real-secret' not in json.dumps(sent))
        equal('the rest did', sent['content-type'], 'application/json')
    check('time is now', abs(int(rec['timeUnixNano']) - int(rec['observedTimeUnixNano'])) < 60e9)


def look_at_issuer(records, issuer):
    from world import payload
    equal('issued', {int(a['n']) for _, _, _, a in records}, issuer.sets()[1])
    for _, _, _, a in records:
        equal('payload', a['payload'], payload(int(a['p']), int(a['n'])))


# ---- by HTTP, as the old client posts ----

ENVELOPE = {'service': 'emp-redis-js', 'version': '1.0.0', 'component': 'connector',
            'machine_id': 'railway-comfy-1a2b', 'worker_id': 'railway-comfy-1a2b-worker-0',
            'service_type': 'comfyui', 'connector_id': 'comfyui-gpu7',
            'source': 'winston-logger', 'logger_name': 'emp-redis-js'}
TIME = '2026-03-04T05:06:07.118Z'
TIME_NS = 1772600767118000000
POSTED = {
    'job_received': ({
        'timestamp': TIME, 'level': 'info', 'message': 'Job received', 'job_id': 'job-e2e-1',
        'jobId': 'job-e2e-1', 'job_status': 'received', 'model': 'sdxl-base-1.0',
        'input_size': 18342, 'inputSize': 18342}, 9, {
        'job_id': 'job-e2e-1', 'event_type': 'job_received', 'job_status': 'received',
        'model': 'sdxl-base-1.0', 'input_size': '18342'}),
    'job_progress': ({
        'timestamp': TIME, 'level': 'info', 'message': 'Job progress update',
        'jobId': 'job-e2e-1', 'job_status': 'processing', 'progress': 45.5,
        'execution_step': 'KSampler', 'queue_remaining': 1}, 9, {
        'job_id': 'job-e2e-1', 'event_type': 'job_progress', 'job_status': 'processing',
        'progress': 45.5, 'execution_step': 'KSampler', 'queue_remaining': '1'}),
    'job_failed': ({
        'timestamp': TIME, 'level': 'error', 'message': 'Job failed', 'job_id': 'job-e2e-1',
        'job_status': 'failed', 'error': 'Request timeout after 60000ms',
        'error_type': 'timeout', 'duration': 60021}, 17, {
        'job_id': 'job-e2e-1', 'event_type': 'job_failed', 'job_status': 'failed',
        'error': 'Request timeout after 60000ms', 'error_type': 'timeout',
        'duration': '60021'}),
    'websocket_message': ({
        'timestamp': TIME, 'level': 'debug', 'message': 'WebSocket message received',
        'traceId': '4bf92f3577b34da6a3ce929d0e0e4736', 'span_id': '00f067aa0ba902b7',
        'prompt_id': '8d7c-1f2b', 'vram_usage': 11264}, 5, {
        'event_type': 'websocket_message', 'prompt_id': '8d7c-1f2b', 'vram_usage': '11264'}),
    'health_check': ({
        'timestamp': TIME, 'level': 'warn', 'message': 'Health check: unhealthy',
        'health_status': 'unhealthy', 'health_details': {
            'api_available': False, 'models_loaded': 3,
            'error': 'connect ECONNREFUSED 127.0.0.1:8189'}}, 13, {
        'event_type': 'health_check', 'health_status': 'unhealthy'}),
}


@claim()
def what_http_clients_post_is_what_the_decoder_reads(w):
    cache = modules()
    a, _, _, b = three(w)
    for event, (own, _, _) in POSTED.items():
        r = http(a.http, '/', {**ENVELOPE, **own, 'event_type': event})
        equal('status', r.status, 201)
    wait_for('all records', lambda: len(b.accepted()) >= len(POSTED), 20, 0.02)
    records = decode(cache, b.dir)
    equal('records', sorted(r[2]['eventName'] for r in records), sorted(POSTED))
    for resource, scope, rec, a in records:
        own, severity, wanted = POSTED[rec['eventName']]
        look_at_posted(resource, scope, rec, own, severity)
        a.pop('log.record.uid')
        details = a.pop('health_details', None)
        if details is not None:
            equal('health_details', attributes(details['values']),
                  {'api_available': False, 'models_loaded': '3',
                   'error': 'connect ECONNREFUSED 127.0.0.1:8189'})
        equal(f"attributes of {rec['eventName']}", a, wanted)


def look_at_posted(resource, scope, rec, own, severity):
    for key, value in {'service.name': 'comfyui', 'service.namespace': 'emp',
                       'service.version': '1.0.0', 'machine_id': 'railway-comfy-1a2b',
                       'worker_id': 'railway-comfy-1a2b-worker-0', 'service_type': 'comfyui',
                       'connector_id': 'comfyui-gpu7', 'host.name': os.uname().nodename,
                       'service.instance.id':
                       'machine-railway-comfy-1a2b.railway-comfy-1a2b-worker-0'}.items():
        equal(key, resource.get(key), value)
    equal('scope', (scope['name'], attributes(scope['attributes'])),
          ('emp-redis-js', {'source': 'winston-logger', 'component': 'connector'}))
    equal('time', int(rec['timeUnixNano']), TIME_NS)
    equal('severity', (rec['severityNumber'], rec['severityText'].lower()),
          (severity, own['level']))
    equal('body', rec['body']['stringValue'], own['message'])
    if 'traceId' in own:
        equal('trace', (rec['traceId'], rec['spanId']), (own['traceId'], own['span_id']))


@claim()
def dash0_gets_16_attributes_and_the_rest_folded(w):
    a, _, e, b = three(w, exporter__limits='dash0')
    many = {f'field_{i:02d}': f'value {i}' for i in range(30)}
    http(a.http, '/', record(1, job_id='job-many', text='y' * 5000, **many))
    got = wait_for('it', b.accepted)[0]
    check(f'{len(got.attributes)} attributes', len(got.attributes) <= 16)
    equal('job_id stays', got.attributes['job_id'], 'job-many')
    check('the rest is folded', 'emplog.more' in got.attributes)
    check('no value is too long', all(len(v) <= 2048 for v in got.attributes.values()
                                      if isinstance(v, str)))
    json.loads(got.attributes['emplog.more'])
