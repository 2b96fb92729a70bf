package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"
)

// ourName is what the suites' own connections are called in Redis.
const ourName = "stormgate-e2e"

// redisTimeout bounds one command.
const redisTimeout = 10 * time.Second

// DedupRecord is what the gateway remembers of an incident in Redis.
type DedupRecord struct {
	// Fields are those of the hash, empty if there is no record.
	Fields map[string]string
	// TTL is the time until it expires: 0 without a record, negative for one that
	// never expires.
	TTL time.Duration
}

// Exists reports whether there was a record.
func (r DedupRecord) Exists() bool { return len(r.Fields) > 0 }

// Record reads the deduplication record of an alert's incident.
func Record(ctx context.Context, alert Alert) DedupRecord {
	ginkgo.GinkgoHelper()
	record, err := readRecord(ctx, redisClient(), alert.Fingerprint())
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return record
}

func newRedisClient(address string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:        address,
		ClientName:  ourName,
		DialTimeout: redisTimeout, ReadTimeout: redisTimeout, WriteTimeout: redisTimeout,
		ContextTimeoutEnabled: true,
		PoolSize:              2,
	})
}

// readRecord takes content and TTL in one transaction, so that a record that
// expires in between is seen as gone or as there.
func readRecord(ctx context.Context, client *redis.Client, fingerprint string) (DedupRecord, error) {
	key := "gateway:dedup:fingerprint:" + fingerprint
	var fields *redis.MapStringStringCmd
	var ttl *redis.DurationCmd
	_, err := client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		fields, ttl = pipe.HGetAll(ctx, key), pipe.PTTL(ctx, key)
		return nil
	})
	if err != nil {
		return DedupRecord{}, fmt.Errorf("read redis key %s: %w", key, err)
	}
	record := DedupRecord{Fields: fields.Val(), TTL: ttl.Val()}
	if !record.Exists() {
		record.TTL = 0
	}
	return record, nil
}

// PauseRedis makes Redis leave every command that may write unanswered, the gateway's
// scripts among them, until resume is called, or for a minute. It ends with the spec.
func PauseRedis(ctx context.Context) (resume func(ctx context.Context)) {
	ginkgo.GinkgoHelper()
	client := redisClient()
	resume = func(ctx context.Context) {
		ginkgo.GinkgoHelper()
		gomega.Expect(client.Do(ctx, "CLIENT", "UNPAUSE").Err()).To(gomega.Succeed())
	}
	gomega.Expect(client.Do(ctx, "CLIENT", "PAUSE", time.Minute.Milliseconds(), "WRITE").Err()).To(gomega.Succeed())
	ginkgo.DeferCleanup(resume)
	return resume
}

// AwaitExpiry waits until Redis has forgotten the alert's incident. It fails the spec
// if there is no record at the beginning, or one that never expires.
func AwaitExpiry(ctx context.Context, alert Alert) {
	ginkgo.GinkgoHelper()
	record := Record(ctx, alert)
	gomega.Expect(record.Exists()).To(gomega.BeTrue(), "redis has no record of %s", alert.Name)
	gomega.Expect(record.TTL).To(gomega.BeNumerically(">", 0), "the record of %s never expires", alert.Name)
	gomega.Eventually(ctx, func(ctx context.Context) (map[string]string, error) {
		record, err := readRecord(ctx, here.redis, alert.Fingerprint())
		return record.Fields, err
	}).Should(gomega.BeEmpty(), "the record of %s must expire", alert.Name)
}
