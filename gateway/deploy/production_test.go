package deploy_test

import (
	"path"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"stormgate.internal/gateway/config"
)

const production = "overlays/production"

// The autoscaler finds the Deployment, whose number of replicas is then its own
// business, and what it goes by: requests of CPU.
func TestProductionScales(t *testing.T) {
	objects := build(t, production)
	deployment := one[appsv1.Deployment](t, objects, "Deployment", "")
	scaler := one[autoscalingv2.HorizontalPodAutoscaler](t, objects, "HorizontalPodAutoscaler", "").Spec
	if ref := scaler.ScaleTargetRef; ref.Kind != "Deployment" || ref.APIVersion != "apps/v1" || ref.Name != deployment.Name {
		t.Errorf("scales %+v", ref)
	}
	if *scaler.MinReplicas < 2 || scaler.MaxReplicas <= *scaler.MinReplicas {
		t.Errorf("%d to %d replicas", *scaler.MinReplicas, scaler.MaxReplicas)
	}
	if deployment.Spec.Replicas != nil {
		t.Errorf("every apply would set %d replicas", *deployment.Spec.Replicas)
	}
	if m := scaler.Metrics; len(m) != 1 || m[0].Resource.Name != corev1.ResourceCPU || deployment.Spec.Template.Spec.Containers[0].Resources.Requests.Cpu().IsZero() {
		t.Errorf("metrics %+v", m)
	}
}

// Drains and rollouts leave enough replicas, on several nodes and zones.
func TestProductionStaysUp(t *testing.T) {
	objects := build(t, production)
	deployment := one[appsv1.Deployment](t, objects, "Deployment", "")
	labels := deployment.Spec.Template.Labels
	selects := func(selector map[string]string) bool {
		for key, value := range selector {
			if labels[key] != value {
				return false
			}
		}
		return len(selector) > 0
	}
	budget := one[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget", "").Spec
	if !selects(budget.Selector.MatchLabels) || budget.MaxUnavailable.IntValue() != 1 {
		t.Errorf("disruption budget %+v", budget)
	}
	if r := deployment.Spec.Strategy.RollingUpdate; r.MaxUnavailable.IntValue() != 0 || r.MaxSurge.IntValue() < 1 {
		t.Errorf("rollout %+v", r)
	}
	var keys []string
	for _, spread := range deployment.Spec.Template.Spec.TopologySpreadConstraints {
		if !selects(spread.LabelSelector.MatchLabels) {
			t.Errorf("spread %+v selects other pods", spread)
		}
		keys = append(keys, spread.TopologyKey)
	}
	if !slices.Equal(keys, []string{"kubernetes.io/hostname", "topology.kubernetes.io/zone"}) {
		t.Errorf("spread over %v", keys)
	}
}

// The policy lets through what the gateway listens to and asks, and nothing else.
func TestProductionNetwork(t *testing.T) {
	objects := build(t, production)
	pod := one[appsv1.Deployment](t, objects, "Deployment", "").Spec.Template
	policy := one[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy", "").Spec
	if policy.PodSelector.MatchLabels["app.kubernetes.io/name"] != pod.Labels["app.kubernetes.io/name"] {
		t.Errorf("policy for %v", policy.PodSelector)
	}
	if !slices.Equal(policy.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}) {
		t.Errorf("policy types %v", policy.PolicyTypes)
	}
	if in := policy.Ingress; len(in) != 1 || len(in[0].Ports) != 1 || in[0].Ports[0].Port.String() != pod.Spec.Containers[0].Ports[0].Name {
		t.Errorf("ingress %+v", in)
	}
	// The overlay's parameters are these lists, in this order.
	for i, want := range [][]int{{53, 53, 5353, 5353}, {443, 6443, 8443, 16443}, {6379, 6380, 26379}} {
		var ports []int
		for _, port := range policy.Egress[i].Ports {
			ports = append(ports, port.Port.IntValue())
		}
		if !slices.Equal(ports, want) {
			t.Errorf("egress %d to ports %v, want %v", i, ports, want)
		}
	}
	if len(policy.Egress) != 3 {
		t.Errorf("%d rules of egress", len(policy.Egress))
	}
	// DNS is asked of pods, and of the cache on the node, which no namespace has.
	dns := policy.Egress[0]
	if len(dns.To) != 2 || dns.To[0].NamespaceSelector == nil || dns.To[1].IPBlock == nil || dns.To[1].IPBlock.CIDR != "169.254.20.10/32" {
		t.Errorf("DNS %+v", dns.To)
	}
}

// Redis is elsewhere, its password in a Secret, and the namespace takes only pods
// as restricted as ours.
func TestProductionKeepsSecrets(t *testing.T) {
	objects := build(t, production)
	for _, object := range objects.Resources() {
		if object.GetKind() == "Secret" || object.GetName() == "redis" {
			t.Errorf("%s %s is part of it", object.GetKind(), object.GetName())
		}
	}
	for _, variable := range one[appsv1.Deployment](t, objects, "Deployment", "").Spec.Template.Spec.Containers[0].Env {
		if variable.ValueFrom == nil || variable.ValueFrom.SecretKeyRef == nil && variable.ValueFrom.ResourceFieldRef == nil {
			t.Errorf("%s is neither from a Secret nor the container's own limit", variable.Name)
		}
	}
	if labels := one[corev1.Namespace](t, objects, "Namespace", "").Labels; labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("namespace's labels %v", labels)
	}
}

// Who may send is asked of the API server, over encrypted connections, and the parts
// of that fit together: rights, files, probes and the paths that senders are allowed.
func TestProductionAuthenticatesSenders(t *testing.T) {
	objects := build(t, production)
	pod := one[appsv1.Deployment](t, objects, "Deployment", "gateway").Spec.Template.Spec
	data := one[corev1.ConfigMap](t, objects, "ConfigMap", pod.Volumes[0].ConfigMap.Name).Data
	cfg, err := config.Parse([]byte(data["gateway.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	if a := cfg.Middleware.Authentication; !a.Tokens.Enabled || !cfg.Server.TLS.Enabled() || slices.Contains(a.Protect, "/ready") || slices.Contains(a.Protect, "/health") {
		t.Errorf("authentication %+v, TLS %+v", a, cfg.Server.TLS)
	}
	c := pod.Containers[0]
	for _, file := range []string{cfg.Server.TLS.CertFile, cfg.Server.TLS.KeyFile} {
		mount := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path.Dir(file) })
		if mount < 0 || c.VolumeMounts[mount].SubPath != "" { // the kubelet does not renew those
			t.Errorf("%s is not mounted, or not renewed: %+v", file, c.VolumeMounts)
			continue
		}
		volume := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == c.VolumeMounts[mount].Name })
		if source := pod.Volumes[volume].Secret; source == nil || source.SecretName != "gateway-tls" || !slices.Contains([]string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey}, path.Base(file)) {
			t.Errorf("%s is of %+v", file, pod.Volumes[volume])
		}
	}
	for _, probe := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
		if probe.HTTPGet.Scheme != corev1.URISchemeHTTPS {
			t.Errorf("probe %+v", probe.HTTPGet)
		}
	}
	if port := one[corev1.Service](t, objects, "Service", "gateway").Spec.Ports[0]; port.AppProtocol == nil || *port.AppProtocol != "https" {
		t.Errorf("port %+v", port)
	}
	delegator := one[rbacv1.ClusterRoleBinding](t, objects, "ClusterRoleBinding", "gateway-auth-delegator")
	if s := delegator.Subjects; delegator.RoleRef.Name != "system:auth-delegator" || len(s) != 1 || s[0].Name != pod.ServiceAccountName || s[0].Namespace != "kubernaut-system" {
		t.Errorf("binding %+v", delegator)
	}
	want := []rbacv1.PolicyRule{{NonResourceURLs: []string{"/api/v1/signals/*"}, Verbs: []string{"post"}}}
	if diff := cmp.Diff(want, one[rbacv1.ClusterRole](t, objects, "ClusterRole", "gateway-sender").Rules); diff != "" {
		t.Errorf("senders' role (-want +got):\n%s", diff)
	}
}
