// Package policy classifies signals: the environment that a namespace belongs to,
// the priority of a signal there, and how boldly it may be remedied.
package policy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// UnknownEnvironment is that of a namespace with neither a label nor an override.
const UnknownEnvironment = "unknown"

const (
	environmentLabel = "environment"
	// maxCached bounds the cache: the names of namespaces come from senders.
	maxCached = 10_000
)

// Environments finds the environment of namespaces.
type Environments struct {
	reader    client.Reader
	overrides types.NamespacedName
	ttl       time.Duration
	logger    *slog.Logger
	now       func() time.Time
	flight    singleflight.Group

	mu    sync.Mutex
	cache map[string]cachedEnvironment
}

type cachedEnvironment struct {
	environment string
	until       time.Time
}

// NewEnvironments returns a classifier that keeps answers for ttl. The overrides
// name a ConfigMap whose keys are namespaces and whose values environments.
func NewEnvironments(reader client.Reader, overrides types.NamespacedName, ttl time.Duration, logger *slog.Logger) *Environments {
	return &Environments{
		reader: reader, overrides: overrides, ttl: ttl, logger: logger,
		now: time.Now, cache: make(map[string]cachedEnvironment),
	}
}

// Environment returns the value of the namespace's label "environment", else the
// override, else unknown. After a failure of the Kubernetes API it returns unknown,
// which is not kept.
func (e *Environments) Environment(ctx context.Context, namespace string) string {
	if len(validation.IsDNS1123Label(namespace)) != 0 {
		return UnknownEnvironment
	}
	if environment, ok := e.cached(namespace); ok {
		return environment
	}
	answer := e.flight.DoChan(namespace, func() (any, error) {
		// Shared by all who ask meanwhile, so it must not end with one of them.
		environment, err := e.look(context.WithoutCancel(ctx), namespace)
		if err != nil {
			e.logger.WarnContext(ctx, "environment of a namespace can't be looked up, unknown is used this time", "namespace", namespace, "error", err)
			return UnknownEnvironment, nil
		}
		e.keep(namespace, environment)
		return environment, nil
	})
	select {
	case result := <-answer:
		environment, _ := result.Val.(string)
		return environment
	case <-ctx.Done():
		return UnknownEnvironment
	}
}

func (e *Environments) look(ctx context.Context, namespace string) (string, error) {
	var object corev1.Namespace
	err := e.reader.Get(ctx, types.NamespacedName{Name: namespace}, &object)
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("get namespace %s: %w", namespace, err)
	}
	if environment := object.Labels[environmentLabel]; environment != "" {
		return environment, nil
	}
	var overrides corev1.ConfigMap
	err = e.reader.Get(ctx, e.overrides, &overrides)
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("get ConfigMap %s: %w", e.overrides, err)
	}
	if environment := overrides.Data[namespace]; environment != "" {
		return environment, nil
	}
	return UnknownEnvironment, nil
}

func (e *Environments) cached(namespace string) (string, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	entry, ok := e.cache[namespace]
	return entry.environment, ok && e.now().Before(entry.until)
}

func (e *Environments) keep(namespace, environment string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	if len(e.cache) >= maxCached {
		for key, entry := range e.cache {
			if !now.Before(entry.until) {
				delete(e.cache, key)
			}
		}
		if len(e.cache) >= maxCached {
			clear(e.cache)
		}
	}
	e.cache[namespace] = cachedEnvironment{environment, now.Add(e.ttl)}
}
