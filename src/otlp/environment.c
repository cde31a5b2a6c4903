/* SPDX-License-Identifier: ISC */
/* environment.c - which records are of which deployment; see otlp.h */

#include <errno.h>

#include "otlp/otlp.h"
#include "otlp/sift.h"

#include "banned.h"

/* As norm_fields() would choose, but looking at this one field only. */
static struct bytes
own_name(struct bytes record)
{
	struct bytes key, value, text, found = { NULL, 0 };
	struct mp m = mp_of(record);
	uint8_t alias, nearest = UINT8_MAX;
	uint32_t pairs;

	if (mp_map(&m, &pairs) < 0)
		return found;
	for (; pairs > 0; pairs--) {
		if (mp_str(&m, &key) < 0 || mp_value(&m, &value) < 0)
			return found;
		if (field_find(key, field_hash(key), &alias) ==
		    F_deployment_env && alias <= nearest &&
		    sift_text(value, &text)) {
			nearest = alias;
			found = text;
		}
	}
	return found;
}

static struct bytes
name_of(const struct norm_conf *conf, const struct norm_lane *lane,
    const struct entry *e)
{
	struct bytes name = own_name(e->record);

	if (name.n == 0 && (lane->set & 1u << F_deployment_env) != 0)
		name = lane->value[F_deployment_env];
	if (name.n == 0 && conf->deployment != NULL)
		name = bytes_str(conf->deployment);
	return name;
}

int
otlp_environment(const struct norm_conf *conf, const struct chunk *chunk,
    uint32_t first, struct bytes *ret_name, uint32_t *ret_count)
{
	struct mp m = mp_of(chunk->body[0]);
	struct norm_lane lane;
	struct bytes name = { NULL, 0 };
	struct entry e;
	uint32_t i;

	norm_lane_init(&lane, chunk->identity);
	for (i = 0; walk_entry(&m, &e) == 0; i++) {
		if (i < first)
			continue;
		if (i == first)
			name = name_of(conf, &lane, &e);
		else if (!e.group_mark &&
		    !bytes_eq(name_of(conf, &lane, &e), name))
			break;
	}
	if (i <= first)
		return -ENOENT;
	*ret_name = name;
	*ret_count = i - first;
	return 0;
}
