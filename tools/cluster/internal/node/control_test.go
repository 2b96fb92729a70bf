package node

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/image"
)

func call(t *testing.T, handler http.Handler, method, body string) (int, string) {
	t.Helper()
	return callPath(t, handler, method, "/images", body)
}

func callPath(t *testing.T, handler http.Handler, method, path, body string) (int, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(body)))
	return recorder.Code, recorder.Body.String()
}

func TestControlReplacesImages(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway")
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	images, err := image.NewTable(
		api.Image{Reference: "kept:1", Entrypoint: []string{"/kept"}},
		api.Image{Reference: "replaced:1", Entrypoint: []string{"/old"}})
	if err != nil {
		t.Fatal(err)
	}
	handler := NewControlHandler(images, nil, nil)
	body := `[{"reference":"replaced:1","entrypoint":["/gateway"],"env":{"K":"V"},"workingDir":"/","user":"65532","files":{"/gateway":` + quote(file) + `}}]`
	if code, answer := call(t, handler, http.MethodPut, body); code != http.StatusNoContent {
		t.Fatalf("PUT = %d %s", code, answer)
	}
	code, answer := call(t, handler, http.MethodGet, "")
	var list []api.Image
	if err := json.Unmarshal([]byte(answer), &list); err != nil || code != http.StatusOK {
		t.Fatalf("GET = %d %s, %v", code, answer, err)
	}
	want := []api.Image{
		{Reference: "kept:1", Entrypoint: []string{"/kept"}},
		{Reference: "replaced:1", Entrypoint: []string{"/gateway"}, Env: map[string]string{"K": "V"}, WorkingDir: "/", User: "65532", Files: map[string]string{"/gateway": file}},
	}
	if !reflect.DeepEqual(list, want) {
		t.Errorf("images %+v, want %+v", list, want)
	}
}

func quote(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

// A table that was half replaced would run old and new programs side by side.
func TestControlRefusesBadImageListsAsAWhole(t *testing.T) {
	const good = `{"reference":"good:1","entrypoint":["/bin/true"]}`
	for name, test := range map[string]struct {
		body string
		code int
		want string
	}{
		"nothing":         {``, http.StatusBadRequest, "EOF"},
		"no JSON":         {`images`, http.StatusBadRequest, "invalid character"},
		"an object":       {good, http.StatusBadRequest, "cannot unmarshal object"},
		"unknown field":   {`[{"reference":"a:1","entryPoints":["/x"]}]`, http.StatusBadRequest, "entryPoints"},
		"more than one":   {`[` + good + `] []`, http.StatusBadRequest, "after its end"},
		"no reference":    {`[` + good + `,{"entrypoint":["/x"]}]`, http.StatusBadRequest, "image 2 of the list"},
		"relative path":   {`[` + good + `,{"reference":"a:1","files":{"x":"/y"}}]`, http.StatusBadRequest, "image 2 of the list"},
		"the same twice":  {`[` + good + `,` + good + `]`, http.StatusBadRequest, "good:1"},
		"a missing file":  {`[` + good + `,{"reference":"a:1","files":{"/x":"/nowhere/at/all"}}]`, http.StatusUnprocessableEntity, "/nowhere/at/all"},
		"far too much":    {`[` + good + strings.Repeat(" ", maxControlBody) + `]`, http.StatusRequestEntityTooLarge, "too large"},
		"far too much at": {`[` + good + `]` + strings.Repeat(" ", maxControlBody), http.StatusRequestEntityTooLarge, "after its end"},
	} {
		images := &image.Table{}
		code, answer := call(t, NewControlHandler(images, nil, nil), http.MethodPut, test.body)
		var failure struct{ Error string }
		if err := json.Unmarshal([]byte(answer), &failure); err != nil {
			t.Errorf("%s: answer %q: %v", name, answer, err)
		}
		if code != test.code || !strings.Contains(failure.Error, test.want) {
			t.Errorf("%s: %d %q, want %d and %q", name, code, failure.Error, test.code, test.want)
		}
		if list := images.List(); len(list) > 0 {
			t.Errorf("%s: the table has %v", name, list)
		}
	}
}

// Promise: scopes are put and deleted by name, and a namespace belongs to one of them.
func TestControlPutsScopes(t *testing.T) {
	images := &image.Table{}
	handler := NewControlHandler(images, nil, nil)
	const scope = `{"namespaces":["calm"],"images":[{"reference":"app:dev","entrypoint":["/a"]}]}`
	for _, step := range []struct {
		method, name, body string
		code               int
		want               string
	}{
		{http.MethodPut, "calm", scope, http.StatusNoContent, ""},
		{http.MethodPut, "calm", scope, http.StatusNoContent, ""},
		{http.MethodPut, "storm", scope, http.StatusConflict, `namespace \"calm\" belongs to scope \"calm\"`},
		{http.MethodPut, "storm", `{"namespaces":["storm"],"images":[{"reference":"a:1","files":{"/x":"/nowhere/at/all"}}]}`, http.StatusUnprocessableEntity, "/nowhere/at/all"},
		{http.MethodPut, "storm", `{"namespaces":["storm",""]}`, http.StatusBadRequest, "no name"},
		{http.MethodPut, "storm", `{"namespace":"storm"}`, http.StatusBadRequest, "unknown field"},
		{http.MethodPut, "", scope, http.StatusNotFound, ""},
		{http.MethodDelete, "calm", "", http.StatusNoContent, ""},
		{http.MethodDelete, "calm", "", http.StatusNoContent, ""},
		{http.MethodPut, "storm", scope, http.StatusNoContent, ""},
	} {
		code, answer := callPath(t, handler, step.method, api.ScopesPath+step.name, step.body)
		if code != step.code || !strings.Contains(answer, step.want) {
			t.Errorf("%s of scope %q with %s: %d %s, want %d and %q", step.method, step.name, step.body, code, answer, step.code, step.want)
		}
	}
	if got, err := images.ResolveIn("calm", "app:dev"); err != nil || got.Entrypoint[0] != "/a" {
		t.Errorf("namespace calm: %v, %v", got, err)
	}
}

type fakeContainers struct {
	ended []string
	after uint64
	fails error

	cleared  api.End
	clearErr error
}

func (c *fakeContainers) End(_ context.Context, namespaces []string) error {
	c.ended = namespaces
	return c.fails
}

func (c *fakeContainers) clear(end api.End) error {
	c.cleared = end
	return c.clearErr
}

func (c *fakeContainers) Lives(_ context.Context, seq uint64) (api.Lives, error) {
	c.after = seq
	return api.Lives{First: 1, Last: 9, Lives: []api.Life{{Seq: 9, Container: "app"}}}, c.fails
}

// Promise: an end that did not come about is not answered as one.
func TestControlEnds(t *testing.T) {
	containers := &fakeContainers{}
	handler := NewControlHandler(&image.Table{}, containers, containers.clear)
	if code, answer := callPath(t, handler, http.MethodPost, api.EndPath, `{"namespaces":["a","b"]}`); code != http.StatusNoContent || len(containers.ended) != 2 {
		t.Errorf("POST = %d %s for %q", code, answer, containers.ended)
	}
	if containers.cleared.HostFiles || containers.cleared.Version != 0 {
		t.Errorf("cleared %+v", containers.cleared)
	}
	callPath(t, handler, http.MethodPost, api.EndPath, `{"namespaces":["a"],"hostFiles":true,"version":7}`)
	if !containers.cleared.HostFiles || containers.cleared.Version != 7 {
		t.Errorf("cleared %+v", containers.cleared)
	}
	containers.clearErr = errors.New("a file stays")
	if code, answer := callPath(t, handler, http.MethodPost, api.EndPath, `{"namespaces":["a"]}`); code != http.StatusInternalServerError || !strings.Contains(answer, "a file stays") {
		t.Errorf("POST = %d %s", code, answer)
	}
	containers.fails = errors.New("process 7 is immortal")
	if code, answer := callPath(t, handler, http.MethodPost, api.EndPath, `{"namespaces":["a"]}`); code != http.StatusInternalServerError || !strings.Contains(answer, "process 7 is immortal") {
		t.Errorf("POST = %d %s", code, answer)
	}
	if code, _ := callPath(t, handler, http.MethodPost, api.EndPath, `["a"]`); code != http.StatusBadRequest {
		t.Errorf("POST of a list = %d", code)
	}
}

func TestControlTellsLives(t *testing.T) {
	containers := &fakeContainers{}
	handler := NewControlHandler(&image.Table{}, containers, containers.clear)
	code, answer := callPath(t, handler, http.MethodGet, api.LivesPath+"?after=8", "")
	var lives api.Lives
	if err := json.Unmarshal([]byte(answer), &lives); err != nil || code != http.StatusOK || containers.after != 8 || lives.Last != 9 || len(lives.Lives) != 1 {
		t.Errorf("GET = %d %s, %v, after %d", code, answer, err, containers.after)
	}
	containers.fails = errors.New("process 7 does not end")
	if code, answer := callPath(t, handler, http.MethodGet, api.LivesPath+"?after=8", ""); code != http.StatusInternalServerError || !strings.Contains(answer, "process 7 does not end") {
		t.Errorf("GET = %d %s", code, answer)
	}
	if code, answer := callPath(t, handler, http.MethodGet, api.LivesPath+"?after=-1", ""); code != http.StatusBadRequest || !strings.Contains(answer, "after") {
		t.Errorf("GET after -1 = %d %s", code, answer)
	}
}

func TestControlListsAnEmptyTable(t *testing.T) {
	if code, answer := call(t, NewControlHandler(&image.Table{}, nil, nil), http.MethodGet, ""); code != http.StatusOK || strings.TrimSpace(answer) != "[]" {
		t.Errorf("GET = %d %q, want an empty list", code, answer)
	}
}

func TestControlRefusesOtherMethods(t *testing.T) {
	if code, _ := call(t, NewControlHandler(&image.Table{}, nil, nil), http.MethodDelete, ""); code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE = %d", code)
	}
}

// A node that was killed leaves its socket; the next must not stumble over it.
func TestControlSocketServesUntilTheEnd(t *testing.T) {
	directory, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(directory)
	path := filepath.Join(directory, "s")
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()

	listener, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket has mode %v, %v; want 0600", info.Mode(), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serveControl(ctx, listener, NewControlHandler(&image.Table{}, nil, nil)) }()
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://node/images")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || strings.TrimSpace(string(body)) != "[]" {
		t.Errorf("GET = %q, %v", body, err)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the control server did not end")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestControlSocketWithALongPathIsRefused(t *testing.T) {
	path := "/" + strings.Repeat("x", api.MaxSocketPath)
	if _, err := listenControl(path); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("listenControl = %v, want an error that says the way out", err)
	}
}
