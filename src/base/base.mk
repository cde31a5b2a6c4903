# SPDX-License-Identifier: ISC
# base.mk - what src/base adds to the build

libparts_a_SOURCES += src/base/must.c src/base/must.h src/base/bytes.h \
	src/base/env.c src/base/env.h src/base/vars.c src/base/vars.h \
	src/base/remedy.c src/base/remedy.h \
	src/base/planted.c src/base/planted.h src/base/planted.def \
	src/base/chunk.h src/banned.h
