package dedup

import (
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/signal"
)

// Redis holds three things for an incident: under its key what stands for it, under
// its fingerprint the record, and under its lock the token of the signal that is
// being decided about.
//
// What stands for it is either "=namespace/name" of an object or, while one is being
// made, "?time:name" with the name that is reserved for it. Neither expires: while
// the marker exists, an incident without either has no object in progress.
const (
	recordPrefix   = "gateway:dedup:fingerprint:" // by contract
	incidentPrefix = "gateway:dedup:incident:"
	lockPrefix     = "gateway:dedup:lock:"
	// In a Redis Cluster there is one of each of the following keys in each partition, with
	// the partition's tag at its end. They are about the incidents of the partition.

	// markerKey exists while every object in progress is in the index. Its value is
	// the identity of the data, see server.lua.
	markerKey = "gateway:dedup:complete"
	// restKey exists while the index needs no clearing.
	restKey = "gateway:dedup:rest"
	// turnKey holds the token of the replica whose turn it is to care for the index.
	turnKey = "gateway:dedup:turn"
)

const (
	// lockTime is how long a lock outlives the process that holds it. Its end makes no
	// second object, since the reservation outlives it. But a storm's object may get the
	// signal from one holder, and the next storm's object from another.
	lockTime = 5 * time.Second
	// renewInterval is how often the locks of claims are prolonged, and renewTime how long that
	// may take. The next round still comes in time then.
	renewInterval = lockTime / 5
	renewTime     = lockTime / 2
	// turnTime is how long the others wait for a replica that died in its turn. It
	// must exceed the time to read a page of objects.
	turnTime = 15 * time.Second
)

// incident is what signals of one fingerprint and place share. The fingerprint alone
// may be that of signals from several namespaces, since its parts are not escaped.
type incident struct {
	// fingerprint has a fixed length, so what follows it in keys is unambiguous.
	fingerprint string
	// place is as in Objects.Place.
	place string
	// partition is where its keys are. It depends on the fingerprint only.
	partition redisclient.Partition
}

func (i incident) record() string { return recordPrefix + i.partition.Prefix() + i.fingerprint }
func (i incident) key() string {
	return incidentPrefix + i.partition.Prefix() + i.fingerprint + ":" + i.place
}
func (i incident) lock() string {
	return lockPrefix + i.partition.Prefix() + i.fingerprint + ":" + i.place
}

// parseIncident is the reverse of key. A fingerprint has no brace.
func parseIncident(key string) (i incident) {
	text := strings.TrimPrefix(key, incidentPrefix)
	if tag, rest, ok := strings.Cut(text, ":"); ok && strings.HasPrefix(tag, "{") {
		i.partition, text = redisclient.Partition(tag), rest
	}
	i.fingerprint, i.place, _ = strings.Cut(text, ":")
	return i
}

// pointer is the value of an incident that is an object's.
func pointer(ref types.NamespacedName) string { return "=" + ref.String() }

// pointee returns the object that has an incident with the value; false if none has.
func pointee(value string) (types.NamespacedName, bool) {
	text, ok := strings.CutPrefix(value, "=")
	return parseRef(text), ok
}

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

// record describes a recent incident. It answers while the object can't be reached.
// It does not decide what stands for the incident.
type record struct {
	fingerprint, alertName, namespace, resource string
	firstSeen, lastSeen                         time.Time
	count                                       int
	ref                                         types.NamespacedName
}

func recordOf(sig *signal.Signal, object *v1alpha1.RemediationRequest, count int) record {
	return record{
		fingerprint: sig.Fingerprint, alertName: sig.Name, namespace: sig.Namespace, resource: sig.Resource.Name,
		firstSeen: object.Spec.Deduplication.FirstSeen.Time,
		lastSeen:  object.Spec.Deduplication.LastSeen.Time,
		count:     count,
		ref:       refOf(object),
	}
}

// recordArgs is the length of args.
const recordArgs = 16

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
		ref: parseRef(fields["remediationRequestRef"]),
	}
	r.firstSeen, _ = time.Parse(time.RFC3339, fields["firstSeen"])
	r.lastSeen, _ = time.Parse(time.RFC3339, fields["lastSeen"])
	r.count, _ = strconv.Atoi(fields["count"])
	return r
}

func refOf(object *v1alpha1.RemediationRequest) types.NamespacedName {
	return types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
}

func parseRef(text string) (ref types.NamespacedName) {
	ref.Namespace, ref.Name, _ = strings.Cut(text, "/")
	return ref
}
