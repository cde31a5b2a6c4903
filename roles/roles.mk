# SPDX-License-Identifier: ISC
# roles.mk - the binary, and what the roles add to the parts

bin_PROGRAMS = emplogd
emplogd_SOURCES = roles/main.c
emplogd_LDADD = $(PARTS_LIBS)

libparts_a_SOURCES += roles/keep.c roles/keep.h \
	roles/options.c roles/options.h roles/role.c roles/role.h \
	roles/secure.c roles/secure.h roles/station.c \
	roles/station.h roles/relay.c roles/exporter.c roles/agent.c \
	src/hop/onward.c src/hop/onward.h
