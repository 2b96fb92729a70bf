# Sourced by tools/bazel. Debian's Bazel in a root folder, for machines that
# reach only package registries (Go modules, Debian). Everything is made once,
# under a temporary name and then renamed, in $cache/offline, and shared by all
# checkouts of this user:
#   root-KEY/     Debian testing with Bazel and redis-server; mounted by bubblewrap
#   modules-KEY/  rules_go, gazelle, stand-ins, the machine's Go as an SDK
#                 repository, and the bazelrc that points Bazel at them
# Variables in: workspace, cache. Functions in: say, die.

# file: test-setup.sh of Bazel lists the types of undeclared outputs with it.
offline_packages=bazel-bootstrap,bazel-rules-shell,ca-certificates,file,git,redis-server
offline_rules_go=v0.60.0
offline_gazelle=v0.47.0

# The mirror of the machine's own apt configuration, read and never written down.
_offline_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    grep -v security | sort -u | head -n 1
}

_offline_need() {
  local missing=()
  command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
  command -v bwrap >/dev/null || missing+=(bubblewrap)
  if ((${#missing[@]})); then
    if [[ $EUID == 0 ]] && command -v apt-get >/dev/null; then
      say "installing ${missing[*]} (Debian packages)"
      # Another apt, such as a fresh machine's own upgrade, may hold the lock for a while.
      { apt-get update -q && apt-get install -y -q -o DPkg::Lock::Timeout=300 "${missing[@]}"; } >"$cache/offline/apt.log" 2>&1 ||
        die "apt-get install ${missing[*]} failed; see $cache/offline/apt.log"
    else
      die "this machine reaches no Bazel release, and ${missing[*]} is missing for the other way: sudo apt-get install ${missing[*]} (or install Bazelisk; if releases are in reach again, delete $cache/bazelisk-out-of-reach)"
    fi
  fi
}

_offline_root() {
  local mirror tmp
  _offline_need
  mirror="$(_offline_mirror)"
  if [[ -z "$mirror" ]]; then
    { [[ $EUID == 0 ]] && apt-get update -q >"$cache/offline/apt.log" 2>&1; } || true
    mirror="$(_offline_mirror)"
  fi
  [[ -n "$mirror" ]] || die "no Debian mirror in apt's configuration (apt-get indextargets); run apt-get update"
  say "making a root folder with Debian's Bazel and Redis (about 90 s and 1.5 GB, once)"
  tmp="$(mktemp -d "$cache/offline/tmp.XXXXXX")"
  if ! mmdebstrap --variant=apt \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
    --include="$offline_packages" forky "$tmp/root" "deb $mirror forky main" >"$cache/offline/mmdebstrap.log" 2>&1; then
    rm -rf "$tmp"
    die "mmdebstrap failed; see $cache/offline/mmdebstrap.log"
  fi
  rm -rf "$tmp"/root/var/cache/apt/archives/*.deb
  mv -T "$tmp/root" "$1"
  rmdir "$tmp"
}

# A Go module as a writable folder; module zips carry no modes, so scripts get theirs back.
_offline_module() {
  local dir
  dir="$(cd / && GOFLAGS=-mod=mod go mod download -json "$1@$2" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')"
  [[ -d "$dir" ]] || die "go mod download $1@$2 failed; is the Go module proxy in reach?"
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
  say "collecting rules_go $offline_rules_go and gazelle $offline_gazelle from the Go module proxy (about 10 s, once)"
  tmp="$(mktemp -d "$cache/offline/tmp.XXXXXX")"
  mkdir "$tmp/modules"
  _offline_module github.com/bazelbuild/rules_go "$offline_rules_go" "$tmp/modules/rules_go"
  _offline_module github.com/bazelbuild/bazel-gazelle "$offline_gazelle" "$tmp/modules/gazelle"
  # MODULE.bazel's patches: an overridden module gets none from Bazel.
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
    echo "common --override_module=rules_shell=/usr/share/bazel/rules/shell"
    local name
    for name in rules_go gazelle buildozer zlib apple_support protobuf package_metadata; do
      echo "common --override_module=$name=$dest/$name"
    done
    echo "common --override_repository=rules_go~~go_sdk~stormgate_go_sdk=$dest/go_sdk"
    # Of all that Bazel downloads for its own use, a query of Go packages loads this one.
    echo "common --override_repository=bazel_tools~remote_coverage_tools_extension~remote_coverage_tools=$dest/coverage_tools"
    echo "common --repo_env=GO_REPOSITORY_USE_HOST_MODCACHE=1"
    echo "common --repo_env=GOMODCACHE=$(go env GOMODCACHE)"
    echo "common --repo_env=GOPROXY=$(go env GOPROXY)"
  } >"$tmp/modules/bazelrc"
  mv -T "$tmp/modules" "$dest"
  rmdir "$tmp"
}

# The machine's Go must be able to stand for the version that go.mod names.
_offline_check_go() {
  command -v go >/dev/null || die "no go on PATH: install Go, $1 or newer"
  local have
  have="$(cd / && go env GOVERSION)"
  if [[ "$(printf '%s\n' "$1" "${have#go}" | sort -V | head -n 1)" != "$1" ]]; then
    die "the machine's Go is ${have#go}, go.mod asks for $1: install that or newer"
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
  want="$(awk '$1 == "toolchain" {print substr($2, 3)}' "$workspace/go.mod")"
  _offline_check_go "$want"
  mkdir -p "$cache/offline" "$cache/disk"
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
  if [[ ! -d "$root" || ! -d "$modules" ]]; then
    # One process at a time: one that waited finds it done.
    exec 9>"$cache/offline/lock"
    flock 9
    rm -rf "$cache"/offline/tmp.*  # of a set-up that was broken off
    [[ -d "$root" ]] || _offline_root "$root"
    [[ -d "$modules" ]] || _offline_modules "$modules" "$root"
    exec 9>&-
  fi
  local binds=(--bind "$root" / --dev-bind /dev /dev --bind /proc /proc --bind /sys /sys --bind /tmp /tmp
    --bind "$HOME" "$HOME" --bind "$workspace" "$workspace" --bind "$cache" "$cache")
  local goroot path
  goroot="$(go env GOROOT)"
  # In the place of Debian's rc file, which Bazel would miss otherwise.
  binds+=(--ro-bind "$goroot" "$goroot" --ro-bind "$modules/bazelrc" /etc/bazel/bazelrc)
  for path in "$(go env GOMODCACHE)" "$(pwd -P)" "$(_offline_repository)" ${XDG_RUNTIME_DIR:-}; do
    [[ -d "$path" ]] && binds+=(--bind "$path" "$path")
  done
  for path in /etc/resolv.conf /etc/hosts /etc/ssl/certs /etc/passwd /etc/group; do
    [[ -e "$path" ]] && binds+=(--ro-bind "$(realpath "$path")" "$path")
  done
  # For `bazel run ENVIRONMENT.kubectl`: a static program of the machine's.
  if path="$(command -v kubectl)"; then
    binds+=(--ro-bind "$(realpath "$path")" /usr/local/bin/kubectl)
  fi
  # A fresh /proc would bar linux-sandbox from mounting its own (hence --bind /proc).
  PATH="$goroot/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    exec bwrap "${binds[@]}" --setenv STORMGATE_OFFLINE_ROOT "$root" --chdir "$(pwd -P)" bazel "$@"
}
