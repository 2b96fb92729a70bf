package v1alpha1

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Exactly three phases end an incident; all others, unknown ones and other
// spellings included, do not.
func TestInProgress(t *testing.T) {
	for phase, want := range map[string]bool{
		"Completed": false, "Failed": false, "Cancelled": false,
		"": true, "Pending": true, "Processing": true, "Paused": true,
		"completed": true, "FAILED": true, "Canceled": true, "Completed ": true,
	} {
		r := &RemediationRequest{Status: RemediationRequestStatus{OverallPhase: phase}}
		if r.InProgress() != want {
			t.Errorf("phase %q: in progress %t, want %t", phase, r.InProgress(), want)
		}
	}
}

func TestSchemeKnowsTheTypes(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"RemediationRequest", "RemediationRequestList"} {
		if !scheme.Recognizes(GroupVersion.WithKind(kind)) {
			t.Errorf("%s is not registered", kind)
		}
	}
}

// The copying methods are generated; a field added since would be shared.
func TestDeepCopySharesNothing(t *testing.T) {
	now := metav1.Now()
	full := &RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "1"}},
		Spec: RemediationRequestSpec{
			AffectedResources: []string{"1"}, SignalLabels: map[string]string{"a": "1"}, SignalAnnotations: map[string]string{"a": "1"},
			ProviderData: []byte("1"), OriginalPayload: []byte("1"), TimeoutConfig: &TimeoutConfig{AIAnalysisTimeout: metav1.Duration{Duration: 1}},
		},
		Status: RemediationRequestStatus{
			StartTime: &now, CompletedAt: &now, RemediationProcessingRef: &corev1.ObjectReference{Name: "1"},
			AIAnalysisRef: &corev1.ObjectReference{Name: "1"}, WorkflowExecutionRef: &corev1.ObjectReference{Name: "1"},
		},
	}
	kept := full.DeepCopyObject().(*RemediationRequest)
	full.Labels["a"] = "2"
	full.Spec.AffectedResources[0] = "2"
	full.Spec.SignalLabels["a"], full.Spec.SignalAnnotations["a"] = "2", "2"
	full.Spec.ProviderData[0], full.Spec.OriginalPayload[0] = '2', '2'
	full.Spec.TimeoutConfig.AIAnalysisTimeout.Duration = 2
	full.Status.RemediationProcessingRef.Name, full.Status.AIAnalysisRef.Name, full.Status.WorkflowExecutionRef.Name = "2", "2", "2"
	s := kept.Spec
	if kept.Labels["a"] != "1" || s.AffectedResources[0] != "1" || s.SignalLabels["a"] != "1" || s.SignalAnnotations["a"] != "1" ||
		string(s.ProviderData) != "1" || string(s.OriginalPayload) != "1" || s.TimeoutConfig.AIAnalysisTimeout.Duration != 1 {
		t.Errorf("spec is shared: %+v", s)
	}
	if st := kept.Status; st.RemediationProcessingRef.Name != "1" || st.AIAnalysisRef.Name != "1" || st.WorkflowExecutionRef.Name != "1" {
		t.Errorf("status is shared: %+v", st)
	}
}
