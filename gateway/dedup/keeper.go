package dedup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/redisclient"
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
// ends. All replicas run it. They take turns: one of them does the work at a time. Each
// keeps its own claims, too.
func (d *Deduplicator) Run(ctx context.Context) {
	var keeping sync.WaitGroup
	defer keeping.Wait()
	keeping.Go(func() { d.keepClaims(ctx) })
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

// keepClaims prolongs the locks of this process' claims, and takes those again that have
// expired, as while Redis was silent. One ends by itself only when the process has.
func (d *Deduplicator) keepClaims(ctx context.Context) {
	ticker := time.NewTicker(renewInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		d.renewClaims(ctx)
	}
}

// renewClaims prolongs the locks of the claims that have lasted for a while. Each partition
// of a Cluster is asked by itself, and for a short time: a server that is silent keeps only
// its own locks from that, and those of the others only once.
func (d *Deduplicator) renewClaims(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	byPartition := make(map[redisclient.Partition][]*flight)
	for _, f := range d.flights.lasting(renewInterval) {
		byPartition[f.incident.partition] = append(byPartition[f.incident.partition], f)
	}
	var renewing sync.WaitGroup
	for _, all := range byPartition {
		for flights := range slices.Chunk(all, indexBatch) {
			renewing.Go(func() {
				// Requests tell of a failure, and the next search that finds nothing notices.
				_ = d.index.renewAll(ctx, flights)
			})
		}
	}
	renewing.Wait()
}

// urgencies are the states of partitions, the one first that says most about how the index
// as a whole is.
var urgencies = []state{evicting, blind, incomplete, busy, due, resting}

// care does what the index needs, unless another replica does. It returns the state
// in which it found the index: that of the partition which is the worst.
func (d *Deduplicator) care(ctx context.Context) (found state, err error) {
	turns, found, err := d.takeTurns(ctx)
	if len(turns) == 0 {
		return found, err
	}
	next := time.Duration(0)
	defer func() {
		for _, t := range turns {
			err = errors.Join(err, t.giveBack(detach(ctx), next))
		}
	}()
	if err != nil {
		return found, err
	}
	start := time.Now()
	seen, err := d.build(ctx, turns)
	if err != nil {
		return found, fmt.Errorf("build index of incidents: %w", err)
	}
	if found == incomplete {
		d.logger.Info("index of incidents is complete", "objects", len(seen), "after", time.Since(start).String())
	}
	if err := d.clear(ctx, turns, seen); err != nil {
		return found, fmt.Errorf("clear index of incidents: %w", err)
	}
	next = d.clearInterval
	return found, nil
}

// takeTurns takes the turns with all partitions that need care. After an error there may
// be some, which are to be given back.
func (d *Deduplicator) takeTurns(ctx context.Context) (turns map[redisclient.Partition]*turn, worst state, err error) {
	turns = make(map[redisclient.Partition]*turn)
	rank := len(urgencies)
	for _, p := range d.index.partitions.All() {
		t := &turn{index: &d.index, partition: p, token: rand.Text()}
		found, err := t.take(ctx)
		if err != nil {
			return turns, worst, err
		}
		if found == incomplete || found == due {
			turns[p] = t
		}
		if r := slices.Index(urgencies, found); r < rank {
			rank, worst = r, found
		}
	}
	return turns, worst, nil
}

// renewAll prolongs the turns. The error is errTurnLost if one is lost. Of many, those
// are left out that were prolonged not long ago.
func renewAll(ctx context.Context, turns map[redisclient.Partition]*turn) error {
	for _, t := range turns {
		if len(turns) > 1 && time.Since(t.renewed) < turnTime/5 {
			continue
		}
		if err := t.renew(ctx); err != nil {
			return err
		}
	}
	return nil
}

// build adds all objects in progress to the partitions of the index and marks them as
// complete. It returns the objects that it saw, and whether they are in progress.
func (d *Deduplicator) build(ctx context.Context, turns map[redisclient.Partition]*turn) (map[types.NamespacedName]bool, error) {
	seen := make(map[types.NamespacedName]bool)
	for token := ""; ; {
		objects, next, err := d.objects.Page(ctx, token)
		if err != nil {
			return nil, err
		}
		entries := make(map[redisclient.Partition][]entry)
		for n := range objects {
			object := &objects[n]
			seen[refOf(object)] = d.stands(object)
			place, ok := d.objects.PlaceOf(object)
			if !ok || !d.stands(object) {
				continue
			}
			for _, fingerprint := range object.Fingerprints() {
				i := d.index.incident(fingerprint, place)
				entries[i.partition] = append(entries[i.partition], entry{i, refOf(object)})
			}
		}
		if err := renewAll(ctx, turns); err != nil {
			return nil, err
		}
		for p, t := range turns {
			for batch := range slices.Chunk(entries[p], indexBatch) {
				conflicts, err := t.add(ctx, batch)
				if err != nil {
					return nil, err
				}
				if err := d.resolve(ctx, batch, conflicts); err != nil {
					return nil, err
				}
			}
		}
		if token = next; token == "" {
			break
		}
	}
	for _, t := range turns {
		if err := t.complete(ctx); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// clear removes from the index what is finished, gone, or was never made. It knows
// most objects from seen, and asks the cluster for those that are younger.
func (d *Deduplicator) clear(ctx context.Context, turns map[redisclient.Partition]*turn, seen map[types.NamespacedName]bool) error {
	servers, err := d.index.servers(ctx)
	if err != nil {
		return err
	}
	for _, server := range servers {
		if err := d.clearServer(ctx, server, turns, seen); err != nil {
			return err
		}
	}
	return nil
}

func (d *Deduplicator) clearServer(ctx context.Context, server server, turns map[redisclient.Partition]*turn, seen map[types.NamespacedName]bool) error {
	for cursor := uint64(0); ; {
		values, next, err := d.index.scan(ctx, server, cursor)
		if err != nil {
			return err
		}
		for i, value := range values {
			t := turns[i.partition]
			if t == nil {
				continue
			}
			if err := d.clearOne(ctx, t, i, value, seen); err != nil {
				return err
			}
		}
		if err := renewAll(ctx, turns); err != nil {
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
