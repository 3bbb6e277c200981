# Set-up that ./run and ./test share: packages of the distribution, the build, the default model.
# Sourced by bash with the source folder as working directory. Everything it does it says; what fails ends in one line.

# What the build, the tests and the main job need, by reason. Names are those of Debian 12.
packages_build="cmake ninja-build pkgconf ca-certificates python3 python3-pip
  libhdf5-dev libpcre2-dev libcli11-dev nlohmann-json3-dev libfmt-dev libtomlplusplus-dev libssl-dev"
packages_tests="libboost-context-dev libgtest-dev python3-h5py python3-numpy"
packages_window="libgl-dev libopengl-dev libegl-dev libpng-dev libx11-dev libxrandr-dev libxinerama-dev libxcursor-dev
  libxi-dev libegl1 libegl-mesa0 libgl1-mesa-dri fonts-dejavu-core fonts-droid-fallback xvfb xauth"
packages_charts="librsvg2-bin"  # rsvg-convert: charts as PNG
packages_prompt="jargon-text"

say() { printf '== %s\n' "$*"; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# seconds since $1, for the lines that say how long something took
seconds_since() { echo $(($(date +%s) - $1)); }

# free_mb FOLDER: megabytes that can be written there; the nearest folder above where it does not exist yet
free_mb() {
  local folder=$1
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1024) }'
}

# need_space MB FOLDER WHAT
need_space() {
  local free
  free=$(free_mb "$2")
  [ "$free" -ge "$1" ] || fail "$2: $3 needs $1 MB, $free MB are free; make room and run this again"
}

# run_logged LOG WHAT COMMAND...: runs with its output in LOG; on a terminal shows LOG's last line as it grows, elsewhere a
# line every minute. Returns the command's status.
run_logged() {
  local log=$1 what=$2 begun shown pid status line
  shift 2
  begun=$(date +%s) shown=$begun
  mkdir -p "$(dirname "$log")"
  set -m # a process group of its own, so that stopping this script stops all of it
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  set +m
  trap 'kill -- -$pid 2>/dev/null; exit 130' INT TERM
  while kill -0 $pid 2>/dev/null; do
    sleep 0.5
    line=$(tail -n 1 "$log" 2>/dev/null | tr -d '\r\033' | cut -c 1-100)
    if [ -t 1 ]; then
      printf '\r\033[K   %s' "$line"
    elif [ "$(seconds_since "$shown")" -ge 60 ]; then
      shown=$(date +%s)
      printf '   %s, %s s: %s\n' "$what" "$(seconds_since "$begun")" "$line"
    fi
  done
  trap - INT TERM
  [ ! -t 1 ] || printf '\r\033[K'
  wait $pid
  status=$?
  [ $status -ne 0 ] || say "$what: done in $(seconds_since "$begun") s"
  return $status
}

# fail_logged LOG WHAT REMEDY: the end of LOG, then the error in one line
fail_logged() {
  printf -- '-- the end of %s:\n' "$1" >&2
  tail -n 25 "$1" >&2
  fail "$2 (log: $1); $3"
}

has_compiler() {
  command -v c++ >/dev/null && echo '#include <concepts>' | c++ -std=c++20 -fsyntax-only -x c++ - 2>/dev/null
}

# missing_packages NAME...: those that are not installed
missing_packages() {
  local installed
  installed=" $(dpkg-query -W -f='${Package}:${db:Status-Status} ' "$@" 2>/dev/null) "
  for package in "$@"; do
    case $installed in *" $package:installed "*) ;; *) printf '%s ' "$package" ;; esac
  done
}

# apt_get ARGUMENT...: as root, or through sudo
apt_get() {
  if [ "$(id -u)" -eq 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=120 "$@"
  else
    sudo DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=120 "$@"
  fi
}

# One line for what apt-get has to say in LOG.
fail_apt() {
  local log=build/apt.log remedy="run this again once the cause above is gone"
  if grep -qE 'Temporary failure resolving|Could not resolve|Could not connect|Failed to fetch|Unable to connect' $log; then
    remedy="no way to the package archive: check the network and apt's configuration, then run this again"
  elif grep -qE "No space left|don't have enough free space" $log; then
    remedy="the disk is full: make room and run this again"
  elif grep -qE 'Unable to locate package|has no installation candidate' $log; then
    remedy="this distribution lacks a package: use Debian 12, or install equivalents of: $1"
  elif grep -qE 'Could not get lock' $log; then
    remedy="another package manager is running: wait for it and run this again"
  fi
  fail_logged $log "apt-get failed" "$remedy"
}

install_packages() {
  local missing all="$packages_build $packages_tests $packages_window $packages_charts $packages_prompt" system="this system"
  [ ! -r /etc/os-release ] || system=$(. /etc/os-release && echo "$PRETTY_NAME")
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
    fail "$system: unsupported distribution; use Debian 12 or a relative with apt-get"
  has_compiler || all="g++ $all"
  # shellcheck disable=SC2086
  missing=$(missing_packages $all)
  missing=${missing% }
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    fail "packages are missing and neither root nor sudo is at hand; as root run: apt-get install --no-install-recommends $missing"
  fi
  need_space 1500 /usr "installing packages"
  say "installing with apt-get (needed to build, to test, to draw the window and charts, and for the demo's text): $missing"
  [ "$(id -u)" -eq 0 ] || sudo -v || fail "sudo was refused; as root run: apt-get install --no-install-recommends $missing"
  run_logged build/apt.log "package lists" apt_get update || fail_apt "$missing"
  # apt-get update only warns when an archive can't be reached; the install below then says so.
  # shellcheck disable=SC2086
  run_logged build/apt.log "packages" apt_get install --no-install-recommends $missing || fail_apt "$missing"
}

# configure_and_build [TARGET...]: all of it, or these targets
configure_and_build() {
  local targets=()
  [ $# -eq 0 ] || targets=(--target "$@")
  need_space 1500 "$PWD" "the build"
  has_compiler || fail "no C++20 compiler: apt-get install g++"
  if [ ! -f build/build.ninja ]; then
    command -v nvcc >/dev/null || say "no nvcc here: everything is built but the CUDA target"
    say "configuring (Release, into build/)"
    run_logged build/configure.log "configuring" cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release ||
      {
        rm -f build/build.ninja
        fail_logged build/configure.log "configuring failed" \
          "the lines above name what is missing; without a network it can't fetch the front end's sources"
      }
  fi
  say "building (into build/bin)"
  run_logged build/build.log "building" cmake --build build --parallel "$(nproc)" "${targets[@]}" ||
    fail_logged build/build.log "the build failed" \
      "if the compiler was killed, memory ran out: cmake --build build --parallel 1; otherwise remove build/ and run this again"
}

get_model() { build/bin/reattend get-model || exit 1; }

# set_up [TARGET...]: what ./run and ./test do before their own work
set_up() {
  install_packages
  configure_and_build "$@"
  get_model
}
