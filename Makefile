# Makefile - builds the tools into build/bin, runs the local stack and the tests.
#
#   make up      set up everything that is missing, and run it     make down | status | logs | watch
#   make test    set up everything that is missing, and pass every test
#   make         only build                                        make asan | fuzz | bench | flame | format | clean

MAKEFLAGS += --no-builtin-rules
BUILD    ?= build
PG_FLAGS := $(shell pkg-config --cflags libpq 2>/dev/null)
CFLAGS   ?= -O2 -g
FLAGS    := -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Wformat=2 -Wstrict-prototypes \
            -Wmissing-prototypes -Wshadow -fno-omit-frame-pointer $(CFLAGS)
CPPFLAGS += -Ilib -Icmd $(PG_FLAGS)
LIBS     := -lm -lpthread
# For what one thread allocates and another frees. It needs no headers, so it is named by its file.
JEMALLOC := -l:libjemalloc.so.2

TOOLS := vote-ingest vote-commit vote-notify vote-invalidate vote-admin vote-tail vote-replay vote-load
BINS  := $(TOOLS:%=$(BUILD)/bin/%)
MANS  := $(TOOLS:%=$(BUILD)/man/%.1)
COMPLETIONS := $(TOOLS:%=$(BUILD)/completion/%)

# What each part is made of. A tool links the parts it uses and no others.
objects  = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(1)/*.c))
BASE     := $(call objects,lib/base)
TLS      := $(call objects,lib/tls)
HTTP     := $(call objects,lib/http) $(TLS)
HTTP_LIBS := -luv -lhttp_parser -lssl -lcrypto
KAFKA    := $(call objects,lib/kafka) $(BUILD)/obj/lib/trace/context.o
TRACE    := $(filter-out $(BUILD)/obj/lib/trace/context.o,$(call objects,lib/trace))
REDIS    := $(call objects,lib/redis)
PG       := $(call objects,lib/pg)
VOTE     := $(BUILD)/obj/lib/vote/ids.o
EVENT    := $(BUILD)/obj/lib/vote/event.o $(BUILD)/obj/lib/vote/pending.o
VOTES_CSV := $(BUILD)/obj/lib/vote/votes_csv.o $(BUILD)/obj/lib/vote/names.o
COLUMNS  := $(BUILD)/obj/lib/vote/request_columns.o
FILTER   := $(BUILD)/obj/lib/vote/filter.o
TOKEN    := $(BUILD)/obj/lib/vote/token.o
KNOWN    := $(BUILD)/obj/lib/vote/token_cache.o $(BUILD)/obj/lib/vote/token_config.o
SCRIPTS  := $(BUILD)/gen/scripts.o $(patsubst %,$(BUILD)/obj/lib/vote/%.o,keys states)
OPENAPI  := $(BUILD)/gen/openapi.o
CHECK    := $(BUILD)/obj/lib/vote/consistency.o $(BUILD)/obj/lib/vote/consistency_voters.o
KEYS     := $(BUILD)/gen/keys.o
SOCKETIO_NET := lib/socketio/transport lib/socketio/connection lib/socketio/http lib/socketio/websocket
SOCKETIO := $(filter-out $(SOCKETIO_NET:%=$(BUILD)/obj/%.o),$(call objects,lib/socketio))
SOCKETIO_LIBS := $(HTTP_LIBS) -lwslay -lz
SOCKETIO_TRANSPORT := $(SOCKETIO_NET:%=$(BUILD)/obj/%.o)
MIGRATIONS := $(BUILD)/gen/migrations.o

# The page is the same for every build.
PAGE := build/web/index.html
all: $(BINS) $(MANS) $(COMPLETIONS) $(PAGE)
web: $(PAGE)
$(PAGE): lib/web/build.sh $(wildcard lib/web/*.json lib/web/*.ts lib/web/src/* lib/web/demo/* lib/web/demo/css/*)
	@lib/web/build.sh

LINK = @mkdir -p $(@D) && echo "  link $@" && $(CC) $(FLAGS) $(LDFLAGS) -o $@ $^
cmd  = $(call objects,cmd/$(1))

$(BUILD)/bin/vote-ingest: $(call cmd,vote-ingest) $(BASE) $(HTTP) $(KAFKA) $(TRACE) $(REDIS) $(PG) $(VOTE) $(EVENT) $(TOKEN) $(KNOWN) $(SCRIPTS) $(OPENAPI)
	$(LINK) $(HTTP_LIBS) -lrdkafka -lhiredis -lpq -lcurl -ljansson -ljwt $(LIBS)
$(BUILD)/bin/vote-commit: $(call cmd,vote-commit) $(BASE) $(HTTP) $(KAFKA) $(TRACE) $(REDIS) $(PG) $(VOTE) $(EVENT) $(COLUMNS) $(SCRIPTS)
	$(LINK) $(HTTP_LIBS) -lrdkafka -lhiredis -lpq -lcurl -ljansson $(LIBS)
$(BUILD)/bin/vote-notify: $(call cmd,vote-notify) $(BASE) $(HTTP) $(KAFKA) $(TRACE) $(PG) $(VOTE) $(EVENT) $(TOKEN) $(KNOWN) $(SOCKETIO) $(SOCKETIO_TRANSPORT)
	$(LINK) -lrdkafka $(SOCKETIO_LIBS) -lpq -lcurl -ljansson -ljwt $(LIBS)
$(BUILD)/bin/vote-invalidate: $(call cmd,vote-invalidate) $(BASE) $(HTTP) $(KAFKA) $(TRACE) $(REDIS) $(PG) $(VOTE) $(EVENT) $(CHECK) $(KEYS) $(BUILD)/obj/lib/vote/keys.o
	$(LINK) $(HTTP_LIBS) -lrdkafka -lhiredis -lpq -lcurl -ljansson $(LIBS)
$(BUILD)/bin/vote-admin: $(call cmd,vote-admin) $(BASE) $(KAFKA) $(REDIS) $(PG) $(VOTE) $(EVENT) $(TOKEN) $(SCRIPTS) $(MIGRATIONS) $(CHECK)
	$(LINK) -lrdkafka -lhiredis -lpq -lcurl -ljansson -ljwt $(LIBS)
$(BUILD)/bin/vote-tail: $(call cmd,vote-tail) $(BASE) $(KAFKA) $(VOTE) $(EVENT) $(FILTER)
	$(LINK) -lrdkafka -ljansson $(LIBS)
$(BUILD)/bin/vote-replay: $(call cmd,vote-replay) $(BASE) $(KAFKA) $(PG) $(VOTE) $(EVENT) $(COLUMNS) $(FILTER) $(VOTES_CSV) $(MIGRATIONS)
	$(LINK) $(JEMALLOC) -lrdkafka -lpq -ljansson $(LIBS)
$(BUILD)/bin/vote-load: $(call cmd,vote-load) $(BASE) $(VOTE) $(EVENT) $(VOTES_CSV) $(TOKEN)
	$(LINK) -lcurl -ljansson -ljwt $(LIBS)

$(BUILD)/test/socketio: $(call objects,tests/socketio) $(BASE) $(SOCKETIO) $(SOCKETIO_TRANSPORT) $(TLS)
	$(LINK) $(SOCKETIO_LIBS) -ljansson $(LIBS)

# The load of the fan-out bench, and the limits that the benches compare with.
FANOUT := $(BUILD)/test/socketio $(BUILD)/test/listeners $(BUILD)/test/raw_fanout $(BUILD)/test/civetweb_limit
$(BUILD)/test/listeners: $(BUILD)/obj/tests/bench/listeners.o
	$(LINK)
$(BUILD)/test/raw_fanout: $(BUILD)/obj/tests/bench/peers/raw_fanout.o
	$(LINK)
$(BUILD)/test/civetweb_limit: $(BUILD)/obj/tests/bench/peers/civetweb_limit.o
	$(LINK) -lcivetweb

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D) && echo "  cc   $<" && $(CC) $(CPPFLAGS) $(FLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/gen/%.o: $(BUILD)/gen/%.c
	@$(CC) $(CPPFLAGS) $(FLAGS) -c -o $@ $<
$(BUILD)/gen/migrations.c: $(wildcard lib/vote/sql/*.sql) lib/vote/embed.sh
	@mkdir -p $(@D) && lib/vote/embed.sh migrations $(filter %.sql,$^) > $@
$(BUILD)/gen/openapi.c: pipelines/openapi.json lib/vote/embed.sh
	@mkdir -p $(@D) && lib/vote/embed.sh openapi $< > $@
$(BUILD)/gen/keys.c: pipelines/invalidate.keys lib/vote/embed.sh
	@mkdir -p $(@D) && lib/vote/embed.sh keys $< > $@
$(BUILD)/gen/scripts.c: $(wildcard lib/vote/lua/*.lua) lib/vote/embed.sh
	@mkdir -p $(@D) && lib/vote/embed.sh scripts $(filter %.lua,$^) > $@

# A man page is its prose with the option list of the tool's own table in it.
$(BUILD)/man/%.1: $(BUILD)/bin/%
	@mkdir -p $(@D) && $< --print-man > $@.options && \
	sed -e '/^\.\\" @OPTIONS@/{r $@.options' -e 'd}' cmd/$*/$*.1 > $@ && rm $@.options

$(BUILD)/completion/%: $(BUILD)/bin/%
	@mkdir -p $(@D) && $< --print-completion > $@

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# Unit tests: one program a module, each links only what it tests.
TESTED := $(BASE) $(TLS) $(KAFKA) $(filter-out %/exporter.o %/collector.o,$(TRACE)) $(VOTE) $(EVENT) $(FILTER) $(VOTES_CSV) $(TOKEN) $(SOCKETIO) \
    $(BUILD)/obj/lib/http/message.o $(BUILD)/obj/cmd/vote-ingest/vote_body.o \
    $(BUILD)/obj/cmd/vote-notify/project_ids.o $(BUILD)/obj/lib/redis/slot.o \
    $(patsubst %,$(BUILD)/obj/cmd/vote-invalidate/%.o,template progress dirty target)
UNITS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
$(BUILD)/unit/%: tests/unit/%.c $(TESTED)
	@mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(FLAGS) $(LDFLAGS) -o $@ $^ -lcmocka -lrdkafka -lhttp_parser -lssl -lcrypto -ljansson -ljwt -lz $(LIBS)

# Fuzz targets: in build/unit each replays its seed corpus, in build/fuzz/bin libFuzzer drives it.
FUZZ_SECONDS ?= 60
FUZZ_LIBS    := -lrdkafka -lhttp_parser -lssl -lcrypto -ljansson -ljwt -lz $(LIBS)
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAYS      := $(FUZZ_TARGETS:%=$(BUILD)/unit/%)
FUZZERS      := $(FUZZ_TARGETS:%=$(BUILD)/bin/%)
$(REPLAYS): $(BUILD)/unit/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/replay.o $(TESTED)
	$(LINK) $(FUZZ_LIBS)
$(FUZZERS): $(BUILD)/bin/%: $(BUILD)/obj/tests/fuzz/%.o $(TESTED)
	$(LINK) -fsanitize=fuzzer $(FUZZ_LIBS)

# Preloaded into a tool, it ends the tool at a named point: the fault tests need no hooks in the product.
CRASH := $(BUILD)/test/libcrash.so
$(CRASH): tests/fault/crash.c
	@mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(filter-out -fsanitize% -fno-sanitize%,$(FLAGS)) -shared -fPIC -o $@ $<

LOCAL := pipelines/local
export RUN PORT_BASE

deps-%:
	@$(LOCAL)/deps.sh $*
deps: ; @$(LOCAL)/deps.sh build run test

# Dependencies come first, and a second make then finds the headers they brought.
up: deps-build deps-run
	@$(MAKE) --no-print-directory all
	@$(LOCAL)/up.sh
down status logs:
	@$(LOCAL)/$@.sh
watch: deps-watch
	@$(LOCAL)/$@.sh

test: deps
	@$(MAKE) --no-print-directory all units
	@tests/run.sh $(BUILD)
# Applies k8s/ to a real API server, which is built the first time: for minutes.
test-k8s: deps deps-k8s
	@$(MAKE) --no-print-directory all
	@/usr/bin/python3 -m pytest -q -p no:cacheprovider tests/apiserver
# The whole stack while a seeded plan breaks it, then a check of every promise, vote by vote.
SEED    ?= $(shell shuf -i 1-999999 -n 1)
storm: deps
	@$(MAKE) --no-print-directory all
	@tests/fault/storm --seed $(SEED) --seconds $(or $(SECONDS),120)
test-unit: deps-build deps-test
	@$(MAKE) --no-print-directory units
	@tests/run.sh $(BUILD) unit
units: $(BUILD)/test/socketio $(UNITS) $(REPLAYS) $(CRASH)
fuzzers: $(FUZZERS)
fanout: $(FANOUT)
asan: deps
	@$(MAKE) --no-print-directory all units BUILD=build/asan CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined"
	@tests/run.sh build/asan
fuzz: deps-build deps-test deps-fuzz
	@$(MAKE) --no-print-directory fuzzers BUILD=build/fuzz CC=clang \
	    CFLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"
	@tests/fuzz/run.sh build/fuzz $(FUZZ_SECONDS)

# The largest conversation of the Polis open data; POLIS names another export.
POLIS ?= $(firstword $(wildcard ../shared/data/polis/austria-climate*.csv))
bench: deps deps-bench
	@$(MAKE) --no-print-directory all fanout
	@/usr/bin/python3 tests/bench/report.py "$(POLIS)"

# All daemons under a steady load (RATE votes a second, or half of the highest); and how cost grows, drawn.
soak: deps
	@$(MAKE) --no-print-directory all
	@/usr/bin/python3 tests/bench/soak.py $(or $(SECONDS),3600) $(RATE)
scale: deps deps-bench
	@$(MAKE) --no-print-directory all
	@/usr/bin/python3 tests/bench/scale.py $(BUILD)/scale
flame: deps deps-bench
	@$(MAKE) --no-print-directory all
	@/usr/bin/python3 tests/bench/flame.py $(BUILD)/flame

# Pictures of the page for README, over a stack of their own; Inter is used where it is installed.
screenshots: deps
	@$(MAKE) --no-print-directory all
	@/usr/bin/python3 tests/e2e/screenshots.py pipelines/img

# The dashboards, by Grafana's own schema; needs Go and its module proxy.
test-dashboards:
	@cd tests/monitoring/schema && go run . $(wildcard $(CURDIR)/k8s/monitoring/dashboards/*.json)

# With docker, podman or buildah; prints its size.
image:
	@k8s/image.sh
tidy:
	@clang-tidy --quiet $(wildcard lib/*/*.c cmd/*/*.c) -- -std=gnu17 -D_GNU_SOURCE $(CPPFLAGS)

format:
	clang-format -i $(shell git ls-files '*.c' '*.h')
clean:
	rm -rf $(BUILD)/bin $(BUILD)/obj $(BUILD)/gen $(BUILD)/man $(BUILD)/completion $(BUILD)/web $(BUILD)/unit $(BUILD)/test $(BUILD)/asan $(BUILD)/fuzz

.PHONY: all web screenshots deps up down status logs watch test test-unit test-k8s test-dashboards image units asan flame fuzz fuzzers \
    fanout storm bench soak scale tidy format clean
.SECONDARY:
