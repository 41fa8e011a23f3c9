#!/usr/bin/env bash
# Prints where promtool is, which checks the rules here. Not there yet: takes the one program out of Debian's package
# `prometheus` (19 MB) into target/, without installing the package and its service, and without root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly MISSING=69 # EX_UNAVAILABLE, as in pitwall/exits.py
readonly OURS=$PWD/target/promtool
die() { printf 'promtool: %s\n' "$*" >&2; exit "$MISSING"; }

if command -v promtool; then exit 0; fi
if [ -x "$OURS" ]; then echo "$OURS"; exit 0; fi
[ "${1:-}" != --find ] || die "not here; deploy/observability/promtool.sh fetches it"
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
  die "there is no apt-get here; install Prometheus, whose archive holds promtool, so that it is on the PATH"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
download() { (cd "$folder" && apt-get -qq "$@" download prometheus >/dev/null 2>"$folder/said"); }
# Lists of one's own where the machine's are missing or too old: those can be fetched by anybody.
own_lists=(-o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache")
if ! download; then
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
  apt-get -qq "${own_lists[@]}" update >/dev/null 2>&1 || die "apt-get update failed; is there a network?"
  download "${own_lists[@]}" || die "Debian's package prometheus can't be fetched: $(tail -n 1 "$folder/said")"
fi
mkdir -p "$(dirname "$OURS")"
dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar --extract --directory "$folder" ./usr/bin/promtool
mv "$folder/usr/bin/promtool" "$OURS"
echo "$OURS"
