package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/image"
)

// maxControlBody bounds what a client may send, in bytes.
const maxControlBody = 8 << 20

// NewControlHandler serves the node's control API:
//
//	GET /images   the image table as a JSON list of api.Image
//	PUT /images   a JSON list; each image replaces the one with its reference
//
// PUT answers 204 and is all or nothing. Errors are JSON objects with an
// "error" text: 400 for what is no list of valid images, 413 for more than
// 8 MiB, 422 for images whose files the node can't find.
func NewControlHandler(images *image.Table) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.ImagesPath, func(w http.ResponseWriter, _ *http.Request) {
		list := images.List()
		if list == nil {
			list = []api.Image{}
		}
		writeJSON(w, http.StatusOK, list)
	})
	mux.HandleFunc("PUT "+api.ImagesPath, func(w http.ResponseWriter, r *http.Request) {
		if code, err := putImages(images, http.MaxBytesReader(w, r.Body, maxControlBody)); err != nil {
			writeJSON(w, code, map[string]string{"error": err.Error()})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// putImages returns the status code to send with its error.
func putImages(images *image.Table, body io.Reader) (int, error) {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	var list []api.Image
	if err := decoder.Decode(&list); err != nil {
		return bodyError(err), fmt.Errorf("read image list: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return bodyError(err), errors.New("read image list: there is more after the end of the list")
	}
	for i, entry := range list {
		if err := entry.Validate(); err != nil {
			return http.StatusBadRequest, fmt.Errorf("image %d of the list: %w", i+1, err)
		}
		if err := entry.CheckFiles(); err != nil {
			return http.StatusUnprocessableEntity, fmt.Errorf("image %d of the list: %w", i+1, err)
		}
	}
	if err := images.Put(list...); err != nil {
		return http.StatusBadRequest, err
	}
	return http.StatusOK, nil
}

func bodyError(err error) int {
	if errors.As(err, new(*http.MaxBytesError)) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

func writeJSON(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// It fails when the client has gone, and then there is no one to report to.
	_ = json.NewEncoder(w).Encode(value)
}

// listenControl opens the socket, which a dead node may have left behind, for
// the own user only.
func listenControl(path string) (net.Listener, error) {
	if len(path) > api.MaxSocketPath {
		return nil, fmt.Errorf("control socket %q has %d bytes, the kernel takes %d: choose a shorter directory", path, len(path), api.MaxSocketPath)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove old control socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	return listener, nil
}

// serveControl serves until ctx ends, and removes the socket.
func serveControl(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve control API: %w", err)
	}
	return nil
}
