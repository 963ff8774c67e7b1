# The commands of the project. Each of them installs what it needs and the machine lacks, says so, and then
# hands over to cargo, CMake or a script; see "make help".

# rustup puts cargo where a shell that was open before does not look yet.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

CFLAGS ?= -O2 -g
EXAMPLE_FLAGS := -std=c11 -Wall -Wextra -Wshadow -Iinclude
EXAMPLES := $(patsubst c_examples/%.c,build/examples/%,$(wildcard c_examples/*.c))

# Where "make install" puts things, by the names that packagers use.
PREFIX ?= /usr/local
INSTALL = PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' LIBDIR='$(LIBDIR)' LIBRARY_DIR='$(LIBRARY_DIR)' bash scripts/install.sh

.PHONY: lib examples demo install install-strip test test-full scan lint header bench bench-own bench-counts \
	bench-targets bench-publish clean help built-examples tsan bench-limits man package package-check model soak storm \
	attacks fuzz
.DEFAULT_GOAL := lib

lib: setup-lib                ## build the release library into build/lib (the default)
	bash scripts/build_lib.sh build/lib

examples: lib                 ## build the C examples into build/examples
	@$(MAKE) --no-print-directory built-examples

demo: setup-demo              ## show a C echo server and its client at work, over TLS
	@$(MAKE) --no-print-directory examples
	bash scripts/demo.sh build/examples

install: setup-install        ## install under PREFIX (/usr/local), into DESTDIR if that is set
	$(INSTALL)

install-strip: setup-install  ## the same without symbols for debuggers
	$(INSTALL) --strip

package: setup-package        ## every package and archive, into build/package; slow
	bash packaging/all.sh

package-check: setup-package  ## try what "make package" made in a fresh Debian root; as root
	bash packaging/check.sh

test: setup-test              ## run every test, in Rust and in C
	bash scripts/test.sh

test-full: setup-full         ## all that takes longer: other TLS libraries, repetitions, model, soak, storm, fuzzers, packages
	bash scripts/test_full.sh '$(PART)'

tsan: setup-test              ## run the busiest C programs under ThreadSanitizer; a part of the tests
	bash scripts/tsan.sh

model: setup-test             ## run random sequences against the model of the promises: SEQUENCES=100000, SEED=, JOBS=
	bash tests/model/run.sh

soak: setup-soak              ## keep a server busy with every kind of visitor for MINUTES=10, and measure what it holds
	@$(MAKE) --no-print-directory lib
	bash tests/soak/soak.sh $(MINUTES)

storm: setup-soak             ## OPEN=15000 connections at once, then CONNECTIONS=1000000 that end in all eight ways
	@$(MAKE) --no-print-directory lib
	bash tests/soak/storm.sh '$(OPEN)' '$(CONNECTIONS)'

fuzz: setup-fuzz              ## let libFuzzer look for inputs that break a promise: SECONDS=60 each, TARGET=server
	bash scripts/fuzz.sh $(or $(SECONDS),60) $(TARGET)

scan: setup-scan              ## let public scanners look at the example server (testssl.sh, sslyze)
	@$(MAKE) --no-print-directory examples
	bash tests/scan/check.sh build/examples

attacks: setup-attacks        ## measure what attackers can hold, and show what stops them: docs/security.md
	@$(MAKE) --no-print-directory lib
	bash tests/attacks/check.sh --measure build/lib

lint: setup-lint              ## format, lints, documentation, header drift, scripts
	bash scripts/lint.sh

man: setup-man                ## the manual: pages for man(1) in build/man, and as HTML in build/html
	bash scripts/man.sh build/man build/html

header: setup-lib             ## write include/tlsloop.h anew from the Rust source
	bash scripts/header.sh

bench: setup-bench            ## measure tlsloop beside its peers; ROUNDS, ONLY, WORK, BUILDS, SHORT: see bench/README.md
	bash bench/run.sh

bench-own: setup-bench        ## measure what concerns tlsloop alone: start, threads, memory of its own, two workers
	bash bench/own.sh

bench-limits: setup-bench     ## measure what the TLS library and the kernel cost without any server
	bash bench/limits.sh

bench-targets:                ## compare what was measured with what was aimed at
	@PYTHONDONTWRITEBYTECODE=1 python3 bench/runner/targets.py $(or $(BENCH_OUT),build/bench)

bench-counts: setup-bench setup-counts ## count instructions and system calls anew: bench/counts.json
	bash bench/counts.sh

bench-publish: setup-bench    ## show the last measurement in docs/performance.svg
	bash bench/publish.sh

clean:                        ## remove everything that was built
	rm -rf build
	cargo clean

help:                         ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

# In a make of its own, because the library that these depend on has to be there first.
built-examples: $(EXAMPLES)
	@:

setup-%:
	@sh scripts/setup.sh $*

# The library's directory is found from the program's own, so that the tree can be moved.
build/examples/%: c_examples/%.c include/tlsloop.h build/lib/libtlsloop.so.0
	@mkdir -p $(@D)
	$(CC) $(EXAMPLE_FLAGS) $(CFLAGS) -o $@ $< -Lbuild/lib -ltlsloop -lpthread -Wl,-rpath,'$$ORIGIN/../lib'
