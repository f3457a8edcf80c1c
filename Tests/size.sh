#!/usr/bin/env bash
# What each room of Sources measures in the working tree (files that git knows), and how that differs from a commit: lines of Swift and C, lines that declare something
# `package`, lines with `unsafe`.  size.sh [COMMIT]
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"

# "WHEN measure path:count" for each file of a tree, or of the working tree.
count() {
    git grep -c -e '' "${@:2}" -- 'Sources/*.swift' 'Sources/*.c' 'Sources/*.h' | sed "s/^/$1 lines /"
    git grep -cE -e '^[^/]*\bpackage ' "${@:2}" -- 'Sources/*.swift' | sed "s/^/$1 package /"
    git grep -cE -e '^[^/]*\bunsafe\b' "${@:2}" -- 'Sources/*.swift' | sed "s/^/$1 unsafe /"
}
{
    count now
    if [ -n "${1:-}" ]; then count then "$1"; fi
} | awk -v since="${1:-}" '
    { match($3, /Sources\/[^\/]+/); room = substr($3, RSTART + 8, RLENGTH - 8); n = $3; sub(/.*:/, "", n)
      sum[$1, $2, room] += n; sum[$1, $2, "all"] += n; if (!(room in seen)) { seen[room]; rooms[++count] = room } }
    function cell(measure, room,   now) {
        now = sum["now", measure, room] + 0
        return since == "" ? sprintf("%8d", now) : sprintf("%8d %+6d", now, now - sum["then", measure, room])
    }
    END {
        printf since == "" ? "%-14s %8s %8s %8s\n" : "%-14s %8s        %8s        %8s\n", "room", "lines", "package", "unsafe"
        rooms[++count] = "all"
        for (i = 1; i <= count; i++) print sprintf("%-14s", rooms[i]), cell("lines", rooms[i]), cell("package", rooms[i]), cell("unsafe", rooms[i])
        print since == "" ? "nothing to compare with: there is no tag; SINCE=COMMIT names a commit" : "beside " since
    }'
