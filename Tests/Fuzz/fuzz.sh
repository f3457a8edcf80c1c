#!/bin/sh
# Runs the fuzzers one after the other: fuzz.sh PROGRAM FOLDER SECONDS [PARSER ...]. Prints executions, coverage and what was found of each.
# A corpus is kept from run to run in FOLDER/corpus, inputs that crash in FOLDER/crashes.
set -u
program=$1 folder=$2 seconds=$3
shift 3
[ $# -gt 0 ] || set -- $("$program")
mkdir -p "$folder/corpus" "$folder/crashes"
failed=0
printf '%-16s %12s %10s %9s  %s\n' parser executions coverage corpus found
for parser; do
    log=$folder/$parser.log
    # At most 300 MB in one piece, 1 GB in all, 10 s: what a hostile file may cost.
    ASAN_OPTIONS=detect_leaks=0 "$program" "$parser" "$folder/corpus/$parser" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
        -malloc_limit_mb=300 -print_final_stats=1 -artifact_prefix="$folder/crashes/$parser-" >"$log" 2>&1
    code=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    last=$(grep -a 'cov:' "$log" | tail -1)
    coverage=$(echo "$last" | sed -n 's/.*cov: \([0-9]*\).*/\1/p') corpus=$(echo "$last" | sed -n 's/.*corp: \([0-9]*\).*/\1/p')
    found=nothing
    if [ $code -ne 0 ]; then
        failed=1
        found=$(grep -a 'SUMMARY\|Fatal error\|Precondition' "$log" | head -1)
        found="${found:-exit code $code}; see $log"
    fi
    printf '%-16s %12s %10s %9s  %s\n' "$parser" "${runs:-?}" "${coverage:-?}" "${corpus:-?}" "$found"
done
exit $failed
