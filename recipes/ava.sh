#!/usr/bin/env bash
# The image model of the shipped dancer 'ava', and the bundle.
#
#   recipes/ava.sh VIDEOS SONGS POSES
#
# VIDEOS  a folder with three of videos NAME.mp4 of the dancer and, as they were rendered, their
#         exact landmarks NAME.npz and mattes NAME_alpha.mp4:
#         clips  34 of motion capture and choreography
#         more   140 shorter ones of every fourth frame, of the same motion capture mirrored and from
#                other sides (each clip four times, turned by up to 25, 45, 70 and 180 degrees; none
#                of a clip kept for validation or testing) and of further choreographies; and 189 of
#                every eighth frame, 70 each, of mixed motions: seven in ten with the legs of one of
#                these motions and trunk, head and arms of another (three in ten of them: one arm of
#                a third), all with slow noise on every joint (0.03 to 0.2 radians), mirrored or not,
#                four in five turned by 25 degrees (standard deviation), the others any way
#         mixed  225 more of mixed motions
# POSES, SONGS  as for recipes/motion.sh
#
# The shipped weights were not made by exactly these commands (docs/models/ava.md says why), and
# trainings end by the clock, so another machine takes other numbers of steps. What comes out is
# another set of weights made in the same way.
#
# Resumable: run it again after a stop. Cost: 738 minutes of training on one CPU core, and 44 and 44
# more for the trainings whose mean is taken, which can run beside. MINUTES_SCALE=0.01 tries it all
# out in minutes.
set -euo pipefail
videos=$1 songs=$2 poses=$3
here=$(cd "$(dirname "$0")" && pwd)
export WORK=${WORK:-work}
mkdir -p "$WORK"

for part in clips more mixed; do
  [ -e "$WORK/$part.h5" ] ||
    dancing prepare "$videos/$part" --labels "$videos/$part" -o "$WORK/$part.h5" --size "${SIZE:-640}"
done

train() { # RUN MINUTES DATA... OPTIONS...
  local minutes resume=()
  minutes=$(awk -v m="$2" -v s="${MINUTES_SCALE:-1}" 'BEGIN { print m * s }')
  [ -e "$WORK/$1/last.safetensors" ] && resume=(--resume)
  dancing train image "${@:3}" -o "$WORK/$1" --epochs 100000 --minutes "$minutes" "${resume[@]}"
}
bundle() { # NAME RUN[:WEIGHT]...
  dancing export "${@:2}" -o "$WORK/$1" --name ava --licence CC0-1.0 --data "34 rendered clips of one \
character (MakeHuman assets, CC0), with the renderer's exact landmarks and mattes, and further ones of \
the same motion capture from other sides, of choreographies, and of mixed motions"
}
clips=("$WORK/clips.h5")
all=("$WORK/clips.h5" "$WORK/more.h5")
mixed=("$WORK/clips.h5" "$WORK/mixed.h5")

# Against the footage alone, then with the discriminators.
train ava-1 498 "${all[@]}" --set adversarial_from=2 --set hand_weight=6
bundle first "$WORK/ava-1"
train ava-2 34 "${all[@]}" --from "$WORK/first" --set learning_rate=3e-3 --set hand_weight=2 \
  --set adversarial_from=0 --set texture_weight=0.6
bundle second "$WORK/ava-2"

# Without and with them again, on other mixed motions: twice, and the mean of both and of before.
train ava-3 48 "${mixed[@]}" --from "$WORK/second" --set learning_rate=5e-3 \
  --set adversarial_from=2
bundle third "$WORK/ava-3"
for run in a b; do
  train "ava-4$run" 44 "${mixed[@]}" --from "$WORK/third" --set learning_rate=1.5e-3 \
    --set adversarial_from=0 --set texture_weight=0.8 --seed "$([ $run = a ] && echo 0 || echo 1)"
done
bundle fourth "$WORK/ava-4a" "$WORK/ava-4b" "$WORK/ava-2"

# On the clips alone. Beside the first of these, another one; the second begins from their mean.
onclips=(--set learning_rate=1.5e-3 --set adversarial_from=0)
train ava-5a 70 "${clips[@]}" --from "$WORK/fourth" "${onclips[@]}" --set texture_weight=1
train ava-5b 44 "${clips[@]}" --from "$WORK/fourth" "${onclips[@]}" --set texture_weight=1 --seed 1
bundle fifth "$WORK/ava-5a" "$WORK/ava-5b"
train ava-6 44 "${clips[@]}" --from "$WORK/fifth" "${onclips[@]}" --set texture_weight=0.6

"$here/motion.sh" "$poses" "$songs"
bundle ava "$WORK/ava-5a" "$WORK/ava-5b" "$WORK/ava-6" "$WORK/ava-4a:0.3" "$WORK/ava-3:0.025" \
  "$WORK/flow"
