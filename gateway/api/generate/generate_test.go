package generate_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"stormgate.internal/gateway/api/generate"
	"stormgate.internal/gateway/deploy"
)

func TestMain(m *testing.M) {
	generate.ServeDriver()
	os.Exit(m.Run())
}

// The committed definition is that of the types as they are now.
func TestDefinitionIsUpToDate(t *testing.T) {
	got, err := generate.CRD()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(deploy.CRD), string(got)); diff != "" {
		t.Errorf("gateway/deploy/base/crd.yaml is not up to date; run go run ./gateway/api/cmd/generate (-committed +generated):\n%s", diff)
	}
}

func TestDefinitionKeepsTheContract(t *testing.T) {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(deploy.CRD, &crd); err != nil {
		t.Fatal(err)
	}
	wantNames := apiextensionsv1.CustomResourceDefinitionNames{
		Kind: "RemediationRequest", ListKind: "RemediationRequestList", Plural: "remediationrequests", Singular: "remediationrequest",
	}
	if diff := cmp.Diff(wantNames, crd.Spec.Names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if crd.Name != "remediationrequests.remediation.kubernaut.io" || crd.Spec.Group != "remediation.kubernaut.io" || crd.Spec.Scope != apiextensionsv1.NamespaceScoped || len(crd.Spec.Versions) != 1 {
		t.Fatalf("definition %+v", crd.Spec)
	}
	version := crd.Spec.Versions[0]
	if version.Name != "v1alpha1" || !version.Served || !version.Storage || version.Subresources.Status == nil || len(version.AdditionalPrinterColumns) != 0 {
		t.Errorf("version %+v", version)
	}
	spec := version.Schema.OpenAPIV3Schema.Properties["spec"]
	required := []string{"deduplication", "environment", "firingTime", "priority", "receivedTime", "severity", "signalFingerprint", "signalName", "signalType", "targetType"}
	if diff := cmp.Diff(required, spec.Required); diff != "" {
		t.Errorf("required (-want +got):\n%s", diff)
	}
	length := func(n int64) *int64 { return &n }
	values := func(texts ...string) (list []apiextensionsv1.JSON) {
		for _, text := range texts {
			list = append(list, apiextensionsv1.JSON{Raw: []byte(`"` + text + `"`)})
		}
		return list
	}
	for name, want := range map[string]apiextensionsv1.JSONSchemaProps{
		"signalFingerprint": {Type: "string", MaxLength: length(64), Pattern: "^[a-f0-9]{64}$",
			XValidations: apiextensionsv1.ValidationRules{{Rule: "self == oldSelf", Message: "signalFingerprint is immutable"}}},
		"signalName":           {Type: "string", MaxLength: length(253)},
		"severity":             {Type: "string", Enum: values("critical", "warning", "info")},
		"environment":          {Type: "string", MinLength: length(1), MaxLength: length(63)},
		"priority":             {Type: "string", Enum: values("P0", "P1", "P2", "P3"), Pattern: "^P[0-3]$"},
		"signalType":           {Type: "string"},
		"signalSource":         {Type: "string", MaxLength: length(63)},
		"targetType":           {Type: "string", Enum: values("kubernetes", "aws", "azure", "gcp", "datadog")},
		"firingTime":           {Type: "string", Format: "date-time"},
		"receivedTime":         {Type: "string", Format: "date-time"},
		"isStorm":              {Type: "boolean"},
		"stormType":            {Type: "string"},
		"stormWindow":          {Type: "string"},
		"stormAlertCount":      {Type: "integer"},
		"affectedResources":    {Type: "array", Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &apiextensionsv1.JSONSchemaProps{Type: "string"}}},
		"affectedFingerprints": {Type: "array", Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &apiextensionsv1.JSONSchemaProps{Type: "string"}}},
		"providerData":         {Type: "string", Format: "byte"},
		"originalPayload":      {Type: "string", Format: "byte"},
	} {
		got := spec.Properties[name]
		got.Description = ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("spec.%s (-want +got):\n%s", name, diff)
		}
	}
	deduplication := spec.Properties["deduplication"]
	if diff := cmp.Diff([]string{"firstSeen", "isDuplicate", "lastSeen", "occurrenceCount"}, deduplication.Required); diff != "" {
		t.Errorf("spec.deduplication required (-want +got):\n%s", diff)
	}
	status := version.Schema.OpenAPIV3Schema.Properties["status"]
	if phase := status.Properties["overallPhase"]; phase.Type != "string" || phase.Enum != nil {
		t.Errorf("status.overallPhase %+v", phase)
	}
	for _, name := range []string{"remediationProcessingRef", "aiAnalysisRef", "workflowExecutionRef"} {
		reference := status.Properties[name]
		if reference.XMapType == nil || *reference.XMapType != "atomic" || len(reference.Properties) != 7 {
			t.Errorf("status.%s is no ObjectReference: %+v", name, reference)
		}
	}
}
