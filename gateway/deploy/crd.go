// Package deploy holds the gateway's Kubernetes manifests, which kustomize builds
// from the directories beside this file: base, and one overlay for each place.
package deploy

import _ "embed" // for the definition

// CRD is the custom resource definition of RemediationRequest, as YAML.
//
//go:embed base/crd.yaml
var CRD []byte
