/* SPDX-License-Identifier: ISC */
/* tls_copy.c - what is sent is copied once, also from lanes; see tls_in.h */

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "loop/tls_in.h"
#include "banned.h"

#define PIECES		64	/* of a send, at once */
#define PAGE		4096u

static unsigned
clip(const struct op *op, struct iovec piece[PIECES], size_t cap)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; i < op->len && n < PIECES && cap > 0; i++) {
		if (op->iov[i].iov_len == 0)
			continue;
		piece[n] = op->iov[i];
		if (piece[n].iov_len > cap)
			piece[n].iov_len = cap;
		cap -= piece[n++].iov_len;
	}
	return n;
}

static int64_t
copy_pieces(struct tls *t, const struct iovec *piece, unsigned n)
{
	struct iovec to = { t->plain, sizeof(t->plain) };
	ssize_t got;
	size_t at = 0;
	unsigned i;

	/* By the kernel, which says EFAULT where we would get a SIGBUS. */
	got = process_vm_readv(getpid(), &to, 1, piece, n, 0);
	if (got >= 0 || errno == EFAULT)
		return got >= 0 ? got : -EFAULT;
	/* A sandbox forbids it: then under the guard of the lanes. */
	for (i = 0; i < n; i++) {
		memcpy(t->plain + at, piece[i].iov_base, piece[i].iov_len);
		at += piece[i].iov_len;
	}
	return (int64_t)at;
}

int64_t
tls_copy(struct tls *t, const struct op *op)
{
	struct iovec piece[PIECES];
	unsigned n = clip(op, piece, TLS_PLAIN_BYTES);
	size_t in_page;
	int64_t r;

	if (n == 0)
		return 0;
	r = copy_pieces(t, piece, n);
	if (r > 0)
		return r;
	/* What lies before the vanished page, as real_send_rest() has it. */
	in_page = PAGE - (uintptr_t)piece[0].iov_base % PAGE;
	if (piece[0].iov_len > in_page)
		piece[0].iov_len = in_page;
	r = copy_pieces(t, piece, 1);
	return r == 0 ? -EFAULT : r;
}
