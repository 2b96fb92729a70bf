package boot

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/audit"
	"stormgate.internal/tools/cluster/internal/pki"
	"stormgate.internal/tools/internal/unixsocket"
)

// control answers on the connection of whoever started the cluster:
//
//	GET /boot                   the boot report with current usages
//	GET /writes                 who changed what, as api.Writes after the number in "after"
//	GET /credentials/IDENTITY   a kubeconfig, with a certificate of its own
//
// and passes on what the node answers: /images, /scopes/NAME, /end and /lives, see
// node.NewControlHandler. On DIR/control.sock, which any process of the user can open,
// it answers the questions among these, see api.ReadOnly.
type control struct {
	in     *initProcess
	bundle *pki.Bundle
	node   http.Handler
	writes *audit.Log

	nodeUp, apiUp chan struct{}
	client        kubernetes.Interface // set before apiUp is closed
}

// writesPatience bounds how long GET /writes waits for its own mark in the audit log.
const writesPatience = 15 * time.Second

func serveControl(ctx context.Context, in *initProcess, bundle *pki.Bundle, writes *audit.Log) (*control, error) {
	listener, err := fileListener(os.NewFile(controlDescriptor, "control.sock"))
	if err != nil {
		return nil, err
	}
	c := &control{
		in: in, bundle: bundle, node: nodeProxy(in.spec.Paths.nodeControl()), writes: writes,
		nodeUp: make(chan struct{}), apiUp: make(chan struct{}),
	}
	handler := c.handler()
	server := &http.Server{Handler: api.ReadOnly(handler), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	go server.Serve(listener)
	if in.spec.Controlled {
		go func() {
			// Its end is the starter's, who has the tether for that.
			if err := api.ServeControl(ctx, os.NewFile(starterDescriptor, "control connection"), handler); err != nil {
				in.log.Error("serve whoever started the cluster", "error", err)
			}
		}()
	}
	return c, nil
}

// nodeIsUp lets requests through that wait for the node. It is called once.
func (c *control) nodeIsUp() { close(c.nodeUp) }

// apiIsUp does the same for the API server, to which client leads. It is called once.
func (c *control) apiIsUp(client kubernetes.Interface) {
	c.client = client
	close(c.apiUp)
}

func (c *control) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.BootPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(c.in.snapshot())
	})
	// Requests may come while the cluster still boots: they wait for the part that
	// they are for. Images that are registered then wait as their pods would.
	for _, path := range []string{api.ImagesPath, api.ScopesPath, api.EndPath, api.LivesPath} {
		mux.Handle(path, after(c.nodeUp, c.node.ServeHTTP))
	}
	mux.Handle("GET "+api.WritesPath, after(c.apiUp, c.serveWrites))
	mux.HandleFunc("GET "+api.CredentialsPath+"{identity}", c.serveCredentials)
	return mux
}

func (c *control) serveCredentials(w http.ResponseWriter, r *http.Request) {
	identity, known := givenOut[r.PathValue("identity")]
	if !known {
		http.Error(w, fmt.Sprintf("no credentials are given out for %q, only for %q and %q", r.PathValue("identity"), api.IdentityAdmin, api.IdentityFixture), http.StatusNotFound)
		return
	}
	rendered, err := render(c.bundle, identity, publicServer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Write(rendered)
}

// after holds requests back until up is closed.
func after(up <-chan struct{}, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-up:
			serve(w, r)
		case <-r.Context().Done():
		}
	}
}

func (c *control) serveWrites(w http.ResponseWriter, r *http.Request) {
	seq, err := api.ParseAfter(r.URL)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), writesPatience, fmt.Errorf("%v have passed", writesPatience))
	defer cancel()
	writes, err := c.writes.Writes(ctx, seq, func(ctx context.Context, id string) error {
		return c.client.Discovery().RESTClient().Get().AbsPath(audit.MarkPath).SetHeader(audit.IDHeader, id).Do(ctx).Error()
	})
	switch {
	case err != nil && c.writes.Broken() != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(writes)
	}
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
