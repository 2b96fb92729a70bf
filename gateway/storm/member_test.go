package storm

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stormgate.internal/gateway/signal"
)

// A kept signal is what it was, whatever characters it has.
func FuzzKeptSignal(f *testing.F) {
	f.Add("A", "shop", "pod", "value", []byte(`{"a":1}`))
	f.Add("A\nB", "", "p\x00\"<>&\u2028", "v", []byte("\n\n"))
	f.Fuzz(func(t *testing.T, name, namespace, resource, value string, payload []byte) {
		for _, text := range []*string{&name, &namespace, &resource, &value} {
			*text = strings.ToValidUTF8(*text, "?") // as they come out of JSON
		}
		want := &signal.Signal{
			Type: "t", Source: "s", Name: name, Severity: "info", Namespace: namespace,
			Resource: signal.Resource{Kind: "Pod", Name: resource, Namespace: namespace},
			Labels:   map[string]string{name: value}, Annotations: map[string]string{value: name},
			FiringTime: time.Unix(1, 2).UTC(), ReceivedTime: time.Unix(3, 4).UTC(), Fingerprint: "f", Detail: value, Truncated: len(name), Payload: append([]byte{}, payload...),
		}
		m := newMember(want)
		got, err := decode(string(m.data))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("kept signal (-want +got):\n%s", diff)
		}
		inJSON, err := json.Marshal(m.resource)
		if err != nil || len(inJSON)+1 > m.size {
			t.Errorf("resource takes %d bytes, said to take %d at most; %v", len(inJSON)+1, m.size, err)
		}
	})
}

// No two names and namespaces share keys, and keys stay short and printable.
func FuzzScope(f *testing.F) {
	f.Add("a:b", "c", "a", "b:c")
	f.Add("A", "", "A", "~")
	f.Add(strings.Repeat("x", 300), "n", strings.Repeat("x", 301), "n")
	f.Fuzz(func(t *testing.T, name, namespace, otherName, otherNamespace string) {
		scope := scopeOf(&signal.Signal{Name: name, Namespace: namespace})
		other := scopeOf(&signal.Signal{Name: otherName, Namespace: otherNamespace})
		if (scope == other) != (name == otherName && namespace == otherNamespace) {
			t.Errorf("(%q, %q) has scope %s, (%q, %q) has %s", name, namespace, scope, otherName, otherNamespace, other)
		}
		if strings.Count(scope, ":") != 1 || len(scope) > 2*maxKeyPart+1 || strings.ContainsFunc(scope, func(r rune) bool { return notInKeys(r) && r != ':' && r != '~' }) {
			t.Errorf("scope %q", scope)
		}
		if ref := (batchRef{scope, "1-2"}); parseRef(ref.String()) != ref {
			t.Errorf("reference %s", ref)
		}
	})
}
