# Sourced by tools/bazel. Debian's Bazel in a root folder, for machines that
# reach only package registries (Go modules, Debian). Everything is made once,
# under a temporary name and then renamed, in $cache/offline, and shared by all
# checkouts of this user:
#   root-KEY/     Debian testing with Bazel and redis-server; mounted by bubblewrap
#   modules-KEY/  rules_go, gazelle, stand-ins, the machine's Go as an SDK
#                 repository, and the bazelrc that points Bazel at them
# Variables in: workspace, caches, cache, elsewhere, out_of_reach, and remember, a file to make
# once the set-up is there. Functions in: say, die, need_space, go_version.

# file: test-setup.sh of Bazel lists the types of undeclared outputs with it.
offline_packages=bazel-bootstrap,bazel-rules-shell,ca-certificates,file,git,redis-server
offline_rules_go=v0.60.0
offline_gazelle=v0.47.0

# The mirror of the machine's own apt configuration, read and never written down.
_offline_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    grep -v security | sort -u | head -n 1
}

# _offline_need PROGRAM PACKAGE ...
_offline_need() {
  local missing=()
  while (($#)); do
    command -v "$1" >/dev/null || missing+=("$2")
    shift 2
  done
  if ((${#missing[@]})); then
    if [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
      say "installing ${missing[*]} (Debian packages)"
      # Another apt, such as a fresh machine's own upgrade, may hold the lock for a while.
      { apt-get update -q && apt-get install -y -q -o DPkg::Lock::Timeout=300 "${missing[@]}"; } >"$cache/offline/apt.log" 2>&1 ||
        die "apt-get install ${missing[*]} failed; see $cache/offline/apt.log"
    else
      die "this machine reaches no Bazel release, and ${missing[*]} is missing for the other way: sudo apt-get install ${missing[*]} (or install Bazelisk; if releases are in reach again, delete $out_of_reach)"
    fi
  fi
}

# What a log ends with, without the addresses of a network that is not ours to tell.
_offline_last_words() {
  { grep '^E:' "$1" || tail -n 1 "$1"; } | tail -n 1 | sed 's/https*:[^ ]*/URL/g' | cut -c 1-200
}

_offline_root() {
  local mirror tmp
  need_space 3000 "a root folder with Debian's Bazel"
  # An ordinary user's needs ids beside the own one while it is made.
  if [[ $EUID == 0 ]]; then _offline_need mmdebstrap mmdebstrap; else _offline_need mmdebstrap mmdebstrap newuidmap uidmap; fi
  mirror="$(_offline_mirror)"
  if [[ -z "$mirror" ]]; then
    { [[ $EUID == 0 ]] && apt-get update -q >"$cache/offline/apt.log" 2>&1; } || true
    mirror="$(_offline_mirror)"
  fi
  [[ -n "$mirror" ]] || die "no Debian mirror in apt's configuration (apt-get indextargets); run apt-get update"
  say "making a root folder with Debian's Bazel and Redis (about 90 s and 1.5 GB, once)"
  tmp="$(mktemp -d "$cache/offline/tmp.XXXXXX")"
  mkdir "$tmp/root"
  # By way of an archive, all of it is this user's: mmdebstrap has other owners' files in a
  # folder that it makes for an ordinary user, who then can neither use nor remove it.
  if ! mmdebstrap --variant=apt --format=tar \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
    --include="$offline_packages" forky - "deb $mirror forky main" 2>"$cache/offline/mmdebstrap.log" |
    tar -x -C "$tmp/root" --no-same-owner --same-permissions --exclude='./dev/*' --exclude='./var/cache/apt/archives/*.deb' 2>>"$cache/offline/mmdebstrap.log"; then
    rm -rf "$tmp"
    die "mmdebstrap failed: $(_offline_last_words "$cache/offline/mmdebstrap.log"). Is Debian's mirror in reach (a proxy of your network belongs in http_proxy)? All that was said is in $cache/offline/mmdebstrap.log"
  fi
  mv -T "$tmp/root" "$1"
  rmdir "$tmp"
}

# A Go module as a writable folder; module zips carry no modes, so scripts get theirs back.
_offline_module() {
  local answer dir
  answer="$(cd / && GO111MODULE=on GOFLAGS=-mod=mod go mod download -json "$1@$2" 2>&1 || true)"
  dir="$(sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p' <<<"$answer")"
  [[ -d "$dir" ]] || die "go mod download $1@$2 failed: $(sed -n 's/^\t"Error": "\(.*\)",\{0,1\}$/\1/p' <<<"$answer" | sed 's/https*:[^ ]*/URL/g'). Is the Go module proxy in reach (go env GOPROXY; a proxy of your network belongs in HTTPS_PROXY)?"
  cp -r "$dir" "$3"
  chmod -R u+w "$3"
  find "$3" -name '*.sh' -exec chmod +x {} +
}

# The machine's Go in the shape of the repository that rules_go would download.
_offline_go_sdk() {
  local goroot version
  goroot="$(go env GOROOT)"
  version="$(go env GOVERSION)"
  version="${version#go}"
  mkdir "$1"
  : >"$1/ROOT"
  : >"$1/MODULE.bazel"
  for entry in "$goroot"/*; do
    ln -s "$entry" "$1/$(basename "$entry")"
  done
  local goarch
  goarch="$(go env GOARCH)"
  local cpu="$goarch"
  [[ "$cpu" == amd64 ]] && cpu=x86_64
  sed -e "s/{goos}/linux/g; s/{goarch}/$goarch/g; s/{exe}//g; s/{version}/$version/g; s/{experiments}/[]/g" \
    -e "s#{exec_compatible_with}#[\"@platforms//cpu:$cpu\", \"@platforms//os:linux\"]#g" \
    "$2/go/private/BUILD.sdk.bazel" >"$1/BUILD.bazel"
  IFS=. read -r major minor patch <<<"$version"
  printf 'MAJOR_VERSION = "%s"\nMINOR_VERSION = "%s"\nPATCH_VERSION = "%s"\n' "$major" "$minor" "${patch:-0}" >"$1/version.bzl"
}

# The sources of the merger of coverage, which needs the standard library alone, and what
# compiles them. Bazel does that when there is coverage to merge: a set-up need not wait.
_offline_coverage_tools() {
  local package
  for package in lcov cmd/lcov_merger; do
    mkdir -p "$1/$package"
    find "$workspace/tools/coverage/$package" -maxdepth 1 -name '*.go' ! -name '*_test.go' -exec cp {} "$1/$package/" \;
  done
  printf 'module stormgate.internal/tools/coverage\n\ngo %s\n' "$(awk '$1 == "go" {print $2}' "$workspace/go.mod")" >"$1/go.mod"
  printf 'GOROOT = "%s"\nVERSION = "%s"\n' "$(go env GOROOT)" "$(go env GOVERSION)" >"$1/go.bzl"
}

_offline_modules() {
  local tmp dest="$1" root="$2"
  need_space 500 "what Bazel needs of rules_go and gazelle"
  _offline_need git git
  say "collecting rules_go $offline_rules_go and gazelle $offline_gazelle from the Go module proxy (about 10 s, once)"
  tmp="$(mktemp -d "$cache/offline/tmp.XXXXXX")"
  mkdir "$tmp/modules"
  _offline_module github.com/bazelbuild/rules_go "$offline_rules_go" "$tmp/modules/rules_go"
  _offline_module github.com/bazelbuild/bazel-gazelle "$offline_gazelle" "$tmp/modules/gazelle"
  # MODULE.bazel's patches: an overridden module gets none from Bazel.
  # Of a repository around them, such as a home that is one, git would skip what is outside.
  local -x GIT_CEILING_DIRECTORIES="$tmp/modules"
  git -C "$tmp/modules/rules_go" apply "$workspace/tools/nogo/rules_go_facts.patch" ||
    die "tools/nogo/rules_go_facts.patch does not apply to rules_go $offline_rules_go"
  git -C "$tmp/modules/rules_go" apply "$workspace/tools/coverage/rules_go_stdlib.patch" ||
    die "tools/coverage/rules_go_stdlib.patch does not apply to rules_go $offline_rules_go"
  rm -rf "$tmp/modules/gazelle/tests"
  (cd "$tmp/modules/gazelle" && GOFLAGS=-mod=mod go mod vendor -e >"$cache/offline/vendor.log" 2>&1) ||
    die "go mod vendor of gazelle failed; see $cache/offline/vendor.log"
  cp -r "$workspace/tools/offline/modules/." "$tmp/modules/"
  _offline_coverage_tools "$tmp/modules/coverage_tools"
  _offline_go_sdk "$tmp/modules/go_sdk" "$tmp/modules/rules_go"
  {
    echo "# Written by tools/offline/setup.sh."
    # Debian's own, but for an option that Bazel warns of and one that keeps sandboxes.
    sed '/^try-import/d; /host_javabase/d; /sandbox_debug/d' "$root/etc/bazel/bazelrc"
    # Quoted, as a path may have a space.
    echo "common --override_module=rules_shell=/usr/share/bazel/rules/shell"
    local name
    for name in rules_go gazelle buildozer zlib apple_support protobuf package_metadata; do
      echo "common --override_module=\"$name=$dest/$name\""
    done
    echo "common --override_repository=\"rules_go~~go_sdk~stormgate_go_sdk=$dest/go_sdk\""
    # Of all that Bazel downloads for its own use, a query of Go packages loads this one.
    echo "common --override_repository=\"bazel_tools~remote_coverage_tools_extension~remote_coverage_tools=$dest/coverage_tools\""
    echo "common --repo_env=GO_REPOSITORY_USE_HOST_MODCACHE=1"
    echo "common --repo_env=\"GOMODCACHE=$(go env GOMODCACHE)\""
    echo "common --repo_env=\"GOPROXY=$(go env GOPROXY)\""
  } >"$tmp/modules/bazelrc"
  mv -T "$tmp/modules" "$dest"
  rmdir "$tmp"
}

# The machine's Go must be able to stand for the version that go.mod names.
_offline_check_go() {
  command -v go >/dev/null || die "no go on PATH: install Go, $1 or newer"
  local have
  have="$(cd / && go env GOVERSION)" || die "the go on PATH does not run: install Go, $1 or newer"
  _offline_older "${have#go}" "$1" || return 0
  # A Go that can fetch another one from the module proxy does so for this call alone.
  if ! _offline_older "${have#go}" 1.21 && [[ "$(cd / && GOTOOLCHAIN="go$1" go env GOVERSION 2>/dev/null)" == "go$1" ]]; then
    export GOTOOLCHAIN="go$1"
    return
  fi
  die "the machine's Go is ${have#go}, go.mod asks for $1: install that or newer"
}

_offline_older() { [[ "$1" != "$2" && "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" == "$1" ]]; }

# A home that can't be written has no place for Go's modules and their checksums either.
_offline_gopath() {
  local dir
  dir="$(go env GOPATH)"
  dir="${dir%%:*}"
  if ! mkdir -p "$dir" 2>/dev/null || [[ ! -w "$dir" ]]; then
    export GOPATH="$cache/gopath"
  fi
}

# Sets binds to what of the machine the root folder shows: all but its system. Checkouts, homes,
# caches, output bases and files that a program is told of lie anywhere. What lay nowhere would
# be made in the root folder, and be the same for all checkouts.
_offline_binds() {
  local root="$1" path goroot
  binds=(--bind "$root" / --dev-bind /dev /dev --bind /proc /proc --bind /sys /sys)
  for path in /*; do
    case "$path" in
      /bin | /boot | /dev | /etc | /lib* | /lost+found | /proc | /sbin | /sys | /usr) ;;
      *) if [[ -d "$path" ]]; then binds+=(--bind "$path" "$path"); fi ;;
    esac
  done
  for path in "$HOME" "$workspace" "$caches" "$(pwd -P)" "$(go env GOMODCACHE)" "${XDG_RUNTIME_DIR:-}" "${TMPDIR:-}" "${TEST_TMPDIR:-}" "$(_offline_repository)"; do
    case "$path" in
      # Below what is left out above: a checkout in /usr/src. The root folder's own stay.
      /bin/* | /boot/* | /etc/* | /lib*/* | /sbin/* | /usr/* | /.*)
        if [[ -d "$path" && -z "$(ls -A "$root$path" 2>/dev/null)" ]]; then binds+=(--bind "$path" "$path"); fi ;;
    esac
  done
  goroot="$(go env GOROOT)"
  binds+=(--ro-bind "$goroot" "$goroot")
  # Debian's has links that lead out of it.
  while read -r path; do
    [[ "$path" == "$goroot"/* ]] || binds+=(--ro-bind "$path" "$path")
  done < <(find "$goroot" -maxdepth 1 -type l -exec realpath {} +)
  for path in /etc/resolv.conf /etc/hosts /etc/ssl/certs /etc/passwd /etc/group; do
    if [[ -e "$path" ]]; then binds+=(--ro-bind "$(realpath "$path")" "$path"); fi
  done
  # For `bazel run ENVIRONMENT.kubectl`: a static program of the machine's.
  if path="$(command -v kubectl)"; then
    binds+=(--ro-bind "$(realpath "$path")" /usr/local/bin/kubectl)
  fi
}

# Tells Bazel from where packages of npm come: npm itself is not in the root folder. It takes
# a third of a second to say so, hence once a day.
_offline_npm() {
  local known="$cache/offline/npm-registry"
  if [[ -z "${npm_config_registry:-}" ]] && command -v npm >/dev/null; then
    if [[ -z "$(find "$known" -mmin -1440 2>/dev/null)" ]]; then
      (cd / && npm config get registry) >"$known.$$" 2>/dev/null && mv "$known.$$" "$known" || rm -f "$known.$$"
    fi
    if [[ -s "$known" ]]; then
      npm_config_registry="$(<"$known")"
      export npm_config_registry
    fi
  fi
}

# Prints where git keeps the repository of a work tree that `git worktree add` made, for
# programs that `bazel run` starts and that ask git.
_offline_repository() {
  local line
  if [[ -f "$workspace/.git" ]] && read -r line <"$workspace/.git" && [[ "$line" == "gitdir: "*/worktrees/* ]]; then
    line="${line#gitdir: }"
    echo "${line%/worktrees/*}"
  fi
}

# Runs Bazel in the root folder with the arguments given; does not return.
offline_exec() {
  local want root modules key
  want="$(go_version)"
  _offline_check_go "$want"
  mkdir -p "$cache/offline" "$cache/disk"
  _offline_gopath
  root="$cache/offline/root-$(echo "$offline_packages" | sha256sum | cut -c 1-12)"
  key="$({
    echo "$cache $offline_rules_go $offline_gazelle $(go env GOROOT GOVERSION GOMODCACHE GOPROXY)"
    declare -f _offline_module _offline_go_sdk _offline_coverage_tools _offline_modules
    cat "$workspace/tools/nogo/rules_go_facts.patch" "$workspace/tools/coverage/rules_go_stdlib.patch"
    {
      find "$workspace/tools/offline/modules" -type f -print0
      find "$workspace"/tools/coverage/{lcov,cmd/lcov_merger} -name '*.go' ! -name '*_test.go' -print0
    } | LC_ALL=C sort -z | xargs -0 cat
  } | sha256sum | cut -c 1-12)"
  modules="$cache/offline/modules-$key"
  _offline_need bwrap bubblewrap nsenter util-linux
  if [[ ! -d "$root" || ! -d "$modules" ]]; then
    # One process at a time: one that waited finds it done.
    exec 9>"$cache/offline/lock"
    if ! flock -n 9; then
      say "another run is making what this one needs; waiting for it"
      flock 9
    fi
    # Of a set-up that was broken off. Go's modules have folders that can't be written.
    find "$cache/offline" -maxdepth 1 -name 'tmp.*' -exec chmod -R u+rwX {} + -exec rm -rf {} +
    [[ -d "$root" ]] || _offline_root "$root"
    [[ -d "$modules" ]] || _offline_modules "$modules" "$root"
    exec 9>&-
  fi
  if [[ -n "${remember:-}" ]]; then : >"$remember"; fi
  _offline_npm
  local binds
  _offline_binds "$root"
  # In the place of Debian's rc file, which Bazel would miss otherwise.
  binds+=(--ro-bind "$modules/bazelrc" /etc/bazel/bazelrc)
  _offline_enter "$root" "$@"
}

# bubblewrap makes the namespaces, and this very process enters them and becomes Bazel's client.
# As bubblewrap's child the client would not get the signals that are sent to this process,
# and would go on when Ctrl-C had ended bubblewrap.
_offline_enter() {
  local root="$1" holder nsenter enter
  shift
  # A fresh /proc would bar linux-sandbox from mounting its own (hence --bind /proc).
  exec 7< <(exec bwrap --die-with-parent "${binds[@]}" /bin/sh -c 'echo $$ && exec sleep 600' </dev/null)
  read -r holder <&7 || die "bubblewrap could not enter Debian's root folder. If it says that namespaces are not permitted: as root it needs none for users; else let it make them (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns; for Docker --security-opt seccomp=unconfined), or install Bazelisk"
  exec 8<"/proc/$holder/ns/mnt" 9<"/proc/$holder/ns/user"
  enter=(--mount=/proc/self/fd/8)
  if [[ "$(readlink "/proc/$holder/ns/user")" != "$(readlink "/proc/$$/ns/user")" ]]; then
    enter+=(--user=/proc/self/fd/9 --preserve-credentials)
  fi
  exec 7<&-
  kill "$holder"
  wait "$!" 2>/dev/null || true
  nsenter="$(command -v nsenter)"
  export STORMGATE_OFFLINE_ROOT="$root"
  PATH="$(go env GOROOT)/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    exec "$nsenter" "${enter[@]}" -- /bin/bash -c 'exec 8<&- 9<&- && cd "$1" && shift && exec bazel "$@"' bazel "$(pwd -P)" "$@"
}
