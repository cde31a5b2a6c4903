# SPDX-License-Identifier: ISC
# loop.mk - what src/loop adds to the build

libparts_a_SOURCES += src/loop/loop.h src/loop/backend.h src/loop/loop.c \
	src/loop/ops.c src/loop/hand.c src/loop/list.c \
	src/loop/notify.c src/loop/notify.h \
	src/loop/inherit.c src/loop/inherit.h \
	src/loop/addr.c src/loop/addr.h \
	src/loop/timers.c src/loop/timers.h src/loop/choose.c \
	src/loop/real.c src/loop/real.h src/loop/real_file.c \
	src/loop/worker.c src/loop/worker.h src/loop/loop_epoll.c \
	src/loop/loop_uring.c src/loop/uring_prep.c \
	src/loop/uring_prep.h src/loop/uring_ring.c src/loop/uring_ring.h \
	src/loop/tls.c src/loop/tls.h src/loop/tls_copy.c \
	src/loop/tls_ctx.c src/loop/tls_files.c src/loop/tls_in.h \
	src/loop/bridge.c src/loop/bridge.h

check_PROGRAMS += tests/test_loop
TESTS += tests/test_loop
tests_test_loop_SOURCES = tests/test_loop.c tests/test_loop.h \
	tests/test_loop_net.c tests/test_loop_cancel.c \
	tests/test_loop_time.c tests/test_loop_file.c \
	tests/test_loop_choose.c tests/test_loop_notify.c \
	tests/test_loop_tls.c tests/test_loop_bridge.c
tests_test_loop_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(OPENSSL_CFLAGS)
tests_test_loop_LDADD = $(TEST_LIBS)
