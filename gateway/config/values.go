package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Duration is a time.Duration that files write as 5s or 1m30s.
type Duration time.Duration

// UnmarshalJSON accepts a string that time.ParseDuration accepts. A bare number
// is refused: it would be nanoseconds, which nobody who writes 30 means. Nothing
// changes for null, that is, for a key without a value.
func (d *Duration) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("duration %s must be a string with a unit, such as 5s", data)
	}
	value, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	*d = Duration(value)
	return nil
}

// MarshalJSON writes the form that UnmarshalJSON reads.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// String writes the duration as time.Duration does.
func (d Duration) String() string { return time.Duration(d).String() }

// Std returns the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// durationErrors returns which durations in a file are malformed. The decoder does
// not know the keys of types that decode themselves.
func durationErrors(content []byte) error {
	var document any
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil // the decoder says so better
	}
	var problems []error
	var visit func(at string, t reflect.Type, value any)
	visit = func(at string, t reflect.Type, value any) {
		if t == reflect.TypeFor[Duration]() {
			data, err := json.Marshal(value)
			if err == nil {
				err = new(Duration).UnmarshalJSON(data)
			}
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", strings.TrimPrefix(at, "."), err))
			}
			return
		}
		object, ok := value.(map[string]any)
		if !ok || t.Kind() != reflect.Struct {
			return
		}
		for i := range t.NumField() {
			name := t.Field(i).Tag.Get("json")
			if member, ok := object[name]; ok {
				visit(at+"."+name, t.Field(i).Type, member)
			}
		}
	}
	visit("", reflect.TypeFor[Config](), document)
	return errors.Join(problems...)
}

// applyEnv overrides cfg by environment variables. Those that do not parse are
// ignored, as a warning says.
func applyEnv(cfg *Config, env func(string) (string, bool)) (warnings []string) {
	set := func(name string, assign func(string) error) {
		value, ok := env(name)
		if !ok || value == "" {
			return
		}
		if err := assign(value); err != nil {
			warnings = append(warnings, fmt.Sprintf("environment variable %s=%q is ignored: %v", name, value, err))
		}
	}
	text := func(target *string) func(string) error {
		return func(value string) error { *target = value; return nil }
	}
	number := func(target *int) func(string) error {
		return func(value string) error {
			n, err := strconv.Atoi(value)
			if err == nil {
				*target = n
			}
			return err
		}
	}
	set("GATEWAY_LISTEN_ADDR", text(&cfg.Server.ListenAddr))
	set("GATEWAY_MEMORY_LIMIT_BYTES", number(&cfg.Server.MemoryLimitBytes))
	set("GATEWAY_REDIS_ADDR", text(&cfg.Infrastructure.Redis.Addr))
	set("GATEWAY_REDIS_USERNAME", text(&cfg.Infrastructure.Redis.Username))
	if password, ok := env("GATEWAY_REDIS_PASSWORD"); ok && password != "" {
		cfg.Infrastructure.Redis.Password = password // never part of a warning
	}
	set("GATEWAY_REDIS_DB", number(&cfg.Infrastructure.Redis.DB))
	set("GATEWAY_RATE_LIMIT_RPM", number(&cfg.Middleware.RateLimit.RequestsPerMinute))
	set("GATEWAY_DEDUP_TTL", func(value string) error {
		ttl, err := time.ParseDuration(value)
		if err == nil {
			cfg.Processing.Deduplication.TTL = Duration(ttl)
		}
		return err
	})
	return warnings
}

func sortErrors(errs []error) {
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
}
