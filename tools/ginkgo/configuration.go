package bridge

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// reserve is kept from the end of the budget for cleanup, artifacts and
// release: 15 s, or a quarter of a short budget.
func reserve(budget time.Duration) time.Duration { return min(15*time.Second, budget/4) }

// configuration is Ginkgo's, as Bazel and the flags of go test want it. Flags
// that were given to Ginkgo by name (-ginkgo.seed=7) come first.
func configuration(p protocol, flags *flag.FlagSet) (types.SuiteConfig, types.ReporterConfig) {
	suite, reporter := ginkgo.GinkgoConfiguration()
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })

	switch {
	case given["ginkgo.seed"]:
	case p.seed != 0: // --runs_per_test numbers its runs
		suite.RandomSeed = p.seed
	case p.target != "": // a verdict that is cached must not depend on the time of day
		suite.RandomSeed = 1
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
	return suite, reporter
}

// budget is what Bazel or go test allows in all; 0 stands for no limit.
func budget(p protocol, flags *flag.FlagSet) time.Duration {
	if p.timeout > 0 {
		return p.timeout
	}
	timeout, err := time.ParseDuration(flagValue(flags, "test.timeout"))
	if err != nil {
		return 0 // not a test binary
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
	if only == "" {
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
		texts = append(texts, regexp.QuoteMeta(s.Text))
	}
	slices.Sort(texts)
	return "^" + regexp.QuoteMeta(suite) + " (?:" + strings.Join(slices.Compact(texts), "|") + ")$"
}

// rerunFilter is a --test_filter for these specs. A step of an Ordered
// container needs the steps before it, so it takes its whole container along.
func rerunFilter(specs []spec) string {
	var alternatives []string
	for _, s := range specs {
		text, end := s.Text, "$"
		if s.Ordered {
			text, end = s.top().Text, "( |$)"
		}
		quoted := regexp.QuoteMeta(text)
		if strings.ContainsAny(quoted, "\n\r\t") {
			quoted = strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(quoted)
		}
		alternatives = append(alternatives, "^"+quoted+end)
	}
	slices.Sort(alternatives)
	return strings.Join(slices.Compact(alternatives), "|")
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
