#!/usr/bin/env bash
# How the shipped motion model was made.
#
#   recipes/motion.sh POSES SONGS
#
# POSES  a folder of pose files of dances (.npz with landmarks, world and beats), named after their
#        songs; dances without a song here are learned from too, without music
# SONGS  a folder with these songs
#
# To learn the moves of a dancer from some minutes of their own videos instead:
#
#   dancing prepare VIDEOS -o own.h5
#   dancing train motion own.h5 -o own --from default --minutes 10 \
#     --set learning_rate=2e-4 --set steps=1000
#   dancing export own -o me
#
# Everything is resumable: run it again after a stop. Expected after 48 minutes on one core of a
# CPU with bfloat16: see docs/motion.md.
set -euo pipefail
poses=$1 songs=$2
work=${WORK:-work}
mkdir -p "$work"

[ -e "$work/motion.h5" ] || dancing prepare "$poses" --songs "$songs" -o "$work/motion.h5"
resume=()
[ -e "$work/flow/last.safetensors" ] && resume=(--resume)
dancing train motion "$work/motion.h5" -o "$work/flow" --model flow --batch-size 64 \
  --set steps=6000 --set learning_rate=1e-3 --minutes 48 --epochs 10000 "${resume[@]}"
dancing export "$work/flow" -o "$work/motion" --name ava --licence CC0-1.0 \
  --data "70 choreographies (about an hour) authored in beat time for this project, most of them to \
songs that were synthesised for it"
