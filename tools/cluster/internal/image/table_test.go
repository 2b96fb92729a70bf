package image

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stormgate.internal/tools/cluster/api"
)

func TestPutRefusesInvalidImages(t *testing.T) {
	good := api.Image{Reference: "good"}
	tests := []struct {
		name   string
		images []api.Image
		word   string
	}{
		{"no reference", []api.Image{{}}, "without a reference"},
		{"white space", []api.Image{{Reference: "a b"}}, `"a b"`},
		{"user name", []api.Image{{Reference: "x", User: "nobody"}}, `"nobody"`},
		{"empty group", []api.Image{{Reference: "x", User: "1:"}}, `"1:"`},
		{"negative user", []api.Image{{Reference: "x", User: "-1"}}, `"-1"`},
		{"user that means none", []api.Image{{Reference: "x", User: "4294967295"}}, "4294967295"},
		{"relative working directory", []api.Image{{Reference: "x", WorkingDir: "srv"}}, `"srv"`},
		{"variable with =", []api.Image{{Reference: "x", Env: map[string]string{"A=B": "C"}}}, `"A=B"`},
		{"stop signal", []api.Image{{Reference: "x", StopSignal: "TERM"}}, `"TERM"`},
		{"relative container path", []api.Image{{Reference: "x", Files: map[string]string{"a": "/a"}}}, `"a"`},
		{"unclean container path", []api.Image{{Reference: "x", Files: map[string]string{"/a/../b": "/a"}}}, `"/a/../b"`},
		{"root", []api.Image{{Reference: "x", Files: map[string]string{"/": "/a"}}}, `"/"`},
		{"relative host path", []api.Image{{Reference: "x", Files: map[string]string{"/a": "a"}}}, `"a"`},
		{"the same twice", []api.Image{{Reference: "x"}, {Reference: "docker.io/library/x:latest"}}, "twice"},
	}
	for _, test := range tests {
		table, err := NewTable(good)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Put(append([]api.Image{{Reference: "other"}}, test.images...)...); err == nil || !strings.Contains(err.Error(), test.word) {
			t.Errorf("%s: error %v does not mention %s", test.name, err, test.word)
		}
		if got := table.List(); len(got) != 1 {
			t.Errorf("%s: a part of the images was taken: %v", test.name, got)
		}
	}
}

func TestTable(t *testing.T) {
	var table Table
	if _, err := table.ResolveIn("", "redis"); err == nil || len(table.List()) != 0 {
		t.Error("the zero table has images")
	}
	redis := api.Image{Reference: "docker.io/library/redis", Entrypoint: []string{"/redis-server"}, Files: map[string]string{"/redis-server": "/a"}}
	if err := table.Put(api.Image{Reference: "z:1"}, redis); err != nil {
		t.Fatal(err)
	}
	got, err := table.ResolveIn("anywhere", "redis:latest")
	if err != nil || cmp.Diff(got, redis) != "" {
		t.Errorf("found %v: %s", err, cmp.Diff(got, redis))
	}
	got.Files["/redis-server"], got.Entrypoint[0] = "changed", "changed" // the caller's copy
	redis.Files["/redis-server"] = "changed"
	if got, _ := table.ResolveIn("", "redis"); got.Files["/redis-server"] != "/a" || got.Entrypoint[0] != "/redis-server" {
		t.Errorf("the table was changed through a copy: %v", got)
	}
	if err := table.Put(api.Image{Reference: "redis", User: "1:2"}); err != nil {
		t.Fatal(err)
	}
	list := table.List()
	if len(list) != 2 || list[0].User != "1:2" || list[1].Reference != "z:1" {
		t.Errorf("list %v", list)
	}
	_, err = table.ResolveIn("", "nginx")
	var unknown *UnknownError
	if !errors.As(err, &unknown) || unknown.Reference != "nginx" || err.Error() != `image "nginx" is not part of this cluster, which pulls nothing; known images: redis:latest, z:1` {
		t.Errorf("error %v", err)
	}
	if _, err := new(Table).ResolveIn("", "nginx"); err == nil || !strings.HasSuffix(err.Error(), "known images: none") {
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
			if err := table.Put(api.Image{Reference: reference}); err != nil {
				t.Error(err)
			}
			if _, err := table.ResolveIn("", reference); err != nil {
				t.Error(err)
			}
			table.List()
		})
	}
	all.Wait()
}
