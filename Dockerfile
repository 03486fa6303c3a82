# One image, one executable: `serve` (default), `work`, `migrate`, `check`, `admin`.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p carillon --bin carillon && \
    cp target/release/carillon /carillon

FROM debian:bookworm-slim
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /carillon /usr/local/bin/carillon
# Embedded mode keeps everything under ./data; production mode writes to /tmp only.
RUN install -d -o 10001 -g 10001 /srv/carillon
WORKDIR /srv/carillon
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["carillon"]
CMD ["serve"]
