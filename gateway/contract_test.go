package gateway_test

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
)

var (
	//go:embed CONTRACT.md
	contract string
	//go:embed COVERAGE.md
	coverage string
)

// items returns the sections and deviations that the contract can't do without.
func items() []string {
	all := []string{"1", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "2", "3", "3.1", "3.2", "3.3", "4.1", "4.2", "5.1", "5.2", "5.3", "5.4", "6", "7", "8", "9", "10"}
	for d := 1; d <= 51; d++ {
		all = append(all, fmt.Sprintf("D%d", d))
	}
	return all
}

var (
	headingLine = regexp.MustCompile(`^#+ (.*)$`)
	itemHeading = regexp.MustCompile(`^(?:(\d+(?:\.\d+)?)\.? .+|(D\d+))$`)
)

// contractItems returns the numbered sections and the deviations that CONTRACT.md
// has, in its order. A section that only holds further sections is left out.
func contractItems() []string {
	var found []string
	pending := "" // the item of the latest heading, if no text has followed yet
	for line := range strings.Lines(contract) {
		line = strings.TrimSpace(line)
		heading := headingLine.FindStringSubmatch(line)
		switch {
		case heading != nil:
			pending = ""
			if item := itemHeading.FindStringSubmatch(heading[1]); item != nil {
				pending = item[1] + item[2]
			}
		case line != "" && pending != "":
			found = append(found, pending)
			pending = ""
		}
	}
	return found
}

// What everybody else refers to by its number is there, once and in order.
func TestContractIsWhole(t *testing.T) {
	found := contractItems()
	if diff := cmp.Diff(items(), found); diff != "" {
		t.Errorf("CONTRACT.md has other sections or deviations than items returns (-want +got):\n%s", diff)
	}
}

var (
	link       = regexp.MustCompile(`\]\(#([^)]*)\)`)
	deviation  = regexp.MustCompile(`\bD\d+\b`)
	notInSlugs = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// Links within the contract lead to a heading, and deviations that are mentioned
// exist.
func TestContractReferences(t *testing.T) {
	anchors := make(map[string]bool)
	for line := range strings.Lines(contract) {
		if heading := headingLine.FindStringSubmatch(strings.TrimSpace(line)); heading != nil {
			slug := notInSlugs.ReplaceAllString(strings.ToLower(heading[1]), "")
			anchors[strings.ReplaceAll(slug, " ", "-")] = true
		}
	}
	for _, target := range link.FindAllStringSubmatch(contract, -1) {
		if !anchors[target[1]] {
			t.Errorf("#%s leads nowhere", target[1])
		}
	}
	have := contractItems()
	for _, name := range deviation.FindAllString(contract, -1) {
		if !slices.Contains(have, name) {
			t.Errorf("%s is mentioned and does not exist", name)
		}
	}
}

var (
	quoted    = regexp.MustCompile("`[^`]*`")
	reference = regexp.MustCompile("^`(//)?([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`$")
)

// tests knows the tests and fuzz targets of packages, by their directory from the
// top of the repository.
type tests map[string]map[string]bool

// has reports whether the directory has the test. Under Bazel its sources are data.
func (k tests) has(t *testing.T, directory, name string) bool {
	t.Helper()
	if k[directory] == nil {
		k[directory] = testsIn(t, directory)
	}
	return k[directory][name]
}

func testsIn(t *testing.T, directory string) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	// This test runs in the directory of its package.
	files, err := os.ReadDir(path.Join("..", directory))
	if err != nil {
		t.Errorf("read the tests of %s: %v", directory, err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path.Join("..", directory, file.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range parsed.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil {
				found[function.Name.Name] = true
			}
		}
	}
	return found
}

// The table of what covers the contract is complete, and true as far as names go.
func TestCoverage(t *testing.T) {
	known := make(tests)
	if !known.has(t, "gateway/server", "TestRoutes") {
		t.Fatal("server.TestRoutes is not found: the sources of the packages' tests are not here")
	}
	have := contractItems()
	covered := make(map[string]bool)
	for line := range strings.Lines(coverage) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			t.Errorf("row has %d cells, want item, what and tests: %s", len(cells)-2, line)
			continue
		}
		item := strings.TrimSpace(cells[1])
		if item == "item" {
			continue
		}
		if !slices.Contains(have, item) {
			t.Errorf("%s has a row, and the contract has no such section or deviation", item)
		}
		covered[item] = true
		references := quoted.FindAllString(cells[3], -1)
		if len(references) == 0 {
			t.Errorf("%s: no test", item)
		}
		for _, text := range references {
			r := reference.FindStringSubmatch(text)
			if r == nil {
				t.Errorf("%s: %s does not name a test, as `package.TestName` or `//directory.TestName` does", item, text)
				continue
			}
			directory := r[2]
			if r[1] == "" {
				directory = path.Join("gateway", directory)
			}
			if !known.has(t, directory, r[3]) {
				t.Errorf("%s: %s does not exist in %s", item, r[3], directory)
			}
		}
	}
	for _, item := range items() {
		if !covered[item] {
			t.Errorf("%s has no row", item)
		}
	}
	for _, item := range have {
		if !covered[item] && !slices.Contains(items(), item) {
			t.Errorf("%s is in the contract and has no row", item)
		}
	}
}

// tableOf returns the cells of the rows of a section's tables.
func tableOf(section string) [][]string {
	var rows [][]string
	inside := false
	for line := range strings.Lines(contract) {
		switch {
		case strings.HasPrefix(line, "## "):
			inside = strings.HasPrefix(line, "## "+section+". ")
		case inside && strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "|---"):
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	return rows
}

// names returns what is quoted in a cell and begins with the prefix.
func names(cell, prefix string) []string {
	var found []string
	for _, text := range quoted.FindAllString(cell, -1) {
		if name := strings.Trim(text, "`"); strings.HasPrefix(name, prefix) {
			found = append(found, name)
		}
	}
	return found
}

// started returns the metrics of a gateway that has just started.
func started() *metrics.Metrics {
	m := metrics.New()
	m.WatchPool(func() *redis.PoolStats { return &redis.PoolStats{} }, 1)
	return m
}

// families returns the metrics that the gateway exposes, with their labels.
func families() map[string][]string { return started().Families() }

// The table of metrics has those that the gateway exposes, with their labels.
func TestContractMetrics(t *testing.T) {
	got := make(map[string]string)
	for _, row := range tableOf("7") {
		labels := strings.Split(strings.ReplaceAll(row[2], " ", ""), ",")
		slices.Sort(labels)
		for _, name := range names(row[0], "gateway_") {
			if _, twice := got[name]; twice {
				t.Errorf("%s has two rows", name)
			}
			got[name] = strings.Join(labels, ",")
		}
	}
	want := make(map[string]string)
	for name, labels := range families() {
		want[name] = strings.Join(labels, ",")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics of the gateway and of CONTRACT.md (-gateway +contract):\n%s", diff)
	}
}

var labelValue = regexp.MustCompile(`[\w-]+`)

// The table of metrics has the values of labels that are known, each in the row of its
// metric or, for retries, below the table.
func TestContractMetricValues(t *testing.T) {
	_, below, found := strings.Cut(contract, "\nerror_type of retries")
	if !found {
		t.Fatal("the text about retries is not found")
	}
	below, _, _ = strings.Cut(below, "\n\n")
	listed := make(map[string][]string)
	for _, row := range tableOf("7") {
		for _, name := range names(row[0], "gateway_") {
			listed[name] = labelValue.FindAllString(row[3], -1)
			if strings.HasPrefix(name, "gateway_retry_") {
				listed[name] = append(listed[name], labelValue.FindAllString(below, -1)...)
			}
		}
	}
	gathered, err := started().Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range gathered {
		values, ok := listed[family.GetName()]
		for _, sample := range family.GetMetric() {
			for _, label := range sample.GetLabel() {
				if ok && !slices.Contains(values, label.GetValue()) {
					t.Errorf("section 7 does not say that %s has %s=%q", family.GetName(), label.GetName(), label.GetValue())
				}
			}
		}
	}
}

// The table of the configuration has the keys that the gateway knows.
func TestContractConfiguration(t *testing.T) {
	var got []string
	for _, row := range tableOf("6") {
		for _, prefix := range []string{"server.", "middleware.", "infrastructure.", "processing."} {
			got = append(got, names(row[0], prefix)...)
		}
	}
	want := keysOf(reflect.TypeFor[config.Config](), "")
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys of the configuration and of CONTRACT.md (-gateway +contract):\n%s", diff)
	}
}

// keysOf returns the keys that a value of the type is read from.
func keysOf(of reflect.Type, prefix string) []string {
	if of.Kind() != reflect.Struct {
		return []string{prefix}
	}
	var keys []string
	for i := range of.NumField() {
		key, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		keys = append(keys, keysOf(of.Field(i).Type, strings.TrimPrefix(prefix+"."+key, "."))...)
	}
	return keys
}
