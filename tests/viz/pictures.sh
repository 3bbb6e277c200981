#!/usr/bin/env bash
# Pictures of every view of the window, dark and light, at 1x and 2x, to be looked at: tests/viz/pictures.sh TRACE FOLDER
set -eu
[ $# -eq 2 ] || { echo "usage: tests/viz/pictures.sh TRACE FOLDER" >&2; exit 2; }
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
view=build/bin/reattend-view
trace=$1 out=$2
mkdir -p "$out"

# What most panels have something to show with: a gate that decides, a baseline, a marked range, a note, a lost token.
script_for() {
  cat <<LINES
setting.load docs/view.toml
baseline.pin
setting.set S=8 K=L/16
range.set 9 24
step.set 24
note.add
lost.next
LINES
  for layout in overview tuning reading; do
    echo "layout.choose $layout"
    echo "wait seconds=20 for=settled"
    echo "picture.save \"$1/window-$layout.png\" force=true"
  done
  echo "layout.choose overview"
  echo "panel.pictures \"$1\" seconds=20 force=true"
  for sheet in keys palette; do
    echo "$sheet.show"
    echo "wait 0.2"
    echo "picture.save \"$1/window-$sheet.png\" force=true"
    echo "$sheet.show"
  done
}

for scale in 1 2; do
  for theme in dark light; do
    folder=$out/${scale}x-$theme
    mkdir -p "$folder"
    script_for "$folder" >"$folder/script.txt"
    look=(--size "$((1600 * scale))x$((900 * scale))" --scale "$scale" --no-project)
    [ "$theme" = light ] && look+=(--light)
    "$view" "$trace" "${look[@]}" --headless --script "$folder/script.txt" >"$folder/script.log"
    "$view" "${look[@]}" --screenshot "$folder/window-welcome.png" --force
    echo "$folder: $(ls "$folder"/*.png | wc -l) pictures"
  done
done
