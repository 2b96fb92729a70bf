package redact

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		`plain`:                               `plain`,
		`got {"password": "hunter2", "x": 1}`: `got {"password": "[REDACTED]", "x": 1}`,
		`{"token":"a\"b","api_key":7,"annotations":{"a":{"b":"c"}}}`: `{"token":"[REDACTED]","api_key":"[REDACTED]","annotations":"[REDACTED]"}`,
		`{"generatorURL" : "http://x/?y", "passwords":"kept"}`:       `{"generatorURL" : "[REDACTED]", "passwords":"kept"}`,
		`cut short {"annotations":{"a":"secr`:                        `cut short {"annotations":"[REDACTED]"`,
		`quoted "{\"password\":\"hunter2\",\"x\":1}" after`:          `quoted "{\"password\":[REDACTED]" after`,
		`"{\"annotations\":{\"a\":\"{{ $value }}\",\"b\":\"c\"}}"`:   `"{\"annotations\":[REDACTED]"`,
		`"{\\\"token\\\":\\\"x\\\"}" and {"Password":"x"}`:           `"{\\\"token\\\":[REDACTED]" and {"Password":"[REDACTED]"}`,
	} {
		if got := Text(text); got != want {
			t.Errorf("Text(%s)\n got %s\nwant %s", text, got, want)
		}
	}
	for name, want := range map[string]bool{"password": true, "generatorURL": true, "passwords": false, "": false} {
		if IsSecret(name) != want {
			t.Errorf("IsSecret(%q)", name)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add(`{"password": "hunter2"}`)
	f.Add(`\"token\":\"x`)
	f.Fuzz(func(t *testing.T, text string) {
		if got := Text(`{"password":"s3cr3t!"} ` + text); strings.Contains(got, "s3cr3t!") && !strings.Contains(text, "s3cr3t!") {
			t.Errorf("Text kept the secret: %s", got)
		}
	})
}
