package suite

import (
	"fmt"
	"strings"
	"testing"
)

func TestBeExactly(t *testing.T) {
	want := []string{"a", "b", "c"}
	for _, c := range []struct {
		name string
		got  []string
		says string // empty: it matches
	}{
		{"the same", []string{"c", "a", "b"}, ""},
		{"one missing", []string{"c", "a"}, "missing: 1 of 3: b"},
		{"one twice", []string{"a", "b", "b", "c"}, "there too often: 1 of 3: b (1 times too often)"},
		{"another", []string{"a", "b", "d"}, "missing: 1 of 3: c"},
		{"nothing", nil, "missing: 3 of 3: a, b, c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			matcher := BeExactly(want)
			matches, err := matcher.Match(c.got)
			if err != nil || matches != (c.says == "") {
				t.Fatalf("matches: %t, error %v", matches, err)
			}
			if message := matcher.FailureMessage(c.got); !matches && !strings.Contains(message, c.says) {
				t.Errorf("it says %q, not %q", message, c.says)
			}
		})
	}
}

// The digest of a failing log has room for few lines.
func TestBeExactlyIsBrief(t *testing.T) {
	var many []string
	for i := range 2000 {
		many = append(many, fmt.Sprintf("tenant:Pod:payment-api-%d", i))
	}
	if message := BeExactly(many).FailureMessage(many[:10]); len(message) > 1000 || !strings.Contains(message, "1990 of 2000") {
		t.Errorf("%d bytes: %.1000s", len(message), message)
	}
}
