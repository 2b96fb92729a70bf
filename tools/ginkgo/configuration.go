package ginkgo

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// reserve is kept from the end of the budget for cleanup, artifacts and
// release: 15 s, or a quarter of a short budget.
func reserve(budget time.Duration) time.Duration { return min(15*time.Second, budget/4) }

// defaultSeed is the random seed under Bazel unless something else asks for one.
const defaultSeed = 1

// configuration is Ginkgo's, as Bazel and the flags of go test want it. Flags
// that were given to Ginkgo by name (-ginkgo.seed=7) come first.
func configuration(p protocol, flags *flag.FlagSet) (types.SuiteConfig, types.ReporterConfig, error) {
	suite, reporter := ginkgo.GinkgoConfiguration()
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })

	switch {
	case given["ginkgo.seed"]:
	case p.seed != 0: // --runs_per_test numbers its runs
		suite.RandomSeed = p.seed
	case p.target != "": // a verdict that is cached must not depend on the time of day
		suite.RandomSeed = defaultSeed
	}
	if !given["ginkgo.timeout"] {
		suite.Timeout = 0 // Ginkgo's default of an hour would beat a longer one of Bazel
	}
	if !given["ginkgo.grace-period"] {
		suite.GracePeriod = graceOfNode
	}
	if p.failFast || flagValue(flags, "test.failfast") == "true" {
		suite.FailFast = true
	}

	verbose := flagValue(flags, "test.v")
	chosen := reporter.Succinct || reporter.Verbose || reporter.VeryVerbose
	switch {
	case chosen:
	case verbose != "" && verbose != "false": // "true" or "test2json"
		reporter.Verbose = true
	default:
		reporter.Succinct = true
	}
	if info, err := os.Stdout.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		reporter.NoColor = true // not a terminal
	}
	reporter.SilenceSkips = true // other shards' specs are not news
	err := errors.Join(refuse(p, flags, suite), checkNumber(flag.CommandLine))
	if shuffle := flagValue(flags, "test.shuffle"); err == nil && shuffle != "" && shuffle != "off" {
		suite.RandomizeAllSpecs = true
		if shuffle != "on" {
			if suite.RandomSeed, err = strconv.ParseInt(shuffle, 10, 64); err != nil {
				err = fmt.Errorf("read -shuffle=%s: %w", shuffle, err)
			}
		}
	}
	return suite, reporter, err
}

// without has what of go test has no effect on a Ginkgo suite, and what does instead.
var without = []struct{ name, instead string }{
	{"test.count", "; use --runs_per_test"},
	{"test.cpu", "; set GOMAXPROCS by --test_env"},
	{"test.parallel", "; use shard_count"},
	{"test.bench", ""}, {"test.benchmem", ""}, {"test.benchtime", ""},
	{"test.fuzz", ""}, {"test.fuzztime", ""}, {"test.fuzzminimizetime", ""},
	{"test.blockprofile", ""}, {"test.blockprofilerate", ""}, {"test.cpuprofile", ""}, {"test.memprofile", ""},
	{"test.memprofilerate", ""}, {"test.mutexprofile", ""}, {"test.mutexprofilefraction", ""}, {"test.trace", ""},
	{"test.fullpath", ""}, {"test.artifacts", ""},
}

// refuse complains about flags that would be without effect: a suite that was to
// run ten times and ran once must not pass as one that ran ten times. Nor may one pass
// that ran nothing.
func refuse(p protocol, flags *flag.FlagSet, suite types.SuiteConfig) error {
	for _, option := range without {
		if f := flags.Lookup(option.name); f != nil && f.Value.String() != f.DefValue {
			return fmt.Errorf("-%s=%s has no effect on a Ginkgo suite%s", option.name, f.Value, option.instead)
		}
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("the argument %q has no effect, nor have the flags after it: remove it, or define a flag in the test's package for what the specs are to read",
			flags.Arg(0))
	}
	if suite.ParallelTotal > 1 || suite.ParallelProcess > 1 {
		return errors.New("-ginkgo.parallel.total and -ginkgo.parallel.process belong to the ginkgo command; use shard_count")
	}
	if suite.DryRun {
		return idle("-ginkgo.dry-run", "walks through the specs and runs none", p.byHand("-test.list=."))
	}
	if pattern := flagValue(flags, "test.list"); pattern != "" && p.keepsVerdict {
		return idle("-test.list="+pattern, "lists the specs and runs none", p.byHand("-test.list="+pattern))
	}
	return nil
}

// idle complains about a flag with which no spec runs.
func idle(flag, does, instead string) error {
	return fmt.Errorf("%s %s, so the test would pass without a spec; to look at the suite: %s", flag, does, instead)
}

// refuseHelp makes -h fail where a verdict comes of the run: package flag ends a process
// that is asked for help with 0, before anything of this package is called.
func refuseHelp(flags *flag.FlagSet, p protocol, arguments []string) {
	usage := flags.Usage
	flags.Usage = func() {
		usage()
		asked := slices.IndexFunc(arguments, func(a string) bool { return slices.Contains([]string{"-h", "--h", "-help", "--help"}, a) })
		if p.keepsVerdict && asked >= 0 {
			fmt.Fprintln(os.Stderr, idle(arguments[asked], "prints the flags and runs nothing", p.byHand(arguments[asked])))
			os.Exit(ExitFailure)
		}
	}
}

func init() {
	// What is wrong with the variables is said later.
	p, _ := readProtocol(os.Getenv)
	refuseHelp(flag.CommandLine, p, os.Args[1:])
}

// refuseGoFunctions complains about a package that has Go tests, fuzz targets or
// examples beside its specs: nothing would ever run them. They are in unexported
// fields of testing.M; where a version of Go has others, nothing is noticed.
func refuseGoFunctions(m any) error {
	main, isMain := m.(*testing.M)
	if !isMain || main == nil {
		return nil
	}
	names := goFunctions(reflect.ValueOf(main).Elem())
	if len(names) == 0 {
		return nil
	}
	if len(names) > 5 {
		names = append(names[:5], fmt.Sprintf("and %d more", len(names)-5))
	}
	return fmt.Errorf("Go test functions never run beside a Ginkgo suite: make them specs, or move them to another package: %s",
		strings.Join(names, ", "))
}

func goFunctions(m reflect.Value) []string {
	var names []string
	for _, field := range []string{"tests", "fuzzTargets", "examples"} {
		list := m.FieldByName(field)
		if list.Kind() != reflect.Slice || list.Type().Elem().Kind() != reflect.Struct {
			continue
		}
		for i := range list.Len() {
			if name := list.Index(i).FieldByName("Name"); name.Kind() == reflect.String {
				names = append(names, name.String())
			}
		}
	}
	return names
}

// budget is what Bazel or go test allows in all, whichever is less; 0 stands for no limit.
func budget(p protocol, flags *flag.FlagSet) time.Duration {
	timeout, err := time.ParseDuration(flagValue(flags, "test.timeout"))
	if err != nil || timeout <= 0 { // not a test binary, or no limit
		return p.timeout
	}
	if p.timeout > 0 {
		return min(timeout, p.timeout)
	}
	return timeout
}

func flagValue(flags *flag.FlagSet, name string) string {
	if f := flags.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// filter selects specs by regular expressions over "text" or "suite text".
type filter struct {
	origin string // how the user gave it, for messages
	only   *regexp.Regexp
	skip   *regexp.Regexp
}

func newFilter(p protocol, flags *flag.FlagSet) (filter, error) {
	origin, only, skip := "--test_filter", p.filter, ""
	if without, found := strings.CutPrefix(only, "-"); found { // rules_go's way to leave tests out
		origin, only, skip = "", "", without
	} else if only == "" {
		// Under Bazel with a filter, rules_go sets these two from pieces of it.
		origin, only, skip = "-run", flagValue(flags, "test.run"), flagValue(flags, "test.skip")
	}
	var f filter
	var err error
	if only != "" {
		f.origin = fmt.Sprintf("%s=%s", origin, only)
		if f.only, err = regexp.Compile(only); err != nil {
			return f, fmt.Errorf("read %s as a regular expression: %w", f.origin, err)
		}
	}
	if skip != "" {
		f.origin = strings.TrimPrefix(f.origin+" -skip="+skip, " ")
		if f.skip, err = regexp.Compile(skip); err != nil {
			return f, fmt.Errorf("read -skip=%s as a regular expression: %w", skip, err)
		}
	}
	return f, nil
}

// flagsOfGinkgo are the filters given to Ginkgo itself.
func flagsOfGinkgo(config types.SuiteConfig) []string {
	var given []string
	for _, option := range []struct {
		name   string
		values []string
	}{
		{"focus", config.FocusStrings}, {"skip", config.SkipStrings},
		{"focus-file", config.FocusFiles}, {"skip-file", config.SkipFiles},
		{"label-filter", []string{config.LabelFilter}}, {"sem-ver-filter", []string{config.SemVerFilter}},
	} {
		for _, value := range option.values {
			if value != "" {
				given = append(given, fmt.Sprintf("-ginkgo.%s=%s", option.name, value))
			}
		}
	}
	return given
}

func (f filter) describe(config types.SuiteConfig) string {
	all := flagsOfGinkgo(config)
	if f.origin != "" {
		all = append([]string{f.origin}, all...)
	}
	return strings.Join(all, " ")
}

func (f filter) selects(suite string, s spec) bool {
	matches := func(re *regexp.Regexp) bool {
		return re.MatchString(s.Text) || re.MatchString(suite+" "+s.Text)
	}
	return !s.Excluded && (f.only == nil || matches(f.only)) && (f.skip == nil || !matches(f.skip))
}

func (f filter) selected(suite string, specs []spec) []spec {
	return slices.DeleteFunc(slices.Clone(specs), func(s spec) bool { return !f.selects(suite, s) })
}

// focusOn is the Ginkgo focus that selects exactly these specs.
func focusOn(suite string, specs []spec) string {
	texts := make([]string, 0, len(specs))
	for _, s := range specs {
		texts = append(texts, expressionFor(s.Text))
	}
	slices.Sort(texts)
	return "^" + expressionFor(suite) + " (?:" + strings.Join(slices.Compact(texts), "|") + ")$"
}

// rerunFilter is a --test_filter for these specs. A step of an Ordered
// container needs the steps before it, so it takes its outermost container along.
// Containers without a text leave no trace in a spec's; where none has one, only
// the whole suite is sure to have all steps.
func rerunFilter(specs []spec) string {
	var alternatives []string
	for _, s := range specs {
		text, end := s.Text, "$"
		if s.Ordered {
			text, end = "", ""
			if i := slices.IndexFunc(s.Containers, func(container level) bool { return container.Text != "" }); i >= 0 {
				text, end = s.Containers[i].Text, "( |$)"
			}
		}
		alternatives = append(alternatives, "^"+expressionFor(text)+end)
	}
	slices.Sort(alternatives)
	return strings.Join(slices.Compact(alternatives), "|")
}

// expressionFor matches this text, and is one line that can be printed. What is
// not UTF-8 stands for itself as U+FFFD, as which regexp reads it.
func expressionFor(text string) string {
	var expression strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			expression.WriteString(regexp.QuoteMeta(string(r)))
		} else {
			fmt.Fprintf(&expression, `\x{%x}`, r)
		}
	}
	return expression.String()
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_~-]+$`)

// shellWord quotes text only where a POSIX shell would take it apart.
func shellWord(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return shellQuote(text)
}

// shellQuote makes one word of text for a POSIX shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func describeUnits(n int) string {
	if n == 1 {
		return "1 top-level container"
	}
	return strconv.Itoa(n) + " top-level containers"
}
