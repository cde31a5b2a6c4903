# SPDX-License-Identifier: ISC
# examples.mk - five example connectors and the counter of the demo

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
