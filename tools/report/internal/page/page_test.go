package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"stormgate.internal/tools/report/internal/history"
	"stormgate.internal/tools/report/internal/run"
	"stormgate.internal/tools/report/internal/runtest"
)

func draws(t *testing.T, c Content) string {
	t.Helper()
	var page bytes.Buffer
	if err := Write(&page, c); err != nil {
		t.Fatal(err)
	}
	if page.Len() > MaxBytes {
		t.Errorf("the page has %d bytes", page.Len())
	}
	return page.String()
}

func sample(t *testing.T, change func(name, content string) string) *run.Run {
	t.Helper()
	dir := t.TempDir()
	r, err := run.Load(runtest.Write(t, dir, change), run.Options{WorkerLogs: []string{filepath.Join(dir, "worker.log")}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Promise: each failure is on the page with whose it is, what it says and how to run it
// again, and what could not be read is named.
func TestPage(t *testing.T) {
	page := draws(t, Content{Run: sample(t, nil)})
	for _, part := range []string{
		"1 action failed to build", "syntax error: unexpected }", "//pkg:broken_test",
		"A storm counts &#34;its&#34; alerts", "<mark>4</mark>", "e2e/storm_test.go:41",
		"infrastructure failure: cluster failed: etcd", "patch configmaps calm/gateway, by stormgate:admin",
		"container gateway of calm/gateway-0 ended with exit code 2", "did a spec end the process", "nothing was tested",
		"results differ", "the build events name no test.xml",
		"list remediationrequests</th>", "status 503 create remediationrequests", "not answered",
		"tools/bazel test //e2e:storm_test --test_filter=", "No other run is on record",
		// A case of which each shard has one, with whose it is.
		`<b>attest environment</b> <span class="place">//e2e:crash_test`, `>attest environment</a> <span class="place">//e2e:own_test`,
	} {
		if !strings.Contains(page, part) && !strings.Contains(page, strings.ReplaceAll(part, "'", "&#39;")) {
			t.Errorf("the page lacks %q", part)
		}
	}
	if strings.Contains(page, "ZgotmplZ") {
		t.Error("html/template refused a value")
	}
}

var (
	element   = regexp.MustCompile(`<(/?)([a-zA-Z][a-zA-Z0-9]*)`)
	dataBlock = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)
	outside   = regexp.MustCompile(`(?i)(src|href|action|data)\s*=\s*["']?\s*(https?:|//|data:|javascript:)|\burl\(|@import`)
	ids       = regexp.MustCompile(` id="([^"]*)"`)
	links     = regexp.MustCompile(` href="#([^"]*)"`)
)

// Promise: the page needs nothing from anywhere, its elements are closed, each id is there
// once, and each link leads to one.
func TestPageIsWhole(t *testing.T) {
	page := draws(t, Content{Run: sample(t, nil), Records: []history.Record{history.Of(sample(t, nil)), history.Of(sample(t, nil))}})
	if found := outside.FindString(page); found != "" {
		t.Errorf("the page asks for something from outside: %q", found)
	}
	void := map[string]bool{"meta": true, "br": true, "input": true, "circle": true}
	markup := regexp.MustCompile(`(?s)<(style|script)[^>]*>.*?</(style|script)>`).ReplaceAllString(page, "")
	var open []string
	for _, m := range element.FindAllStringSubmatch(markup, -1) {
		name := strings.ToLower(m[2])
		switch {
		case void[name] || name == "doctype":
		case m[1] == "":
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			t.Fatalf("</%s> closes %q", name, open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("not closed: %q", open)
	}
	seen := map[string]bool{}
	for _, m := range ids.FindAllStringSubmatch(markup, -1) {
		if seen[m[1]] {
			t.Errorf("id %q is there twice", m[1])
		}
		seen[m[1]] = true
	}
	for _, m := range links.FindAllStringSubmatch(markup, -1) {
		if !seen[m[1]] {
			t.Errorf("no id %q for a link", m[1])
		}
	}
}

// Promise: whatever specs are called and write, they stay text.
func TestHostile(t *testing.T) {
	const hostile = `</script><script>alert(1)</script><!--<img src=x onerror=alert(2)> ${x} {{.}} "'` + "`" + ` \u2028 ]]> </style></pre></details>`
	inXML := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace(hostile)
	inJSON, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	plain := draws(t, Content{Run: sample(t, nil)})
	r := sample(t, func(name, content string) string {
		switch {
		case strings.HasSuffix(name, ".xml"):
			content = strings.ReplaceAll(content, "A storm panics", inXML)
			content = strings.ReplaceAll(content, "alerts of tenant-7f3a: 3", "alerts of tenant-7f3a: "+inXML)
			content = strings.ReplaceAll(content, "//e2e:storm", "//e2e:"+inXML)
			return strings.ReplaceAll(content, "sent</system-out>", inXML+"</system-out>")
		case strings.HasSuffix(name, ".json") && name != "events.json":
			return strings.ReplaceAll(content, `"patch configmaps`, string(inJSON[:len(inJSON)-1]))
		case name == "events.json":
			return strings.ReplaceAll(content, "//e2e:own_test", strings.Trim(string(inJSON), `"`))
		case strings.HasPrefix(filepath.Base(name), "gateway") || strings.HasPrefix(filepath.Base(name), "storm.txt") || strings.HasSuffix(name, ".yaml") || name == "stderr-1":
			return strings.ReplaceAll(content, "\n", " "+hostile+"\n")
		}
		return content
	})
	page := draws(t, Content{Run: r, Notes: []string{hostile}})
	for _, tag := range []string{"<script", "</script", "<img", "<!--", "</style", "</html"} {
		if got, want := strings.Count(page, tag), strings.Count(plain, tag); got != want {
			t.Errorf("%s is there %d times, %d without hostile text", tag, got, want)
		}
	}
	if !strings.Contains(page, "&lt;/script&gt;&lt;script&gt;alert(1)") {
		t.Error("the hostile text is not shown")
	}
	block := dataBlock.FindStringSubmatch(page)
	if block == nil {
		t.Fatal("no data")
	}
	var data struct {
		Lanes []struct{ Spans []struct{ Label string } }
	}
	if err := json.Unmarshal([]byte(block[1]), &data); err != nil {
		t.Fatalf("the data is not JSON: %v", err)
	}
	found := false
	for _, lane := range data.Lanes {
		for _, s := range lane.Spans {
			found = found || s.Label == hostile
		}
	}
	if !found {
		t.Error("the name of the hostile spec did not come through the data")
	}
}

// Promise: a run with very much in it still gives a page within the limit, which says what
// is left out.
func TestSize(t *testing.T) {
	r := sample(t, nil)
	text := run.NewText(strings.Repeat("a line of a long log\n", 20000))
	for i := range 500 {
		f := *r.Failures[0]
		f.ID = fmt.Sprintf("more-%d", i)
		f.Output, f.Stack = text, text
		f.Slices = []run.Slice{{Kind: "log", Name: "calm/gateway", Text: text}}
		r.Failures = append(r.Failures, &f)
	}
	s := r.Shards[0]
	for i := range 5000 {
		s.Cases = append(s.Cases, &run.Case{Name: fmt.Sprintf("spec %d with a name of a usual length, as they are", i), Spec: true, Verdict: run.Passed, Output: strings.Repeat("x", 2000)})
	}
	page := draws(t, Content{Run: r})
	for _, part := range []string{"bytes left out here", "failures are left out, for the page", "test cases are left out"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

// Promise: a history of 30 runs shows each spec with its strip, and a flaky one first.
func TestHistory(t *testing.T) {
	r := sample(t, nil)
	var records []history.Record
	for i := range 30 {
		record := history.Of(r)
		record.Invocation, record.Started = fmt.Sprint(i), r.Started.Add(time.Duration(i)*time.Hour)
		for j := range record.Specs {
			if s := &record.Specs[j]; s.Name == "A storm opens a window" && i%10 == 3 {
				s.Verdict = "product"
			}
		}
		records = append(records, record)
	}
	page := draws(t, Content{Run: r, Records: records})
	if !strings.Contains(page, "30 executions, 3 failed") || !strings.Contains(page, "(3/30)") {
		t.Error("the page lacks the strip of the flaky spec, or the bound of another")
	}
	if strings.Index(page, "30 executions, 3 failed") > strings.Index(page, "30 executions, 0 failed") {
		t.Error("the flaky spec is not first")
	}
}

// Promise: a run of nothing is a page too.
func TestEmpty(t *testing.T) {
	page := draws(t, Content{Run: &run.Run{Verdict: run.Skipped, Headline: "no test ran"}})
	if !strings.Contains(page, "no test ran") {
		t.Error("no headline")
	}
}

// Promise: what is left out of a text is longer than the note that says so.
func TestFirstRunes(t *testing.T) {
	for text, want := range map[string]string{
		"0123456789":                           "0123456789",
		"0123456789 and the rest":              "0123456789 and the rest",
		"0123456789" + strings.Repeat("ü", 20): "0123456789… (40 more bytes)",
	} {
		if got := firstRunes(text, 10); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
