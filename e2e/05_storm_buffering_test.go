package e2e_test

import (
	"net/http"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 05: the buffer of a storm. Alerts wait until there are five of them. The
// five become one RemediationRequest with the resource of each. Alerts that wait in
// vain are not lost. Tenants share no storm, and a storm of one does not delay
// another's.

// threshold is how many alerts open a storm's window here.
const threshold = 5

var _ = Describe("Alerts of a storm", func() {
	It("wait for the fifth, and become one RemediationRequest with its answer", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		tenant.SetEnvironment(ctx, "production")
		alert := tenant.NewAlert()
		alert.Severity = "critical"
		pods := alert.OnPods(1, threshold)
		pods[0].Annotations = map[string]string{"summary": "The first of many"}

		suite.Buffer(ctx, pods[:threshold-1]...)
		Expect(tenant.Remediations(ctx)).To(BeEmpty())

		filler := pods[threshold-1]
		opened := suite.Gateway().SendPrometheus(ctx, filler)
		Expect(opened).To(suite.BeStormOpenedBy(filler))
		Expect(opened.Environment).To(Equal("production"))
		Expect(opened.Priority).To(Equal("P0"))

		objects := tenant.Remediations(ctx)
		Expect(objects).To(ConsistOf(suite.BeStorm(filler, opened.RemediationRequestName, pods...)))
		storm := objects[0]
		Expect(storm.Spec.Environment).To(Equal("production"))
		Expect(storm.Spec.Priority).To(Equal("P0"))
		Expect(storm.Spec.Deduplication.OccurrenceCount).To(Equal(1))
		Expect(storm.Labels).To(SatisfyAll(
			HaveKeyWithValue("app.kubernetes.io/managed-by", "gateway-service"),
			HaveKeyWithValue("kubernaut.io/environment", "production"),
			HaveKeyWithValue("kubernaut.io/priority", "P0"),
			HaveKeyWithValue("kubernaut.io/severity", "critical"),
		))
		// The first alert describes the storm.
		Expect(storm.Spec.SignalLabels).To(HaveKeyWithValue("pod", pods[0].Pod))
		Expect(storm.Spec.SignalAnnotations).To(HaveKeyWithValue("summary", "The first of many"))
		Expect(string(storm.Spec.OriginalPayload)).To(ContainSubstring("The first of many"))
	})

	It("count as often as they come towards the threshold, and once each as members", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 3)
		sent := []suite.Alert{pods[0], pods[1], pods[0], pods[2], pods[1]}

		opened := suite.OpenStorm(ctx, sent...)

		Expect(tenant.Remediations(ctx)).To(ConsistOf(suite.BeStorm(pods[1], opened.RemediationRequestName, pods...)))
	})
})

var _ = Describe("A storm whose alerts come with short pauses", Label("weight:5"), func() {
	It("is one storm, for longer than its window would stay open without them", func(ctx SpecContext) {
		windows := suite.DeployedWindows()
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 8)
		// 3 s of 5 in the contract. The rest is the margin for an alert to arrive.
		pace := suite.NewPace(windows.Inactivity * 3 / 5)

		for _, pod := range pods[:4] {
			suite.Buffer(ctx, pod)
			pace.Wait(ctx)
		}
		opened := suite.Gateway().SendPrometheus(ctx, pods[4])
		isOpen := time.Now()
		Expect(opened).To(suite.BeStormOpenedBy(pods[4]))
		for _, pod := range pods[5:] {
			pace.Wait(ctx)
			suite.JoinStorm(ctx, opened.WindowID, pod)
		}

		Expect(time.Since(isOpen)).To(BeNumerically(">", windows.Inactivity), "the pauses do not outlast a window that does not slide")
		Expect(tenant.Remediations(ctx)).To(ConsistOf(suite.BeStorm(pods[4], opened.RemediationRequestName, pods...)))
	})
})

var _ = Describe("Storms with a long pause between them", Label("weight:3"), func() {
	It("are two, with nothing in common", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 2*threshold)

		first := suite.OpenStorm(ctx, pods[:threshold]...)
		// 8 s of 5 in the contract.
		suite.Silence(ctx, suite.DeployedWindows().Inactivity*8/5)
		second := suite.OpenStorm(ctx, pods[threshold:]...)

		Expect(second.RemediationRequestName).NotTo(Equal(first.RemediationRequestName))
		Expect(second.WindowID).NotTo(Equal(first.WindowID))
		Expect(tenant.Remediations(ctx)).To(ConsistOf(
			suite.BeStorm(pods[threshold-1], first.RemediationRequestName, pods[:threshold]...),
			suite.BeStorm(pods[2*threshold-1], second.RemediationRequestName, pods[threshold:]...),
		))
	})
})

var _ = Describe("Alerts that wait for others in vain", Label("weight:2"), func() {
	It("get a RemediationRequest each", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 3)

		suite.Buffer(ctx, pods...)
		Expect(tenant.Remediations(ctx)).To(BeEmpty())

		each := ConsistOf(suite.BeFlushed(pods[0]), suite.BeFlushed(pods[1]), suite.BeFlushed(pods[2]))
		Eventually(ctx, tenant.Remediations).Should(each)
		// From then on they are incidents like any other.
		for _, object := range tenant.Remediations(ctx) {
			for _, pod := range pods {
				if object.Spec.SignalFingerprint == pod.Fingerprint() {
					Expect(suite.Gateway().SendPrometheus(ctx, pod)).To(suite.BeDuplicateOf(pod, object.Name, 2))
				}
			}
		}
	})
})

var _ = DescribeTable("Storms of one name in two namespaces are two",
	func(ctx SpecContext, send func(ctx SpecContext, ours, theirs []suite.Alert) (ourReplies, theirReplies []suite.Reply)) {
		tenant, neighbour := suite.NewNamespace(ctx), suite.NewNamespace(ctx)
		ours := tenant.NewAlert().OnPods(1, threshold)
		var theirs []suite.Alert
		for _, alert := range ours {
			theirs = append(theirs, alert.InNamespace(neighbour))
		}

		ourReplies, theirReplies := send(ctx, ours, theirs)

		expectOneStorm(ctx, tenant, ours, ourReplies)
		expectOneStorm(ctx, neighbour, theirs, theirReplies)
	},
	Entry("when their alerts alternate", func(ctx SpecContext, ours, theirs []suite.Alert) (ourReplies, theirReplies []suite.Reply) {
		for i := range ours {
			ourReplies = append(ourReplies, suite.Gateway().SendPrometheus(ctx, ours[i]))
			theirReplies = append(theirReplies, suite.Gateway().SendPrometheus(ctx, theirs[i]))
		}
		return ourReplies, theirReplies
	}),
	// Each gateway gets alerts of both.
	Entry("when they come at once, to two gateways", func(ctx SpecContext, ours, theirs []suite.Alert) (ourReplies, theirReplies []suite.Reply) {
		replies := suite.SendAtOnce(ctx, suite.Replicas(), slices.Concat(ours, theirs)...)
		return replies[:len(ours)], replies[len(ours):]
	}),
)

// expectOneStorm proves what alerts make that are exactly as many as open a storm's
// window. One of them opens it, whichever that is. The namespace has the storm's
// object and no other.
func expectOneStorm(ctx SpecContext, owner *suite.Namespace, alerts []suite.Alert, replies []suite.Reply) {
	GinkgoHelper()
	opened := suite.OnlyReply(replies, http.StatusCreated)
	opener := alerts[slices.IndexFunc(replies, func(r suite.Reply) bool { return r.Code == http.StatusCreated })]
	Expect(opened).To(suite.BeStormOpenedBy(opener))
	for i, reply := range replies {
		if alerts[i].ResourceID() != opener.ResourceID() {
			Expect(reply).To(suite.BeBuffered(alerts[i]))
		}
	}
	Expect(owner.Remediations(ctx)).To(ConsistOf(suite.BeStorm(opener, opened.RemediationRequestName, alerts...)))
}

var _ = Describe("A namespace with as many waiting alerts as it may have", Label("weight:2"), func() {
	It("still loses none, and another namespace does not notice", func(ctx SpecContext) {
		const limit = 20 // the environment's, see its overlay
		tenant, neighbour := suite.NewNamespace(ctx), suite.NewNamespace(ctx)
		var waiting []suite.Alert
		for len(waiting) < limit {
			waiting = append(waiting, tenant.NewAlert().OnPods(1, threshold-1)...)
		}
		Expect(waiting).To(HaveLen(limit))
		for i, reply := range suite.SendAtOnce(ctx, suite.Replicas(), waiting...) {
			Expect(reply).To(suite.BeBuffered(waiting[i]))
		}

		// There is no room for one more to wait, so it is stored at once.
		over := tenant.NewAlert()
		stored := suite.Gateway().SendPrometheus(ctx, over)
		Expect(stored.Code).To(Equal(http.StatusCreated))
		Expect(stored.RemediationRequestName).NotTo(BeEmpty())
		Expect(tenant.Remediation(ctx, stored.RemediationRequestName).Spec.SignalFingerprint).To(Equal(over.Fingerprint()))

		theirs := neighbour.NewAlert().OnPods(1, threshold)
		opened := suite.OpenStorm(ctx, theirs...)
		Expect(neighbour.Remediations(ctx)).To(ConsistOf(suite.BeStorm(theirs[threshold-1], opened.RemediationRequestName, theirs...)))

		var all []string
		for _, alert := range append(waiting, over) {
			all = append(all, alert.ResourceID())
		}
		Eventually(ctx, tenant.AffectedResources).Should(ConsistOf(all))
	})
})
