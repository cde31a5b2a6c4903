# SPDX-License-Identifier: ISC
# contrib.mk - what contrib/ adds to the build

EXTRA_DIST += contrib/emplogd.conf contrib/pm2/ecosystem.config.js \
	contrib/systemd/emplogd-agent.service \
	contrib/systemd/emplogd-agent.socket \
	contrib/systemd/emplogd-relay.service \
	contrib/systemd/emplogd-exporter.service \
	contrib/systemd/emplogd.tmpfiles contrib/systemd/emplogd.sysusers

# The Node package carries the lane's sources, so that it needs no libemplog.
NODE_SHM = shm/console.c shm/emplog.h shm/encode.c shm/encode.h shm/ident.c \
	shm/ident.h shm/jobs.c shm/jobs.h shm/lane.h shm/loan.c shm/loan.h \
	shm/log.c shm/log.h shm/pool.c shm/pool.h \
	shm/pool_lane.c shm/pool_lane.h shm/ring.c shm/ring.h \
	shm/sys.h shm/sys_os.c shm/text.c shm/text.h shm/writer.c shm/writer.h
NODE_FILES = README.md binding.gyp index.d.ts index.js index.mjs install.js \
	package.json pino.d.ts test-connector-logging.js winston.d.ts \
	lib/addon.js lib/console.js lib/core.js lib/encode.js lib/http.js \
	lib/lane.js lib/logger.js lib/names.js lib/pino.js lib/place.js \
	lib/record.js lib/schemas.js \
	lib/settle.js lib/tame.js lib/text.js lib/trace.js lib/winston.js \
	src/addon.c
NODE_TESTS = contrib/node/bench/bench.js contrib/node/test/agent.test.js \
	contrib/node/test/daemon.js contrib/node/test/encode.test.js contrib/node/test/encode_as_c.c \
	contrib/node/test/ends.test.js contrib/node/test/http.test.js \
	contrib/node/test/kit.js contrib/node/test/lane.test.js \
	contrib/node/test/loggers.test.js contrib/node/test/musl_bridge.c \
	contrib/node/test/package.test.js \
	contrib/node/test/small-lane.js contrib/node/test/types/connector.ts
EXTRA_DIST += $(NODE_FILES:%=contrib/node/%) $(NODE_TESTS) tests/part-node.sh \
	tests/part-musl.sh

# emplog-VERSION.tgz as npm wants it: everything under package/.
dist-node:
	rm -rf dist-node.tmp
	mkdir -p dist-node.tmp/package/lib dist-node.tmp/package/src \
	    dist-node.tmp/package/shm
	for f in $(NODE_FILES); do \
		cp $(srcdir)/contrib/node/$$f dist-node.tmp/package/$$f || exit 1; \
	done
	for f in $(NODE_SHM); do \
		cp $(srcdir)/$$f dist-node.tmp/package/$$f || exit 1; \
	done
	cp $(srcdir)/COPYING dist-node.tmp/package/COPYING
	sed 's/"version": "[^"]*"/"version": "$(PACKAGE_VERSION)"/' \
	    $(srcdir)/contrib/node/package.json >dist-node.tmp/package/package.json
	chmod -R u+w,a+rX dist-node.tmp
	tar -cz --owner=0 --group=0 -f emplog-$(PACKAGE_VERSION).tgz \
	    -C dist-node.tmp package
	rm -rf dist-node.tmp
.PHONY: dist-node
CLEANFILES += emplog-$(PACKAGE_VERSION).tgz

# One directory for any glibc from 2.34 on: all but libc comes along.  libtool
# would reorder the switches to archives, so it is not asked.
PORTABLE_LINK = $(CC) $(AM_CFLAGS) $(CFLAGS) -Wl,-z,relro -Wl,-z,now
PORTABLE = contrib/portable
portable: $(BUILT_SOURCES)
	$(MAKE) $(AM_MAKEFLAGS) roles/main.$(OBJEXT) libparts.a \
	    libemplog_parts.a libemplog.la contrib/examples/rest
	$(MKDIR_P) $(PORTABLE)
	$(PORTABLE_LINK) -o $(PORTABLE)/emplogd roles/main.$(OBJEXT) \
	    $(top_srcdir)/$(PORTABLE)/no_gnutls.c \
	    -Wl,-Bstatic $(PARTS_LIBS) -Wl,-Bdynamic
	$(PORTABLE_LINK) -o $(PORTABLE)/example contrib/examples/rest.$(OBJEXT) \
	    contrib/examples/connector.$(OBJEXT) .libs/libemplog.a -lpthread
	sh $(top_srcdir)/$(PORTABLE)/make.sh $(top_srcdir) $(VERSION) \
	    $(PORTABLE)/emplogd $(PORTABLE)/example
.PHONY: portable
CLEANFILES += $(PORTABLE)/emplogd $(PORTABLE)/example \
	emplogd-$(VERSION)-linux-*.tar.gz
EXTRA_DIST += $(PORTABLE)/no_gnutls.c $(PORTABLE)/make.sh $(PORTABLE)/README \
	tests/part-portable.sh tests/deploy/portable-claims.sh

EXTRA_DIST += contrib/docker/Dockerfile.relay contrib/docker/Dockerfile.worker \
	contrib/docker/Dockerfile.alpine contrib/docker/compose.yaml \
	contrib/docker/entrypoint.sh contrib/docker/with-libc.sh \
	contrib/railway/railway.toml contrib/railway/README \
	tests/part-containers.sh tests/deploy/containers-claims.sh \
	tests/deploy/dockerfiles.py

# Packages of Debian, into the build directory.
deb:
	sh $(top_srcdir)/contrib/debian/make.sh $(top_srcdir) .
.PHONY: deb
CLEANFILES += *.deb
EXTRA_DIST += contrib/debian/changelog contrib/debian/control \
	contrib/debian/copyright contrib/debian/rules \
	contrib/debian/source/format contrib/debian/make.sh \
	contrib/debian/emplogd.install contrib/debian/libemplog0.install \
	contrib/debian/libemplog-dev.install contrib/debian/emplogd.postinst \
	contrib/debian/emplogd.postrm \
	contrib/debian/emplogd.lintian-overrides \
	contrib/debian/libemplog0.lintian-overrides \
	contrib/debian/libemplog-dev.lintian-overrides \
	tests/part-debian.sh tests/deploy/debian-claims.sh

EXTRA_DIST += contrib/migrate.md
