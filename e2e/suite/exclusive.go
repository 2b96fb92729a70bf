package suite

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"
)

// Exclusively waits until no other spec of any process holds the environment, and
// holds it until this spec has ended. Specs that wait get it in the order in which they
// came. It is for specs that read the gateway's counters, which count the requests of
// all clients. It excludes only other specs that call it.
func Exclusively(ctx context.Context) {
	ginkgo.GinkgoHelper()
	h, err := takeHold(ctx, redisClient(), exclusiveKey)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	ginkgo.DeferCleanup(func(ctx context.Context) {
		gomega.Expect(h.release(ctx)).To(gomega.Succeed())
	})
}

// exclusiveKey is not one of the gateway's keys, which have another prefix.
const exclusiveKey = "e2e:exclusive"

const (
	// holdTTL is how long the hold of a process that was killed stays.
	holdTTL = 10 * time.Second
	// holdRenewal is short enough that four renewals in a row may fail.
	holdRenewal = 2 * time.Second
	// waitTTL is how long a process that was killed while it waited keeps others
	// waiting behind it.
	waitTTL = 2 * time.Second
)

// hold is a key in Redis that only one process at a time has.
type hold struct {
	client *redis.Client
	key    string
	token  string
	stop   context.CancelFunc
	kept   sync.WaitGroup
}

// errHoldLost means that somebody else may have run at the same time.
var errHoldLost = errors.New("the hold of the environment was lost before its end")

func takeHold(ctx context.Context, client *redis.Client, key string) (*hold, error) {
	h := &hold{client: client, key: key, token: rand.Text()}
	for {
		taken, err := queueForHold.Run(ctx, client, []string{key}, h.token, holdTTL.Milliseconds(), waitTTL.Milliseconds()).Bool()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("take %s: %w", key, err)
		}
		if taken {
			break
		}
		select {
		case <-time.After(Interval):
		case <-ctx.Done():
			return nil, fmt.Errorf("take %s: another process holds it: %w", key, context.Cause(ctx))
		}
	}
	keep, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.kept.Go(func() {
		tick := time.NewTicker(holdRenewal)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				// An error that lasts shows at the end, as a hold that was lost.
				_ = renewHold.Run(keep, client, []string{key}, h.token, holdTTL.Milliseconds()).Err()
			case <-keep.Done():
				return
			}
		}
	})
	return h, nil
}

func (h *hold) release(ctx context.Context) error {
	h.stop()
	h.kept.Wait()
	released, err := dropHold.Run(ctx, h.client, []string{h.key}, h.token).Int()
	if err != nil {
		return fmt.Errorf("release %s: %w", h.key, err)
	}
	if released == 0 {
		return errHoldLost
	}
	return nil
}

var (
	// There is a queue, since otherwise a process that takes the hold again and again
	// would win against processes that only look from time to time.
	queueForHold = redis.NewScript(`
local queue, waits = KEYS[1] .. ':queue', KEYS[1] .. ':waits:'
local time = redis.call('TIME')
redis.call('SET', waits .. ARGV[1], '', 'PX', ARGV[3])
redis.call('ZADD', queue, 'NX', time[1] * 1000000 + time[2], ARGV[1])
local first = redis.call('ZRANGE', queue, 0, 0)[1]
while redis.call('EXISTS', waits .. first) == 0 do
  redis.call('ZREM', queue, first)
  first = redis.call('ZRANGE', queue, 0, 0)[1]
end
if first ~= ARGV[1] or not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
redis.call('ZREM', queue, ARGV[1])
redis.call('DEL', waits .. ARGV[1])
return true`)
	renewHold = redis.NewScript(`return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0`)
	dropHold  = redis.NewScript(`return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0`)
)
