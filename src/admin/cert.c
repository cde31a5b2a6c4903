/* SPDX-License-Identifier: ISC */
/* cert.c - a private certificate authority; the contract is in cert.h */

#include "admin/cert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define SERIAL_BITS	127
#define BEFORE_S	300
#define DAY_S		(24L * 3600)
#define NAME_MAX_LEN	64	/* of a common name, RFC 5280 */

/* ---- PEM ---- */

static char *
text_of(BIO *b)
{
	char *p, *ret;
	long n = BIO_get_mem_data(b, &p);

	ret = malloc((size_t)n + 1);
	if (ret == NULL)
		return NULL;
	memcpy(ret, p, (size_t)n);
	ret[n] = '\0';
	return ret;
}

static int
to_pem(X509 *x, EVP_PKEY *key, struct cert_pem *ret)
{
	BIO *cb = BIO_new(BIO_s_mem()), *kb = BIO_new(BIO_s_secmem());
	struct cert_pem c = { 0 };

	if (cb != NULL && kb != NULL && PEM_write_bio_X509(cb, x) == 1 &&
	    PEM_write_bio_PKCS8PrivateKey(kb, key, NULL, NULL, 0, NULL,
	    NULL) == 1) {
		c.cert = text_of(cb);
		c.key = text_of(kb);
	}
	BIO_free(cb);
	BIO_free(kb);
	if (c.cert == NULL || c.key == NULL) {
		cert_free(&c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

void
cert_free(struct cert_pem *c)
{
	if (c->key != NULL)
		OPENSSL_cleanse(c->key, strlen(c->key));
	free(c->cert);
	free(c->key);
	*c = (struct cert_pem){ 0 };
}

/* ---- a certificate ---- */

static int
add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;
	int r;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (e == NULL)
		return -EINVAL;
	r = X509_add_ext(x, e, -1) == 1 ? 0 : -ENOMEM;
	X509_EXTENSION_free(e);
	return r;
}

static int
set_serial(X509 *x)
{
	BIGNUM *bn = BN_new();
	int r = -ENOMEM;

	if (bn != NULL && BN_rand(bn, SERIAL_BITS, BN_RAND_TOP_ONE,
	    BN_RAND_BOTTOM_ANY) == 1 &&
	    BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL)
		r = 0;
	BN_free(bn);
	return r;
}

static int
set_name(X509 *x, const char *name)
{
	char cn[NAME_MAX_LEN + 1];

	/* Who it is for stands in subjectAltName; this is for people. */
	(void)snprintf(cn, sizeof(cn), "%s", name);
	return X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN",
	    MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0) == 1 ?
	    0 : -EINVAL;
}

/* Everything but issuer, extensions and signature. */
static int
begin(const char *name, unsigned days, X509 **ret_x, EVP_PKEY **ret_key)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	int r = -ENOMEM;

	if (key == NULL || x == NULL || X509_set_version(x, 2) != 1 ||
	    X509_gmtime_adj(X509_getm_notBefore(x), -BEFORE_S) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(x), (long)days * DAY_S) ==
	    NULL || X509_set_pubkey(x, key) != 1)
		goto out;
	r = set_serial(x);
	if (r == 0)
		r = set_name(x, name);
out:
	if (r < 0) {
		EVP_PKEY_free(key);
		X509_free(x);
		return r;
	}
	*ret_x = x;
	*ret_key = key;
	return 0;
}

static int
sign(X509 *x, const X509 *issuer, EVP_PKEY *key)
{
	if (X509_set_issuer_name(x, X509_get_subject_name(issuer)) != 1 ||
	    X509_sign(x, key, EVP_sha256()) == 0)
		return -ENOMEM;
	return 0;
}

int
cert_make_ca(const char *name, unsigned days, struct cert_pem *ret)
{
	EVP_PKEY *key;
	X509 *x;
	int r;

	r = begin(name, days, &x, &key);
	if (r < 0)
		goto out;
	r = add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	if (r == 0)
		r = add_ext(x, x, NID_key_usage,
		    "critical,keyCertSign,cRLSign");
	if (r == 0)
		r = add_ext(x, x, NID_subject_key_identifier, "hash");
	if (r == 0)
		r = sign(x, x, key);
	if (r == 0)
		r = to_pem(x, key, ret);
	EVP_PKEY_free(key);
	X509_free(x);
out:
	ERR_clear_error();
	return r;
}

/* OpenSSL would take anything for a host. */
static bool
is_host(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 253 && strspn(s, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*") == n;
}

static int
add_names(X509 *x, const char *const *names, size_t n)
{
	GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
	struct in6_addr a;
	GENERAL_NAME *g;
	int r = all == NULL ? -ENOMEM : 0, type;
	size_t i;

	for (i = 0; i < n && r == 0; i++) {
		type = inet_pton(AF_INET, names[i], &a) == 1 ||
		    inet_pton(AF_INET6, names[i], &a) == 1 ?
		    GEN_IPADD : GEN_DNS;
		g = type == GEN_DNS && !is_host(names[i]) ? NULL :
		    a2i_GENERAL_NAME(NULL, NULL, NULL, type, names[i], 0);
		if (g == NULL)
			r = -EINVAL;
		else if (sk_GENERAL_NAME_push(all, g) == 0) {
			GENERAL_NAME_free(g);
			r = -ENOMEM;
		}
	}
	if (r == 0 && X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0,
	    X509V3_ADD_DEFAULT) != 1)
		r = -ENOMEM;
	GENERAL_NAMES_free(all);
	return r;
}

static int
add_uses(X509 *x, X509 *ca)
{
	int r;

	r = add_ext(x, ca, NID_basic_constraints, "critical,CA:FALSE");
	if (r == 0)
		r = add_ext(x, ca, NID_key_usage, "critical,digitalSignature");
	if (r == 0)
		r = add_ext(x, ca, NID_ext_key_usage, "serverAuth,clientAuth");
	if (r == 0)
		r = add_ext(x, ca, NID_subject_key_identifier, "hash");
	if (r == 0)
		r = add_ext(x, ca, NID_authority_key_identifier, "keyid");
	return r;
}

/* Nobody is asked on a terminal. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

static int
read_ca(const struct cert_pem *ca, X509 **ret_x, EVP_PKEY **ret_key)
{
	BIO *cb = BIO_new_mem_buf(ca->cert, -1);
	BIO *kb = BIO_new_mem_buf(ca->key, -1);
	EVP_PKEY *key = NULL;
	X509 *x = NULL;
	int r = -EBADMSG;

	if (cb != NULL)
		x = PEM_read_bio_X509(cb, NULL, NULL, NULL);
	if (kb != NULL)
		key = PEM_read_bio_PrivateKey(kb, NULL, no_passphrase, NULL);
	BIO_free(cb);
	BIO_free(kb);
	if (x != NULL && key != NULL && X509_check_ca(x) == 1 &&
	    X509_check_private_key(x, key) == 1)
		r = 0;
	if (r < 0) {
		X509_free(x);
		EVP_PKEY_free(key);
		return r;
	}
	*ret_x = x;
	*ret_key = key;
	return 0;
}

int
cert_issue(const struct cert_pem *ca, const char *const *names, size_t n,
    unsigned days, struct cert_pem *ret)
{
	EVP_PKEY *ca_key = NULL, *key = NULL;
	X509 *ca_x = NULL, *x = NULL;
	int r;

	if (n == 0)
		return -EINVAL;
	r = read_ca(ca, &ca_x, &ca_key);
	if (r == 0)
		r = begin(names[0], days, &x, &key);
	if (r == 0)
		r = add_uses(x, ca_x);
	if (r == 0)
		r = add_names(x, names, n);
	if (r == 0)
		r = sign(x, ca_x, ca_key);
	if (r == 0)
		r = to_pem(x, key, ret);
	X509_free(ca_x);
	X509_free(x);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return r;
}
