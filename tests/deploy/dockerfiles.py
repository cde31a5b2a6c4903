#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""dockerfiles.py - what can be said of contrib/docker without an engine

usage: dockerfiles.py SRC_DIR

Instructions are known, stages that are named exist, what is copied from the
tree is there, RUN lines are shell, exec forms are JSON; railway.toml is TOML
and names a Dockerfile that is there.
"""

import glob
import json
import os
import re
import subprocess
import sys
import tomllib

KNOWN = {'ARG', 'FROM', 'WORKDIR', 'COPY', 'RUN', 'ENV', 'EXPOSE',
         'ENTRYPOINT', 'CMD', 'USER', 'VOLUME', 'LABEL'}


def instructions(path):
    with open(path) as f:
        text = re.sub(r'^[ \t]*#.*\n', '', f.read(), flags=re.M)
    for line in text.replace('\\\n', '').splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(' ')
            yield word, rest.strip()


def faults(top, path):
    stages, seen = set(), []
    for word, rest in instructions(path):
        seen.append(word)
        if word not in KNOWN:
            yield f'{word} is no instruction'
        if word == 'FROM':
            m = re.fullmatch(r'\S+( AS (\w+))?', rest)
            if not m:
                yield f'FROM {rest}'
            elif m[2]:
                stages.add(m[2])
        if word == 'COPY':
            m = re.match(r'--from=(\w+) ', rest)
            if m and m[1] not in stages:
                yield f'no stage {m[1]}'
            for source in [] if m else rest.split()[:-1]:
                if not os.path.exists(os.path.join(top, source)):
                    yield f'{source} is not in the tree'
        if word == 'RUN' and subprocess.run(
                ['sh', '-n'], input=rest.encode(), check=False).returncode:
            yield f'RUN {rest}'
        if word in ('ENTRYPOINT', 'CMD'):
            if not all(isinstance(x, str) for x in json.loads(rest)):
                yield f'{word} {rest}'
        for file in re.findall(r'contrib/[\w./-]+', rest):
            if not os.path.exists(os.path.join(top, file)):
                yield f'{file} is not in the tree'
    if 'FROM' not in seen or seen[0] not in ('ARG', 'FROM'):
        yield 'it does not begin with FROM'


def main(top):
    bad = 0
    paths = sorted(glob.glob(os.path.join(top, 'contrib/docker/Dockerfile.*')))
    for path in paths:
        for fault in faults(top, path):
            print(f'{path}: {fault}')
            bad += 1
    with open(os.path.join(top, 'contrib/railway/railway.toml'), 'rb') as f:
        named = tomllib.load(f)['build']['dockerfilePath']
    if os.path.join(top, named) not in paths:
        print(f'railway.toml: {named} is not there')
        bad += 1
    return 1 if bad or len(paths) != 3 else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
