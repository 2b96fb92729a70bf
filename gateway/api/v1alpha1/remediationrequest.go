package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Phases of a RemediationRequest in which it is finished. Every other value of
// status.overallPhase, the empty and unknown ones included, means that the
// incident is still being worked on. The comparison is case-sensitive.
const (
	PhaseCompleted = "Completed"
	PhaseFailed    = "Failed"
	PhaseCancelled = "Cancelled"
)

// RemediationRequestSpec says what happened and where. It is written by the
// gateway; only spec.deduplication changes afterwards.
type RemediationRequestSpec struct {
	// SignalFingerprint identifies the incident: lower-case hex of a SHA-256,
	// 64 characters. Immutable.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^[a-f0-9]{64}$"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="signalFingerprint is immutable"
	SignalFingerprint string `json:"signalFingerprint"`

	// SignalName is the alert's name or the event's reason.
	// +kubebuilder:validation:MaxLength=253
	SignalName string `json:"signalName"`

	// Severity is critical, warning or info.
	// +kubebuilder:validation:Enum=critical;warning;info
	Severity string `json:"severity"`

	// Environment is the kind of place the signal came from, such as production.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Environment string `json:"environment"`

	// Priority is P0 (most urgent) to P3.
	// +kubebuilder:validation:Enum=P0;P1;P2;P3
	// +kubebuilder:validation:Pattern="^P[0-3]$"
	Priority string `json:"priority"`

	// SignalType is the kind of signal, such as prometheus-alert.
	SignalType string `json:"signalType"`

	// SignalSource is the system that sent the signal, such as prometheus.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	SignalSource string `json:"signalSource,omitempty"`

	// TargetType is the platform of the affected resource. The gateway writes kubernetes.
	// +kubebuilder:validation:Enum=kubernetes;aws;azure;gcp;datadog
	TargetType string `json:"targetType"`

	// FiringTime is when the incident began, or receivedTime when the sender did not say.
	FiringTime metav1.Time `json:"firingTime"`

	// ReceivedTime is when the gateway received the first signal.
	ReceivedTime metav1.Time `json:"receivedTime"`

	// Deduplication counts the signals that this object stands for.
	Deduplication DeduplicationInfo `json:"deduplication"`

	// IsStorm is true when the object stands for many resources at once.
	// +optional
	IsStorm bool `json:"isStorm,omitempty"`

	// StormType is rate or pattern, when isStorm.
	// +optional
	StormType string `json:"stormType,omitempty"`

	// StormWindow is the time over which the storm was detected: 1m (rate) or 2m (pattern).
	// +optional
	StormWindow string `json:"stormWindow,omitempty"`

	// StormAlertCount is the number of distinct resources in the storm.
	// +optional
	StormAlertCount int `json:"stormAlertCount,omitempty"`

	// AffectedResources are the resources of a storm as namespace:Kind:name, or
	// Kind:name for cluster-scoped ones.
	// +optional
	AffectedResources []string `json:"affectedResources,omitempty"`

	// AffectedFingerprints are the fingerprints of those alerts of a storm whose
	// fingerprint has more in it than the resource, such as a mount point.
	// +optional
	AffectedFingerprints []string `json:"affectedFingerprints,omitempty"`

	// SignalLabels are the signal's labels. Values are cut to 63 bytes.
	// +optional
	SignalLabels map[string]string `json:"signalLabels,omitempty"`

	// SignalAnnotations are the signal's annotations. Values are cut to 262000 bytes.
	// +optional
	SignalAnnotations map[string]string `json:"signalAnnotations,omitempty"`

	// ProviderData is JSON that locates the affected resource on its platform.
	// +optional
	ProviderData []byte `json:"providerData,omitempty"`

	// OriginalPayload is the request body as it was received.
	// +optional
	OriginalPayload []byte `json:"originalPayload,omitempty"`

	// TimeoutConfig overrides the controllers' timeouts. Not set by the gateway.
	// +optional
	TimeoutConfig *TimeoutConfig `json:"timeoutConfig,omitempty"`
}

// DeduplicationInfo counts the signals that one object stands for.
type DeduplicationInfo struct {
	// IsDuplicate is always false: duplicates have no object of their own.
	IsDuplicate bool `json:"isDuplicate"`

	// FirstSeen is when the first signal was received.
	FirstSeen metav1.Time `json:"firstSeen"`

	// LastSeen is when the latest signal was received.
	LastSeen metav1.Time `json:"lastSeen"`

	// OccurrenceCount is the number of signals received, the first included.
	OccurrenceCount int `json:"occurrenceCount"`

	// PreviousRemediationRequestRef names an earlier object of the same incident.
	// Not set by the gateway.
	// +optional
	PreviousRemediationRequestRef string `json:"previousRemediationRequestRef,omitempty"`
}

// TimeoutConfig overrides the timeouts of the remediation's steps. An absent
// value leaves the controllers' default.
type TimeoutConfig struct {
	// RemediationProcessingTimeout limits the enrichment of the signal.
	// +optional
	RemediationProcessingTimeout metav1.Duration `json:"remediationProcessingTimeout,omitempty"`

	// AIAnalysisTimeout limits the analysis.
	// +optional
	AIAnalysisTimeout metav1.Duration `json:"aiAnalysisTimeout,omitempty"`

	// WorkflowExecutionTimeout limits the execution of the chosen workflow.
	// +optional
	WorkflowExecutionTimeout metav1.Duration `json:"workflowExecutionTimeout,omitempty"`

	// OverallWorkflowTimeout limits the remediation as a whole.
	// +optional
	OverallWorkflowTimeout metav1.Duration `json:"overallWorkflowTimeout,omitempty"`
}

// RemediationRequestStatus says how far the remediation is. It belongs to the
// controllers; the gateway reads overallPhase and writes nothing.
type RemediationRequestStatus struct {
	// OverallPhase is the phase of the whole remediation. Completed, Failed and
	// Cancelled are terminal; anything else is in progress.
	// +optional
	OverallPhase string `json:"overallPhase,omitempty"`

	// StartTime is when a controller took the request up.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// CompletedAt is when a terminal phase was reached.
	// +optional
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`

	// RemediationProcessingRef names the object that enriches the signal.
	// +optional
	RemediationProcessingRef *corev1.ObjectReference `json:"remediationProcessingRef,omitempty"`

	// AIAnalysisRef names the object that analyses the signal.
	// +optional
	AIAnalysisRef *corev1.ObjectReference `json:"aiAnalysisRef,omitempty"`

	// WorkflowExecutionRef names the object that executes the workflow.
	// +optional
	WorkflowExecutionRef *corev1.ObjectReference `json:"workflowExecutionRef,omitempty"`

	// ApprovalNotificationSent is true once people were asked for approval.
	// +optional
	ApprovalNotificationSent bool `json:"approvalNotificationSent,omitempty"`
}

// RemediationRequest is one incident, made by the gateway from the first signal
// of a fingerprint and worked on by the remediation controllers.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced
type RemediationRequest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   RemediationRequestSpec   `json:"spec,omitempty"`
	Status RemediationRequestStatus `json:"status,omitempty"`
}

// InProgress reports whether the incident is still being worked on, which is so
// in every phase but Completed, Failed and Cancelled.
func (r *RemediationRequest) InProgress() bool {
	switch r.Status.OverallPhase {
	case PhaseCompleted, PhaseFailed, PhaseCancelled:
		return false
	}
	return true
}

// RemediationRequestList is a list of RemediationRequests.
//
// +kubebuilder:object:root=true
type RemediationRequestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []RemediationRequest `json:"items"`
}
