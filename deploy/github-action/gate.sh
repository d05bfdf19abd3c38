#!/bin/sh
# Waits for Haldane's decision, tells it to GitHub, and ends with what `haldane gate` ended with:
# 0 go on, 1 roll back, 2 usage or transport, 3 inconclusive, 4 undecided. All inputs are environment variables, see
# action.yml; without GitHub's own variables it runs anywhere. Needs haldane, curl and jq; gh only for comments.
set -euf

say() {
    printf 'haldane gate: %s\n' "$1" >&2
}
fail() {
    say "$1"
    output decision error
    exit 2
}
# Appends an output; line ends would begin another one.
output() {
    if [ -n "${GITHUB_OUTPUT:-}" ]; then
        printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr '\r\n' '  ')" >>"$GITHUB_OUTPUT"
    fi
}

binary=${GATE_BINARY:-haldane}
for tool in curl jq; do
    command -v "$tool" >/dev/null 2>&1 || fail "$tool is missing; install it in a step before"
done
command -v "$binary" >/dev/null 2>&1 ||
    fail "there is no program $binary: put haldane on the PATH in a step before, or name it with the input binary"
url=${HALDANE_URL:-}
url=${url%/}
[ -n "$url" ] || fail "the input url is missing: the address of the Haldane server"
[ -n "${GATE_SERVICE:-}" ] || fail "the input service is missing"
[ -n "${GATE_BASELINE:-}" ] || fail "the input baseline is missing, such as service.version=1.4.0"
[ -n "${GATE_CANARY:-}" ] || fail "the input canary is missing, such as service.version=1.5.0"

fail_on=
for decision in $(printf '%s' "${GATE_FAIL_ON:-rollback,inconclusive,undecided}" | tr ',' ' '); do
    case $decision in
        rollback | inconclusive | undecided | none) fail_on="$fail_on $decision " ;;
        *) fail "fail-on does not know $decision: take rollback, inconclusive, undecided, or none" ;;
    esac
done

work=$(mktemp -d)
quiet=
# Reasons and names come from telemetry: GitHub must not take a line of them for a command.
hush() {
    if [ "${GITHUB_ACTIONS:-}" = true ]; then
        quiet=haldane-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
        exec 2>&1
        printf '::stop-commands::%s\n' "$quiet"
    fi
}
unhush() {
    if [ -n "$quiet" ]; then
        printf '::%s::\n' "$quiet"
        quiet=
    fi
}
trap 'unhush; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Everything as --flag=value, so that no value is taken for a flag; the address and the token by environment.
export HALDANE_URL="$url"
set -- "--service=$GATE_SERVICE" "--environment=${GATE_ENVIRONMENT:-default}" \
    "--baseline=$GATE_BASELINE" "--canary=$GATE_CANARY" "--wait=${GATE_WAIT:-30m}"
if [ -n "${GATE_POLICY:-}" ]; then
    set -- "$@" "--policy=$GATE_POLICY"
fi
if [ -n "${GATE_IDEMPOTENCY_KEY:-}" ]; then
    set -- "$@" "--idempotency-key=$GATE_IDEMPOTENCY_KEY"
fi
if [ -n "${GITHUB_SHA:-}" ]; then
    set -- "$@" "--meta=commit=$GITHUB_SHA"
fi
if [ -n "${GITHUB_RUN_ID:-}" ]; then
    set -- "$@" "--meta=run=${GITHUB_SERVER_URL:-https://github.com}/${GITHUB_REPOSITORY:-}/actions/runs/$GITHUB_RUN_ID"
fi
printf '%s\n' "${GATE_META:-}" | tr -d '\r' >"$work/meta"
while IFS= read -r line; do
    if [ -n "$line" ]; then
        set -- "$@" "--meta=$line"
    fi
done <"$work/meta"
if [ -n "${HALDANE_TOKEN:-}" ]; then
    export HALDANE_TOKEN
else
    unset HALDANE_TOKEN
fi

hush
code=0
"$binary" gate "$@" --json >"$work/verdict.json" || code=$?

case $code in
    0) decision=promote ;;
    1) decision=rollback ;;
    3) decision=inconclusive ;;
    4) decision=undecided ;;
    *) fail "no decision, haldane gate ended with $code; its message is above" ;;
esac

read_verdict() {
    jq -r "$1 // empty" "$work/verdict.json" | tr '\r\n' '  ' | sed 's/ *$//'
}
jq -e 'type == "object"' "$work/verdict.json" >/dev/null 2>&1 || fail "haldane gate printed no verdict"
id=$(read_verdict .rollout_id)
case $id in
    '' | *[!0-9A-Za-z_-]*) fail "the verdict names no rollout" ;;
esac
reason=$(read_verdict .reason)
# The link without user and password, if the address has any.
link=$(printf '%s' "$url" | sed 's#^\([a-z]*://\)[^/]*@#\1#')/v1/rollouts/$id/report.md

output decision "$decision"
output rollout-id "$id"
output url "$link"
output score "$(read_verdict .score)"
say "$decision: $reason"
say "report: $link"
unhush

# curl reads the header from standard input: it stands in no list of processes.
get() {
    if [ -n "${HALDANE_TOKEN:-}" ]; then
        printf 'header = "Authorization: Bearer %s"\n' "$(printf '%s' "$HALDANE_TOKEN" | sed 's/[\\"]/\\&/g')"
    fi | curl --config - --fail --silent --show-error --max-time 30 --retry 3 --url "$1"
}
if ! get "$url/v1/rollouts/$id/report.md" >"$work/report.md"; then
    say "the report could not be fetched; the summary has the verdict only"
    printf '# Haldane: %s\n\n    %s\n' "$decision" "$reason" >"$work/report.md"
fi
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    # A summary may have 1 MiB.
    head -c 900000 "$work/report.md" >>"$GITHUB_STEP_SUMMARY"
    printf '\n' >>"$GITHUB_STEP_SUMMARY"
fi

# One comment for each service and environment, written anew by each run. It is no reason to fail the step.
comment() {
    command -v gh >/dev/null 2>&1 || { say "no comment: gh is missing"; return; }
    pull=${GATE_PULL_REQUEST:-}
    if [ -z "$pull" ]; then
        pull=$(gh api "repos/$GITHUB_REPOSITORY/commits/$GITHUB_SHA/pulls" | jq -r '.[0].number // empty') || pull=
    fi
    [ -n "$pull" ] || { say "no comment: there is no pull request of this commit"; return; }
    mark="<!-- haldane $(printf '%s' "$GATE_SERVICE ${GATE_ENVIRONMENT:-default}" | jq -sRr @uri) -->"
    # A comment may have 65,536 characters.
    { printf '%s\n' "$mark" && head -c 60000 "$work/report.md"; } | jq -sR '{body: .}' >"$work/comment.json"
    old=$(gh api --paginate "repos/$GITHUB_REPOSITORY/issues/$pull/comments" |
        jq -r --arg mark "$mark" '.[] | select(.body | startswith($mark)) | .id' | head -n 1) || old=
    if [ -n "$old" ]; then
        gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$old" --input "$work/comment.json" >/dev/null
    else
        gh api --method POST "repos/$GITHUB_REPOSITORY/issues/$pull/comments" --input "$work/comment.json" >/dev/null
    fi || say "the comment could not be written; does the job have the permission pull-requests: write?"
}
if [ "${GATE_COMMENT:-false}" = true ]; then
    comment
fi

case $fail_on in
    *" $decision "*) exit "$code" ;;
    *) exit 0 ;;
esac
