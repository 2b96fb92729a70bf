# Sourced by tools/bazel for `test --config=report`: the page after the run, also after a red
# or interrupted one, without a second command.
# Variables in: workspace, cache. Functions in: say.

_report_events="$workspace/bazel-events.json" # where --config=report of .bazelrc has it
_report_page="$workspace/bazel-report.html"
_report_startup=() # the startup options of the command line: others would be another server

# report_wanted ARGUMENT...: whether this is a test with --config=report, and not the call
# that report_run makes.
report_wanted() {
  [[ -z "${STORMGATE_REPORT_RUN:-}" ]] || return 1
  local argument before="" command="" wanted=1
  for argument; do
    case "$argument" in
      --) break ;;
      test | coverage) command="${command:-$argument}" ;;
      --config=report) wanted=0 ;;
      report) if [[ "$before" == --config ]]; then wanted=0; fi ;;
    esac
    if [[ -z "$command" ]]; then _report_startup+=("$argument"); fi
    before="$argument"
  done
  [[ -n "$command" ]] && return "$wanted"
}

# report_run ARGUMENT...: runs Bazel, draws the page, and ends with Bazel's exit status.
report_run() {
  local program before status=0 said
  export STORMGATE_REPORT_RUN=1
  program="$cache/bin/report-$(_report_sources)"
  if [[ ! -x "$program" ]]; then
    # Before the run: an interrupted one is not followed by a build.
    say "building what draws the page, once"
    _report_child build --noshow_progress --ui_event_filters=-info,-stdout //tools/report
    if ((status == 0)); then
      _report_keep "$workspace/bazel-bin/tools/report/report_/report" "$program"
    elif ((status == 8 || status > 128)); then
      exit "$status" # 8 is Bazel's own for Ctrl-C
    fi
  fi
  before="$(_report_stamp)"
  _report_child "${@:${#_report_startup[@]}+1}"
  if [[ ! -x "$program" ]]; then
    say "no page of this run: //tools/report could not be built; tools/bazel run //tools/report does it again"
  elif [[ "$(_report_stamp)" == "$before" ]]; then
    say "no page of this run: Bazel wrote no build events to $_report_events"
  elif said="$("$program" "$_report_events" --out="$_report_page" --history="$(_report_history)" 2>&1)"; then
    echo "$said" >&2
  else
    say "no page of this run: $said"
  fi
  exit "$status"
}

# Prints a digest of what the program is made of: its own folder, and what that imports.
_report_sources() {
  {
    find "$workspace"/tools/{report,cluster/api,internal} -type f ! -name '*_test.go' ! -name '*.sh' -print0 | LC_ALL=C sort -z | xargs -0 cat
    cat "$workspace/go.mod"
  } | sha256sum | cut -c 1-12
}

# Copies the program, so that neither another configuration nor `bazel clean` takes it away.
_report_keep() {
  find "$cache/bin" -maxdepth 1 -name 'report-*' -mtime +30 -delete
  if cp -L "$1" "$2.$$"; then mv "$2.$$" "$2"; fi
}

# What changes when a run writes its events: an earlier run's say nothing of this one.
_report_stamp() { stat -c '%i %y %s' "$_report_events" 2>/dev/null || true; }

# Earlier runs of this workspace: why a shard ran is a comparison with the one before.
_report_history() { echo "$cache/history/$(echo "$workspace" | sha256sum | cut -c 1-12)"; }

# Runs the front door with the arguments given, and sets status. Signals that are sent to this
# process alone are passed on, so that it behaves as if it were Bazel's client.
_report_child() {
  # In the background a shell would not pass anything on while it waits; there the child
  # would ignore Ctrl-C and have no input, were that not undone.
  (
    trap - INT QUIT
    exec "${BASH_SOURCE[0]%/report/*}/bazel" ${_report_startup[@]+"${_report_startup[@]}"} "$@"
  ) <&0 &
  local child=$! signal
  for signal in TERM HUP; do
    # shellcheck disable=SC2064 # the child of now
    trap "kill -$signal $child 2>/dev/null || true" "$signal"
  done
  # shellcheck disable=SC2064
  trap "_report_interrupt $child" INT
  # A signal ends a wait, and not the child.
  while
    wait "$child" && status=0 || status=$?
    kill -0 "$child" 2>/dev/null
  do :; done
  wait "$child" && status=0 || status=$?
  trap - INT TERM HUP
}

# Ctrl-C in a terminal is sent to the child as well, for whom three are one too many.
_report_interrupt() {
  local fields
  read -r -a fields <"/proc/$$/stat"
  if [[ "${fields[4]}" != "${fields[7]}" ]]; then kill -INT "$1" 2>/dev/null || true; fi
}
