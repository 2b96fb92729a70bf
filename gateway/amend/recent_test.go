package amend

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
)

func mustAmend(t *testing.T, a *Amender, change Change) {
	t.Helper()
	if _, err := a.Amend(t.Context(), hot, change); err != nil {
		t.Fatal(err)
	}
	a.Close() // it remembers the object once nothing more is to be done
}

// A change needs no read if this process has stored the object last.
func TestChangesOneAfterTheOtherReadOnce(t *testing.T) {
	c := newCluster(hot)
	a := New(c)
	for range 5 {
		mustAmend(t, a, increment)
	}
	if got := c.count(hot); got != 5 || c.gets != 1 || c.updates != 5 {
		t.Errorf("the object counts %d after %d gets and %d updates", got, c.gets, c.updates)
	}
}

// An object that others change too is read again, and for a while each time, since an
// update of an old version is made in vain.
func TestObjectsThatOthersChangeAreRead(t *testing.T) {
	c := newCluster(hot)
	a := New(c)
	tries := 0
	count := func(o *v1alpha1.RemediationRequest) error {
		tries++
		return increment(o)
	}
	const rounds = 200
	for range rounds {
		mustAmend(t, a, count)
		c.edit(hot, func(o *v1alpha1.RemediationRequest) { o.Status.OverallPhase += "x" })
	}
	if got := c.count(hot); got != rounds {
		t.Errorf("the object counts %d", got)
	}
	if got := len(c.objects[hot].Status.OverallPhase); got != rounds {
		t.Errorf("%d changes of others are left", got)
	}
	if inVain := tries - rounds; inVain < 1 || inVain > 10 {
		t.Errorf("%d updates were made in vain", inVain)
	}
	// When they leave it alone, it is remembered again.
	for range 2 * maxSkip {
		mustAmend(t, a, increment)
	}
	before := c.gets
	mustAmend(t, a, increment)
	if c.gets != before {
		t.Error("it is still read")
	}
}

// A change that an old version would refuse or admit is decided by the present one.
func TestOldVersionsDecideNothing(t *testing.T) {
	c := newCluster(hot)
	a := New(c)
	mustAmend(t, a, increment)
	c.edit(hot, func(o *v1alpha1.RemediationRequest) { o.Status.OverallPhase = v1alpha1.PhaseCompleted })
	_, err := a.Amend(t.Context(), hot, func(o *v1alpha1.RemediationRequest) error {
		if !o.InProgress() {
			return errRefused
		}
		return increment(o)
	})
	if err != errRefused || c.count(hot) != 1 {
		t.Errorf("error %v, the object counts %d", err, c.count(hot))
	}
	mustAmend(t, a, func(o *v1alpha1.RemediationRequest) error {
		if o.InProgress() {
			return errRefused
		}
		return increment(o)
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	object := func(n, payload int) *v1alpha1.RemediationRequest {
		return &v1alpha1.RemediationRequest{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("o-", n)}, Spec: v1alpha1.RemediationRequestSpec{OriginalPayload: make([]byte, payload)},
		}
	}
	var r recent
	for n := range 3 * maxRecent {
		r.put(types.NamespacedName{Name: fmt.Sprint(n)}, object(n, 10))
	}
	if len(r.entries) != maxRecent {
		t.Errorf("%d objects are remembered", len(r.entries))
	}
	for n := range 50 {
		r.put(types.NamespacedName{Name: fmt.Sprint("large", n)}, object(n, 1<<20))
	}
	if r.bytes > maxRecentBytes || len(r.entries) < 10 {
		t.Errorf("%d objects of %d bytes are remembered", len(r.entries), r.bytes)
	}
	r.put(types.NamespacedName{Name: "too large"}, object(0, maxRecentBytes))
	if r.bytes > maxRecentBytes || r.take(types.NamespacedName{Name: "too large"}) != nil {
		t.Errorf("%d bytes are remembered", r.bytes)
	}
	sum := 0
	for ref := range r.entries {
		if o := r.take(ref); o != nil {
			sum++
		}
	}
	if r.bytes != 0 {
		t.Errorf("%d bytes are left of none, after %d objects", r.bytes, sum)
	}
}
