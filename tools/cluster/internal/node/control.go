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

// Containers is what the control API needs of the container runtime.
type Containers interface {
	// End kills all that runs in the pods of namespaces and waits for its end.
	End(ctx context.Context, namespaces []string) error
	// Lives returns the beginnings and ends of containers after number seq, with all that
	// has happened when it is called.
	Lives(ctx context.Context, seq uint64) (api.Lives, error)
}

// NewControlHandler serves the node's control API:
//
//	GET    /images        the image table, without scopes, as a JSON list of api.Image
//	PUT    /images        a JSON list; each image replaces the one with its reference
//	PUT    /scopes/NAME   an api.Scope, which replaces the scope of that name
//	DELETE /scopes/NAME   forgets the scope; no error if there is none
//	POST   /end           an api.End; answered when the last process is gone, and cleanUp has
//	                      removed what is left of them
//	GET    /lives         api.Lives after the number in the parameter "after"
//
// PUT, DELETE and POST answer 204. PUT is all or nothing. Errors are JSON objects
// with an "error" text: 400 for a body or parameter that can't be read or is not
// valid, 409 for a namespace of another scope, 413 for more than 8 MiB, 422 for
// images whose files the node can't find, 500 for processes that could not be killed or
// whose end did not come.
func NewControlHandler(images *image.Table, containers Containers, cleanUp func(api.End) error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.ImagesPath, func(w http.ResponseWriter, _ *http.Request) {
		list := images.List()
		if list == nil {
			list = []api.Image{}
		}
		writeJSON(w, http.StatusOK, list)
	})
	mux.HandleFunc("PUT "+api.ImagesPath, answering(func(r *http.Request) (int, error) {
		return putImages(images, r.Body)
	}))
	mux.HandleFunc("PUT "+api.ScopesPath+"{name}", answering(func(r *http.Request) (int, error) {
		return putScope(images, r.PathValue("name"), r.Body)
	}))
	mux.HandleFunc("DELETE "+api.ScopesPath+"{name}", answering(func(r *http.Request) (int, error) {
		images.DeleteScope(r.PathValue("name"))
		return http.StatusNoContent, nil
	}))
	mux.HandleFunc("POST "+api.EndPath, answering(func(r *http.Request) (int, error) {
		return end(r.Context(), containers, cleanUp, r.Body)
	}))
	mux.HandleFunc("GET "+api.LivesPath, func(w http.ResponseWriter, r *http.Request) {
		after, err := api.ParseAfter(r.URL)
		if err != nil {
			writeError(w, http.StatusBadRequest, err)
			return
		}
		lives, err := containers.Lives(r.Context(), after)
		if err != nil {
			writeError(w, http.StatusInternalServerError, err)
			return
		}
		writeJSON(w, http.StatusOK, lives)
	})
	return mux
}

// answering serves what has no answer but a status code and an error.
func answering(handle func(*http.Request) (int, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxControlBody)
		code, err := handle(r)
		if err != nil {
			writeError(w, code, err)
			return
		}
		w.WriteHeader(code)
	}
}

// putImages and its like return the status code to send, with an error or without.
func putImages(images *image.Table, body io.Reader) (int, error) {
	var list []api.Image
	if code, err := decode(body, "image list", &list); err != nil {
		return code, err
	}
	if code, err := checkImages(list); err != nil {
		return code, err
	}
	if err := images.Put(list...); err != nil {
		return http.StatusBadRequest, err
	}
	return http.StatusNoContent, nil
}

func putScope(images *image.Table, name string, body io.Reader) (int, error) {
	var scope api.Scope
	if code, err := decode(body, fmt.Sprintf("scope %q", name), &scope); err != nil {
		return code, err
	}
	if code, err := checkImages(scope.Images); err != nil {
		return code, fmt.Errorf("scope %q: %w", name, err)
	}
	err := images.PutScope(name, scope)
	switch {
	case errors.As(err, new(*image.ConflictError)):
		return http.StatusConflict, err
	case err != nil:
		return http.StatusBadRequest, err
	}
	return http.StatusNoContent, nil
}

func end(ctx context.Context, containers Containers, cleanUp func(api.End) error, body io.Reader) (int, error) {
	var end api.End
	if code, err := decode(body, "namespaces to end", &end); err != nil {
		return code, err
	}
	if err := containers.End(ctx, end.Namespaces); err != nil {
		return http.StatusInternalServerError, fmt.Errorf("end namespaces %q: %w", end.Namespaces, err)
	}
	if err := cleanUp(end); err != nil {
		return http.StatusInternalServerError, fmt.Errorf("end namespaces %q: %w", end.Namespaces, err)
	}
	return http.StatusNoContent, nil
}

// checkImages refuses images that could not run.
func checkImages(list []api.Image) (int, error) {
	for i, entry := range list {
		if err := entry.Validate(); err != nil {
			return http.StatusBadRequest, fmt.Errorf("image %d of the list: %w", i+1, err)
		}
		if err := entry.CheckFiles(); err != nil {
			return http.StatusUnprocessableEntity, fmt.Errorf("image %d of the list: %w", i+1, err)
		}
	}
	return 0, nil
}

// decode reads a body that is one JSON value.
func decode(body io.Reader, what string, value any) (int, error) {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value); err != nil {
		return bodyError(err), fmt.Errorf("read %s: %w", what, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return bodyError(err), fmt.Errorf("read %s: there is more after its end", what)
	}
	return 0, nil
}

func bodyError(err error) int {
	if errors.As(err, new(*http.MaxBytesError)) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

func writeError(w http.ResponseWriter, code int, err error) {
	writeJSON(w, code, map[string]string{"error": err.Error()})
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
