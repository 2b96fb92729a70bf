package proxy

import (
	"net/netip"
	"testing"
	"time"
)

func addrPorts(texts ...string) []netip.AddrPort {
	var result []netip.AddrPort
	for _, text := range texts {
		result = append(result, netip.MustParseAddrPort(text))
	}
	return result
}

func TestBalancerUsesAllBackends(t *testing.T) {
	b := newBalancer(time.Now)
	backends := addrPorts("10.244.0.3:80", "10.244.0.4:80", "10.244.0.5:80")
	b.update(backends, 0)
	client := netip.MustParseAddr("10.244.0.9")
	first := map[netip.AddrPort]int{}
	for range 300 {
		order := b.candidates(client)
		if len(order) != len(backends) {
			t.Fatalf("%d candidates, want all %d", len(order), len(backends))
		}
		first[order[0]]++
		b.chosen(client, order[0])
	}
	for _, backend := range backends {
		if first[backend] == 0 {
			t.Errorf("%s was never chosen first in 300 times", backend)
		}
	}
}

func TestBalancerKeepsClientsWithAffinity(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBalancer(func() time.Time { return now })
	backends := addrPorts("10.244.0.3:80", "10.244.0.4:80", "10.244.0.5:80", "10.244.0.6:80")
	client := netip.MustParseAddr("10.244.0.9")
	b.update(backends, time.Minute)
	b.chosen(client, backends[2])
	stays := func() bool {
		for range 50 {
			if b.candidates(client)[0] != backends[2] {
				return false
			}
		}
		return true
	}
	if !stays() {
		t.Fatal("the client does not stay with its backend")
	}
	now = now.Add(59 * time.Second)
	b.chosen(client, backends[2])
	now = now.Add(59 * time.Second)
	if !stays() {
		t.Error("a use does not prolong the affinity")
	}
	now = now.Add(time.Minute)
	if stays() {
		t.Error("the affinity never expires")
	}
	b.chosen(client, backends[2])
	b.update(backends[:2], time.Minute)
	b.update(backends, time.Minute)
	if stays() {
		t.Error("the affinity outlives its backend")
	}
	b.chosen(client, backends[2])
	b.update(backends, 0)
	if stays() {
		t.Error("the affinity outlives its removal from the service")
	}
}
