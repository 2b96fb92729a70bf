package storm

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"stormgate.internal/gateway/signal"
)

// maxObjectBytes is the most that a storm object may be estimated to take; the API
// server's store takes 1 MiB for sure. It leaves room for what the controllers add.
const maxObjectBytes = 1_000_000

// fixedObjectBytes is more than an object takes without what senders choose.
const fixedObjectBytes = 4096

// member is an alert as it is kept in Redis.
type member struct {
	sig *signal.Signal
	// token is different for each request with the alert.
	token    string
	resource string
	data     []byte
	// size is what the resource adds to an object, at most, and base the size of an
	// object with this as its first member, in bytes.
	size, base int
}

func newMember(sig *signal.Signal) member {
	m := member{sig: sig, token: rand.Text(), resource: sig.Resource.ID()}
	var header int
	m.data, header = encode(sig)
	// In JSON, no character of a string takes more than 6 bytes, and few more than 1.
	m.size = len(m.resource) + 3 + 5*escapes(m.resource)
	if sig.Detail != "" {
		m.size += len(sig.Fingerprint) + 3
	}
	// The header has the labels and annotations. The object has the labels twice, once
	// of them in base64, and each of their keys once more in its managed fields.
	m.base = fixedObjectBytes + 2*header + (header+len(sig.Payload))*4/3
	return m
}

// escapes counts the characters that JSON may escape.
func escapes(text string) int {
	n := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c == '"', c == '\\', c == '<', c == '>', c == '&', c >= 0x7f:
			n++
		}
	}
	return n
}

// kept is the part of a signal that is kept as JSON; its payload follows as it is.
type kept struct {
	Type        string            `json:"t"`
	Source      string            `json:"s"`
	Name        string            `json:"n"`
	Severity    string            `json:"v"`
	Namespace   string            `json:"ns,omitempty"`
	Resource    signal.Resource   `json:"r"`
	Labels      map[string]string `json:"l,omitempty"`
	Annotations map[string]string `json:"a,omitempty"`
	Firing      time.Time         `json:"f"`
	Received    time.Time         `json:"rt"`
	Fingerprint string            `json:"fp"`
	Detail      string            `json:"d,omitempty"`
	Truncated   int               `json:"tr,omitempty"`
}

// encode returns a signal as it is kept, and the length of what precedes its payload.
func encode(sig *signal.Signal) (data []byte, header int) {
	var b bytes.Buffer
	b.Grow(512 + 2*len(sig.Payload))
	// Strings and times as signals have them can always be encoded.
	_ = json.NewEncoder(&b).Encode(kept{
		Type: sig.Type, Source: sig.Source, Name: sig.Name, Severity: sig.Severity, Namespace: sig.Namespace, Resource: sig.Resource,
		Labels: sig.Labels, Annotations: sig.Annotations, Firing: sig.FiringTime, Received: sig.ReceivedTime, Fingerprint: sig.Fingerprint,
		Detail: sig.Detail, Truncated: sig.Truncated,
	})
	header = b.Len()
	b.Write(sig.Payload)
	return b.Bytes(), header
}

// decode is the reverse of encode.
func decode(data string) (*signal.Signal, error) {
	// JSON has no line feeds but those between its tokens, of which the encoder makes one.
	header, payload, found := strings.Cut(data, "\n")
	if !found {
		return nil, fmt.Errorf("kept signal of %d bytes is cut off", len(data))
	}
	var k kept
	if err := json.Unmarshal([]byte(header), &k); err != nil {
		return nil, fmt.Errorf("kept signal: %w", err)
	}
	return &signal.Signal{
		Type: k.Type, Source: k.Source, Name: k.Name, Severity: k.Severity, Namespace: k.Namespace, Resource: k.Resource,
		Labels: k.Labels, Annotations: k.Annotations, FiringTime: k.Firing, ReceivedTime: k.Received, Fingerprint: k.Fingerprint,
		Detail: k.Detail, Truncated: k.Truncated, Payload: []byte(payload),
	}, nil
}

// scopeOf returns the part of Redis' keys that stands for the alert's name and
// namespace. It is the same for no two pairs.
func scopeOf(sig *signal.Signal) string { return keyPart(sig.Namespace) + ":" + keyPart(sig.Name) }

// maxKeyPart is the length up to which a name is part of keys as it is.
const maxKeyPart = 100

// keyPart keeps keys short, printable and unambiguous whatever senders choose.
func keyPart(text string) string {
	if len(text) > 0 && len(text) <= maxKeyPart && strings.IndexFunc(text, notInKeys) < 0 {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "~" + hex.EncodeToString(sum[:16])
}

func notInKeys(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.')
}
