package node

import (
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
)

// ends are the resource versions at which namespaces were ended: what has that or an
// earlier one is of what was there before.
type ends struct {
	mu       sync.RWMutex // held for reading while an event is being sent
	versions map[string]uint64
}

func newEnds() *ends { return &ends{versions: map[string]uint64{}} }

// note says that all pods in the namespaces that have this resource version, or an earlier
// one, are gone. It returns when no event about them is on its way any more, so that who
// deletes their events after it deletes the last.
func (e *ends) note(namespaces []string, version uint64) {
	if version == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, namespace := range namespaces {
		e.versions[namespace] = max(e.versions[namespace], version)
	}
}

// send sends an event, unless it is about something that is gone since: then the answer is
// the event as it was given.
func (e *ends) send(event *corev1.Event, send func() (*corev1.Event, error)) (*corev1.Event, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.concerns(event) {
		return event, nil
	}
	return send()
}

// concerns reports whether an event is about something that is gone since. The caller
// holds mu.
func (e *ends) concerns(event *corev1.Event) bool {
	// Resource versions are numbers that grow, see k8s.io/apimachinery/pkg/util/resourceversion.
	version, err := strconv.ParseUint(event.InvolvedObject.ResourceVersion, 10, 64)
	end, ended := e.versions[event.InvolvedObject.Namespace]
	return err == nil && ended && version <= end
}

// livingSink drops events about pods that were ended with all of their namespace: the
// kubelet tells of them when it notices, and whoever watches events in the namespace of
// the same name has nothing to do with those pods any more.
type livingSink struct {
	record.EventSink
	ends *ends
}

func (s livingSink) Create(event *corev1.Event) (*corev1.Event, error) {
	return s.ends.send(event, func() (*corev1.Event, error) { return s.EventSink.Create(event) })
}

func (s livingSink) Update(event *corev1.Event) (*corev1.Event, error) {
	return s.ends.send(event, func() (*corev1.Event, error) { return s.EventSink.Update(event) })
}

func (s livingSink) Patch(event *corev1.Event, data []byte) (*corev1.Event, error) {
	return s.ends.send(event, func() (*corev1.Event, error) { return s.EventSink.Patch(event, data) })
}
