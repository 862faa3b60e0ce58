# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# Installs what the build needs and builds the three programs to build/. Sourced by tools/demo.

build=$top/build
pilotgate=$build/collector/pilotgate
agent_program=$build/agent/pilotgate-agent
canary_program=$build/tools/pilotgate-canary

# install_packages GROUP...: of tools/install.
install_packages() {
  step "packages: $*"
  run_shown "install-$1" "$top/tools/install" "$@"
}

# A folder that is there keeps its options: turned off here, tests in it would silently no longer be built.
configure_programs() {
  local tests=()
  [ -e "$build/CMakeCache.txt" ] || tests=(-DPILOTGATE_TESTS=OFF)
  run configure cmake -S "$top" -B "$build" -G Ninja "${tests[@]}"
}

build_programs() {
  step "build: agent, collector, canary"
  configure_programs
  run build cmake --build "$build" --target pilotgate-agent pilotgate pilotgate-canary
}
