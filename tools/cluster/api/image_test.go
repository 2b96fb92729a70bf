package api

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("a", 64)
	for reference, want := range map[string]string{
		"redis":                            "redis:latest",
		"redis:7":                          "redis:7",
		"docker.io/redis":                  "redis:latest",
		"docker.io/library/redis:7":        "redis:7",
		"index.docker.io/library/redis":    "redis:latest",
		"library/redis":                    "redis:latest",
		"docker.io/stormgate/gateway:dev":  "stormgate/gateway:dev",
		"stormgate/gateway":                "stormgate/gateway:latest",
		"library/stormgate/gateway":        "library/stormgate/gateway:latest",
		"localhost:5000/redis":             "localhost:5000/redis:latest",
		"localhost:5000/library/redis:7":   "localhost:5000/library/redis:7",
		"redis" + digest:                   "redis" + digest,
		"docker.io/library/redis" + digest: "redis" + digest,
		"":                                 "",
	} {
		if got := NormalizeReference(reference); got != want {
			t.Errorf("NormalizeReference(%q) = %q, want %q", reference, got, want)
		}
		if again := NormalizeReference(NormalizeReference(reference)); again != want {
			t.Errorf("NormalizeReference(%q) is not stable: %q", reference, again)
		}
	}
}

func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	file, link, missing := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "missing")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("missing", link); err != nil {
		t.Fatal(err)
	}
	if err := (Image{Reference: "x", Files: map[string]string{"/a": dir, "/b": file}}).CheckFiles(); err != nil {
		t.Error(err)
	}
	err := Image{Reference: "x:1", Files: map[string]string{"/a": dir, "/c": missing, "/d": link}}.CheckFiles()
	if err == nil {
		t.Fatal("missing files were not noticed")
	}
	for _, word := range []string{"x:1", "/c", missing, "/d", link} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not mention %s", err, word)
		}
	}
}

// The JSON form is what the control socket takes and what rules write.
func TestJSON(t *testing.T) {
	text := `{"reference":"stormgate/gateway:dev","entrypoint":["/gateway"],"env":{"K":"V"},"workingDir":"/","user":"65532","stopSignal":"SIGINT","files":{"/gateway":"/abs"}}`
	var i Image
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		t.Fatal(err)
	}
	back, err := json.Marshal(i)
	if err != nil || string(back) != text {
		t.Errorf("%s, %v", back, err)
	}
}

// Promise: the id is the same for the same image however it is written, and another for any other.
func TestImageID(t *testing.T) {
	image := Image{Reference: "docker.io/library/app", Entrypoint: []string{"/app"}, Files: map[string]string{"/app": "/1", "/lib": "/2"}}
	same := image.Clone()
	same.Reference = "app:latest"
	if image.ID() != same.ID() {
		t.Errorf("%s and %s for one image", image.ID(), same.ID())
	}
	seen := map[string]bool{image.ID(): true}
	for _, change := range []func(*Image){
		func(i *Image) { i.Reference = "app:2" }, func(i *Image) { i.Entrypoint = []string{"/lib"} },
		func(i *Image) { i.User = "1" }, func(i *Image) { i.Files["/app"] = "/3" }, func(i *Image) { i.Env = map[string]string{"A": "B"} },
	} {
		other := image.Clone()
		change(&other)
		if seen[other.ID()] {
			t.Errorf("%+v has the id of another image", other)
		}
		seen[other.ID()] = true
	}
}
