#!/usr/bin/env bash
# How the image models of the shipped dancers 'ava' and 'kai' were made.
#
#   recipes/dancer.sh NAME VIDEOS [FROM]
#
# NAME    the dancer's name; the bundle is made in work/NAME
# VIDEOS  a folder with videos NAME.mp4 of the dancer, and, as they were rendered, their exact
#         landmarks NAME.npz and mattes NAME_alpha.mp4
# FROM    a dancer to start from (kai started from ava)
#
# Resumable: run it again after a stop. Cost on two CPU cores: MINUTES and some for preparing.
set -euo pipefail
name=$1 videos=$2 from=${3:-}
work=${WORK:-work}
mkdir -p "$work"

[ -e "$work/$name.h5" ] || dancing prepare "$videos" --labels "$videos" -o "$work/$name.h5"
options=(--minutes "${MINUTES:-46}" --epochs 100000)
if [ -e "$work/$name-image/last.safetensors" ]; then
  options+=(--resume)
fi
[ -z "$from" ] || options+=(--from "$from")
dancing train image "$work/$name.h5" -o "$work/$name-image" "${options[@]}"
dancing export "$work/$name-image" -o "$work/$name" --name "$name" --licence CC0-1.0 \
  --data "34 rendered clips of one character (MakeHuman assets, CC0) with the renderer's exact \
landmarks and mattes"
