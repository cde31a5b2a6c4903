/* SPDX-License-Identifier: ISC */
/* fates.c - ranges and what became of them; the contract is in fates.h */

#include "counters/fates.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "banned.h"

#define MAGIC		"EMPLFAT"
#define VERSION		1
#define ENTRIES_MAX	65536		/* of a file that is read */
#define FILE_BYTES	(sizeof(struct fates_head) + \
    FATES_MAX * sizeof(struct fate_entry))
#define BUCKETS		1024
#define BOOT_ID		"/proc/sys/kernel/random/boot_id"

/* Numbers of entries, from 1; 0: none. */
struct fates {
	struct fates_head *head;
	struct fate_entry *entry;	/* number i at entry[i - 1] */
	bool		 mapped;
	uint16_t	 bucket[BUCKETS];
	uint16_t	 next[FATES_MAX + 1];	/* of a bucket, or of the free */
	/* All in use, the one of the stream noted last first; a ring by 0. */
	uint16_t	 later[FATES_MAX + 1], sooner[FATES_MAX + 1];
	uint16_t	 free;
};

static struct fate_entry *
at(const struct fates *f, uint16_t i)
{
	must(i > 0 && i <= FATES_MAX);
	return &f->entry[i - 1];
}

/* Ids are random bytes. */
static uint16_t *
bucket_of(struct fates *f, const uint8_t *stream)
{
	uint16_t h;

	memcpy(&h, stream, sizeof(h));
	return &f->bucket[h % BUCKETS];
}

static bool
is_of(const struct fate_entry *e, const uint8_t *stream)
{
	return memcmp(e->stream, stream, FATES_STREAM) == 0;
}

static void
order_take(struct fates *f, uint16_t i)
{
	f->later[f->sooner[i]] = f->later[i];
	f->sooner[f->later[i]] = f->sooner[i];
}

static void
order_first(struct fates *f, uint16_t i)
{
	f->later[i] = f->later[0];
	f->sooner[i] = 0;
	f->sooner[f->later[0]] = i;
	f->later[0] = i;
}

/* Takes entry *ip out of its chain; a reader sees it go at once. */
static void
entry_free(struct fates *f, uint16_t *ip)
{
	uint16_t i = *ip;

	/* release: what replaces it was stored before */
	__atomic_store_n(&at(f, i)->fate, FATE_NONE, __ATOMIC_RELEASE);
	order_take(f, i);
	*ip = f->next[i];
	f->next[i] = f->free;
	f->free = i;
}

/* The stream not noted for longest goes. */
static void
make_room(struct fates *f)
{
	uint8_t id[FATES_STREAM];
	uint16_t *ip;

	if (f->free > 0)
		return;
	memcpy(id, at(f, f->sooner[0])->stream, sizeof(id));
	ip = bucket_of(f, id);
	while (*ip > 0)
		if (is_of(at(f, *ip), id))
			entry_free(f, ip);
		else
			ip = &f->next[*ip];
	f->head->evicted++;
}

/* ---- noting ---- */

static bool
touches(const struct fate_entry *e, const struct fate_entry *new)
{
	return e->fate == new->fate && e->from <= new->to &&
	    new->from <= e->to;
}

static void
widen(struct fate_entry *e, const struct fate_entry *by)
{
	if (by->from < e->from)
		e->from = by->from;
	if (by->to > e->to)
		e->to = by->to;
}

/*
 * Joins the first entry that new touches with it, and the others with that;
 * all of the stream come first in the order.  False: it touches none.
 */
static bool
join(struct fates *f, const struct fate_entry *new)
{
	uint16_t *ip = bucket_of(f, new->stream);
	struct fate_entry *e, *kept = NULL;

	while (*ip > 0) {
		e = at(f, *ip);
		if (is_of(e, new->stream) && touches(e, new) && kept != NULL) {
			widen(kept, e);
			entry_free(f, ip);
			continue;
		}
		if (is_of(e, new->stream)) {
			order_take(f, *ip);
			order_first(f, *ip);
		}
		if (is_of(e, new->stream) && touches(e, new)) {
			widen(e, new);
			e->noted_ns = new->noted_ns;
			kept = e;
		}
		ip = &f->next[*ip];
	}
	return kept != NULL;
}

static void
add(struct fates *f, const struct fate_entry *new)
{
	uint16_t *first = bucket_of(f, new->stream), i;
	struct fate_entry *e;

	make_room(f);
	i = f->free;
	f->free = f->next[i];
	f->next[i] = *first;
	*first = i;
	order_first(f, i);
	e = at(f, i);
	memcpy(e->stream, new->stream, sizeof(e->stream));
	e->from = new->from;
	e->to = new->to;
	e->noted_ns = new->noted_ns;
	/* release: a reader that sees a fate sees whose */
	__atomic_store_n(&e->fate, new->fate, __ATOMIC_RELEASE);
}

void
fates_note(struct fates *f, const uint8_t stream[FATES_STREAM],
    uint64_t from, uint64_t to, enum fate fate, uint64_t wall_ns)
{
	struct fate_entry new = { .from = from, .to = to,
	    .noted_ns = wall_ns, .fate = fate };

	must(fate > FATE_NONE && fate < FATE_COUNT);
	if (f == NULL || from >= to)
		return;
	memcpy(new.stream, stream, sizeof(new.stream));
	if (!join(f, &new))
		add(f, &new);
}

/* ---- opening ---- */

static bool
is_whole(const struct fate_entry *e)
{
	return e->fate > FATE_NONE && e->fate < FATE_COUNT && e->from < e->to;
}

/* Lists what is there, and frees the rest, the lowest number first. */
static void
list_all(struct fates *f)
{
	uint16_t i, *first;

	for (i = FATES_MAX; i > 0; i--) {
		first = &f->free;
		if (is_whole(at(f, i))) {
			first = bucket_of(f, at(f, i)->stream);
			order_first(f, i);
		} else {
			at(f, i)->fate = FATE_NONE;
		}
		f->next[i] = *first;
		*first = i;
	}
}

static struct fates *
alloc(void *mem)
{
	struct fates *f = mem == NULL ? NULL : calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->head = mem;
	f->entry = (struct fate_entry *)(void *)((char *)mem +
	    sizeof(*f->head));
	return f;
}

int
fates_new(struct fates **ret_f)
{
	void *mem = calloc(1, FILE_BYTES);
	struct fates *f = alloc(mem);

	if (f == NULL) {
		free(mem);
		return -ENOMEM;
	}
	list_all(f);
	*ret_f = f;
	return 0;
}

/* Which run of the kernel this is; "" where it does not tell. */
static void
read_boot(char *boot, size_t cap)
{
	int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd >= 0) {
		n = read(fd, boot, cap - 1);
		close(fd);
	}
	boot[n > 0 ? n : 0] = '\0';
	boot[strcspn(boot, "\n")] = '\0';
}

static bool
is_ours(const struct fates_head *h)
{
	return memcmp(h->magic, MAGIC, sizeof(h->magic)) == 0 &&
	    h->version == VERSION && h->entries == FATES_MAX;
}

/* What another boot left open may lack what came last. */
static void
take_over(struct fates *f)
{
	char boot[sizeof(f->head->boot)];

	read_boot(boot, sizeof(boot));
	if (!is_ours(f->head) || (f->head->clean != 1 &&
	    strncmp(f->head->boot, boot, sizeof(boot)) != 0))
		memset(f->head, 0, FILE_BYTES);
	f->head->clean = 0;
	memcpy(f->head->boot, boot, sizeof(boot));
	list_all(f);
}

/* Space now, or a full disk is a SIGBUS at some note. */
static int
map_file(int fd, void **ret_mem)
{
	void *mem;
	int r;

	if (ftruncate(fd, (off_t)FILE_BYTES) < 0)
		return -errno;
	r = -posix_fallocate(fd, 0, (off_t)FILE_BYTES);
	if (r < 0)
		return r;
	mem = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	    0);
	if (mem == MAP_FAILED)
		return -errno;
	*ret_mem = mem;
	return 0;
}

int
fates_map(struct fates **ret_f, const char *path)
{
	struct fates *f = NULL;
	void *mem = NULL;
	int fd, r;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK, 0644);
	r = fd < 0 ? -errno : map_file(fd, &mem);
	if (r == 0) {
		f = alloc(mem);
		r = f == NULL ? -ENOMEM : 0;
	}
	if (fd >= 0)
		close(fd);
	if (r == 0) {
		f->mapped = true;
		take_over(f);
		*ret_f = f;
	} else {
		if (mem != NULL)
			munmap(mem, FILE_BYTES);
		(void)unlink(path);
	}
	return r;
}

void
fates_free(struct fates **fp)
{
	struct fates *f = *fp;

	if (f == NULL)
		return;
	if (f->mapped) {
		if (msync(f->head, FILE_BYTES, MS_SYNC) == 0)
			f->head->clean = 1;
		munmap(f->head, FILE_BYTES);
	} else {
		free(f->head);
	}
	free(f);
	*fp = NULL;
}

bool
fates_is_fresh(const struct fates *f)
{
	return f != NULL && f->head->magic[0] == '\0';
}

void
fates_begin(struct fates *f)
{
	must(fates_is_fresh(f));
	f->head->version = VERSION;
	f->head->entries = FATES_MAX;
	memcpy(f->head->magic, MAGIC, sizeof(f->head->magic));
}

/* ---- an observer ---- */

/* Whole entries of a file, and how many. */
static int
read_all(int fd, const struct fates_head *h, struct fate_entry **ret_e,
    size_t *ret_n)
{
	size_t bytes = h->entries * sizeof(**ret_e);
	struct fate_entry *e = malloc(bytes);
	ssize_t n;

	if (e == NULL)
		return -ENOMEM;
	n = pread(fd, e, bytes, sizeof(*h));
	if (n < 0) {
		n = -errno;
		free(e);
		return (int)n;
	}
	*ret_n = (size_t)n / sizeof(*e);
	*ret_e = e;
	return 0;
}

int
fates_read(const char *path, void (*see)(void *arg,
    const struct fate_entry *e), void *arg, uint64_t *ret_evicted)
{
	struct fate_entry *e = NULL;
	struct fates_head h;
	size_t n = 0, i;
	int fd, r = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) ||
	    memcmp(h.magic, MAGIC, sizeof(h.magic)) != 0 ||
	    h.version != VERSION || h.entries == 0 || h.entries > ENTRIES_MAX)
		r = -EINVAL;
	if (r == 0)
		r = read_all(fd, &h, &e, &n);
	for (i = 0; i < n; i++)
		if (is_whole(&e[i]))
			see(arg, &e[i]);
	if (r == 0)
		*ret_evicted = h.evicted;
	free(e);
	close(fd);
	return r;
}
