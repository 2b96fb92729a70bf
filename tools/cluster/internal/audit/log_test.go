package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stormgate.internal/tools/cluster/api"
)

// line is an event as kube-apiserver writes it.
func line(id, stage, verb, path string, code int) string {
	uri := "/api/v1/namespaces/calm/" + path
	resource, subresource := "pods", ""
	if parts := strings.Split(strings.SplitN(path, "?", 2)[0], "/"); len(parts) >= 3 {
		resource, subresource = parts[0], parts[2]
	}
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":%q,"stage":%q,"requestURI":%q,"verb":%q,`+
		`"user":{"username":"stormgate:admin","groups":["system:masters"]},"impersonatedUser":{"username":"system:serviceaccount:calm:gateway"},`+
		`"sourceIPs":["10.0.0.1"],"userAgent":"kubectl/v1","objectRef":{"resource":%q,"subresource":%q,"namespace":"calm","name":"web","apiVersion":"v1"},`+
		`"responseStatus":{"metadata":{},"code":%d},"requestReceivedTimestamp":"2026-11-28T10:00:00.000000Z","stageTimestamp":"2026-11-28T10:00:01.000000Z"}`+"\n",
		id, stage, uri, verb, resource, subresource, code)
}

// markLine is what the request for a mark leaves in the log.
func markLine(id string) string {
	return fmt.Sprintf(`{"kind":"Event","auditID":%q,"stage":"ResponseComplete","requestURI":"/version","verb":"get","user":{"username":"stormgate:init"}}`+"\n", id)
}

// marked asks for writes, with the mark coming at once.
func marked(t *testing.T, log *Log, seq uint64) (api.Writes, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return log.Writes(ctx, seq, func(_ context.Context, id string) error {
		log.Write([]byte(markLine(id)))
		return nil
	})
}

// Promise: what changed something is told, with who really asked, and nothing else is.
func TestWrites(t *testing.T) {
	for _, test := range []struct {
		what, stage, verb, path string
		code                    int
		told                    bool
	}{
		{"a change", stageComplete, "patch", "pods/web", 200, true},
		{"a creation", stageComplete, "create", "pods", 201, true},
		{"a refusal", stageComplete, "patch", "pods/web", 403, false},
		{"a conflict", stageComplete, "update", "pods/web", 409, false},
		{"a failure that may have changed something", stageComplete, "patch", "pods/web", 504, true},
		{"a panic", stagePanic, "patch", "pods/web", 500, true},
		{"an exec", stageStarted, "get", "pods/web/exec?command=sh", 101, true},
		{"an exec that is refused", stageStarted, "create", "pods/web/exec?command=sh", 403, false},
		{"a dry run", stageComplete, "patch", "pods/web?dryRun=All&fieldManager=kubectl", 200, false},
		{"a deletion whose body may say otherwise", stageComplete, "delete", "pods/web?dryRun=All", 200, true},
		{"an exec that calls itself a dry run", stageStarted, "create", "pods/web/exec?dryRun=All", 101, true},
		{"statistics of a node", stageStarted, "get", "nodes/node-1/proxy/stats/summary", 200, false},
		{"an exec through a node", stageStarted, "get", "nodes/node-1/proxy/exec/calm/web/app?command=sh", 101, true},
		{"a run through a node", stageStarted, "create", "nodes/node-1/proxy/run/calm/web/app?cmd=sh", 200, true},
		{"an exec through a node, in disguise", stageStarted, "get", "nodes/node-1/proxy/%65xec/calm/web/app", 101, true},
		{"another", stageStarted, "get", "nodes/node-1/proxy/stats/../exec/calm/web/app", 101, true},
	} {
		log := NewLog(new(strings.Builder))
		log.Write([]byte(line("1", test.stage, test.verb, test.path, test.code)))
		writes, err := marked(t, log, 0)
		if err != nil || (len(writes.Writes) == 1) != test.told {
			t.Errorf("%s: %+v, %v; want it told: %v", test.what, writes, err, test.told)
			continue
		}
		if test.told {
			if w := writes.Writes[0]; w.Seq != 1 || w.User != "stormgate:admin" || w.UserAgent != "kubectl/v1" || w.Verb != test.verb || w.Namespace != "calm" || w.Name != "web" || int(w.Code) != test.code || w.Time.IsZero() {
				t.Errorf("%s: %+v", test.what, w)
			}
		}
	}
}

func TestResourcesAreNamedWithTheirGroup(t *testing.T) {
	log := NewLog(new(strings.Builder))
	log.Write([]byte(strings.Replace(line("1", stageComplete, "patch", "deployments/web/scale", 200), `"apiVersion":"v1"}`, `"apiGroup":"apps","apiVersion":"v1"}`, 1)))
	writes, err := marked(t, log, 0)
	if err != nil || len(writes.Writes) != 1 || writes.Writes[0].Resource != "deployments.apps" || writes.Writes[0].Subresource != "scale" {
		t.Errorf("%+v, %v", writes, err)
	}
}

// Promise: it does not matter where the pipe cuts, and what is no event is for people.
func TestLogIsCutAnywhere(t *testing.T) {
	text := "a line of somebody's\n" + line("1", stageComplete, "patch", "pods/web", 200) + line("2", stageComplete, "delete", "pods/web", 200)
	for size := 1; size < len(text); size += 7 {
		other := new(strings.Builder)
		log := NewLog(other)
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if written, err := log.Write([]byte(rest[:n])); written != n || err != nil {
				t.Fatalf("Write = %d, %v", written, err)
			}
			rest = rest[n:]
		}
		writes, err := marked(t, log, 0)
		if err != nil || len(writes.Writes) != 2 || writes.Last != 2 || other.String() != "a line of somebody's\n" {
			t.Fatalf("in parts of %d: %+v, %v, other text %q", size, writes, err, other)
		}
	}
}

// Promise: a record with a hole is not passed off as a whole one.
func TestBrokenLog(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":  "{\"auditID\":\n",
		"too long": "{" + strings.Repeat(" ", maxEvent+1) + "\n",
	} {
		log := NewLog(new(strings.Builder))
		log.Write([]byte(text + line("1", stageComplete, "patch", "pods/web", 200)))
		if writes, err := marked(t, log, 0); err == nil || !strings.Contains(err.Error(), "hole") {
			t.Errorf("%s: %+v, %v", name, writes, err)
		}
	}
}

// Promise: the answer waits for the mark, and tells what was begun before it and goes on,
// but not what was begun after it.
func TestUnanswered(t *testing.T) {
	log := NewLog(new(strings.Builder))
	put := func(lines ...string) { log.Write([]byte(strings.Join(lines, ""))) }
	put(line("slow", stageReceived, "patch", "pods/web", 0), line("rehearsal", stageReceived, "patch", "pods/web?dryRun=All", 0))
	put(line("twin", stageReceived, "delete", "pods/web", 0), line("twin", stageReceived, "update", "pods/web", 0))
	ask := func() string {
		t.Helper()
		writes, err := log.Writes(t.Context(), 0, func(_ context.Context, id string) error {
			put(markLine(id), line("later", stageReceived, "create", "pods", 0))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		put(line("later", stageComplete, "create", "pods", 403))
		var told []string
		for _, w := range writes.Writes {
			told = append(told, w.Verb)
		}
		told = append(told, "and")
		for _, w := range writes.Unanswered {
			if w.User != "stormgate:admin" || w.Namespace != "calm" || w.Name != "web" || w.Time.IsZero() {
				t.Errorf("unanswered %+v", w)
			}
			told = append(told, w.Verb)
		}
		return strings.Join(told, " ")
	}
	for _, step := range []struct{ line, want string }{
		{"", "and patch delete update"},
		{line("slow", stageComplete, "patch", "pods/web", 200), "patch and delete update"},
		{line("twin", stageComplete, "delete", "pods/web", 404), "patch and delete update"}, // nobody knows which
		{line("twin", stagePanic, "update", "pods/web", 500), "patch update and"},
	} {
		put(step.line)
		if got := ask(); strings.Join(sorted(got), " ") != strings.Join(sorted(step.want), " ") {
			t.Errorf("told %q, want %q", got, step.want)
		}
	}
}

// sorted are the words, in order on each side of "and".
func sorted(text string) []string {
	before, after, _ := strings.Cut(text, "and")
	return slices.Concat(slices.Sorted(slices.Values(strings.Fields(before))), []string{"and"}, slices.Sorted(slices.Values(strings.Fields(after))))
}

// Promise: a wait that takes too long is an error that says for what.
func TestWritesThatDoNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := NewLog(new(strings.Builder))
		cause := errors.New("10 s have passed")
		ask := func(request func(context.Context, string) error) error {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, cause)
			defer cancel()
			_, err := log.Writes(ctx, 0, request)
			return err
		}
		if err := ask(func(context.Context, string) error { return nil }); !errors.Is(err, cause) || !strings.Contains(err.Error(), "wait for the mark") {
			t.Errorf("without a mark: %v", err)
		}
		refused := errors.New("refused")
		if err := ask(func(context.Context, string) error { return refused }); !errors.Is(err, refused) {
			t.Errorf("with an API server that refuses: %v", err)
		}
		if len(log.marks) > 0 {
			t.Errorf("%d marks are left", len(log.marks))
		}
	})
}
