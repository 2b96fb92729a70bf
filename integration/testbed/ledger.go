package testbed

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"stormgate.internal/gateway/api/v1alpha1"
)

// Ledger notes which alerts were sent and how they were answered, and checks whether a
// cluster's objects agree. Its methods may be called concurrently.
type Ledger struct {
	mu      sync.Mutex
	entries map[Fingerprint]*entry
}

type entry struct {
	alert Alert
	// sent counts all, accepted those answered 2xx, created those answered 201.
	sent, accepted, created int
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger { return &Ledger{entries: make(map[Fingerprint]*entry)} }

// Sent notes that an alert is about to be sent.
func (l *Ledger) Sent(alert Alert) {
	l.note(alert, func(e *entry) { e.sent++ })
}

// Answered notes the status of the answer about an alert.
func (l *Ledger) Answered(alert Alert, code int) {
	l.note(alert, func(e *entry) {
		if code >= 200 && code < 300 {
			e.accepted++
		}
		if code == 201 {
			e.created++
		}
	})
}

func (l *Ledger) note(alert Alert, change func(*entry)) {
	fingerprint := alert.Fingerprint()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[fingerprint]
	if e == nil {
		e = &entry{alert: alert}
		l.entries[fingerprint] = e
	}
	change(e)
}

// Incidents returns how many different alerts were sent.
func (l *Ledger) Incidents() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// Accepted returns how many answers were 2xx.
func (l *Ledger) Accepted() int { return l.sum(func(e *entry) int { return e.accepted }) }

// Tries returns how many alerts were sent.
func (l *Ledger) Tries() int { return l.sum(func(e *entry) int { return e.sent }) }

func (l *Ledger) sum(of func(*entry) int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := 0
	for _, e := range l.entries {
		sum += of(e)
	}
	return sum
}

// Findings are the disagreements between what was answered and what exists, each
// a sentence.
type Findings struct {
	// Lost are alerts that were accepted and are in no object.
	Lost []string
	// Duplicated are incidents with more than one object in progress.
	Duplicated []string
	// Miscounted are objects whose occurrenceCount is below the number of accepted
	// alerts or above the number of sent ones. Storms, and what was buffered for
	// one, do not count occurrences of their members.
	Miscounted []string
	// Unknown are objects or members for which no alert was sent.
	Unknown []string
	// Inconsistent are storm objects whose fields contradict each other.
	Inconsistent []string
}

// Err joins the findings, at most ten of each kind; nil if there are none.
func (f *Findings) Err() error {
	var errs []error
	for _, kind := range []struct {
		name  string
		found []string
	}{
		{"lost", f.Lost}, {"duplicated", f.Duplicated}, {"miscounted", f.Miscounted}, {"unknown", f.Unknown}, {"inconsistent", f.Inconsistent},
	} {
		if n := len(kind.found); n > 0 {
			errs = append(errs, fmt.Errorf("%d %s: %s", n, kind.name, strings.Join(kind.found[:min(n, 10)], "; ")))
		}
	}
	return errors.Join(errs...)
}

// Check compares with the objects, which must be all that the alerts may have
// made.
func (l *Ledger) Check(objects []v1alpha1.RemediationRequest) *Findings {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &Findings{}
	found := make(map[Fingerprint][]*v1alpha1.RemediationRequest, len(l.entries))
	for i := range objects {
		object := &objects[i]
		for _, fingerprint := range f.members(object) {
			found[fingerprint] = append(found[fingerprint], object)
			if l.entries[fingerprint] == nil {
				f.Unknown = append(f.Unknown, fmt.Sprintf("%s/%s stands for %s (%s)", object.Namespace, object.Name, fingerprint, object.Spec.SignalName))
			}
		}
	}
	for fingerprint, e := range l.entries {
		f.checkIncident(e, found[fingerprint])
	}
	for _, kind := range []*[]string{&f.Lost, &f.Duplicated, &f.Miscounted, &f.Unknown, &f.Inconsistent} {
		slices.Sort(*kind)
	}
	return f
}

func (f *Findings) checkIncident(e *entry, objects []*v1alpha1.RemediationRequest) {
	name := fmt.Sprintf("%s of %s (%d sent, %d accepted, %d created)", e.alert.Name, e.alert.ResourceID(), e.sent, e.accepted, e.created)
	if len(objects) == 0 {
		if e.accepted > 0 {
			f.Lost = append(f.Lost, name)
		}
		return
	}
	var live []string
	count, counted := 0, true
	for _, object := range objects {
		if object.InProgress() {
			live = append(live, object.Name)
		}
		count += object.Spec.Deduplication.OccurrenceCount
		counted = counted && !object.Spec.IsStorm && object.Labels["kubernaut.io/buffered"] != "true"
	}
	if len(live) > 1 {
		f.Duplicated = append(f.Duplicated, fmt.Sprintf("%s: %s", name, strings.Join(live, ", ")))
	}
	if counted && (count < e.accepted || count > e.sent) {
		f.Miscounted = append(f.Miscounted, fmt.Sprintf("%s: occurrenceCount %d", name, count))
	}
}

// members returns the fingerprints that an object stands for.
func (f *Findings) members(object *v1alpha1.RemediationRequest) []Fingerprint {
	var own Fingerprint
	if n, err := hex.Decode(own[:], []byte(object.Spec.SignalFingerprint)); n != len(own) || err != nil {
		f.Inconsistent = append(f.Inconsistent, fmt.Sprintf("%s/%s has the fingerprint %q", object.Namespace, object.Name, object.Spec.SignalFingerprint))
	}
	resources := object.Spec.AffectedResources
	if len(resources) == 0 {
		return []Fingerprint{own}
	}
	members := make([]Fingerprint, len(resources))
	for i, id := range resources {
		members[i] = memberFingerprint(object.Spec.SignalName, id)
	}
	if !slices.Contains(members, own) {
		f.Inconsistent = append(f.Inconsistent, fmt.Sprintf("%s/%s does not have its own resource among those affected", object.Namespace, object.Name))
	}
	if distinct := len(slices.Compact(slices.Sorted(slices.Values(resources)))); distinct != len(resources) || object.Spec.StormAlertCount != distinct {
		f.Inconsistent = append(f.Inconsistent, fmt.Sprintf("%s/%s has stormAlertCount %d, %d resources, %d of them distinct",
			object.Namespace, object.Name, object.Spec.StormAlertCount, len(resources), distinct))
	}
	return members
}
