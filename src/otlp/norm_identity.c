/* SPDX-License-Identifier: ISC */
/* norm_identity.c - resource and scope; the contract is in norm.h */

#include "base/must.h"
#include "forward/mp.h"
#include "otlp/norm.h"

#include "banned.h"

static void
other_put(struct norm_lane *lane, struct bytes key, struct bytes value)
{
	if (lane->other_n == sizeof(lane->other) / sizeof(lane->other[0])) {
		lane->lost++;
		return;
	}
	lane->other[lane->other_n++] = (struct norm_attr){
		.key = key, .value = { .kind = NV_MSGPACK, .b = value },
		.rank = UINT16_MAX	/* not of the table */
	};
}

static void
lane_put(struct norm_lane *lane, struct bytes key, struct bytes value)
{
	enum field_id id;
	struct bytes text;
	struct mp m = mp_of(value);
	uint8_t alias;

	id = field_find(key, field_hash(key), &alias);
	/* In a record host may be any host; in an identity it is this one. */
	if (id == F_NONE && bytes_eq(key, BYTES("host")))
		id = F_hostname;
	if (id < NORM_IDENTITY_N && value.p[0] != 0xc0 &&
	    mp_str(&m, &text) == 0) {
		if (text.n > 0) {
			lane->value[id] = text;
			lane->set |= 1u << id;
		}
	} else if (value.p[0] != 0xc0) {
		other_put(lane, key, value);
	}
}

void
norm_lane_init(struct norm_lane *lane, struct bytes identity)
{
	struct mp m = mp_of(identity);
	struct bytes key, value;
	uint32_t pairs;

	_Static_assert(NORM_IDENTITY_N <= 32, "a bit each");
	lane->set = 0;
	lane->other_n = lane->lost = 0;
	if (mp_map(&m, &pairs) < 0)
		return;
	for (; pairs > 0; pairs--)
		if (mp_str(&m, &key) < 0 || mp_value(&m, &value) < 0)
			return;
		else
			lane_put(lane, key, value);
}

static struct bytes
fill(const struct norm_conf *c, enum field_id id)
{
	const char *s = NULL;

	switch (id) {
	case F_service_namespace: s = c->service_namespace; break;
	case F_machine_id: s = c->machine_id; break;
	case F_deployment_env: s = c->deployment; break;
	case F_region: s = c->region; break;
	case F_hostname: s = c->host; break;
	default: break;
	}
	return s == NULL ? (struct bytes){ NULL, 0 } : bytes_str(s);
}

/* The record's own word, else its lane's, else the configuration's. */
static struct bytes
value_of(const struct norm *n, const struct norm_from *from, enum field_id id)
{
	if (n->own & 1u << id)
		return n->own_value[id];
	if (from->lane->set & 1u << id)
		return from->lane->value[id];
	return fill(from->conf, id);
}

static void
resource_put(struct norm *n, struct bytes key, struct bytes text)
{
	must(n->resource_n < NORM_RESOURCE_MAX);
	n->resource[n->resource_n++] = (struct norm_attr){
		.key = key, .value = { .kind = NV_STR, .b = text }
	};
}

/* machine-<machine_id>.<worker_id>, where both are known. */
static struct bytes
instance_id(struct norm *n, struct bytes machine, struct bytes worker)
{
	static const struct bytes head = BYTES("machine-");
	size_t len = head.n + machine.n + 1 + worker.n;
	uint8_t *p = n->scratch + n->scratch_n;

	if (machine.n == 0 || worker.n == 0 ||
	    len > sizeof(n->scratch) - n->scratch_n)
		return (struct bytes){ NULL, 0 };
	memcpy(p, head.p, head.n);
	memcpy(p + head.n, machine.p, machine.n);
	p[head.n + machine.n] = '.';
	memcpy(p + head.n + machine.n + 1, worker.p, worker.n);
	n->scratch_n += (unsigned)len;
	return bytes_of(p, len);
}

static struct bytes
made(struct norm *n, const struct norm_from *from, enum field_id id)
{
	struct bytes type;

	if (id == F_service_name) {
		type = value_of(n, from, F_service_type);
		return type.n > 0 ? type : BYTES("unknown_service");
	}
	if (id == F_service_instance_id)
		return instance_id(n, value_of(n, from, F_machine_id),
		    value_of(n, from, F_worker_id));
	return (struct bytes){ NULL, 0 };
}

static void
others(struct norm *n, const struct norm_lane *lane)
{
	unsigned i, k;

	for (i = 0; i < lane->other_n; i++) {
		for (k = 0; k < n->resource_n; k++)
			if (bytes_eq(n->resource[k].key, lane->other[i].key))
				break;
		if (k == n->resource_n)
			n->resource[n->resource_n++] = lane->other[i];
		else
			n->resource_lost++;
	}
}

void
norm_identity(struct norm *n, const struct norm_from *from)
{
	const struct field_info *f;
	struct bytes text;
	unsigned id;

	_Static_assert(F_logger_name + 8 + 1 <= NORM_RESOURCE_MAX,
	    "table, others and room for one");
	n->resource_n = n->scope_n = 0;
	n->resource_lost = from->lane->lost;
	for (id = 0; id < F_logger_name; id++) {
		f = &field_info[id];
		text = value_of(n, from, id);
		if (text.n == 0)
			text = made(n, from, id);
		if (text.n > 0)
			resource_put(n, f->otel.n > 0 ? f->otel : f->name,
			    text);
	}
	others(n, from->lane);
	n->scope_name = value_of(n, from, F_logger_name);
	for (; id < NORM_IDENTITY_N; id++) {
		text = value_of(n, from, id);
		if (id != F_logger_name && text.n > 0)
			n->scope[n->scope_n++] = (struct norm_attr){
				.key = field_info[id].name,
				.value = { .kind = NV_STR, .b = text }
			};
	}
}
