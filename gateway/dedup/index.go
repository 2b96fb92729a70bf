package dedup

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/signal"
)

// The operations as metrics name them.
const (
	opCheck = "deduplication_check"
	opStore = "deduplication_store"
)

// index reads and writes what Redis holds for signals. Errors are
// *redisclient.UnavailableError; so is a reply that the scripts do not make.
type index struct {
	client     redis.UniversalClient
	partitions redisclient.Partitions
	ttl        time.Duration
	metrics    *metrics.Metrics
}

func (x *index) incident(fingerprint, place string) incident {
	return incident{fingerprint, place, x.partitions.Of(fingerprint)}
}

// standing is what begin.lua found to stand for an incident.
type standing int

const (
	// held means that somebody else holds the lock.
	held standing = iota + 1
	// known means that an object stands for it.
	known
	// certain means that there is no object. In this case and in those below, the
	// caller holds the lock and a reservation.
	certain
	// unsure means that there may be an object, since the index is not complete.
	unsure
	// left means that an earlier holder may have made an object, or may yet.
	left
)

// begun is the reply of begin.lua.
type begun struct {
	standing standing
	object   types.NamespacedName // if known
	name     string               // if reserved
}

func parseBegun(reply []string) (begun, error) {
	if len(reply) == 1 && reply[0] == "held" {
		return begun{standing: held}, nil
	}
	if len(reply) == 2 {
		switch reply[0] {
		case "object":
			return begun{standing: known, object: parseRef(reply[1])}, nil
		case "new":
			return begun{standing: certain, name: reply[1]}, nil
		case "unsure":
			return begun{standing: unsure, name: reply[1]}, nil
		case "left":
			return begun{standing: left, name: reply[1]}, nil
		}
	}
	return begun{}, fmt.Errorf("read reply of begin.lua: %q is none", reply)
}

// begin starts the handling of a signal. The token is the caller's own.
func (x *index) begin(ctx context.Context, i incident, token, proposedName string) (begun, error) {
	return run(ctx, x, opCheck, beginScript, func(reply *redis.Cmd) (begun, error) {
		words, err := reply.StringSlice()
		if err != nil {
			return begun{}, err
		}
		return parseBegun(words)
	}, []string{i.key(), i.lock(), markerKey + i.partition.Suffix()}, token, proposedName, lockTime.Milliseconds())
}

// settle ends the reservation with the token. The reservation may have been lost, and
// the incident may be another object's by now. That object is then returned.
func (x *index) settle(ctx context.Context, i incident, token string, rec record) (other types.NamespacedName, err error) {
	args := append([]any{token, pointer(rec.ref), x.ttl.Milliseconds()}, rec.args()...)
	return run(ctx, x, opStore, settleScript, func(reply *redis.Cmd) (types.NamespacedName, error) {
		value, err := reply.Text()
		if err != nil || value == "" {
			return types.NamespacedName{}, err
		}
		ref, ok := pointee(value)
		if !ok {
			return types.NamespacedName{}, fmt.Errorf("read reply of settle.lua: %q names no object", value)
		}
		return ref, nil
	}, []string{i.record(), i.key(), i.lock()}, args...)
}

// count writes the record of an incident that is the object's.
func (x *index) count(ctx context.Context, i incident, rec record) error {
	args := append([]any{pointer(rec.ref), x.ttl.Milliseconds()}, rec.args()...)
	return x.store(ctx, countScript, []string{i.record(), i.key()}, args...)
}

// touch counts an occurrence in the record of the object or, if ref is zero, of the
// signal's namespace. It returns nil if there is none.
func (x *index) touch(ctx context.Context, i incident, sig *signal.Signal, ref types.NamespacedName) (*record, error) {
	field, value := "remediationRequestRef", ref.String()
	if ref.Name == "" {
		field, value = "namespace", sig.Namespace
	}
	return run(ctx, x, opStore, touchScript, func(reply *redis.Cmd) (*record, error) {
		values, err := reply.Slice()
		if err != nil || len(values) == 0 {
			return nil, err
		}
		rec := parseRecord(values)
		return &rec, nil
	}, []string{i.record()}, sig.ReceivedTime.UTC().Format(time.RFC3339), x.ttl.Milliseconds(), field, value)
}

// forget takes the incident from one object, and gives it to another unless that
// is zero.
func (x *index) forget(ctx context.Context, i incident, ref, instead types.NamespacedName) error {
	to := ""
	if instead.Name != "" {
		to = instead.String()
	}
	return x.store(ctx, forgetScript, []string{i.record(), i.key()}, ref.String(), to)
}

// release gives the lock back if it is the token's, and the reservation with it if
// discard is set.
func (x *index) release(ctx context.Context, i incident, token string, discard bool) error {
	what := ""
	if discard {
		what = "discard"
	}
	return x.store(ctx, releaseScript, []string{i.key(), i.lock()}, token, what)
}

// renew prolongs a flight's lock, or takes it again if it has expired and is nobody's, or
// another token's. The flight knows then whether it is unbroken. Registered says that an
// object stands for the incident by now.
func (x *index) renew(ctx context.Context, f *flight, from string) (registered bool, err error) {
	asked := time.Now()
	reply, err := run(ctx, x, opCheck, renewScript, (*redis.Cmd).Int, f.keys(), f.token, lockTime.Milliseconds(), from)
	if err == nil {
		f.confirm(asked, reply > 0)
	}
	return reply > 1, err
}

// renewAll does so for many flights, which need not go on. It is no operation of metrics.
func (x *index) renewAll(ctx context.Context, flights []*flight) error {
	prolong, giveBack := x.client.Pipeline(), x.client.Pipeline()
	replies := make([]*redis.Cmd, len(flights))
	for n, f := range flights {
		replies[n] = prolong.Eval(ctx, renewSource, f.keys(), f.token, lockTime.Milliseconds(), "")
	}
	asked := time.Now()
	_, err := prolong.Exec(ctx)
	for n, f := range flights {
		if reply, failed := replies[n].Int(); failed == nil {
			f.confirm(asked, reply > 0)
		}
		// Its lock may have been given back before, and have been taken for nobody.
		if f.ending.Load() {
			giveBack.Eval(ctx, releaseSource, f.keys(), f.token, "")
		}
	}
	if giveBack.Len() > 0 {
		_, failed := giveBack.Exec(ctx)
		err = errors.Join(err, failed)
	}
	return err
}

// entry says that an object stands for an incident.
type entry struct {
	incident incident
	object   types.NamespacedName
}

// conflict is an entry that was not made, since the incident is another object's.
type conflict struct {
	position int // of the entry, counted from 0
	object   types.NamespacedName
}

// register makes entries, which are of one object and in one partition, and their records.
func (x *index) register(ctx context.Context, entries []entry, records []record) ([]conflict, error) {
	keys := make([]string, 0, 2*len(entries))
	args := make([]any, 0, 3+recordArgs*len(entries))
	args = append(args, pointer(entries[0].object), x.ttl.Milliseconds(), recordArgs)
	for n, e := range entries {
		keys = append(keys, e.incident.record(), e.incident.key())
		args = append(args, records[n].args()...)
	}
	return run(ctx, x, opStore, registerScript, conflictsAmong(entries), keys, args...)
}

// conflictsAmong reads a reply of positions, which the scripts count from 1, and of
// the values of those incidents.
func conflictsAmong(entries []entry) func(*redis.Cmd) ([]conflict, error) {
	return func(reply *redis.Cmd) ([]conflict, error) {
		values, err := reply.Slice()
		if err != nil {
			return nil, err
		}
		var conflicts []conflict
		for ; len(values) >= 2; values = values[2:] {
			position, _ := values[0].(int64)
			value, _ := values[1].(string)
			object, ok := pointee(value)
			if !ok || position < 1 || position > int64(len(entries)) {
				break
			}
			conflicts = append(conflicts, conflict{int(position) - 1, object})
		}
		if len(values) > 0 {
			return nil, fmt.Errorf("read reply of a script: %v are no position and object of %d entries", values, len(entries))
		}
		return conflicts, nil
	}
}

func (x *index) store(ctx context.Context, script *redis.Script, keys []string, args ...any) error {
	_, err := run(ctx, x, opStore, script, (*redis.Cmd).Result, keys, args...)
	return err
}

// run runs a script, reads its reply, and counts both as one operation.
func run[T any](ctx context.Context, x *index, operation string, script *redis.Script, read func(*redis.Cmd) (T, error), keys []string, args ...any) (T, error) {
	start := time.Now()
	result, err := read(script.Run(ctx, x.client, keys, args...))
	x.metrics.RedisOperation(operation, time.Since(start))
	if err != nil {
		x.metrics.RedisOperationFailed(operation)
		var none T
		return none, &redisclient.UnavailableError{Op: operation, Err: err}
	}
	return result, nil
}

// What follows is for the care of the index. It is no operation of metrics, and its
// errors are the client's own.

// server is one of those that hold the index. A Redis Cluster has several.
type server interface {
	Scan(ctx context.Context, cursor uint64, match string, count int64) *redis.ScanCmd
}

// servers returns all of them.
func (x *index) servers(ctx context.Context) (servers []server, err error) {
	cluster, ok := x.client.(*redis.ClusterClient)
	if !ok {
		return []server{x.client}, nil
	}
	var mu sync.Mutex // masters come side by side
	err = cluster.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		servers = append(servers, master)
		return nil
	})
	return servers, err
}

// scan returns some incidents of a server with their values, and the cursor of the next
// ones. The cursor 0 begins and ends. The value of an incident that is gone by now is "".
func (x *index) scan(ctx context.Context, s server, cursor uint64) (values map[incident]string, next uint64, err error) {
	keys, next, err := s.Scan(ctx, cursor, incidentPrefix+"*", indexBatch).Result()
	if err != nil || len(keys) == 0 {
		return nil, next, err
	}
	byPartition := make(map[redisclient.Partition][]string)
	for _, key := range keys {
		p := parseIncident(key).partition
		byPartition[p] = append(byPartition[p], key)
	}
	values = make(map[incident]string, len(keys))
	for _, keys := range byPartition {
		found, err := x.client.MGet(ctx, keys...).Result()
		if err != nil {
			return nil, 0, err
		}
		for n, key := range keys {
			values[parseIncident(key)], _ = found[n].(string)
		}
	}
	return values, next, nil
}

// abandon removes a reservation, given its value, that led to nothing.
func (x *index) abandon(ctx context.Context, i incident, value string) error {
	return abandonScript.Run(ctx, x.client, []string{i.key(), i.lock()}, value).Err()
}

// state is what turn.lua found the index to be in.
type state string

const (
	resting    state = "rest"       // complete, and cleared not long ago
	busy       state = "busy"       // cared for by another replica in its turn
	blind      state = "blind"      // not to be relied on: what Redis holds can't be known
	evicting   state = "evicting"   // not to be relied on: Redis may drop any key
	incomplete state = "incomplete" // to be built; it is the caller's turn
	due        state = "due"        // to be cleared; it is the caller's turn
)

// errTurnLost says that it is another replica's turn by now, or that Redis lost its
// data.
var errTurnLost = errors.New("turn to care for the index is lost")

// turn is the right of one replica to care for a partition of the index.
type turn struct {
	index     *index
	partition redisclient.Partition
	token     string
	// identity is that of the data which Redis held when the turn began.
	identity string
	// takenAt is when it began, by the server's clock, in milliseconds.
	takenAt int64
	// renewed is when it was last prolonged, by this process' clock.
	renewed time.Time
}

// key returns the partition's own key of those that each has.
func (t *turn) key(name string) string { return name + t.partition.Suffix() }

// take returns the state of the partition. The turn is the caller's if it is incomplete
// or due.
func (t *turn) take(ctx context.Context) (state, error) {
	reply, err := turnScript.Run(ctx, t.index.client, []string{t.key(markerKey), t.key(restKey), t.key(turnKey)}, t.token, turnTime.Milliseconds()).StringSlice()
	if err != nil {
		return "", err
	}
	return t.parse(reply)
}

func (t *turn) parse(reply []string) (state, error) {
	if len(reply) > 0 {
		switch found := state(reply[0]); found {
		case resting, busy, evicting, blind:
			if len(reply) == 1 {
				return found, nil
			}
		case incomplete, due:
			if len(reply) != 3 {
				break
			}
			at, err := strconv.ParseInt(reply[2], 10, 64)
			if err != nil {
				return found, fmt.Errorf("read the server's time: %w", err)
			}
			t.identity, t.takenAt = reply[1], at
			return found, nil
		}
	}
	return "", fmt.Errorf("read reply of turn.lua: %q is none", reply)
}

// renew prolongs the turn. The error is errTurnLost if it is another replica's.
func (t *turn) renew(ctx context.Context) error {
	_, err := t.add(ctx, nil)
	return err
}

// add makes the entries whose incidents are no other object's, and prolongs the turn.
// The error is errTurnLost if it is another replica's.
func (t *turn) add(ctx context.Context, entries []entry) ([]conflict, error) {
	keys := append(make([]string, 0, 1+2*len(entries)), t.key(turnKey))
	args := append(make([]any, 0, 2+len(entries)), t.token, turnTime.Milliseconds())
	for _, e := range entries {
		keys = append(keys, e.incident.key(), e.incident.lock())
		args = append(args, pointer(e.object))
	}
	conflicts, err := conflictsAmong(entries)(indexScript.Run(ctx, t.index.client, keys, args...))
	if errors.Is(err, redis.Nil) {
		return nil, errTurnLost
	}
	t.renewed = time.Now()
	return conflicts, err
}

// complete marks the index as complete. The error is errTurnLost if it is another
// replica's turn, or if the data are not those in which it began.
func (t *turn) complete(ctx context.Context) error {
	done, err := completeScript.Run(ctx, t.index.client, []string{t.key(markerKey), t.key(turnKey)}, t.token, t.identity).Int()
	if err == nil && done == 0 {
		err = errTurnLost
	}
	return err
}

// giveBack ends the turn. Care is due again after next, at once if that is 0.
func (t *turn) giveBack(ctx context.Context, next time.Duration) error {
	return restScript.Run(ctx, t.index.client, []string{t.key(restKey), t.key(turnKey)}, t.token, next.Milliseconds()).Err()
}

// A script is stored as a file, in which a comment says what it takes and returns.
// Some are prefixed with functions that they share.
var (
	//go:embed scripts/server.lua
	serverSource string
	//go:embed scripts/record.lua
	recordSource string

	//go:embed scripts/begin.lua
	beginSource string
	//go:embed scripts/settle.lua
	settleSource string
	//go:embed scripts/count.lua
	countSource string
	//go:embed scripts/touch.lua
	touchSource string
	//go:embed scripts/forget.lua
	forgetSource string
	//go:embed scripts/release.lua
	releaseSource string
	//go:embed scripts/renew.lua
	renewSource string
	//go:embed scripts/register.lua
	registerSource string
	//go:embed scripts/turn.lua
	turnSource string
	//go:embed scripts/index.lua
	indexSource string
	//go:embed scripts/complete.lua
	completeSource string
	//go:embed scripts/abandon.lua
	abandonSource string
	//go:embed scripts/rest.lua
	restSource string

	beginScript    = redis.NewScript(serverSource + beginSource)
	settleScript   = redis.NewScript(recordSource + settleSource)
	countScript    = redis.NewScript(recordSource + countSource)
	touchScript    = redis.NewScript(touchSource)
	forgetScript   = redis.NewScript(forgetSource)
	releaseScript  = redis.NewScript(releaseSource)
	renewScript    = redis.NewScript(renewSource)
	registerScript = redis.NewScript(recordSource + registerSource)
	turnScript     = redis.NewScript(serverSource + turnSource)
	indexScript    = redis.NewScript(indexSource)
	completeScript = redis.NewScript(serverSource + completeSource)
	abandonScript  = redis.NewScript(abandonSource)
	restScript     = redis.NewScript(restSource)
)
