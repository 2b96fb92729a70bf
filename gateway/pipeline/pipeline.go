// Package pipeline takes a signal through the gateway's steps.
package pipeline

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
)

// Deduplicator tells new incidents from repeated ones.
type Deduplicator interface {
	Check(ctx context.Context, sig *signal.Signal) (dedup.Verdict, error)
}

// Environments classifies namespaces.
type Environments interface {
	Environment(ctx context.Context, namespace string) string
}

// Priorities ranks signals.
type Priorities interface {
	Priority(ctx context.Context, severity, environment string, labels map[string]string) string
}

// Creator makes objects.
type Creator interface {
	Create(ctx context.Context, draft remediation.Draft) (remediation.Created, error)
}

// Observer is told what became of signals, for metrics: each signal once.
type Observer interface {
	SignalCreated(sig *signal.Signal, environment, priority string)
	// SignalDuplicated has an empty environment when it is not known.
	SignalDuplicated(sig *signal.Signal, environment, objectNamespace string)
	SignalIgnored(sig *signal.Signal)
	SignalFailed(sig *signal.Signal, err error)
}

// Pipeline holds the steps. All fields are required.
type Pipeline struct {
	Deduplicator Deduplicator
	Environments Environments
	Priorities   Priorities
	// Path returns the remediation path.
	Path     func(environment, priority string) string
	Creator  Creator
	Observer Observer
}

// Outcome is what became of a signal. Exactly one of its pointers is set, or none
// if the signal was ignored since it says that its condition is over.
type Outcome struct {
	Created   *Created
	Duplicate *dedup.Occurrence
}

// Created describes a new object.
type Created struct {
	Object                      types.NamespacedName
	Environment, Priority, Path string
}

// maxRounds bounds how often an incident may end between two steps.
const maxRounds = 5

// Process takes the signal through all steps. When it returns without an error,
// what the outcome says is stored.
//
// Errors are *dedup.UnavailableError, *remediation.APIError or the context's.
func (p *Pipeline) Process(ctx context.Context, sig *signal.Signal) (Outcome, error) {
	outcome, err := p.process(ctx, sig)
	switch {
	case err != nil:
		p.Observer.SignalFailed(sig, err)
	case outcome.Created != nil:
		p.Observer.SignalCreated(sig, outcome.Created.Environment, outcome.Created.Priority)
	case outcome.Duplicate != nil:
		p.Observer.SignalDuplicated(sig, outcome.Duplicate.Environment, outcome.Duplicate.Object.Namespace)
	default:
		p.Observer.SignalIgnored(sig)
	}
	return outcome, err
}

func (p *Pipeline) process(ctx context.Context, sig *signal.Signal) (Outcome, error) {
	if sig.Resolved {
		return Outcome{}, nil
	}
	for range maxRounds {
		verdict, err := p.Deduplicator.Check(ctx, sig)
		if err != nil {
			return Outcome{}, err
		}
		if verdict.Duplicate != nil {
			return Outcome{Duplicate: verdict.Duplicate}, nil
		}
		created, err := p.create(ctx, sig, verdict.Claim)
		if created != nil || err != nil {
			return Outcome{Created: created}, err
		}
		// Somebody else's object had the name that was reserved, and is recorded
		// now: the signal repeats it.
	}
	return Outcome{}, &dedup.UnavailableError{Op: "deduplication_check", Err: fmt.Errorf("incident changed %d times meanwhile", maxRounds)}
}

// create makes the object of a new incident, and ends the claim. It returns nil if
// the object was there already.
func (p *Pipeline) create(ctx context.Context, sig *signal.Signal, claim *dedup.Claim) (*Created, error) {
	environment := p.Environments.Environment(ctx, sig.Namespace)
	priority := p.Priorities.Priority(ctx, sig.Severity, environment, sig.Labels)
	path := p.Path(environment, priority)

	created, err := p.Creator.Create(ctx, remediation.Draft{
		Signal: sig, Environment: environment, Priority: priority, Name: claim.Name,
	})
	if err != nil {
		claim.Release(ctx)
		return nil, err
	}
	claim.Created(ctx, created.Object)
	if created.Existing {
		return nil, nil
	}
	return &Created{
		Object:      types.NamespacedName{Namespace: created.Object.Namespace, Name: created.Object.Name},
		Environment: environment, Priority: priority, Path: path,
	}, nil
}
