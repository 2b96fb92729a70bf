// Package v1alpha1 holds the RemediationRequest resource: one incident that the
// gateway has accepted and that the remediation controllers work on.
//
// The custom resource definition in gateway/deploy/base/crd.yaml is generated
// from these types; see package generate beside this one.
//
// +kubebuilder:object:generate=true
// +groupName=remediation.kubernaut.io
package v1alpha1
