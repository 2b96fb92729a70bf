package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Run listens and serves until the context ends, and then shuts down: readiness
// says no at once; requests are still accepted for ShutdownPause; then the
// listener closes and what is being handled is finished. The error is nil if all
// of it was, within ShutdownBudget counted from the end of the context.
func (s *Server) Run(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.Addr, err)
	}
	return s.Serve(ctx, listener)
}

// Serve is Run on a listener, which it closes.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	httpServer := &http.Server{
		Handler:           s.handler,
		ReadTimeout:       s.ReadTimeout,
		ReadHeaderTimeout: s.ReadTimeout,
		WriteTimeout:      s.WriteTimeout,
		IdleTimeout:       s.IdleTimeout,
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(listener) }()
	s.Logger.Info("listening", "address", listener.Addr().String())

	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.ShutdownBudget)
	defer cancel()
	s.Logger.Info("shutting down", "pause", s.ShutdownPause.String(), "budget", s.ShutdownBudget.String())
	pause := time.NewTimer(s.ShutdownPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-deadline.Done():
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	}
	err := httpServer.Shutdown(deadline)
	if err != nil {
		err = errors.Join(fmt.Errorf("finish requests within %s: %w", s.ShutdownBudget, err), httpServer.Close())
	}
	<-served
	return err
}
