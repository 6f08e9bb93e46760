# syntax=docker/dockerfile:1
# organization-operator: one binary on distroless. It uses glibc, not musl: the same build that the tests run.
#   docker build --build-arg REVISION=$(git rev-parse HEAD) -t organization-operator .     # make image
# Without Docker: make image-archive

FROM rust:1.95-bookworm AS build
WORKDIR /src

# Build the dependencies first, with empty programs: this layer stays valid until Cargo.toml or Cargo.lock changes. cargo needs
# every file that a manifest names or implies: testbed/ (a workspace member, with `default-run`) and the benches. tests/image.rs
# builds this file and runs the image.
COPY Cargo.toml Cargo.lock ./
COPY crates/planner/Cargo.toml crates/planner/
COPY testbed/Cargo.toml testbed/
RUN mkdir -p src benches crates/planner/src testbed/src \
 && echo 'fn main() {}' | tee src/main.rs benches/benchmarks.rs > testbed/src/main.rs \
 && touch src/lib.rs crates/planner/src/lib.rs testbed/src/lib.rs \
 && cargo build --release --locked --bin organization-operator

# Build the program. COPY keeps the files' times, which are older than the empty program; without touch, cargo builds nothing.
COPY migrations migrations
COPY crates crates
COPY src src
ARG REVISION=unknown
RUN find crates src migrations -type f -exec touch {} + \
 && REVISION=${REVISION} cargo build --release --locked --bin organization-operator

# The base image has libc, libgcc, CA certificates, time zones and a user 65532, but no shell and no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="organization-operator" \
      org.opencontainers.image.description="Kubernetes operator that deletes, deactivates or retains the tenants of a workflow platform kept in PostgreSQL" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY LICENSE /LICENSE
COPY --from=build /src/target/release/organization-operator /usr/local/bin/organization-operator
# A number, because runAsNonRoot cannot check a name.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/organization-operator"]
CMD ["run"]
