#!/bin/sh
# SPDX-License-Identifier: ISC
#
# make.sh - the examples in TypeScript, installed and compiled
#
# usage: make.sh SOURCE_DIR EMPLOG_TGZ APP_DIR
#
# What APP_DIR held before is removed.  tsc and the types come from npm, in
# the versions of package.json; emplog is the given package.
set -eu
src=$1/contrib/examples/node tgz=$2 app=$3

rm -rf "$app"
mkdir -p "$app/src" "$app/fakes"
cp "$src/package.json" "$src/tsconfig.json" "$app"
cp "$src"/src/*.ts "$app/src"
cp "$src"/fakes/*.ts "$app/fakes"
cp "$tgz" "$app/emplog.tgz"
cd "$app"
chmod -R u+w .
npm install --no-audit --no-fund --no-package-lock --foreground-scripts \
    </dev/null || {
	echo "npm cannot install what it needs"
	exit 1
}
node node_modules/typescript/bin/tsc
