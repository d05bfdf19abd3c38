#!/bin/sh
# Looks for Alertmanager and Chromium, and installs into one folder what tests/it talks to: the OpenTelemetry SDKs of other languages, DuckDB, Argo Rollouts' and
# Flagger's own code, drivers of PostgreSQL. That is $HALDANE_TEST_CLIENTS, or `clients` in cargo's target folder. What is already there in these
# versions is left alone.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${HALDANE_TEST_CLIENTS:-${CARGO_TARGET_DIR:-${here%/*}/target}/clients}

fail() {
    echo "tests/setup.sh: $1" >&2
    exit 1
}

# Python 3.10 and Node 20 are the oldest that the pinned packages run on.
command -v python3 >/dev/null 2>&1 || fail "python3 is missing; the tests with the Python SDK and DuckDB need Python 3.10 or newer with venv"
command -v node >/dev/null 2>&1 || fail "node is missing; the tests with the Node SDK need Node 20 or newer"
command -v npm >/dev/null 2>&1 || fail "npm is missing; it comes with Node and installs the Node SDK"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "python3 is $(python3 --version 2>&1), too old; 3.10 or newer is needed"
node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || fail "node is $(node --version), too old; 20 or newer is needed"

# Notifications are tested with a real Alertmanager.
have_alertmanager() {
    { command -v prometheus-alertmanager || command -v alertmanager; } >/dev/null 2>&1 && command -v amtool >/dev/null 2>&1
}
if ! have_alertmanager && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Alertmanager"
    apt-get install --yes --quiet prometheus-alertmanager >/dev/null 2>&1 || { apt-get update --quiet && apt-get install --yes --quiet prometheus-alertmanager; } >/dev/null 2>&1 || true
fi
have_alertmanager || fail "Alertmanager with amtool is missing; on Debian they are in the package prometheus-alertmanager, else see https://prometheus.io/download/"

# SQL over the PostgreSQL wire is tested with psql, alert rules with promtool.
need_debian() {
    command -v "$1" >/dev/null 2>&1 && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing $2"
        apt-get install --yes --quiet "$2" >/dev/null 2>&1 || { apt-get update --quiet && apt-get install --yes --quiet "$2"; } >/dev/null 2>&1 || true
    fi
    command -v "$1" >/dev/null 2>&1 || fail "$1 is missing; on Debian it is in the package $2"
}
need_debian psql postgresql-client
need_debian promtool prometheus
# The scripts of CI systems need these.
need_debian jq jq
need_debian curl curl
# Pages are opened in a browser.
need_debian chromium chromium
# JDBC asks too; a program that is one file runs on a JDK of 17 or newer.
need_debian javac default-jdk-headless
need_debian mvn maven

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

# The list of versions is copied last: an interrupted run is begun anew.
python=$folder/python
if ! cmp -s "$here/clients/python/requirements.txt" "$python/requirements.txt"; then
    echo "installing the Python SDK and DuckDB into $python"
    rm -rf "$python"
    python3 -m venv "$python" || fail "python3 -m venv failed; on Debian it is in the package python3-venv"
    "$python/bin/pip" install --quiet --disable-pip-version-check --no-input -r "$here/clients/python/requirements.txt" ||
        fail "pip could not install tests/clients/python/requirements.txt; is the package registry reachable?"
    cp "$here/clients/python/requirements.txt" "$python/requirements.txt"
fi

node=$folder/node
if ! cmp -s "$here/clients/node/package-lock.json" "$node/installed-lock.json"; then
    echo "installing the Node SDK into $node"
    rm -rf "$node"
    mkdir -p "$node"
    cp "$here/clients/node/package.json" "$here/clients/node/package-lock.json" "$node/"
    (cd "$node" && npm ci --silent --no-audit --no-fund --ignore-scripts) ||
        fail "npm could not install tests/clients/node/package-lock.json; is the package registry reachable?"
    cp "$here/clients/node/package-lock.json" "$node/installed-lock.json"
fi

# Argo Rollouts and Flagger ask with their own code, SQL is asked with the driver that Grafana has. The sources are moved to their place last.
go=$folder/go
mkdir -p "$go"
cat "$here"/clients/go/go.* "$here"/clients/go/*/*.go >"$go/wanted"
if ! cmp -s "$go/wanted" "$go/built"; then
    command -v go >/dev/null 2>&1 || fail "go is missing; the tests with Argo Rollouts, Flagger and pgx need Go 1.25 or newer"
    echo "building Argo Rollouts' and Flagger's own code and pgx into $go; without a cache that takes some minutes"
    (cd "$here/clients/go" && go build -trimpath -buildvcs=false -ldflags=-s -o "$go/bin/" ./...) ||
        fail "go could not build tests/clients/go, which needs Go 1.25 or newer (here: $(go version)); is the module proxy reachable?"
    mv "$go/wanted" "$go/built"
fi

java=$folder/java
if ! cmp -s "$here/clients/java/driver.txt" "$java/driver.txt"; then
    echo "fetching the JDBC driver of PostgreSQL into $java"
    rm -rf "$java"
    mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy "-Dartifact=$(cat "$here/clients/java/driver.txt")" \
        "-DoutputDirectory=$java" -Dmdep.stripVersion=true || fail "mvn could not fetch $(cat "$here/clients/java/driver.txt"); is Maven Central reachable?"
    cp "$here/clients/java/driver.txt" "$java/driver.txt"
fi
