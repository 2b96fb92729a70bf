package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
)

const (
	fewObjects = 100
	// fillers are the clients that fill the cluster.
	fillers = 16
	// perNamespace is how many objects a namespace is filled with.
	perNamespace = 5000
)

// ObjectsComparison is a measurement with few and with many objects in progress
// in the cluster.
type ObjectsComparison struct {
	FewObjects  int         `json:"fewObjects"`
	ManyObjects int         `json:"manyObjects"`
	Few         Measurement `json:"few"`
	Many        Measurement `json:"many"`
	// Ratio is the throughput with many divided by that with few.
	Ratio float64 `json:"ratio"`
}

// compareObjects measures the closed loops with few objects and with many.
func (b *bed) compareObjects(ctx context.Context, report *Report) error {
	template, err := b.template(ctx)
	if err != nil {
		return err
	}
	var parts [2]Report
	filled := 0
	for i, objects := range []int{fewObjects, b.objects} {
		if err := b.fill(ctx, template, filled, objects); err != nil {
			return err
		}
		filled = max(filled, objects)
		for _, w := range workloads() {
			if slices.Contains(b.flags.workloads, w.name) {
				if err := b.measureWorkload(ctx, w, &parts[i]); err != nil {
					return err
				}
			}
		}
	}
	for i, few := range parts[0].Workloads {
		many := parts[1].Workloads[i]
		report.Objects = append(report.Objects, ObjectsComparison{
			FewObjects: fewObjects, ManyObjects: b.objects, Few: few, Many: many, Ratio: many.PerSecond / few.PerSecond,
		})
	}
	return nil
}

// fill creates copies of the template, each another incident, from the number
// that are there up to the number that is wanted.
func (b *bed) fill(ctx context.Context, template *v1alpha1.RemediationRequest, from, to int) error {
	started := time.Now()
	for from < to {
		spaces, err := b.namespaces(ctx, "filled", 1)
		if err != nil {
			return err
		}
		n := min(to-from, perNamespace)
		l := closedLoop(ctx, fillers, 0, n, func(_, i int) error { return b.api.Create(ctx, filler(template, spaces[0], from+i)) })
		if l.errors > 0 {
			return fmt.Errorf("fill the cluster: %w", l.failure)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		from += n
		b.progress(fmt.Sprintf("%d of %d objects after %.0f s", from, to, time.Since(started).Seconds()))
	}
	return nil
}

func filler(template *v1alpha1.RemediationRequest, namespace string, i int) client.Object {
	fingerprint := fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, namespace, i)))
	object := template.DeepCopy()
	object.ObjectMeta = metav1.ObjectMeta{
		Name: "rr-" + fingerprint[:12] + "-" + fmt.Sprint(i), Namespace: namespace,
		Labels: object.Labels, Annotations: object.Annotations,
	}
	object.Labels["kubernaut.io/signal-fingerprint"] = fingerprint[:63]
	object.Spec.SignalFingerprint = fingerprint
	return object
}
