#!/bin/sh
# Checks everything in alerts/: that promtool takes the rules and their tests, that each alert has a page in docs/runbooks/, a test in which it
# fires and one in which it stays quiet although the metric is there, that each metric of a rule is in metrics.txt, and that Grafana's rules are
# told apart and lead to pages that exist. Needs promtool, which comes with Prometheus 2.42 or newer, and nothing else.
# The rules and tests are read by their layout, as it is in the files here; what cannot be read so is told as a mistake.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
runbooks=$here/../docs/runbooks
metrics=$here/prometheus/metrics.txt
grafana=$here/grafana/haldane.yaml
pages=https://github.com/haldane/haldane/blob/main/docs/runbooks

# What Prometheus itself says of a target it scrapes; Haldane does not tell it.
of_prometheus=up

if ! command -v promtool >/dev/null 2>&1; then
    echo "alerts/check.sh: promtool is missing; it comes with Prometheus 2.42 or newer: on Debian, apt-get install prometheus, elsewhere https://prometheus.io/download" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# wrong TEXT: tells of a mistake and goes on.
wrong() {
    echo "        $1"
    echo x >>"$work/mistakes"
}

# check NAME COMMAND...: says what it did, and all it said if it failed.
check() {
    title=$1
    shift
    : >"$work/mistakes"
    if "$@" >"$work/said" 2>&1 && [ ! -s "$work/mistakes" ]; then
        echo "ok      $title"
    else
        echo "FAILED  $title"
        sed 's/^ */        /' "$work/said"
        failed=1
    fi
}

# Of each rule: `alert NAME` or `record NAME`, then `expr NAME METRIC` for each metric that it reads, and `page NAME ADDRESS`, `label NAME KEY VALUE`.
read_rules() {
    awk '
        function aggregates(word) {
            return word ~ /^(sum|min|max|avg|count|group|stddev|stdvar|topk|bottomk|quantile|count_values)$/
        }
        # Every name in an expression that is no function, label or word of PromQL.
        function names(text,    word) {
            gsub(/#[^\n]*/, " ", text)
            gsub(/"[^"]*"/, " ", text)
            gsub(/\{[^}]*\}/, " ", text)
            gsub(/\[[^\]]*\]/, " ", text)
            while (text != "") {
                if (match(text, /^[0-9][0-9a-zA-Z_.]*/)) { text = substr(text, RLENGTH + 1); continue }
                if (!match(text, /^[a-zA-Z_:][a-zA-Z0-9_:]*/)) { text = substr(text, 2); continue }
                word = substr(text, 1, RLENGTH)
                text = substr(text, RLENGTH + 1)
                if (word ~ /^(by|without|on|ignoring|group_left|group_right)$/) { sub(/^[ \n]*\([^)]*\)/, "", text); continue }
                if (word ~ /^(and|or|unless|bool|offset|atan2|[iI]nf|[nN]a[nN])$/) continue
                if (text !~ /^[ \n]*\(/ && !aggregates(word)) print "expr", rule, word
            }
        }
        function ended() {
            if (inside) names(expr)
            inside = 0
            expr = ""
        }
        FNR == 1 { ended(); rule = "" }
        { at = match($0, /[^ ]/) - 1; text = substr($0, at + 1) }
        inside && (at < 0 || at > 8) { expr = expr "\n" text; next }
        { ended() }
        text ~ /^#/ { next }
        text ~ /^- (alert|record): [A-Za-z0-9_:]+$/ { split(text, part, " "); rule = part[3]; print substr(part[2], 1, length(part[2]) - 1), rule; next }
        rule == "" { next }
        text ~ /^expr:/ {
            inside = 1
            expr = substr(text, 6)
            if (expr ~ /^ [|>]-?$/) expr = ""
            next
        }
        text ~ /^runbook_url: / { split(text, part, " "); print "page", rule, part[2]; next }
        text ~ /^(severity|component): / { split(text, part, " "); print "label", rule, substr(part[1], 1, length(part[1]) - 1), part[2] }
        text ~ /^(summary|description): / { split(text, part, " "); print "text", rule, substr(part[1], 1, length(part[1]) - 1) }
        END { ended() }
    ' "$@"
}

# Of each test: `fires ALERT` or `quiet ALERT`, then the metrics that are put in.
read_tests() {
    awk '
        function told() { for (i = 1; i <= n; i++) print cases[i] metrics; n = 0; metrics = "" }
        FNR == 1 { told(); alert = "" }
        /^  - name: / { told(); alert = "" }
        /^ *- series: / {
            name = $0
            sub(/^ *- series: *./, "", name)
            sub(/[{ "\047].*/, "", name)
            metrics = metrics " " name
        }
        /^ *- eval_time: / { alert = "" }
        /^ *alertname: / { alert = $2 }
        /^ *exp_alerts: *\[\]/ { cases[++n] = "quiet " alert; next }
        /^ *exp_alerts:/ { opened = FNR }
        /^ *- exp_labels:/ && opened == FNR - 1 { cases[++n] = "fires " alert }
        END { told() }
    ' "$@"
}

# HaldaneRolledBack is haldane-rolled-back.
kebab() {
    printf '%s' "$1" | sed 's/[A-Z]/-&/g; s/^-//' | tr '[:upper:]' '[:lower:]'
}

alerts() {
    sed -n 's/^alert //p' "$work/rules"
}

# The metrics that a rule reads in the end, through what is recorded.
behind() {
    awk -v rule="$1" '
        $1 == "expr" { reads[$2] = reads[$2] " " $3 }
        $1 == "record" { recorded[$2] = 1 }
        function look(name,    i, n, part) {
            if (seen[name]++) return
            n = split(reads[name], part, " ")
            for (i = 1; i <= n; i++) if (part[i] in recorded) look(part[i]); else print part[i]
        }
        END { look(rule) }
    ' "$work/rules" | sort -u
}

rules_are_taken() {
    promtool check rules "$here"/prometheus/*.rules.yaml >"$work/promtool" 2>&1 || { cat "$work/promtool"; return 1; }
    found=$(sed -n 's/.*SUCCESS: \([0-9]*\) rules\{0,1\} found.*/\1/p' "$work/promtool" | awk '{ n += $1 } END { print n + 0 }')
    ours=$(grep -c -E '^(alert|record) ' "$work/rules" || true)
    [ "$found" = "$ours" ] || wrong "promtool finds $found rules and this script $ours: write them as the others are written"
    awk '$1 == "alert" || $1 == "record" { print $2 }' "$work/rules" | sort | uniq -d >"$work/twice"
    while read -r name; do wrong "$name is there twice"; done <"$work/twice"
}

tests_pass() {
    promtool test rules "$here"/prometheus/tests/*.test.yaml || return 1
    for rules in "$here"/prometheus/*.rules.yaml; do
        base=$(basename "$rules")
        grep -q -E "^ *- +\.\./$base\$" "$here"/prometheus/tests/*.test.yaml || wrong "no file in alerts/prometheus/tests/ tests $base"
    done
}

alerts_are_tested() {
    alerts >"$work/alerts"
    while read -r alert; do
        grep -q -E "^fires $alert( |\$)" "$work/tests" || wrong "$alert has no test in which it fires"
        behind "$alert" >"$work/behind"
        near=0
        grep -E "^quiet $alert( |\$)" "$work/tests" >"$work/quiet" || true
        while read -r _ _ given; do
            for metric in $given; do
                if grep -q -x -F -e "$metric" "$work/behind"; then near=1; fi
            done
        done <"$work/quiet"
        [ "$near" = 1 ] || wrong "$alert has no test in which it stays quiet although what it looks at is there"
    done <"$work/alerts"
    cut -d ' ' -f 2 "$work/tests" | sort -u >"$work/tested"
    while read -r alert; do
        grep -q -x -F -e "$alert" "$work/alerts" || wrong "the tests name $alert, and no rule does"
    done <"$work/tested"
}

alerts_say_what_they_must() {
    alerts >"$work/alerts"
    while read -r alert; do
        case $alert in Haldane[A-Z]*) ;; *) wrong "$alert does not begin with Haldane" ;; esac
        grep -q -E "^label $alert severity (critical|warning|info)\$" "$work/rules" || wrong "$alert needs the label severity: critical, warning or info"
        grep -q -E "^label $alert component (judge|service|collector|store|notify|sql)\$" "$work/rules" ||
            wrong "$alert needs the label component: judge, service, collector, store, notify or sql"
        for text in summary description; do
            grep -q -x "text $alert $text" "$work/rules" || wrong "$alert has no $text"
        done
    done <"$work/alerts"
}

alerts_have_runbooks() {
    alerts >"$work/alerts"
    while read -r alert; do
        page=$(kebab "$alert").md
        [ "$(grep "^page $alert " "$work/rules" || true)" = "page $alert $pages/$page" ] || wrong "$alert needs runbook_url: $pages/$page"
        if [ ! -s "$runbooks/$page" ]; then
            wrong "$alert has no page docs/runbooks/$page"
        elif [ "$(head -n 1 "$runbooks/$page")" != "# $alert" ]; then
            wrong "docs/runbooks/$page does not begin with: # $alert"
        fi
        grep -q -F "($page)" "$runbooks/README.md" 2>/dev/null || wrong "docs/runbooks/README.md does not list $page"
    done <"$work/alerts"
    for page in "$runbooks"/*.md; do
        name=$(basename "$page")
        [ "$name" = README.md ] || grep -q "/$name\$" "$work/rules" || wrong "docs/runbooks/$name belongs to no alert"
    done
}

metrics_are_known() {
    LC_ALL=C sort -u "$metrics" | cmp -s - "$metrics" || wrong "alerts/prometheus/metrics.txt is not sorted, or a name is in it twice: LC_ALL=C sort -u"
    sed -n 's/^record //p' "$work/rules" >"$work/recorded"
    : >"$work/used"
    sed -n 's/^expr //p' "$work/rules" >"$work/reads"
    while read -r rule metric; do
        if [ "$metric" = "$of_prometheus" ] || grep -q -x -F -e "$metric" "$work/recorded"; then continue; fi
        # A histogram is listed by its name.
        of=${metric%_bucket} && of=${of%_sum} && of=${of%_count}
        if grep -q -x -F -e "$metric" "$metrics"; then
            echo "$metric" >>"$work/used"
        elif grep -q -x -F -e "$of" "$metrics"; then
            echo "$of" >>"$work/used"
        else
            wrong "$rule reads $metric, which is not in alerts/prometheus/metrics.txt"
        fi
    done <"$work/reads"
    while read -r metric; do
        grep -q -x -F -e "$metric" "$work/used" || wrong "alerts/prometheus/metrics.txt has $metric, which no rule reads"
    done <"$metrics"
    if grep -n '__name__' "$here"/prometheus/*.rules.yaml; then wrong "a rule picks metrics by __name__: name them"; fi
}

grafana_is_in_order() {
    sed -n 's/^ *- uid: *//p' "$grafana" >"$work/uids"
    [ -s "$work/uids" ] || wrong "there are no rules in it"
    sort "$work/uids" | uniq -d >"$work/twice"
    while read -r uid; do wrong "the uid $uid is there twice"; done <"$work/twice"
    [ "$(grep -c 'runbook_url: ' "$grafana")" = "$(grep -c . "$work/uids")" ] || wrong "each rule needs one runbook_url"
    sed -n 's/^ *runbook_url: *//p' "$grafana" >"$work/links"
    while read -r link; do
        case $link in
        "$pages"/*) [ -s "$runbooks/${link##*/}" ] || wrong "there is no page docs/runbooks/${link##*/}" ;;
        *) wrong "$link does not lead to $pages" ;;
        esac
    done <"$work/links"
    sed -n 's/^ *datasourceUid: *//p' "$grafana" | grep -v -x -e haldane -e __expr__ >"$work/others" || true
    while read -r uid; do wrong "the data source is called haldane, not $uid"; done <"$work/others"
}

read_rules "$here"/prometheus/*.rules.yaml >"$work/rules"
read_tests "$here"/prometheus/tests/*.test.yaml >"$work/tests"

check "promtool takes the rules" rules_are_taken
check "promtool's tests of the rules pass" tests_pass
check "each alert has a test in which it fires and one in which it does not" alerts_are_tested
check "each alert has its labels and texts" alerts_say_what_they_must
check "each alert has a runbook, and each runbook an alert" alerts_have_runbooks
check "each metric of a rule is in metrics.txt" metrics_are_known
check "Grafana's rules are in order" grafana_is_in_order

if [ "$failed" != 0 ]; then
    echo "alerts/check.sh: something is wrong, see above" >&2
    exit 1
fi
