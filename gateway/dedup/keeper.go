package dedup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// careInterval is how often each replica asks whether the index needs care.
	careInterval = 5 * time.Second
	// retryInterval is that while the index is incomplete.
	retryInterval = 200 * time.Millisecond
	// indexBatch bounds how many incidents one script call handles.
	indexBatch = 500
	// createTime must exceed the time between the end of a request to create an object
	// and the creation, if the API server goes on with it.
	createTime = time.Minute
)

// Run keeps the index complete and free of finished objects until the context
// ends. All replicas run it. They take turns: one of them does the work at a time.
func (d *Deduplicator) Run(ctx context.Context) {
	const failed = state("failed")
	last := state("")
	for {
		state, err := d.care(ctx)
		if ctx.Err() != nil {
			return
		}
		interval, wake := careInterval, d.wake
		switch {
		case err != nil:
			interval, wake, state = retryInterval, nil, failed
			if state != last {
				d.logger.Warn("index of incidents can't be kept complete, new signals may have to be looked up in the cluster", "error", err)
			}
		case state == busy:
			interval, wake = retryInterval, nil
		case state == blind:
			wake = nil
			if state != last {
				d.logger.Error("the gateway's user may not ask Redis for INFO, so new signals have to be looked up in the cluster; allow it the command (ACL: +info)")
			}
		case state == evicting:
			wake = nil
			if state != last {
				d.logger.Error("Redis may evict any key, so new signals have to be looked up in the cluster; set its maxmemory-policy to noeviction")
			}
		}
		last = state
		timer := time.NewTimer(interval)
		select {
		case <-timer.C:
		case <-wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// care does what the index needs, unless another replica does. It returns the state
// in which it found the index.
func (d *Deduplicator) care(ctx context.Context) (found state, err error) {
	t := &turn{index: &d.index, token: rand.Text()}
	if found, err = t.take(ctx); err != nil || found != incomplete && found != due {
		return found, err
	}
	next := time.Duration(0)
	defer func() {
		err = errors.Join(err, t.giveBack(detach(ctx), next))
	}()
	start := time.Now()
	seen, err := d.build(ctx, t)
	if err != nil {
		return found, fmt.Errorf("build index of incidents: %w", err)
	}
	if found == incomplete {
		d.logger.Info("index of incidents is complete", "objects", len(seen), "after", time.Since(start).String())
	}
	if err := d.clear(ctx, t, seen); err != nil {
		return found, fmt.Errorf("clear index of incidents: %w", err)
	}
	next = d.clearInterval
	return found, nil
}

// build adds all objects in progress to the index and marks it as complete. It
// returns the objects that it saw, and whether they are in progress.
func (d *Deduplicator) build(ctx context.Context, t *turn) (map[types.NamespacedName]bool, error) {
	seen := make(map[types.NamespacedName]bool)
	for token := ""; ; {
		objects, next, err := d.objects.Page(ctx, token)
		if err != nil {
			return nil, err
		}
		var entries []entry
		for n := range objects {
			object := &objects[n]
			seen[refOf(object)] = d.stands(object)
			place, ok := d.objects.PlaceOf(object)
			if !ok || !d.stands(object) {
				continue
			}
			for _, fingerprint := range object.Fingerprints() {
				entries = append(entries, entry{incident{fingerprint, place}, refOf(object)})
			}
		}
		if err := t.renew(ctx); err != nil {
			return nil, err
		}
		for batch := range slices.Chunk(entries, indexBatch) {
			conflicts, err := t.add(ctx, batch)
			if err != nil {
				return nil, err
			}
			if err := d.resolve(ctx, batch, conflicts); err != nil {
				return nil, err
			}
		}
		if token = next; token == "" {
			return seen, t.complete(ctx)
		}
	}
}

// clear removes from the index what is finished, gone, or was never made. It knows
// most objects from seen, and asks the cluster for those that are younger.
func (d *Deduplicator) clear(ctx context.Context, t *turn, seen map[types.NamespacedName]bool) error {
	for cursor := uint64(0); ; {
		values, next, err := d.index.scan(ctx, cursor)
		if err != nil {
			return err
		}
		for i, value := range values {
			if err := d.clearOne(ctx, t, i, value, seen); err != nil {
				return err
			}
		}
		if err := t.renew(ctx); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func (d *Deduplicator) clearOne(ctx context.Context, t *turn, i incident, value string, seen map[types.NamespacedName]bool) error {
	if at, reserved := reservedAt(value); reserved {
		// Had it led to an object, that one would have taken its place when the
		// index was built.
		if at < t.takenAt-createTime.Milliseconds() {
			return d.index.abandon(ctx, i, value)
		}
		return nil
	}
	ref, ok := pointee(value)
	if !ok {
		return nil // gone meanwhile
	}
	inProgress, known := seen[ref]
	if !known {
		object, err := d.objects.Get(ctx, ref)
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		inProgress = err == nil && d.stands(object)
	}
	if inProgress {
		return nil
	}
	return d.index.forget(ctx, i, ref, types.NamespacedName{})
}
