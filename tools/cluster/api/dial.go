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

// Control returns a client for the control interface. The host in its URLs does not
// matter. It keeps no connection open between requests.
func (d Dir) Control() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: unixsocket.Dialer(d.ControlSocket()), DisableKeepAlives: true,
	}}
}
