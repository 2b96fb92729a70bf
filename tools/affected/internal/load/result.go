package load

// Ref is an edge to a label.
type Ref struct {
	// Label is written as Label.String does.
	Label string
	// Sure says that it is a label. Else it is a string that may be one: of an
	// attribute whose type is not known here.
	Sure bool
	// Special says that it counts only under a condition of a select that has a default:
	// it is all the same an input, but a poor reason where there is another.
	Special bool
}

// Attribute is what one attribute of a target says.
type Attribute struct {
	Name string
	// Digest is of the value with labels in one spelling. It is empty for attributes
	// that enter no action.
	Digest string
	Refs   []Ref
	// Set says that it is no more than the set of its labels, in any order, each once or
	// more often, and that an alias is as good as what it stands for.
	Set bool
	// Absent says that it enters no action, but that its labels must be there.
	Absent bool
	// Outputs are names of files that the target makes.
	Outputs []string
}

// Target is a rule target, or a call of something that makes unknown ones.
type Target struct {
	// Name is empty if it is not known.
	Name string
	// Kind is the rule's or the macro's name.
	Kind string
	// Class is the Digest of the Class in Package.Classes; empty for native rules and
	// for what other repositories define.
	Class string
	// Symbol is `@repo//file.bzl%name` of what another repository defines, else empty.
	Symbol     string
	Attributes []Attribute
	// Tags are those that can be seen.
	Tags []string
	// Test says that `bazel test` takes it.
	Test bool
	// Constraints are the labels of target_compatible_with, if it is a plain list.
	Constraints []string
	// Variables are the make variables that it may read, which --define sets: NAME=VALUE if
	// only that matters, AnyVariable if these can't be known.
	Variables []string
	// Stamps says when it reads the workspace status.
	Stamps Stamps
	// Visible are the entries of its visibility, nil if it doesn't say; TestOnly is its
	// testonly, if SaysTestOnly.
	Visible                []string
	TestOnly, SaysTestOnly bool
	// Quiet are attributes, by name, that count only where something asks for them: they
	// enter no action by themselves.
	Quiet []Part
	// Asks says that it is a query that may print what attributes of others say, AsksFiles
	// that it may print the files that packages are made of.
	Asks, AsksFiles bool
	// Single says that it is a flag whose values are single texts. Values are, of a
	// config_setting, the values for which it asks of flags, by their labels, as DefaultDigest
	// gives them, and the options for which it asks, as "--name" alone.
	Single bool
	Values []Part
	// MadeIn is the package, as a label, of the symbolic macro that makes it: what the macro
	// names has to be visible there. Given are the labels that the macro was given.
	MadeIn string
	Given  []string
}

// AnyVariable stands for every make variable.
const AnyVariable = "*"

// Stamps says when a target reads the workspace status.
type Stamps int

// Never is the default; IfAsked is with --stamp.
const (
	Never Stamps = iota
	IfAsked
	Always
)

// Manual says that `//...` leaves it out.
func (t *Target) Manual() bool { return t.has("manual") }

// Uncached says that Bazel runs it whatever changed.
func (t *Target) Uncached() bool { return t.has("external") }

func (t *Target) has(tag string) bool {
	for _, x := range t.Tags {
		if x == tag {
			return true
		}
	}
	return false
}

// Hides says that of two of one name, of which code of other repositories makes at least
// one, this is the target.
func (t *Target) Hides(other *Target) bool {
	if (t.Symbol == "") != (other.Symbol == "") {
		return t.Symbol == ""
	}
	return t.Test && !other.Test
}

// Foreign says that it is what code of another repository makes that is not known: it may
// make targets and files of any name.
func (t *Target) Foreign() bool { return t.foreign() }

// MakesMore says that it may make files, or targets, that its attributes do not name.
func (t *Target) MakesMore() bool {
	return t.Symbol != "" || t.Class != "" || !plain[t.Kind] && t.Kind != "genrule"
}

// Part is the part of a file that something is made of.
type Part struct {
	File   string
	Digest string
}

// Class is a rule or an aspect that a file of this workspace defines.
type Class struct {
	// Key is `//package:file.bzl%name`.
	Key string
	// Digest is of all that is here.
	Digest string
	// Schema is the digest of attributes, defaults and flags.
	Schema string
	// Code is the digest of the functions and constants that its implementation reaches,
	// Parts are the files that have these.
	Code  string
	Parts []Part
	// Refs are defaults of attributes.
	Refs []Ref
	// Aspect says that it is an aspect. Reads are the names of attributes that it may read,
	// of its own target or, if it is an aspect, of those that it visits. Idle are attributes
	// that Schema leaves out: they count if an aspect may ask for them.
	Aspect bool
	Reads  []string
	Idle   []Part
	// Foreign says that an aspect of another repository visits its dependencies.
	Foreign bool
	// Limits are conditions on what attributes are given: Bazel refuses what isn't so.
	Limits []string
	// Toolchains are types of toolchains.
	Toolchains []Ref
	// Aspects are the digests of the classes of aspects.
	Aspects []string
	// Status says that its implementation reads the workspace status, Variables that
	// it reads make variables, Features that it may ask for features.
	Status, Variables, Features bool
	// Handed says that its implementation hands its context to functions, of which some may
	// be those of the repositories among Refs.
	Handed bool
	// Anywhere says that a transition of it, or a computed default, puts labels together.
	Anywhere bool
	// Validates says that its targets may have validation actions, which run, and fail,
	// with whatever test depends on them, whatever that reads.
	Validates bool
	// Blind says that no action of its targets reads a file of another target: all that they
	// write is text from the analysis, which knows names and no content.
	Blind bool
}

// Package is what a BUILD file defines.
type Package struct {
	// Repo and Path name it. Build is the path of its BUILD file in the workspace.
	Repo, Path, Build string
	Targets           []Target
	Classes           []Class
	// Loads are the files of this workspace that it loads, directly or not.
	Loads []string
	// LoadLabels are the labels by which these are loaded.
	LoadLabels []string
	// Globs says that it looks at which files there are.
	Globs bool
	// Failed says why it could not be evaluated. Then Targets are what its syntax
	// shows, if anything.
	Failed string
	// Doubt says why its evaluation may not be Bazel's: something that another
	// repository defines decided a condition.
	Doubt string
	// Literals are all strings of its files that may be labels, if Failed or Doubt is set.
	Literals []Ref
	// Refused says why Bazel refuses the package though it can be evaluated, Empty are globs
	// without a match, which it refuses if so configured.
	Refused, Empty []string
	// Visible is the package's default_visibility, nil if it has none, TestOnly its
	// default_testonly.
	Visible  []string
	TestOnly bool
	Exports  []Exported
	Groups   []Group
}
