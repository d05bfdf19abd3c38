#!/bin/sh
# Runs the scripts of the CI integrations against stand-ins for haldane, curl and gh, and looks at what they make of each decision.
# gate_test.sh GATE.SH SCRIPT..., with their whole paths: the action's script, and scripts that only have to pass flags and the exit code on.
set -eu

gate=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/here"
cd "$work/here"

cat >"$work/bin/haldane" <<'FAKE'
#!/bin/sh
printf '%s\n' "HALDANE_URL=$HALDANE_URL" "HALDANE_TOKEN=${HALDANE_TOKEN:-}" "$@" >"$FAKE/asked"
echo "started rollout 0194" >&2
[ "$FAKE_EXIT" = 2 ] || cat "$FAKE/verdict"
exit "$FAKE_EXIT"
FAKE
cat >"$work/bin/curl" <<'FAKE'
#!/bin/sh
cat >"$FAKE/curl-config"
printf '%s\n' "$@" >"$FAKE/curl-asked"
[ "${FAKE_CURL_EXIT:-0}" = 0 ] || exit "$FAKE_CURL_EXIT"
echo "# Report"
FAKE
cat >"$work/bin/gh" <<'FAKE'
#!/bin/sh
printf '%s\n' "$*" >>"$FAKE/gh-asked"
case "$*" in
    *PATCH* | *POST*) exit 0 ;;
    */pulls) echo '[{"number": 7}]' ;;
    */comments) cat "$FAKE/comments" ;;
esac
FAKE
chmod +x "$work/bin/haldane" "$work/bin/curl" "$work/bin/gh"
cat >"$work/verdict" <<'FAKE'
{"rollout_id": "0194-ab", "decision": "continue", "score": 0, "reason": "errors\n::add-mask::x\ndecision=promote", "final": false}
FAKE
cat >"$work/comments" <<'FAKE'
[{"id": 5, "body": "other"}, {"id": 6, "body": "<!-- haldane pay%20shop -->\nold"}]
FAKE

PATH="$work/bin:$PATH"
FAKE=$work
HALDANE_URL=https://user:hidden@haldane.example.com/
# shellcheck disable=SC2016 # what a shell would run
GATE_SERVICE=pay GATE_ENVIRONMENT=shop GATE_BASELINE='service.version=1' GATE_CANARY='service.version=$(touch broken)' GATE_WAIT=1m GATE_POLICY=
export PATH FAKE HALDANE_URL GATE_SERVICE GATE_ENVIRONMENT GATE_BASELINE GATE_CANARY GATE_WAIT GATE_POLICY
unset GITHUB_ACTIONS GITHUB_OUTPUT GITHUB_STEP_SUMMARY GITHUB_SHA GITHUB_RUN_ID HALDANE_TOKEN FAKE_CURL_EXIT GIT_COMMIT
# What GitLab and CircleCI set.
export CI_COMMIT_SHA=3f2a CI_JOB_URL=https://ci.example.com/1 CIRCLE_SHA1=3f2a CIRCLE_BUILD_URL=https://ci.example.com/1

broken() {
    echo "gate_test.sh: $1" >&2
    exit 1
}
# ends EXIT HALDANE_EXIT COMMAND...: runs it with a haldane that ends so.
ends() {
    expected=$1
    FAKE_EXIT=$2
    export FAKE_EXIT
    shift 2
    code=0
    "$@" >"$work/said" 2>&1 || code=$?
    [ "$code" = "$expected" ] || { cat "$work/said" >&2; broken "$* ended with $code where $expected was expected and haldane ended with $FAKE_EXIT"; }
    ! [ -e broken ] || broken "$* ran what an input holds"
}
has() {
    grep -qxF -e "$2" "$1" || { cat "$1" >&2; broken "there is no line $2"; }
}
hasnt() {
    if grep -qF -e "$2" "$1"; then broken "there is $2 in $1"; fi
}

# Everywhere: the flags arrive as they are, and the exit code comes back.
# shellcheck disable=SC2016 # the text of the flag
for script in "$gate" "$@"; do
    for code in 0 1 2 3 4; do
        ends "$code" "$code" sh -eu -c '. "$0"' "$script"
        has "$work/asked" '--canary=service.version=$(touch broken)'
        has "$work/asked" --service=pay
        has "$work/asked" --wait=1m
        hasnt "$work/asked" --policy
    done
    GATE_POLICY=policy.yaml ends 0 0 sh "$script"
    has "$work/asked" --policy=policy.yaml
done

# What the action adds.
GITHUB_ACTIONS=true GITHUB_OUTPUT=$work/output GITHUB_STEP_SUMMARY=$work/summary GITHUB_REPOSITORY=o/r GITHUB_SHA=3f2a GITHUB_RUN_ID=9
HALDANE_TOKEN=$(printf 'se"cret')
export GITHUB_ACTIONS GITHUB_OUTPUT GITHUB_STEP_SUMMARY GITHUB_REPOSITORY GITHUB_SHA GITHUB_RUN_ID HALDANE_TOKEN
: >"$GITHUB_OUTPUT"
# shellcheck disable=SC2016 # the text of the flag
GATE_META='team=payments

note=a b; $c' ends 4 4 sh "$gate"
for line in decision=undecided rollout-id=0194-ab score=0 url=https://haldane.example.com/v1/rollouts/0194-ab/report.md; do
    has "$GITHUB_OUTPUT" "$line"
done
hasnt "$GITHUB_OUTPUT" decision=promote
has "$GITHUB_STEP_SUMMARY" "# Report"
# shellcheck disable=SC2016 # the text of the flag
has "$work/asked" '--meta=note=a b; $c'
has "$work/asked" --meta=commit=3f2a
has "$work/asked" 'HALDANE_TOKEN=se"cret'
has "$work/curl-config" 'header = "Authorization: Bearer se\"cret"'
hasnt "$work/curl-asked" cret
hasnt "$work/said" cret
hasnt "$work/said" hidden
head -n 1 "$work/said" | grep -q '^::stop-commands::haldane-' || broken "commands are not stopped"
! [ -e "$work/gh-asked" ] || broken "a comment was written unasked"

: >"$GITHUB_OUTPUT"
FAKE_CURL_EXIT=22 GATE_FAIL_ON='rollback, inconclusive' ends 0 4 sh "$gate"
grep -q '^# Haldane: undecided' "$GITHUB_STEP_SUMMARY" || broken "no summary without a report"
GATE_FAIL_ON=none ends 0 1 sh "$gate"
GATE_FAIL_ON=none ends 2 2 sh "$gate"
has "$GITHUB_OUTPUT" decision=error
GATE_FAIL_ON='*' ends 2 0 sh "$gate"
GATE_BINARY=no-such-haldane ends 2 0 sh "$gate"
grep -q 'no program no-such-haldane' "$work/said" || broken "it does not say what is missing"
GATE_SERVICE='' ends 2 0 sh "$gate"
printf '{"rollout_id": "../../x"}' >"$work/verdict"
ends 2 0 sh "$gate"
printf 'no json' >"$work/verdict"
ends 2 0 sh "$gate"

printf '{"rollout_id": "0194-ab", "decision": "rollback", "score": 100, "reason": "errors"}' >"$work/verdict"
GATE_COMMENT=true ends 1 1 sh "$gate"
has "$work/gh-asked" "api repos/o/r/commits/3f2a/pulls"
grep -q 'PATCH repos/o/r/issues/comments/6' "$work/gh-asked" || broken "the comment was not written anew"
GATE_COMMENT=true GATE_PULL_REQUEST=8 GATE_ENVIRONMENT=other ends 0 0 sh "$gate"
grep -q 'POST repos/o/r/issues/8/comments' "$work/gh-asked" || broken "no comment was written"
