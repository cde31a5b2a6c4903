# SPDX-License-Identifier: ISC
# fields-index.awk - makes fields_index.h, a hash of all names, of fields.def
#
# One row per name: the canonical one is alias 0, the others count up, the
# OpenTelemetry name comes last.  Open addressing; the hash is the one of
# fields.c, over the length and five characters.
BEGIN {
	FS = "\""
	for (i = 1; i < 256; i++)
		ord[sprintf("%c", i)] = i
	slots = 1024
}

function hash(s,    n, h) {
	n = length(s)
	h = n * 7 + ch(s, 1) * 31 + ch(s, n) * 167
	h += ch(s, int(n / 2) + 1) * 613 + ch(s, int(n / 4) + 1) * 1031
	return (h + ch(s, int(3 * n / 4) + 1) * 389) % slots
}

function ch(s, i) {
	return ord[substr(s, i, 1)]
}

function put(name, id, alias,    h) {
	if (name in seen)
		return
	seen[name] = 1
	names++
	row[names] = sprintf("\t{ \"%s\", %d, F_%s, %d },", name,
	    length(name), id, alias)
	for (h = hash(name); h in slot; h = (h + 1) % slots)
		;
	slot[h] = names
}

/^FIELD\(/ {
	id = $1
	gsub(/^FIELD\(|, *$/, "", id)
	put($2, id, 0)
	n = split($6, alias, " ")
	for (i = 1; i <= n; i++)
		put(alias[i], id, i)
	if ($4 != "")
		put($4, id, 255)
}

END {
	print "/* SPDX-License-Identifier: ISC */"
	print "/* fields_index.h - made by fields-index.awk; do not edit */"
	printf "#define FIELD_SLOTS %d\n", slots
	print "static const struct field_name field_names[] = {"
	for (i = 1; i <= names; i++)
		print row[i]
	print "};"
	print "/* One more than the name's place, 0: empty. */"
	print "static const uint16_t field_slots[FIELD_SLOTS] = {"
	for (h = 0; h < slots; h++)
		if (h in slot)
			printf "\t[%d] = %d,\n", h, slot[h]
	print "};"
}
