// Package pipeline takes a signal through the gateway's steps.
package pipeline

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/owners"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
	"stormgate.internal/gateway/storm"
)

// Storms gathers the alerts of storms. It is an interface, since a test of the steps
// can play a storm in one call; the real one takes minutes and many alerts.
type Storms interface {
	Handle(ctx context.Context, sig *signal.Signal, name string, guard dedup.Guard) (storm.Verdict, error)
}

// Environments classifies namespaces. It is an interface, as Priorities is, so that a
// test of the steps sees what each of them is asked.
type Environments interface {
	Environment(ctx context.Context, namespace string) string
}

// Priorities ranks signals.
type Priorities interface {
	Priority(ctx context.Context, severity, environment string, labels map[string]string) string
}

// Steps are the parts of a Pipeline. All are required but Owners.
type Steps struct {
	Deduplicator *dedup.Deduplicator
	Storms       Storms
	Environments Environments
	Priorities   Priorities
	// Path returns the remediation path.
	Path    func(environment, priority string) string
	Creator *remediation.Creator
	Metrics *metrics.Metrics
	// AnnotateResolved notes on objects when their alerts were resolved.
	AnnotateResolved bool
	// Owners finds the workloads of signals about pods. Nil: pods stay pods.
	Owners *owners.Owners
}

// Pipeline takes signals through the steps.
type Pipeline struct{ steps Steps }

// New returns a pipeline of the steps.
func New(steps Steps) *Pipeline { return &Pipeline{steps} }

// Outcome is what became of a signal. Exactly one of the first three is set. None is set
// if the signal was ignored: it says that its condition is over, or why it starts nothing.
type Outcome struct {
	Created   *Created
	Duplicate *dedup.Occurrence
	Storm     *Storm
	// Resolved is the object on which it is noted that its condition is over, for a
	// signal that was ignored; nil if there is none.
	Resolved *types.NamespacedName
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
	// Created is the object that holds the signal. There is none yet for Buffered, of
	// which only the environment is known.
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
// A new one is taken into a storm if there is one. It gets an object of its own only
// if there is none. When Redis fails, that is not known. The signal then fails, too:
// a storm may have taken it in.
//
// Errors are *redisclient.UnavailableError, *dedup.BusyError, *remediation.APIError or
// the context's.
//
// The signal may be changed into one about the workload that its resource belongs to.
func (p *Pipeline) Process(ctx context.Context, sig *signal.Signal) (Outcome, error) {
	shared := false
	if p.steps.Owners != nil && sig.Ignored == "" && (!sig.Resolved || p.steps.AnnotateResolved) {
		about := sig.Resource
		p.steps.Owners.Resolve(ctx, sig)
		shared = sig.Resource != about
	}
	outcome, err := p.process(ctx, sig, shared)
	switch {
	case err != nil:
		p.steps.Metrics.SignalFailed(sig, failureReason(err))
	case outcome.Created != nil:
		p.steps.Metrics.SignalCreated(sig, outcome.Created.Environment, outcome.Created.Priority)
	case outcome.Storm != nil:
		p.steps.Metrics.SignalGathered(sig, outcome.Storm.Environment)
	case outcome.Duplicate != nil:
		if phase := outcome.Duplicate.CoolingDown; phase != "" {
			p.steps.Metrics.SignalCooledDown(phase)
		}
		p.steps.Metrics.SignalDuplicated(sig, outcome.Duplicate.Environment, outcome.Duplicate.Object.Namespace)
	default:
		if outcome.Resolved != nil {
			p.steps.Metrics.ObjectResolved()
		}
		p.steps.Metrics.SignalIgnored(sig)
	}
	return outcome, err
}

// process is Process once it is known what the signal is about. Shared says that its
// incident is that of a workload: other alerts of it may go on when this one is over.
func (p *Pipeline) process(ctx context.Context, sig *signal.Signal, shared bool) (Outcome, error) {
	if sig.Resolved && p.steps.AnnotateResolved && sig.Ignored == "" && !shared {
		noted, err := p.steps.Deduplicator.Resolve(ctx, sig)
		return Outcome{Resolved: noted}, err
	}
	if sig.Resolved || sig.Ignored != "" {
		return Outcome{}, nil
	}
	for range maxRounds {
		verdict, err := p.steps.Deduplicator.Check(ctx, sig)
		if err != nil {
			return Outcome{}, err
		}
		if verdict.Duplicate != nil {
			return Outcome{Duplicate: verdict.Duplicate}, nil
		}
		outcome, err := p.begin(ctx, sig, verdict.Claim)
		if outcome != (Outcome{}) || err != nil {
			return outcome, err
		}
	}
	return Outcome{}, &dedup.BusyError{Err: fmt.Errorf("it has changed %d times meanwhile", maxRounds)}
}

// begin takes a signal through the steps of a new incident, and ends the claim. The outcome
// is empty if the signal is to be checked again, as others have begun the incident.
func (p *Pipeline) begin(ctx context.Context, sig *signal.Signal, claim *dedup.Claim) (Outcome, error) {
	defer claim.Close(ctx)
	gathered, err := p.gather(ctx, sig, claim)
	if err != nil {
		return Outcome{}, err
	}
	switch gathered.Kind {
	case storm.Overtaken:
		return Outcome{}, nil
	case storm.None:
	default:
		return Outcome{Storm: gathered}, nil
	}
	// It is nil if somebody else's object had the name that was reserved. That is recorded
	// now, and the signal repeats it.
	created, err := p.create(ctx, sig, claim)
	return Outcome{Created: created}, err
}

// failureReason returns how metrics name a failure to store a signal.
func failureReason(err error) metrics.FailureReason {
	var redis *redisclient.UnavailableError
	var busy *dedup.BusyError
	var kubernetes *remediation.APIError
	switch {
	case errors.As(err, &redis), errors.As(err, &busy):
		return metrics.DeduplicationUnavailable
	case errors.As(err, &kubernetes):
		return metrics.KubernetesAPI
	}
	return metrics.Cancelled
}

// gather takes a new incident into a storm, and ends the claim unless there is none.
func (p *Pipeline) gather(ctx context.Context, sig *signal.Signal, claim *dedup.Claim) (*Storm, error) {
	verdict, err := p.steps.Storms.Handle(ctx, sig, claim.Name, claim.Guard())
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
		gathered.Environment = p.steps.Environments.Environment(ctx, sig.Namespace)
	}
	return gathered, nil
}

// create makes the object of a new incident, and ends the claim. It returns nil if
// the object was there already.
func (p *Pipeline) create(ctx context.Context, sig *signal.Signal, claim *dedup.Claim) (*Created, error) {
	environment := p.steps.Environments.Environment(ctx, sig.Namespace)
	priority := p.steps.Priorities.Priority(ctx, sig.Severity, environment, sig.Labels)
	created, err := p.steps.Creator.Create(ctx, remediation.Draft{
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
		Environment: environment, Priority: priority, Path: p.steps.Path(environment, priority),
	}
}
