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

// Exclusively waits until no other spec of any process holds the environment,
// and holds it until this spec has ended. It is for specs that count what the
// gateway counts of everybody; they exclude only each other.
func Exclusively(ctx context.Context) {
	ginkgo.GinkgoHelper()
	h, err := takeHold(ctx, redisClient(), exclusiveKey)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	ginkgo.DeferCleanup(func(ctx context.Context) {
		gomega.Expect(h.release(ctx)).To(gomega.Succeed())
	})
}

// exclusiveKey lies beside the gateway's keys and is none of them.
const exclusiveKey = "e2e:exclusive"

const (
	// holdLife is how long the hold of a process that was killed stays.
	holdLife = 10 * time.Second
	// holdRenewal leaves room for four that fail.
	holdRenewal = 2 * time.Second
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
		taken, err := client.SetNX(ctx, key, h.token, holdLife).Result()
		if err != nil {
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
				// What went wrong shows at the end, if it lasted.
				_ = renewHold.Run(keep, client, []string{key}, h.token, holdLife.Milliseconds()).Err()
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
	renewHold = redis.NewScript(`return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0`)
	dropHold  = redis.NewScript(`return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0`)
)
