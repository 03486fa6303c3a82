# One image, one executable: `serve` (default), `serve --only recipient`, `work`, `migrate`, `check`, `admin`.
FROM rust:1.95-bookworm AS build
# Tells what the executable is made of. Before the sources, so that it is built once.
RUN cargo install --locked --debug cargo-cyclonedx@0.5.9
WORKDIR /src
COPY . .
# What a debugger reads is five times what runs; and compiled in sixteen pieces, functions come out more than once.
ENV CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
# What the loader adds to a hundred thousand addresses is a list of bits for it (glibc 2.36), not 24 bytes for each.
ENV RUSTFLAGS=-Clink-arg=-Wl,-z,pack-relative-relocs
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p carillon --bin carillon && \
    install -D target/release/carillon /image/usr/local/bin/carillon && \
    cargo cyclonedx --manifest-path api/Cargo.toml --format json --spec-version 1.5 --all --quiet && \
    install -D -m 644 api/carillon.cdx.json /image/usr/share/carillon/carillon.cdx.json
# Nothing else but that list, the libraries it names, public authorities, and the order in which names are looked up; no shell.
RUN ldd /image/usr/local/bin/carillon | grep -o '/[^ ]*' | xargs cp -L --parents -t /image && \
    cp -L --parents -t /image /etc/ssl/certs/ca-certificates.crt && \
    echo 'hosts: files dns' >/image/etc/nsswitch.conf && \
    mkdir -p /owned/tmp /owned/srv/carillon && \
    du -sm --apparent-size /image && \
    test "$(du -sm --apparent-size /image | cut -f1)" -lt 80

FROM scratch
COPY --from=build /image/ /
# Embedded mode keeps everything under ./data; production mode writes to /tmp only.
COPY --from=build --chown=10001:10001 /owned/ /
WORKDIR /srv/carillon
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/carillon"]
CMD ["serve"]
