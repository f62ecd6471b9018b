#!/usr/bin/env bash
# How the shipped dancer 'ava' was made.
#
#   recipes/ava.sh VIDEOS POSES SONGS
#
# VIDEOS  a folder of videos of the dancer
# POSES   a folder of pose files of dances, named after their songs
# SONGS   a folder with these songs
#
# Everything is resumable: run it again after a stop. Cost on two CPU cores: see each step.
set -euo pipefail
videos=$1 poses=$2 songs=$3
work=${WORK:-work}
mkdir -p "$work"

[ -e "$work/ava.h5" ] || dancing prepare "$videos" -o "$work/ava.h5"
[ -e "$work/motion.h5" ] || dancing prepare "$poses" --songs "$songs" -o "$work/motion.h5"

train() { # STAGE RUN DATA OPTIONS...
  local resume=()
  [ -e "$2/last.safetensors" ] && resume=(--resume)
  dancing train "$1" "$3" -o "$2" "${@:4}" "${resume[@]}"
}
# About 40 minutes.
train image "$work/ava-image" "$work/ava.h5" --model limbs --batch-size 16 --minutes 36 --epochs 100
# About 15 minutes.
train motion "$work/ava-motion" "$work/motion.h5" --model lstm-vae \
  --set window=20 --set kl_weight=1e-5 --set learning_rate=2e-3 --minutes 14 --epochs 1000

dancing export "$work/ava-image" "$work/ava-motion" -o "$work/ava" --name ava \
  --licence CC0-1.0 \
  --data "34 rendered clips of one character (MakeHuman, CC0), poses found by MediaPipe; 60 \
choreographies authored in beat time to 30 songs synthesised for this project"
