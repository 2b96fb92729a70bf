package boottest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"stormgate.internal/tools/cluster/api"
)

// podArgument makes the test binary a pod's program: see podMain.
const podArgument = "boottest-pod"

// podMain writes as many MiB to a file as it can, up to those that are asked for,
// and reports how many that were, and then waits if told to. Or it holds them in memory.
//
//	write FILE MIB [wait] | hold MIB | look DIR
func podMain(args []string) error {
	report := func(format string, values ...any) error {
		return os.WriteFile("/dev/termination-log", fmt.Appendf(nil, format, values...), 0o644)
	}
	var mebibytes int
	switch args[0] {
	case "write":
		fmt.Sscan(args[2], &mebibytes)
		file, err := os.Create(args[1])
		if err != nil {
			return report("%v", err)
		}
		written := 0
		for ; written < mebibytes; written++ {
			if _, err := file.Write(make([]byte, 1<<20)); err != nil {
				break
			}
		}
		if len(args) > 3 {
			// Not select, which ends a program without other goroutines as a deadlock.
			time.Sleep(time.Hour)
		}
		return report("%d MiB", written)
	case "hold":
		fmt.Sscan(args[1], &mebibytes)
		block := make([]byte, mebibytes<<20)
		for i := range block {
			block[i] = 1
		}
		time.Sleep(time.Hour) // the watch may not see what is given back at once
		return report("held %d, to %d", len(block), block[len(block)-1])
	case "look":
		entries, err := os.ReadDir(args[1])
		if err != nil {
			return report("%v", err)
		}
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		return report("%s", strings.Join(names, " "))
	}
	return fmt.Errorf("unknown verb %q", args[0])
}

// Promise: what a pod's description says of memory, sizes and the node's files
// holds in a cluster as on a real node, through all of the kubelet.
func TestPodsAreHeldToTheirDescription(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	description, err := json.Marshal([]api.Image{podImage(self)})
	if err != nil {
		t.Fatal(err)
	}
	images := filepath.Join(t.TempDir(), "images.json")
	if err := os.WriteFile(images, description, 0o600); err != nil {
		t.Fatal(err)
	}
	cluster := run(t, "--images="+images)
	await(t, cluster, api.EventReady)
	ctx := deadline(t, bootTimeout)
	pods := client(t, cluster, "admin").CoreV1().Pods(metav1.NamespaceDefault)

	size := resource.MustParse("8Mi")
	emptyDir := func(medium corev1.StorageMedium) corev1.VolumeSource {
		return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: medium, SizeLimit: &size}}
	}
	hostPath := func(path string) corev1.VolumeSource {
		return corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}}
	}
	tests := map[string]struct {
		args   []string
		volume corev1.VolumeSource
		change func(*corev1.PodSpec)
		want   string
	}{
		"memory": {args: []string{"hold", "200"}, volume: emptyDir(""), want: "Failed  OOMKilled 137", change: func(s *corev1.PodSpec) {
			s.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
		}},
		"size-in-memory": {args: []string{"write", "/v/f", "64"}, volume: emptyDir(corev1.StorageMediumMemory), want: "Succeeded  Completed 0 8 MiB"},
		"size-on-disk":   {args: []string{"write", "/v/f", "64", "wait"}, volume: emptyDir(""), want: "Failed Evicted"},
		"all-on-disk": {args: []string{"write", "/f", "64", "wait"}, volume: emptyDir(""), want: "Failed Evicted", change: func(s *corev1.PodSpec) {
			s.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("8Mi")}
		}},
		"home":    {args: []string{"look", "/v"}, volume: hostPath("/home"), want: "Succeeded  Completed 0 "},
		"machine": {args: []string{"look", "/v"}, volume: hostPath(filepath.Dir(self)), want: "Succeeded  Completed 0 "},
		"sub-path": {args: []string{"write", "/v/f", "1"}, volume: emptyDir(""), want: "Succeeded  Completed 0 1 MiB", change: func(s *corev1.PodSpec) {
			s.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(1000)), RunAsGroup: new(int64(1000))}
			s.Containers[0].VolumeMounts[0].SubPath = "deep/part"
		}},
	}
	for name, test := range tests {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers: []corev1.Container{{
					Name: "app", Image: "pod", Args: test.args, VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v"}},
				}},
				Volumes: []corev1.Volume{{Name: "v", VolumeSource: test.volume}},
			},
		}
		if test.change != nil {
			test.change(&pod.Spec)
		}
		if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range tests {
		last := ""
		err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			pod, err := pods.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			last = fmt.Sprintf("%s %s", pod.Status.Phase, pod.Status.Reason)
			for _, status := range pod.Status.ContainerStatuses {
				if ended := status.State.Terminated; ended != nil {
					last += fmt.Sprintf(" %s %d %s", ended.Reason, ended.ExitCode, ended.Message)
				}
			}
			return strings.HasPrefix(last, "Succeeded") || strings.HasPrefix(last, "Failed"), nil
		})
		if err != nil || !strings.HasPrefix(last, test.want) || strings.HasSuffix(test.want, " ") && last != test.want {
			t.Errorf("pod %s: %q, %v, want %q", name, last, err, test.want)
		}
	}
}

// podImage is an image of the test binary, with the machine's libraries for the
// case that it is linked to some.
func podImage(self string) api.Image {
	image := api.Image{Reference: "pod", Entrypoint: []string{"/pod", podArgument}, Files: map[string]string{"/pod": self}}
	for _, dir := range []string{"/lib", "/lib64", "/usr/lib"} {
		if _, err := os.Stat(dir); err == nil {
			image.Files[dir] = dir
		}
	}
	return image
}
