# `make` lists the targets. Recipes are POSIX sh, and most of them need only Go. SAM also runs
# build-OrgaSessionFunction, with ARTIFACTS_DIR set.

.DEFAULT_GOAL := help
.PHONY: help run test test-wasm lint drill bench soak verify probe build build-aws build-gcp build-netlify \
	build-cloudflare build-OrgaSessionFunction build-CanaryFunction deploy-aws deploy-gcp deploy-netlify deploy-cloudflare clean

MODULE := github.com/orga-session/orga-session
SOURCES := main.go main_test.go aws-lambda cloudflare core gcp-function internal netlify tools

# Optional build tags, comma-separated: TAGS=otel adds OpenTelemetry (docs/operate.md). SAM passes them on.
TAGS ?=
comma := ,

# The commit that `--version` and the log's first line print. The same sources with the same COMMIT give identical
# binaries, from a checkout or from an archive (where COMMIT is empty unless you set it).
COMMIT ?= $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null)
LDFLAGS = -s -w -X $(MODULE)/core.commit=$(COMMIT)

# The Lambda binary is static and stripped. -buildvcs would add more than the commit.
BUILD = go build -trimpath -buildvcs=false -tags 'lambda.norpc$(if $(TAGS),$(comma)$(TAGS))' -ldflags '$(LDFLAGS)'

LINTER_VERSION := v2.15.0
LINTER := .cache/golangci-lint/$(LINTER_VERSION)/golangci-lint
ACTIONLINT_VERSION := v1.7.12
ACTIONLINT := .cache/actionlint/$(ACTIONLINT_VERSION)/actionlint
KUBE_SCORE_VERSION := v1.20.0
KUBE_SCORE := .cache/kube-score/$(KUBE_SCORE_VERSION)/kube-score

# Runs a tool that Ctrl-C is a normal way to end: make then prints no error. "go run" would add a line to the
# tool's own error. "go build -v" prints each package that it compiles; every fiftieth is counted.
# The sleep lets make see Ctrl-C first: it reports an error if its child is gone by then.
define start
@trap 'sleep 0.2; exit 0' INT; cd tools && program="$(CURDIR)/.cache/bin/$(1)" && mkdir -p ../.cache/bin && rm -f "$$program.ok"; \
{ go build -v -o "$$program" ./$(1) && : >"$$program.ok"; } 2>&1 | { n=0; while read -r line; do \
	case $$line in *[\ :#]*) echo "$$line" >&2; continue;; esac; \
	n=$$((n + 1)); if [ $$((n % 50)) = 0 ]; then echo "$$n packages compiled"; fi; \
done; }; \
[ -f "$$program.ok" ] && "$$program" $(2)
endef

help: ## List the targets
	@awk -F ':.*## ' '/^[a-zA-Z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

# Variables on make's command line reach the program: make run PORT=9000 ORGA_AUTH=hmac …
run: ## Run the endpoint with a local Orga Cloud, and a page to open a session
	@echo "Compiling 450 packages: about a minute the first time, seconds after that."
	$(call start,playground)

# The race detector needs a C compiler. Go reports CGO_ENABLED=0 if it finds none.
test: ## Run the tests of both modules, with the race detector
	@race=-race; \
	if [ "$$(go env CGO_ENABLED)" != 1 ]; then \
		echo "No C compiler found: running the tests without the race detector." >&2; \
		if [ "$$CI" = true ]; then exit 1; fi; \
		race=; \
	fi; \
	command -v redis-server >/dev/null || echo "redis-server not found: skipping the tests of the shared limit." >&2; \
	command -v node >/dev/null || echo "node not found: skipping the JavaScript of the docs." >&2; \
	go test $$race -shuffle=on ./... && \
	go test $$race -shuffle=on -tags otel -run Telemetry ./core && \
	cd tools && go test $$race -shuffle=on -count=1 ./... # -count=1: Go's test cache ignores the files of the other module

test-wasm: ## Run the tests of the Cloudflare Worker's packages on js/wasm, under Node.js
	@cd tools && go run ./wasmtest

lint: $(LINTER) $(ACTIONLINT) $(KUBE_SCORE) ## Check the format of both modules, vet and lint them, and lint the workflows and the Kubernetes manifest
	@unformatted=$$(gofmt -l $(SOURCES)); \
	if [ -n "$$unformatted" ]; then echo "Run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	@for module in . tools; do \
		(cd $$module && go vet ./... && go mod tidy -diff && "$(CURDIR)/$(LINTER)" run ./...) || exit 1; \
	done
	@go vet -tags otel ./... && "$(CURDIR)/$(LINTER)" run --build-tags otel ./core/...
	@export GOOS=js GOARCH=wasm && go vet ./core/... ./cloudflare/... && "$(CURDIR)/$(LINTER)" run ./cloudflare/...
	@$(ACTIONLINT) .github/workflows/*.yml docs/ci/*.yml
	@out=$$($(KUBE_SCORE) score --exit-one-on-warning --kubernetes-version v1.30 docs/kubernetes/*.yaml) || { echo "$$out"; exit 1; }

$(LINTER):
	@echo "Building golangci-lint $(LINTER_VERSION) into .cache: about five minutes on two cores, the first time only."
	@GOBIN="$(CURDIR)/$(dir $(LINTER))" go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINTER_VERSION)

$(ACTIONLINT):
	@GOBIN="$(CURDIR)/$(dir $@)" go install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)

$(KUBE_SCORE):
	@GOBIN="$(CURDIR)/$(dir $@)" go install github.com/zegl/kube-score/cmd/kube-score@$(KUBE_SCORE_VERSION)

drill: ## Simulate incidents, and print each one's log line, remedy and alarms
	@cd tools && go test -count=1 -v -run Incidents ./drill

bench: ## Benchmark the endpoint against the same calls in Node.js
	@cd tools && go run ./bench

soak: ## Load the endpoint for ten minutes while a fake Orga API fails at random
	@cd tools && go run ./soak -for 10m

verify: ## Check the deployed artifacts with each platform's own tools
	@cd tools && go run ./verify

probe: ## Test an endpoint as a WebRTC client would: make probe URL=https://…
	@cd tools && go run ./probe $(URL)

build: build-aws build-gcp build-netlify build-cloudflare ## Build for every platform, into dist

build-aws: ## Build the Lambda binary
	@$(MAKE) --no-print-directory build-OrgaSessionFunction ARTIFACTS_DIR=dist/aws

# Named after the function in template.yaml, whose Architectures this GOARCH must match.
build-OrgaSessionFunction:
	@mkdir -p "$(ARTIFACTS_DIR)"
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(BUILD) -o "$(ARTIFACTS_DIR)/bootstrap" ./aws-lambda

# The canary of template.yaml is the same binary with another handler.
build-CanaryFunction: build-OrgaSessionFunction

# Google builds a function from the root of the upload. So its package is staged there, with exactly the files that
# the build needs. TAGS selects among these files and the commit is written into the source, so the build itself
# takes no flags.
build-gcp: ## Stage the source for Google Cloud's build
	@rm -rf dist/gcp && mkdir -p dist/gcp
	@cp go.mod go.sum gcp-function/.gcloudignore dist/gcp
	@for file in $$(GOOS=linux GOARCH=amd64 go list -tags '$(TAGS)' -deps -f '{{with .Module}}{{if .Main}}{{range $$.GoFiles}}{{$$.ImportPath}}/{{.}} {{end}}{{range $$.EmbedFiles}}{{$$.ImportPath}}/{{.}} {{end}}{{end}}{{end}}' ./gcp-function); do \
		file=$${file#$(MODULE)/}; to=dist/gcp/$${file#gcp-function/}; \
		mkdir -p "$${to%/*}" && sed -e '/^\/\/go:build !*otel$$/d' -e 's/^var commit string$$/var commit = "$(COMMIT)"/' "$$file" >"$$to" || exit 1; \
	done
	cd dist/gcp && go mod vendor

# Netlify runs its own build; this one checks that it compiles, and the size.
build-netlify: ## Build the Netlify function
	@mkdir -p dist/netlify
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(BUILD) -o dist/netlify/orga-session ./netlify/functions/orga-session

# The modules as uploaded. wasm_exec.js must come from the compiler's toolchain.
build-cloudflare: ## Build the Cloudflare Worker
	@rm -rf dist/cloudflare && mkdir -p dist/cloudflare
	GOOS=js GOARCH=wasm go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o dist/cloudflare/orga-session.wasm ./cloudflare
	@cp cloudflare/*.mjs "$$(go env GOROOT)/lib/wasm/wasm_exec.js" dist/cloudflare

deploy-aws: ## Deploy to AWS with SAM, after a confirmation; DRY_RUN=1 only prints the commands
	$(call start,deploy,aws)

deploy-gcp: ## Deploy to Google Cloud, after a confirmation; DRY_RUN=1 only prints the commands
	$(call start,deploy,gcp)

deploy-netlify: ## Deploy to Netlify, after a confirmation; DRY_RUN=1 only prints the commands
	$(call start,deploy,netlify)

deploy-cloudflare: ## Deploy to Cloudflare, after a confirmation; DRY_RUN=1 only prints the commands
	$(call start,deploy,cloudflare)

clean: ## Remove build output, except .cache and the link to a Netlify site
	@rm -rf dist .aws-sam .netlify/functions*
