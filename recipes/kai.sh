#!/usr/bin/env bash
# How the shipped dancer 'kai' was made: from ava's first weights, which recipes/ava.sh leaves.
#
#   recipes/kai.sh VIDEOS
#
# VIDEOS  as for recipes/ava.sh
#
# Resumable. Cost: 5 minutes to prepare, 25 to train, on one CPU core.
set -euo pipefail
videos=$1
work=${WORK:-work}
mkdir -p "$work"

[ -e "$work/kai.h5" ] || dancing prepare "$videos" --labels "$videos" -o "$work/kai.h5"
resume=()
[ -e "$work/kai-image/last.safetensors" ] && resume=(--resume)
dancing train image "$work/kai.h5" -o "$work/kai-image" --from "$work/first/ava" \
  --set learning_rate=5e-3 --set adversarial_from=0.35 --minutes 25 --epochs 100000 "${resume[@]}"
dancing export "$work/kai-image" -o "$work/kai" --licence CC0-1.0 --data "34 rendered clips of one
character (MakeHuman assets, CC0), with the renderer's exact landmarks and mattes; started from ava"
