package debug

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestStartServesProfiles(t *testing.T) {
	var log bytes.Buffer
	stop, err := Start(t.Context(), "127.0.0.1:0", slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var event struct{ Address string }
	if err := json.Unmarshal(log.Bytes(), &event); err != nil {
		t.Fatalf("%v in %s", err, &log)
	}
	url := "http://" + event.Address + "/debug/pprof/goroutine?debug=1"
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(body), "goroutine profile") {
		t.Errorf("profile is %.100q, %v", body, err)
	}
	stop()
	if _, err := http.Get(url); err == nil {
		t.Error("profiles are still served")
	}
}

func TestStartTellsWhyItCannotListen(t *testing.T) {
	if _, err := Start(t.Context(), "nowhere:port", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "nowhere:port") {
		t.Errorf("Start = %v", err)
	}
}
