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

// Run listens and serves until the context ends, and then shuts down. Readiness fails
// at once. Requests are still accepted for ShutdownPause, and each answer ends its
// connection, so that the client's next request goes elsewhere. Then the listener closes,
// and the requests being handled are finished. The error is nil if all were, within
// ShutdownBudget counted from the end of the context.
func (s *Server) Run(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.options.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.options.Addr, err)
	}
	return s.Serve(ctx, listener)
}

// Serve is Run on a listener, which it closes.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	httpServer := s.httpServer()
	served := make(chan error, 1)
	go func() {
		if s.options.TLS == nil {
			served <- httpServer.Serve(listener)
		} else {
			served <- httpServer.ServeTLS(listener, "", "") // the certificate is TLSConfig's
		}
	}()
	s.options.Logger.Info("listening", "address", listener.Addr().String(), "tls", s.options.TLS != nil)

	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.ShutdownBudget)
	defer cancel()
	s.options.Logger.Info("shutting down", "pause", s.options.ShutdownPause.String(), "budget", s.options.ShutdownBudget.String())
	pause := time.NewTimer(s.options.ShutdownPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-deadline.Done():
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	}
	err := httpServer.Shutdown(deadline)
	if err != nil {
		err = errors.Join(fmt.Errorf("finish requests within %s: %w", s.options.ShutdownBudget, err), httpServer.Close())
	}
	<-served
	return err
}

// maxHeaderBytes limits the headers of a request together. They are read before anything is
// known of the sender, and a token has no more than 16 KiB. The library's default is 1 MiB.
const maxHeaderBytes = 64 << 10

func (s *Server) httpServer() *http.Server {
	return &http.Server{
		MaxHeaderBytes:    maxHeaderBytes,
		Handler:           s.handler,
		ReadTimeout:       s.options.ReadTimeout,
		ReadHeaderTimeout: s.options.ReadTimeout,
		WriteTimeout:      s.options.WriteTimeout,
		IdleTimeout:       s.options.IdleTimeout,
		ErrorLog:          slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelWarn),
		TLSConfig:         s.options.TLS,
	}
}

// partWhileDraining asks clients to make another connection for their next request.
// Connections that are kept would be closed at the end of the pause, at any moment: a
// request that was sent just then is lost, and its client can't know whether it was
// handled.
func (s *Server) partWhileDraining(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
