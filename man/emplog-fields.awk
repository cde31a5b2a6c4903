# SPDX-License-Identifier: ISC
# emplog-fields.awk - the lists of emplog-fields(7), made of fields.def
#
#   awk -f man/emplog-fields.awk src/otlp/fields.def
#
# They stand in the page between the lines '.\" table' and '.\" end of table';
# tests/t0400-fields-man.sh compares.
BEGIN {
	FS = "\""
	type["STR"] = "text"
	type["NUM"] = "number"
	type["BOOL"] = "boolean"
	type["MAP"] = "map"
	type["LIST"] = "list"
	type["ANY"] = "any"
}

function section(title) {
	if (title == open)
		return
	if (open != "")
		print ".El"
	print ".Ss " title
	print ".Bl -tag -width Ds"
	open = title
}

function title(place, schema) {
	if (place == "RESOURCE")
		return "Resource"
	if (place == "SCOPE")
		return "Scope"
	if (place != "ATTR" && place != "EVENT")
		return "Time, severity, body, trace"
	if (schema == "COMFYUI")
		return "Attributes of comfyui connectors"
	if (schema == "OPENAI")
		return "Attributes of openai connectors"
	if (schema == "A1111")
		return "Attributes of a1111 connectors"
	if (schema == "SIMULATION")
		return "Attributes of simulation connectors"
	if (schema == "REST")
		return "Attributes of all other connectors"
	rest = rest || seen_schema
	return rest ? "Other attributes" : "Attributes of every record"
}

# A new sentence or clause begins a new line, and no line is over 76.
function text(s,    n, i, word, line) {
	n = split(s, word, " ")
	for (i = 1; i <= n; i++) {
		if (line == "")
			line = word[i]
		else if (line ~ /[.;:]$/ || length(line " " word[i]) > 76) {
			print line
			line = word[i]
		} else
			line = line " " word[i]
	}
	if (line != "")
		print line
}

/^FIELD\(/ {
	split($3, col, /, */)
	section(title(col[2], col[4]))
	if (col[4] != "BASE")
		seen_schema = 1
	print ".It Va " $2 " Pq " type[col[3]]
	if ($4 != "" && $4 != $2) {
		if (col[2] == "RESOURCE")
			print "Becomes"
		else
			print "OpenTelemetry:"
		print ".Va " $4 " ."
	}
	n = split($6, alias, " ")
	if (n > 0) {
		print "Also"
		for (i = 1; i <= n; i++)
			print ".Va " alias[i] (i < n ? " ," : " .")
	}
	text($8)
}

END {
	print ".El"
}
