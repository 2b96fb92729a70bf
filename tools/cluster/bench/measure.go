package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/clustertest"
)

// Run is one cluster from start to end. Times are seconds from the launcher's execution.
type Run struct {
	API      float64 `json:"api"`
	Ready    float64 `json:"ready"`
	PodReady float64 `json:"podReady"`
	// Stop is from the order to end until no process is left.
	Stop float64 `json:"stop"`
	// Components are the processes' usages when the pod was Ready.
	Components []api.ComponentUsage `json:"components"`
	// Idle is nil where it was not measured.
	Idle *Idle `json:"idle,omitempty"`
}

// Idle is what a cluster without work costs.
type Idle struct {
	// Seconds is the length of the window.
	Seconds float64 `json:"seconds"`
	// CPUPercent is of one core.
	CPUPercent float64 `json:"cpuPercent"`
	// RSSBytes counts pages that processes share once for each of them.
	RSSBytes int64 `json:"rssBytes"`
	// ProportionalBytes is what the cluster takes of the machine.
	ProportionalBytes int64 `json:"proportionalBytes"`
}

const (
	runTimeout = 2 * time.Minute
	// settle is how long a cluster is left alone before it counts as idle.
	settle = 8 * time.Second
	poll   = 10 * time.Millisecond
)

func measure(ctx context.Context, binary string, idle time.Duration) (run Run, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout+idle)
	defer cancel()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return run, err
	}
	defer os.RemoveAll(dir)
	images, err := writeImages(dir)
	if err != nil {
		return run, err
	}
	start := time.Now()
	cluster, err := clustertest.Start(binary, filepath.Join(dir, "c"), os.Stderr, "--images="+images)
	if err != nil {
		return run, err
	}
	defer cluster.Kill()
	if _, err := cluster.Await(ctx, api.EventAPI); err != nil {
		return run, err
	}
	run.API = time.Since(start).Seconds()
	config, err := cluster.RESTConfig(ctx, "admin")
	if err != nil {
		return run, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return run, err
	}
	if err := awaitPod(ctx, client); err != nil {
		return run, err
	}
	run.PodReady = time.Since(start).Seconds()
	report, err := cluster.Report(ctx)
	if err != nil {
		return run, err
	}
	run.Components = report.Components
	if _, err := cluster.Await(ctx, api.EventReady); err != nil {
		return run, err
	}
	if report, err = cluster.Report(ctx); err != nil {
		return run, err
	}
	run.Ready = report.Ready
	if idle > 0 {
		if run.Idle, err = watchIdle(ctx, cluster, client, idle); err != nil {
			return run, err
		}
	}
	tree, err := clustertest.Tree(cluster.PID())
	if err != nil {
		return run, err
	}
	if err := cluster.CloseInput(); err != nil {
		return run, err
	}
	stop, err := clustertest.AwaitGone(ctx, tree, cluster.Dir)
	run.Stop = stop.Seconds()
	return run, err
}

// writeImages makes this program the image of the pod.
func writeImages(dir string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	encoded, err := json.Marshal([]api.Image{{
		Reference: "bench", Entrypoint: []string{"/bench", "serve"}, Files: map[string]string{"/bench": self},
	}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "images.json")
	return path, os.WriteFile(path, encoded, 0o600)
}

// awaitPod creates the pod as soon as the API can admit it and waits until it is Ready.
func awaitPod(ctx context.Context, client kubernetes.Interface) error {
	pods := client.CoreV1().Pods(metav1.NamespaceDefault)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "first"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "serve", Image: "bench",
			Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
			ReadinessProbe: &corev1.Probe{
				PeriodSeconds: 1,
				ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(8080)}},
			},
		}}},
	}
	// To try the pod itself would measure the retries of admission, which holds
	// a request for up to a second while there is no ServiceAccount.
	err := until(ctx, func() error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("await ServiceAccount: %w", err)
	}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create pod: %w", err)
	}
	return until(ctx, func() error {
		pod, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("pod is %s and not Ready: %v", pod.Status.Phase, pod.Status.ContainerStatuses)
	})
}

func until(ctx context.Context, check func() error) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		last := check()
		if last == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; last answer: %w", context.Cause(ctx), last)
		}
	}
}

// watchIdle removes the pod, lets the cluster settle and measures a window.
func watchIdle(ctx context.Context, cluster *clustertest.Cluster, client kubernetes.Interface, window time.Duration) (*Idle, error) {
	grace := int64(0)
	if err := client.CoreV1().Pods(metav1.NamespaceDefault).Delete(ctx, "first", metav1.DeleteOptions{GracePeriodSeconds: &grace}); err != nil {
		return nil, fmt.Errorf("delete pod: %w", err)
	}
	if err := rest(ctx, settle); err != nil {
		return nil, err
	}
	before, err := cluster.Report(ctx)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := rest(ctx, window); err != nil {
		return nil, err
	}
	after, err := cluster.Report(ctx)
	if err != nil {
		return nil, err
	}
	idle := &Idle{Seconds: time.Since(start).Seconds()}
	used := total(after.Components).CPUSeconds - total(before.Components).CPUSeconds
	idle.CPUPercent = 100 * used / idle.Seconds
	idle.RSSBytes = total(after.Components).RSSBytes
	idle.ProportionalBytes, err = proportionalMemory(cluster.PID())
	return idle, err
}

// rest passes time that is the subject of the measurement.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func total(components []api.ComponentUsage) api.Usage {
	var sum api.Usage
	for _, component := range components {
		sum.CPUSeconds += component.CPUSeconds
		sum.RSSBytes += component.RSSBytes
	}
	return sum
}
