package main

import (
	"context"
	"fmt"
	"time"

	"stormgate.internal/integration/testbed"
)

// verifyLimit is how long objects may take to appear after the last answer: the
// members of a buffer that was never filled have theirs when it is flushed.
const verifyLimit = 40 * time.Second

// sender sends a workload's alerts to a gateway and keeps the ledger.
type sender struct {
	workload
	bed     *bed
	gateway *testbed.Gateway
	client  *testbed.Client
	ledger  *testbed.Ledger
	spaces  []string
	// first is the number of the next measurement's first alert.
	first int
}

// newSender makes the workload's namespaces and sends the alerts that come
// before the measurement.
func (b *bed) newSender(ctx context.Context, w workload, gateway *testbed.Gateway, requests int) (*sender, error) {
	spaces, err := b.namespaces(ctx, w.name, w.namespaces)
	if err != nil {
		return nil, err
	}
	s := &sender{workload: w, bed: b, gateway: gateway, client: testbed.NewClient(requests), ledger: testbed.NewLedger(), spaces: spaces}
	s.group = max(s.group, 1)
	for i := range w.prepare {
		if err := s.send(ctx, i); err != nil {
			s.client.Close()
			return nil, fmt.Errorf("workload %s: prepare: %w", w.name, err)
		}
	}
	s.first = w.prepare
	return s, nil
}

// send sends the i-th notification. It is an error if the gateway does not accept
// all of its alerts.
func (s *sender) send(ctx context.Context, i int) error {
	alerts := make([]testbed.Alert, s.group)
	for n := range alerts {
		alerts[n] = s.alert(s.spaces, i*s.group+n)
		s.ledger.Sent(alerts[n])
	}
	code, body, err := s.client.Post(ctx, s.gateway.URL(), testbed.Notification(alerts...))
	if err != nil {
		return err
	}
	for _, alert := range alerts {
		s.ledger.Answered(alert, code)
	}
	if code >= 300 {
		return fmt.Errorf("%s of %s is answered %d: %.300s", alerts[0].Name, alerts[0].ResourceID(), code, body)
	}
	return nil
}

// verify compares the objects with the answers, and returns how many objects
// there are.
func (s *sender) verify(ctx context.Context) (int, error) {
	deadline := time.Now().Add(verifyLimit)
	for {
		objects, err := s.bed.api.Objects(ctx, s.spaces...)
		if err != nil {
			return 0, err
		}
		findings := s.ledger.Check(objects)
		if err := findings.Err(); err == nil {
			return len(objects), nil
		} else if len(findings.Lost) == 0 || time.Now().After(deadline) {
			return len(objects), fmt.Errorf("workload %s: objects are not what was answered: %w", s.name, err)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// close removes what the workload has left.
func (s *sender) close(ctx context.Context) error {
	s.client.Close()
	return s.bed.api.DeleteObjects(ctx, s.spaces...)
}
