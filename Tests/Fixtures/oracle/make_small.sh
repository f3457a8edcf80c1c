#!/bin/sh
# Makes every fixture again but the traces and checkpoints, which make_traces.sh makes.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
ATEN_CPU_CAPABILITY=avx2 "$python" make_noise.py
"$python" make_lowercase.py
"$python" make_metrics.py
"$python" make_tokenizer.py
"$python" make_prompts.py
"$python" make_torch_files.py
"$python" make_teachers.py ../teachers
mkdir -p ../fake-quant
"$python" fake_quant.py ../tiny-sprint --out ../fake-quant/fake-quant.json
"$python" fake_quant.py ../tiny-sprint --trace ../fake-quant/demo-steps2.safetensors
"$python" make_control.py
"$python" make_resized.py
"$python" make_img2img.py
