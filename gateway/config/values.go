package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that files write as 5s or 1m30s.
type Duration time.Duration

// UnmarshalJSON accepts a string that time.ParseDuration accepts. A bare number
// is refused: it would be nanoseconds, which nobody who writes 30 means.
func (d *Duration) UnmarshalJSON(data []byte) error {
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
	set("GATEWAY_REDIS_ADDR", text(&cfg.Infrastructure.Redis.Addr))
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
