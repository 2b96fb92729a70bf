package runs

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"stormgate.internal/tools/report/internal/runtest"
)

// Promise: what this package loads, keeps and draws is what report does.
func TestLoadKeepDraw(t *testing.T) {
	r, err := Load(runtest.Write(t, t.TempDir(), nil), Options{Program: "tools/bazel"})
	if err != nil {
		t.Fatal(err)
	}
	record := RecordOf(r)
	folder := t.TempDir()
	if err := Save(folder, record); err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadDir(folder); err != nil || len(kept) != 1 {
		t.Errorf("kept %v, %v", kept, err)
	}
	failed := 0
	for _, s := range Strips([]Record{record}) {
		failed += s.Failures
	}
	if failed == 0 {
		t.Error("no spec of the run failed")
	}
	var page bytes.Buffer
	if err := WritePage(&page, r); err != nil || !strings.HasPrefix(page.String(), "<!doctype html>") {
		t.Errorf("page: %v, %.40q", err, page.String())
	}
}
