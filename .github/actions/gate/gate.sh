#!/usr/bin/env bash
# The steps of the action: self-test, gate, summary. Settings come as variables
# (see action.yml); the exit code is the gate's: 0, 10 failed, 11 inconclusive,
# 12 baseline missing or of other settings.
set -euo pipefail

if [ -z "${BINARY:-}" ]; then
	# Built once: "go run" would turn every exit code into 1.
	tools=$(mktemp -d)
	trap 'rm -rf "$tools"' EXIT
	BINARY="$tools/stillmark"
	if [ "${VERSION:-latest}" = local ]; then
		go build -trimpath -o "$BINARY" ./cmd/stillmark
	else
		GOBIN="$tools" go install "github.com/stillmark/stillmark/cmd/stillmark@${VERSION:-latest}"
	fi
fi

if [ "${SELFTEST:-true}" = true ]; then
	"$BINARY" gate selftest
fi

output="${OUTPUT:-stillmark-gate}"
mkdir -p "$output"
read -r -a arguments <<<"${ARGUMENTS---quick}"
while IFS= read -r threshold; do
	[ -z "${threshold// /}" ] || arguments+=(--threshold "$threshold")
done <<<"${THRESHOLDS:-}"
[ -z "${BASELINE:-}" ] || arguments+=(--baseline "$BASELINE")
for kind in json txt xml md svg; do
	arguments+=(-o "$output/gate.$kind")
done

code=0
"$BINARY" gate run "${arguments[@]}" || code=$?
case $code in
0) outcome=pass ;;
10) outcome=fail ;;
11) outcome=inconclusive ;;
*) outcome=error ;;
esac
echo "outcome=$outcome" >>"${GITHUB_OUTPUT:-/dev/null}"
if [ -f "$output/gate.md" ]; then
	cat "$output/gate.md" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
fi
exit "$code"
