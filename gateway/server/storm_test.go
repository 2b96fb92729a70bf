package server

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/pipeline"
	"stormgate.internal/gateway/signal"
	"stormgate.internal/gateway/storm"
)

// What a reply about an alert of a storm has beyond the peer's is additions only.
func TestRepliesAboutStorms(t *testing.T) {
	sig := &signal.Signal{Fingerprint: "f"}
	object := pipeline.Created{Object: types.NamespacedName{Namespace: "shop", Name: "rr-1"}, Environment: "staging", Priority: "P1", Path: "moderate"}
	for name, c := range map[string]struct {
		outcome pipeline.Storm
		want    result
	}{
		"buffered": {
			pipeline.Storm{Kind: storm.Buffered, Type: "rate", Members: 2, Created: pipeline.Created{Environment: "staging"}},
			result{Status: "accepted", Fingerprint: "f", IsStorm: true, StormType: "rate", code: http.StatusAccepted},
		},
		"opened": {
			pipeline.Storm{Kind: storm.Opened, Type: "pattern", WindowID: "A-1", Members: 5, Created: object},
			result{
				Status: "created", Fingerprint: "f", RemediationRequestName: "rr-1", RemediationRequestNamespace: "shop",
				Environment: "staging", Priority: "P1", IsStorm: true, StormType: "pattern", WindowID: "A-1", code: http.StatusCreated,
			},
		},
		"added": {
			pipeline.Storm{Kind: storm.Added, Type: "rate", WindowID: "A-1", Members: 6, Created: object},
			result{Status: "accepted", Fingerprint: "f", IsStorm: true, StormType: "rate", WindowID: "A-1", code: http.StatusAccepted},
		},
		"flushed": {
			pipeline.Storm{Kind: storm.Flushed, Created: object},
			result{
				Status: "created", Fingerprint: "f", RemediationRequestName: "rr-1", RemediationRequestNamespace: "shop",
				Environment: "staging", Priority: "P1", RemediationPath: "moderate", code: http.StatusCreated,
			},
		},
	} {
		got := succeeded(sig, pipeline.Outcome{Storm: &c.outcome})
		if got.Message == "" {
			t.Errorf("%s: no message", name)
		}
		got.Message = ""
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
