package policy

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/open-policy-agent/opa/v1/rego"

	"stormgate.internal/gateway/metrics"
)

// DefaultPriority is the priority of a signal for which the policy returns none, or
// one that does not exist.
const DefaultPriority = "P2"

const priorityQuery = "data.kubernaut.gateway.priority.priority"

// Priorities asks a Rego policy for priorities.
type Priorities struct {
	query   rego.PreparedEvalQuery
	metrics *metrics.Metrics
	logger  *slog.Logger
}

// LoadPriorities compiles the policy in a file of the Rego language, version 1.
// It is asked for data.kubernaut.gateway.priority.priority with the input
// {severity, environment, labels}.
func LoadPriorities(ctx context.Context, path string, m *metrics.Metrics, logger *slog.Logger) (*Priorities, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read priority policy: %w (set processing.priority.policy_path)", err)
	}
	query, err := rego.New(rego.Query(priorityQuery), rego.Module(path, string(source))).PrepareForEval(ctx)
	if err != nil {
		return nil, fmt.Errorf("compile priority policy %s: %w", path, err)
	}
	return &Priorities{query: query, metrics: m, logger: logger}, nil
}

// Priority returns P0 to P3. It is P2 if the policy fails, or returns nothing or
// anything else. That is counted, and logged unless the policy just has no rule that
// applies.
func (p *Priorities) Priority(ctx context.Context, severity, environment string, labels map[string]string) (priority string) {
	// It is also asked where nothing else would stop a panic from ending the gateway, which
	// the alert, sent again, would end again.
	defer func() {
		if failure := recover(); failure != nil {
			p.fail(ctx, metrics.PolicyContradicts, severity, environment, fmt.Errorf("its evaluation panicked: %v", failure))
			priority = DefaultPriority
		}
	}()
	values := make(map[string]any, len(labels))
	for key, value := range labels {
		values[key] = value
	}
	results, err := p.query.Eval(ctx, rego.EvalInput(map[string]any{
		"severity": severity, "environment": environment, "labels": values,
	}))
	if err != nil {
		if ctx.Err() == nil {
			p.fail(ctx, metrics.PolicyContradicts, severity, environment, err)
		}
		return DefaultPriority
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		p.metrics.PolicyFailed(metrics.PolicyUndefined)
		return DefaultPriority
	}
	switch priority := results[0].Expressions[0].Value; priority {
	case "P0", "P1", "P2", "P3":
		return priority.(string)
	default:
		p.fail(ctx, metrics.PolicyInvalid, severity, environment, fmt.Errorf("its answer is %.100v, not P0 to P3", priority))
	}
	return DefaultPriority
}

func (p *Priorities) fail(ctx context.Context, reason metrics.PolicyFailure, severity, environment string, err error) {
	p.metrics.PolicyFailed(reason)
	p.logger.ErrorContext(ctx, "priority policy gives no priority, using the default", "default", DefaultPriority, "reason", string(reason),
		"severity", severity, "environment", environment, "error", err)
}
