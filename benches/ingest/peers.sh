#!/bin/sh
# Installs the peer of the ingest bench, from the registry of crates, into a folder of its own; prints where it is.
set -eu
root="${1:?where to install it}"
if [ ! -x "$root/bin/otlp2parquet" ]; then
    cargo install --quiet --locked otlp2parquet@0.12.0 --root "$root" --target-dir "$root/target" >&2
    rm -rf "$root/target"
fi
echo "$root/bin/otlp2parquet"
