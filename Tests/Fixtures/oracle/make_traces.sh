#!/bin/sh
# Makes the checkpoints mini and odd again, and every trace. Run from anywhere, with the Python of requirements.txt.
set -efu # no globbing: the patterns belong to dump_trace.py
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
trace() { "$python" oracle/dump_trace.py "$@"; }

rm -rf mini odd traces defects adapters
mkdir traces
"$python" oracle/make_checkpoint.py mini --preset mini
"$python" oracle/make_checkpoint.py odd --preset odd

# Float64 twins of tiny-sprint's goldens, with the same probes. The encoder gets the goldens' picture: its own differs
# by one level in a few pixels, which would drown the encoder's rounding error.
inner="--drop text.embed --drop text.layer.* --drop vae.???.conv_in --drop vae.???.stage.*"
exact() { trace tiny-sprint "traces/tiny-steps$1-float64.safetensors" --steps "$1" --dtype float64 --narrow 1024 --picture-from "tiny-sprint/goldens/steps$1.safetensors" $2; }
exact 1 ""
exact 2 "$inner"
exact 4 "$inner --blocks 0,-1"

# The arithmetic that engines run in: the errors have the size of its roundings, and no more.
trace tiny-sprint traces/tiny-steps2-bfloat16.safetensors --steps 2 --dtype bfloat16 --picture-from tiny-sprint/goldens/steps2.safetensors --drop "text.*" --drop "vae.enc.*" --drop "vae.dec.stage.[0123]" --drop image

# Other time grids and sizes: what enters and leaves the transformer.
ends="$inner --drop vae.enc.* --drop dit.caption --drop dit.step?.block.* --drop dit.step?.norm_out --drop dit.step?.patch_embed --drop dit.step?.modulation"
trace tiny-sprint traces/tiny-paper4-float32.safetensors --timesteps paper4 $ends
trace tiny-sprint traces/tiny-nonsquare-float32.safetensors --steps 2 --width 192 --height 96 --seed 1 --prompt "a small green star on the left on a white background" $ends
# 176 x 80 is on the latent grid but off the 32 pixels that the stock pipeline insists on, hence no check.
trace tiny-sprint traces/tiny-plain-float32.safetensors --steps 1 --width 176 --height 80 --seed 42 --no-instruction --no-check --prompt "  A BLUE Ring, on Yellow. " $ends

# Other architectures, float32 and float64.
both() {
    name=$1; shift
    trace "$name" "traces/$name-float32.safetensors" "$@"
    trace "$name" "traces/$name-float64.safetensors" "$@" --dtype float64 --narrow 1024 --picture-from "traces/$name-float32.safetensors"
}
both mini --steps 2 --drop text.embed --drop text.layer.[012] --drop vae.???.stage.0 --drop vae.enc.conv_in
both odd --steps 2 --variant fp16 --width 96 --height 64 --drop text.embed --drop text.layer.[0123]
"$python" oracle/make_defects.py
"$python" oracle/make_adapters.py
find mini odd traces defects adapters -type f -exec chmod 644 {} +
