# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# The end of a demo: the store is kept, the verdicts are shown and checked. Sourced by tools/demo.

kept=$build/demo/pilot.db

# The exit status of a drill says what its verdict was; the demo reads the verdicts at the end.
finish_drill() {
  local status=0
  finish "$1" || status=$?
  [ $status -ne 2 ] || { tail -n 5 "$logs/$2.log" >&2 && fail "the drill failed (log: $(shown "$logs/$2.log"))"; }
}

# keep_store: from here on the verdicts are read from the copy, as a user would.
keep_store() {
  rm -f "$kept"
  run backup "$pilotgate" backup "$kept"
  export PILOTGATE_STORE=sqlite:$kept
  step "store kept: $(shown "$kept")"
}

show_verdicts() {
  headline "Verdicts"
  ask gates || [ $? -ne 2 ]
}

# check_verdicts "GATE STAGE VERDICT[|VERDICT]"...: false when one is not as the demo expects.
check_verdicts() {
  local line gate stage want got document wrong=0
  document=$(gates_json)
  for line; do
    read -r gate stage want <<<"$line"
    got=$(stage_of "$gate" "$stage" verdict <<<"$document")
    [[ $got =~ ^($want)$ ]] && continue
    echo "  NOT AS EXPECTED: $gate of $stage is ${got:-missing}, not $want:" \
      "$(stage_of "$gate" "$stage" reason <<<"$document")"
    wrong=1
  done
  return $wrong
}

# show_further STAGE: of the failing stage.
show_further() {
  local command here
  command=$(shown "$pilotgate")
  here="--store sqlite:$(shown "$kept")"
  headline "Look further"
  cat <<END
  $command gates $here -o json
  $command explain config-safety $here --stage $1 | less
  $command changes $here
  $command timeline $1 $here
END
}
