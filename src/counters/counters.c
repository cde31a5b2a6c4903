/* SPDX-License-Identifier: ISC */
/* counters.c - the mapped page of counters; the layout is in counters.h */

#include "counters/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "banned.h"

#define MAGIC		"EMPLCTR"
#define VERSION		1
#define COUNT_MAX	4096		/* of a file of another version */

const struct ctr_info ctr_info[CTR_COUNT] = {
#define COUNTER(part, name, kind, brief, text) \
	[CTR_##name] = { #part, #name, kind, brief, text },
#include "counters/counters.def"
#undef COUNTER
};

static size_t
names_bytes(void)
{
	size_t i, n = 0;

	for (i = 0; i < CTR_COUNT; i++)
		n += strlen(ctr_info[i].name) + 1;
	return n;
}

static size_t
file_bytes(void)
{
	return sizeof(struct counters_head) + 8 * CTR_COUNT + names_bytes();
}

static uint64_t
wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
lay_out(struct counters *c, void *mem)
{
	char *name;
	size_t i;

	c->head = mem;
	c->word = (uint64_t *)(void *)((char *)mem + sizeof(*c->head));
	name = (char *)(c->word + CTR_COUNT);
	for (i = 0; i < CTR_COUNT; i++) {
		size_t n = strlen(ctr_info[i].name) + 1;

		memcpy(name, ctr_info[i].name, n);
		name += n;
	}
	c->head->version = VERSION;
	c->head->header_bytes = sizeof(*c->head);
	c->head->count = CTR_COUNT;
	c->head->pid = (uint32_t)getpid();
	c->head->names_bytes = names_bytes();
	c->head->started_ns = wall_ns();
	memcpy(c->head->magic, MAGIC, sizeof(c->head->magic));
}

int
counters_init(struct counters *c)
{
	*c = (struct counters){ 0 };
	c->own = calloc(1, file_bytes());
	if (c->own == NULL)
		return -ENOMEM;
	lay_out(c, c->own);
	return 0;
}

size_t
counters_bytes(void)
{
	return file_bytes();
}

void
counters_init_in(struct counters *c, void *mem)
{
	*c = (struct counters){ 0 };
	lay_out(c, mem);
}

void
counters_fini(struct counters *c)
{
	if (c->mapped > 0) {
		munmap(c->head, c->mapped);
		close(c->fd);
	}
	free(c->own);
	*c = (struct counters){ 0 };
}

static int
id_of(const char *name, size_t len)
{
	int i;

	for (i = 0; i < CTR_COUNT; i++)
		if (strlen(ctr_info[i].name) == len &&
		    memcmp(ctr_info[i].name, name, len) == 0)
			return i;
	return -1;
}

/* Adds, by name, what a file image counts. -EINVAL: not one of ours. */
static int
take_over(struct counters *c, const char *mem, size_t size, bool gauges)
{
	const struct counters_head *h = (const void *)mem;
	const char *name, *end, *nul;
	uint64_t words, i, v;
	int id;

	if (size < sizeof(*h) ||
	    memcmp(h->magic, MAGIC, sizeof(h->magic)) != 0 ||
	    h->header_bytes < sizeof(*h) || h->count > COUNT_MAX)
		return -EINVAL;
	words = (uint64_t)h->header_bytes + 8u * (uint64_t)h->count;
	if (words > size || h->names_bytes > size - words)
		return -EINVAL;
	name = mem + words;
	end = name + h->names_bytes;
	for (i = 0; i < h->count; i++, name = nul + 1) {
		nul = memchr(name, '\0', (size_t)(end - name));
		if (nul == NULL)
			return -EINVAL;
		id = id_of(name, (size_t)(nul - name));
		if (id < 0 || (!gauges && ctr_info[id].kind == CTR_GAUGE))
			continue;
		memcpy(&v, mem + h->header_bytes + 8 * i, sizeof(v));
		c->word[id] = v;
	}
	return 0;
}

/*
 * An open file's lock ends with its process however that ends, is not
 * inherited by anything that keeps running, and is seen from every container.
 */
static int
take_lock(int fd)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &fl) == 0)
		return 0;
	/* A file system without locks is no reason not to count. */
	return errno == EAGAIN || errno == EACCES ? -EBUSY : 0;
}

static int
is_held(int fd)
{
	struct flock fl = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
		return -1;
	return fl.l_type != F_UNLCK;
}

static int
read_file(const char *path, char **ret_mem, size_t *ret_size, int *ret_held)
{
	struct stat st;
	char *mem = NULL;
	ssize_t n;
	int fd, r = 0;

	/* O_NONBLOCK: a FIFO of this name would be waited for. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size > (1 << 20))
		r = -EINVAL;
	else if ((mem = calloc(1, (size_t)st.st_size + 1)) == NULL)
		r = -ENOMEM;
	if (r < 0)
		goto out;
	n = read(fd, mem, (size_t)st.st_size);
	if (n < 0) {
		r = -errno;
		goto out;
	}
	*ret_held = is_held(fd);
	*ret_size = (size_t)n;
	*ret_mem = mem;
	mem = NULL;
out:
	free(mem);
	close(fd);
	return r;
}

/* Space now, or a full disk is a SIGBUS at the first count. */
static int
map_file(int fd, void **ret_mem)
{
	size_t bytes = file_bytes();
	void *mem;
	int r;

	if (ftruncate(fd, (off_t)bytes) < 0)
		return -errno;
	r = -posix_fallocate(fd, 0, (off_t)bytes);
	if (r < 0)
		return r;
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return -errno;
	memset(mem, 0, bytes);
	*ret_mem = mem;
	return 0;
}

int
counters_map(struct counters *c, const char *path, const char *role)
{
	size_t old_size = 0;
	char *old = NULL;
	void *mem = NULL;
	int fd, r, held;

	must(c->own != NULL);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK, 0644);
	if (fd < 0)
		return -errno;
	r = take_lock(fd);
	if (r == 0)
		r = read_file(path, &old, &old_size, &held);
	if (r == 0 || r == -EINVAL)
		r = map_file(fd, &mem);
	if (r < 0)
		goto out;
	lay_out(c, mem);
	c->mapped = file_bytes();
	c->fd = fd;
	fd = -1;
	/* What a damaged file gave before the damage does not count either. */
	if (old != NULL && take_over(c, old, old_size, false) < 0)
		memset(c->word, 0, 8 * CTR_COUNT);
	strncpy(c->head->role, role, sizeof(c->head->role) - 1);
	free(c->own);
	c->own = NULL;
out:
	if (fd >= 0)
		close(fd);
	free(old);
	return r;
}

int
counters_peek(struct counters *c, const char *path)
{
	const struct counters_head *h;
	size_t size;
	char *mem;
	int r, held;

	r = read_file(path, &mem, &size, &held);
	if (r < 0)
		return r;
	r = counters_init(c);
	if (r < 0)
		goto out;
	c->held = held;
	r = take_over(c, mem, size, true);
	if (r == 0) {
		h = (const void *)mem;
		c->head->pid = h->pid;
		c->head->started_ns = h->started_ns;
		c->head->seen_ns = h->seen_ns;
		memcpy(c->head->role, h->role, sizeof(h->role) - 1);
		memcpy(c->head->io, h->io, sizeof(h->io) - 1);
		memcpy(c->head->state, h->state, sizeof(h->state) - 1);
	} else {
		counters_fini(c);
	}
out:
	free(mem);
	return r;
}
