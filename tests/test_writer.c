/* SPDX-License-Identifier: ISC */
/*
 * test_writer.c - the lane's making, its life and its end
 *
 * Claimed: a lane has the size, mode and lock that lane.h says; no room is an
 * error at open and leaves no file; unsafe directories are refused; the
 * agent's words are believed only within bounds.  Against the real tmpfs,
 * with its size and its refusals played by shm_kit.h.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "shm/ring.h"
#include "shm/writer.h"
#include "shm_kit.h"

static struct writer w;

static struct writer_conf
conf(void)
{
	return (struct writer_conf){ .sys = &kit_sys, .ring_dir = kit_dir,
	    .identity = (const uint8_t *)"\x80", .identity_len = 1 };
}

static int
open_bytes(uint64_t lane_bytes)
{
	struct writer_conf c = conf();

	c.lane_bytes = lane_bytes;
	return writer_open(&w, &c);
}

static void
put(uint64_t n)
{
	uint8_t *p = writer_lend(&w, n, 0);

	ck_assert_ptr_nonnull(p);
	memset(p, 'x', n);
	writer_publish(&w, n, 1);
}

static void
agent_takes(uint64_t tail)
{
	atomic_store_explicit(&w.agent->tail, tail, memory_order_release);
}

START_TEST(a_lane_is_0660_locked_and_whole_when_it_has_its_name)
{
	char path[256];
	struct stat st;

	ck_assert_int_eq(open_bytes(65536), 0);
	ck_assert_uint_eq(kit_count(kit_dir, ".lane", path, sizeof(path)), 1);
	ck_assert_str_eq(path, w.path);
	ck_assert_uint_eq(kit_temporaries(kit_dir), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0660);
	ck_assert_int_eq(st.st_size, 65536 + LANE_CONTROL_BYTES);
	ck_assert_int_ge(st.st_blocks * 512, st.st_size);
	ck_assert_int_eq(kit_locked(path), 1);
	ck_assert_mem_eq(w.head->magic, LANE_MAGIC, 8);
	ck_assert_uint_eq(w.head->version, LANE_VERSION);
	ck_assert_uint_eq(w.head->data_bytes, 65536);
	ck_assert_uint_eq(w.head->identity_len, 1);
	put(10);
	writer_close(&w, true);
	ck_assert_int_eq(kit_locked(path), 0);
}
END_TEST

START_TEST(a_missing_directory_is_made_0700_and_it_is_said)
{
	struct stat st;

	ck_assert_int_eq(open_bytes(65536), 0);
	ck_assert(w.made_ring);
	ck_assert_int_eq(stat(kit_dir, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
	writer_close(&w, true);
	ck_assert_int_eq(open_bytes(65536), 0);
	ck_assert(!w.made_ring);
	writer_close(&w, true);
}
END_TEST

START_TEST(size_is_a_64th_of_the_tmpfs_within_256k_and_4m)
{
	static const struct { uint64_t tmpfs, data; } t[] = {
		{ 8u << 20, 256u << 10 },
		{ (32u << 20) - 1, 256u << 10 },
		{ 32u << 20, 512u << 10 },
		{ 64u << 20, 1u << 20 },
		{ 100u << 20, 1u << 20 },
		{ 256u << 20, 4u << 20 },
		{ 1ull << 40, 4u << 20 },
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		kit.tmpfs = t[i].tmpfs;
		ck_assert_int_eq(open_bytes(0), 0);
		ck_assert_uint_eq(w.data_bytes, t[i].data);
		writer_close(&w, true);
	}
}
END_TEST

START_TEST(a_wanted_size_is_a_power_of_two_within_64k_and_4m)
{
	static const struct { uint64_t want, data; } t[] = {
		{ 1, 65536 }, { 65535, 65536 }, { 65536, 65536 },
		{ 131071, 65536 }, { 131072, 131072 },
		{ 4u << 20, 4u << 20 }, { 1u << 30, 4u << 20 },
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		ck_assert_int_eq(open_bytes(t[i].want), 0);
		ck_assert_uint_eq(w.data_bytes, t[i].data);
		writer_close(&w, true);
	}
}
END_TEST

START_TEST(without_room_it_is_halved_down_to_64k_then_enospc)
{
	kit.left = LANE_CONTROL_BYTES + 131072;
	ck_assert_int_eq(open_bytes(1u << 20), 0);
	ck_assert_uint_eq(w.data_bytes, 131072);
	writer_close(&w, true);
	kit.left = LANE_CONTROL_BYTES + 65536;
	ck_assert_int_eq(open_bytes(1u << 20), 0);
	ck_assert_uint_eq(w.data_bytes, 65536);
	writer_close(&w, true);
	kit.left = LANE_CONTROL_BYTES + 65535;
	ck_assert_int_eq(open_bytes(1u << 20), -ENOSPC);
	ck_assert_uint_eq(kit_count(kit_dir, ".lane", NULL, 0), 0);
	ck_assert_uint_eq(kit_temporaries(kit_dir), 0);
}
END_TEST

START_TEST(the_ring_stays_within_its_budget)
{
	const uint64_t one = LANE_CONTROL_BYTES + 65536;
	struct writer many[4];
	struct writer_conf c = conf();
	unsigned i;

	c.lane_bytes = 65536;
	c.ring_max = 3 * one;
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(writer_open(&many[i], &c), 0);
	ck_assert_int_eq(writer_open(&many[3], &c), -ENOSPC);
	c.ring_max++;
	ck_assert_int_eq(writer_open(&many[3], &c), -ENOSPC);
	c.ring_max = 4 * one;
	ck_assert_int_eq(writer_open(&many[3], &c), 0);
	ck_assert_uint_eq(ring_used(&kit_sys, kit_dir), 4 * one);
	for (i = 0; i < 4; i++)
		writer_close(&many[i], true);
	ck_assert_uint_eq(ring_used(&kit_sys, kit_dir), 0);
}
END_TEST

START_TEST(the_second_half_of_the_ring_is_for_many)
{
	struct writer many[64];
	struct writer_conf c = conf();
	unsigned i, n;

	kit.tmpfs = 32u << 20;		/* a ring of 8 MiB */
	for (n = 0; n < 64 && writer_open(&many[n], &c) == 0; n++)
		ck_assert_uint_eq(many[n].data_bytes, n < 8 ? 512u << 10 :
		    64u << 10);
	ck_assert_uint_eq(n, 8 + 28);
	for (i = 0; i < n; i++)
		writer_close(&many[i], true);
}
END_TEST

START_TEST(the_budget_is_a_quarter_of_the_tmpfs_up_to_64m)
{
	kit.tmpfs = 64u << 20;
	ck_assert_uint_eq(ring_room(&kit_sys, "/dev/shm", 0), 16u << 20);
	kit.tmpfs = 256u << 20;
	ck_assert_uint_eq(ring_room(&kit_sys, "/dev/shm", 0), 64u << 20);
	kit.tmpfs = 1u << 30;
	ck_assert_uint_eq(ring_room(&kit_sys, "/dev/shm", 0), 64u << 20);
	ck_assert_uint_eq(ring_room(&kit_sys, "/dev/shm", 5), 5);
}
END_TEST

START_TEST(beyond_the_ring_the_lane_is_a_file_in_state_dir)
{
	struct writer_conf c = conf();

	c.state_dir = kit_top;	/* kit_top/ring is the ring itself */
	snprintf(kit_dir, sizeof(kit_dir), "%s/shm", kit_top);
	c.lane_bytes = 65536;
	c.ring_max = LANE_CONTROL_BYTES + 65536;
	ck_assert_int_eq(writer_open(&w, &c), 0);
	ck_assert_uint_eq(w.head->flags, 0);
	{
		struct writer first = w;

		ck_assert_int_eq(writer_open(&w, &c), 0);
		ck_assert_uint_eq(w.head->flags, LANE_F_ON_DISK);
		ck_assert_ptr_nonnull(strstr(w.path, "/ring/"));
		/* It knocks at the ring's door all the same. */
		ck_assert_uint_eq(w.knock_ino, first.knock_ino);
		put(100);
		writer_close(&w, true);
		ck_assert_int_eq(access(w.path, F_OK), 0);
		writer_close(&first, true);
	}
}
END_TEST

START_TEST(a_file_size_limit_is_efbig_and_no_signal)
{
	kit.file_limit = LANE_CONTROL_BYTES + 65535;
	ck_assert_int_eq(open_bytes(65536), -EFBIG);
	kit.file_limit++;
	ck_assert_int_eq(open_bytes(65536), 0);
	writer_close(&w, true);
}
END_TEST

START_TEST(a_symlink_or_file_in_place_of_the_ring_is_refused)
{
	char other[128];
	int fd;

	snprintf(other, sizeof(other), "%s/elsewhere", kit_top);
	ck_assert_int_eq(mkdir(other, 0700), 0);
	ck_assert_int_eq(symlink(other, kit_dir), 0);
	ck_assert_int_eq(open_bytes(65536), -ELOOP);
	ck_assert_uint_eq(kit_count(other, ".lane", NULL, 0), 0);
	ck_assert_int_eq(unlink(kit_dir), 0);
	fd = open(kit_dir, O_CREAT | O_WRONLY, 0600);
	close(fd);
	ck_assert_int_eq(open_bytes(65536), -ENOTDIR);
}
END_TEST

START_TEST(a_squatted_directory_is_refused)
{
	struct writer_conf c = conf();

	c.lane_bytes = 65536;
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(mkdir(kit_dir, 0700), 0);
	ck_assert_int_eq(chown(kit_dir, RING_SYSTEM_UID + 1, 0), 0);
	ck_assert_int_eq(chmod(kit_dir, 03777), 0);
	ck_assert_int_eq(writer_open(&w, &c), -EPERM);
	/* ... unless its owner was named ... */
	c.ring_owner = RING_SYSTEM_UID + 1;
	ck_assert_int_eq(writer_open(&w, &c), 0);
	writer_close(&w, true);
	c.ring_owner = 0;
	/* ... or is a system account, as the agent's is. */
	ck_assert_int_eq(chown(kit_dir, RING_SYSTEM_UID, 0), 0);
	ck_assert_int_eq(chmod(kit_dir, 03777), 0);
	ck_assert_int_eq(writer_open(&w, &c), 0);
	writer_close(&w, true);
}
END_TEST

START_TEST(others_may_write_only_with_the_sticky_bit)
{
	ck_assert_int_eq(mkdir(kit_dir, 0700), 0);
	ck_assert_int_eq(chmod(kit_dir, 0777), 0);
	ck_assert_int_eq(open_bytes(65536), -EPERM);
	ck_assert_int_eq(chmod(kit_dir, 0770), 0);
	ck_assert_int_eq(open_bytes(65536), -EPERM);
	ck_assert_int_eq(chmod(kit_dir, 03777), 0);
	ck_assert_int_eq(open_bytes(65536), 0);
	writer_close(&w, true);
}
END_TEST

START_TEST(a_full_tmpfs_is_enospc_at_open_and_never_sigbus)
{
	struct writer many[8];
	struct writer_conf c;
	unsigned n, i;
	pid_t pid;
	int status;

	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mkdir(kit_dir, 0700) < 0 ||
		    mount("none", kit_dir, "tmpfs", 0,
		    "size=512k,mode=700") < 0)
			_exit(77);
		c = conf();
		c.ring_max = 1u << 30;
		c.lane_bytes = 65536;
		for (n = 0; n < 8 && writer_open(&many[n], &c) == 0; n++)
			;
		/* 128 KiB each, and the FIFO and directory take some. */
		if (n < 3 || n > 4 || writer_open(&many[n], &c) != -ENOSPC)
			_exit(1);
		for (i = 0; i < n; i++)
			memset(many[i].data, 1, many[i].data_bytes);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
}
END_TEST

START_TEST(room_ends_exactly_at_data_bytes)
{
	ck_assert_int_eq(open_bytes(65536), 0);
	ck_assert_ptr_null(writer_lend(&w, 65537, 0));
	ck_assert_ptr_nonnull(writer_lend(&w, 65536, 0));
	ck_assert_ptr_null(writer_lend(&w, 65536, 1));
	ck_assert_ptr_null(writer_lend(&w, 1, UINT64_MAX));
	ck_assert_ptr_null(writer_lend(&w, UINT64_MAX, 1));
	put(65535);
	ck_assert_ptr_nonnull(writer_lend(&w, 1, 0));
	ck_assert_ptr_null(writer_lend(&w, 2, 0));
	put(1);
	ck_assert_ptr_null(writer_lend(&w, 1, 0));
	agent_takes(100);
	ck_assert_ptr_nonnull(writer_lend(&w, 100, 0));
	ck_assert_ptr_null(writer_lend(&w, 101, 0));
	writer_close(&w, true);
}
END_TEST

START_TEST(a_record_does_not_wrap_for_its_writer)
{
	uint8_t *p;

	ck_assert_int_eq(open_bytes(65536), 0);
	put(65000);
	agent_takes(65000);
	p = writer_lend(&w, 1000, 0);
	ck_assert_ptr_nonnull(p);
	memset(p, 'y', 1000);
	writer_publish(&w, 1000, 1);
	ck_assert_uint_eq(w.data[65535], 'y');
	ck_assert_uint_eq(w.data[0], 'y');
	ck_assert_uint_eq(w.data[463], 'y');
	ck_assert_uint_eq(w.data[464], 'x');
	writer_close(&w, true);
}
END_TEST

START_TEST(a_tail_that_lies_gives_no_room)
{
	static const uint64_t lie[] = { 65537, 1u << 20, UINT64_MAX };
	size_t i;

	ck_assert_int_eq(open_bytes(65536), 0);
	put(65536);
	for (i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
		agent_takes(lie[i]);
		ck_assert_ptr_null(writer_lend(&w, 1, 0));
	}
	agent_takes(65536);
	ck_assert_ptr_nonnull(writer_lend(&w, 65536, 0));
	put(65536);
	agent_takes(3);		/* backwards */
	ck_assert_ptr_null(writer_lend(&w, 1, 0));
	writer_close(&w, true);
}
END_TEST

START_TEST(marks_are_the_first_boundary_of_each_stripe)
{
	unsigned i;

	ck_assert_int_eq(open_bytes(65536), 0);	/* stripes of 1024 */
	put(1023);
	ck_assert_uint_eq(atomic_load(&w.marks[0].pos), 0);
	ck_assert_uint_eq(atomic_load(&w.marks[1].pos), 0);
	put(1);
	ck_assert_uint_eq(atomic_load(&w.marks[1].pos), 1024);
	ck_assert_uint_eq(atomic_load(&w.marks[1].records), 2);
	put(100);
	ck_assert_uint_eq(atomic_load(&w.marks[1].pos), 1024);
	put(3000);		/* over two stripes */
	ck_assert_uint_eq(atomic_load(&w.marks[2].pos), 0);
	ck_assert_uint_eq(atomic_load(&w.marks[3].pos), 0);
	ck_assert_uint_eq(atomic_load(&w.marks[4].pos), 4124);
	ck_assert_uint_eq(atomic_load(&w.marks[4].records), 4);
	for (i = 0; i < 600; i++) {
		agent_takes(w.at);
		put(100);
	}
	ck_assert_uint_eq(w.at, 64124);
	put(1500);		/* the stripe numbers wrap */
	ck_assert_uint_eq(atomic_load(&w.marks[0].pos), 65624);
	ck_assert_uint_eq(atomic_load(&w.marks[0].records), 605);
	writer_close(&w, true);
}
END_TEST

static int
knocks_in(int fd)
{
	char buf[64];
	ssize_t n = read(fd, buf, sizeof(buf));

	return n < 0 ? 0 : (int)n;
}

START_TEST(it_knocks_once_per_value_of_knock_at)
{
	char path[128];
	struct stat st;
	int fd;

	ck_assert_int_eq(open_bytes(65536), 0);
	snprintf(path, sizeof(path), "%s/knock", kit_dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFIFO | 0666);
	fd = open(path, O_RDWR | O_NONBLOCK);
	put(10);
	ck_assert_int_eq(knocks_in(fd), 1);	/* a new lane does */
	put(10);
	ck_assert_int_eq(knocks_in(fd), 0);
	atomic_store(&w.agent->knock_at, 31);
	put(10);
	ck_assert_int_eq(knocks_in(fd), 0);
	put(1);
	ck_assert_int_eq(knocks_in(fd), 1);
	put(100);
	ck_assert_int_eq(knocks_in(fd), 0);
	atomic_store(&w.agent->knock_at, UINT64_MAX);
	put(100);
	ck_assert_int_eq(knocks_in(fd), 0);
	ck_assert_uint_eq(atomic_load(&w.prod->knocks), 2);
	close(fd);
	writer_close(&w, true);
}
END_TEST

START_TEST(a_full_fifo_neither_blocks_nor_kills)
{
	char path[128], junk[4096] = "";
	int fd;

	ck_assert_int_eq(open_bytes(65536), 0);
	snprintf(path, sizeof(path), "%s/knock", kit_dir);
	fd = open(path, O_RDWR | O_NONBLOCK);
	while (write(fd, junk, sizeof(junk)) > 0)
		;
	put(10);
	close(fd);
	writer_close(&w, true);
}
END_TEST

START_TEST(no_byte_goes_into_a_file_that_took_the_fifos_descriptor)
{
	char path[128];
	struct stat st;
	int fd;

	ck_assert_int_eq(open_bytes(65536), 0);
	snprintf(path, sizeof(path), "%s/precious", kit_top);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	ck_assert_int_eq(dup2(fd, w.knock_fd), w.knock_fd);
	put(10);
	writer_close(&w, true);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	close(fd);
}
END_TEST

START_TEST(retired_is_the_agents_word_or_a_file_that_is_gone)
{
	ck_assert_int_eq(open_bytes(65536), 0);
	ck_assert(!writer_retired(&w));
	atomic_store(&w.agent->retired, 1);
	ck_assert(writer_retired(&w));
	atomic_store(&w.agent->retired, 0);
	ck_assert(!writer_retired(&w));
	ck_assert_int_eq(unlink(w.path), 0);
	ck_assert(writer_retired(&w));
	close(open(w.path, O_CREAT | O_RDWR, 0600));
	ck_assert(writer_retired(&w));	/* another file of its name */
	writer_close(&w, true);
}
END_TEST

START_TEST(only_a_clean_close_says_so_and_an_unused_lane_goes_with_it)
{
	struct writer_conf c = conf();
	uint32_t closed;
	int fd;

	c.lane_bytes = 65536;
	ck_assert_int_eq(writer_open(&w, &c), 0);
	writer_close(&w, true);
	ck_assert_int_ne(access(w.path, F_OK), 0);
	ck_assert_int_eq(writer_open(&w, &c), 0);
	put(1);
	writer_close(&w, true);
	fd = open(w.path, O_RDONLY);
	ck_assert_int_eq(pread(fd, &closed, 4, LANE_PRODUCER_AT +
	    offsetof(struct lane_producer, closed)), 4);
	ck_assert_uint_eq(closed, 1);
	close(fd);
	ck_assert_int_eq(writer_open(&w, &c), 0);
	writer_close(&w, false);
	fd = open(w.path, O_RDONLY);
	ck_assert_int_eq(pread(fd, &closed, 4, LANE_PRODUCER_AT +
	    offsetof(struct lane_producer, closed)), 4);
	ck_assert_uint_eq(closed, 0);
	close(fd);
}
END_TEST

START_TEST(the_lock_ends_with_its_process_though_a_child_lives_on)
{
	int up[2], hold[2], status;
	char path[256] = "";
	pid_t pid;

	ck_assert_int_eq(pipe(up), 0);
	ck_assert_int_eq(pipe(hold), 0);
	pid = fork();
	if (pid == 0) {
		if (open_bytes(65536) < 0)
			_exit(1);
		close(hold[1]);
		if (fork() == 0) {
			/* Lives until the test closes hold. */
			(void)!read(hold[0], path, 1);
			_exit(0);
		}
		(void)!write(up[1], w.path, sizeof(path));
		(void)!read(hold[0], path, 1);
		_exit(0);
	}
	close(hold[0]);
	ck_assert_int_eq(read(up[0], path, sizeof(path)), sizeof(path));
	ck_assert_int_eq(kit_locked(path), 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(kit_locked(path), 0);
	close(hold[1]);
}
END_TEST

START_TEST(a_hundred_producers_at_once_stay_within_the_budget)
{
	const uint64_t one = LANE_CONTROL_BYTES + 65536;
	int go[2], up[2], n = 0, i;
	char r;

	ck_assert_int_eq(mkdir(kit_dir, 0700), 0);
	ck_assert_int_eq(pipe(go), 0);
	ck_assert_int_eq(pipe(up), 0);
	for (i = 0; i < 100; i++) {
		if (fork() > 0)
			continue;
		struct writer_conf c = conf();

		close(go[1]);
		close(up[0]);
		c.lane_bytes = 65536;
		c.ring_max = 200 * one;
		(void)!read(go[0], &r, 1);
		r = (char)(writer_open(&w, &c) == 0);
		if (r)
			put(1);
		(void)!write(up[1], &r, 1);
		_exit(0);
	}
	close(up[1]);
	close(go[1]);
	while (read(up[0], &r, 1) == 1)
		n += r;
	while (wait(NULL) > 0)
		;
	ck_assert_int_eq(n, 100);
	ck_assert_uint_eq(kit_count(kit_dir, ".lane", NULL, 0), 100);
	ck_assert_uint_eq(kit_temporaries(kit_dir), 0);
	ck_assert_uint_eq(ring_used(&kit_sys, kit_dir), 100 * one);
}
END_TEST

START_TEST(ten_thousand_opens_leave_nothing_behind)
{
	unsigned i, before, after;

	ck_assert_int_eq(mkdir(kit_dir, 0700), 0);
	before = kit_count("/proc/self/fd", "", NULL, 0);
	for (i = 0; i < 10000; i++) {
		ck_assert_int_eq(open_bytes(65536), 0);
		writer_close(&w, true);
	}
	after = kit_count("/proc/self/fd", "", NULL, 0);
	ck_assert_uint_eq(before, after);
	ck_assert_uint_eq(kit_count(kit_dir, ".lane", NULL, 0), 0);
	ck_assert_uint_eq(kit_temporaries(kit_dir), 0);
}
END_TEST

START_TEST(ring_ctl_is_made_counted_in_and_not_trusted_from_others)
{
	char path[128];
	struct ring_ctl *ctl;
	struct stat st;

	ck_assert_ptr_null(ring_ctl_map(&kit_sys, kit_dir, 0));
	ck_assert_int_eq(mkdir(kit_dir, 0700), 0);
	ctl = ring_ctl_map(&kit_sys, kit_dir, 0);
	ck_assert_ptr_nonnull(ctl);
	atomic_fetch_add(&ctl->no_lane, 3);
	ring_ctl_unmap(&kit_sys, ctl);
	snprintf(path, sizeof(path), "%s/ring.ctl", kit_dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0666);
	ck_assert_int_eq(st.st_size, RING_CTL_BYTES);
	ctl = ring_ctl_map(&kit_sys, kit_dir, 0);
	ck_assert_uint_eq(atomic_load(&ctl->no_lane), 3);
	ring_ctl_unmap(&kit_sys, ctl);
	ck_assert_int_eq(truncate(path, RING_CTL_BYTES - 1), 0);
	ck_assert_ptr_null(ring_ctl_map(&kit_sys, kit_dir, 0));
	ck_assert_int_eq(truncate(path, RING_CTL_BYTES), 0);
	ctl = ring_ctl_map(&kit_sys, kit_dir, 0);
	ck_assert_ptr_nonnull(ctl);
	ring_ctl_unmap(&kit_sys, ctl);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(path, 4711, 0), 0);
		ck_assert_ptr_null(ring_ctl_map(&kit_sys, kit_dir, 0));
	}
}
END_TEST

START_TEST(an_identity_of_2048_bytes_is_the_largest)
{
	uint8_t identity[LANE_IDENTITY_MAX + 1] = { 0x80 };
	struct writer_conf c = conf();

	c.lane_bytes = 65536;
	c.identity = identity;
	c.identity_len = LANE_IDENTITY_MAX + 1;
	ck_assert_int_eq(writer_open(&w, &c), -EINVAL);
	c.identity_len = LANE_IDENTITY_MAX;
	ck_assert_int_eq(writer_open(&w, &c), 0);
	writer_close(&w, true);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("writer");
	TCase *t = tcase_create("writer");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, kit_ring, kit_clean);
	tcase_set_timeout(t, 60);
	tcase_add_test(t,
	    a_lane_is_0660_locked_and_whole_when_it_has_its_name);
	tcase_add_test(t, a_missing_directory_is_made_0700_and_it_is_said);
	tcase_add_test(t, size_is_a_64th_of_the_tmpfs_within_256k_and_4m);
	tcase_add_test(t, a_wanted_size_is_a_power_of_two_within_64k_and_4m);
	tcase_add_test(t, without_room_it_is_halved_down_to_64k_then_enospc);
	tcase_add_test(t, the_ring_stays_within_its_budget);
	tcase_add_test(t, the_second_half_of_the_ring_is_for_many);
	tcase_add_test(t, the_budget_is_a_quarter_of_the_tmpfs_up_to_64m);
	tcase_add_test(t, beyond_the_ring_the_lane_is_a_file_in_state_dir);
	tcase_add_test(t, a_file_size_limit_is_efbig_and_no_signal);
	tcase_add_test(t, a_symlink_or_file_in_place_of_the_ring_is_refused);
	tcase_add_test(t, a_squatted_directory_is_refused);
	tcase_add_test(t, others_may_write_only_with_the_sticky_bit);
	tcase_add_test(t, a_full_tmpfs_is_enospc_at_open_and_never_sigbus);
	tcase_add_test(t, room_ends_exactly_at_data_bytes);
	tcase_add_test(t, a_record_does_not_wrap_for_its_writer);
	tcase_add_test(t, a_tail_that_lies_gives_no_room);
	tcase_add_test(t, marks_are_the_first_boundary_of_each_stripe);
	tcase_add_test(t, it_knocks_once_per_value_of_knock_at);
	tcase_add_test(t, a_full_fifo_neither_blocks_nor_kills);
	tcase_add_test(t,
	    no_byte_goes_into_a_file_that_took_the_fifos_descriptor);
	tcase_add_test(t, retired_is_the_agents_word_or_a_file_that_is_gone);
	tcase_add_test(t,
	    only_a_clean_close_says_so_and_an_unused_lane_goes_with_it);
	tcase_add_test(t,
	    the_lock_ends_with_its_process_though_a_child_lives_on);
	tcase_add_test(t,
	    a_hundred_producers_at_once_stay_within_the_budget);
	tcase_add_test(t, ten_thousand_opens_leave_nothing_behind);
	tcase_add_test(t,
	    ring_ctl_is_made_counted_in_and_not_trusted_from_others);
	tcase_add_test(t, an_identity_of_2048_bytes_is_the_largest);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
