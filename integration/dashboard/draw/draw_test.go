package draw

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"stormgate.internal/integration/dashboard/grafana"
)

var span = Span{Start: time.Unix(1000, 0), End: time.Unix(1003, 0), Step: time.Second, Scrape: time.Second}

// fakePrometheus answers range queries from a table, and all other paths with the text
// that is given.
func fakePrometheus(t *testing.T, ranges map[string]string, others map[string]string) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		data, ok := others[r.URL.Path]
		if r.URL.Path == "/api/v1/query_range" {
			data, ok = ranges[r.FormValue("query")]
			data = `{"resultType":"matrix","result":[` + data + `]}`
		}
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"status":"error","errorType":"bad_data","error":"parse error"}`)
			return
		}
		fmt.Fprintf(w, `{"status":"success","data":%s}`, data)
	}))
	t.Cleanup(server.Close)
	client, err := Connect(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// dashboard has a panel for each expression, all in one column.
func dashboard(expressions ...string) *grafana.Dashboard {
	d := &grafana.Dashboard{Title: "T"}
	d.Templating.List = []grafana.Variable{{Name: "pod", Type: "query", Query: "label_values(up, pod)", AllValue: ".*"}}
	for i, expr := range expressions {
		p := grafana.Panel{ID: i, Type: grafana.TimeSeries, Title: "panel " + expr, GridPos: grafana.Grid{X: 0, Y: 7 * i, W: 24, H: 7}}
		p.FieldConfig.Defaults.Unit = "s"
		p.Targets = []grafana.Target{{RefID: "A", Expr: expr, LegendFormat: "{{a}}"}}
		d.Panels = append(d.Panels, p)
	}
	return d
}

const pods = "/api/v1/label/pod/values"

func TestEvaluate(t *testing.T) {
	c := fakePrometheus(t, map[string]string{
		`rate(x{pod=~".*"}[4000ms])`: `{"metric":{"a":"two"},"values":[[1003,"0"]]},{"metric":{"a":"one"},"values":[[1000,"1"],[1001,"NaN"],[1002,"2.5"]]}`,
	}, map[string]string{pods: `["gateway-a"]`})
	d, err := c.Evaluate(t.Context(), dashboard(`rate(x{pod=~"$pod"}[$__rate_interval])`), span)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := json.Marshal(d.Panels[0].Series); string(got) != `[{"name":"one","points":[1,null,2.5,null]},{"name":"two","points":[null,null,null,0]}]` {
		t.Errorf("series are %s", got)
	}
	if !slices.Equal(d.Times, []int64{1000, 1001, 1002, 1003}) {
		t.Errorf("times are %v", d.Times)
	}
	if flat := d.Flat(); len(flat) != 1 || !strings.HasSuffix(flat[0], ": two") {
		t.Errorf("flat are %q", flat)
	}
}

// Promise: a panel that would be empty, or show an error, fails the evaluation by name,
// and hides no other.
func TestEvaluateNamesPanels(t *testing.T) {
	c := fakePrometheus(t, map[string]string{
		"good": `{"metric":{},"values":[[1000,"1"]]}`, "empty": "", "nan": `{"metric":{},"values":[[1000,"NaN"],[1001,"+Inf"]]}`,
	}, map[string]string{pods: `[]`})
	d, err := c.Evaluate(t.Context(), dashboard("good", "empty", "nan", "broken("), span)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"variable pod: no up has a label pod", `panel "panel empty", target A: no data`, `panel "panel nan", target A: no data`, `panel "panel broken(", target A: bad_data: parse error`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error has no %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "good") || len(d.Panels) != 4 || len(d.Panels[0].Series) != 1 {
		t.Errorf("%d panels, error %v", len(d.Panels), err)
	}
}

const rulesPath = "/api/v1/rules"

func alertingRule(name, query, health string) string {
	return fmt.Sprintf(`{"type":"alerting","name":%q,"query":%q,"duration":60,"health":%q,"lastError":"many-to-many","alerts":[],"labels":{},"annotations":{},"state":"inactive"}`, name, query, health)
}

func TestRules(t *testing.T) {
	firing := map[string]string{
		`ALERTS{alertstate="firing"}`: `{"metric":{"alertname":"Fired"},"values":[[1003,"1"]]}`,
		"f":                           `{"metric":{},"values":[[1000,"1"],[1001,"1"]]}`,
		"p":                           `{"metric":{"a":"1"},"values":[[1000,"1"],[1001,"1"]]},{"metric":{"a":"2"},"values":[[1001,"1"],[1002,"1"]]}`,
		"q":                           "",
	}
	group := func(rules ...string) map[string]string {
		return map[string]string{rulesPath: `{"groups":[{"name":"g","file":"f","interval":1,"rules":[` + strings.Join(rules, ",") + `]}]}`}
	}
	c := fakePrometheus(t, firing, group(alertingRule("Fired", "f", "ok"), alertingRule("Pending", "p", "ok"), alertingRule("Quiet", "q", "ok")))
	got, err := c.Rules(t.Context(), span)
	if err != nil {
		t.Fatal(err)
	}
	want := "[Fired: fired Pending: true for 3s; it fires after 1m0s without a break Quiet: quiet]"
	if fmt.Sprint(got) != want {
		t.Errorf("rules are %v, want %s", got, want)
	}
	for _, bad := range []struct{ rule, want string }{
		{alertingRule("Sick", "f", "err"), "alert Sick: Prometheus says it is err: many-to-many"},
		{alertingRule("Broken", "x(", "ok"), "alert Broken: bad_data"},
		{"", "no alert rules"},
	} {
		if _, err := fakePrometheus(t, firing, group(bad.rule)).Rules(t.Context(), span); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("error %v, want one with %s", err, bad.want)
		}
	}
}

// Promise: whatever a label's value is, the page stays one, and its data are its data.
func TestPage(t *testing.T) {
	one := 1.0
	d := &Drawing{Title: "<b>", Times: []int64{1000}, Panels: []Panel{{
		Title: "</script><script>alert(1)</script>", Type: grafana.TimeSeries, Unit: "s", Grid: grafana.Grid{W: 24, H: 7}, Series: []Series{{Name: "</script>", Points: []*float64{&one}}},
	}}}
	page, err := d.Page(&Library{JS: "/* the library */", CSS: ".u{}"})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(page), "</script>"); n != 2 {
		t.Errorf("the page has %d ends of scripts, want 2", n)
	}
	for _, want := range []string{"/* the library */", ".u{}", "&lt;b&gt;", "00:16:40"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %s", want)
		}
	}
	found := regexp.MustCompile(`const drawing = (.*);`).FindSubmatch(page)
	var read Drawing
	if found == nil || json.Unmarshal(found[1], &read) != nil || read.Panels[0].Title != d.Panels[0].Title {
		t.Errorf("the page's data are %s", found)
	}
	for _, unit := range grafana.Units {
		if !strings.Contains(string(page), "  "+unit+": ") && !strings.Contains(string(page), "  "+unit+": digits") {
			t.Errorf("the page has no format for %s", unit)
		}
	}
}

// Promise: a picture of nothing is none.
func TestReduce(t *testing.T) {
	d := &Drawing{Panels: []Panel{{Grid: grafana.Grid{W: 24, H: 1}}}}
	for _, c := range []struct {
		name          string
		width, height int
		colours       int
		want          string
	}{
		{"drawn", pageWidth, d.height(), 40, ""},
		{"blank", pageWidth, d.height(), 1, "nothing was drawn"},
		{"cut off", pageWidth, d.height() - 1, 40, "pixels"},
	} {
		picture := image.NewRGBA(image.Rect(0, 0, c.width, c.height))
		for y := range c.height {
			for x := range c.width {
				picture.Set(x, y, color.RGBA{uint8(x % c.colours), 0, 0, 255})
			}
		}
		path := filepath.Join(t.TempDir(), "image.png")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(file, picture); err != nil {
			t.Fatal(err)
		}
		file.Close()
		if err := d.reduce(path); (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	text := filepath.Join(t.TempDir(), "text.png")
	if err := os.WriteFile(text, []byte("no image"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.reduce(text); err == nil {
		t.Error("a text is an image")
	}
}

// Promise: the library is installed with a checksum, from wherever npm is told to look.
func TestLock(t *testing.T) {
	var wanted struct{ Dependencies map[string]string }
	var lock struct {
		Packages map[string]struct{ Version, Integrity, Resolved string }
	}
	for content, into := range map[*[]byte]any{&packageJSON: &wanted, &packageLock: &lock} {
		if err := json.Unmarshal(*content, into); err != nil {
			t.Fatal(err)
		}
	}
	for name, version := range wanted.Dependencies {
		p := lock.Packages["node_modules/"+name]
		if p.Version != version || !strings.HasPrefix(p.Integrity, "sha512-") || p.Resolved != "" {
			t.Errorf("%s %s is locked as %+v", name, version, p)
		}
	}
	if len(wanted.Dependencies) == 0 || len(lock.Packages) != len(wanted.Dependencies)+1 {
		t.Errorf("%d packages are locked, %d wanted", len(lock.Packages)-1, len(wanted.Dependencies))
	}
}
