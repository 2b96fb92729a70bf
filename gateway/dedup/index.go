package dedup

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/signal"
)

// lockLease is how long a lock holds without being given back. Its end makes no
// second object, since the reservation outlives it.
const lockLease = 5 * time.Second

// The operations that an Observer is told of.
const (
	opCheck = "deduplication_check"
	opStore = "deduplication_store"
)

const (
	recordPrefix   = "gateway:dedup:fingerprint:"
	incidentPrefix = "gateway:dedup:incident:"
	lockPrefix     = "gateway:dedup:lock:"
	// markerKey exists while every object in progress is in the index.
	markerKey = "gateway:dedup:complete"
	// restKey exists while the index needs no clearing.
	restKey  = "gateway:dedup:rest"
	leaseKey = "gateway:dedup:lease"
)

// incident is what signals of one fingerprint and place share: the fingerprint
// alone may be that of signals from several namespaces, since its parts are not
// escaped.
type incident struct {
	// fingerprint has a fixed length, so what follows it in keys is unambiguous.
	fingerprint string
	// place is as in Objects.Place.
	place string
}

func (i incident) record() string { return recordPrefix + i.fingerprint }
func (i incident) key() string    { return incidentPrefix + i.fingerprint + ":" + i.place }
func (i incident) lock() string   { return lockPrefix + i.fingerprint + ":" + i.place }
func parseIncident(key string) (i incident) {
	i.fingerprint, i.place, _ = strings.Cut(strings.TrimPrefix(key, incidentPrefix), ":")
	return i
}

// index is what Redis holds for deduplication. For each incident, under key, that
// is either "=namespace/name" of the object that stands for it, or, while one is
// being made, "?time:name" with the name that is reserved for it; the record; and
// the lock of whoever is deciding. Neither objects nor reservations expire: while
// the marker exists, an incident without either has no object in progress.
type index struct {
	client   redis.UniversalClient
	ttl      time.Duration
	observer Observer
}

// certainty is how a claim came about, see begin.lua.
type certainty string

const (
	certain certainty = "new"
	unsure  certainty = "unsure"
	left    certainty = "left"
)

// begun is the answer of begin: an object, or the name reserved for the caller, or
// neither while somebody else holds the lock.
type begun struct {
	object    types.NamespacedName
	name      string
	certainty certainty
}

func (x *index) begin(ctx context.Context, i incident, token, proposedName string) (begun, error) {
	defer x.observe(opCheck, time.Now())
	answer, err := beginScript.Run(ctx, x.client, []string{i.key(), i.lock(), markerKey}, token, proposedName, lockLease.Milliseconds()).StringSlice()
	if err != nil {
		return begun{}, x.unavailable(opCheck, err)
	}
	switch answer[0] {
	case "object":
		return begun{object: parseRef(answer[1])}, nil
	case "held":
		return begun{}, nil
	}
	return begun{name: answer[1], certainty: certainty(answer[0])}, nil
}

// settle ends the reservation with the token. If that was lost and the incident is
// another object's, that one is returned.
func (x *index) settle(ctx context.Context, i incident, token string, rec record) (other string, err error) {
	defer x.observe(opStore, time.Now())
	args := append([]any{token, pointer(rec.ref), x.ttl.Milliseconds()}, rec.args()...)
	other, err = settleScript.Run(ctx, x.client, []string{i.record(), i.key(), i.lock()}, args...).Text()
	if err != nil {
		return "", x.unavailable(opStore, err)
	}
	return strings.TrimPrefix(other, "="), nil
}

// count writes the record of an incident that is the object's.
func (x *index) count(ctx context.Context, i incident, rec record) error {
	args := append([]any{pointer(rec.ref), x.ttl.Milliseconds()}, rec.args()...)
	return x.store(ctx, countScript, []string{i.record(), i.key()}, args...)
}

// touch counts an occurrence in the record of the object or, if ref is zero, of the
// signal's namespace. It returns nil if there is none.
func (x *index) touch(ctx context.Context, i incident, sig *signal.Signal, ref types.NamespacedName) (*record, error) {
	defer x.observe(opStore, time.Now())
	field, value := "remediationRequestRef", ref.String()
	if ref.Name == "" {
		field, value = "namespace", sig.Namespace
	}
	values, err := touchScript.Run(ctx, x.client, []string{i.record()},
		sig.ReceivedTime.UTC().Format(time.RFC3339), x.ttl.Milliseconds(), field, value).Slice()
	if err != nil {
		return nil, x.unavailable(opStore, err)
	}
	if len(values) == 0 {
		return nil, nil
	}
	rec := parseRecord(values)
	return &rec, nil
}

// forget takes the incident from one object, and gives it to another unless that
// is zero.
func (x *index) forget(ctx context.Context, i incident, ref, instead types.NamespacedName) error {
	to := ""
	if instead.Name != "" {
		to = instead.String()
	}
	return x.store(ctx, forgetScript, []string{i.record(), i.key()}, ref.String(), to)
}

func (x *index) release(ctx context.Context, i incident, token string, discard bool) error {
	what := ""
	if discard {
		what = "discard"
	}
	return x.store(ctx, releaseScript, []string{i.key(), i.lock()}, token, what)
}

// entry says that an object stands for an incident.
type entry struct {
	incident incident
	object   types.NamespacedName
}

// conflict is an entry that was not made as the incident is another object's.
type conflict struct {
	position int // of the entry, counted from 0
	object   types.NamespacedName
}

// register makes entries, which are of one object, and their records.
func (x *index) register(ctx context.Context, entries []entry, records []record) ([]conflict, error) {
	defer x.observe(opStore, time.Now())
	keys := make([]string, 0, 2*len(entries))
	args := make([]any, 0, 3+recordArgs*len(entries))
	args = append(args, pointer(entries[0].object), x.ttl.Milliseconds(), recordArgs)
	for n, e := range entries {
		keys = append(keys, e.incident.record(), e.incident.key())
		args = append(args, records[n].args()...)
	}
	others, err := registerScript.Run(ctx, x.client, keys, args...).Slice()
	if err != nil {
		return nil, x.unavailable(opStore, err)
	}
	return parseConflicts(others), nil
}

func parseConflicts(values []any) []conflict {
	var conflicts []conflict
	for n := 0; n+1 < len(values); n += 2 {
		position, _ := values[n].(int64)
		object, _ := values[n+1].(string)
		conflicts = append(conflicts, conflict{int(position) - 1, parseRef(strings.TrimPrefix(object, "="))})
	}
	return conflicts
}

// pointer is the value of an incident that is an object's.
func pointer(ref types.NamespacedName) string { return "=" + ref.String() }

// reservedAt returns when an incident's value became a reservation, by the server's
// clock, in milliseconds; false if it is none.
func reservedAt(value string) (int64, bool) {
	text, ok := strings.CutPrefix(value, "?")
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(text, ":")
	at, err := strconv.ParseInt(digits, 10, 64)
	return at, err == nil
}

func (x *index) store(ctx context.Context, script *redis.Script, keys []string, args ...any) error {
	defer x.observe(opStore, time.Now())
	if err := script.Run(ctx, x.client, keys, args...).Err(); err != nil {
		return x.unavailable(opStore, err)
	}
	return nil
}

func (x *index) observe(operation string, start time.Time) {
	x.observer.RedisOperation(operation, time.Since(start))
}

func (x *index) unavailable(operation string, err error) error {
	x.observer.RedisOperationFailed(operation)
	return &redisclient.UnavailableError{Op: operation, Err: err}
}
