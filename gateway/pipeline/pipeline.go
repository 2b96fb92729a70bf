// Package pipeline takes a signal through the gateway's steps.
package pipeline

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
	"stormgate.internal/gateway/storm"
)

// Deduplicator tells new incidents from repeated ones.
type Deduplicator interface {
	Check(ctx context.Context, sig *signal.Signal) (dedup.Verdict, error)
}

// Storms gathers the alerts of storms.
type Storms interface {
	Handle(ctx context.Context, sig *signal.Signal, name string) (storm.Verdict, error)
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
	// SignalGathered is about a signal that is part of a storm. Its object, if it has
	// one by now, is not to be counted: the storm's step does that.
	SignalGathered(sig *signal.Signal, environment string)
	// SignalDuplicated has an empty environment when it is not known.
	SignalDuplicated(sig *signal.Signal, environment, objectNamespace string)
	SignalIgnored(sig *signal.Signal)
	SignalFailed(sig *signal.Signal, err error)
}

// Pipeline holds the steps. All fields are required.
type Pipeline struct {
	Deduplicator Deduplicator
	Storms       Storms
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
	Storm     *Storm
}

// Storm describes what became of a signal that is part of a storm.
type Storm struct {
	// Kind is Buffered, Opened, Added or Flushed.
	Kind storm.Kind
	// Type is rate or pattern; empty for Flushed.
	Type string
	// WindowID names the window, for Opened and Added.
	WindowID string
	// Members is the number of signals in the buffer or window.
	Members int
	// Created is the object that holds the signal; for Buffered, of which nothing but
	// the environment is known, there is none yet.
	Created
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
// A signal which repeats an incident that has an object in progress is a duplicate.
// A new one is taken into a storm if there is one. Only if there is none it gets an
// object of its own; so when it is not known whether there is, because Redis fails,
// the signal fails, too: it may have been taken into a storm unseen.
//
// Errors are *redisclient.UnavailableError, *remediation.APIError or the context's.
func (p *Pipeline) Process(ctx context.Context, sig *signal.Signal) (Outcome, error) {
	outcome, err := p.process(ctx, sig)
	switch {
	case err != nil:
		p.Observer.SignalFailed(sig, err)
	case outcome.Created != nil:
		p.Observer.SignalCreated(sig, outcome.Created.Environment, outcome.Created.Priority)
	case outcome.Storm != nil:
		p.Observer.SignalGathered(sig, outcome.Storm.Environment)
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
		gathered, err := p.gather(ctx, sig, verdict.Claim)
		if err != nil {
			return Outcome{}, err
		}
		switch gathered.Kind {
		case storm.Overtaken:
			continue
		case storm.None:
		default:
			return Outcome{Storm: gathered}, nil
		}
		created, err := p.create(ctx, sig, verdict.Claim)
		if created != nil || err != nil {
			return Outcome{Created: created}, err
		}
		// Somebody else's object had the name that was reserved, and is recorded
		// now: the signal repeats it.
	}
	return Outcome{}, &redisclient.UnavailableError{Op: "deduplication_check", Err: fmt.Errorf("incident changed %d times meanwhile", maxRounds)}
}

// gather takes a new incident into a storm, and ends the claim unless there is none.
func (p *Pipeline) gather(ctx context.Context, sig *signal.Signal, claim *dedup.Claim) (*Storm, error) {
	verdict, err := p.Storms.Handle(ctx, sig, claim.Name)
	gathered := &Storm{Kind: verdict.Kind, Type: verdict.Type, WindowID: verdict.WindowID, Members: verdict.Members}
	switch {
	case err != nil:
		claim.Release(ctx)
		return nil, err
	case verdict.Object != nil:
		claim.Created(ctx, verdict.Object)
		gathered.Created = p.describe(verdict.Object, verdict.Object.Spec.Environment, verdict.Object.Spec.Priority)
	case verdict.Kind != storm.None:
		claim.Discard(ctx)
		gathered.Environment = p.Environments.Environment(ctx, sig.Namespace)
	}
	return gathered, nil
}

// create makes the object of a new incident, and ends the claim. It returns nil if
// the object was there already.
func (p *Pipeline) create(ctx context.Context, sig *signal.Signal, claim *dedup.Claim) (*Created, error) {
	environment := p.Environments.Environment(ctx, sig.Namespace)
	priority := p.Priorities.Priority(ctx, sig.Severity, environment, sig.Labels)
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
	described := p.describe(created.Object, environment, priority)
	return &described, nil
}

func (p *Pipeline) describe(object *v1alpha1.RemediationRequest, environment, priority string) Created {
	return Created{
		Object:      types.NamespacedName{Namespace: object.Namespace, Name: object.Name},
		Environment: environment, Priority: priority, Path: p.Path(environment, priority),
	}
}
