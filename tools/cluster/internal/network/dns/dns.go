// Package dns is the cluster's DNS server.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"stormgate.internal/tools/cluster/internal/network"
	"stormgate.internal/tools/cluster/internal/network/catalog"
)

const (
	// recordTTL is the TTL of records and of negative answers, in seconds:
	// short enough for a test that replaces a service.
	recordTTL = 5
	// syncPatience is how long a query waits for the catalog of a cluster that
	// has just started. Resolvers ask again after 5 s.
	syncPatience = 2 * time.Second
	// maxUDPAnswer keeps answers in one frame, whatever the client allows.
	maxUDPAnswer = 1232
)

// Options configure Run.
type Options struct {
	// Address is where to listen, for UDP and for TCP. Required.
	Address netip.AddrPort
	// Domain of the cluster. Default "cluster.local".
	Domain string
	// Networks are those whose addresses have their reverse names here: the
	// service and the pod CIDR. Reverse queries for others are refused.
	Networks []netip.Prefix
	// Sockets opens the listeners. Required.
	Sockets network.Sockets
	// Logger gets answers that can't be sent. Default slog.Default.
	Logger *slog.Logger
}

// Run answers for the cluster's domain, by the Kubernetes specification
// "DNS-Based Service Discovery" 1.1.0: services with a cluster IP, headless
// services with their endpoints' host names, external names, named ports
// (SRV), pods by address, and reverse names. It knows no other server, so it
// refuses all other names at once, but for those of one label, which do not
// exist: resolvers try the bare name of a service after all of the search list,
// and would take a refusal for a failure that may pass. It returns nil when ctx
// ends.
func Run(ctx context.Context, catalog *catalog.Catalog, options Options) error {
	if options.Domain == "" {
		options.Domain = "cluster.local"
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	answers := &handler{
		zone:   newZone(catalog, options.Domain, options.Address.Addr(), options.Networks),
		synced: catalog.Synced(),
		logger: options.Logger,
	}
	packets, err := options.Sockets.ListenUDP(options.Address)
	if err != nil {
		return fmt.Errorf("serve DNS: %w", err)
	}
	listener, err := options.Sockets.ListenTCP(options.Address)
	if err != nil {
		packets.Close()
		return fmt.Errorf("serve DNS: %w", err)
	}
	servers := []*dns.Server{
		{PacketConn: packets, Handler: answers},
		{Listener: listener, Handler: answers},
	}
	ended := make(chan error, len(servers))
	started := make(chan struct{}, len(servers))
	for _, server := range servers {
		server.NotifyStartedFunc = func() { started <- struct{}{} }
		go func() { ended <- server.ActivateAndServe() }()
	}
	return stopServers(ctx, servers, started, ended)
}

// stopServers waits for the end of ctx, or of a server by itself, and ends
// them all. Shutdown works only on a server that has started.
func stopServers(ctx context.Context, servers []*dns.Server, started <-chan struct{}, ended <-chan error) error {
	var failure error
	running := len(servers)
	for range servers {
		select {
		case <-started:
		case err := <-ended:
			failure = errors.Join(failure, err)
			running--
		}
	}
	if failure == nil {
		select {
		case <-ctx.Done():
		case err := <-ended:
			failure = fmt.Errorf("a server ended by itself: %w", err)
			running--
		}
	}
	for _, server := range servers {
		// Its error says only that the server is not running.
		_ = server.Shutdown()
	}
	for range running {
		<-ended
	}
	if failure != nil {
		return fmt.Errorf("serve DNS: %w", failure)
	}
	return nil
}

// handler is the protocol around a zone.
type handler struct {
	zone   *zone
	synced <-chan struct{}
	logger *slog.Logger
}

// ServeDNS implements dns.Handler. The server answers queries without exactly
// one question itself, with a format error.
func (h *handler) ServeDNS(writer dns.ResponseWriter, request *dns.Msg) {
	reply := h.reply(request)
	limit := dns.MaxMsgSize
	if _, udp := writer.LocalAddr().(*net.UDPAddr); udp {
		limit = dns.MinMsgSize
	}
	if edns := request.IsEdns0(); edns != nil {
		reply.SetEdns0(maxUDPAnswer, false)
		if limit == dns.MinMsgSize {
			limit = min(maxUDPAnswer, max(limit, int(edns.UDPSize())))
		}
	}
	reply.Truncate(limit)
	if err := writer.WriteMsg(reply); err != nil {
		h.logger.Info("send DNS answer", "client", writer.RemoteAddr(), "error", err)
	}
}

func (h *handler) reply(request *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	question := request.Question[0]
	switch {
	case request.Opcode != dns.OpcodeQuery:
		return reply.SetRcode(request, dns.RcodeNotImplemented)
	case question.Qclass != dns.ClassINET:
		return reply.SetRcode(request, dns.RcodeRefused)
	}
	origin, ok := h.zone.originOf(strings.ToLower(question.Name))
	switch {
	case !ok && dns.CountLabel(question.Name) == 1:
		return reply.SetRcode(request, dns.RcodeNameError)
	case !ok:
		return reply.SetRcode(request, dns.RcodeRefused)
	case !h.awaitSync():
		return reply.SetRcode(request, dns.RcodeServerFailure)
	}
	reply.SetReply(request)
	reply.Authoritative = true
	reply.Compress = true
	var exists bool
	reply.Answer, reply.Extra, exists = h.zone.lookup(question.Name, question.Qtype)
	if !exists {
		reply.Rcode = dns.RcodeNameError
	}
	if len(reply.Answer) == 0 {
		reply.Ns = []dns.RR{soa(origin)}
	}
	return reply
}

func (h *handler) awaitSync() bool {
	select {
	case <-h.synced:
		return true
	case <-time.After(syncPatience):
		return false
	}
}
