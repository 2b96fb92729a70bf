package faultproxy

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer returns a server for a Proxy or its Control. It speaks HTTP/1.1 on any
// listener, with TLS or without.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}
