package boot

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"stormgate.internal/tools/cluster/api"
)

// leasePolicy keeps tests, which may label their namespaces, from lifting the Pod Security
// level that the fixture sets there, and from leaving a namespace that can't be deleted.
const leasePolicy = api.LeaseNamespace

// podSecurityLabels begin with this; see k8s.io/pod-security-admission/api.
const podSecurityLabels = "pod-security.kubernetes.io/"

// makeLeasePolicy makes the policy and its binding.
func makeLeasePolicy(ctx context.Context, client kubernetes.Interface) error {
	// Whatever one of the two has, the other has as well and with the same value.
	keeps := func(one, other string) string {
		return fmt.Sprintf(`!has(%[1]s.metadata.labels) || %[1]s.metadata.labels.all(k, !k.startsWith(%[3]q) || (has(%[2]s.metadata.labels) && k in %[2]s.metadata.labels && %[2]s.metadata.labels[k] == %[1]s.metadata.labels[k]))`,
			one, other, podSecurityLabels)
	}
	const labels = "a test may not change the labels " + podSecurityLabels + "* of a namespace: pods that need more belong into the environment's manifests"
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: leasePolicy},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"namespaces", "namespaces/status"}},
			}}}},
			MatchConditions: []admissionv1.MatchCondition{{Name: "lease", Expression: fmt.Sprintf("%q in request.userInfo.groups", leaseGroup)}},
			Validations: []admissionv1.Validation{
				{Expression: keeps("object", "oldObject"), Message: labels},
				{Expression: keeps("oldObject", "object"), Message: labels},
				{
					Expression: "!has(object.metadata.finalizers) || has(oldObject.metadata.finalizers) && object.metadata.finalizers.all(f, f in oldObject.metadata.finalizers)",
					Message:    "a test may not give a namespace finalizers: it would be left when the test is over",
				},
			},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: leasePolicy},
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: leasePolicy, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}
	admission := client.AdmissionregistrationV1()
	if err := create(ctx, "admission policy "+leasePolicy, policy, admission.ValidatingAdmissionPolicies().Create); err != nil {
		return err
	}
	return create(ctx, "binding of admission policy "+leasePolicy, binding, admission.ValidatingAdmissionPolicyBindings().Create)
}
