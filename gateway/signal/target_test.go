package signal

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stormgate.internal/gateway/config"
)

type labels = map[string]string

// with returns the labels with more.
func with(base labels, more labels) labels {
	all := maps.Clone(base)
	maps.Copy(all, more)
	return all
}

// Labels that a scrape of kube-state-metrics, of the kubelet and of the node exporter
// adds to those of the metric.
var (
	stateMetricsPod = labels{
		"pod": "mon-kube-state-metrics-7d9c5b6f4-x2x7k", "service": "mon-kube-state-metrics", "container": "kube-state-metrics",
		"job": "kube-state-metrics", "instance": "10.1.2.3:8080", "endpoint": "http", "prometheus": "monitoring/k8s", "severity": "warning",
	}
	renamedStateMetrics = with(stateMetricsPod, labels{"pod": "ksm-0-abc", "service": "ksm-0"})
	kubeletScrape       = labels{"job": "kubelet", "service": "mon-kubelet", "instance": "192.0.2.7:10250", "node": "worker-1", "metrics_path": "/metrics", "endpoint": "https-metrics"}
	nodeExporter        = labels{"job": "node-exporter", "pod": "mon-node-exporter-4x2", "container": "node-exporter", "service": "mon-node-exporter", "namespace": "monitoring", "endpoint": "metrics"}
)

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels labels
		want   string // resource id and detail
	}{
		{"plain pod", labels{"namespace": "shop", "pod": "web-1", "severity": "critical"}, "shop:Pod:web-1"},
		{"pod and its owner", labels{"namespace": "shop", "pod": "web-1", "deployment": "web"}, `shop:Pod:web-1{deployment="web"}`},
		{"container of a pod", labels{"namespace": "shop", "pod": "web-1", "container": "app"}, "shop:Pod:web-1"},
		{"who cares", labels{"namespace": "shop", "pod": "web-1", "team": "a", "tier": "b"}, "shop:Pod:web-1"},
		{"who cares is all there is", labels{"namespace": "shop", "team": "a"}, `shop:Unknown:unknown{team="a"}`},
		{"cluster", labels{"namespace": "shop", "pod": "web-1", "cluster": "eu-1"}, `shop:Pod:web-1{cluster="eu-1"}`},
		{"replicas of Prometheus", labels{"namespace": "shop", "pod": "web-1", "prometheus_replica": "b", "prometheus": "p", "replica": "1"}, "shop:Pod:web-1"},
		{"value", labels{"namespace": "shop", "queue": "mail", "value": "93.5"}, `shop:Unknown:unknown{queue="mail"}`},

		{"deployment, state metrics", with(stateMetricsPod, labels{"namespace": "shop", "deployment": "checkout"}), "shop:Deployment:checkout"},
		{"deployment, renamed state metrics", with(renamedStateMetrics, labels{"namespace": "shop", "deployment": "checkout"}), "shop:Deployment:checkout"},
		{"deployment and the exporter's node", with(stateMetricsPod, labels{"namespace": "shop", "deployment": "checkout", "node": "worker-3"}), "shop:Deployment:checkout"},
		{"statefulset", with(stateMetricsPod, labels{"namespace": "shop", "statefulset": "db"}), "shop:StatefulSet:db"},
		{"node, state metrics", with(stateMetricsPod, labels{"namespace": "monitoring", "node": "worker-1", "condition": "Ready"}), `Node:worker-1{condition="Ready"}`},
		{"node, only the job", labels{"job": "kube-state-metrics", "namespace": "monitoring", "node": "worker-1"}, "Node:worker-1"},
		{"node, no exporter", labels{"namespace": "shop", "node": "worker-1"}, "shop:Node:worker-1"},
		{"job", with(stateMetricsPod, labels{"namespace": "shop", "job_name": "nightly-a"}), "shop:Job:nightly-a"},
		{"cron job", with(stateMetricsPod, labels{"namespace": "shop", "cronjob": "nightly"}), "shop:CronJob:nightly"},
		{"autoscaler", with(stateMetricsPod, labels{"namespace": "shop", "horizontalpodautoscaler": "web"}), "shop:HorizontalPodAutoscaler:web"},
		{"quota", with(stateMetricsPod, labels{"namespace": "shop", "resourcequota": "q", "resource": "cpu"}), `shop:ResourceQuota:q{resource="cpu"}`},
		{"pod of honoured labels", with(stateMetricsPod, labels{"namespace": "shop", "pod": "web-1", "uid": "u-1"}), "shop:Pod:web-1"},
		{"pod, renamed", with(stateMetricsPod, labels{"namespace": "monitoring", "exported_namespace": "shop", "exported_pod": "web-1"}), "shop:Pod:web-1"},
		{"pod and container, renamed", with(stateMetricsPod, labels{"namespace": "monitoring", "exported_namespace": "shop", "exported_pod": "web-1", "exported_container": "app"}), `shop:Pod:web-1{exported_container="app"}`},
		{"namespace renamed only", labels{"namespace": "operators", "exported_namespace": "shop", "pod": "operator-0", "deployment": "web"}, "shop:Deployment:web"},
		{"exporter itself", with(stateMetricsPod, labels{"namespace": "monitoring"}), `monitoring:Pod:mon-kube-state-metrics-7d9c5b6f4-x2x7k` +
			`{container="kube-state-metrics",endpoint="http",instance="10.1.2.3:8080",job="kube-state-metrics",service="mon-kube-state-metrics"}`},

		{"claim", with(kubeletScrape, labels{"namespace": "shop", "persistentvolumeclaim": "data-a"}), "shop:PersistentVolumeClaim:data-a"},
		{"pod, kubelet", with(kubeletScrape, labels{"namespace": "shop", "pod": "web-1", "container": "app"}), `shop:Pod:web-1{node="worker-1"}`},
		{"node, kubelet", with(kubeletScrape, labels{"namespace": "kube-system"}), "Node:worker-1"},

		{"host and mount", labels{"instance": "192.0.2.11:9100", "mountpoint": "/var", "device": "/dev/sda2", "alertname": "NodeFilesystemAlmostOutOfSpace"}, `default:Host:192.0.2.11:9100{device="/dev/sda2",mountpoint="/var"}`},
		{"host in the cluster", with(nodeExporter, labels{"instance": "192.0.2.11:9100", "mountpoint": "/var"}), `Host:192.0.2.11:9100{mountpoint="/var"}`},
		{"node that the exporter is on", with(nodeExporter, labels{"instance": "192.0.2.11:9100", "node": "worker-2", "device": "sda"}), `Node:worker-2{device="sda"}`},
		{"sidecar exporter", labels{"namespace": "shop", "pod": "redis-0", "service": "redis", "container": "redis-exporter", "job": "redis", "node": "n1"}, `shop:Pod:redis-0{node="n1"}`},
		{"exporter of many databases", labels{"namespace": "mon", "pod": "mysqld-exporter-1", "instance": "db1:3306", "job": "mysql"}, `mon:Pod:mysqld-exporter-1{instance="db1:3306",job="mysql"}`},
		{"probed URLs", labels{"namespace": "mon", "pod": "prober-1", "instance": "https://shop.example", "job": "probe"}, `mon:Pod:prober-1{instance="https://shop.example"}`},
		{"neither", labels{"job": "etcd", "instance": "192.0.2.1:2379"}, `default:Unknown:unknown{instance="192.0.2.1:2379",job="etcd"}`},
		{"service", labels{"namespace": "shop", "service": "web", "instance": "10.0.0.1:80"}, `shop:Service:web{instance="10.0.0.1:80"}`},

		{"dotted", labels{"k8s.cluster.name": "eu-1", "k8s.namespace.name": "shop", "k8s.pod.name": "web-1", "k8s.pod.uid": "u"}, `shop:Pod:web-1{k8s.cluster.name="eu-1"}`},
		{"dotted deployment", labels{"k8s.namespace.name": "shop", "k8s.deployment.name": "web"}, "shop:Deployment:web"},
		{"dotted, written with underscores", labels{"k8s_namespace_name": "shop", "k8s_job_name": "j"}, "shop:Job:j"},
		{"odd values are quoted", labels{"namespace": "shop", "queue": "a\"},x={\"\n"}, `shop:Unknown:unknown{queue="a\"},x={\"\n"}`},
		{"empty is none", labels{"namespace": "shop", "pod": "web-1", "shard": ""}, "shop:Pod:web-1"},
	} {
		got := defaultTargets().find(with(labels{"alertname": "A"}, c.labels))
		if text := got.ID() + got.detail; text != c.want {
			t.Errorf("%s: %s, want %s", c.name, text, c.want)
		}
	}
}

// Whatever tells two alerts apart makes two incidents, unless the configuration says
// that it doesn't tell targets apart.
func TestTargetsAreApart(t *testing.T) {
	fingerprint := func(l labels) string {
		body, err := json.Marshal(map[string]any{"alerts": []any{map[string]any{"labels": l}}})
		if err != nil {
			t.Fatal(err)
		}
		return parseOne(t, string(body)).Fingerprint
	}
	for _, base := range []labels{
		{"alertname": "A", "namespace": "shop", "pod": "web-1"},
		{"alertname": "A", "namespace": "shop"},
		{"alertname": "A"},
		with(stateMetricsPod, labels{"alertname": "A", "namespace": "shop", "deployment": "web"}),
		with(nodeExporter, labels{"alertname": "A", "instance": "192.0.2.11:9100"}),
	} {
		for _, label := range []string{
			"persistentvolumeclaim", "mountpoint", "device", "queue", "topic", "volumename", "condition", "resource", "cluster", "exported_job", "exported_instance",
			"horizontalpodautoscaler", "poddisruptionbudget", "ingress", "storageclass", "consumergroup", "shard", "k8s.cluster.name", "exported_service", "interface",
		} {
			a, b, again := with(base, labels{label: "one"}), with(base, labels{label: "two"}), with(base, labels{label: "one", "severity": "critical", "prometheus_replica": "b", "value": "7"})
			if fingerprint(a) == fingerprint(b) {
				t.Errorf("%s is not told apart in %v", label, base)
			}
			if fingerprint(a) != fingerprint(again) {
				t.Errorf("%s: severity or a replica of Prometheus tell incidents apart in %v", label, base)
			}
		}
	}
}

func TestTargetRulesOfTheConfiguration(t *testing.T) {
	cfg := config.Default().Processing.Target
	cfg.Rules = []config.TargetRule{
		{Kind: "Deployment", Labels: config.Strings{"deployment"}},
		{Kind: "Queue", Labels: config.Strings{"queue"}, Alerts: "Queue.*", Where: labels{"job": "broker|mail"}},
	}
	cfg.IgnoredLabels = append(cfg.IgnoredLabels, "pod")
	targets, err := NewTargets(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for want, l := range map[string]labels{
		"shop:Deployment:web":                        {"alertname": "A", "namespace": "shop", "deployment": "web", "pod": "web-1"},
		"shop:Queue:mail":                            {"alertname": "QueueFull", "namespace": "shop", "queue": "mail", "job": "broker"},
		`shop:Unknown:unknown{job="x",queue="mail"}`: {"alertname": "QueueFull", "namespace": "shop", "queue": "mail", "job": "x"},
		`shop:Unknown:unknown{queue="mail"}`:         {"alertname": "FullQueue", "namespace": "shop", "queue": "mail"},
		"shop:Pod:web-1":                             {"alertname": "A", "namespace": "shop", "pod": "web-1"},
	} {
		if got := targets.find(l); got.ID()+got.detail != want {
			t.Errorf("%v: %s%s, want %s", l, got.ID(), got.detail, want)
		}
	}
	only, err := NewTargets(config.Target{NoDefaultRules: true, NamespaceLabels: config.Strings{"ns"}, Rules: cfg.Rules[:1]})
	if err != nil {
		t.Fatal(err)
	}
	if got := only.find(labels{"alertname": "A", "ns": "n", "pod": "web-1"}); got.ID()+got.detail != `n:Unknown:unknown{pod="web-1"}` {
		t.Errorf("without default rules: %s%s", got.ID(), got.detail)
	}
	for _, bad := range []config.Target{
		{Rules: []config.TargetRule{{Kind: "K", Labels: config.Strings{"l"}, Alerts: "("}}},
		{Rules: []config.TargetRule{{Kind: "K", Labels: config.Strings{"l"}, Where: labels{"job": "("}}}},
		{Exporters: config.Strings{"("}},
	} {
		if _, err := NewTargets(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// The fingerprint depends on nothing but the labels, and never on their order.
func FuzzTargets(f *testing.F) {
	f.Add(`{"alertname":"A","pod":"p","exported_pod":"q","namespace":"n","x":"y"}`)
	f.Add(`{"alertname":"NodeX","instance":"i","job":"node-exporter","k8s.pod.name":"p"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var l labels
		if json.Unmarshal([]byte(text), &l) != nil {
			return
		}
		first, second := defaultTargets().find(l), defaultTargets().find(maps.Clone(l))
		if diff := cmp.Diff(first.Resource, second.Resource); diff != "" || first.detail != second.detail {
			t.Fatalf("%s: %+v and %+v", text, first, second)
		}
		if first.Kind == "" || first.detail != "" && (!strings.HasPrefix(first.detail, "{") || !strings.HasSuffix(first.detail, "}")) {
			t.Fatalf("%s: %+v", text, first)
		}
	})
}
