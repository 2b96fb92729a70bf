package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLines(t *testing.T) {
	request := WithRequestID(t.Context(), "the-id")
	for _, c := range []struct {
		name string
		log  func(*slog.Logger)
		want map[string]any
	}{
		{"plain", func(l *slog.Logger) { l.Info("event", "n", 7) },
			map[string]any{"level": "INFO", "msg": "event", "n": 7.0}},
		{"of a request", func(l *slog.Logger) { l.WarnContext(request, "event") },
			map[string]any{"level": "WARN", "msg": "event", "request_id": "the-id"}},
		{"of a request, by a logger with attributes", func(l *slog.Logger) { l.With("part", "x").InfoContext(request, "event") },
			map[string]any{"level": "INFO", "msg": "event", "part": "x", "request_id": "the-id"}},
		{"in a group", func(l *slog.Logger) { l.WithGroup("g").InfoContext(request, "event", "token", "s3cr3t") },
			map[string]any{"level": "INFO", "msg": "event", "g": map[string]any{"token": "[REDACTED]", "request_id": "the-id"}}},
		{"secret attribute", func(l *slog.Logger) { l.Info("event", "password", "s3cr3t", "api_key", 5) },
			map[string]any{"level": "INFO", "msg": "event", "password": "[REDACTED]", "api_key": "[REDACTED]"}},
		{"secret in a text", func(l *slog.Logger) { l.Info(`event {"token":"s3cr3t"}`, "body", `{"password":"s3cr3t","x":1}`) },
			map[string]any{"level": "INFO", "msg": `event {"token":"[REDACTED]"}`, "body": `{"password":"[REDACTED]","x":1}`}},
		{"secret in an error", func(l *slog.Logger) {
			l.Info("event", "error", fmt.Errorf("wrapped: %w", errors.New(`rejected {"annotations":{"a":"s3cr3t"}}`)))
		},
			map[string]any{"level": "INFO", "msg": "event", "error": `wrapped: rejected {"annotations":"[REDACTED]"}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			c.log(New(&out, slog.LevelInfo))
			var got map[string]any
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatalf("line %q: %v", out.String(), err)
			}
			if got["time"] == nil {
				t.Error("no time")
			}
			delete(got, "time")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLevel(t *testing.T) {
	var out bytes.Buffer
	New(&out, slog.LevelInfo).Debug("event")
	if out.Len() != 0 {
		t.Errorf("logged %s", out.String())
	}
}

func TestRequestIDIsOptional(t *testing.T) {
	if id := RequestID(context.Background()); id != "" {
		t.Errorf("id %q out of nothing", id)
	}
}
