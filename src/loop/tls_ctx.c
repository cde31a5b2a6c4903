/* SPDX-License-Identifier: ISC */
/* tls_ctx.c - from the bytes of the files to an SSL_CTX; see tls_in.h */

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <time.h>

#include "loop/tls_in.h"
#include "banned.h"

const char *const tls_file_names[TLS_FILES] = {
	[TLS_CERT] = "certificate", [TLS_KEY] = "key", [TLS_CA] = "ca",
};

static void
say(struct tls *t, int file, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	(void)snprintf(t->why, sizeof(t->why), "%s '%s': %s%s%s%s",
	    tls_file_names[file], t->file[file].path, what,
	    reason == NULL ? "" : " (", reason == NULL ? "" : reason,
	    reason == NULL ? "" : ")");
	ERR_clear_error();
}

static BIO *
open_bytes(struct tls *t, int file)
{
	ERR_clear_error();
	return BIO_new_mem_buf(t->file[file].bytes, (int)t->file[file].len);
}

static uint64_t
end_of(const X509 *x)
{
	struct tm tm;
	time_t at;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1)
		return 0;
	at = timegm(&tm);
	return at < 0 ? 0 : (uint64_t)at;
}

static int
use_chain(struct tls *t, SSL_CTX *ctx, uint64_t *ret_expires)
{
	BIO *b = open_bytes(t, TLS_CERT);
	X509 *x = NULL;
	int r = -ENOMEM;

	if (b == NULL)
		goto out;
	r = -EINVAL;
	x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	if (x == NULL || SSL_CTX_use_certificate(ctx, x) != 1)
		goto out;
	*ret_expires = end_of(x);
	X509_free(x);
	while ((x = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL)
		if (SSL_CTX_add0_chain_cert(ctx, x) != 1)
			goto out;
	/* Else it is cut off: somebody writes it at this moment. */
	if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		r = 0;
out:
	if (r < 0) {
		say(t, TLS_CERT, "not a certificate in PEM");
		X509_free(x);
	}
	BIO_free(b);
	ERR_clear_error();
	return r;
}

/* A key with a passphrase is refused: a daemon has nobody to ask. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

static int
use_key(struct tls *t, SSL_CTX *ctx)
{
	BIO *b = open_bytes(t, TLS_KEY);
	EVP_PKEY *key = NULL;
	int r = -ENOMEM;

	if (b == NULL)
		goto out;
	r = -EINVAL;
	key = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);
	if (key == NULL) {
		say(t, TLS_KEY, "not a private key in PEM without passphrase");
		goto out;
	}
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1) {
		ERR_clear_error();
		say(t, TLS_KEY, "does not belong to the certificate");
		goto out;
	}
	r = 0;
out:
	EVP_PKEY_free(key);
	BIO_free(b);
	return r;
}

static int
use_ca(struct tls *t, SSL_CTX *ctx)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *b = open_bytes(t, TLS_CA);
	unsigned n = 0;
	X509 *x;
	int r = b == NULL ? -ENOMEM : 0;

	while (r == 0 && (x = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL) {
		r = X509_STORE_add_cert(store, x) == 1 ? 0 : -EINVAL;
		if (r == 0 && t->server &&
		    SSL_CTX_add_client_CA(ctx, x) != 1)
			r = -ENOMEM;
		X509_free(x);
		n++;
	}
	if (r == 0 && n == 0)
		r = -EINVAL;
	if (r < 0)
		say(t, TLS_CA, "no certificate in PEM in it");
	ERR_clear_error();
	BIO_free(b);
	return r;
}

static void
set_rules(struct tls *t, SSL_CTX *ctx)
{
	bool ask = !t->server || t->file[TLS_CA].path != NULL;

	SSL_CTX_set_verify(ctx, ask ? SSL_VERIFY_PEER |
	    SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	/* Connections are long: nothing to gain, and nothing to keep. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
}

static int
fill_ctx(struct tls *t, SSL_CTX *ctx, uint64_t *ret_expires)
{
	int r = 0;

	if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
		return -ENOSYS;
	set_rules(t, ctx);
	if (t->file[TLS_CERT].path != NULL)
		r = use_chain(t, ctx, ret_expires);
	if (r == 0 && t->file[TLS_KEY].path != NULL)
		r = use_key(t, ctx);
	if (r == 0 && t->file[TLS_CA].path != NULL)
		r = use_ca(t, ctx);
	else if (r == 0 && !t->server &&
	    SSL_CTX_set_default_verify_paths(ctx) != 1)
		r = -EINVAL;
	return r;
}

int
tls_make_ctx(struct tls *t)
{
	uint64_t expires = 0;
	SSL_CTX *ctx;
	int r;

	ctx = SSL_CTX_new(t->server ? TLS_server_method() :
	    TLS_client_method());
	if (ctx == NULL) {
		(void)snprintf(t->why, sizeof(t->why), "no memory for TLS");
		return -ENOMEM;
	}
	r = fill_ctx(t, ctx, &expires);
	if (r < 0) {
		SSL_CTX_free(ctx);
		return r;
	}
	SSL_CTX_free(t->ctx);	/* connections have it as long as they need */
	t->ctx = ctx;
	t->expires = expires;
	return 0;
}
