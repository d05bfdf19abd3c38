#!/bin/sh
# What the image `setup` does. Without an argument: tokens and a password where there are none, and haldane.toml with them.
# `show` prints them for a person. `demo` plays the demo into the data folder, if that is empty.
set -eu
umask 077

settings=${SETUP_SETTINGS:-/etc/haldane/haldane.toml}
secrets=${SETUP_SECRETS:-/secrets}
data=${SETUP_DATA:-/var/lib/haldane}

# token NAME SCOPE: makes a token; itself goes to NAME-token, the lines that let it in to tokens.new.
token() {
    made=$(haldane token create --name "$1" --scope "$2")
    printf '%s\n' "$made" | sed -n 's/.*Bearer \([0-9a-f]*\).*/\1/p' >"$secrets/$1-token"
    [ -s "$secrets/$1-token" ]
    printf '%s\n' "$made" | grep -v '^#' >>"$secrets/tokens.new"
}

# for_group GROUP NAME...: the owner and this group may read them, nobody else.
for_group() {
    group=$1
    shift
    for name in "$@"; do
        chgrp "$group" "$secrets/$name"
        chmod 440 "$secrets/$name"
    done
}

prepare() {
    # Renamed last: what was interrupted is begun anew.
    if ! [ -s "$secrets/tokens" ]; then
        rm -f "$secrets"/*-token "$secrets"/*-password "$secrets/tokens.new"
        token admin operate
        token sender ingest
        token grafana read
        token prometheus read
        od -A n -N 16 -t x1 /dev/urandom | tr -d ' \n' >"$secrets/grafana-password"
        for_group "${SETUP_GRAFANA_GROUP:-472}" grafana-token grafana-password
        for_group "${SETUP_PROMETHEUS_GROUP:-65534}" prometheus-token
        mv "$secrets/tokens.new" "$secrets/tokens"
    fi
    {
        cat "$settings"
        echo
        cat "$secrets/tokens"
    } >"$secrets/haldane.new"
    mv "$secrets/haldane.new" "$secrets/haldane.toml"
    echo "Passwords and tokens: docker compose --file deploy/compose.yaml run --rm setup show"
}

show() {
    if ! [ -s "$secrets/tokens" ]; then
        echo "setup: there are no tokens yet: they are made at the first start" >&2
        exit 1
    fi
    cat <<TEXT
Grafana       http://127.0.0.1:3000   user admin, password $(cat "$secrets/grafana-password")
Haldane       http://127.0.0.1:4380   any user; the password is the token below
Prometheus    http://127.0.0.1:9090
Alertmanager  http://127.0.0.1:9093

For the command line (it may see and decide everything):
  export HALDANE_TOKEN=$(cat "$secrets/admin-token")
For services that send telemetry (it may do nothing else):
  export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
  export OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20$(cat "$secrets/sender-token")
TEXT
}

demo() {
    if [ -n "$(ls -A "$data")" ]; then
        echo "There is data already: no demo is played into it. To begin anew: docker compose --file deploy/compose.yaml down --volumes"
        return
    fi
    code=0
    haldane demo --once --data "$data" || code=$?
    # 1 says that a verdict was not the one that was expected: something to look at.
    [ "$code" -le 1 ]
}

case ${1:-prepare} in
    prepare | show | demo) "${1:-prepare}" ;;
    *)
        echo "setup: there is no $1; say nothing, show or demo" >&2
        exit 2
        ;;
esac
