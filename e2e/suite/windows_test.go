package suite

import (
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

const someSettings = `
processing:
  deduplication: {ttl: 3s}
  storm: {inactivity_timeout: 2500ms, max_window_duration: 15s, buffer_threshold: 5}
`

func TestParseWindows(t *testing.T) {
	want := Windows{Inactivity: 2500 * time.Millisecond, Maximum: 15 * time.Second, Record: 3 * time.Second}
	if got, err := parseWindows([]byte(someSettings)); err != nil || got != want {
		t.Errorf("windows %+v, %v; want %+v", got, err, want)
	}
	for name, settings := range map[string]string{
		"processing.storm.max_window_duration": strings.Replace(someSettings, "15s", `""`, 1),
		"processing.deduplication.ttl":         strings.Replace(someSettings, "ttl", "tll", 1),
		"yaml":                                 "a: [",
	} {
		if _, err := parseWindows([]byte(settings)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestReadWindows(t *testing.T) {
	volumes := []corev1.Volume{{Name: "cache"}}
	for _, name := range []string{"other", "gateway-abc"} {
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}},
		}})
	}
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "calm", Name: name} }
	deployment := &appsv1.Deployment{ObjectMeta: meta("gateway")}
	deployment.Spec.Template.Spec.Volumes = volumes
	other := &corev1.ConfigMap{ObjectMeta: meta("other"), Data: map[string]string{"kubeconfig": ""}}
	ours := &corev1.ConfigMap{ObjectMeta: meta("gateway-abc"), Data: map[string]string{settingsFile: someSettings}}

	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		objects []runtime.Object
		want    string // part of the error; empty: none
	}{
		{"all there", []runtime.Object{deployment, other, ours}, ""},
		{"no gateway", []runtime.Object{other, ours}, `"gateway" not found`},
		{"no ConfigMap", []runtime.Object{deployment, other}, `"gateway-abc" not found`},
		{"no settings", []runtime.Object{deployment, other, &corev1.ConfigMap{ObjectMeta: meta("gateway-abc")}}, "mounts no ConfigMap with gateway.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := fake.NewClientBuilder().WithScheme(scheme).WithRuntimeObjects(c.objects...).Build()
			windows, err := readWindows(context.Background(), client, "calm")
			switch {
			case c.want == "" && (err != nil || windows.Record != 3*time.Second):
				t.Errorf("windows %+v, %v", windows, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
