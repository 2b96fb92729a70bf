package kubernetes

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
)

// An API server that breaks connections costs a sender one more try of a read,
// and none of a write, which may have happened; and what failed can be told.
func TestBrokenConnections(t *testing.T) {
	key := client.ObjectKey{Namespace: "shop", Name: "x"}
	for _, c := range []struct {
		name  string
		reset bool
		want  error
	}{
		{"closed", false, io.EOF},
		{"reset", true, syscall.ECONNRESET},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int64
			api := connect(t, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					t.Error(err)
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				if c.reset {
					if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
						t.Error(err)
					}
				}
				conn.Close()
			})
			for name, request := range map[string]struct {
				do    func() error
				tries int64
			}{
				"read": {func() error { return api.Client.Get(t.Context(), key, &v1alpha1.RemediationRequest{}) }, 2},
				"write": {func() error {
					return api.Client.Create(t.Context(), &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "x"}})
				}, 1},
			} {
				asked.Store(0)
				if err := request.do(); !errors.Is(err, c.want) {
					t.Errorf("%s failed with %v, want %v", name, err, c.want)
				}
				if n := asked.Load(); n != request.tries {
					t.Errorf("%s was tried %d times, want %d", name, n, request.tries)
				}
			}
		})
	}
}

func TestBrokenConnectionIsRepaired(t *testing.T) {
	var asked atomic.Int64
	api := connect(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"RemediationRequest","apiVersion":"remediation.kubernaut.io/v1alpha1","metadata":{"name":"x"}}`)
	})
	var object v1alpha1.RemediationRequest
	if err := api.Client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "x"}, &object); err != nil || object.Name != "x" {
		t.Errorf("got %q, %v", object.Name, err)
	}
}
