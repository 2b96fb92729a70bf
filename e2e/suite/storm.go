package suite

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"github.com/onsi/gomega/types"

	remediationv1alpha1 "stormgate.internal/gateway/api/v1alpha1"
)

// The type and window of every storm in these environments, by the contract: rate is
// the first of the two types that the gateway looks for, and its window is a minute.
const (
	stormType   = "rate"
	stormWindow = "1m"
)

// Labels of RemediationRequests.
const (
	stormLabel       = "kubernaut.io/storm"
	bufferedLabel    = "kubernaut.io/buffered"
	fingerprintLabel = "kubernaut.io/signal-fingerprint"
)

// BeBuffered matches the answer to a storm's alert that waits for enough others
// to open a window: 202, and neither an object nor a window.
func BeBuffered(alert Alert) types.GomegaMatcher {
	return &matcher[Reply]{
		wanted: "202 accepted and buffered for " + alert.OnWhat(),
		check: func(r Reply) differences {
			d := answer(r, Reply{Code: http.StatusAccepted, Status: "accepted", IsStorm: true}, alert)
			d.compare("windowID", r.WindowID, "")
			d.compare("remediationRequestName", r.RemediationRequestName, "")
			return d
		},
	}
}

// BeStormOpenedBy matches the answer to the alert that opens a storm's window:
// 201, with the name of a new RemediationRequest and the window.
func BeStormOpenedBy(alert Alert) types.GomegaMatcher {
	window := regexp.MustCompile("^" + regexp.QuoteMeta(alert.Name) + "-[0-9]+$")
	return &matcher[Reply]{
		wanted: "201 created for the storm that " + alert.OnWhat() + " opens",
		check: func(r Reply) differences {
			d := answer(r, Reply{Code: http.StatusCreated, Status: "created", IsStorm: true}, alert)
			d.match("remediationRequestName", r.RemediationRequestName, nameFor(alert))
			d.match("windowID", r.WindowID, window)
			d.compare("remediationRequestNamespace", r.RemediationRequestNamespace, alert.Namespace)
			d.compare("has environment", r.Environment != "", true)
			d.compare("has priority", r.Priority != "", true)
			return d
		},
	}
}

// BeAddedTo matches the answer to an alert that joins the window: 202.
func BeAddedTo(windowID string, alert Alert) types.GomegaMatcher {
	return &matcher[Reply]{
		wanted: fmt.Sprintf("202 accepted of %s into window %s", alert.OnWhat(), windowID),
		check: func(r Reply) differences {
			d := answer(r, Reply{Code: http.StatusAccepted, Status: "accepted", IsStorm: true}, alert)
			d.compare("windowID", r.WindowID, windowID)
			return d
		},
	}
}

// BeStorm matches the RemediationRequest of that name for a storm that this
// alert has opened, with exactly these members, it among them.
func BeStorm(opener Alert, name string, members ...Alert) types.GomegaMatcher {
	ids := make([]string, 0, len(members))
	for _, member := range members {
		ids = append(ids, member.ResourceID())
	}
	slices.Sort(ids)
	return &matcher[remediationv1alpha1.RemediationRequest]{
		wanted: fmt.Sprintf("storm %s/%s of %s with %d members", opener.Namespace, name, opener.Name, len(ids)),
		check: func(r remediationv1alpha1.RemediationRequest) differences {
			d := incident(r, opener, name)
			d.compare("label "+stormLabel, r.Labels[stormLabel], "true")
			d.compare("isStorm", r.Spec.IsStorm, true)
			d.compare("stormType", r.Spec.StormType, stormType)
			d.compare("stormWindow", r.Spec.StormWindow, stormWindow)
			d.compare("stormAlertCount", r.Spec.StormAlertCount, len(ids))
			d.compare("affectedResources, sorted", slices.Sorted(slices.Values(r.Spec.AffectedResources)), ids)
			return d
		},
	}
}

// BeFlushed matches the RemediationRequest of an alert that waited for others
// and got one of its own, since too few came.
func BeFlushed(alert Alert) types.GomegaMatcher {
	return &matcher[remediationv1alpha1.RemediationRequest]{
		wanted: "individual object of " + alert.OnWhat() + ", which was buffered",
		check: func(r remediationv1alpha1.RemediationRequest) differences {
			d := incident(r, alert, r.Name)
			d.match("name", r.Name, nameFor(alert))
			d.compare("label "+bufferedLabel, r.Labels[bufferedLabel], "true")
			d.compare("label "+stormLabel, r.Labels[stormLabel], "")
			d.compare("isStorm", r.Spec.IsStorm, false)
			d.compare("occurrenceCount", r.Spec.Deduplication.OccurrenceCount, 1)
			return d
		},
	}
}

// incident compares what every new RemediationRequest of an alert has.
func incident(r remediationv1alpha1.RemediationRequest, alert Alert, name string) differences {
	var d differences
	d.compare("name", r.Namespace+"/"+r.Name, alert.Namespace+"/"+name)
	d.compare("fingerprint", r.Spec.SignalFingerprint, alert.Fingerprint())
	d.compare("label "+fingerprintLabel, r.Labels[fingerprintLabel], alert.Fingerprint()[:63])
	d.compare("signalName", r.Spec.SignalName, alert.Name)
	d.compare("severity", r.Spec.Severity, alert.Severity)
	d.compare("overallPhase", r.Status.OverallPhase, "")
	return d
}
