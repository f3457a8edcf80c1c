#!/usr/bin/env bash
# Makes a folder that runs on a machine with a GPU, python3 and the C library of Debian 12 or newer: bundle.sh SPRINTPACK BENCH-GPU FOLDER
# SPRINTPACK has Swift's runtime linked in; the other libraries that it needs are put beside it, as lib.tar.xz.
set -euo pipefail
program=$1 bench=$2 folder=$3
here=$(cd "$(dirname "$0")" && pwd)
fixtures=$here/../Fixtures
rm -rf "$folder"
mkdir -p "$folder/lib"

install -m 755 "$program" "$folder/sprintpack"
install -m 755 "$bench" "$folder/bench-gpu"
strip "$folder/sprintpack" "$folder/bench-gpu"
if readelf -d "$folder/sprintpack" | grep -q 'NEEDED.*libswift'; then echo "$program: expected Swift's runtime linked in, found it among the libraries; build with --static-swift-stdlib" >&2; exit 2; fi

# By name, since it is loaded by name; the others as the loader finds them. What belongs to the C library is the machine's own.
blas=$(ldconfig -p | awk '$1 == "libopenblas.so.0" { print $NF; exit }')
if [ -z "$blas" ]; then echo "expected libopenblas.so.0, found none; install it with: apt-get install libopenblas-dev" >&2; exit 2; fi
for library in "$blas" $(ldd "$program" "$blas" | awk '/=> \// { print $3 }' | sort -u); do
    case $(basename "$library") in
    libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | ld-linux*) ;;
    *) install -m 644 "$(readlink -f "$library")" "$folder/lib/$(basename "$library")" ;;
    esac
done
strip --strip-unneeded "$folder"/lib/*
# Packed, they take a sixth; run.py unpacks them.
tar -C "$folder" --owner=0 --group=0 --numeric-owner -cJf "$folder/lib.tar.xz" lib
rm -r "$folder/lib"

install -m 755 "$here"/run.sh "$folder"
install -m 644 "$here"/{run.py,parts.py,machine.py,make_random.py,torch_products.py,real-sizes.json,README.md} "$folder"
mkdir "$folder/tiny-sprint"
cp -r "$fixtures"/tiny-sprint/{model_index.json,scheduler,text_encoder,tokenizer,transformer,vae} "$folder/tiny-sprint"
cp -r "$fixtures/tiny-sprint-controlnet" "$folder/"
size=$(du -sb "$folder" | cut -f1)
echo "$folder: $((size / 1048576)) MiB"
if [ "$size" -gt $((60 << 20)) ]; then echo "expected at most 60 MiB" >&2; exit 1; fi
