package storm_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/storm"
)

// beforeStorm does something before the first alert reaches the storm's script.
type beforeStorm struct {
	once sync.Once
	do   func()
}

func (b *beforeStorm) DialHook(next redis.DialHook) redis.DialHook { return next }
func (b *beforeStorm) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if slices.ContainsFunc(cmd.Args(), func(arg any) bool { text, _ := arg.(string); return strings.HasPrefix(text, "alert:storm:rate:") }) {
			b.once.Do(b.do)
		}
		return next(ctx, cmd)
	}
}
func (b *beforeStorm) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Promise: an alert of which the claim was lost at the last moment, as when Redis was silent
// for longer than locks hold, and which another replica has stored meanwhile, is in one object,
// though that replica's storm is over by now.
func TestLostClaimMakesNoSecondObject(t *testing.T) {
	for _, how := range []string{"the other has ended its claim", "the other died before that"} {
		t.Run(how, func(t *testing.T) {
			server := redistest.Start(t)
			raw := server.Client()
			defer raw.Close()
			cluster := newCluster("shop", "fallback")
			indexed(t, server, cluster)
			clock := newClock()
			settings := config.Storm{
				BufferThreshold: 1, InactivityTimeout: seconds(1), MaxWindowDuration: seconds(5), DefaultMaxSize: 100, GlobalMaxSize: 200,
				SamplingThreshold: 1, SamplingRate: 1,
			}
			late := newReplica(t, server, cluster, replicaOptions{settings: settings, clock: clock})
			other := newReplica(t, server, cluster, replicaOptions{settings: settings, clock: clock})
			sig := storm.TestSignal("A", "shop", "1")
			incident := "gateway:dedup:incident:" + sig.Fingerprint + ":shop"
			lock := "gateway:dedup:lock:" + sig.Fingerprint + ":shop"
			late.redis.AddHook(&beforeStorm{do: func() {
				reserved := raw.Get(t.Context(), incident).Val()
				raw.Del(t.Context(), lock)
				outcome, err := other.Process(t.Context(), sig)
				if err != nil || outcome.Storm == nil || outcome.Storm.Kind != storm.Opened {
					t.Errorf("outcome of the other %+v, %v", outcome, err)
				}
				other.storms.Wait()
				s := &story{t: t, cluster: cluster, clock: clock, replica: other}
				s.flush(2 * time.Second)
				if keys := raw.Keys(t.Context(), "alert:storm:metadata:*").Val(); len(keys) != 0 {
					t.Errorf("the storm is not over: %v", keys)
				}
				if how == "the other died before that" {
					raw.Set(t.Context(), incident, reserved, 0)
				}
			}})
			outcome, err := late.Process(t.Context(), sig)
			if err != nil || outcome.Duplicate == nil || outcome.Duplicate.Count != 2 {
				t.Errorf("outcome %+v, %v", outcome, err)
			}
			late.storms.Wait()
			if objects := objectsOf(t, cluster); len(objects) != 1 {
				t.Errorf("%d objects for one alert", len(objects))
			}
		})
	}
}
