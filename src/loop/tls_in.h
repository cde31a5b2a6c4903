/* SPDX-License-Identifier: ISC */
/*
 * tls_in.h - what the parts of TLS share: tls.c one connection
 * (tls_copy.c what it sends), tls_files.c one side's identity (tls_ctx.c what
 * its files say)
 */
#ifndef EMPLOG_TLS_IN_H
#define EMPLOG_TLS_IN_H

#include <openssl/ssl.h>

#include "base/env.h"
#include "loop/backend.h"
#include "loop/tls.h"

#define TLS_MAGIC	0x544c5321U
#define TLS_FILES	3
#define TLS_FILE_MAX	(256u << 10)	/* a PEM file, bytes */
#define TLS_PLAIN_BYTES	(32u << 10)	/* taken of a send at once */

struct tls_conn;

struct tls_file {
	char		*path;		/* NULL: none */
	uint8_t		*bytes;		/* as read last */
	size_t		 len;
};

struct tls {
	uint32_t	 magic;
	struct env	*env;
	bool		 server;
	struct tls_file	 file[TLS_FILES];	/* TLS_CERT, TLS_KEY, TLS_CA */
	SSL_CTX		*ctx;		/* the last good one, or NULL */
	uint64_t	 digest;	/* of the files it was made of */
	uint64_t	 bad_digest;	/* of those refused last: told once */
	uint64_t	 expires;
	uint64_t	 warned;	/* expires that was told about */
	uint64_t	 warned_at;	/* wall clock, s */

	/* one look at the files at a time */
	struct op	 op;
	unsigned	 at;		/* file */
	unsigned	 step;
	int		 fd;
	int		 res;		/* of this look so far */
	uint8_t		*room;		/* TLS_FILE_MAX, while looking */
	size_t		 got;
	bool		 looking;
	uint64_t	 looked_ns;	/* 0: never */
	struct tls_conn	*waiting;	/* for the end of it */

	struct op	 timer;
	bool		 closing;
	char		 why[TLS_WHY];
	void		(*opened)(void *arg, int res, const char *why);
	void		*opened_arg;
	void		(*closed)(void *arg);
	void		*closed_arg;
	void		(*news)(void *arg, enum tls_news what, const char *text);
	void		*news_arg;
	unsigned	 conns;
	uint8_t		 plain[TLS_PLAIN_BYTES];
};
enum { TLS_CERT, TLS_KEY, TLS_CA };

extern const char *const tls_file_names[TLS_FILES];

/*
 * A new t->ctx of the bytes of its files.  -EINVAL, -ENOMEM, -ENOSYS: as
 * before, and t->why has the words.
 */
int	 tls_make_ctx(struct tls *t);
/*
 * Copies the front of what op sends into t->plain.  How much; -EFAULT: not
 * even the first byte is there.
 */
int64_t	 tls_copy(struct tls *t, const struct op *op);

/* Looks at the files unless that was done just now, then conn_begin(). */
void	 tls_fresh(struct tls *t, struct tls_conn *c);
/* c waits no more. */
void	 tls_forget(struct tls *t, struct tls_conn *c);

struct tls_conn {
	struct fd_layer	 layer;		/* first */
	uint32_t	 magic;		/* TLS_MAGIC */
	struct loop	*l;
	struct tls	*t;
	int		 fd;
	SSL		*ssl;		/* NULL: not begun */
	BIO		*rbio, *wbio;
	char		*name, *sni;	/* own copies, or NULL */
	struct tls_conn	*next;		/* waiting */
	bool		 waits;

	/* callers' ops that are ours now */
	struct op	*shake, *recv, *send, *close;
	size_t		 taken;		/* of send, encrypted */

	struct op	 in, out, timer;
	struct iovec	 out_iov;
	size_t		 out_at, out_len;
	bool		 shaken, eof, over;	/* over: no TLS any more */
	int		 err;		/* why, -errno */
	char		 why[TLS_WHY];
	uint8_t		*inbuf, *outbuf;
};
#define TLS_IN_BYTES	(32u << 10)
#define TLS_OUT_BYTES	(36u << 10)

/* The files were looked at: shakes hands with what there is. */
void	 conn_begin(struct tls_conn *c);

#endif
