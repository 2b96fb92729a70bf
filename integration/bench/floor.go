package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/integration/testbed"
)

// Bare requests: the least that an alert could cost.
const (
	floorPing      = "Redis PING"
	floorScript    = "Redis EVALSHA"
	floorCreate    = "API create"
	floorUpdate    = "API update, own object each"
	floorUpdateOne = "API update, one object"
)

// script reads and writes one key, as the least of scripts does.
var script = redis.NewScript(`return redis.call('HINCRBY', KEYS[1], 'count', 1)`)

// floorNames are the names of all, in the order of the report.
var floorNames = []string{floorPing, floorScript, floorCreate, floorUpdate, floorUpdateOne}

// floors measures the bare requests with so many clients. The objects are copies
// of the one that the gateway makes of an alert, and the client of the API is
// the gateway's.
func (b *bed) floors(ctx context.Context, template *v1alpha1.RemediationRequest, clients int) ([]Measurement, error) {
	var measurements []Measurement
	for _, name := range floorNames {
		m, err := b.floor(ctx, template, clients, name)
		if err != nil {
			return nil, err
		}
		measurements = append(measurements, m)
		b.progress(m.summary())
	}
	return measurements, nil
}

// floor measures one bare request.
func (b *bed) floor(ctx context.Context, template *v1alpha1.RemediationRequest, clients int, name string) (Measurement, error) {
	fail := func(err error) (Measurement, error) { return Measurement{}, fmt.Errorf("floor %s: %w", name, err) }
	client := b.redis.Client()
	defer client.Close()
	spaces, err := b.namespaces(ctx, "floor", 1)
	if err != nil {
		return fail(err)
	}
	copyOf := func(name string) *v1alpha1.RemediationRequest {
		object := template.DeepCopy()
		object.ObjectMeta = metav1.ObjectMeta{Name: name, Namespace: spaces[0], Labels: template.Labels, Annotations: template.Annotations}
		return object
	}
	own := make([]*v1alpha1.RemediationRequest, clients)
	for i := range own {
		own[i] = copyOf(fmt.Sprint("own-", i))
		if err := b.api.Create(ctx, own[i]); err != nil {
			return fail(err)
		}
	}
	update := func(i int) error {
		own[i].Spec.Deduplication.OccurrenceCount++
		return b.api.Update(ctx, own[i])
	}
	if err := script.Load(ctx, client).Err(); err != nil {
		return fail(err)
	}
	senders := clients
	var do func(client, i int) error
	switch name {
	case floorPing:
		do = func(int, int) error { return client.Ping(ctx).Err() }
	case floorScript:
		do = func(c, _ int) error {
			return script.EvalSha(ctx, client, []string{fmt.Sprint("bench:floor:", c)}).Err()
		}
	case floorCreate:
		do = func(_, i int) error { return b.api.Create(ctx, copyOf(fmt.Sprint("new-", i))) }
	case floorUpdate:
		do = func(c, _ int) error { return update(c) }
	case floorUpdateOne:
		senders = 1 // two at once would only conflict
		do = func(int, int) error { return update(0) }
	}
	m, err := b.measure(ctx, nil, 1, func() load { return closedLoop(ctx, senders, b.duration, 0, do) })
	if err != nil {
		return fail(err)
	}
	if m.Errors > 0 {
		return fail(errors.New(m.Failure))
	}
	m.Name, m.Clients = name, clients
	return m, b.api.DeleteObjects(ctx, spaces...)
}

// template is an object as the gateway makes it.
func (b *bed) template(ctx context.Context) (*v1alpha1.RemediationRequest, error) {
	gateway, err := b.startGateway(ctx, never())
	if err != nil {
		return nil, err
	}
	defer gateway.Close()
	spaces, err := b.namespaces(ctx, "template", 1)
	if err != nil {
		return nil, err
	}
	client := testbed.NewClient(1)
	defer client.Close()
	if _, err := client.Send(ctx, gateway.URL(), testbed.Alert{Name: "Template", Namespace: spaces[0], Pod: "pod-12345"}); err != nil {
		return nil, fmt.Errorf("make an object to copy: %w", err)
	}
	objects, err := b.api.Objects(ctx, spaces...)
	if err != nil {
		return nil, err
	}
	if len(objects) != 1 {
		return nil, fmt.Errorf("make an object to copy: there are %d", len(objects))
	}
	return &objects[0], b.api.DeleteObjects(ctx, spaces...)
}
