#!/usr/bin/env bash
# The shipped motion model.
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
# Resumable: run it again after a stop. Cost: 48 minutes on one core of a CPU with bfloat16; see
# docs/motion.md. Training ends by the clock, so another machine takes another number of steps.
# MINUTES_SCALE=0.01 tries it out in minutes.
set -euo pipefail
poses=$1 songs=$2
work=${WORK:-work}
mkdir -p "$work"

[ -e "$work/motion.h5" ] || dancing prepare "$poses" --songs "$songs" -o "$work/motion.h5"
resume=()
[ -e "$work/flow/last.safetensors" ] && resume=(--resume)
minutes=$(awk -v s="${MINUTES_SCALE:-1}" 'BEGIN { print 48 * s }')
dancing train motion "$work/motion.h5" -o "$work/flow" --model flow --batch-size "${BATCH_SIZE:-64}" \
  --set steps=6000 --set learning_rate=1e-3 --minutes "$minutes" --epochs 10000 "${resume[@]}"
dancing export "$work/flow" -o "$work/motion" --name ava --licence CC0-1.0 \
  --data "70 choreographies (about an hour) authored in beat time for this project, most of them to \
songs that were synthesised for it"
