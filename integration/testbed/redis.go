package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
	"k8s.io/apimachinery/pkg/util/wait"

	"stormgate.internal/tools/runfiles"
)

// Redis is a redis-server, which can be started again on its own data. Close it.
type Redis struct {
	// Addr is the path of its unix socket. Restart does not change it.
	Addr string
	// Process is the one that was started last. It may have ended.
	*Process

	binary string
	dir    string
	args   []string
	log    io.Writer
}

// RedisOptions configure a Redis.
type RedisOptions struct {
	// Binary is the server's program. Default: what RedisVariable names.
	Binary string
	// Args come after those that make a server without persistence, such as
	// "--appendonly", "yes".
	Args []string
	// Log gets its output; nil keeps only the end, for errors.
	Log io.Writer
}

// StartRedis starts a server with no data and waits until it answers.
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	logging.Disable() // servers that are away are expected
	if o.Binary == "" {
		var err error
		if o.Binary, err = runfiles.Program(RedisVariable, "redis-server"); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "redis") // unix sockets can't have long paths
	if err != nil {
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	r := &Redis{Addr: filepath.Join(dir, "s"), binary: o.Binary, dir: dir, args: o.Args, log: o.Log}
	if err := r.Restart(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Restart kills the server if it runs, starts it on the data that it has written, and
// waits until it answers. Without arguments that make it persist, it has written none.
func (r *Redis) Restart(ctx context.Context) error {
	if r.Process != nil {
		r.Kill()
	}
	args := append([]string{"--port", "0", "--unixsocket", r.Addr, "--dir", r.dir, "--save", "", "--appendonly", "no", "--daemonize", "no"}, r.args...)
	process, err := start("redis-server", exec.Command(r.binary, args...), r.log, nil)
	if err != nil {
		return err
	}
	r.Process = process
	if err := r.await(ctx); err != nil {
		r.Kill()
		return fmt.Errorf("start redis-server: %w; its output ends with:\n%s", err, r.Tail())
	}
	return nil
}

func (r *Redis) await(ctx context.Context) error {
	client := r.Client()
	defer client.Close()
	return poll(ctx, 2*time.Millisecond, r.exited, func() error { return client.Ping(ctx).Err() })
}

// Client returns a client for looking into the server. Close it.
func (r *Redis) Client() *redis.Client {
	// A large pool: the library stops dialling for a second after PoolSize failures.
	return redis.NewClient(&redis.Options{
		Network: "unix", Addr: r.Addr, MaxRetries: -1, DialerRetries: 1, PoolSize: 10_000, PipelinePoolSize: -1, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// Close kills the server and removes its data.
func (r *Redis) Close() {
	if r.Process != nil {
		r.Kill()
	}
	_ = os.RemoveAll(r.dir)
}

// errEnded means that the process that was asked has ended.
var errEnded = errors.New("it ended")

// poll asks until the answer is nil, the process has ended or the context has.
func poll(ctx context.Context, interval time.Duration, exited <-chan struct{}, ask func() error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, interval, true, func(context.Context) (bool, error) {
		if last = ask(); last == nil {
			return true, nil
		}
		select {
		case <-exited:
			return false, errEnded
		default:
			return false, nil
		}
	})
	if err == nil || errors.Is(err, errEnded) {
		return err
	}
	return fmt.Errorf("%w; last answer: %w", context.Cause(ctx), last)
}
