package config

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// Strings is a list that a file replaces as a whole. A key without a value leaves the
// default, and an empty list is none.
type Strings []string

// UnmarshalJSON reads a list of strings; null changes nothing.
func (s *Strings) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	list := []string{}
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*s = list
	return nil
}

func defaultTarget() Target {
	return Target{
		NamespaceLabels: Strings{"namespace", "kubernetes_namespace", "kube_namespace", "k8s.namespace.name", "k8s_namespace_name"},
		Exporters: Strings{
			".*state-metrics.*", ".*[-_]exporter(-.*)?", ".*pushgateway.*", ".*cadvisor.*", "(.*-)?kubelet",
			"(.*-)?(otel|opentelemetry)-collector(-.*)?",
		},
		ContextLabels: Strings{
			"job", "instance", "endpoint", "service", "container", "metrics_path", "scheme", "uid", "pod_ip", "host_ip", "id", "image",
			"team", "owner", "tier", "app", "component",
			"service.name", "service.namespace", "service.instance.id", "service.version", "k8s.pod.uid", "k8s.pod.ip", "k8s.pod.start_time", "k8s.container.name",
		},
		IgnoredLabels: Strings{
			"severity", "priority", "prometheus", "prometheus_replica", "__replica__", "replica", "receive_replica", "thanos_replica",
			"rule_group", "alertstate", "value", "current_value", "description", "summary", "runbook_url",
		},
	}
}

// DefaultTargetRules are the rules that follow those of the configuration, narrow
// targets first.
func DefaultTargetRules() []TargetRule {
	return []TargetRule{
		{Kind: "PersistentVolumeClaim", Labels: Strings{"persistentvolumeclaim", "k8s.persistentvolumeclaim.name", "k8s_persistentvolumeclaim_name"}},
		{Kind: "HorizontalPodAutoscaler", Labels: Strings{"horizontalpodautoscaler", "hpa", "k8s.hpa.name", "k8s_hpa_name"}},
		{Kind: "PodDisruptionBudget", Labels: Strings{"poddisruptionbudget"}},
		{Kind: "ResourceQuota", Labels: Strings{"resourcequota", "k8s.resourcequota.name", "k8s_resourcequota_name"}},
		{Kind: "Ingress", Labels: Strings{"ingress"}},
		{Kind: "Certificate", Labels: Strings{"certificate", "name"}, Alerts: "(CertManager|Certificate).*"},
		{Kind: "Pod", Labels: Strings{"pod", "pod_name", "kubernetes_pod_name", "k8s.pod.name", "k8s_pod_name"}},
		{Kind: "Deployment", Labels: Strings{"deployment", "k8s.deployment.name", "k8s_deployment_name"}},
		{Kind: "StatefulSet", Labels: Strings{"statefulset", "k8s.statefulset.name", "k8s_statefulset_name"}},
		{Kind: "DaemonSet", Labels: Strings{"daemonset", "k8s.daemonset.name", "k8s_daemonset_name"}},
		{Kind: "ReplicaSet", Labels: Strings{"replicaset", "k8s.replicaset.name", "k8s_replicaset_name"}},
		{Kind: "ReplicationController", Labels: Strings{"replicationcontroller", "k8s.replicationcontroller.name"}},
		{Kind: "Job", Labels: Strings{"job_name", "k8s.job.name", "k8s_job_name"}},
		{Kind: "CronJob", Labels: Strings{"cronjob", "k8s.cronjob.name", "k8s_cronjob_name"}},
		{Kind: "Node", Labels: Strings{"node", "kubernetes_node", "k8s.node.name", "k8s_node_name"}, ClusterScoped: true},
		{Kind: "PersistentVolume", Labels: Strings{"persistentvolume"}, ClusterScoped: true},
		{Kind: "Host", Labels: Strings{"nodename", "host.name", "host_name", "instance"}, Where: map[string]string{"job": ".*node[-_]exporter.*"}, ClusterScoped: true},
		{Kind: "Host", Labels: Strings{"nodename", "host.name", "host_name", "instance"}, Alerts: "(Node|Host)[A-Z].*", ClusterScoped: true},
		{Kind: "Service", Labels: Strings{"service", "k8s.service.name", "k8s_service_name"}, KeepInstance: true},
	}
}

// problems returns what is wrong, each beginning with its key.
func (t Target) problems() (found []error) {
	pattern := func(key, text string) {
		if _, err := regexp.Compile(text); err != nil {
			found = append(found, fmt.Errorf("%s: %w", key, err))
		}
	}
	for i, rule := range t.Rules {
		key := fmt.Sprintf("rules[%d]", i)
		if rule.Kind == "" {
			found = append(found, fmt.Errorf("%s.kind is required", key))
		}
		if len(rule.Labels) == 0 {
			found = append(found, fmt.Errorf("%s.labels is required", key))
		}
		pattern(key+".alerts", rule.Alerts)
		for label, text := range rule.Where {
			pattern(key+".where."+label, text)
		}
	}
	for i, text := range t.Exporters {
		pattern(fmt.Sprintf("exporters[%d]", i), text)
	}
	if len(t.NamespaceLabels) == 0 {
		found = append(found, fmt.Errorf("namespace_labels must not be empty"))
	}
	return found
}
