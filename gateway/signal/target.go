package signal

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"stormgate.internal/gateway/config"
)

// Kind and name of a resource that a signal does not name.
const (
	unknownKind = "Unknown"
	unknownName = "unknown"
)

// exportedPrefix is what Prometheus puts before a label of a metric that the scraped
// target has a label for, too. So with it comes what the metric is about, and without
// it who exported the metric.
const exportedPrefix = "exported_"

// Targets says what alerts are about. Its rules are of the configuration, whose
// comments describe them.
type Targets struct {
	rules      []targetRule
	namespaces []string
	exporters  *regexp.Regexp // nil: none
	context    map[string]bool
	ignored    map[string]bool
}

type targetRule struct {
	kind          string
	labels        []string
	alerts        *regexp.Regexp            // nil: any
	where         map[string]*regexp.Regexp // label to what its value must match
	clusterScoped bool
	keepInstance  bool
}

// NewTargets compiles the rules.
func NewTargets(cfg config.Target) (*Targets, error) {
	t := &Targets{namespaces: cfg.NamespaceLabels, context: setOf(cfg.ContextLabels), ignored: setOf(cfg.IgnoredLabels)}
	rules := cfg.Rules
	if !cfg.NoDefaultRules {
		rules = append(slices.Clone(rules), config.DefaultTargetRules()...)
	}
	for i, rule := range rules {
		compiled := targetRule{kind: rule.Kind, labels: rule.Labels, clusterScoped: rule.ClusterScoped, keepInstance: rule.KeepInstance}
		if rule.Alerts != "" {
			pattern, err := whole(rule.Alerts)
			if err != nil {
				return nil, fmt.Errorf("rule %d, alerts: %w", i, err)
			}
			compiled.alerts = pattern
		}
		for label, text := range rule.Where {
			pattern, err := whole(text)
			if err != nil {
				return nil, fmt.Errorf("rule %d, where %s: %w", i, label, err)
			}
			if compiled.where == nil {
				compiled.where = make(map[string]*regexp.Regexp)
			}
			compiled.where[label] = pattern
		}
		t.rules = append(t.rules, compiled)
	}
	if len(cfg.Exporters) > 0 {
		pattern, err := whole(strings.Join(cfg.Exporters, "|"))
		if err != nil {
			return nil, fmt.Errorf("exporters: %w", err)
		}
		t.exporters = pattern
	}
	return t, nil
}

// whole compiles a pattern that must match all of a text, as Prometheus' do.
func whole(text string) (*regexp.Regexp, error) { return regexp.Compile("^(?:" + text + ")$") }

func setOf(values []string) map[string]bool {
	set := make(map[string]bool, len(values))
	for _, value := range values {
		set[value] = true
	}
	return set
}

// defaultTargets are those of a configuration that says nothing.
var defaultTargets = sync.OnceValue(func() *Targets {
	t, err := NewTargets(config.Default().Processing.Target)
	if err != nil {
		panic(err) // a test compiles the defaults
	}
	return t
})

// target is what an alert is about.
type target struct {
	Resource
	// detail tells it apart from other targets with the same resource: the labels
	// that do, or "".
	detail string
}

// find returns what an alert with the labels is about.
func (t *Targets) find(labels map[string]string) target {
	who := t.exporterOf(labels)
	rule, label := t.choose(labels, who)
	namespace, namespaceLabel := t.namespaceOf(labels)
	found := target{Resource: Resource{Kind: unknownKind, Name: unknownName}}
	// own says that nothing but the exporter's own identity named the target.
	own := false
	if rule != nil {
		found.Kind, found.Name = rule.kind, labels[label]
		own = who.owns(label)
		if rule.clusterScoped && who.known && namespaceLabel != "" && !strings.HasPrefix(namespaceLabel, exportedPrefix) {
			// The target has none, so it is the exporter's.
			namespace = ""
		}
	}
	found.Namespace = namespace
	found.detail = t.detail(labels, rule, label, namespaceLabel, own, who)
	return found
}

// choose returns the rule that names the target and the label that does, or nil. A
// label that Prometheus has renamed is about the target for sure. The exporter's own
// identity is the target only if there is nothing else.
func (t *Targets) choose(labels map[string]string, who exporter) (*targetRule, string) {
	var last *targetRule
	var lastLabel string
	if who.renamed {
		for i := range t.rules {
			for _, label := range t.rules[i].labels {
				if exported := exportedPrefix + label; labels[exported] != "" && t.rules[i].applies(labels) {
					return &t.rules[i], exported
				}
			}
		}
	}
	for i := range t.rules {
		for _, label := range t.rules[i].labels {
			if _, ok := labels[label]; !ok || !t.rules[i].applies(labels) {
				continue
			}
			if !who.owns(label) {
				return &t.rules[i], label
			}
			if last == nil {
				last, lastLabel = &t.rules[i], label
			}
		}
	}
	return last, lastLabel
}

func (r *targetRule) applies(labels map[string]string) bool {
	if r.alerts != nil && !r.alerts.MatchString(labels["alertname"]) {
		return false
	}
	for label, pattern := range r.where {
		if !pattern.MatchString(labels[label]) {
			return false
		}
	}
	return true
}

// exporter is what labels say about who exported the metric.
type exporter struct {
	// known says that it was an exporter of others' metrics.
	known bool
	// renamed says that some labels begin with exported_.
	renamed bool
	// pod, service and container say whether these labels are the exporter's own.
	pod, service, container bool
}

// owns reports whether a label is part of the exporter's own identity.
func (e exporter) owns(label string) bool {
	switch label {
	case "pod":
		return e.pod
	case "service":
		return e.service
	case "container":
		return e.container
	}
	return false
}

// stateMetrics is in the names of exporters of what the Kubernetes API holds. All their
// metrics are about others, also when their pod has got another name.
const stateMetrics = "state-metrics"

func (t *Targets) exporterOf(labels map[string]string) (e exporter) {
	for label := range labels {
		if strings.HasPrefix(label, exportedPrefix) {
			e.renamed = true
			break
		}
	}
	renamed := func(label string) bool { return e.renamed && labels[exportedPrefix+label] != "" }
	pod, service, container, job := labels["pod"], labels["service"], labels["container"], labels["job"]
	// A namespace that was renamed is the target's. What was not is then the exporter's.
	elsewhere := slices.ContainsFunc(t.namespaces, renamed)
	e.container = elsewhere || renamed("container") || t.isExporter(container)
	e.pod = elsewhere || renamed("pod") || t.isExporter(pod)
	e.service = elsewhere || renamed("service") || t.isExporter(service)
	e.known = e.container || e.pod || e.service || t.isExporter(job)
	if e.known && (strings.Contains(job, stateMetrics) || strings.Contains(container, stateMetrics)) {
		// A metric may keep its own pod beside the job of the exporter. So the exporter's
		// pod is known by its name, which begins like its service or job.
		e.pod = e.pod || startsLike(pod, service) || startsLike(pod, job)
		e.service = e.service || e.pod && startsLike(pod, service)
	}
	return e
}

func startsLike(pod, owner string) bool {
	return owner != "" && strings.HasPrefix(pod, owner) && strings.HasPrefix(pod[len(owner):], "-")
}

func (t *Targets) isExporter(name string) bool {
	return name != "" && t.exporters != nil && t.exporters.MatchString(name)
}

const defaultNamespace = "default"

// namespaceOf returns the namespace, and the label that it is from. What Prometheus has
// renamed is the target's for sure. An empty label is an answer, too.
func (t *Targets) namespaceOf(labels map[string]string) (namespace, label string) {
	for _, name := range t.namespaces {
		if value := labels[exportedPrefix+name]; value != "" {
			return value, exportedPrefix + name
		}
	}
	for _, name := range t.namespaces {
		if value, ok := labels[name]; ok {
			return value, name
		}
	}
	for _, name := range t.namespaces {
		if _, ok := labels[exportedPrefix+name]; ok {
			return "", exportedPrefix + name
		}
	}
	return defaultNamespace, ""
}

// detail returns all labels that may tell two targets apart and are not in the
// resource, as {a="b",c="d"}, sorted. It is "" if there are none.
func (t *Targets) detail(labels map[string]string, rule *targetRule, label, namespaceLabel string, own bool, who exporter) string {
	named := rule != nil && !own
	var names []string
	for name, value := range labels {
		switch {
		case value == "", name == "alertname", name == label, t.ignored[name]:
		case name == namespaceLabel, slices.Contains(t.namespaces, name):
		case named && t.isContext(name, value, rule, who):
		default:
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	text := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(text, name...), '=')
		text = strconv.AppendQuote(text, labels[name])
	}
	return string(append(text, '}'))
}

// isContext reports whether a label says where a metric comes from, or who cares for
// it, rather than what it is about. The target has been named by another label.
func (t *Targets) isContext(name, value string, rule *targetRule, who exporter) bool {
	switch name {
	case "pod":
		return who.owns(name)
	case "node":
		// That of the exporter's pod, or where the kubelet has found something that may
		// move, such as a volume.
		return who.known && rule.kind != "Pod"
	case "instance":
		// One exporter may probe many URLs, which then are its instances.
		return t.context[name] && !rule.keepInstance && !strings.Contains(value, "/")
	}
	return t.context[name]
}
