# organization-operator. `make` lists the targets.

CARGO   ?= cargo
# The build profile of the demo: release, or dev while you work on it.
DEMO_PROFILE ?= release
IMAGE   ?= organization-operator:dev

.DEFAULT_GOAL := help
.PHONY: help demo up test fuzz bench lint fmt crd check-crd image image-archive

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Show in this terminal what the operator does, on real servers that it stops afterwards
	@$(CARGO) build --locked --profile $(DEMO_PROFILE) --bins
	@$(CARGO) run --locked --quiet --profile $(DEMO_PROFILE) --bin demo

up: ## Run a control plane and a database until Ctrl-C, to try things by hand
	@$(CARGO) build --locked --profile $(DEMO_PROFILE) --bins
	@$(CARGO) run --locked --quiet --profile $(DEMO_PROFILE) --bin testbed

test: ## Run every test on real servers, with the release build; download what the machine lacks
	$(CARGO) test --locked --release --workspace

fuzz: ## Test the cascade on CASES random schemas, beginning with SEED (CASES=1 SEED=... repeats one)
	CASES=$(or $(CASES),20000) SEED=$(or $(SEED),$(shell date +%s)) \
	$(CARGO) test --locked --release --test suite -- --nocapture the_cascade_erases_exactly

bench: ## Measure PARTS (all) at SCALE (full: an hour) beside the alternatives, into docs/benchmarks.md
	$(CARGO) bench --locked --bench benchmarks -- $(PARTS)

lint: ## Check formatting and run clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

crd: ## Write the CustomResourceDefinition to crds/
	$(CARGO) run --locked --quiet --release --bin organization-operator -- crd > target/crd.yaml
	mv target/crd.yaml crds/organizations.organization-operator.io.yaml

check-crd: ## Fail if crds/ differs from what the code generates
	$(CARGO) run --locked --quiet --release --bin organization-operator -- crd | diff -u crds/organizations.organization-operator.io.yaml -

image: ## Build the container image
	docker build --build-arg REVISION=$$(git rev-parse HEAD) -t $(IMAGE) .

image-archive: ## Build the image without a daemon, on bases made of Debian's packages, into target/image.tar
	rm -f target/image.tar
	$(CARGO) run --locked --quiet --release --bin testbed -- image \
		--name $(IMAGE) --revision $$(git rev-parse HEAD) --archive target/image.tar
