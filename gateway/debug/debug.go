// Package debug serves profiles of the running process.
package debug

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"
)

// Start serves /debug/pprof/ on the address, host:port. It is for one person on
// the same machine: it asks for no credentials, so give it a loopback address.
// The returned function stops it and waits.
func Start(ctx context.Context, addr string, logger *slog.Logger) (stop func(), err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for profiles on %s: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("serving profiles ended", "error", err)
		}
	})
	logger.Info("serving profiles", "address", listener.Addr().String())
	return func() {
		_ = server.Close() // a profile that is being taken ends with the process
		serving.Wait()
	}, nil
}
