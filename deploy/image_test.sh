#!/bin/sh
# Makes both images of deploy/Dockerfile around a program that is built already, and runs them as deploy/compose.yaml does: read-only, as
# nobody in particular, without capabilities. Looks at what they can and cannot do.
# image_test.sh PROGRAM. Needs root, buildah, podman, runc, jq and curl; on Debian:
#     apt-get install buildah podman runc mmdebstrap jq curl
# RUNTIME_IMAGE and SHELL_IMAGE name base images. Where they are not given, they are made of Debian's packages by mmdebstrap, so that no
# image registry is asked. All that is made lies in a temporary folder, and goes away with it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
program=${1:?"image_test.sh PROGRAM"}
release=bookworm

fail() {
    echo "deploy/image_test.sh: $1" >&2
    exit 1
}

[ -x "$program" ] || fail "there is no program $program: build it first"
[ "$(id -u)" = 0 ] || fail "it has to be run by root"
for tool in buildah podman runc jq curl; do
    command -v "$tool" >/dev/null 2>&1 || fail "$tool is missing; on Debian, apt-get install buildah podman runc mmdebstrap jq curl"
done

work=$(mktemp -d)
export CONTAINERS_STORAGE_CONF="$work/storage.conf"
printf '[storage]\ndriver = "vfs"\nrunroot = "%s/run"\ngraphroot = "%s/graph"\n' "$work" "$work" >"$CONTAINERS_STORAGE_CONF"
tidy() {
    podman rm --all --force --time 5 >/dev/null 2>&1 || true
    podman volume rm --all --force >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap tidy EXIT
trap 'exit 1' INT TERM

failed=0
# check NAME COMMAND...: says what it did, and all it said if it failed.
check() {
    name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        echo "ok      $name"
    else
        echo "FAILED  $name"
        sed 's/^/        /' "$work/said"
        failed=1
    fi
}

# made_of IMAGE FOLDER: an image of nothing else.
made_of() {
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$2" / >/dev/null
    buildah commit --quiet "$container" "localhost/$1" >/dev/null
    buildah rm "$container" >/dev/null
}
# base IMAGE PACKAGE...: an image of Debian's packages as they are unpacked.
base() {
    image=$1
    shift
    command -v mmdebstrap >/dev/null 2>&1 || fail "mmdebstrap is missing, and RUNTIME_IMAGE and SHELL_IMAGE are not given"
    packages=$(printf '%s,' base-files libc6 libgcc-s1 "$@")
    mkdir "$work/$image"
    mmdebstrap --quiet --mode=root --variant=extract --include="${packages%,}" "$release" "$work/$image" 2>"$work/said" ||
        { cat "$work/said" >&2; fail "mmdebstrap could not make $image"; }
    # As the package would put them together.
    if [ -d "$work/$image/usr/share/ca-certificates" ]; then
        cat "$work/$image"/usr/share/ca-certificates/mozilla/*.crt >"$work/$image/etc/ssl/certs/ca-certificates.crt"
    fi
    made_of "$image" "$work/$image"
    rm -rf "${work:?}/$image"
}
[ -n "${RUNTIME_IMAGE:-}" ] || { base base-runtime ca-certificates && RUNTIME_IMAGE=localhost/base-runtime; }
[ -n "${SHELL_IMAGE:-}" ] || { base base-shell dash coreutils sed grep && SHELL_IMAGE=localhost/base-shell; }

# Without what debuggers need, as the Dockerfile builds it: each layer is copied some times here.
mkdir -p "$work/program/out"
if command -v strip >/dev/null 2>&1; then
    strip --strip-debug -o "$work/program/out/haldane" "$program"
else
    install "$program" "$work/program/out/haldane"
fi
made_of program "$work/program"
rm -rf "$work/program"

for target in runtime setup; do
    buildah build --quiet --isolation chroot --file "$here/Dockerfile" --target "$target" --tag "localhost/$target" \
        --build-arg BINARY=localhost/program --build-arg "RUNTIME_IMAGE=$RUNTIME_IMAGE" --build-arg "SHELL_IMAGE=$SHELL_IMAGE" \
        "${here%/*}" >"$work/said" 2>&1 || { cat "$work/said" >&2; fail "the image $target could not be built"; }
    echo "ok      the image $target is built"
done

# confined FLAG... IMAGE ARGUMENT...: what deploy/compose.yaml says of every service. The limits are there for where root may not raise them.
confined() {
    podman --runtime runc run --read-only --tmpfs /tmp --cap-drop=all --security-opt=no-new-privileges --ulimit=nofile=4096:4096 \
        --ulimit=nproc=4096:4096 "$@"
}

# Each of these is a claim. They are run by `check`, where `set -e` does not hold: hence the &&.
is_nobody() {
    [ "$(podman image inspect localhost/runtime --format '{{.User}}')" = 65532:65532 ] &&
        [ "$(podman image inspect localhost/setup --format '{{.User}}')" = 65532:65532 ]
}
has_no_shell() {
    if confined --rm --entrypoint /bin/sh localhost/runtime -c true; then echo "there is a shell"; return 1; fi
}
stays_closed() {
    code=0
    confined --rm localhost/runtime >"$work/refused" 2>&1 || code=$?
    cat "$work/refused"
    [ "$code" = 2 ] && grep -q "nothing here asks who calls" "$work/refused"
}
settings=$here/compose/haldane.toml
setup() {
    confined --rm --network none --group-add 472 --group-add 65534 --volume secrets:/secrets \
        --volume "$settings:/etc/haldane/haldane.toml:ro" localhost/setup "$@"
}
# secret NAME: what the volume holds, as root sees it.
secret() {
    cat "$(podman volume inspect secrets --format '{{.Mountpoint}}')/$1"
}
makes_secrets_once() {
    setup >"$work/prepared" && secret haldane.toml >"$work/first" && secret grafana-password >>"$work/first" &&
        setup && secret haldane.toml >"$work/second" && secret grafana-password >>"$work/second" &&
        cmp "$work/first" "$work/second" && [ "$(grep -c '^\[\[tokens\]\]' "$work/first")" = 4 ] &&
        ! grep -qF "$(secret admin-token)" "$work/prepared"
}
shows_secrets() {
    setup show >"$work/shown" && grep -qF "$(secret admin-token)" "$work/shown" && grep -qF "$(secret grafana-password)" "$work/shown"
}
# reads USER FILE: whether this user may.
reads() {
    confined --rm --network none --user "$1" --volume secrets:/secrets:ro --entrypoint /bin/cat localhost/setup "/secrets/$2" >/dev/null
}
keeps_secrets_apart() {
    reads 472:472 grafana-password && reads 472:472 grafana-token && reads 65534:65534 prometheus-token &&
        ! reads 472:472 prometheus-token && ! reads 472:472 haldane.toml && ! reads 472:472 admin-token && ! reads 472:472 tokens &&
        ! reads 65534:65534 grafana-token && ! reads 65534:65534 grafana-password && ! reads 65534:65534 haldane.toml
}
plays_the_demo() {
    confined --rm --network none --entrypoint /usr/local/bin/haldane localhost/setup demo --once --scenario errors
}

# start: a server, as deploy/compose.yaml has it. Sets $server, $api and $otlp.
start() {
    server=$(confined --detach --volume data:/var/lib/haldane --volume secrets:/secrets:ro --publish 127.0.0.1::4380 --publish 127.0.0.1::4318 \
        localhost/runtime serve --config /secrets/haldane.toml)
    api=$(podman port "$server" 4380/tcp)
    otlp=$(podman port "$server" 4318/tcp)
}
becomes_ready() {
    for _ in $(seq 60); do
        if curl --silent --fail --max-time 5 "http://$api/readyz"; then return; fi
        sleep 1
    done
    podman logs "$server" 2>&1
    return 1
}
says_that_it_is_healthy() {
    podman exec "$server" /usr/local/bin/haldane health
}
is_confined() {
    pid=$(podman inspect "$server" --format '{{.State.Pid}}')
    grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' "/proc/$pid/status"
    ! grep -E '^Cap' "/proc/$pid/status" | grep -qv '0000000000000000$' &&
        grep -qE '^NoNewPrivs:.*1$' "/proc/$pid/status" &&
        grep -qE '^Uid:.65532.65532.65532.65532$' "/proc/$pid/status" && grep -qE '^Gid:.65532.65532.65532.65532$' "/proc/$pid/status" &&
        awk '$5 == "/" && $6 ~ /^ro(,|$)/ { found = 1 } END { exit !found }' "/proc/$pid/mountinfo"
}
# answers STATUS METHOD URL TOKEN [BODY]: whether that is the status of the answer.
answers() {
    expected=$1
    got=$(printf 'header = "authorization: Bearer %s"\n' "$4" |
        curl --silent --max-time 30 --config - --output "$work/answer" --write-out '%{http_code}' --request "$2" "$3" \
            --header 'content-type: application/json' ${5:+--data "$5"})
    [ "$got" = "$expected" ] || { echo "$2 $3 answers $got where $expected was expected"; cat "$work/answer"; return 1; }
}
asks_who_comes() {
    answers 401 GET "http://$api/metrics" none && answers 200 GET "http://$api/metrics" "$(secret prometheus-token)" &&
        answers 403 POST "http://$api/v1/tokens" "$(secret grafana-token)" '{"name": "x", "scopes": ["read"]}' &&
        answers 401 POST "http://$otlp/v1/traces" none '{"resourceSpans": []}' &&
        answers 403 POST "http://$otlp/v1/traces" "$(secret grafana-token)" '{"resourceSpans": []}'
}
# A span of now, as OTLP's JSON.
span() {
    jq --null-input --compact-output --arg at "$(date +%s)000000000" '{resourceSpans: [{
        resource: {attributes: [{key: "service.name", value: {stringValue: "shop"}}]},
        scopeSpans: [{spans: [{traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", name: "GET /", kind: 2,
            startTimeUnixNano: $at, endTimeUnixNano: $at}]}]}]}'
}
takes_telemetry() {
    answers 200 POST "http://$otlp/v1/traces" "$(secret sender-token)" "$(span)" || return 1
    for _ in $(seq 20); do
        if has_the_span; then return; fi
        sleep 1
    done
    return 1
}
has_the_span() {
    HALDANE_TOKEN=$(secret grafana-token) podman exec --env HALDANE_TOKEN "$server" \
        /usr/local/bin/haldane query --format csv "SELECT count(*) AS n FROM spans WHERE service_name = 'shop'" >"$work/counted" &&
        cat "$work/counted" && [ "$(tail -n 1 "$work/counted")" = 1 ]
}
ends_cleanly() {
    podman kill --signal TERM "$server" >/dev/null
    code=$(podman wait "$server")
    podman logs "$server" 2>&1 | tail -n 5
    echo "exit code $code"
    [ "$code" = 0 ]
}

check "both images run as 65532" is_nobody
[ "$RUNTIME_IMAGE" != localhost/base-runtime ] || check "there is no shell" has_no_shell
check "the program starts" confined --rm localhost/runtime --version
check "without tokens no port opens" stays_closed
check "the setup makes tokens and a password once, and does not print them" makes_secrets_once
check "the setup shows them when asked" shows_secrets
check "Grafana and Prometheus may read their own secrets and no others" keeps_secrets_apart
check "the setup can play the demo" plays_the_demo
start
check "the server becomes ready" becomes_ready
check "its health check says so" says_that_it_is_healthy
check "it has no capabilities, cannot get any, and its root is read-only" is_confined
check "every door asks who comes" asks_who_comes
check "telemetry is taken and read back" takes_telemetry
check "SIGTERM ends it with exit code 0" ends_cleanly
podman rm "$server" >/dev/null
start
check "another container on the same volume becomes ready" becomes_ready
check "it has what was sent" has_the_span
check "SIGTERM ends it with exit code 0" ends_cleanly

[ "$failed" = 0 ] || fail "something is wrong, see above"
