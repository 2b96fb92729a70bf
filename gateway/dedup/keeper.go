package dedup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// careInterval is how often each replica asks whether the index needs care.
	careInterval = 5 * time.Second
	// retryInterval is that while the index is incomplete.
	retryInterval = 200 * time.Millisecond
	// careLease is how long others wait for a replica that died while it cared. It
	// must exceed the time to read a page of objects.
	careLease = 15 * time.Second
	// indexBatch bounds how many incidents one script call handles.
	indexBatch = 500
	// createTime must exceed the time that a create may take to happen after
	// whoever asked for it has gone.
	createTime = time.Minute
)

// errLeaseLost says that another replica cares for the index by now, or that Redis
// lost its data.
var errLeaseLost = errors.New("lease is lost")

// Run keeps the index complete and free of finished objects until the context
// ends. All replicas run it; each time one of them does the work.
func (d *Deduplicator) Run(ctx context.Context) {
	last := ""
	for {
		state, err := d.care(ctx)
		if ctx.Err() != nil {
			return
		}
		interval, wake := careInterval, d.wake
		switch {
		case err != nil:
			interval, wake, state = retryInterval, nil, "failed"
			if state != last {
				d.Logger.Warn("index of incidents can't be cared for, new signals may have to be looked up in the cluster", "error", err)
			}
		case state == "busy":
			interval, wake = retryInterval, nil
		case state == "evicting":
			wake = nil
			if state != last {
				d.Logger.Error("Redis may evict any key, so new signals have to be looked up in the cluster: set its maxmemory-policy to noeviction")
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

// care does what the index needs, if no other replica does. The state is what
// lease.lua found.
func (d *Deduplicator) care(ctx context.Context) (state string, err error) {
	l := &lease{index: &d.index, token: rand.Text()}
	if state, err = l.take(ctx); err != nil || l.identity == "" {
		return state, err
	}
	next := time.Duration(0)
	defer func() {
		err = errors.Join(err, l.giveBack(detach(ctx), next))
	}()
	start := time.Now()
	seen, err := d.build(ctx, l)
	if err != nil {
		return state, fmt.Errorf("build: %w", err)
	}
	if state == "incomplete" {
		d.Logger.Info("index of incidents is complete", "objects", len(seen), "after", time.Since(start).String())
	}
	if err := d.clear(ctx, l, seen); err != nil {
		return state, fmt.Errorf("clear: %w", err)
	}
	next = d.ClearInterval
	return state, nil
}

// build adds all objects in progress to the index and declares it complete. It
// returns the objects that it saw, and whether they are in progress.
func (d *Deduplicator) build(ctx context.Context, l *lease) (map[types.NamespacedName]bool, error) {
	seen := make(map[types.NamespacedName]bool)
	for token := ""; ; {
		objects, next, err := d.Objects.Page(ctx, token)
		if err != nil {
			return nil, err
		}
		var entries []entry
		for n := range objects {
			object := &objects[n]
			seen[refOf(object)] = object.InProgress()
			place, ok := d.Objects.PlaceOf(object)
			if !ok || !object.InProgress() {
				continue
			}
			for _, fingerprint := range object.Fingerprints() {
				entries = append(entries, entry{incident{fingerprint, place}, refOf(object)})
			}
		}
		if err := l.renew(ctx); err != nil {
			return nil, err
		}
		for batch := range slices.Chunk(entries, indexBatch) {
			conflicts, err := l.add(ctx, batch)
			if err != nil {
				return nil, err
			}
			if err := d.resolve(ctx, batch, conflicts); err != nil {
				return nil, err
			}
		}
		if token = next; token == "" {
			return seen, l.complete(ctx)
		}
	}
}

// clear removes from the index what is finished, gone, or was never made. What was
// seen tells most of it; objects that are younger are asked for.
func (d *Deduplicator) clear(ctx context.Context, l *lease, seen map[types.NamespacedName]bool) error {
	for cursor := uint64(0); ; {
		keys, next, err := d.Redis.Scan(ctx, cursor, incidentPrefix+"*", indexBatch).Result()
		if err != nil {
			return err
		}
		values := make([]any, 0, len(keys))
		if len(keys) > 0 {
			if values, err = d.Redis.MGet(ctx, keys...).Result(); err != nil {
				return err
			}
		}
		for n, key := range keys {
			value, _ := values[n].(string)
			if err := d.clearOne(ctx, l, parseIncident(key), value, seen); err != nil {
				return err
			}
		}
		if err := l.renew(ctx); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func (d *Deduplicator) clearOne(ctx context.Context, l *lease, i incident, value string, seen map[types.NamespacedName]bool) error {
	if at, reserved := reservedAt(value); reserved {
		// Had it led to an object, that one would have taken its place when the
		// index was built.
		if at < l.takenAt-createTime.Milliseconds() {
			return d.index.abandon(ctx, i, value)
		}
		return nil
	}
	text, ok := strings.CutPrefix(value, "=")
	if !ok {
		return nil // gone meanwhile
	}
	ref := parseRef(text)
	inProgress, known := seen[ref]
	if !known {
		object, err := d.Objects.Get(ctx, ref)
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		inProgress = err == nil && object.InProgress()
	}
	if inProgress {
		return nil
	}
	return d.index.forget(ctx, i, ref, types.NamespacedName{})
}

// lease is the right to care for the index.
type lease struct {
	index *index
	token string
	// identity is that of the data which Redis held when the lease was taken.
	identity string
	// takenAt is when, by the server's clock, in milliseconds.
	takenAt int64
}

// take takes the lease if there is something to do. If so, identity is set.
func (l *lease) take(ctx context.Context) (state string, err error) {
	answer, err := leaseScript.Run(ctx, l.index.client, []string{markerKey, restKey, leaseKey}, l.token, careLease.Milliseconds()).StringSlice()
	if err != nil {
		return "", err
	}
	if len(answer) == 3 {
		l.identity = answer[1]
		if _, err := fmt.Sscan(answer[2], &l.takenAt); err != nil {
			return answer[0], fmt.Errorf("parse the server's time: %w", err)
		}
	}
	return answer[0], nil
}

// renew prolongs the lease. The error is errLeaseLost if it is another's.
func (l *lease) renew(ctx context.Context) error {
	_, err := l.add(ctx, nil)
	return err
}

// add makes the entries whose incidents are no other object's, and prolongs the
// lease. The error is errLeaseLost if it is another's.
func (l *lease) add(ctx context.Context, entries []entry) ([]conflict, error) {
	keys := append(make([]string, 0, 1+2*len(entries)), leaseKey)
	args := append(make([]any, 0, 2+len(entries)), l.token, careLease.Milliseconds())
	for _, e := range entries {
		keys = append(keys, e.incident.key(), e.incident.lock())
		args = append(args, pointer(e.object))
	}
	others, err := indexScript.Run(ctx, l.index.client, keys, args...).Slice()
	if errors.Is(err, redis.Nil) {
		return nil, errLeaseLost
	}
	if err != nil {
		return nil, err
	}
	return parseConflicts(others), nil
}

// complete declares the index complete.
func (l *lease) complete(ctx context.Context) error {
	done, err := completeScript.Run(ctx, l.index.client, []string{markerKey, leaseKey}, l.token, l.identity).Int()
	if err == nil && done == 0 {
		err = errLeaseLost
	}
	return err
}

// giveBack ends the lease. Care is due again after next, at once if that is 0.
func (l *lease) giveBack(ctx context.Context, next time.Duration) error {
	return restScript.Run(ctx, l.index.client, []string{restKey, leaseKey}, l.token, next.Milliseconds()).Err()
}

// abandon removes a reservation, given its value, that led to nothing.
func (x *index) abandon(ctx context.Context, i incident, value string) error {
	return abandonScript.Run(ctx, x.client, []string{i.key(), i.lock()}, value).Err()
}
