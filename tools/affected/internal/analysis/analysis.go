// Package analysis answers which tests differ between two snapshots, and why.
package analysis

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/bazelrc"
	"stormgate.internal/tools/affected/internal/git"
	"stormgate.internal/tools/affected/internal/gomod"
	"stormgate.internal/tools/affected/internal/graph"
	"stormgate.internal/tools/affected/internal/index"
	"stormgate.internal/tools/affected/internal/load"
	"stormgate.internal/tools/affected/internal/module"
	"stormgate.internal/tools/affected/internal/snapshot"
)

// Options are what an answer depends on beside the snapshots.
type Options struct {
	// Configs are the names of .bazelrc configs that tests are run with.
	Configs []string
	// IncludeManual lists tests with the tag manual too.
	IncludeManual bool
	// ModuleCache is Go's, to see which packages other modules import; may be empty.
	ModuleCache string
	// Index keeps loaded packages; nil keeps none.
	Index *index.Index
}

// Test is a test that a change can affect.
type Test struct {
	Label string `json:"label"`
	Kind  string `json:"kind"`
	// State is changed, new, or always: it reads more than its declared inputs (tag
	// external), and Bazel runs it each time.
	State  string       `json:"state"`
	Tags   []string     `json:"tags"`
	Chain  []graph.Link `json:"chain"`
	Reason string       `json:"reason"`
}

// Remark is something about a path.
type Remark struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// Widened says what could not be evaluated or placed.
type Widened struct {
	Scope string `json:"scope"`
	Why   string `json:"why"`
}

// Answer is the tests and how they were found.
type Answer struct {
	Changes    []snapshot.Change `json:"changes"`
	Everything []Remark          `json:"everything"`
	Tests      []Test            `json:"tests"`
	// Removed are tests of base that head lacks, or that //... or a filter leaves out there.
	Removed []string  `json:"removed"`
	Widened []Widened `json:"widened"`
	// Unused are changed files that no target and no part of the configuration reads.
	Unused []Remark `json:"unused"`
	Notes  []string `json:"notes"`

	base, head *graph.Graph
	sides      [2]*graph.Side
	affected   map[string]graph.Cause
}

// platformConfigs is the option by which Bazel takes the config that has its system's name,
// beforePlatformConfigs are the versions that don't take it unless it is given.
const platformConfigs = "enable_platform_specific_config"

var beforePlatformConfigs = regexp.MustCompile(`^\s*[1-7]\.`)

// Load evaluates all packages of a snapshot.
func Load(ctx context.Context, s *snapshot.Snapshot, options Options) (*graph.Side, error) {
	set := module.ReadSet(ctx, s)
	if set.Missing {
		workspaceName(ctx, s, set)
	}
	lines := bazelrc.Read(ctx, s)
	if content, err := s.Read(ctx, ".bazelversion"); err == nil && beforePlatformConfigs.Match(content) &&
		!slices.ContainsFunc(lines, func(o bazelrc.Option) bool { return o.Name == platformConfigs }) {
		lines = append([]bazelrc.Option{{Command: "common", Name: platformConfigs, Value: "0", File: ".bazelrc"}}, lines...)
	}
	rc := bazelrc.Effective(lines, options.Configs)
	w := load.NewWorkspace(ctx, s, set.Repos, deletedPackages(rc, set.Repos[""].Mapping)...)
	loader := load.NewLoader(ctx, w)
	side := &graph.Side{
		Workspace: w, Modules: set, Packages: map[string]*load.Package{}, Closure: loader.Closure, Code: loader.Code, Extension: loader.Extension,
		RC: rc, Defined: bazelrc.Configs(lines),
	}
	x := options.Index
	if x == nil {
		x = index.Open("", "")
	}
	mapping := mappingDigest(set.Repos)
	for _, repo := range slices.Sorted(maps.Keys(set.Repos)) {
		for _, pkg := range w.Packages(repo) {
			p, err := x.Package(w, loader, mapping, repo, pkg)
			if err != nil {
				return nil, err
			}
			side.Packages[graph.Key(repo, pkg)] = p
		}
	}
	return side, nil
}

// deletedPackages are those of --deleted_packages. Their targets are no targets, and
// globs above them see their files.
func deletedPackages(rc []bazelrc.Option, mapping map[string]string) []load.Label {
	var deleted []load.Label
	for _, o := range rc {
		if o.Name != "deleted_packages" {
			continue
		}
		for _, name := range strings.Split(o.Value, ",") {
			name = strings.TrimSpace(name)
			if !strings.HasPrefix(name, "@") {
				name = "//" + strings.TrimLeft(name, "/")
			}
			if label, err := load.ParseMapped(strings.TrimSuffix(name, "/")+":all", mapping); err == nil {
				deleted = append(deleted, label)
			}
		}
	}
	return deleted
}

// workspaceName takes the name of a workspace that has no MODULE.bazel.
func workspaceName(ctx context.Context, s *snapshot.Snapshot, set *module.Set) {
	for _, file := range []string{"WORKSPACE.bazel", "WORKSPACE"} {
		content, err := s.Read(ctx, file)
		if err != nil {
			continue
		}
		_, rest, ok := strings.Cut(string(content), "workspace(")
		if !ok {
			return
		}
		_, rest, _ = strings.Cut(rest, "\"")
		name, _, ok := strings.Cut(rest, "\"")
		if ok {
			set.Repos[""].Mapping[name] = ""
		}
		return
	}
}

func mappingDigest(repos map[string]*load.Repo) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(repos)) {
		parts = append(parts, name, repos[name].Root, repos[name].Features, repos[name].Version, repos[name].Module)
		for _, apparent := range slices.Sorted(maps.Keys(repos[name].Mapping)) {
			parts = append(parts, apparent, repos[name].Mapping[apparent])
		}
	}
	return load.ValueDigest(strings.Join(parts, "\x00"))
}

// Compare finds the tests of head that what differs from base can affect.
func Compare(ctx context.Context, base, head *snapshot.Snapshot, options Options) (*Answer, error) {
	a := &Answer{
		Changes: snapshot.Diff(base, head), Everything: []Remark{}, Tests: []Test{}, Removed: []string{}, Widened: []Widened{}, Unused: []Remark{}, Notes: []string{},
	}
	if a.Changes == nil {
		a.Changes = []snapshot.Change{}
	}
	for _, name := range head.Unseen {
		a.Notes = append(a.Notes, "git ignores "+name+": it counts as unchanged")
	}
	for i, s := range []*snapshot.Snapshot{base, head} {
		side, err := Load(ctx, s, options)
		if err != nil {
			return nil, err
		}
		a.sides[i] = side
	}
	c := &comparison{Answer: a, ctx: ctx, opts: options, forced: map[string]graph.Cause{}, explained: map[string]bool{}, changed: map[string]snapshot.Change{}}
	for _, change := range a.Changes {
		c.changed[change.Path] = change
		if change.From != "" {
			c.changed[change.From] = snapshot.Change{Path: change.From, Kind: "deleted"}
		}
	}
	for _, name := range options.Configs {
		if !slices.ContainsFunc(c.sides[1].Defined, func(config string) bool { return config == name }) {
			a.Notes = append(a.Notes, "no .bazelrc of the workspace has a config "+name+": of it nothing is known")
		}
	}
	special := c.goFiles()
	a.base, a.head = graph.Build(ctx, a.sides[0], a.sides[1], graph.Facts{
		Special: special, Defines: bazelrc.ChangedDefines(a.sides[0].RC, a.sides[1].RC), Generated: c.generated(special),
	})
	c.configuration()
	c.options()
	c.goModules(special)
	c.unevaluated()
	a.affected = graph.Affected(a.base, a.head, c.forced, c.why)
	if cause, ok := a.affected[graph.Configuration]; ok && cause.Via != nil {
		chain := graph.Chain(a.head, a.affected, graph.Configuration)
		a.Everything = append(a.Everything, Remark{chain[len(chain)-1].Node, Words(a.head, chain)})
	}
	c.legacy()
	c.tests()
	c.unused()
	return a, nil
}

type comparison struct {
	*Answer
	ctx     context.Context
	opts    Options
	forced  map[string]graph.Cause
	changed map[string]snapshot.Change
	// explained are changed files that something was said of.
	explained map[string]bool
}

func (c *comparison) everything(file, why string) {
	c.explained[file] = true
	c.Everything = append(c.Everything, Remark{file, why})
	if _, ok := c.forced[graph.Configuration]; !ok {
		c.forced[graph.Configuration] = graph.Cause{At: file, Why: why}
	}
}

func (c *comparison) force(node, at, why string) {
	if _, ok := c.forced[node]; !ok {
		c.forced[node] = graph.Cause{At: at, Why: why}
	}
}

func (c *comparison) read(side int, file string) string {
	content, err := c.sides[side].Workspace.Snapshot.Read(c.ctx, file)
	if err != nil {
		return ""
	}
	return string(content)
}

// configuration places files that Bazel itself reads.
func (c *comparison) configuration() {
	for _, file := range slices.Sorted(maps.Keys(c.changed)) {
		if path.Base(file) == ".gitattributes" {
			c.attributes(file)
		}
		switch file {
		case ".bazelversion":
			if strings.TrimSpace(c.read(0, file)) == strings.TrimSpace(c.read(1, file)) {
				c.explained[file] = true
				continue
			}
			c.everything(file, "another version of Bazel builds everything anew")
		case ".bazeliskrc":
			c.everything(file, "it may name another version of Bazel")
		case "MODULE.bazel.lock":
			c.explained[file] = true
			c.force(graph.Modules, file, "other repositories may be resolved to other versions")
		case "WORKSPACE", "WORKSPACE.bazel", "WORKSPACE.bzlmod":
			if c.workspaceUnused() {
				c.explained[file] = true
				c.Notes = append(c.Notes, file+" is not read: by --noenable_workspace, or since Bazel 8")
				continue
			}
			c.everything(file, "it may define any repository, and is not looked into")
		case ".gitignore", ".gitmodules":
			c.explained[file] = true
		}
	}
	for i, side := range c.sides {
		for _, file := range slices.Sorted(maps.Keys(side.Modules.Rest)) {
			if _, ok := c.changed[file]; !ok {
				continue
			}
			c.explained[file] = true
			if rest := side.Modules.Rest[file]; rest != c.sides[1-i].Modules.Rest[file] {
				c.everything(file, "it says something of all packages that is not looked into")
			}
		}
		for _, file := range side.Mentioned(c.ctx, "tools/bazel") {
			change, ok := c.changed[file]
			if !ok || c.explained[file] {
				continue
			}
			why := "Bazelisk runs it in Bazel's place: it may choose another Bazel, or other options"
			if file != "tools/bazel" {
				why = "tools/bazel names it, or what that names"
			}
			c.everything(file, why+" ("+change.Kind+")")
		}
	}
	seen := map[string]bool{}
	for _, side := range c.sides {
		for _, problem := range side.Modules.Problems {
			if !seen[problem] {
				seen[problem] = true
				c.Widened = append(c.Widened, Widened{"everything", problem})
			}
		}
	}
	if len(seen) > 0 && len(c.Changes) > 0 {
		c.everything(c.Changes[0].Path, "MODULE.bazel can't be evaluated, so that it is not known what any file leads to")
		for _, file := range slices.Sorted(maps.Keys(c.changed)) {
			if path.Base(file) == "MODULE.bazel" || strings.HasSuffix(file, ".MODULE.bazel") {
				c.everything(file, "it can't be evaluated")
			}
		}
	}
}

func (c *comparison) workspaceUnused() bool {
	return !slices.ContainsFunc(c.sides[:], (*graph.Side).ReadsWorkspace)
}

// legacy says so if something changed of which repositories of WORKSPACE may be made.
func (c *comparison) legacy() {
	cause, ok := c.affected[graph.Legacy]
	if !ok || cause.Via == nil {
		return
	}
	chain := graph.Chain(c.head, c.affected, graph.Legacy)
	c.Widened = append(c.Widened, Widened{
		"all that uses a repository which no MODULE.bazel makes, and everything if toolchains may be registered",
		"WORKSPACE is not run, and what it leads to names what changed: " + Words(c.head, chain),
	})
}

// harmless are attributes that change nothing of what a checkout writes.
var harmless = []string{"diff", "merge", "export-ignore", "export-subst", "delta", "whitespace", "conflict-marker-size"}

// attributes places changed lines of a .gitattributes. Some attributes change what a
// checkout writes for content that is the same.
func (c *comparison) attributes(file string) {
	c.explained[file] = true
	base, head := attributeLines(c.read(0, file)), attributeLines(c.read(1, file))
	common := func(lines, others []string) []string {
		return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !slices.Contains(others, line) })
	}
	// Of two lines for a file the later one counts.
	moved := !slices.Equal(common(base, head), common(head, base))
	for _, pair := range [][2][]string{{base, head}, {head, base}} {
		for _, line := range pair[0] {
			if !moved && slices.Contains(pair[1], line) {
				continue
			}
			fields := strings.Fields(line)
			for _, attribute := range fields[1:] {
				name, unimportant := attributeName(attribute)
				if unimportant {
					continue
				}
				c.rewritten(file, fields[0], fmt.Sprintf("the attribute %s may change what a checkout writes", name))
			}
		}
	}
}

// attributeLines are the lines of a .gitattributes that may change what a checkout writes, in
// their order.
func attributeLines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) > 1 && !strings.HasPrefix(fields[0], "#") && slices.ContainsFunc(fields[1:], func(a string) bool {
			_, unimportant := attributeName(a)
			return !unimportant
		}) {
			all = append(all, strings.Join(fields, " "))
		}
	}
	return all
}

func attributeName(attribute string) (name string, unimportant bool) {
	name, _, _ = strings.Cut(strings.TrimLeft(attribute, "-!"), "=")
	return name, slices.Contains(harmless, name) || strings.HasPrefix(name, "linguist-") || strings.HasPrefix(name, "gitlab-")
}

// rewritten places an attribute of the files that a pattern of a .gitattributes matches.
// Simple patterns only: of others any file may be one.
func (c *comparison) rewritten(file, pattern, why string) {
	if strings.ContainsAny(pattern, `[]"!\`) || strings.Contains(pattern, "**") || strings.HasSuffix(pattern, "/") {
		c.everything(file, why)
		return
	}
	folder := ""
	if in := path.Dir(file); in != "." {
		folder = in + "/"
	}
	whole := strings.Contains(pattern, "/")
	matched := map[string]bool{}
	for _, e := range c.sides[1].Workspace.Snapshot.Files {
		name, ok := strings.CutPrefix(e.Path, folder)
		if !ok {
			continue
		}
		if !whole {
			name = path.Base(name)
		}
		if ok, err := path.Match(strings.TrimPrefix(pattern, "/"), name); ok || err != nil {
			matched[e.Path] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(matched)) {
		if !plainFile(name) || slices.Contains(c.sides[1].Mentioned(c.ctx, "tools/bazel"), name) {
			c.everything(file, fmt.Sprintf("%s, also of %s", why, name)) // It is read from git here.
			return
		}
	}
	for name, n := range c.head.Nodes {
		if n.Kind == "file" && matched[n.File] {
			c.force(name, file, why)
		}
	}
}

// plainFile says that a file means nothing to Bazel by its name.
func plainFile(name string) bool {
	base := path.Base(name)
	for _, suffix := range []string{".bzl", ".bazel", ".bazelrc", "go.mod", "go.sum", ".bazelversion", ".bazelignore", ".gitmodules"} {
		if strings.HasSuffix(base, suffix) {
			return false
		}
	}
	return base != "BUILD" && !strings.HasPrefix(base, "WORKSPACE")
}

// options places changed options of .bazelrc.
func (c *comparison) options() {
	for _, d := range bazelrc.Diff(c.sides[0].RC, c.sides[1].RC) {
		file, _, _ := strings.Cut(d.Why, ":")
		c.explained[file] = true
		if d.Name == "flag_alias" {
			c.aliases(file, d.Why)
			continue
		}
		switch d.Scope {
		case bazelrc.Nothing:
			c.Notes = append(c.Notes, d.Why)
		case bazelrc.Status:
			if d.Name == "workspace_status_command" && c.plainStatus() {
				c.Notes = append(c.Notes, d.Why+", compared by its stable values")
				continue
			}
			c.force(graph.Status, file, d.Why)
		case bazelrc.Variables:
			c.force(graph.Variables, file, d.Why)
		case bazelrc.Repositories:
			if !c.workspaceUnused() || !bazelrc.OfRepositories(c.sides[0].RC, c.sides[1].RC) {
				c.everything(file, d.Why)
				continue
			}
			c.force(graph.Environment, file, d.Why)
		case bazelrc.Setting:
			label, err := load.ParseMapped(d.Name, c.sides[1].Workspace.Repos[""].Mapping)
			if err != nil {
				c.everything(file, d.Why)
				continue
			}
			if c.atDefault(label.String()) {
				c.Notes = append(c.Notes, d.Why+": at its default")
				continue
			}
			c.setting(label.String(), file, d.Why)
		case bazelrc.Tests, bazelrc.Everything:
			c.everything(file, d.Why)
		}
	}
	c.orderOfSettings()
	c.status()
	for file := range c.changed {
		if file == ".bazelrc" || strings.HasSuffix(file, ".bazelrc") {
			c.explained[file] = true // Further lines change nothing of what bazel test does.
		}
	}
}

// aliases places changed names of build settings. What is given by a name is given to its
// setting; but config_settings may ask for a value by it.
func (c *comparison) aliases(file, why string) {
	names := map[string]bool{}
	for _, side := range c.sides {
		for _, o := range side.RC {
			if alias, _, ok := strings.Cut(o.Value, "="); ok && o.Name == "flag_alias" {
				names["--"+alias] = true
			}
		}
	}
	for _, p := range c.sides[1].Packages {
		for i := range p.Targets {
			t := &p.Targets[i]
			if slices.ContainsFunc(t.Values, func(v load.Part) bool { return names[v.File] }) {
				c.force(load.Label{Repo: p.Repo, Package: p.Path, Name: t.Name}.String(), file, why)
			}
		}
	}
	c.Notes = append(c.Notes, why)
}

// setting places a changed build setting: all that uses it, by whatever name.
func (c *comparison) setting(label, file, why string) {
	for _, side := range c.sides {
		for _, text := range side.Settings(label) {
			l, err := load.ParseLabel(text)
			if err != nil {
				c.everything(file, why)
				return
			}
			if _, here := c.sides[1].Workspace.Repos[l.Repo]; !here {
				c.force("@"+l.Repo, file, why)
				continue
			}
			if c.head.Nodes[text] == nil && side == c.sides[1] {
				c.everything(file, why+", which something makes that is not seen")
				return
			}
			c.force(text, file, why)
		}
	}
}

// given are the options of both sides that set a build setting, by each of its labels.
func (c *comparison) given() [2]map[string][]bazelrc.Option {
	byTarget := [2]map[string][]bazelrc.Option{{}, {}}
	for i, side := range c.sides {
		for _, o := range side.RC {
			if !bazelrc.IsSetting(o.Name) {
				continue
			}
			label, err := load.ParseMapped(o.Name, side.Workspace.Repos[""].Mapping)
			if err != nil {
				continue
			}
			for _, text := range side.Settings(label.String()) {
				byTarget[i][text] = append(byTarget[i][text], o)
			}
		}
	}
	return byTarget
}

// atDefault says that one side gives a build setting the value that is its default on both,
// and the other none.
func (c *comparison) atDefault(label string) bool {
	given := c.given()
	one := append(slices.Clone(given[0][label]), given[1][label]...)
	if len(given[0][label]) > 0 && len(given[1][label]) > 0 || len(one) == 0 {
		return false
	}
	value := one[len(one)-1].Value
	return c.sides[0].Default(label, value) && c.sides[1].Default(label, value)
}

// orderOfSettings places settings that have two names, of which the last one counts: the
// values of both may be those of before, in another order.
func (c *comparison) orderOfSettings() {
	byTarget := c.given()
	for _, text := range slices.Sorted(maps.Keys(byTarget[1])) {
		list := byTarget[1][text]
		if !slices.EqualFunc(byTarget[0][text], list, func(a, b bazelrc.Option) bool { return a.Value == b.Value }) && !c.atDefault(text) {
			o := list[len(list)-1]
			c.setting(text, o.File, fmt.Sprintf("%s:%d: --%s is another name of %s: a build setting", o.File, o.Line, o.Name, text))
		}
	}
}

// status counts the workspace status as changed by any change if a stable value may be
// another one with each: the commit's name, whether the tree has changes.
func (c *comparison) status() {
	read := false
	for _, n := range c.head.Nodes {
		read = read || slices.ContainsFunc(n.Edges, func(e graph.Edge) bool { return e.To == graph.Status })
	}
	if !read || len(c.Changes) == 0 {
		return
	}
	for _, side := range c.sides {
		if what := side.Unforeseen(c.ctx); what != "" {
			why := fmt.Sprintf("the status command asks %s for a stable value, which may be another one with each commit", what)
			c.force(graph.Status, c.Changes[0].Path, why)
			c.Widened = append(c.Widened, Widened{"all that reads the workspace status", why})
			return
		}
	}
}

// plainStatus says that what both sides' status programs print is compared itself.
func (c *comparison) plainStatus() bool {
	for _, side := range c.sides {
		if _, ok := side.StableStatus(c.ctx); !ok {
			return false
		}
	}
	return true
}

// goFiles are the go.mod files that Gazelle and rules_go read, which are compared by
// module.
func (c *comparison) goFiles() map[string]bool {
	files := map[string]bool{}
	for _, side := range c.sides {
		for _, e := range side.Modules.Root.Extensions {
			if !graph.GoDeps(e) && !graph.GoSDK(e) {
				continue
			}
			for _, t := range e.Tags {
				label, err := load.ParseMapped(t.Values["go_mod"], side.Workspace.Repos[""].Mapping)
				if err != nil || label.Repo != "" {
					continue
				}
				if file, ok := side.Workspace.File(label); ok {
					files[file] = true
				}
			}
		}
	}
	return files
}

// generated says of which repositories of go_deps the BUILD files are Gazelle's: their
// modules have none of their own.
func (c *comparison) generated(special map[string]bool) func(repo string) bool {
	known := map[string]bool{}
	return func(repo string) bool {
		if answer, ok := known[repo]; ok {
			return answer
		}
		answer := false
		for _, file := range slices.Sorted(maps.Keys(special)) {
			for side := range c.sides {
				f, err := gomod.Parse([]byte(c.read(side, file)), []byte(c.read(side, path.Join(path.Dir(file), "go.sum"))))
				if err != nil {
					known[repo] = false
					return false
				}
				names, found := gomod.NewReach(f, nil, c.opts.ModuleCache).Files(repo, func(dir string) []string {
					var names []string
					for _, e := range c.sides[side].Workspace.Snapshot.Files {
						if strings.HasPrefix(e.Path, path.Join(path.Dir(file), dir)+"/") {
							names = append(names, e.Path)
						}
					}
					return names
				})
				if !found {
					continue // Required on the other side only, or not to be seen.
				}
				answer = true
				for _, name := range names {
					if base := path.Base(name); base == "BUILD" || base == "BUILD.bazel" || strings.HasSuffix(base, ".bzl") {
						known[repo] = false
						return false
					}
				}
			}
		}
		known[repo] = answer
		return answer
	}
}

// goModules places changes of go.mod and go.sum by module.
func (c *comparison) goModules(special map[string]bool) {
	for _, file := range slices.Sorted(maps.Keys(special)) {
		sum := path.Join(path.Dir(file), "go.sum")
		_, a := c.changed[file]
		_, b := c.changed[sum]
		if a || b {
			c.explained[file], c.explained[sum] = true, true
		}
		base, err := gomod.Parse([]byte(c.read(0, file)), []byte(c.read(0, sum)))
		head, err2 := gomod.Parse([]byte(c.read(1, file)), []byte(c.read(1, sum)))
		if err != nil || err2 != nil {
			if !a && !b {
				continue // Broken on both sides alike.
			}
			if err2 != nil {
				err = err2
			}
			c.Widened = append(c.Widened, Widened{"all that depends on Go modules", fmt.Sprintf("%s: %v", file, err)})
			c.everything(file, fmt.Sprintf("it can't be compared by module: %v", err))
			continue
		}
		if base.Toolchain != head.Toolchain && c.choosesSDK(file) {
			c.force("@rules_go", file, fmt.Sprintf("the Go SDK was that of %s, is that of %s", base.Toolchain, head.Toolchain))
		}
		if base.Rest != head.Rest {
			c.force("@rules_go", file, fmt.Sprintf("was %q, is %q", base.Rest, head.Rest))
		}
		changed := gomod.Diff(base, head)
		for p := range changed {
			if c.sameModule(path.Dir(file), base.Modules[p].Dir, head.Modules[p].Dir) {
				delete(changed, p)
			}
		}
		c.localModules(path.Dir(file), changed, base, head)
		if len(changed) == 0 && !a && !b {
			continue
		}
		if len(changed) == 0 {
			c.Notes = append(c.Notes, file+": no module, no replacement, no hash and no Go version differs")
			continue
		}
		reach := gomod.NewReach(head, changed, c.opts.ModuleCache)
		reach.Local = func(dir, pkg string) ([]string, bool) { return c.localImports(path.Join(path.Dir(file), dir), pkg) }
		for name, n := range c.head.Nodes {
			repo, rest, labelled := strings.Cut(strings.TrimPrefix(name, "@"), "//")
			if n.Kind != "external" && n.Kind != "repository" || !strings.HasPrefix(name, "@") {
				continue
			}
			if _, ok := reach.Module(repo); !ok {
				continue
			}
			pkg, _, _ := strings.Cut(rest, ":")
			if !labelled {
				pkg = "..."
			}
			chain := reach.Chain(repo, pkg)
			if chain == nil {
				continue
			}
			m := chain[len(chain)-1]
			why := m + ": " + changed[m]
			if len(chain) > 2 {
				why += ", imported by way of " + strings.Join(chain[1:len(chain)-1], ", ")
			}
			if !labelled {
				continue // The repository's packages are nodes by themselves.
			}
			c.force(name, file, why)
		}
		if coarse := slices.Sorted(maps.Keys(reach.Coarse)); len(coarse) > 0 {
			c.Widened = append(c.Widened, Widened{"what depends on " + strings.Join(coarse, ", "), "neither sources nor a complete go.mod are in Go's module cache: taken to import from every module (go mod download makes it precise)"})
		}
	}
}

// choosesSDK says that a go.mod decides on the Go SDK, as far as the main module says: it
// may name the file, or a version.
func (c *comparison) choosesSDK(file string) bool {
	said := false
	for _, side := range c.sides {
		for _, e := range side.Modules.Root.Extensions {
			if !graph.GoSDK(e) {
				continue
			}
			for _, t := range e.Tags {
				label, err := load.ParseMapped(t.Values["go_mod"], side.Workspace.Repos[""].Mapping)
				if where, ok := side.Workspace.File(label); err == nil && ok && where == file {
					return true
				}
				said = said || t.Class == "download" || t.Class == "host" || t.Class == "wrap" || t.Class == "from_file"
			}
		}
	}
	return !said
}

// sameModule says that a module is a folder with the same files on both sides, wherever
// the two are.
func (c *comparison) sameModule(root, base, head string) bool {
	if base == "" || head == "" {
		return false
	}
	files := func(side int, folder string) []string {
		var all []string
		for _, e := range c.sides[side].Workspace.Snapshot.Files {
			if name, ok := strings.CutPrefix(e.Path, path.Join(root, folder)+"/"); ok {
				all = append(all, name+" "+e.ID+" "+string(e.Mode))
			}
		}
		return all
	}
	b := files(0, base)
	return len(b) > 0 && slices.Equal(b, files(1, head))
}

// localModules adds modules that are folders of the workspace in which a file changed.
func (c *comparison) localModules(root string, changed map[string]string, sides ...*gomod.File) {
	for _, f := range sides {
		for p, m := range f.Modules {
			if m.Dir == "" || changed[p] != "" || c.sameModule(root, sides[0].Modules[p].Dir, sides[1].Modules[p].Dir) {
				continue
			}
			folder := path.Join(root, m.Dir) + "/"
			for _, change := range c.Changes {
				if strings.HasPrefix(change.Path, folder) || strings.HasPrefix(change.From, folder) {
					changed[p] = change.Path + " " + change.Kind
					c.explained[change.Path] = true
					break
				}
			}
		}
	}
}

// localImports are the imports of a package of such a module.
func (c *comparison) localImports(folder, pkg string) ([]string, bool) {
	s := c.sides[1].Workspace.Snapshot
	imports := map[string]bool{}
	found := false
	for _, e := range s.Files {
		relative, ok := strings.CutPrefix(e.Path, folder+"/")
		if !ok || !strings.HasSuffix(relative, ".go") || strings.HasSuffix(relative, "_test.go") {
			continue
		}
		in := path.Dir(relative)
		if in == "." {
			in = ""
		}
		if pkg != "..." && in != pkg {
			continue
		}
		content, err := s.Read(c.ctx, e.Path)
		if err != nil || gomod.Imports(e.Path, content, imports) != nil {
			return nil, false
		}
		found = true
	}
	return slices.Sorted(maps.Keys(imports)), found
}

// unevaluated reports packages that failed or are in doubt, and submodules that can't
// be seen.
func (c *comparison) unevaluated() {
	for _, e := range c.sides[1].Workspace.Snapshot.Files {
		if e.Mode == git.Submodule {
			c.Widened = append(c.Widened, Widened{e.Path, "a submodule that is not checked out, or lacks the commit: what names a file of it counts as depending on its commit, and tests in it are not seen (git submodule update --init)"})
		}
	}
	for i, side := range c.sides {
		other := c.sides[1-i]
		for _, key := range slices.Sorted(maps.Keys(side.Packages)) {
			p := side.Packages[key]
			if p.Failed == "" && p.Doubt == "" {
				continue
			}
			if i == 0 {
				if q := other.Packages[key]; q != nil && q.Failed == p.Failed && q.Doubt == p.Doubt {
					continue // Said once.
				}
			}
			why := p.Failed
			if why == "" {
				why = "in doubt: " + p.Doubt
			}
			at := side.Workspace.Snapshot.Name
			c.Widened = append(c.Widened, Widened{key, fmt.Sprintf("at %s: %s: each target of the package counts as depending on all that its BUILD file names", at, why)})
			if i == 1 && p.Failed != "" {
				c.lost(p, c.sides[0].Packages[key])
			}
			if q := c.sides[0].Packages[key]; i == 1 && strings.Contains(p.Failed, load.CycleOfLoads) && (q == nil || !strings.Contains(q.Failed, load.CycleOfLoads)) {
				c.everything(p.Build, "files that it loads load each other in a circle, with which Bazel builds nothing")
			}
		}
	}
}

// lost keeps the tests that base had of a package that can't be evaluated now.
func (c *comparison) lost(p, base *load.Package) {
	if base == nil {
		return
	}
	key := graph.Key(p.Repo, p.Path)
	for i := range base.Targets {
		t := &base.Targets[i]
		label := load.Label{Repo: p.Repo, Package: p.Path, Name: t.Name}.String()
		known := c.head.Nodes[label]
		if !t.Test || t.Name == "" || p.Repo != "" || known != nil && known.Kind != "missing" {
			continue
		}
		c.head.Nodes[label] = &graph.Node{Kind: "target", Rule: t.Kind, Digest: "unknown", Edges: []graph.Edge{{To: "package " + key, Why: "package that can't be evaluated"}}}
		c.head.Tests[label] = &graph.Test{Label: label, Kind: t.Kind, Tags: t.Tags, Manual: t.Manual(), Uncached: t.Uncached()}
	}
}

func (c *comparison) tests() {
	for _, label := range slices.Sorted(maps.Keys(c.head.Tests)) {
		t := c.head.Tests[label]
		if !c.listed(t) || c.noTest(label) {
			continue
		}
		out := Test{Label: label, Kind: t.Kind, State: "changed", Tags: slices.Clone(t.Tags)}
		if out.Tags == nil {
			out.Tags = []string{}
		}
		missing := "base had no such test"
		if old, ok := c.base.Tests[label]; !ok || !c.listed(old) {
			out.State = "new"
		} else if c.filtered(0, old) && !c.filtered(1, t) {
			out.State, missing = "new", "--test_tag_filters left it out"
		}
		out.Chain = graph.Chain(c.head, c.affected, label)
		if out.Chain == nil {
			if !t.Uncached || len(c.Changes) == 0 {
				if out.State == "new" && len(c.Changes) > 0 {
					out.Chain = []graph.Link{{Node: label, Why: t.Kind}, {Node: label, Why: missing}}
				} else {
					continue
				}
			} else {
				out.State = "always"
				out.Chain = []graph.Link{{Node: label, Why: t.Kind}, {Node: "tag external", Why: "Bazel runs it each time"}}
			}
		}
		out.Reason = c.words(out.Chain)
		c.Tests = append(c.Tests, out)
	}
	for _, label := range slices.Sorted(maps.Keys(c.base.Tests)) {
		was := c.base.Tests[label]
		now, ok := c.head.Tests[label]
		if !ok || c.listed(was) && !c.listed(now) ||
			c.listed(was) && c.filtered(1, now) && !c.filtered(0, was) && !slices.ContainsFunc(c.Tests, func(t Test) bool { return t.Label == label }) {
			c.Removed = append(c.Removed, label)
		}
	}
}

// noTest says that what looks like a test in a package that can't be evaluated is a call of a
// macro of the workspace by which base has something else than a test.
func (c *comparison) noTest(text string) bool {
	label, err := load.ParseLabel(text)
	if err != nil {
		return false
	}
	named := func(side int) *load.Target {
		p := c.sides[side].Packages[graph.Key(label.Repo, label.Package)]
		if p == nil || (p.Failed == "") != (side == 0) {
			return nil
		}
		i := slices.IndexFunc(p.Targets, func(t load.Target) bool { return t.Name == label.Name })
		if i < 0 {
			return nil
		}
		return &p.Targets[i]
	}
	was, is := named(0), named(1)
	if was == nil || is == nil || was.Test || was.Symbol != "" {
		return false
	}
	if is.Symbol == "" {
		return !load.OfBazel(is.Kind) // Of a name that is loaded no more.
	}
	from, _, _ := strings.Cut(is.Symbol, "%")
	file, err := load.ParseLabel(from)
	_, here := c.sides[1].Workspace.Repos[file.Repo]
	return err == nil && here
}

// listed says that `bazel test //...` takes a test, or that it is asked for.
func (c *comparison) listed(t *graph.Test) bool {
	return (!t.Manual || c.opts.IncludeManual) && !t.Incompatible
}

// filtered says that --test_tag_filters of .bazelrc leave a test out.
func (c *comparison) filtered(side int, t *graph.Test) bool {
	value := ""
	for _, o := range c.sides[side].RC {
		if o.Name == "test_tag_filters" {
			value = o.Value // The last one counts.
		}
	}
	wanted, has := false, false
	for _, tag := range strings.Split(value, ",") {
		without, excluded := strings.CutPrefix(tag, "-")
		switch {
		case excluded && slices.Contains(t.Tags, without):
			return true
		case !excluded && tag != "":
			wanted, has = true, has || slices.Contains(t.Tags, strings.TrimPrefix(tag, "+"))
		}
	}
	return wanted && !has
}

// words is a chain as one line.
func (c *comparison) words(chain []graph.Link) string { return Words(c.head, chain) }

// Words is a chain as one line.
func Words(head *graph.Graph, chain []graph.Link) string {
	var parts []string
	for i, link := range chain {
		switch {
		case i == 0:
			parts = append(parts, link.Node)
		case i == len(chain)-1:
			parts = append(parts, link.Node+" "+link.Why)
		default:
			n := head.Nodes[link.Node]
			if i == len(chain)-2 && n != nil && n.File == chain[i+1].Node && n.Kind == "file" {
				continue // The label and the path of one file.
			}
			text := link.Node
			if n != nil && n.Rule != "" {
				text = strings.TrimLeft(n.Rule, "_") + " " + link.Node
			}
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, " <- ")
}
