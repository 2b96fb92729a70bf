package v1alpha1

import "embed"

// Source holds the files that define the resource, for the generator of the
// custom resource definition: it can then run, and be tested, where neither a
// checkout nor the go command is at hand.
//
//go:embed doc.go remediationrequest.go
var Source embed.FS
