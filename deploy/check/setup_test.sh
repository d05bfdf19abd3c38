#!/bin/sh
# Runs the script of the image `setup` with a stand-in for haldane: setup_test.sh SETUP.SH HALDANE.TOML.
set -eu

setup=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/secrets" "$work/data"
cat >"$work/bin/haldane" <<'FAKE'
#!/bin/sh
[ "$1" = token ] || { echo "$*" >>"$FAKE/played"; exit "$FAKE_EXIT"; }
echo made >>"$FAKE/made"
[ "$(wc -l <"$FAKE/made")" != "${FAKE_BREAKS:-0}" ] || exit 2
token=$(od -A n -N 32 -t x1 /dev/urandom | tr -d ' \n')
printf '# It is shown as `authorization: Bearer %s`, once.\n# Add this:\n[[tokens]]\nname = "%s"\nscopes = ["%s"]\n' "$token" "$4" "$6"
FAKE
chmod +x "$work/bin/haldane"
PATH="$work/bin:$PATH"
FAKE=$work FAKE_EXIT=0
SETUP_SETTINGS=$2 SETUP_SECRETS=$work/secrets SETUP_DATA=$work/data SETUP_GRAFANA_GROUP=$(id -g) SETUP_PROMETHEUS_GROUP=$(id -g)
export PATH FAKE FAKE_EXIT SETUP_SETTINGS SETUP_SECRETS SETUP_DATA SETUP_GRAFANA_GROUP SETUP_PROMETHEUS_GROUP

broken() {
    echo "setup_test.sh: $1" >&2
    exit 1
}

if sh "$setup" show >/dev/null 2>&1; then broken "it shows what is not there"; fi
if FAKE_BREAKS=3 sh "$setup" >/dev/null 2>&1; then broken "it does not say that a token could not be made"; fi
! [ -e "$work/secrets/haldane.toml" ] || broken "there are settings without all tokens"
sh "$setup" >"$work/said"
toml=$work/secrets/haldane.toml
[ "$(grep -c '^\[\[tokens\]\]' "$toml")" = 4 ] || broken "there are not four tokens"
grep -q '^\[\[notify.receivers\]\]' "$toml" || broken "the settings are not whole"
for name in admin sender grafana prometheus; do
    token=$(cat "$work/secrets/$name-token")
    [ "${#token}" = 64 ] || broken "the token $name is $token"
    if grep -qF "$token" "$toml" "$work/said"; then broken "the token $name is told"; fi
done
[ "$(wc -c <"$work/secrets/grafana-password")" = 32 ] || broken "the password is too short"
[ -z "$(find "$work/secrets" -type f -perm /037)" ] || broken "others may read secrets"
cp "$toml" "$work/before"
sh "$setup" >/dev/null
cmp "$toml" "$work/before" || broken "tokens are made anew"
sh "$setup" show | grep -qF "$(cat "$work/secrets/admin-token")" || broken "it does not show the token"

FAKE_EXIT=1 sh "$setup" demo || broken "a verdict that was not expected stops everything"
grep -qxF "demo --once --data $work/data" "$work/played" || broken "no demo was played"
if FAKE_EXIT=2 sh "$setup" demo; then broken "it does not say that the demo failed"; fi
rm "$work/played"
touch "$work/data/ledger.db"
sh "$setup" demo >/dev/null
! [ -e "$work/played" ] || broken "a demo was played into what is there"
if sh "$setup" other 2>/dev/null; then broken "it takes any argument"; fi
