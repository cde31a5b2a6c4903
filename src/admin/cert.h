/* SPDX-License-Identifier: ISC */
/*
 * cert.h - a private certificate authority, in memory
 *
 * What:     makes a CA, and certificates it signs for relays and agents, as
 *           PEM texts.  P-256 keys, SHA-256, serial numbers of 16 random
 *           bytes; valid from five minutes ago, for clocks that differ.
 * Used by:  emplogd ca (src/admin/ca.c), tests of TLS.
 * Never:    touches a file.
 */
#ifndef EMPLOG_CERT_H
#define EMPLOG_CERT_H

#include <stddef.h>

struct cert_pem {			/* NUL-ended; free by cert_free() */
	char	*cert;
	char	*key;			/* PKCS#8, no passphrase */
};

/* 0, -ENOMEM, -EINVAL (a name no certificate can hold). */
int	 cert_make_ca(const char *name, unsigned days,
	    struct cert_pem *ret);
/*
 * For a peer that is called by any of names (hosts or addresses); good for
 * the server's and the client's side.  Also -EBADMSG: ca is not a CA's
 * certificate and its key.
 */
int	 cert_issue(const struct cert_pem *ca, const char *const *names,
	    size_t n, unsigned days, struct cert_pem *ret);
/* The key is overwritten first. */
void	 cert_free(struct cert_pem *c);

#endif
