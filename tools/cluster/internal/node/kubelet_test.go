package node

import (
	"reflect"
	"testing"
	"time"

	"k8s.io/kubernetes/pkg/kubelet"
	"k8s.io/kubernetes/pkg/kubelet/prober"
)

func kubeletWith(manager prober.Manager) *kubelet.Kubelet {
	k := &kubelet.Kubelet{}
	field := reflect.ValueOf(k).Elem().FieldByName("probeManager")
	reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().Set(reflect.ValueOf(manager))
	return k
}

// Promise: the field that probeAtOnce sets is where it looks for it, in the
// version of the kubelet that is built in.
func TestProberStart(t *testing.T) {
	k := kubeletWith(prober.NewManager(nil, nil, nil, nil, nil, nil))
	start, err := proberStart(k)
	if err != nil {
		t.Fatal(err)
	}
	if start.IsZero() {
		t.Fatal("a new probe manager has not started")
	}
	*start = time.Time{}
	if again, err := proberStart(k); err != nil || !again.IsZero() {
		t.Errorf("start = %v, %v, want what was set", again, err)
	}
}

// A kubelet that is built otherwise is an error, and no panic.
func TestProberStartOfAnother(t *testing.T) {
	for name, k := range map[string]*kubelet.Kubelet{
		"without a manager": {},
		"with another one":  kubeletWith(struct{ prober.Manager }{}),
	} {
		if _, err := proberStart(k); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
