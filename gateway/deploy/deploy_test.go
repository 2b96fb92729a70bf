package deploy_test

import (
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/policy"
)

//go:embed base components overlays
var files embed.FS

// build returns the objects of a kustomization, as kustomize build does.
func build(t *testing.T, kustomization string) resmap.ResMap {
	t.Helper()
	return buildIn(t, filesys.MakeFsInMemory(), kustomization)
}

// buildIn is build with further files.
func buildIn(t *testing.T, memory filesys.FileSystem, kustomization string) resmap.ResMap {
	t.Helper()
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		return memory.WriteFile(path.Join("/", name), content)
	})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(memory, path.Join("/", kustomization))
	if err != nil {
		t.Fatalf("build %s: %v", kustomization, err)
	}
	return objects
}

// one returns the only object of a kind with a name.
func one[T any](t *testing.T, objects resmap.ResMap, kind, name string) T {
	t.Helper()
	var found []T
	for _, object := range objects.Resources() {
		if object.GetKind() != kind || name != "" && object.GetName() != name {
			continue
		}
		fields, err := object.Map()
		if err != nil {
			t.Fatal(err)
		}
		var typed T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(fields, &typed, true); err != nil {
			t.Fatalf("%s %s: %v", kind, object.GetName(), err)
		}
		found = append(found, typed)
	}
	if len(found) != 1 {
		t.Fatalf("%d objects of kind %s named %q, want one", len(found), kind, name)
	}
	return found[0]
}

var places = append([]place{
	{"base", "kubernaut-system", "", 5},
	{"overlays/production", "kubernaut-system", "", 5},
}, scenarios()...)

type place struct {
	kustomization, namespace string
	// suffix is that of names that have no namespace.
	suffix          string
	readinessPeriod int32
}

// scenarios returns the overlays for the environments of end-to-end scenarios,
// sorted: each but production, in a namespace of its name.
func scenarios() []place {
	overlays, err := fs.ReadDir(files, "overlays")
	if err != nil {
		panic(err) // of what is compiled in
	}
	var places []place
	for _, overlay := range overlays {
		if name := overlay.Name(); path.Join("overlays", name) != production {
			places = append(places, place{"overlays/" + name, name, "-" + name, 1})
		}
	}
	return places
}

func TestObjectsLandInOneNamespace(t *testing.T) {
	for _, place := range places {
		t.Run(place.kustomization, func(t *testing.T) {
			objects := build(t, place.kustomization)
			if got := one[corev1.Namespace](t, objects, "Namespace", "").Name; got != place.namespace {
				t.Errorf("Namespace %s", got)
			}
			clusterScoped := []string{"Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
			for _, object := range objects.Resources() {
				want := place.namespace
				if slices.Contains(clusterScoped, object.GetKind()) {
					want = ""
				}
				if got := object.GetNamespace(); got != want {
					t.Errorf("%s %s is in namespace %q", object.GetKind(), object.GetName(), got)
				}
			}
			if kinds := objects.Resources(); kinds[0].GetKind() != "Namespace" || kinds[1].GetKind() != "CustomResourceDefinition" {
				t.Errorf("the first objects are %s and %s", kinds[0].GetKind(), kinds[1].GetKind())
			}
		})
	}
}

// The gateway may do what the contract lists, and nothing else.
func TestPermissions(t *testing.T) {
	for _, place := range places {
		t.Run(place.kustomization, func(t *testing.T) {
			objects := build(t, place.kustomization)
			allowed := map[string][]string{}
			for _, rule := range one[rbacv1.ClusterRole](t, objects, "ClusterRole", "gateway"+place.suffix).Rules {
				for _, group := range rule.APIGroups {
					for _, resource := range rule.Resources {
						allowed[group+"/"+resource] = rule.Verbs
					}
				}
			}
			want := map[string][]string{
				"remediation.kubernaut.io/remediationrequests": {"create", "get", "list", "watch", "update", "patch"},
				"/namespaces": {"get", "list", "watch"},
				"/configmaps": {"get", "list", "watch"},
			}
			for resource, verbs := range want {
				if !slices.Equal(allowed[resource], verbs) {
					t.Errorf("%s: %v, want %v", resource, allowed[resource], verbs)
				}
			}
			if len(allowed) != len(want) {
				t.Errorf("more than these is allowed: %v", allowed)
			}
			binding := one[rbacv1.ClusterRoleBinding](t, objects, "ClusterRoleBinding", "gateway"+place.suffix)
			if s := binding.Subjects; len(s) != 1 || s[0].Name != "gateway" || s[0].Namespace != place.namespace || binding.RoleRef.Name != "gateway"+place.suffix {
				t.Errorf("binding %+v", binding)
			}
		})
	}
}

func TestGatewayIsHardened(t *testing.T) {
	for _, place := range places {
		t.Run(place.kustomization, func(t *testing.T) {
			pod := one[appsv1.Deployment](t, build(t, place.kustomization), "Deployment", "gateway").Spec.Template.Spec
			hardened(t, pod)
			c := pod.Containers[0]
			if p := c.ReadinessProbe; p.HTTPGet.Path != "/ready" || p.PeriodSeconds != place.readinessPeriod {
				t.Errorf("readiness %+v", p)
			}
			if p := c.LivenessProbe; p.HTTPGet.Path != "/health" || p.PeriodSeconds != 10 {
				t.Errorf("liveness %+v", p)
			}
			// The gateway's own budget is 30 s.
			if *pod.TerminationGracePeriodSeconds <= 30 {
				t.Errorf("grace period %d s", *pod.TerminationGracePeriodSeconds)
			}
			if pod.ServiceAccountName != "gateway" || len(pod.InitContainers) != 0 {
				t.Errorf("service account %s, init containers %v", pod.ServiceAccountName, pod.InitContainers)
			}
			if c.Image != "stormgate/gateway:dev" || c.Args[0] != "--config=/etc/gateway/gateway.yaml" {
				t.Errorf("image %s, args %v", c.Image, c.Args)
			}
		})
	}
	t.Run("redis", func(t *testing.T) {
		pod := one[appsv1.Deployment](t, build(t, "overlays/calm"), "Deployment", "redis").Spec.Template.Spec
		hardened(t, pod)
		if c := pod.Containers[0]; c.Image != "stormgate/redis:dev" || !slices.Equal(c.Args[:4], []string{"--save", "", "--appendonly", "no"}) {
			t.Errorf("image %s, args %v", c.Image, c.Args)
		}
	})
}

func hardened(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	if s := pod.SecurityContext; !*s.RunAsNonRoot || *s.RunAsUser != 65532 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("pod security %+v", s)
	}
	if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
		t.Error("the pod's environment has a variable for each service")
	}
	for _, c := range pod.Containers {
		if r := c.Resources; r.Requests.Cpu().IsZero() || r.Requests.Memory().IsZero() || r.Limits.Memory().IsZero() {
			t.Errorf("container %s: resources %+v", c.Name, r)
		}
		s := c.SecurityContext
		if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("container %s: security %+v", c.Name, s)
		}
	}
}

// environment returns the environment of the gateway's container, with values for
// what comes from Secrets and from its own limits.
func environment(t *testing.T, pod corev1.PodSpec) func(string) (string, bool) {
	t.Helper()
	values := map[string]string{}
	for _, variable := range pod.Containers[0].Env {
		if variable.ValueFrom == nil {
			values[variable.Name] = variable.Value
			continue
		}
		if field := variable.ValueFrom.ResourceFieldRef; field != nil {
			limit, ok := pod.Containers[0].Resources.Limits[corev1.ResourceName(strings.TrimPrefix(field.Resource, "limits."))]
			if !ok {
				t.Errorf("%s is that of the node, as there is no %s", variable.Name, field.Resource)
			}
			values[variable.Name] = strconv.FormatInt(limit.Value(), 10)
			continue
		}
		value, ok := map[string]string{"gateway-redis/address": "redis:6379", "gateway-redis/username": "gateway", "gateway-redis/password": "s3cr3t"}[variable.ValueFrom.SecretKeyRef.Name+"/"+variable.ValueFrom.SecretKeyRef.Key]
		if !ok {
			t.Errorf("%s comes from %+v", variable.Name, variable.ValueFrom)
		}
		values[variable.Name] = value
	}
	return func(name string) (string, bool) { value, ok := values[name]; return value, ok }
}

// What is deployed is what the gateway accepts, at the paths where it is mounted.
func TestConfigurationsAreValid(t *testing.T) {
	for _, place := range places {
		t.Run(place.kustomization, func(t *testing.T) {
			objects := build(t, place.kustomization)
			pod := one[appsv1.Deployment](t, objects, "Deployment", "gateway").Spec.Template.Spec
			data := one[corev1.ConfigMap](t, objects, "ConfigMap", pod.Volumes[0].ConfigMap.Name).Data
			file := filepath.Join(t.TempDir(), "gateway.yaml")
			if err := os.WriteFile(file, []byte(data["gateway.yaml"]), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, warnings, err := config.Load(file, environment(t, pod), nil)
			if err != nil || len(warnings) != 0 {
				t.Fatal(err, warnings)
			}
			if got, want := int64(cfg.Server.MemoryLimitBytes), pod.Containers[0].Resources.Limits.Memory().Value(); got != want || want == 0 {
				t.Errorf("it knows of a memory limit of %d bytes, it has one of %d", got, want)
			}
			if cfg.Server.ListenAddr != ":8080" || cfg.Infrastructure.Redis.Addr != "redis:6379" {
				t.Errorf("addresses %s, %s", cfg.Server.ListenAddr, cfg.Infrastructure.Redis.Addr)
			}
			if want := path.Join(pod.Containers[0].VolumeMounts[0].MountPath, "priority.rego"); cfg.Processing.Priority.PolicyPath != want {
				t.Errorf("policy path %s, mounted at %s", cfg.Processing.Priority.PolicyPath, want)
			}
			policyFile := filepath.Join(t.TempDir(), "priority.rego")
			if err := os.WriteFile(policyFile, []byte(data["priority.rego"]), 0o600); err != nil {
				t.Fatal(err)
			}
			priorities, err := policy.LoadPriorities(t.Context(), policyFile, metrics.New(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct{ severity, environment, team, want string }{
				{"critical", "production", "", "P0"},
				{"critical", "testing", "platform-engineering", "P0"},
				{"critical", "staging", "", "P1"},
				{"warning", "production", "", "P1"},
				{"critical", "development", "", "P2"},
				{"warning", "staging", "platform-engineering", "P2"},
				{"warning", "unknown", "", "P2"},
				{"info", "production", "", "P3"},
				{"info", "unknown", "", "P3"},
				{"", "production", "", "P3"},
			} {
				if got := priorities.Priority(t.Context(), c.severity, c.environment, map[string]string{"team": c.team}); got != c.want {
					t.Errorf("%s in %s of team %q: %s, want %s", c.severity, c.environment, c.team, got, c.want)
				}
			}
		})
	}
}

// profiles are the contract's, with its windows of 5 s and 30 s times a factor. An
// overlay that is not here is another trial of the gateway's settings: it is held to
// what all scenarios rely on.
var profiles = map[string]struct {
	threshold, buffer int
	inactivity        time.Duration
	services          []string
}{
	"calm":    {10, 5, 3 * time.Second, []string{"gateway", "gateway-2", "redis"}},
	"metrics": {10, 5, 3 * time.Second, []string{"gateway", "redis"}},
	"storm":   {0, 2, 3 * time.Second, []string{"gateway", "gateway-2", "redis"}},
	"storm5":  {0, 5, 4 * time.Second, []string{"gateway", "gateway-2", "redis"}},
	"faults":  {0, 2, 3 * time.Second, []string{"gateway", "fault-proxy", "redis"}},
}

// likeProduction are the overlays whose storms begin where the defaults say, and whose
// Redis has the time-outs of the overlay production.
var likeProduction = map[string][]string{
	"senders": {"alertmanager", "alertmanager-0", "alertmanager-1", "event-forwarder", "fault-proxy", "gateway", "redis"},
	"rollout": {"gateway", "redis", "relay"},
}

func TestLikeProduction(t *testing.T) {
	defaults := settings(t, build(t, production))
	for name, services := range likeProduction {
		t.Run(name, func(t *testing.T) {
			objects := build(t, "overlays/"+name)
			got, want := settings(t, objects), defaults
			s := got.Processing.Storm
			if d := want.Processing.Storm; s.RateThreshold != d.RateThreshold || s.PatternThreshold != d.PatternThreshold || s.BufferThreshold != d.BufferThreshold ||
				s.DefaultMaxSize != d.DefaultMaxSize || s.GlobalMaxSize != d.GlobalMaxSize || s.SamplingThreshold != d.SamplingThreshold {
				t.Errorf("storms %+v, in production %+v", s, d)
			}
			if r, d := got.Infrastructure.Redis, want.Infrastructure.Redis; r.DialTimeout != d.DialTimeout || r.ReadTimeout != d.ReadTimeout || r.WriteTimeout != d.WriteTimeout {
				t.Errorf("Redis %+v, in production %+v", r, d)
			}
			if got := servicesOf(objects); !slices.Equal(got, services) {
				t.Errorf("services %v, want %v", got, services)
			}
		})
	}
}

// What scenario 10 replaces is replaced as in production, and there are as many as the
// autoscaler there keeps at least.
func TestRolloutIsThatOfProduction(t *testing.T) {
	here := one[appsv1.Deployment](t, build(t, "overlays/rollout"), "Deployment", "gateway").Spec
	objects := build(t, production)
	there := one[appsv1.Deployment](t, objects, "Deployment", "gateway").Spec
	if !equality.Semantic.DeepEqual(here.Strategy, there.Strategy) {
		t.Errorf("strategy %+v, in production %+v", here.Strategy, there.Strategy)
	}
	if got, want := *here.Template.Spec.TerminationGracePeriodSeconds, *there.Template.Spec.TerminationGracePeriodSeconds; got != want {
		t.Errorf("grace period %d s, in production %d s", got, want)
	}
	if autoscaler := one[autoscalingv2.HorizontalPodAutoscaler](t, objects, "HorizontalPodAutoscaler", "gateway").Spec; *here.Replicas != *autoscaler.MinReplicas {
		t.Errorf("%d replicas, in production at least %d", *here.Replicas, *autoscaler.MinReplicas)
	}
}

// The two AlertManagers send to the gateway what both get, and know of each other.
func TestAlertManagers(t *testing.T) {
	objects := build(t, "overlays/senders")
	set := one[appsv1.StatefulSet](t, objects, "StatefulSet", "alertmanager").Spec
	hardened(t, set.Template.Spec)
	for i := range *set.Replicas {
		peer := fmt.Sprintf("--cluster.peer=alertmanager-%d.%s:9094", i, set.ServiceName)
		if args := set.Template.Spec.Containers[0].Args; !slices.Contains(args, peer) {
			t.Errorf("args %v lack %s", args, peer)
		}
		own := one[corev1.Service](t, objects, "Service", fmt.Sprintf("alertmanager-%d", i)).Spec
		if index := own.Selector[appsv1.PodIndexLabel]; index != strconv.Itoa(int(i)) {
			t.Errorf("Service alertmanager-%d is that of replica %q", i, index)
		}
	}
	for _, volume := range set.Template.Spec.Volumes {
		if volume.ConfigMap == nil {
			continue
		}
		data := one[corev1.ConfigMap](t, objects, "ConfigMap", volume.ConfigMap.Name).Data
		gateway := one[corev1.Service](t, objects, "Service", "gateway")
		if want := fmt.Sprintf("url: http://%s:%d/api/v1/signals/prometheus\n", gateway.Name, gateway.Spec.Ports[0].Port); !strings.Contains(data["alertmanager.yml"], want) {
			t.Errorf("the configuration lacks %q:\n%s", want, data["alertmanager.yml"])
		}
	}
}

func TestProfiles(t *testing.T) {
	for name, profile := range profiles {
		t.Run(name, func(t *testing.T) {
			objects := build(t, "overlays/"+name)
			cfg := settings(t, objects)
			p := cfg.Processing
			if p.Storm.RateThreshold != profile.threshold || p.Storm.PatternThreshold != profile.threshold || p.Storm.BufferThreshold != profile.buffer ||
				p.Storm.InactivityTimeout.Std() != profile.inactivity {
				t.Errorf("settings %+v", cfg)
			}
			want := slices.Sorted(slices.Values(profile.services))
			if services := servicesOf(objects); !slices.Equal(services, want) {
				t.Errorf("services %v, want %v", services, want)
			}
		})
	}
}

// servicesOf returns their names, sorted.
func servicesOf(objects resmap.ResMap) []string {
	var services []string
	for _, object := range objects.Resources() {
		if object.GetKind() == "Service" {
			services = append(services, object.GetName())
		}
	}
	return slices.Sorted(slices.Values(services))
}

// What every scenario relies on, in whichever environment it runs.
func TestScenarios(t *testing.T) {
	for _, place := range scenarios() {
		t.Run(place.namespace, func(t *testing.T) {
			objects := build(t, place.kustomization)
			cfg := settings(t, objects)
			p := cfg.Processing
			inactivity := p.Storm.InactivityTimeout.Std()
			if p.Storm.MaxWindowDuration.Std() != 6*inactivity || p.Deduplication.TTL.Std() != inactivity ||
				p.Environment.CacheTTL.Std() != inactivity || cfg.Middleware.RateLimit.RequestsPerMinute != 0 {
				t.Errorf("settings %+v", cfg)
			}
			for _, object := range objects.Resources() {
				if object.GetKind() != "Service" {
					continue
				}
				service := one[corev1.Service](t, objects, "Service", object.GetName())
				pods := podsOf(t, objects, service.Name)
				for key, value := range service.Spec.Selector {
					// A StatefulSet's controller adds this one.
					if key != appsv1.PodIndexLabel && pods.Labels[key] != value {
						t.Errorf("Service %s does not select its pods", service.Name)
					}
				}
				hardened(t, pods.Spec)
			}
			if port := one[corev1.Service](t, objects, "Service", "gateway").Spec.Ports[0].Port; port != 8080 {
				t.Errorf("gateway's port is %d", port)
			}
		})
	}
}

// podsOf returns the pods of the Deployment of that name, or else of the StatefulSet that
// the service and its replicas' services are called after.
func podsOf(t *testing.T, objects resmap.ResMap, service string) corev1.PodTemplateSpec {
	t.Helper()
	for _, object := range objects.Resources() {
		if set := object.GetName(); object.GetKind() == "StatefulSet" && (service == set || strings.HasPrefix(service, set+"-")) {
			return one[appsv1.StatefulSet](t, objects, "StatefulSet", set).Spec.Template
		}
	}
	return one[appsv1.Deployment](t, objects, "Deployment", service).Spec.Template
}

// The two contend as replicas of one Deployment would.
func TestSecondGatewayIsTheSame(t *testing.T) {
	objects := build(t, "overlays/calm")
	first := one[appsv1.Deployment](t, objects, "Deployment", "gateway").Spec
	second := one[appsv1.Deployment](t, objects, "Deployment", "gateway-2").Spec
	if !equality.Semantic.DeepEqual(first.Template.Spec, second.Template.Spec) {
		t.Errorf("pods differ:\n%+v\n%+v", first.Template.Spec, second.Template.Spec)
	}
	for key, value := range second.Selector.MatchLabels {
		if first.Template.Labels[key] == value {
			t.Errorf("the second Deployment selects the first's pods by %s=%s", key, value)
		}
	}
}

// The gateway's way to the API is the proxy's service, and there is no other.
func TestFaultProxyIsBetween(t *testing.T) {
	for _, overlay := range []string{"overlays/faults", "overlays/senders"} {
		t.Run(overlay, func(t *testing.T) { faultProxyIsBetween(t, build(t, overlay)) })
	}
}

func faultProxyIsBetween(t *testing.T, objects resmap.ResMap) {
	t.Helper()
	pod := one[appsv1.Deployment](t, objects, "Deployment", "gateway").Spec.Template.Spec
	if args := pod.Containers[0].Args; !slices.Contains(args, "--kubeconfig=/etc/fault-proxy/kubeconfig") {
		t.Fatalf("args %v", args)
	}
	mounted := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "fault-proxy" })
	kubeconfig := one[corev1.ConfigMap](t, objects, "ConfigMap", pod.Volumes[mounted].ConfigMap.Name).Data["kubeconfig"]
	proxy := one[corev1.Service](t, objects, "Service", "fault-proxy")
	if want := fmt.Sprintf("server: http://%s:%d\n", proxy.Name, proxy.Spec.Ports[0].Port); !strings.Contains(kubeconfig, want) {
		t.Errorf("kubeconfig lacks %q:\n%s", want, kubeconfig)
	}
}

// settings are those that the gateway's pod mounts.
func settings(t *testing.T, objects resmap.ResMap) config.Config {
	t.Helper()
	pod := one[appsv1.Deployment](t, objects, "Deployment", "gateway").Spec.Template.Spec
	cfg, err := config.Parse([]byte(one[corev1.ConfigMap](t, objects, "ConfigMap", pod.Volumes[0].ConfigMap.Name).Data["gateway.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}
