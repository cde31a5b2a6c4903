/* SPDX-License-Identifier: ISC */
/* tls.c - one connection in TLS; see tls.h */

#include "loop/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/must.h"
#include "loop/tls_in.h"
#include "banned.h"

#define MS		UINT64_C(1000000)
#define BYE_MS		200	/* for the last bytes at close */

static void	 pump(struct tls_conn *c);
static void	 settle(struct tls_conn *c);
static void	 in_done(struct op *op);
static void	 out_done(struct op *op);
static void	 timer_done(struct op *op);
static void	 layer_start(struct fd_layer *layer, struct op *op);
static void	 layer_cancel(struct fd_layer *layer, struct op *op);
static int	 layer_shutdown(struct fd_layer *layer);

static const struct fd_layer_calls tls_calls = {
	.start = layer_start, .cancel = layer_cancel,
	.shutdown = layer_shutdown,
};

static struct tls_conn *
conn_of(struct fd_layer *layer)
{
	struct tls_conn *c = (struct tls_conn *)(void *)layer;

	must(c->magic == TLS_MAGIC);
	return c;
}

/* ---- life ---- */

static void
conn_free(struct tls_conn *c)
{
	struct env *env = c->t->env;

	must(op_idle(&c->in) && op_idle(&c->out) && op_idle(&c->timer));
	must(!c->waits);
	must(c->t->conns > 0);
	c->t->conns--;
	SSL_free(c->ssl);		/* and both BIOs */
	env_free(env, c->name);
	env_free(env, c->sni);
	env_free(env, c->inbuf);
	env_free(env, c->outbuf);
	c->magic = 0;
	env_free(env, c);
}

static void
inner_op(struct op *op, op_fn *done, struct tls_conn *c)
{
	op_init(op, done, c);
	op->inner = true;
}

static struct tls_conn *
conn_new(struct loop *l, int fd, struct tls *t, const char *name,
    const char *sni)
{
	struct tls_conn *c;

	c = env_alloc(t->env, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->magic = TLS_MAGIC;
	c->layer.calls = &tls_calls;
	c->l = l;
	c->t = t;
	c->fd = fd;
	t->conns++;
	inner_op(&c->in, in_done, c);
	inner_op(&c->out, out_done, c);
	inner_op(&c->timer, timer_done, c);
	c->inbuf = env_alloc(t->env, TLS_IN_BYTES);
	c->outbuf = env_alloc(t->env, TLS_OUT_BYTES);
	c->name = name == NULL ? NULL : env_strdup(t->env, name);
	c->sni = sni == NULL ? NULL : env_strdup(t->env, sni);
	if (c->inbuf == NULL || c->outbuf == NULL ||
	    (name != NULL && c->name == NULL) ||
	    (sni != NULL && c->sni == NULL)) {
		conn_free(c);
		return NULL;
	}
	return c;
}

/* ---- faults ---- */

/* A certificate was refused, by us or, as an alert tells, by the peer. */
static bool
is_refusal(const struct tls_conn *c, unsigned long e)
{
	if (SSL_get_verify_result(c->ssl) != X509_V_OK)
		return true;
	switch (ERR_GET_REASON(e)) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		return true;
	default:
		return false;
	}
}

/* Nothing more comes or goes, but an alert that is on its way. */
static void
fault(struct tls_conn *c, int err, const char *what)
{
	if (c->over)
		return;
	c->over = true;
	c->err = err;
	(void)snprintf(c->why, sizeof(c->why), "%s", what);
}

static void
ssl_fault(struct tls_conn *c)
{
	unsigned long e = ERR_peek_error();
	long v = SSL_get_verify_result(c->ssl);
	const char *why = ERR_reason_error_string(e);

	if (v != X509_V_OK)
		why = X509_verify_cert_error_string(v);
	if (c->eof && e == 0)
		fault(c, -ECONNRESET, "the peer hung up");
	else
		fault(c, is_refusal(c, e) ? -EACCES : -EPROTO,
		    why != NULL ? why : "no TLS");
	ERR_clear_error();
}

/* ---- callers' ops end here ---- */

static void
end(struct tls_conn *c, struct op **slot, int64_t res)
{
	struct op *op = *slot;

	*slot = NULL;
	loop_complete(c->l, op, res);
}

static bool
wants_more(struct tls_conn *c, int r)
{
	int e = SSL_get_error(c->ssl, r);

	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE;
}

static void
shake(struct tls_conn *c)
{
	int r;

	if (c->ssl != NULL && !c->over) {
		ERR_clear_error();
		r = SSL_do_handshake(c->ssl);
		if (r == 1)
			c->shaken = true;
		else if (!wants_more(c, r) || c->eof)
			ssl_fault(c);
	}
	if (c->over)
		end(c, &c->shake, c->err);
	else if (c->shaken)
		end(c, &c->shake, 0);
}

/* As much as is there and fits. */
static void
receive(struct tls_conn *c)
{
	struct op *op = c->recv;
	uint8_t *p = op->buf;
	size_t n = 0, got;
	int r = 1;

	while (!c->over && n < op->len && r == 1) {
		ERR_clear_error();
		r = op->flags & MSG_PEEK ?
		    SSL_peek_ex(c->ssl, p, op->len, &got) :
		    SSL_read_ex(c->ssl, p + n, op->len - n, &got);
		if (r == 1)
			n += got;
		if (r == 1 && op->flags & MSG_PEEK)
			break;
	}
	if (n > 0)
		end(c, &c->recv, (int64_t)n);
	else if (c->over)
		end(c, &c->recv, c->err);
	else if (SSL_get_error(c->ssl, r) == SSL_ERROR_ZERO_RETURN)
		end(c, &c->recv, 0);
	else if (!wants_more(c, r) || c->eof) {
		ssl_fault(c);
		end(c, &c->recv, c->err);
	}
}

/* ---- sending ---- */

static void
encrypt(struct tls_conn *c)
{
	int64_t n = tls_copy(c->t, c->send);
	size_t put;

	if (n <= 0) {
		end(c, &c->send, n);
		return;
	}
	ERR_clear_error();
	if (SSL_write_ex(c->ssl, c->t->plain, (size_t)n, &put) != 1) {
		ssl_fault(c);
		return;
	}
	must(put == (size_t)n);		/* a BIO of memory takes all */
	c->taken = put;
}

static bool
all_out(const struct tls_conn *c)
{
	return op_idle(&c->out) && c->out_at == c->out_len &&
	    (c->ssl == NULL || BIO_ctrl_pending(c->wbio) == 0);
}

static void
flush(struct tls_conn *c)
{
	int n;

	if (!op_idle(&c->out) || c->ssl == NULL)
		return;
	if (c->out_at == c->out_len) {
		n = BIO_read(c->wbio, c->outbuf, TLS_OUT_BYTES);
		c->out_at = 0;
		c->out_len = n > 0 ? (size_t)n : 0;
	}
	if (c->out_at == c->out_len)
		return;
	c->out_iov = (struct iovec){ c->outbuf + c->out_at,
	    c->out_len - c->out_at };
	loop_send(c->l, &c->out, c->fd, &c->out_iov, 1);
}

/*
 * What was encrypted counts as sent, as what lies in a socket's buffer does:
 * the peer may have it, also where this op ends early.
 */
static void
end_send(struct tls_conn *c, int err)
{
	int64_t res = c->taken > 0 ? (int64_t)c->taken : err;

	c->taken = 0;
	end(c, &c->send, res);
}

static void
send_on(struct tls_conn *c)
{
	if (c->taken == 0 && !c->over && all_out(c))
		encrypt(c);
	if (c->send != NULL && c->over)
		end_send(c, c->err);
}

/* ---- everything that may go on goes on ---- */

static void
read_in(struct tls_conn *c)
{
	if (op_idle(&c->in) && !c->eof && !c->over && c->close == NULL &&
	    c->ssl != NULL && (c->shake != NULL || c->recv != NULL))
		loop_recv(c->l, &c->in, c->fd, c->inbuf, TLS_IN_BYTES);
}

static void
pump(struct tls_conn *c)
{
	if (c->shake != NULL)
		shake(c);
	if (c->recv != NULL)
		receive(c);
	if (c->send != NULL)
		send_on(c);
	flush(c);
	if (c->send != NULL && c->taken > 0 && all_out(c))
		end_send(c, 0);
	read_in(c);
	settle(c);
}

static void
in_done(struct op *op)
{
	struct tls_conn *c = op->arg;

	if (op->res > 0) {
		if (BIO_write(c->rbio, c->inbuf, (int)op->res) != op->res)
			fault(c, -ENOMEM, "no memory");
	} else if (op->res == 0) {
		c->eof = true;
	} else if (op->res != -ECANCELED) {
		fault(c, (int)op->res, strerror((int)-op->res));
	}
	pump(c);
}

static void
out_done(struct op *op)
{
	struct tls_conn *c = op->arg;

	if (op->res > 0) {
		c->out_at += (size_t)op->res;
	} else {
		c->out_at = c->out_len;
		(void)BIO_reset(c->wbio);
		fault(c, op->res == 0 ? -EIO : (int)op->res,
		    strerror(op->res == 0 ? EIO : (int)-op->res));
	}
	pump(c);
}

static void
timer_done(struct op *op)
{
	struct tls_conn *c = op->arg;

	if (op->res == 0 && c->shake != NULL)
		fault(c, -ETIMEDOUT, "no answer to the handshake");
	if (c->close != NULL && !all_out(c)) {
		if (op->res == 0)
			loop_cancel(c->l, &c->out);
		else		/* it was the handshake's */
			loop_timer(c->l, &c->timer, loop_now(c->l) +
			    BYE_MS * MS);
	}
	pump(c);
}

/* ---- the end ---- */

static void
settle(struct tls_conn *c)
{
	struct loop *l = c->l;
	struct op *op = c->close;

	if (c->shake == NULL && c->close == NULL && !op_idle(&c->timer))
		loop_cancel(l, &c->timer);
	if (op == NULL)
		return;
	if (!op_idle(&c->in))
		loop_cancel(l, &c->in);
	if (!op_idle(&c->in) || !all_out(c))
		return;
	if (!op_idle(&c->timer)) {
		loop_cancel(l, &c->timer);
		return;
	}
	loop_fd(l, c->fd)->layer = NULL;
	conn_free(c);
	l->be->submit(l, op);
}

static void
begin_close(struct tls_conn *c, struct op *op)
{
	c->close = op;
	if (c->waits)
		tls_forget(c->t, c);
	if (c->shaken && !c->over) {
		ERR_clear_error();
		(void)SSL_shutdown(c->ssl);	/* says good-bye, into wbio */
		ERR_clear_error();
	}
	if (op_idle(&c->timer))
		loop_timer(c->l, &c->timer, loop_now(c->l) + BYE_MS * MS);
	pump(c);
}

/* ---- the layer ---- */

static void
layer_start(struct fd_layer *layer, struct op *op)
{
	struct tls_conn *c = conn_of(layer);

	if (op->kind == OP_CLOSE) {
		begin_close(c, op);
		return;
	}
	must(c->shaken || c->over);
	must(op->kind == OP_RECV || op->kind == OP_SEND);
	*(op->kind == OP_RECV ? &c->recv : &c->send) = op;
	pump(c);
}

static void
layer_cancel(struct fd_layer *layer, struct op *op)
{
	struct tls_conn *c = conn_of(layer);

	if (op == c->shake) {
		if (c->waits)
			tls_forget(c->t, c);
		fault(c, -ECANCELED, "cancelled");
		end(c, &c->shake, -ECANCELED);
	} else if (op == c->recv) {
		end(c, &c->recv, -ECANCELED);
	} else if (op == c->send) {
		end_send(c, -ECANCELED);
	}
	/* else a close: it ends soon by itself */
	settle(c);
}

/* The good-bye goes out now; what the peer still says may be read. */
static int
layer_shutdown(struct fd_layer *layer)
{
	struct tls_conn *c = conn_of(layer);

	must(c->send == NULL);
	if (!c->shaken || c->over || c->close != NULL)
		return -ENOTCONN;
	ERR_clear_error();
	(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
	flush(c);
	return 0;
}

/* ---- the handshake ---- */

static int
ask_for(struct tls_conn *c)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(c->ssl);
	char *sni = c->sni;
	struct in6_addr a;
	bool number;

	must(c->name != NULL);
	number = inet_pton(AF_INET, c->name, &a) == 1 ||
	    inet_pton(AF_INET6, c->name, &a) == 1;
	if (sni == NULL && !number)
		sni = c->name;
	if (sni != NULL && *sni != '\0' &&
	    SSL_set_tlsext_host_name(c->ssl, sni) != 1)
		return -EINVAL;
	if (number)
		return X509_VERIFY_PARAM_set1_ip_asc(param, c->name) == 1 ?
		    0 : -EINVAL;
	X509_VERIFY_PARAM_set_hostflags(param,
	    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(c->ssl, c->name) == 1 ? 0 : -EINVAL;
}

static int
start_ssl(struct tls_conn *c)
{
	c->ssl = SSL_new(c->t->ctx);
	c->rbio = BIO_new(BIO_s_mem());
	c->wbio = BIO_new(BIO_s_mem());
	if (c->ssl == NULL || c->rbio == NULL || c->wbio == NULL) {
		SSL_free(c->ssl);
		BIO_free(c->rbio);
		BIO_free(c->wbio);
		c->ssl = NULL;
		return -ENOMEM;
	}
	/* Empty is not the end: more may come. */
	BIO_set_mem_eof_return(c->rbio, -1);
	SSL_set_bio(c->ssl, c->rbio, c->wbio);
	if (c->t->server) {
		SSL_set_accept_state(c->ssl);
		return 0;
	}
	SSL_set_connect_state(c->ssl);
	return ask_for(c);
}

void
conn_begin(struct tls_conn *c)
{
	int r;

	if (c->t->ctx == NULL) {
		fault(c, -EACCES, c->t->why);
	} else {
		r = start_ssl(c);
		if (r < 0)
			fault(c, r, strerror(-r));
	}
	pump(c);
}

void
loop_tls(struct loop *l, struct op *op, int fd, struct tls *t,
    const char *name, const char *sni)
{
	struct tls_conn *c;

	must(t->magic == TLS_MAGIC);
	must(!t->closing);
	must(t->server || name != NULL);
	if (!op_start(l, op, OP_TLS, fd))
		return;
	must(loop_fd(l, fd)->layer == NULL);
	must(loop_fd(l, fd)->ops == 1);
	c = conn_new(l, fd, t, name, sni);
	if (c == NULL) {
		loop_complete(l, op, -ENOMEM);
		return;
	}
	loop_fd(l, fd)->layer = &c->layer;
	c->shake = op;
	loop_timer(l, &c->timer, loop_now(l) + TLS_SHAKE_MS * MS);
	tls_fresh(t, c);
}

static const struct tls_conn *
conn_at(const struct loop *l, int fd)
{
	if (fd < 0 || (size_t)fd >= l->fds_n || l->fds[fd].layer == NULL)
		return NULL;
	return conn_of(l->fds[fd].layer);
}

const char *
loop_tls_why(const struct loop *l, int fd)
{
	const struct tls_conn *c = conn_at(l, fd);

	return c == NULL ? "" : c->why;
}
