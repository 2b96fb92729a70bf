package node

import (
	"context"
	"encoding/json"
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
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(method, "/images", strings.NewReader(body)))
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
	handler := NewControlHandler(images)
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
		"more than one":   {`[` + good + `] []`, http.StatusBadRequest, "after the end"},
		"no reference":    {`[` + good + `,{"entrypoint":["/x"]}]`, http.StatusBadRequest, "image 2 of the list"},
		"relative path":   {`[` + good + `,{"reference":"a:1","files":{"x":"/y"}}]`, http.StatusBadRequest, "image 2 of the list"},
		"the same twice":  {`[` + good + `,` + good + `]`, http.StatusBadRequest, "good:1"},
		"a missing file":  {`[` + good + `,{"reference":"a:1","files":{"/x":"/nowhere/at/all"}}]`, http.StatusUnprocessableEntity, "/nowhere/at/all"},
		"far too much":    {`[` + good + strings.Repeat(" ", maxControlBody) + `]`, http.StatusRequestEntityTooLarge, "too large"},
		"far too much at": {`[` + good + `]` + strings.Repeat(" ", maxControlBody), http.StatusRequestEntityTooLarge, "after the end"},
	} {
		images := &image.Table{}
		code, answer := call(t, NewControlHandler(images), http.MethodPut, test.body)
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

func TestControlListsAnEmptyTable(t *testing.T) {
	if code, answer := call(t, NewControlHandler(&image.Table{}), http.MethodGet, ""); code != http.StatusOK || strings.TrimSpace(answer) != "[]" {
		t.Errorf("GET = %d %q, want an empty list", code, answer)
	}
}

func TestControlRefusesOtherMethods(t *testing.T) {
	if code, _ := call(t, NewControlHandler(&image.Table{}), http.MethodDelete, ""); code != http.StatusMethodNotAllowed {
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
	go func() { ended <- serveControl(ctx, listener, NewControlHandler(&image.Table{})) }()
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
