/* SPDX-License-Identifier: ISC */
/* key.c - the four messages of Forward's handshake; see key.h */

#include "hop/key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "forward/mp.h"
#include "banned.h"

static const char wrong_key[] = "shared_key mismatch";
static const char wrong_user[] = "username/password mismatch";

/* ---- digests ---- */

struct digest { char hex[KEY_HEX]; };

static int
digest(const struct bytes *piece, unsigned n, struct digest *ret)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t raw[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned i, len = 0;
	int r = -ENOMEM;

	if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha512(), NULL) != 1)
		goto out;
	for (i = 0; i < n; i++)
		if (piece[i].n > 0 &&
		    EVP_DigestUpdate(ctx, piece[i].p, piece[i].n) != 1)
			goto out;
	if (EVP_DigestFinal_ex(ctx, raw, &len) != 1)
		goto out;
	must(2 * len == KEY_HEX);
	for (i = 0; i < len; i++) {
		ret->hex[2 * i] = hex[raw[i] >> 4];
		ret->hex[2 * i + 1] = hex[raw[i] & 15];
	}
	r = 0;
out:
	EVP_MD_CTX_free(ctx);
	OPENSSL_cleanse(raw, sizeof(raw));
	return r;
}

static int
digest_key(const struct hop_key *k, const struct key_helo *h,
    struct bytes salt, struct bytes host, struct digest *ret)
{
	struct bytes piece[] = { salt, host,
	    bytes_of(h->nonce, h->nonce_len), bytes_str(k->shared) };

	return digest(piece, 4, ret);
}

static int
digest_user(const struct hop_key *k, const struct key_helo *h,
    struct digest *ret)
{
	struct bytes piece[] = { bytes_of(h->auth, h->auth_len),
	    bytes_str(k->user), bytes_str(k->password) };

	return digest(piece, 3, ret);
}

/* However much is right, it takes as long. */
static bool
same(const struct digest *want, struct bytes have)
{
	return have.n == KEY_HEX &&
	    CRYPTO_memcmp(want->hex, have.p, KEY_HEX) == 0;
}

static struct bytes
hex_of(const struct digest *d)
{
	return bytes_of((const uint8_t *)d->hex, KEY_HEX);
}

/* ---- reading: a whole array whose first item is a word ---- */

static int
begin(struct bytes in, const char *word, uint32_t items, struct mp *ret_m,
    size_t *ret_used)
{
	struct mp m = mp_of(in), all = m;
	struct bytes have;
	uint32_t n;
	int r;

	r = mp_array(&m, &n);
	if (r == 0 && n != items)
		r = -EBADMSG;
	if (r == 0)
		r = mp_str(&m, &have);
	if (r == 0 && !bytes_eq(have, bytes_str(word)))
		r = -EBADMSG;
	if (r == 0)
		r = mp_skip(&all);
	if (r < 0)
		return r == -EAGAIN ? r : -EBADMSG;
	*ret_m = m;
	*ret_used = (size_t)(all.p - in.p);
	return 0;
}

static int
copy_nonce(struct mp m, const char *key, uint8_t *to, size_t *ret_n)
{
	struct mp at;
	struct bytes b;

	*ret_n = 0;
	if (mp_find(m, key, &at) < 0)
		return 0;
	if (mp_str(&at, &b) < 0 || b.n > KEY_NONCE_MAX)
		return -EBADMSG;
	if (b.n > 0)
		memcpy(to, b.p, b.n);
	*ret_n = b.n;
	return 0;
}

/* ---- the server ---- */

size_t
key_write_helo(const struct hop_key *k, struct key_helo *h,
    uint8_t out[KEY_SAY_MAX])
{
	struct mpw w = { out, out + KEY_SAY_MAX, false };

	h->nonce_len = KEY_NONCE;
	h->auth_len = *k->user != '\0' ? KEY_NONCE : 0;
	mpw_array(&w, 2);
	mpw_str(&w, BYTES("HELO"));
	mpw_map(&w, 3);
	mpw_str(&w, BYTES("nonce"));
	mpw_bin(&w, bytes_of(h->nonce, h->nonce_len));
	mpw_str(&w, BYTES("auth"));
	if (h->auth_len > 0)
		mpw_bin(&w, bytes_of(h->auth, h->auth_len));
	else
		mpw_str(&w, BYTES(""));
	mpw_str(&w, BYTES("keepalive"));
	mpw_bool(&w, true);
	must(!w.full);
	return (size_t)(w.p - out);
}

static int
judge(const struct hop_key *k, const struct key_helo *h,
    const struct bytes item[5], const char **ret_why)
{
	struct digest of_key, of_user;
	bool key_ok, user_ok;

	if (digest_key(k, h, item[1], item[0], &of_key) < 0 ||
	    digest_user(k, h, &of_user) < 0)
		return -ENOMEM;
	key_ok = same(&of_key, item[2]);
	user_ok = *k->user == '\0' ||
	    (same(&of_user, item[4]) && bytes_eq(item[3], bytes_str(k->user)));
	if (!key_ok)
		*ret_why = wrong_key;
	else if (!user_ok)
		*ret_why = wrong_user;
	return key_ok && user_ok ? 0 : -EACCES;
}

int
key_read_ping(const struct hop_key *k, const struct key_helo *h,
    struct bytes in, struct key_ping *ret_ping, size_t *ret_used,
    const char **ret_why)
{
	struct bytes item[5];		/* host, salt, digest, user, digest */
	struct mp m;
	unsigned i;
	int r;

	r = begin(in, "PING", 6, &m, ret_used);
	for (i = 0; i < 5 && r == 0; i++)
		r = mp_str(&m, &item[i]) < 0 ? -EBADMSG : 0;
	if (r == 0 && item[1].n > KEY_NONCE_MAX)
		r = -EBADMSG;
	if (r < 0)
		return r;
	ret_ping->salt_len = item[1].n;
	if (item[1].n > 0)
		memcpy(ret_ping->salt, item[1].p, item[1].n);
	return judge(k, h, item, ret_why);
}

size_t
key_write_pong(const struct hop_key *k, const struct key_helo *h,
    const struct key_ping *p, const char *why, uint8_t out[KEY_SAY_MAX])
{
	struct mpw w = { out, out + KEY_SAY_MAX, false };
	struct digest d;

	must(strlen(k->host) <= KEY_HOST_MAX);
	if (why == NULL && digest_key(k, h, bytes_of(p->salt, p->salt_len),
	    bytes_str(k->host), &d) < 0)
		return 0;
	mpw_array(&w, 5);
	mpw_str(&w, BYTES("PONG"));
	mpw_bool(&w, why == NULL);
	mpw_str(&w, bytes_str(why == NULL ? "" : why));
	mpw_str(&w, bytes_str(why == NULL ? k->host : ""));
	mpw_str(&w, why == NULL ? hex_of(&d) : BYTES(""));
	must(!w.full);
	return (size_t)(w.p - out);
}

/* ---- the client ---- */

bool
key_is_helo(struct bytes in)
{
	struct mp m = mp_of(in);
	struct bytes word;
	uint32_t n;

	return mp_array(&m, &n) == 0 && n == 2 && mp_str(&m, &word) == 0 &&
	    bytes_eq(word, BYTES("HELO"));
}

int
key_read_helo(struct bytes in, struct key_helo *ret_h, size_t *ret_used)
{
	struct key_helo h;
	struct mp m;
	int r;

	r = begin(in, "HELO", 2, &m, ret_used);
	if (r == 0)
		r = copy_nonce(m, "nonce", h.nonce, &h.nonce_len);
	if (r == 0)
		r = copy_nonce(m, "auth", h.auth, &h.auth_len);
	if (r == 0 && h.nonce_len == 0)
		r = -EBADMSG;
	if (r == 0)
		*ret_h = h;
	return r;
}

size_t
key_write_ping(const struct hop_key *k, const struct key_helo *h,
    const char *salt, uint8_t out[KEY_OUT_MAX])
{
	struct mpw w = { out, out + KEY_OUT_MAX, false };
	bool user = h->auth_len > 0;
	struct digest of_key, of_user = { "" };

	if (digest_key(k, h, bytes_str(salt), bytes_str(k->host), &of_key) < 0 ||
	    (user && digest_user(k, h, &of_user) < 0))
		return 0;
	mpw_array(&w, 6);
	mpw_str(&w, BYTES("PING"));
	mpw_str(&w, bytes_str(k->host));
	mpw_str(&w, bytes_str(salt));
	mpw_str(&w, hex_of(&of_key));
	mpw_str(&w, bytes_str(user ? k->user : ""));
	mpw_str(&w, user ? hex_of(&of_user) : BYTES(""));
	return w.full ? 0 : (size_t)(w.p - out);
}

/* The peer's words go into a log: printable, and not many. */
static void
tell_reason(struct bytes reason, char why[KEY_WHY])
{
	size_t i, n = reason.n < 40 ? reason.n : 40;

	(void)snprintf(why, KEY_WHY, "the peer refuses the key: ");
	why += strlen(why);
	for (i = 0; i < n; i++)
		why[i] = (char)(reason.p[i] >= ' ' && reason.p[i] < 0x7f ?
		    reason.p[i] : '?');
	why[n] = '\0';
}

int
key_read_pong(const struct hop_key *k, const struct key_helo *h,
    const char *salt, struct bytes in, size_t *ret_used, char why[KEY_WHY])
{
	struct bytes reason, host, have;
	struct mp_item ok;
	struct digest want;
	struct mp m;
	int r;

	r = begin(in, "PONG", 5, &m, ret_used);
	if (r < 0)
		return r;
	if (mp_next(&m, &ok) < 0 || ok.type != MP_BOOL ||
	    mp_str(&m, &reason) < 0 || mp_str(&m, &host) < 0 ||
	    mp_str(&m, &have) < 0)
		return -EBADMSG;
	if (!ok.b) {
		tell_reason(reason, why);
		return -EACCES;
	}
	r = digest_key(k, h, bytes_str(salt), host, &want);
	if (r < 0)
		return r;
	/* The same host and salt would let our own digest be sent back. */
	if (bytes_eq(host, bytes_str(k->host)) || !same(&want, have)) {
		(void)snprintf(why, KEY_WHY, "%s", bytes_eq(host,
		    bytes_str(k->host)) ? "the peer calls itself as we do" :
		    "the peer does not know the shared key");
		return -EACCES;
	}
	return 0;
}
