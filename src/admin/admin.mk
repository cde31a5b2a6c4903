# SPDX-License-Identifier: ISC
# admin.mk - what src/admin adds to the build

libparts_a_SOURCES += src/admin/admin.c src/admin/admin.h \
	src/admin/queue.c src/admin/queue.h src/admin/queue_cat.c \
	src/admin/queue_check.c src/admin/queue_export.c \
	src/admin/queue_repair.c \
	src/admin/status.c src/admin/ring.c src/admin/tail.c \
	src/admin/help.c src/admin/lanes.c src/admin/lanes.h \
	src/admin/show.c src/admin/show.h src/admin/human.c \
	src/admin/human.h src/admin/migrate.c src/admin/migrate.h \
	src/admin/migrate_bit.c src/admin/migrate_bit.h \
	src/admin/migrate_bit_out.c src/admin/migrate_fluentd.c \
	src/admin/migrate_print.c src/admin/migrate_tags.c \
	src/admin/migrate_tails.c src/admin/old_conf.c src/admin/old_conf.h \
	src/admin/old_inner.h src/admin/old_lines.c src/admin/old_yaml.c \
	src/admin/old_lore.c src/admin/old_lore.h src/admin/old_lore.def \
	src/admin/dlq.c src/admin/letters.c src/admin/letters.h \
	src/admin/audit.c src/admin/audit.h src/admin/audit_export.c src/admin/audit_fates.c \
	src/admin/audit_look.c src/admin/audit_sums.c src/admin/site.c \
	src/admin/site.h src/admin/stock.c src/admin/stock.h \
	src/admin/trace.c src/admin/trace.h src/admin/trace_find.c \
	src/admin/uids.c src/admin/uids.h \
	src/admin/ca.c src/admin/cert.c src/admin/cert.h
libparts_a_CPPFLAGS += $(JANSSON_CFLAGS)

check_PROGRAMS += tests/test_admin
TESTS += tests/test_admin
tests_test_admin_SOURCES = tests/test_admin.c tests/lane_kit.h
tests_test_admin_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) $(JANSSON_CFLAGS)
tests_test_admin_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_dlq
TESTS += tests/test_dlq
EXTRA_DIST += tests/golden/dead-letters-form1.seg
tests_test_dlq_SOURCES = tests/test_dlq.c
tests_test_dlq_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS) \
	-DSRCDIR='"$(abs_top_srcdir)"'
tests_test_dlq_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/test_migrate
TESTS += tests/test_migrate
tests_test_migrate_SOURCES = tests/test_migrate.c tests/migrate_files.h
tests_test_migrate_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_migrate_LDADD = $(TEST_LIBS)
tests_test_migrate_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc \
	-Wl,--wrap=calloc

check_PROGRAMS += tests/test_audit
TESTS += tests/test_audit
tests_test_audit_SOURCES = tests/test_audit.c
tests_test_audit_CPPFLAGS = $(AM_CPPFLAGS) $(CHECK_CFLAGS)
tests_test_audit_LDADD = $(TEST_LIBS)
