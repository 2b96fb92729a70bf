package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
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
		if got := Normalize(reference); got != want {
			t.Errorf("Normalize(%q) = %q, want %q", reference, got, want)
		}
		if again := Normalize(Normalize(reference)); again != want {
			t.Errorf("Normalize(%q) is not stable: %q", reference, again)
		}
	}
}

func TestPutRefusesInvalidImages(t *testing.T) {
	good := Image{Reference: "good"}
	tests := []struct {
		name   string
		images []Image
		word   string
	}{
		{"no reference", []Image{{}}, "without a reference"},
		{"white space", []Image{{Reference: "a b"}}, `"a b"`},
		{"user name", []Image{{Reference: "x", User: "nobody"}}, `"nobody"`},
		{"empty group", []Image{{Reference: "x", User: "1:"}}, `"1:"`},
		{"negative user", []Image{{Reference: "x", User: "-1"}}, `"-1"`},
		{"user that means none", []Image{{Reference: "x", User: "4294967295"}}, "4294967295"},
		{"relative working directory", []Image{{Reference: "x", WorkingDir: "srv"}}, `"srv"`},
		{"variable with =", []Image{{Reference: "x", Env: map[string]string{"A=B": "C"}}}, `"A=B"`},
		{"stop signal", []Image{{Reference: "x", StopSignal: "TERM"}}, `"TERM"`},
		{"relative container path", []Image{{Reference: "x", Files: map[string]string{"a": "/a"}}}, `"a"`},
		{"unclean container path", []Image{{Reference: "x", Files: map[string]string{"/a/../b": "/a"}}}, `"/a/../b"`},
		{"root", []Image{{Reference: "x", Files: map[string]string{"/": "/a"}}}, `"/"`},
		{"relative host path", []Image{{Reference: "x", Files: map[string]string{"/a": "a"}}}, `"a"`},
		{"the same twice", []Image{{Reference: "x"}, {Reference: "docker.io/library/x:latest"}}, "twice"},
	}
	for _, test := range tests {
		table, err := NewTable(good)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Put(append([]Image{{Reference: "other"}}, test.images...)...); err == nil || !strings.Contains(err.Error(), test.word) {
			t.Errorf("%s: error %v does not mention %s", test.name, err, test.word)
		}
		if got := table.List(); len(got) != 1 {
			t.Errorf("%s: a part of the images was taken: %v", test.name, got)
		}
	}
}

func TestTable(t *testing.T) {
	var table Table
	if _, found := table.Lookup("redis"); found || len(table.List()) != 0 {
		t.Error("the zero table has images")
	}
	redis := Image{Reference: "docker.io/library/redis", Entrypoint: []string{"/redis-server"}, Files: map[string]string{"/redis-server": "/a"}}
	if err := table.Put(Image{Reference: "z:1"}, redis); err != nil {
		t.Fatal(err)
	}
	got, found := table.Lookup("redis:latest")
	if !found || cmp.Diff(got, redis) != "" {
		t.Errorf("found %v: %s", found, cmp.Diff(got, redis))
	}
	got.Files["/redis-server"], got.Entrypoint[0] = "changed", "changed" // the caller's copy
	redis.Files["/redis-server"] = "changed"
	if got, _ := table.Lookup("redis"); got.Files["/redis-server"] != "/a" || got.Entrypoint[0] != "/redis-server" {
		t.Errorf("the table was changed through a copy: %v", got)
	}
	if err := table.Put(Image{Reference: "redis", User: "1:2"}); err != nil {
		t.Fatal(err)
	}
	list := table.List()
	if len(list) != 2 || list[0].User != "1:2" || list[1].Reference != "z:1" {
		t.Errorf("list %v", list)
	}
	_, err := table.Resolve("nginx")
	var unknown *UnknownError
	if !errors.As(err, &unknown) || unknown.Reference != "nginx" || err.Error() != `image "nginx" is not part of this cluster, which pulls nothing; known images: redis:latest, z:1` {
		t.Errorf("error %v", err)
	}
	if _, err := new(Table).Resolve("nginx"); err == nil || !strings.HasSuffix(err.Error(), "known images: none") {
		t.Errorf("error of an empty table: %v", err)
	}
	if uid, gid, err := list[0].UserIDs(); uid != 1 || gid != 2 || err != nil {
		t.Errorf("user %d, group %d, %v", uid, gid, err)
	}
}

func TestTableIsSafeForConcurrentUse(t *testing.T) {
	var table Table
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			reference := fmt.Sprint("image", i)
			if err := table.Put(Image{Reference: reference}); err != nil {
				t.Error(err)
			}
			if _, err := table.Resolve(reference); err != nil {
				t.Error(err)
			}
			table.List()
		})
	}
	all.Wait()
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
