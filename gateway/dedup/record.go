package dedup

import (
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/signal"
)

// record is what Redis tells of a recent incident. It answers while the object
// can't be reached; what stands for the incident is not decided by it.
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
