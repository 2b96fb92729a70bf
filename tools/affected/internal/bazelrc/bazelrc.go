// Package bazelrc reads .bazelrc files, and says what a changed option can affect.
package bazelrc

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/snapshot"
)

// Option is one word of a line.
type Option struct {
	Command string // build, test, common, startup, ...
	Config  string // of `build:NAME`, else empty
	// Name has no dashes and no `no`; Value of a boolean is 1 or 0.
	Name, Value string
	File        string
	Line        int
}

// String is the option as one would write it.
func (o Option) String() string {
	return "--" + o.Name + "=" + o.Value
}

// Parse reads one file. Imports are options named `import`.
func Parse(file string, content []byte) []Option {
	var options []Option
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		number := i + 1
		line := lines[i]
		for strings.HasSuffix(line, "\\") && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, "\\") + lines[i]
		}
		words := split(line)
		if len(words) == 0 {
			continue
		}
		command, config, _ := strings.Cut(words[0], ":")
		switch command {
		case "import", "try-import", "try-import-if-bazel-version": // The last has a condition first, which is taken for met.
			if len(words) > 1 {
				options = append(options, Option{Command: command, Name: "import", Value: words[len(words)-1], File: file, Line: number})
			}
			continue
		}
		for k := 1; k < len(words); k++ {
			name, value, given := strings.Cut(words[k], "=")
			dashed := strings.HasPrefix(name, "-")
			name = strings.TrimLeft(name, "-")
			if !given {
				value = "1"
				switch {
				case dashed && k+1 < len(words) && (textual.MatchString(strings.TrimLeft(name, "-")) || !strings.HasPrefix(words[k+1], "-")):
					k++
					value = words[k]
				case strings.HasPrefix(name, "no") && len(name) > 2:
					name, value = name[2:], "0"
				}
			}
			name = canonical(name)
			if !IsSetting(name) && !textual.MatchString(name) { // Of text, yes and 1 are two values.
				value = boolean(value)
			}
			options = append(options, Option{Command: command, Config: config, Name: name, Value: value, File: file, Line: number})
		}
	}
	return options
}

// abbreviations are other names of options, most of them short.
var abbreviations = map[string]string{
	"c": "compilation_mode", "j": "jobs", "k": "keep_going", "s": "subcommands", "t": "cache_test_results",
	// Names that they had before, which Bazel still takes.
	"experimental_platforms": "platforms", "experimental_host_platform": "host_platform", "experimental_run_validations": "run_validations",
}

// textual are options whose value is any text, which may be the next word whatever that
// begins with.
var textual = regexp.MustCompile(`^(?:test_arg|test_filter|run_under|define|embed_label|flag_alias|workspace_status_command|\w*_env|\w*copts?|\w*cxxopts?|\w*conlyopts?|\w*linkopts?|\w*jvmopts?)$`)

// canonical is an option's name in one spelling: the last of two counts, however each is
// written.
func canonical(name string) string {
	if long, ok := abbreviations[name]; ok {
		return long
	}
	if !IsSetting(name) {
		return name
	}
	name = strings.TrimLeft(name, "@")
	if !strings.HasPrefix(name, "//") {
		name = "@" + name
	}
	repo, pkg, ok := strings.Cut(name, "//")
	switch {
	case !ok: // @repo is short for @repo//:repo.
		return repo + "//:" + strings.TrimPrefix(repo, "@")
	case !strings.Contains(pkg, ":"):
		return name + ":" + path.Base(pkg)
	}
	return name
}

// IsSetting says that an option's name is a label: that of a build setting.
func IsSetting(name string) bool {
	return strings.HasPrefix(name, "//") || strings.HasPrefix(name, "@")
}

// True says that a boolean option's value is one of those that Bazel takes for true.
func True(value string) bool {
	return slices.Contains([]string{"1", "true", "yes", "t", "y"}, strings.ToLower(value))
}

func boolean(value string) string {
	switch strings.ToLower(value) {
	case "true", "yes":
		return "1"
	case "false", "no":
		return "0"
	}
	return value
}

// split splits a line into words as Bazel does: quotes group, # begins a comment.
func split(line string) []string {
	var words []string
	var word strings.Builder
	in := false
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			in = true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word.WriteByte(c)
			}
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == '#' && !in:
			return words
		case c == ' ' || c == '\t':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words
}

// Read reads a workspace's .bazelrc and what it imports from the workspace.
func Read(ctx context.Context, s *snapshot.Snapshot) []Option {
	var options []Option
	seen := map[string]bool{}
	var read func(file string)
	read = func(file string) {
		if seen[file] {
			return
		}
		seen[file] = true
		content, err := s.Read(ctx, file)
		if err != nil {
			return // A try-import, or Bazel's own error.
		}
		for _, o := range Parse(file, content) {
			if o.Name != "import" {
				options = append(options, o)
				continue
			}
			if target, ok := strings.CutPrefix(o.Value, "%workspace%/"); ok {
				read(path.Clean(target))
			} else if !path.IsAbs(o.Value) {
				read(path.Clean(o.Value))
			}
		}
	}
	read(".bazelrc")
	return options
}

// Configs are the names of all configs.
func Configs(options []Option) []string {
	var names []string
	for _, o := range options {
		if o.Config != "" && !slices.Contains(names, o.Config) {
			names = append(names, o.Config)
		}
	}
	return names
}

// Effective are the options of `bazel test` with the given configs, in order.
func Effective(options []Option, configs []string) []Option {
	var out []Option
	var expand func(config string, depth int)
	add := func(o Option, depth int) {
		if o.Name == "config" {
			expand(o.Value, depth+1)
			return
		}
		out = append(out, o)
		if o.Name == "enable_platform_specific_config" && True(o.Value) {
			expand(system, depth+1)
		}
	}
	expand = func(config string, depth int) {
		if depth > 10 {
			return
		}
		for _, command := range []string{"always", "common", "build", "test"} {
			for _, o := range options {
				if o.Command == command && o.Config == config {
					add(o, depth)
				}
			}
		}
	}
	expand("", 0)
	for _, c := range configs {
		expand(c, 1)
	}
	// The lines of the system's own config. Versions of Bazel differ in whether they take
	// them unless they are told not to, so that they count.
	if _, given := last(out, "enable_platform_specific_config"); !given {
		expand(system, 1)
	}
	// A name that an option gives to a build setting is that setting.
	aliases := map[string]string{}
	for _, o := range out {
		if alias, setting, ok := strings.Cut(o.Value, "="); ok && o.Name == "flag_alias" {
			aliases[alias] = canonical(setting)
		}
	}
	for i, o := range out {
		if setting, ok := aliases[o.Name]; ok {
			out[i].Name = setting
		}
	}
	for _, o := range options {
		if o.Command == "startup" {
			out = append(out, Option{Command: o.Command, Name: "startup " + o.Name, Value: o.Value, File: o.File, Line: o.Line})
		}
	}
	return out
}

// system is the name of the config of the system that this runs on.
var system = strings.Replace(runtime.GOOS, "darwin", "macos", 1)

// last is the value of an option that counts.
func last(options []Option, name string) (string, bool) {
	for _, o := range slices.Backward(options) {
		if o.Name == name {
			return o.Value, true
		}
	}
	return "", false
}

// Stamp says that --stamp is on.
func Stamp(options []Option) bool {
	value, _ := last(options, "stamp")
	return True(value)
}

// Scope is what an option can affect.
type Scope int

// The scopes, from nothing to everything.
const (
	Nothing Scope = iota
	// Status is targets that read the workspace status.
	Status
	// Variables is targets that read make variables, or select by them.
	Variables
	// Repositories is what repositories are made of whose code may read variables.
	Repositories
	// Setting is targets that depend on the build setting that is the option's name.
	Setting
	// Tests is all tests, but nothing that is built.
	Tests
	Everything
)

// Difference is an option that two lists have differently.
type Difference struct {
	Name  string
	Scope Scope
	// Why is for people: file, line, what changed and what that means.
	Why string
}

// Defines are the make variables that --define sets. The last value of each counts.
func Defines(options []Option) map[string]string {
	variables := map[string]string{}
	for _, o := range options {
		if o.Name == "define" {
			name, value, _ := strings.Cut(o.Value, "=")
			variables[name] = value
		}
	}
	return variables
}

// ofBazel are names of variables that Bazel reads, its own repositories, or programs that all
// may run.
var ofBazel = regexp.MustCompile(`^$|^(?:PATH|HOME|USER|LANG|TZ|TMP|TEMP|TMPDIR|NETRC|CC|CXX|WINDIR|PROGRAMDATA|INCLUDE|LIB|SHELL|MSYS\w*)$|^(?:BAZEL|ABI_|GCOV|CC_|CPLUS|C_INCLUDE|SYSTEM|VC|VS|VISUAL|PROGRAM|JAVA|JDK|XCODE|DEVELOPER|SDK|LD_|DYLD_|LIBRARY|LC_|USE_|HOMEBREW|PYTHON|GIT|SSH|SSL|CURL)|(?i:proxy)|[^A-Za-z0-9_]`)

// OfRepositories says that between two sides only such variables of repositories differ as
// Bazel itself knows nothing of.
func OfRepositories(base, head []Option) bool {
	variables := func(options []Option) map[string]string {
		all := map[string]string{}
		for _, o := range options {
			if o.Name == "repo_env" {
				name, _, _ := strings.Cut(o.Value, "=")
				all[name] = o.Value
			}
		}
		return all
	}
	b, h := variables(base), variables(head)
	for _, side := range []map[string]string{b, h} {
		for name := range side {
			if b[name] != h[name] && ofBazel.MatchString(name) {
				return false
			}
		}
	}
	return true
}

// ChangedDefines are the names of the variables that two sides define differently, in
// order.
func ChangedDefines(base, head []Option) []string {
	b, h := Defines(base), Defines(head)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if value, ok := b[name]; !ok || value != h[name] {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, ok := h[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}

// Diff compares the effective options of two sides. The order of different options
// does not count, that of one option's values does, but for those of --define.
func Diff(base, head []Option) []Difference {
	names := map[string][2][]Option{}
	defines := len(ChangedDefines(base, head)) > 0
	for side, list := range [2][]Option{base, head} {
		for _, o := range list {
			if o.Name == "define" && !defines {
				continue
			}
			both := names[o.Name]
			both[side] = append(both[side], o)
			names[o.Name] = both
		}
	}
	var differences []Difference
	for name, both := range names {
		if slices.EqualFunc(both[0], both[1], func(a, b Option) bool { return a.Value == b.Value }) {
			continue
		}
		scope, meaning := Classify(name)
		at := ""
		for _, list := range [2][]Option{both[1], both[0]} {
			if len(list) > 0 {
				at = fmt.Sprintf("%s:%d", list[len(list)-1].File, list[len(list)-1].Line)
				break
			}
		}
		differences = append(differences, Difference{
			Name: name, Scope: scope,
			Why: fmt.Sprintf("%s: --%s was %s, is %s: %s", at, name, values(both[0]), values(both[1]), meaning),
		})
	}
	slices.SortFunc(differences, func(a, b Difference) int { return strings.Compare(a.Name, b.Name) })
	return differences
}

func values(list []Option) string {
	if len(list) == 0 {
		return "not given"
	}
	var all []string
	for _, o := range list {
		all = append(all, o.Value)
	}
	return strings.Join(all, " ")
}

// Classify says what an option can affect, and why.
func Classify(name string) (Scope, string) {
	if IsSetting(name) {
		return Setting, "a build setting"
	}
	if option, ok := strings.CutPrefix(name, "startup "); ok {
		if strings.Contains(option, "digest") || option == "bazelrc" {
			return Everything, "an option of the server that enters keys"
		}
		return Nothing, "an option of the server"
	}
	switch name {
	case "define":
		return Variables, "a make variable"
	case "repo_env":
		return Repositories, "a variable that code of repositories may read"
	case "stamp", "workspace_status_command", "embed_label":
		return Status, "the workspace status"
	}
	if slices.Contains(testOptions, name) {
		return Tests, "it is part of each test's key"
	}
	if slices.Contains(refusing, name) {
		return Everything, "with it Bazel may refuse what it built without"
	}
	if slices.Contains(outside, name) {
		return Nothing, "it enters no key"
	}
	for _, prefix := range outsidePrefixes {
		if strings.HasPrefix(name, prefix) {
			return Nothing, "it enters no key"
		}
	}
	return Everything, "it may enter every key"
}

// testOptions enter the key of a test's action and of nothing that is built.
var testOptions = []string{
	"test_env", "test_arg", "test_filter", "run_under", "runs_per_test", "test_sharding_strategy", "test_runner_fail_fast",
	"zip_undeclared_test_outputs", "build_runfile_links", "build_runfile_manifests", "enable_runfiles", "experimental_cancel_concurrent_tests",
	"default_test_resources", "incompatible_exclusive_test_sandboxed", "experimental_split_xml_generation", "experimental_persistent_test_runner",
	"allow_local_tests", "incompatible_check_sharding_support", "test_tmpdir",
}

// refusing enter no key, but decide on what is refused.
var refusing = []string{"check_visibility", "run_validations"}

// outside enter no key: they say where, when and how loudly.
var outside = []string{
	"jobs", "disk_cache", "repository_cache", "repository_contents_cache", "distdir", "color", "curses", "announce_rc", "keep_going", "k",
	"lockfile_mode", "verbose_failures", "verbose_explanations", "subcommands", "s", "explain", "profile", "build_tests_only", "test_tag_filters",
	"build_tag_filters", "test_lang_filters", "test_size_filters", "test_timeout_filters", "test_output", "test_summary", "test_timeout", "test_keep_going",
	"test_verbose_timeout_warnings", "test_strategy", "local_test_jobs", "cache_test_results", "flaky_test_attempts", "strategy",
	"spawn_strategy", "genrule_strategy", "strategy_regexp", "symlink_prefix", "isatty", "attempt_to_print_relative_paths", "logging",
	"loading_phase_threads", "instrumentation_filter", "combined_report", "build_metadata", "tool_tag", "use_action_cache", "rc_source",
	"client_env", "invocation_id", "build_request_id", "discard_analysis_cache", "nobuild", "build", "analyze",
	"check_up_to_date", "output_filter", "auto_output_filter", "watchfs", "reuse_sandbox_directories", "legacy_important_outputs",
	"generate_json_trace_profile", "slim_profile", "print_action_mnemonics", "max_test_output_bytes", "high_priority_workers",
	"materialize_param_files", "cache_computed_file_digests", "fetch", "experimental_convenience_symlinks", "experimental_collect_local_sandbox_action_metrics",
	"experimental_inmemory_jdeps_files", "target_pattern_file", "http_timeout_scaling",
	"ram_utilization_factor", "downloader_config", "experimental_downloader_config", "credential_helper", "netrc", "gc_thrashing_limits", "gc_thrashing_threshold",
	"experimental_repository_downloader_retries", "guard_against_concurrent_changes", "keep_state_after_build", "track_incremental_state", "validate", "nested_set_depth_limit",
}

var outsidePrefixes = []string{
	"show_", "progress_", "ui_", "experimental_ui", "bes_", "build_event_", "worker_", "experimental_worker_", "sandbox_", "experimental_sandbox",
	"incompatible_sandbox", "dynamic_local_", "dynamic_remote_", "experimental_dynamic", "execution_log_", "heap_", "memory_", "local_resources", "local_cpu_", "local_ram_", "local_extra_",
	"experimental_disk_cache_gc", "remote_cache", "remote_executor", "remote_timeout", "remote_retries", "remote_upload", "remote_accept", "remote_local_fallback",
	"remote_max_", "remote_header", "remote_instance", "remote_bytestream", "remote_print", "remote_proxy", "remote_verify", "remote_grpc", "remote_download", "remote_build_event_",
	"experimental_remote_", "experimental_repository_cache", "experimental_downloader", "http_", "experimental_profile", "experimental_stream", "google_", "tls_",
	"experimental_build_event", "experimental_bep", "output_groups", "experimental_command_profile", "experimental_oom", "coverage_", "grpc_keepalive",
}
