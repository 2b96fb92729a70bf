package boot

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/internal/unixsocket"
)

// control answers on DIR/control.sock:
//
//	GET /boot     the boot report with current usages
//	PUT /images   adds images to the node's table, replacing those of the same reference
//	GET /images   the node's table
type control struct {
	in     *initProcess
	images http.Handler

	once sync.Once
	up   chan struct{}
}

func serveControl(ctx context.Context, in *initProcess) (*control, error) {
	listener, err := fileListener(os.NewFile(controlDescriptor, "control.sock"))
	if err != nil {
		return nil, err
	}
	c := &control{in: in, up: make(chan struct{}), images: nodeProxy(in.spec.Paths.nodeControl())}
	server := &http.Server{Handler: c.handler(), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	go server.Serve(listener)
	return c, nil
}

// nodeIsUp lets requests through that wait for the node.
func (c *control) nodeIsUp() { c.once.Do(func() { close(c.up) }) }

func (c *control) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.BootPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(c.in.snapshot())
	})
	mux.HandleFunc(api.ImagesPath, func(w http.ResponseWriter, r *http.Request) {
		// Images may be registered while the cluster still boots: the request
		// waits for the node as its pods would.
		select {
		case <-c.up:
			c.images.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
	return mux
}

// nodeProxy forwards requests to the node's own control socket.
func nodeProxy(socket string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "node"}) },
		Transport: unixTransport(socket),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, fmt.Sprintf("forward to the node: its control socket does not answer: %v; see logs/node.log in the cluster's directory", err), http.StatusBadGateway)
		},
	}
}

func unixTransport(socket string) *http.Transport {
	return &http.Transport{DialContext: unixsocket.Dialer(socket)}
}
