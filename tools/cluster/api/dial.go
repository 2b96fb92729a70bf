package api

import (
	"context"
	"net"
	"net/http"

	"stormgate.internal/tools/internal/unixsocket"
)

// DialAPI connects to the API server, whatever network and address say: it is for
// rest.Config's field Dial.
func (d Dir) DialAPI(ctx context.Context, _, _ string) (net.Conn, error) {
	return unixsocket.Dial(ctx, d.APISocket())
}

// Ask returns a client for what ControlSocket answers. The host in its URLs does not
// matter. It keeps no connection open between requests. Whoever can write to the
// directory can put a socket of their own there: what has to be true is asked with
// [Process.Control].
func (d Dir) Ask() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: unixsocket.Dialer(d.ControlSocket()), DisableKeepAlives: true,
	}}
}
