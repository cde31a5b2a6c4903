/* SPDX-License-Identifier: ISC */
/*
 * key.h - Forward's handshake by a shared key: the four messages
 *
 *   S->C  ["HELO", {"nonce": bin 16, "auth": bin 16 or "", "keepalive": true}]
 *   C->S  ["PING", host, salt, digest(salt host nonce key), user,
 *          digest(auth user password)]
 *   S->C  ["PONG", true, "", host, digest(salt host nonce key)]
 *         ["PONG", false, why, "", ""], then it closes
 *
 * digest is SHA-512 in lower-case hex.  Peers are strict: each message goes
 * out in one write, salts as str, five fields in a PONG.
 * No I/O: the caller has the bytes and the random numbers.
 */
#ifndef EMPLOG_KEY_H
#define EMPLOG_KEY_H

#include "base/bytes.h"

#define KEY_NONCE	16
#define KEY_NONCE_MAX	64	/* of a peer's */
#define KEY_SALT	32	/* hex, as Fluentd's */
#define KEY_HEX		128	/* of a digest */
#define KEY_HOST_MAX	96
#define KEY_OUT_MAX	640	/* a message of ours; below 512 without user */
#define KEY_SAY_MAX	260	/* a HELO or PONG of ours */
#define KEY_IN_MAX	1024	/* a message of the peer */
#define KEY_USER_MAX	128u	/* name of the user */
#define KEY_SHAKE_MS	5000	/* for all of it */
#define KEY_WHY		80

struct hop_key {		/* what both ends know; borrowed */
	const char	*shared;	/* not empty */
	const char	*user;		/* "": none */
	const char	*password;
	const char	*host;		/* own name, at most KEY_HOST_MAX */
};

struct key_helo {		/* what the server said */
	uint8_t		 nonce[KEY_NONCE_MAX];
	size_t		 nonce_len;
	uint8_t		 auth[KEY_NONCE_MAX];
	size_t		 auth_len;	/* 0: no user is asked for */
};

struct key_ping {		/* what the client said */
	uint8_t		 salt[KEY_NONCE_MAX];
	size_t		 salt_len;
};

/*
 * Server.  h has random nonce and auth of KEY_NONCE bytes; auth_len is set
 * here.  Returns bytes.
 */
size_t	 key_write_helo(const struct hop_key *k, struct key_helo *h,
	    uint8_t out[KEY_SAY_MAX]);
/*
 * A PING at the front of in.  0: who sent it knows the key, *ret_used bytes
 * are read; -EAGAIN: not all there; -EBADMSG: no PING; -EACCES: refused,
 * why says; -ENOMEM.
 */
int	 key_read_ping(const struct hop_key *k, const struct key_helo *h,
	    struct bytes in, struct key_ping *ret_ping, size_t *ret_used,
	    const char **ret_why);
/* why NULL: true.  0: no memory. */
size_t	 key_write_pong(const struct hop_key *k, const struct key_helo *h,
	    const struct key_ping *p, const char *why,
	    uint8_t out[KEY_SAY_MAX]);

/*
 * Client.  0, -EAGAIN, -EBADMSG as above; *ret_used as above.
 */
int	 key_read_helo(struct bytes in, struct key_helo *ret_h,
	    size_t *ret_used);
/* salt: KEY_SALT bytes of hex.  0: no memory. */
size_t	 key_write_ping(const struct hop_key *k, const struct key_helo *h,
	    const char *salt, uint8_t out[KEY_OUT_MAX]);
/* -EACCES: refused, or it does not know the key: why has the words. */
int	 key_read_pong(const struct hop_key *k, const struct key_helo *h,
	    const char *salt, struct bytes in, size_t *ret_used,
	    char why[KEY_WHY]);
/* Is this the beginning of a HELO? */
bool	 key_is_helo(struct bytes in);

#endif
