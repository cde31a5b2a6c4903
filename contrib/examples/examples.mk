# SPDX-License-Identifier: ISC
# examples.mk - five example connectors, in C and in TypeScript, and the
# counter of the demo

examples_programs = contrib/examples/comfyui contrib/examples/openai \
	contrib/examples/a1111 contrib/examples/simulation \
	contrib/examples/rest contrib/examples/count
noinst_PROGRAMS += $(examples_programs)
examples_frame = contrib/examples/connector.c contrib/examples/connector.h
contrib_examples_comfyui_SOURCES = contrib/examples/comfyui.c $(examples_frame)
contrib_examples_comfyui_LDADD = libemplog.la
contrib_examples_openai_SOURCES = contrib/examples/openai.c $(examples_frame)
contrib_examples_openai_LDADD = libemplog.la
contrib_examples_a1111_SOURCES = contrib/examples/a1111.c $(examples_frame)
contrib_examples_a1111_LDADD = libemplog.la
contrib_examples_simulation_SOURCES = contrib/examples/simulation.c \
	$(examples_frame)
contrib_examples_simulation_LDADD = libemplog.la
contrib_examples_rest_SOURCES = contrib/examples/rest.c $(examples_frame)
contrib_examples_rest_LDADD = libemplog.la
contrib_examples_count_SOURCES = contrib/examples/count.c
contrib_examples_count_LDADD = $(JANSSON_LIBS)

EXTRA_DIST += contrib/demo.sh contrib/check.sh contrib/packages.sh

# The same five in TypeScript, compiled against the package; wants npm.
examples-node: dist-node
	sh $(top_srcdir)/contrib/examples/node/make.sh $(top_srcdir) \
	    emplog-$(PACKAGE_VERSION).tgz examples-node
clean-local: clean-examples-node
clean-examples-node:
	rm -rf examples-node
.PHONY: examples-node clean-examples-node
EXAMPLES_NODE = README.md make.sh package.json tsconfig.json \
	src/a1111.ts src/comfyui.ts src/connector.ts src/http.ts src/main.ts \
	src/numbered.ts src/openai.ts src/rest.ts src/retry.ts \
	src/simulation.ts src/trace.ts src/websocket.ts \
	fakes/a1111.ts fakes/comfyui.ts fakes/fake.ts fakes/openai.ts \
	fakes/rest.ts test/connectors.test.js test/kit.js \
	test/websocket.test.js
EXTRA_DIST += $(EXAMPLES_NODE:%=contrib/examples/node/%)
