package suite

import (
	"context"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// Steps that many scenarios have in common. Each sends its alerts one after the
// other to Gateway, and fails the spec if an answer is another than the step says.

// BeginIncident sends an alert that begins an incident, and returns the name of its
// RemediationRequest.
func BeginIncident(ctx context.Context, alert Alert) string {
	ginkgo.GinkgoHelper()
	reply := Gateway().SendPrometheus(ctx, alert)
	gomega.Expect(reply).To(BeCreatedFor(alert))
	return reply.RemediationRequestName
}

// BeginNextIncident sends an alert whose last incident is over. The alert begins an
// incident of its own, with another RemediationRequest than the last one's, and the
// name of that is returned.
func BeginNextIncident(ctx context.Context, alert Alert, last string) string {
	ginkgo.GinkgoHelper()
	next := BeginIncident(ctx, alert)
	gomega.Expect(next).NotTo(gomega.Equal(last))
	return next
}

// Buffer sends alerts of a storm that are too few to open its window.
func Buffer(ctx context.Context, alerts ...Alert) {
	ginkgo.GinkgoHelper()
	for _, alert := range alerts {
		gomega.Expect(Gateway().SendPrometheus(ctx, alert)).To(BeBuffered(alert))
	}
}

// OpenStorm sends alerts of a storm. The last one opens its window, and all others
// are buffered until then. It returns the answer to the last one.
func OpenStorm(ctx context.Context, alerts ...Alert) Reply {
	ginkgo.GinkgoHelper()
	opener := alerts[len(alerts)-1]
	Buffer(ctx, alerts[:len(alerts)-1]...)
	opened := Gateway().SendPrometheus(ctx, opener)
	gomega.Expect(opened).To(BeStormOpenedBy(opener))
	return opened
}

// JoinStorm sends alerts that the storm's open window takes.
func JoinStorm(ctx context.Context, windowID string, alerts ...Alert) {
	ginkgo.GinkgoHelper()
	for _, alert := range alerts {
		gomega.Expect(Gateway().SendPrometheus(ctx, alert)).To(BeAddedTo(windowID, alert))
	}
}
