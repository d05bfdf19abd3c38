#!/bin/sh
# Checks everything in deploy/: each file by the schema of the tool that reads it, and the scripts by running them.
# What it needs is installed from package registries into a folder: the first argument, else $HALDANE_TEST_CLIENTS, else `clients` in
# cargo's target folder; there into `deploy`. What is already there in these versions is left alone. Needs Python 3.10, Go 1.24.9 and jq.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-${HALDANE_TEST_CLIENTS:-${CARGO_TARGET_DIR:-${here%/*}/target}/clients}}/deploy

# The oldest Argo Rollouts that has all that the templates ask for.
argo=github.com/argoproj/argo-rollouts@v1.9.0
flagger=github.com/fluxcd/flagger@v1.41.0
kubeconform=github.com/yannh/kubeconform/cmd/kubeconform@v0.6.7

fail() {
    echo "deploy/check.sh: $1" >&2
    exit 1
}

command -v python3 >/dev/null 2>&1 || fail "python3 is missing; Python 3.10 or newer with venv is needed"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "python3 is $(python3 --version 2>&1), too old; 3.10 or newer is needed"
command -v go >/dev/null 2>&1 || fail "go is missing; Go 1.24.9 or newer fetches kubeconform and the resource definitions of Argo Rollouts and Flagger"
command -v jq >/dev/null 2>&1 || fail "jq is missing; on Debian, apt-get install jq"
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

# The list of versions is copied last: an interrupted run is begun anew.
python=$folder/python
if ! cmp -s "$here/check/requirements.txt" "$python/requirements.txt"; then
    echo "installing check-jsonschema, hadolint, yamllint and shellcheck into $python"
    rm -rf "$python"
    python3 -m venv "$python" || fail "python3 -m venv failed; on Debian it is in the package python3-venv"
    "$python/bin/pip" install --quiet --disable-pip-version-check --no-input -r "$here/check/requirements.txt" ||
        fail "pip could not install deploy/check/requirements.txt; is the package registry reachable?"
    cp "$here/check/requirements.txt" "$python/requirements.txt"
fi

# Where the module of a version lies.
module() {
    (cd "$folder" && go mod download -json "$1") | "$python/bin/python" -c '
import json, sys
found = json.load(sys.stdin)
sys.exit(found["Error"]) if "Error" in found else print(found["Dir"])
'
}
crds=$folder/crds
wanted=$(printf '%s\n' "$kubeconform" "$argo" "$flagger" && cat "$here/check/crd_schemas.py")
if [ "$wanted" != "$(cat "$crds/made-of" 2>/dev/null)" ]; then
    echo "installing kubeconform and the resource definitions of Argo Rollouts and Flagger into $folder"
    rm -rf "$crds"
    mkdir -p "$crds"
    (cd "$folder" && GOBIN=$folder/bin go install "$kubeconform" 2>"$crds/go.log") ||
        { cat "$crds/go.log" >&2; fail "go could not install $kubeconform; is the module proxy reachable?"; }
    argo_module=$(module "$argo") || fail "go could not download $argo"
    flagger_module=$(module "$flagger") || fail "go could not download $flagger"
    "$python/bin/python" "$here/check/crd_schemas.py" "$crds" "$argo_module"/manifests/crds/*-crd.yaml "$flagger_module/artifacts/flagger/crd.yaml"
    printf '%s\n' "$wanted" >"$crds/made-of"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
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

schema="$python/bin/check-jsonschema --builtin-schema"
lint='{extends: default, rules: {document-start: disable, line-length: {max: 150}, comments: {min-spaces-from-content: 1}}}'

check "YAML is tidy" "$python/bin/yamllint" --strict -d "$lint" "$here/argo" "$here/flagger" "$here/github-action" "$here/gitlab" "$here/circleci" \
    "$here/compose.yaml" "$here/compose"
check "names agree, Groovy parses, scripts are apart from inputs" "$python/bin/python" "$here/check/contents.py" "$here" "$work"
check "Argo Rollouts and Flagger take their resources" "$folder/bin/kubeconform" -strict -summary \
    -schema-location "$crds/{{.ResourceKind}}_{{.Group}}_{{.ResourceAPIVersion}}.json" "$here/argo" "$here/flagger"
# shellcheck disable=SC2086 # a command and its flag
{
    check "GitHub takes the action" $schema vendor.github-actions "$here/github-action/action.yml"
    check "GitLab takes the component's inputs" $schema vendor.gitlab-ci "$work/gitlab-spec.yml"
    check "GitLab takes the component's job" $schema vendor.gitlab-ci --data-transform gitlab-ci "$work/gitlab-jobs.yml"
    check "CircleCI takes the orb" $schema vendor.circle-ci "$here/circleci/orb.yml"
    check "Compose takes its file" $schema vendor.compose-spec "$here/compose.yaml"
}
check "hadolint is content" "$python/bin/hadolint" "$here/Dockerfile"
check "shellcheck is content" "$python/bin/shellcheck" --shell=sh "$here/check.sh" "$here/check/gate_test.sh" "$here/github-action/gate.sh" \
    "$work/gitlab.sh" "$work/circleci.sh" "$work/jenkins.sh" "$here/image_test.sh" "$here/compose/setup.sh" "$here/check/setup_test.sh"
check "CI scripts do what a decision asks" sh "$here/check/gate_test.sh" "$here/github-action/gate.sh" "$work/gitlab.sh" "$work/circleci.sh" "$work/jenkins.sh"
check "the setup makes secrets once and keeps them" sh "$here/check/setup_test.sh" "$here/compose/setup.sh" "$here/compose/haldane.toml"

# As it lies in the container: rules beside the settings, and a token.
if command -v promtool >/dev/null 2>&1; then
    mkdir "$work/prometheus"
    cp -r "${here%/*}/alerts/prometheus" "$work/prometheus/haldane"
    echo token >"$work/prometheus/token"
    sed "s|/secrets/prometheus-token|$work/prometheus/token|" "$here/compose/prometheus.yml" >"$work/prometheus/prometheus.yml"
    check "Prometheus takes its settings and the rules" promtool check config "$work/prometheus/prometheus.yml"
else
    echo "skipped Prometheus' settings: there is no promtool"
fi
if command -v amtool >/dev/null 2>&1; then
    check "Alertmanager takes its settings" amtool check-config "$here/compose/alertmanager.yml"
else
    echo "skipped Alertmanager's settings: there is no amtool"
fi

[ "$failed" = 0 ] || fail "something is wrong, see above"
