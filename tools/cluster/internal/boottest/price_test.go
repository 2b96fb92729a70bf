package boottest

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/clustertest"
)

func cpu(t *testing.T, c *clustertest.Cluster, names ...string) (sum float64) {
	report, err := c.Report(deadline(t, bootTimeout))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range report.Components {
		for _, n := range names {
			if u.Name == n || n == "all" {
				sum += u.CPUSeconds
			}
		}
	}
	return sum
}

func TestPrice(t *testing.T) {
	begun := time.Now()
	c := run(t)
	await(t, c, api.EventReady)
	t.Logf("PRICE boot ready %.2fs cpu apiserver %.2f init %.2f all %.2f", time.Since(begun).Seconds(), cpu(t, c, "kube-apiserver"), cpu(t, c, "init"), cpu(t, c, "all"))
	time.Sleep(3 * time.Second)
	admin := client(t, c, "admin")
	for round := range 3 {
		before, beforeInit, start := cpu(t, c, "kube-apiserver"), cpu(t, c, "init"), time.Now()
		for i := range 1000 {
			if _, err := admin.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("x", round, "-", i)}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("PRICE 1000 creates %.2fs cpu apiserver %.2f init %.2f", time.Since(start).Seconds(), cpu(t, c, "kube-apiserver")-before, cpu(t, c, "init")-beforeInit)
	}
}
