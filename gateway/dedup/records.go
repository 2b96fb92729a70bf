package dedup

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"stormgate.internal/gateway/signal"
)

const (
	// lockLease is how long a reservation holds without being given back. Its end
	// makes no second object, since the reserved name outlives it.
	lockLease = 5 * time.Second
	// nameLifetime must exceed the time that a create may take to happen.
	nameLifetime = time.Minute
)

var (
	//go:embed scripts/begin.lua
	beginSource string
	//go:embed scripts/store.lua
	storeSource string
	//go:embed scripts/touch.lua
	touchSource string
	//go:embed scripts/forget.lua
	forgetSource string
	//go:embed scripts/release.lua
	releaseSource string

	beginScript   = redis.NewScript(beginSource)
	storeScript   = redis.NewScript(storeSource)
	touchScript   = redis.NewScript(touchSource)
	forgetScript  = redis.NewScript(forgetSource)
	releaseScript = redis.NewScript(releaseSource)
)

// UnavailableError says that Redis did not do what deduplication needs.
type UnavailableError struct {
	Op  string
	Err error
}

var _ error = (*UnavailableError)(nil)

// Error says what was tried and why it failed.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("deduplication is unavailable: %s: %v", e.Op, e.Err)
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// record is what Redis knows of an incident.
type record struct {
	fingerprint, alertName, namespace, resource string
	firstSeen, lastSeen                         time.Time
	count                                       int
	ref                                         types.NamespacedName
}

func (r record) args() []any {
	return []any{
		"fingerprint", r.fingerprint,
		"alertName", r.alertName,
		"namespace", r.namespace,
		"resource", r.resource,
		"firstSeen", r.firstSeen.UTC().Format(time.RFC3339),
		"lastSeen", r.lastSeen.UTC().Format(time.RFC3339),
		"count", r.count,
		"remediationRequestRef", r.ref.String(),
	}
}

// parseRecord reads what a script returned of a hash. Fields that do not parse
// are left zero: the record is a hint, the object is the truth.
func parseRecord(values []any) record {
	fields := make(map[string]string, len(values)/2)
	for i := 0; i+1 < len(values); i += 2 {
		key, _ := values[i].(string)
		fields[key], _ = values[i+1].(string)
	}
	r := record{
		fingerprint: fields["fingerprint"], alertName: fields["alertName"],
		namespace: fields["namespace"], resource: fields["resource"],
	}
	r.firstSeen, _ = time.Parse(time.RFC3339, fields["firstSeen"])
	r.lastSeen, _ = time.Parse(time.RFC3339, fields["lastSeen"])
	r.count, _ = strconv.Atoi(fields["count"])
	r.ref.Namespace, r.ref.Name, _ = strings.Cut(fields["remediationRequestRef"], "/")
	return r
}

// records keeps the incidents' records and reservations in Redis.
type records struct {
	client   redis.UniversalClient
	ttl      time.Duration
	observer Observer
}

// keys are those of one incident: record, lock and name.
func keys(sig *signal.Signal) []string {
	// Fingerprints have a fixed length, so what follows them is unambiguous.
	incident := sig.Fingerprint + ":" + keyNamespace(sig.Namespace)
	return []string{
		"gateway:dedup:fingerprint:" + sig.Fingerprint,
		"gateway:dedup:lock:" + incident,
		"gateway:dedup:name:" + incident,
	}
}

// keyNamespace keeps keys short and printable whatever a sender calls its namespace.
func keyNamespace(namespace string) string {
	if len(validation.IsDNS1123Label(namespace)) == 0 {
		return namespace
	}
	sum := sha256.Sum256([]byte(namespace))
	return "~" + hex.EncodeToString(sum[:16])
}

// begun is the answer of begin: a record, or the name reserved for the caller, or
// neither while somebody else holds the reservation.
type begun struct {
	record *record
	name   string
}

func (r *records) begin(ctx context.Context, sig *signal.Signal, token, proposedName string) (begun, error) {
	defer r.observe("deduplication_check", time.Now())
	answer, err := beginScript.Run(ctx, r.client, keys(sig), sig.Namespace, token, proposedName,
		lockLease.Milliseconds(), nameLifetime.Milliseconds()).Slice()
	if err != nil {
		return begun{}, r.unavailable("deduplication_check", err)
	}
	kind, _ := answer[0].(string)
	switch kind {
	case "record":
		values, _ := answer[1].([]any)
		found := parseRecord(values)
		return begun{record: &found}, nil
	case "reserved":
		name, _ := answer[1].(string)
		return begun{name: name}, nil
	}
	return begun{}, nil
}

// store writes the record, and ends the reservation with the token if it is not
// empty.
func (r *records) store(ctx context.Context, sig *signal.Signal, token string, rec record) error {
	defer r.observe("deduplication_store", time.Now())
	args := append([]any{token, r.ttl.Milliseconds()}, rec.args()...)
	return r.run(ctx, "deduplication_store", storeScript, keys(sig), args...)
}

// touch counts an occurrence in the record. It returns nil if there is none.
func (r *records) touch(ctx context.Context, sig *signal.Signal) (*record, error) {
	defer r.observe("deduplication_store", time.Now())
	values, err := touchScript.Run(ctx, r.client, keys(sig)[:1], sig.ReceivedTime.UTC().Format(time.RFC3339), r.ttl.Milliseconds()).Slice()
	if err != nil {
		return nil, r.unavailable("deduplication_store", err)
	}
	if len(values) == 0 {
		return nil, nil
	}
	rec := parseRecord(values)
	return &rec, nil
}

func (r *records) forget(ctx context.Context, sig *signal.Signal, ref types.NamespacedName) error {
	return r.run(ctx, "deduplication_store", forgetScript, keys(sig)[:1], ref.String())
}

func (r *records) release(ctx context.Context, sig *signal.Signal, token string) error {
	return r.run(ctx, "deduplication_store", releaseScript, keys(sig)[1:2], token)
}

func (r *records) run(ctx context.Context, operation string, script *redis.Script, keys []string, args ...any) error {
	if err := script.Run(ctx, r.client, keys, args...).Err(); err != nil {
		return r.unavailable(operation, err)
	}
	return nil
}

func (r *records) observe(operation string, start time.Time) {
	r.observer.RedisOperation(operation, time.Since(start))
}

func (r *records) unavailable(operation string, err error) error {
	r.observer.RedisOperationFailed(operation)
	return &UnavailableError{operation, err}
}
